//! The law of the codec, tried with random values of every operation's shapes, and the answers to bad requests.

use super::*;
use crate::operations::{Operation, TABLE, through_input_type, through_output_type};
use crate::router;
use crate::shapes::{
    CreateFunctionRequest, DeleteFunctionResponse, FunctionCode, InvocationRequest, InvocationResponse,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;

fn read_json(operation: Operation, body: &str) -> Result<Value, ApiError> {
    let labels = vec![("FunctionName", "f".to_owned()), ("Resource", "r".to_owned())];
    let head = Head { labels: &labels, query: "", headers: &|_| None };
    read(operation.row(), &head, body.as_bytes())
}

fn find_in(headers: &[(&'static str, String)], name: &str) -> Option<String> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
}

/// How much of a structure there is.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    /// Each member or not, lists and maps of any length: what comes.
    Some,
    /// Every member, and something in every list and map: no shape is left out.
    All,
}

/// Values of a shape's type; not all of them satisfy its constraints, which are another room's business.
fn values(shape: &'static Shape, extent: Extent) -> BoxedStrategy<Value> {
    let least = usize::from(extent == Extent::All);
    match shape.kind {
        Kind::Structure(members) => structures(members, extent),
        Kind::List(list) => {
            proptest::collection::vec(values(list.member, extent), least..3).prop_map(Value::from).boxed()
        }
        Kind::Map(map) => proptest::collection::btree_map("\\PC{0,6}", values(map.value, extent), least..3)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
            .boxed(),
        Kind::Text(_) => "\\PC{0,8}".prop_map(Value::from).boxed(),
        Kind::Integer(_) => any::<i32>().prop_map(Value::from).boxed(),
        Kind::Long(_) => any::<i64>().prop_map(Value::from).boxed(),
        // Quarters are exact in both notations.
        Kind::Double(_) => any::<i16>().prop_map(|number| json!(f64::from(number) / 4.0)).boxed(),
        Kind::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Blob(_) => proptest::collection::vec(any::<u8>(), 0..20)
            .prop_map(|bytes| json!(crate::primitives::encode_base64(&bytes)))
            .boxed(),
        Kind::Timestamp => (0_i64..4_000_000_000_000).prop_map(|ms| json!(EpochTime::from_ms(ms))).boxed(),
    }
}

/// Structures of members. Neither a list in a query string nor a label can say that it is empty.
fn structures(members: &'static [Member], extent: Extent) -> BoxedStrategy<Value> {
    let mut fields = Just(Map::new()).boxed();
    for member in members {
        let is_raw = member.place == Place::Payload && matches!(member.shape.kind, Kind::Blob(_));
        let value = match (member.place, member.shape.kind) {
            _ if is_raw => continue,
            (Place::Status, _) => (200..204).prop_map(Value::from).boxed(),
            (Place::Label, Kind::Text(_)) => "\\PC{1,8}".prop_map(Value::from).boxed(),
            (Place::Query(_), Kind::List(list)) => {
                proptest::collection::vec(values(list.member, extent), 1..3).prop_map(Value::from).boxed()
            }
            _ => values(member.shape, extent),
        };
        let always = extent == Extent::All || matches!(member.place, Place::Label | Place::Status);
        let value = if always { value.prop_map(Some).boxed() } else { proptest::option::of(value).boxed() };
        fields = (fields, value)
            .prop_map(move |(mut fields, value)| {
                if let Some(value) = value {
                    fields.insert(member.name.to_owned(), value);
                }
                fields
            })
            .boxed();
    }
    fields.prop_map(Value::Object).boxed()
}

fn inputs() -> impl Strategy<Value = (&'static Row, Value)> {
    (0..TABLE.len()).prop_flat_map(|index| (Just(&TABLE[index]), values(TABLE[index].input, Extent::Some)))
}

fn through_http(row: &'static Row, input: &Value) -> Value {
    let parts = encode_request(row, input).unwrap();
    let (path, query) = parts.path_and_query.split_once('?').unwrap_or((&parts.path_and_query, ""));
    let found = router::find(parts.method, path, query).unwrap();
    assert_eq!(found.row.name, row.name);
    // Leaked so that the look-up may borrow from it: a test's few bytes.
    let sent: &'static RequestParts = Box::leak(Box::new(parts.clone()));
    let headers = |name: &str| {
        sent.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    let head = Head { labels: &found.labels, query, headers: &headers };
    read(row, &head, &parts.body).unwrap()
}

fn reads_what_was_asked(row: &'static Row, input: Value) -> Result<(), TestCaseError> {
    let expected = through_input_type(row.operation, input).unwrap();
    prop_assert_eq!(&expected, &through_input_type(row.operation, expected.clone()).unwrap());
    let read = through_http(row, &expected);
    prop_assert_eq!(through_input_type(row.operation, read).unwrap(), expected);
    Ok(())
}

fn reads_what_was_answered(row: &'static Row, output: Value) -> Result<(), TestCaseError> {
    let expected = through_output_type(row.operation, output).unwrap();
    let reply = encode(row, &expected).unwrap();
    let sent: &'static Reply = Box::leak(Box::new(reply.clone()));
    let read = read_response(row, reply.status, &|name| sent.header(name), reply.body.as_bytes()).unwrap();
    prop_assert_eq!(through_output_type(row.operation, read).unwrap(), expected);
    Ok(())
}

type Law = fn(&'static Row, Value) -> Result<(), TestCaseError>;

/// Holds a law for every row of the table, with whole values and with partial ones.
fn holds_everywhere(shape_of: fn(&'static Row) -> &'static Shape, law: Law) {
    for row in TABLE {
        for extent in [Extent::All, Extent::Some] {
            let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
            let tried = TestRunner::new(config).run(&values(shape_of(row), extent), |value| law(row, value));
            tried.unwrap_or_else(|why| panic!("{}: {why}", row.name));
        }
    }
}

#[test]
fn every_request_is_read_as_it_was_written() {
    holds_everywhere(|row| row.input, reads_what_was_asked);
}

#[test]
fn every_answer_is_read_as_it_was_written() {
    holds_everywhere(|row| row.output, reads_what_was_answered);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bodies_never_panic(index in 0..TABLE.len(), body in proptest::collection::vec(any::<u8>(), 0..200), query in ".{0,40}") {
        let labels = Labels::new();
        let head = Head { labels: &labels, query: &query, headers: &|_| None };
        let _ = decode(&TABLE[index], &head, &body);
        let _: Result<Value, _> = decode_response(&TABLE[index], 200, &|_| None, &body);
    }

    #[test]
    fn what_is_read_fits_the_type_or_is_refused(index in 0..TABLE.len(), (_, body) in inputs()) {
        // Bodies of other operations: members of the same name often have another type.
        let row = &TABLE[index];
        let labels = vec![("FunctionName", "f".to_owned())];
        let head = Head { labels: &labels, query: "", headers: &|_| None };
        if let Ok(value) = read(row, &head, body.to_string().as_bytes()) {
            prop_assert!(through_input_type(row.operation, value).is_ok());
        }
    }
}

/// Texts that constraints of `Invoke`'s head accept, refuse, or that are no text of theirs at all.
fn head_texts() -> impl Strategy<Value = Option<String>> {
    let known = prop::sample::select(vec![
        "f",
        "a:b",
        "$LATEST",
        "007",
        "DryRun",
        "Event",
        "Tail",
        "None",
        "e30=",
        "",
        "arn:aws:lambda:us-east-1:000000000000:function:f:live",
    ]);
    proptest::option::of(prop_oneof![known.prop_map(str::to_owned), "\\PC{0,140}"])
}

proptest! {
    #[test]
    fn a_head_is_read_into_its_type_as_it_is_read_into_a_value(
        name in head_texts(), qualifier in head_texts(), texts in proptest::collection::vec(head_texts(), 8),
    ) {
        let row = Operation::Invoke.row();
        let labels: Labels = name.into_iter().map(|name| ("FunctionName", name)).collect();
        let query = qualifier.map_or_else(String::new, |text| format!("Qualifier={}&x=%20+", encode_label(&text)));
        let names = row.input.members().iter().filter_map(|member| match member.place {
            Place::Header(name) => Some(name),
            _ => None,
        });
        let sent: Vec<_> = names.zip(&texts).filter_map(|(name, text)| Some((name, text.as_deref()?))).collect();
        let headers = |name: &str| sent.iter().find(|(sent, _)| *sent == name).map(|(_, text)| *text);
        let head = Head { labels: &labels, query: &query, headers: &headers };
        let value = decode_head(row, &head).and_then(typed::<InvocationRequest>);
        prop_assert_eq!(decode_head_typed::<InvocationRequest>(row, &head), value);
    }
}

#[test]
fn unknown_members_are_ignored_and_null_is_absence() {
    let value =
        read_json(Operation::UpdateFunctionCode, r#"{"Colour":"red","RevisionId":null,"Publish":true}"#)
            .unwrap();
    assert_eq!(value, json!({"FunctionName": "f", "Publish": true}));
}

#[test]
fn a_label_wins_over_a_body_member_of_its_name() {
    let value =
        read_json(Operation::UpdateFunctionCode, r#"{"FunctionName":"evil","Publish":true}"#).unwrap();
    assert_eq!(value["FunctionName"], "f");
}

#[test]
fn wrong_types_are_refused_in_the_words_of_the_service() {
    let cases = [
        (r#"{"Timeout":"3"}"#, "STRING_VALUE can not be converted to an Integer"),
        (r#"{"Timeout":3.5}"#, "NUMBER_VALUE can not be converted to an Integer"),
        (r#"{"Timeout":99999999999}"#, "NUMBER_VALUE can not be converted to an Integer"),
        (r#"{"Handler":7}"#, "NUMBER_VALUE can not be converted to a String"),
        (r#"{"Handler":true}"#, "TRUE_VALUE can not be converted to a String"),
        (r#"{"Layers":"a"}"#, "Expected list or null"),
        (r#"{"Layers":{}}"#, "Start of structure or map found where not expected."),
        (r#"{"Environment":[]}"#, "Start of list found where not expected"),
        (r#"{"Environment":{"Variables":{"AB":1}}}"#, "NUMBER_VALUE can not be converted to a String"),
        ("[]", "Start of list found where not expected"),
    ];
    for (body, expected) in cases {
        let error = read_json(Operation::UpdateFunctionConfiguration, body).unwrap_err();
        assert_eq!(
            (error.status(), error.code(), error.message()),
            (400, ErrorCode::SerializationException, Some(expected)),
            "{body}"
        );
    }
    assert_eq!(
        read_json(Operation::UpdateFunctionConfiguration, r#"{"Timeout":3.0}"#).unwrap()["Timeout"],
        json!(3)
    );
}

#[test]
fn broken_json_and_broken_base64_are_told_apart() {
    for body in ["{", "nonsense", "{\"a\":}", "\u{0}"] {
        let error = read_json(Operation::CreateFunction, body).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidRequestContentException);
        assert!(error.message().unwrap().starts_with("Could not parse request body into json: "), "{error}");
    }
    for base64 in ["*", "QQ===", "A", "QUI=QUI=", "QU I="] {
        let body = json!({"Code": {"ZipFile": base64}}).to_string();
        let error = read_json(Operation::CreateFunction, &body).unwrap_err();
        assert_eq!(error.code(), ErrorCode::SerializationException, "{base64}");
    }
    let value = read_json(Operation::CreateFunction, r#"{"Code":{"ZipFile":"QUI"}}"#).unwrap();
    let input: CreateFunctionRequest = typed(value).unwrap();
    assert_eq!(input.code.unwrap().zip_file.unwrap().0, b"AB");
}

#[test]
fn deeply_nested_json_is_refused_and_not_followed() {
    let body = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(read_json(Operation::CreateFunction, &body).unwrap_err().status(), 400);
}

#[test]
fn a_package_travels_as_base64() {
    let code =
        FunctionCode { zip_file: Some(crate::primitives::Blob(vec![0, 255, 1])), ..FunctionCode::default() };
    let input = CreateFunctionRequest {
        function_name: Some("f".into()),
        code: Some(code),
        ..CreateFunctionRequest::default()
    };
    let parts = encode_request(Operation::CreateFunction.row(), &input).unwrap();
    assert_eq!(parts.path_and_query, "/2015-03-31/functions");
    assert_eq!(parts.body, br#"{"Code":{"ZipFile":"AP8B"},"FunctionName":"f"}"#);
    assert_eq!(find_in(&parts.headers, "content-type").as_deref(), Some("application/json"));
}

#[test]
fn query_strings_carry_lists_constants_and_spaces() {
    let row = Operation::UntagResource.row();
    let parts = encode_request(row, &json!({"Resource": "arn:x/y", "TagKeys": ["a b", "c+d"]})).unwrap();
    assert_eq!(parts.path_and_query, "/2017-03-31/tags/arn%3Ax%2Fy?tagKeys=a%20b&tagKeys=c%2Bd");
    let labels = vec![("Resource", "arn:x/y".to_owned())];
    let head = Head { labels: &labels, query: "tagKeys=a+b&x&tagKeys=c%2Bd", headers: &|_| None };
    assert_eq!(read(row, &head, b"").unwrap()["TagKeys"], json!(["a b", "c+d"]));
    let row = Operation::GetLayerVersionByArn.row();
    assert_eq!(
        encode_request(row, &json!({"Arn": "a"})).unwrap().path_and_query,
        "/2018-10-31/layers?find=LayerVersion&Arn=a"
    );
}

#[test]
fn a_request_without_its_label_is_not_sent() {
    let row = Operation::GetFunction.row();
    for input in [json!({}), json!({"FunctionName": ""})] {
        assert!(matches!(
            encode_request(row, &input),
            Err(EncodeError::MissingLabel { member: "FunctionName" })
        ));
    }
}

#[test]
fn the_head_of_an_invocation_is_read_without_its_payload() {
    let labels = vec![("FunctionName", "f".to_owned())];
    let headers = |name: &str| (name == "X-Amz-Invocation-Type").then_some("DryRun");
    let head = Head { labels: &labels, query: "Qualifier=3", headers: &headers };
    let value = decode_head(Operation::Invoke.row(), &head).unwrap();
    assert_eq!(value, json!({"FunctionName": "f", "Qualifier": "3", "InvocationType": "DryRun"}));
    let headers = |name: &str| (name == "X-Amz-Invocation-Type").then_some("Later");
    let head = Head { labels: &labels, query: "", headers: &headers };
    let error = decode_head(Operation::Invoke.row(), &head).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ValidationException);
}

#[test]
fn members_bound_to_status_and_headers_leave_the_body() {
    let reply =
        encode(Operation::DeleteFunction.row(), &DeleteFunctionResponse { status_code: Some(204) }).unwrap();
    assert_eq!(reply, Reply { status: 204, headers: vec![], body: Body::Empty });
    let output = InvocationResponse {
        executed_version: Some("$LATEST".into()),
        function_error: Some("Unhandled".into()),
        ..InvocationResponse::default()
    };
    let reply = encode(Operation::Invoke.row(), &output).unwrap();
    assert_eq!((reply.status, reply.header("x-amz-function-error")), (200, Some("Unhandled")));
    assert_eq!(reply.body, Body::Empty);
    let reply = encode(Operation::UntagResource.row(), &crate::shapes::NoOutput {}).unwrap();
    assert_eq!(reply, Reply { status: 204, headers: vec![], body: Body::Empty });
}

#[test]
fn an_error_answer_is_read_as_the_error_of_the_service() {
    let error = ApiError::not_found("Function not found: x").to_reply();
    let sent: &'static Reply = Box::leak(Box::new(error));
    let read: Result<Value, _> = decode_response(
        Operation::GetFunction.row(),
        sent.status,
        &|name| sent.header(name),
        sent.body.as_bytes(),
    );
    let read = read.unwrap_err();
    assert_eq!(
        (read.status, read.code.as_str(), read.message.as_str()),
        (404, "ResourceNotFoundException", "Function not found: x")
    );
}
