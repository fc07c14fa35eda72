//! How functions are named: every accepted form of `FunctionName`, qualifiers, and the ARNs that answers carry.
//!
//! A name comes bare, as a partial ARN or as a full one, each with or without a qualifier; all become a
//! [`FunctionRef`]. [`Home::resolve`] adds what depends on where this service stands: a reference to another region or
//! account is refused as the service refuses it. Deliberately not here: whether the function exists.

use crate::error::ApiError;
use regex::Regex;
use std::fmt;
use std::sync::LazyLock;

/// The widest grammar of `FunctionName` (that of Get, Invoke and Delete); narrower ones are the validator's to enforce.
static GRAMMAR: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:arn:(?<partition>aws[a-zA-Z-]*)?:lambda:)?",
        r"(?:(?<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-[0-9]):)?",
        r"(?:(?<account>[0-9]{12}):)?(?:function:)?(?<name>[a-zA-Z0-9-_.]+)",
        r"(?::(?<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?$",
    ))
    .ok()
});

/// The name part of a function's identity.
///
/// Names longer than [`FunctionName::MAX_LENGTH`] exist as text (asking for one answers 404) but cannot be created.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionName(String);

impl FunctionName {
    /// The longest name that can be created.
    pub const MAX_LENGTH: usize = 64;

    /// A bare name.
    ///
    /// # Errors
    /// The text is empty or has characters other than letters, digits, `-`, `_` and `.`.
    pub fn new(text: &str) -> Result<Self, ArnError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || !text.bytes().all(fits) {
            return Err(ArnError::NotAFunction { given: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, as its owner.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which version of a function is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qualifier {
    /// `$LATEST`: the unpublished state.
    Latest,
    /// `$LATEST.PUBLISHED`: the published state of a function on managed instances.
    LatestPublished,
    /// A published version.
    Version(u64),
    /// An alias, or a text that could be one.
    Alias(String),
}

impl Qualifier {
    /// Reads a qualifier; every text is one, if only the name of an alias that does not exist.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "$LATEST" => Self::Latest,
            "$LATEST.PUBLISHED" => Self::LatestPublished,
            // `007` is not version 7: it must come back as it was given.
            _ => match text.parse::<u64>() {
                Ok(number) if number.to_string() == text => Self::Version(number),
                _ => Self::Alias(text.to_owned()),
            },
        }
    }
}

impl fmt::Display for Qualifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("$LATEST"),
            Self::LatestPublished => f.write_str("$LATEST.PUBLISHED"),
            Self::Version(number) => write!(f, "{number}"),
            Self::Alias(name) => f.write_str(name),
        }
    }
}

/// What a `FunctionName` says: a name, and whatever else stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionRef {
    /// The name.
    pub name: FunctionName,
    /// The qualifier, from the name or from `?Qualifier=`.
    pub qualifier: Option<Qualifier>,
    /// The account, if one was given.
    pub account: Option<String>,
    /// The region, if one was given.
    pub region: Option<String>,
    /// The partition, if one was given.
    pub partition: Option<String>,
}

/// Why a text names no function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// The text is no form of a function's name.
    #[error("{given:?} is neither a function name nor a function ARN")]
    NotAFunction {
        /// The text.
        given: String,
    },
}

impl From<ArnError> for ApiError {
    fn from(error: ArnError) -> Self {
        Self::invalid_parameter(error.to_string())
    }
}

impl FunctionRef {
    /// Reads any form of a function's name.
    ///
    /// ```
    /// use hearth_api::arn::{FunctionRef, Qualifier};
    /// let function = FunctionRef::parse("000000000000:function:hello:3").expect("a partial ARN");
    /// assert_eq!(function.name.as_str(), "hello");
    /// assert_eq!(function.qualifier, Some(Qualifier::Version(3)));
    /// ```
    ///
    /// # Errors
    /// The text is none of them.
    pub fn parse(text: &str) -> Result<Self, ArnError> {
        // Most calls give a bare name.
        if let Ok(name) = FunctionName::new(text) {
            return Ok(Self { name, qualifier: None, account: None, region: None, partition: None });
        }
        let refusal = || ArnError::NotAFunction { given: text.to_owned() };
        let parts = GRAMMAR.as_ref().and_then(|grammar| grammar.captures(text)).ok_or_else(refusal)?;
        let part = |name: &str| parts.name(name).map(|found| found.as_str().to_owned());
        Ok(Self {
            name: FunctionName(part("name").ok_or_else(refusal)?),
            qualifier: part("qualifier").map(|text| Qualifier::parse(&text)),
            account: part("account"),
            region: part("region"),
            partition: part("partition"),
        })
    }
}

