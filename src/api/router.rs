//! Finds the operation of a request from its method, its raw path and its raw query string.
//!
//! The path is split at `/` while it is still percent-encoded and each part is decoded afterwards, because an ARN in a
//! label carries encoded slashes. One trailing slash is accepted (older SDK generations send it). A row whose template
//! has a constant query parameter wins over one that has none. Nothing is allocated but the labels of the match.
//! Deliberately not here: reading other query parameters, judging labels.

use crate::error::ApiError;
use crate::operations::{Row, TABLE};
use percent_encoding::percent_decode_str;
use std::sync::LazyLock;

/// Longer paths belong to no operation: every template has at most seven parts.
const MAX_PARTS: usize = 8;

/// The row of a request and the labels of its path, percent-decoded.
#[derive(Clone, Debug)]
pub struct Match {
    /// The operation's row.
    pub row: &'static Row,
    /// Labels by name, in the order of the path.
    pub labels: Labels,
}

/// Labels by name, in the order of the path.
pub type Labels = Vec<(&'static str, String)>;

/// Why a request has no operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No operation has this path.
    #[error("no operation has this path")]
    UnknownPath,
    /// Operations have this path, but none with this method.
    #[error("no operation of this path has this method")]
    WrongMethod,
    /// A label is not UTF-8 after decoding.
    #[error("a part of the path is not UTF-8")]
    NotText,
}

impl From<RouteError> for ApiError {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::UnknownPath | RouteError::NotText => Self::unknown_path(),
            RouteError::WrongMethod => Self::method_not_allowed(),
        }
    }
}

#[derive(Clone, Copy)]
enum Part {
    Constant(&'static str),
    Label(&'static str),
}

struct Template {
    row: &'static Row,
    parts: Vec<Part>,
    /// How many of them are labels.
    labels: usize,
    constant: Option<(&'static str, &'static str)>,
}

// Templates with a constant query parameter come first, so that they win.
static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
    let mut templates: Vec<_> = TABLE.iter().map(Template::of).collect();
    templates.sort_by_key(|template| template.constant.is_none());
    templates
});

/// Finds the row of a request. `path` and `query` are raw, as they stand in the request line; `query` is without `?`.
///
/// # Errors
/// See [`RouteError`]; it converts into the [`ApiError`] that the client reads.
pub fn find(method: &str, path: &str, query: &str) -> Result<Match, RouteError> {
    let mut parts = [""; MAX_PARTS];
    let parts = split(path, &mut parts).ok_or(RouteError::UnknownPath)?;
    let mut failure = RouteError::UnknownPath;
    for template in TEMPLATES.iter().filter(|template| template.fits(parts, query)) {
        if template.row.method.as_str() == method {
            return Ok(Match { row: template.row, labels: template.labels(parts)? });
        }
        failure = RouteError::WrongMethod;
    }
    Err(failure)
}

fn split<'parts, 'path>(
    path: &'path str,
    parts: &'parts mut [&'path str; MAX_PARTS],
) -> Option<&'parts [&'path str]> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut count = 0;
    for part in path.split('/') {
        *parts.get_mut(count)? = part;
        count += 1;
    }
    Some(&parts[..count])
}

