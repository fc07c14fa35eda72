//! What a client calls a function: every form of its name, resolved to one function of this installation.

use crate::daemon::functions::Functions;
use crate::store::{FunctionRecord, Version};
use hearth_api::arn::FunctionRef;
use hearth_api::error::ApiError;

/// One function, with the qualifier as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Unqualified name.
    pub(crate) name: String,
    /// Version or alias as given, in the name or beside it.
    pub(crate) qualifier: Option<String>,
}

impl Target {
    /// Reads a name in any of its forms and a qualifier; both must agree, and mean this region and account.
    pub(crate) fn parse(
        functions: &Functions,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<Self, ApiError> {
        let FunctionRef { name, qualifier, .. } = functions.home().resolve(name, qualifier)?;
        Ok(Self { name: name.into_string(), qualifier: qualifier.map(|qualifier| qualifier.to_string()) })
    }

    /// The same function with the number of a published version as qualifier; as it is for `$LATEST`.
    pub(crate) fn of_version(&self, record: &FunctionRecord) -> Self {
        match Version::parse(&record.version) {
            Some(Version::Number(number)) => {
                Self { name: self.name.clone(), qualifier: Some(number.to_string()) }
            }
            Some(Version::Latest) | None => self.clone(),
        }
    }

    /// ARN with the qualifier, if one was given.
    pub(crate) fn arn(&self, functions: &Functions) -> String {
        self.arn_of(&functions.arn(&self.name))
    }

    /// The same from the function's unqualified ARN.
    pub(crate) fn arn_of(&self, unqualified: &str) -> String {
        match &self.qualifier {
            None => unqualified.to_owned(),
            Some(qualifier) => format!("{unqualified}:{qualifier}"),
        }
    }

    /// The same, where `$LATEST` and no qualifier are one.
    pub(crate) fn without_latest(self) -> Self {
        Self { qualifier: self.qualifier.filter(|it| it != "$LATEST"), ..self }
    }

    /// Key of what is remembered about exactly this: composite, as keys of documents are.
    pub(crate) fn document_key(&self) -> String {
        format!("{}\n{}", self.name, self.qualifier.as_deref().unwrap_or_default())
    }

    /// 404 with the ARN as given.
    pub(crate) fn not_found(&self, functions: &Functions) -> ApiError {
        ApiError::not_found(format!("Function not found: {}", self.arn(functions)))
    }

    /// 404 of the operations that work on a version: without a qualifier they mean, and name, `$LATEST`.
    pub(crate) fn version_not_found(&self, functions: &Functions) -> ApiError {
        let qualifier = self.qualifier.as_deref().unwrap_or("$LATEST");
        ApiError::not_found(format!("Function not found: {}:{qualifier}", functions.arn(&self.name)))
    }
}