/// Where this service stands: what its ARNs say and what references may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The partition of ARNs, normally `aws`.
    pub partition: String,
    /// The region, such as `us-east-1`.
    pub region: String,
    /// The account: twelve digits.
    pub account: String,
}

impl Home {
    /// A service of the partition `aws`.
    #[must_use]
    pub fn new(region: impl Into<String>, account: impl Into<String>) -> Self {
        Self { partition: "aws".into(), region: region.into(), account: account.into() }
    }

    /// Reads a `FunctionName` together with `?Qualifier=`.
    ///
    /// # Errors
    /// 400 if both carry a qualifier and they differ, 404 for another partition or region, 403 for another account, 400 for
    /// a text that names no function (which the validator has refused before, if the operation is of the API).
    pub fn resolve(&self, function: &str, qualifier: Option<&str>) -> Result<FunctionRef, ApiError> {
        let mut found = FunctionRef::parse(function)?;
        let given = qualifier.map(Qualifier::parse);
        if let (Some(derived), Some(given)) = (&found.qualifier, &given)
            && derived != given
        {
            let text = "The derived qualifier from the function name does not match the specified qualifier.";
            return Err(ApiError::invalid_parameter(text));
        }
        found.qualifier = given.or(found.qualifier);
        if let Some(other) = found.partition.as_ref().filter(|it| **it != self.partition) {
            let text = format!(
                "Functions from the partition '{other}' are not reachable in this partition ('{}')",
                self.partition
            );
            return Err(ApiError::not_found(text));
        }
        if let Some(region) = found.region.as_ref().filter(|region| **region != self.region) {
            let text =
                format!("Functions from '{region}' are not reachable in this region ('{}')", self.region);
            return Err(ApiError::not_found(text));
        }
        if found.account.as_ref().is_some_and(|account| *account != self.account) {
            return Err(ApiError::access_denied());
        }
        Ok(found)
    }

    /// Reads a `FunctionName` for an operation on the function as a whole, such as reserved concurrency.
    ///
    /// # Errors
    /// 400 for a qualified name, else as [`Home::resolve`].
    pub fn resolve_unqualified(&self, function: &str) -> Result<FunctionRef, ApiError> {
        let found = self.resolve(function, None)?;
        if found.qualifier.is_some() {
            return Err(ApiError::invalid_parameter(
                "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. \
                 Please specify either a function name or an unqualified function ARN.",
            ));
        }
        Ok(found)
    }

    /// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
    #[must_use]
    pub fn function_arn(&self, name: &FunctionName) -> String {
        let Self { partition, region, account } = self;
        format!("arn:{partition}:lambda:{region}:{account}:function:{name}")
    }

    /// The function's ARN with a qualifier, where one is given.
    #[must_use]
    pub fn qualified_arn(&self, name: &FunctionName, qualifier: Option<&Qualifier>) -> String {
        match qualifier {
            Some(qualifier) => format!("{}:{qualifier}", self.function_arn(name)),
            None => self.function_arn(name),
        }
    }

