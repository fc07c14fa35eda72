//! `hearth api OPERATION`: every operation of the table as a verb, with one option per member of its input.
//!
//! The options, their help and the shell completion are made from the table; no operation is named here. Values are
//! read by `value`. The daemon judges them: this client checks only what it needs to send them.

use super::args::{CommandLine, Connection};
use super::client::{self, CallError, Client};
use super::failure::Failure;
use super::terminal;
use super::value::{self, ValueError};
use bytes::Bytes;
use clap::builder::StyledStr;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, CommandFactory as _, FromArgMatches as _};
use hearth_api::operations::{Operation, Row, TABLE};
use hearth_api::shape::{Kind, Member, Place};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::time::Duration;

/// The longest function (15 minutes), its start, and a margin.
const PATIENCE: Duration = Duration::from_secs(960);
/// The option that carries a whole input.
const WHOLE: &str = "cli-input-json";

/// The whole command line, every operation under `api`.
pub(super) fn command() -> Command {
    CommandLine::command().mut_subcommand("api", |api| {
        let operations = TABLE.iter().map(of_row);
        api.subcommands(operations)
            .subcommand_value_name("OPERATION")
            .about("Call an operation of the API, or show them all")
    })
}

/// The operation that a command line calls, and its options; none if it is another verb's.
pub(super) fn called(matches: &ArgMatches) -> Option<(Operation, &ArgMatches)> {
    let (name, options) = matches.subcommand_matches("api")?.subcommand()?;
    let row = TABLE.iter().find(|row| kebab(row.name) == name)?;
    Some((row.operation, options))
}

/// Calls it and prints the answer as JSON.
pub(super) fn run(operation: Operation, options: &ArgMatches) -> Result<(), Failure> {
    let row = operation.row();
    let (input, payload) = input(row, options)?;
    let connection = Connection::from_arg_matches(options)?;
    let subject = subject(row, &input);
    let answer = Client::new(&connection)?.exchange(operation, &subject, &input, payload, PATIENCE)?;
    let headers = |name: &str| client::text(answer.headers(), name);
    let read = hearth_api::codec::decode_response(row, answer.status().as_u16(), &headers, answer.body());
    let mut output: Value = read.map_err(|error| CallError::Refused { call: row.name.to_owned(), error })?;
    if let (Some(members), Some(payload)) = (output.as_object_mut(), raw_payload(row.output.members())) {
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        members.insert(payload.name.to_owned(), Value::String(text));
    }
    if output.as_object().is_some_and(Map::is_empty) {
        return Ok(());
    }
    terminal::print_json(&output)
}

/// The input, and the raw payload of an operation that has one.
fn input(row: &Row, options: &ArgMatches) -> Result<(Value, Option<Bytes>), ValueError> {
    let mut members = match options.get_one::<String>(WHOLE) {
        None => Map::new(),
        Some(text) => value::whole(text)?,
    };
    for member in row.input.members() {
        if let Some(given) = given(member, options)? {
            members.insert(member.name.to_owned(), given);
        }
    }
    let packaged = row.input.members().iter().find(|member| carries_package(member));
    if let Some((member, package)) = packaged.zip(options.try_get_one::<String>("zip-file").ok().flatten()) {
        members.insert(member.name.to_owned(), serde_json::json!({ "ZipFile": value::blob(package)? }));
    }
    let payload = raw_payload(row.input.members()).map(|member| match members.remove(member.name) {
        Some(Value::String(text)) => text.into_bytes().into(),
        Some(other) => other.to_string().into_bytes().into(),
        None => Bytes::new(),
    });
    Ok((Value::Object(members), payload))
}

