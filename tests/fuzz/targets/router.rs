//! Any request line: the router finds a row or says why not, and what it found leads to the same place again.
//! What stands for a function in the path is read as the daemon reads it, in all the forms a name can have.
#![no_main]

use hearth_api::arn::Home;
use hearth_api::codec::encode_label;
use hearth_api::{ApiError, router};
use hearth_fuzz::Request;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some(request) = Request::read(input) else { return Corpus::Reject };
    let found = match router::find(request.method, request.path, request.query) {
        Ok(found) => found,
        Err(error) => {
            assert!(ApiError::from(error).status() >= 400);
            return Corpus::Keep;
        }
    };
    assert_eq!(found.row.method.as_str(), request.method);
    let mut path = found.row.uri.to_owned();
    for (name, label) in &found.labels {
        path = path.replace(&format!("{{{name}}}"), &encode_label(label));
    }
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    // An empty label at the end is what a trailing slash looks like.
    if found.labels.iter().all(|(_, label)| !label.is_empty()) {
        let again = router::find(request.method, path, query).expect("its own path leads to a row");
        assert_eq!((again.row.name, &again.labels), (found.row.name, &found.labels));
    }
    for (name, label) in &found.labels {
        if *name == "FunctionName" {
            function(label, request.header("qualifier"));
        }
    }
    Corpus::Keep
});

/// A name that is understood names the same function when it is written out in full.
fn function(text: &str, qualifier: Option<&str>) {
    // What the model's pattern lets through; the codec has refused the rest by then. It allows a dollar sign anywhere,
    // but within an ARN only `$LATEST` has one.
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let qualifier = qualifier.filter(|text| *text == "$LATEST" || !text.is_empty() && plain(text));
    let home = Home::new("us-east-1", "000000000000");
    let Ok(found) = home.resolve(text, qualifier) else { return };
    let arn = home.qualified_arn(&found.name, found.qualifier.as_ref());
    let again = home.resolve(&arn, None).expect("a whole ARN is understood");
    assert_eq!((again.name, again.qualifier), (found.name, found.qualifier));
}