impl Template {
    fn of(row: &'static Row) -> Self {
        let (path, constant) = match row.uri.split_once('?') {
            Some((path, query)) => (path, query.split_once('=')),
            None => (row.uri, None),
        };
        let part = |part: &'static str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(label) => Part::Label(label),
            None => Part::Constant(part),
        };
        let parts: Vec<_> = path.split('/').skip(1).map(part).collect();
        let labels = parts.iter().filter(|part| matches!(part, Part::Label(_))).count();
        Self { row, parts, labels, constant }
    }

    fn fits(&self, parts: &[&str], query: &str) -> bool {
        self.parts.len() == parts.len()
            // From the end: there the paths differ, while they begin alike.
            && self.parts.iter().zip(parts).rev().all(|(expected, part)| match expected {
                Part::Constant(constant) => part == constant,
                Part::Label(_) => true,
            })
            && self.constant.is_none_or(|(name, value)| {
                query.split('&').any(|pair| {
                    pair.split_once('=').is_some_and(|(key, given)| key == name && given == value)
                })
            })
    }

    fn labels(&self, parts: &[&str]) -> Result<Labels, RouteError> {
        let mut labels = Labels::with_capacity(self.labels);
        for (expected, part) in self.parts.iter().zip(parts) {
            if let Part::Label(name) = expected {
                let text = percent_decode_str(part).decode_utf8().map_err(|_| RouteError::NotText)?;
                labels.push((name, text.into_owned()));
            }
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(method: &str, path: &str, query: &str) -> Result<&'static str, RouteError> {
        find(method, path, query).map(|found| found.row.name)
    }

    #[test]
    fn every_template_finds_its_own_row() {
        for row in TABLE {
            let (path, query) = row.uri.split_once('?').unwrap_or((row.uri, ""));
            let path = path.replace(['{', '}'], "");
            assert_eq!(name(row.method.as_str(), &path, query), Ok(row.name));
            assert_eq!(name(row.method.as_str(), &format!("{path}/"), query), Ok(row.name), "trailing slash");
            assert_eq!(name("PATCH", &path, query), Err(RouteError::WrongMethod));
        }
    }

    #[test]
    fn a_constant_query_parameter_tells_operations_apart() {
        assert_eq!(name("GET", "/2018-10-31/layers", ""), Ok("ListLayers"));
        assert_eq!(
            name("GET", "/2018-10-31/layers", "MaxItems=1&find=LayerVersion&Arn=a"),
            Ok("GetLayerVersionByArn")
        );
        let path = "/2019-09-30/functions/f/provisioned-concurrency";
        assert_eq!(name("GET", path, "Qualifier=1"), Ok("GetProvisionedConcurrencyConfig"));
        assert_eq!(name("GET", path, "List=ALL"), Ok("ListProvisionedConcurrencyConfigs"));
    }

    #[test]
    fn labels_are_decoded_after_the_path_is_split() {
        let path = "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aa%2Fb%24";
        let found = find("GET", path, "").unwrap();
        assert_eq!(found.row.name, "ListTags");
        assert_eq!(
            found.labels,
            [("Resource", "arn:aws:lambda:us-east-1:000000000000:function:a/b$".to_owned())]
        );
        let found = find("GET", "/2015-03-31/functions/a/aliases/b", "").unwrap();
        assert_eq!(found.labels, [("FunctionName", "a".to_owned()), ("Name", "b".to_owned())]);
    }

    #[test]
    fn other_paths_are_unknown() {
        for path in [
            "",
            "/",
            "//",
            "/2015-03-31",
            "/2015-03-31/function",
            "2015-03-31/functions",
            "/2015-03-31/functions//",
            "/1/2/3/4/5/6/7/8/9/10",
            "/2015-03-31/functions/a/b",
            "/2015-03-31/functions?x",
        ] {
            let found = name("GET", path, "");
            let empty_label = path == "/2015-03-31/functions//";
            assert_eq!(
                found,
                if empty_label { Ok("GetFunction") } else { Err(RouteError::UnknownPath) },
                "{path}"
            );
        }
        assert_eq!(name("GET", "/2015-03-31/functions/%ff", ""), Err(RouteError::NotText));
    }

    proptest! {
        #[test]
        fn the_router_never_panics(method in "[A-Z]{0,7}", path in ".{0,120}", query in ".{0,60}") {
            let _ = find(&method, &path, &query);
            let _ = find("GET", &format!("/2015-03-31/functions/{path}"), &query);
        }

        #[test]
        fn any_label_arrives_as_it_was_encoded(label in "\\PC{1,60}") {
            let encoded = crate::codec::encode_label(&label);
            let path = format!("/2015-03-31/functions/{encoded}/configuration");
            let found = find("GET", &path, "").unwrap();
            prop_assert_eq!(&found.labels[0].1, &label);
        }
    }
}