fn given(member: &Member, options: &ArgMatches) -> Result<Option<Value>, ValueError> {
    let id = kebab(member.name);
    if matches!(member.shape.kind, Kind::Boolean) {
        let (yes, no) = (options.get_flag(&id), options.get_flag(&format!("no-{id}")));
        return Ok((yes || no).then_some(Value::Bool(yes)));
    }
    let Ok(Some(texts)) = options.try_get_many::<String>(&id) else { return Ok(None) };
    let texts: Vec<&str> = texts.map(String::as_str).collect();
    let read =
        if member.place == Place::Payload { value::raw(texts[0]) } else { value::read(member.shape, &texts) };
    read.map(Some).map_err(|error| error.of(&id))
}

/// What errors call the thing that the operation is about: the labels of the path.
fn subject(row: &Row, input: &Value) -> String {
    let labels = row.input.members().iter().filter(|member| member.place == Place::Label);
    let texts: Vec<&str> = labels.filter_map(|member| input.get(member.name)?.as_str()).collect();
    texts.join(" ")
}

fn raw_payload(members: &[Member]) -> Option<&Member> {
    members.iter().find(|member| member.place == Place::Payload && matches!(member.shape.kind, Kind::Blob(_)))
}

/// Whether a package fits into the member, so that `--zip-file` stands for it.
fn carries_package(member: &Member) -> bool {
    match (member.name, &member.shape.kind) {
        ("Code" | "Content", Kind::Structure(inner)) => inner.iter().any(|inner| inner.name == "ZipFile"),
        _ => false,
    }
}

fn of_row(row: &Row) -> Command {
    let state = if row.is_built() { "" } else { " (not in this release: answers 501)" };
    let mut command = Command::new(kebab(row.name))
        .arg(
            Arg::new(WHOLE)
                .long(WHOLE)
                .value_name("JSON")
                .help("The whole input as JSON, or file://PATH; options override its members"),
        )
        .args(row.input.members().iter().flat_map(options));
    if row.input.members().iter().any(carries_package) {
        command = command.arg(
            Arg::new("zip-file")
                .long("zip-file")
                .value_name("BLOB")
                .help("The package: fileb://PATH, or base64"),
        );
    }
    // Last: the connection's options bring a description of their own.
    Connection::augment_args(command)
        .about(format!("{} {}{state}", row.method.as_str(), row.uri))
        .after_help(help(row))
}

fn options(member: &'static Member) -> Vec<Arg> {
    let id = kebab(member.name);
    let required = |arg: Arg| match &member.shape.kind {
        _ if !member.required => arg,
        Kind::Blob(_) => arg,
        _ if carries_package(member) => arg.required_unless_present_any([WHOLE, "zip-file"]),
        _ => arg.required_unless_present(WHOLE),
    };
    if matches!(member.shape.kind, Kind::Boolean) {
        let no = format!("no-{id}");
        return vec![
            Arg::new(&id).long(&id).action(ArgAction::SetTrue).conflicts_with(&no),
            Arg::new(&no).long(&no).action(ArgAction::SetTrue).hide(true),
        ];
    }
    let arg = Arg::new(&id).long(&id).value_name(value::name_of(member.shape)).allow_hyphen_values(true);
    let arg = match &member.shape.kind {
        Kind::Text(text) if !text.choices.is_empty() => arg.help(text.choices.join(", ")),
        Kind::List(_) => arg.num_args(1..).allow_hyphen_values(false),
        _ => arg,
    };
    vec![required(arg)]
}

fn help(row: &Row) -> StyledStr {
    let mut text = "Structures and maps: JSON, file://PATH, or shorthand such as Key=Value,Key={Key=Value}.\n\
                    Lists: several values, or JSON. Bytes: fileb://PATH, or base64.\n\nExamples:\n  hearth api "
        .to_owned();
    text.push_str(&kebab(row.name));
    for member in row.input.members().iter().filter(|member| member.required) {
        write!(text, " --{} {}", kebab(member.name), value::name_of(member.shape)).ok();
    }
    text.push_str("\n\nExit codes: 0 answered, 1 refused or not reached, 2 for a wrong command line.");
    text.into()
}

