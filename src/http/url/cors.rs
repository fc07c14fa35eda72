//! What a function URL lets web pages of other sites do, as its configuration says it.
//!
//! Preflight requests are answered here and never reach the function; on other answers these headers replace the
//! function's own. Without a configuration nothing is added, and preflights are the function's. Decides by headers only.
//!
//! Source: "Cross-origin resource sharing (CORS)", AWS Lambda developer guide; the Fetch standard for what `*` cannot say.

use hearth_api::shapes::Cors;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

const ANY: &str = "*";
const OF_ANSWERS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// Whether a request only asks whether another one may be sent.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The headers that answer a preflight; only `vary` if its origin is not allowed.
pub(super) fn preflight(cors: &Cors, asked: &HeaderMap) -> HeaderMap {
    let mut given = HeaderMap::new();
    if !allow_origin(cors, asked, &mut given) {
        return given;
    }
    let credentials = cors.allow_credentials == Some(true);
    let lists = [
        (ACCESS_CONTROL_ALLOW_METHODS, cors.allow_methods.as_ref(), ACCESS_CONTROL_REQUEST_METHOD),
        (ACCESS_CONTROL_ALLOW_HEADERS, cors.allow_headers.as_ref(), ACCESS_CONTROL_REQUEST_HEADERS),
    ];
    for (name, list, wanted) in lists {
        let Some(list) = list.filter(|list| !list.is_empty()) else { continue };
        // With credentials a star is only a star: what was asked for has to be said.
        if credentials && list.iter().any(|item| item == ANY) {
            if let Some(wanted) = asked.get(wanted) {
                given.insert(name, wanted.clone());
            }
        } else {
            put(&mut given, name, &list.join(","));
        }
    }
    if let Some(seconds) = cors.max_age {
        put(&mut given, ACCESS_CONTROL_MAX_AGE, &seconds.to_string());
    }
    given
}

/// Puts what the configuration says in place of what the function said.
pub(super) fn dress(cors: &Cors, asked: &HeaderMap, answer: &mut HeaderMap) {
    for name in OF_ANSWERS {
        answer.remove(name);
    }
    if !allow_origin(cors, asked, answer) {
        return;
    }
    if let Some(list) = cors.expose_headers.as_ref().filter(|list| !list.is_empty()) {
        put(answer, ACCESS_CONTROL_EXPOSE_HEADERS, &list.join(","));
    }
}

fn allow_origin(cors: &Cors, asked: &HeaderMap, given: &mut HeaderMap) -> bool {
    let Some(origin) = asked.get(ORIGIN) else { return false };
    given.append(VARY, HeaderValue::from_static("Origin"));
    let allowed = cors.allow_origins.as_deref().unwrap_or_default();
    let credentials = cors.allow_credentials == Some(true);
    let any = allowed.iter().any(|it| it == ANY);
    let named = origin.to_str().is_ok_and(|text| allowed.iter().any(|it| it.eq_ignore_ascii_case(text)));
    if !any && !named {
        return false;
    }
    let value = if any && !credentials { HeaderValue::from_static(ANY) } else { origin.clone() };
    given.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
    if credentials {
        given.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    true
}

fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        let list = |items: &[&str]| Some(items.iter().map(|item| (*item).to_owned()).collect());
        Cors {
            allow_credentials: Some(credentials),
            allow_headers: list(&["x-a", "x-b"]),
            allow_methods: list(&["*"]),
            allow_origins: list(origins),
            expose_headers: list(&["x-c"]),
            max_age: Some(60),
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    const ASKED: [(&str, &str); 3] = [
        ("origin", "https://a.example"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-a"),
    ];

    #[test]
    fn a_preflight_is_told_what_is_configured() {
        let asked = headers(&ASKED);
        assert!(is_preflight(&Method::OPTIONS, &asked) && !is_preflight(&Method::GET, &asked));
        assert!(!is_preflight(&Method::OPTIONS, &headers(&ASKED[..1])));
        let given = preflight(&cors(&["*"], false), &asked);
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "*"),
            ("access-control-allow-headers", "x-a,x-b"),
            ("access-control-max-age", "60"),
            ("vary", "Origin"),
        ] {
            assert_eq!(given[name], value, "{name}");
        }
        assert!(!given.contains_key("access-control-allow-credentials"));
    }

    #[test]
    fn with_credentials_nothing_is_a_star() {
        let given = preflight(&cors(&["*"], true), &headers(&ASKED));
        assert_eq!(given["access-control-allow-origin"], "https://a.example");
        assert_eq!(given["access-control-allow-methods"], "PUT");
        assert_eq!(given["access-control-allow-credentials"], "true");
    }

    #[test]
    fn an_origin_that_is_not_listed_gets_nothing_and_the_function_cannot_give_it() {
        let cors = cors(&["https://b.example"], true);
        assert!(!preflight(&cors, &headers(&ASKED)).contains_key("access-control-allow-origin"));
        let mut answer = headers(&[("access-control-allow-origin", "*"), ("x-own", "1")]);
        dress(&cors, &headers(&ASKED), &mut answer);
        assert!(!answer.contains_key("access-control-allow-origin") && answer.contains_key("x-own"));
        dress(&cors, &headers(&[("origin", "https://B.example")]), &mut answer);
        assert_eq!(answer["access-control-allow-origin"], "https://B.example");
        assert_eq!(answer["access-control-expose-headers"], "x-c");
    }
}