    /// The 404 of a function, version or alias that does not exist; the qualifier is named only if it was given.
    #[must_use]
    pub fn function_not_found(&self, name: &FunctionName, qualifier: Option<&Qualifier>) -> ApiError {
        ApiError::not_found(format!("Function not found: {}", self.qualified_arn(name, qualifier)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use proptest::prelude::*;

    const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:my-fn";

    fn home() -> Home {
        Home::new("us-east-1", "000000000000")
    }

    #[test]
    fn every_form_of_a_name_is_read() {
        let full = ("my-fn", Some("000000000000"), Some("us-east-1"));
        let cases = [
            ("my-fn", ("my-fn", None, None), None),
            ("my-fn:$LATEST", ("my-fn", None, None), Some(Qualifier::Latest)),
            ("my-fn:3", ("my-fn", None, None), Some(Qualifier::Version(3))),
            ("my-fn:prod", ("my-fn", None, None), Some(Qualifier::Alias("prod".into()))),
            ("function:my-fn", ("my-fn", None, None), None),
            (
                "000000000000:function:my-fn:7",
                ("my-fn", Some("000000000000"), None),
                Some(Qualifier::Version(7)),
            ),
            ("us-east-1:000000000000:function:my-fn", full, None),
            (ARN, full, None),
            (&format!("{ARN}:$LATEST.PUBLISHED"), full, Some(Qualifier::LatestPublished)),
            // Recorded: an ARN that ends too early is the function called `function`.
            (
                "arn:aws:lambda:us-east-1:000000000000:function",
                ("function", Some("000000000000"), Some("us-east-1")),
                None,
            ),
        ];
        for (text, (name, account, region), qualifier) in cases {
            let found = FunctionRef::parse(text).unwrap();
            assert_eq!(
                (found.name.as_str(), found.account.as_deref(), found.region.as_deref()),
                (name, account, region),
                "{text}"
            );
            assert_eq!(found.qualifier, qualifier, "{text}");
        }
    }

    #[test]
    fn what_names_no_function_is_refused() {
        for text in [
            "",
            "*",
            "a b",
            "my-fn:",
            "my-fn:1:2",
            "my-fn:$LATES",
            "arn:aws:s3:::bucket",
            "a/b",
            "function:f:$LATEST:x",
            "arn:aws:lambda::000000000000:function:f",
            "arn:aws:lambda:us-east-1::function:f",
        ] {
            assert!(FunctionRef::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn qualifiers_in_name_and_query_must_agree() {
        let error = home().resolve(&format!("{ARN}:$LATEST"), Some("1")).unwrap_err();
        let text = "The derived qualifier from the function name does not match the specified qualifier.";
        assert_eq!((error.code(), error.message()), (ErrorCode::InvalidParameterValueException, Some(text)));
        assert_eq!(home().resolve("my-fn:1", Some("1")).unwrap().qualifier, Some(Qualifier::Version(1)));
        assert_eq!(
            home().resolve("my-fn", Some("$latest")).unwrap().qualifier,
            Some(Qualifier::Alias("$latest".into()))
        );
    }

    #[test]
    fn other_regions_and_accounts_are_refused_in_the_words_of_the_service() {
        let error = home().resolve("eu-west-1:000000000000:function:f", None).unwrap_err();
        let text = "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')";
        assert_eq!((error.status(), error.message()), (404, Some(text)));
        for partition in ["aws-cn", "aws-us-gov", "awsx"] {
            let arn = ARN.replace("arn:aws:", &format!("arn:{partition}:"));
            let error = home().resolve(&arn, None).unwrap_err();
            let text = format!(
                "Functions from the partition '{partition}' are not reachable in this partition ('aws')"
            );
            assert_eq!((error.status(), error.message()), (404, Some(text.as_str())));
        }
        let error = home().resolve("111111111111:function:f", None).unwrap_err();
        assert_eq!((error.code(), error.message()), (ErrorCode::AccessDeniedException, None));
    }

    #[test]
    fn operations_on_whole_functions_refuse_qualified_names() {
        assert_eq!(
            home().resolve_unqualified("f:1").unwrap_err().code(),
            ErrorCode::InvalidParameterValueException
        );
        assert_eq!(home().resolve_unqualified(ARN).unwrap().name.as_str(), "my-fn");
    }

    #[test]
    fn not_found_names_the_qualifier_only_if_it_was_given() {
        let name = FunctionName::new("my-fn").unwrap();
        assert_eq!(
            home().function_not_found(&name, None).message(),
            Some(format!("Function not found: {ARN}").as_str())
        );
        let error = home().function_not_found(&name, Some(&Qualifier::Latest));
        assert_eq!(error.message(), Some(format!("Function not found: {ARN}:$LATEST").as_str()));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,80}") {
            let _ = FunctionRef::parse(&text);
            let _ = home().resolve(&text, Some(&text));
        }

        #[test]
        fn a_built_arn_is_read_back(name in "[a-zA-Z0-9_-]{1,64}", qualifier in proptest::option::of("[a-zA-Z0-9_-]{1,20}")) {
            let name = FunctionName::new(&name).unwrap();
            let qualifier = qualifier.as_deref().map(Qualifier::parse);
            let arn = home().qualified_arn(&name, qualifier.as_ref());
            let found = FunctionRef::parse(&arn).unwrap();
            prop_assert_eq!(found.partition.as_deref(), Some("aws"));
            prop_assert!(home().resolve(&arn, None).is_ok());
            prop_assert_eq!((found.name, found.qualifier), (name, qualifier));
        }

        #[test]
        fn a_qualifier_prints_as_it_was_read(text in "[$.a-zA-Z0-9_-]{1,30}") {
            prop_assert_eq!(Qualifier::parse(&text).to_string(), text);
        }
    }
}