/// The name of a member or operation as an option or verb: `S3BucketOwner` is `s3-bucket-owner`.
fn kebab(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut text = String::new();
    for (at, character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| characters[at]);
        let after = characters.get(at + 1);
        let starts = character.is_ascii_uppercase()
            && before.is_some_and(|it| {
                it.is_ascii_lowercase()
                    || it.is_ascii_digit()
                    || (it.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
            });
        if starts {
            text.push('-');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(line: &str) -> Result<(Operation, Value, Option<Bytes>), String> {
        let matches = command().try_get_matches_from(line.split(' ')).map_err(|error| error.to_string())?;
        let (operation, options) = called(&matches).ok_or("another verb")?;
        let (input, payload) = input(operation.row(), options).map_err(|error| error.to_string())?;
        Ok((operation, input, payload))
    }

    #[test]
    fn every_operation_is_a_verb_with_options_of_its_own() {
        command().debug_assert();
        assert_eq!(
            command().find_subcommand("api").map_or(0, |api| api.get_subcommands().count()),
            TABLE.len() + 1
        );
    }

    #[test]
    fn names_are_those_of_the_aws_cli() {
        let names = [
            ("CreateAlias", "create-alias"),
            ("S3BucketOwner", "s3-bucket-owner"),
            ("KMSKeyArn", "kms-key-arn"),
            ("GetLayerVersionByArn", "get-layer-version-by-arn"),
            ("EnableHTTP2", "enable-http2"),
        ];
        for (name, option) in names {
            assert_eq!(kebab(name), option);
        }
    }

    #[test]
    fn options_become_the_input() {
        let line = "hearth api create-alias --function-name f --name live --function-version 1 --routing-config AdditionalVersionWeights={2=0.25}";
        let (operation, input, payload) = read(line).expect("is right");
        assert_eq!((operation, payload), (Operation::CreateAlias, None));
        let weights = json!({ "AdditionalVersionWeights": { "2": 0.25 } });
        let expected =
            json!({ "FunctionName": "f", "Name": "live", "FunctionVersion": "1", "RoutingConfig": weights });
        assert_eq!(input, expected);
        let (_, input, _) = read("hearth api tag-resource --resource arn --tags a=b,c=d").expect("is right");
        assert_eq!(input, json!({ "Resource": "arn", "Tags": { "a": "b", "c": "d" } }));
        let (_, input, _) =
            read("hearth api untag-resource --resource arn --tag-keys a b").expect("is right");
        assert_eq!(input["TagKeys"], json!(["a", "b"]));
        let (_, input, _) =
            read("hearth api create-function --function-name f --role r --no-publish --zip-file AAAA")
                .expect("is right");
        assert_eq!((&input["Publish"], &input["Code"]), (&json!(false), &json!({ "ZipFile": "AAAA" })));
    }

    #[test]
    fn a_whole_input_is_overridden_by_options() {
        let line =
            r#"hearth api get-function --cli-input-json {"FunctionName":"f","Qualifier":"1"} --qualifier 2"#;
        let (_, input, _) = read(line).expect("is right");
        assert_eq!(input, json!({ "FunctionName": "f", "Qualifier": "2" }));
    }

    #[test]
    fn a_payload_goes_as_it_is() {
        let (_, input, payload) =
            read(r#"hearth api invoke --function-name f --payload {"a":1}"#).expect("is right");
        assert_eq!(payload.as_deref(), Some(br#"{"a":1}"#.as_slice()));
        assert_eq!(input, json!({ "FunctionName": "f" }));
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let error = read("hearth api get-alias --function-name f").expect_err("lacks a name");
        assert!(error.contains("--name"), "{error}");
        let error = read("hearth api get-alias --function-nam f --name x").expect_err("is misspelt");
        assert!(error.contains("--function-name"), "{error}");
        let error = read(
            "hearth api put-function-concurrency --function-name f --reserved-concurrent-executions many",
        )
        .expect_err("is no number");
        assert!(error.contains("reserved-concurrent-executions") && error.contains("many"), "{error}");
    }
}
