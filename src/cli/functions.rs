//! `hearth list`, `get` and `delete`: what functions there are, what one of them is, and its end.

use super::args;
use super::client::{self, Client};
use super::failure::Failure;
use super::table::{Cell, Table};
use super::terminal::{self, Output, Paint};
use hearth_api::operations::Operation;
use hearth_api::shapes::{
    DeleteFunctionRequest, FunctionConfiguration, GetFunctionRequest, GetFunctionResponse,
    ListFunctionsRequest,
};
use serde_json::{Value, json};

/// Pages of functions at most: half a million functions.
const PAGES_MAX: usize = 10_000;

/// Runs `list`.
pub(super) fn list(args: &args::List) -> Result<(), Failure> {
    let client = Client::new(&args.connection)?;
    let functions = all(&client)?;
    if args.json {
        return terminal::print_json(&json!({ "Functions": functions }));
    }
    let mut table = Table::new(["NAME", "RUNTIME", "HANDLER", "MEMORY", "TIMEOUT", "CODE", "LAST MODIFIED"]);
    for value in functions {
        let function: FunctionConfiguration = client::typed(Operation::ListFunctions, "", value)?;
        table.push([
            Cell::text(function.function_name.as_deref().unwrap_or_default()),
            Cell::text(function.runtime.as_deref().unwrap_or("-")),
            Cell::text(function.handler.as_deref().unwrap_or("-")),
            Cell::number(function.memory_size.unwrap_or_default()),
            Cell::number(function.timeout.unwrap_or_default()),
            Cell::number(function.code_size.unwrap_or_default()),
            Cell::text(function.last_modified.as_deref().unwrap_or_default()),
        ]);
    }
    terminal::print(table.render(Output::of_this_process()))
}

/// Every function, page by page, as the daemon describes it.
fn all(client: &Client) -> Result<Vec<Value>, Failure> {
    let mut functions = Vec::new();
    let mut marker = None;
    for _ in 0..PAGES_MAX {
        let input = ListFunctionsRequest { marker, ..Default::default() };
        let mut page: Value = client.call(Operation::ListFunctions, "", &input)?;
        if let Some(Value::Array(items)) = page.get_mut("Functions").map(Value::take) {
            functions.extend(items);
        }
        marker = page.get("NextMarker").and_then(Value::as_str).map(str::to_owned);
        if marker.is_none() {
            return Ok(functions);
        }
    }
    Err(Failure::because(format!("ListFunctions: the daemon gave more than {PAGES_MAX} pages")))
}

/// One word on how a function is.
fn state(function: &FunctionConfiguration) -> Cell {
    match (function.state.as_deref(), function.last_update_status.as_deref()) {
        (Some("Active"), Some("InProgress")) => Cell::text("Updating").paint(Paint::Yellow),
        (Some("Active"), Some("Failed")) => Cell::text("UpdateFailed").paint(Paint::Red),
        (Some("Active"), _) => Cell::text("Active").paint(Paint::Green),
        (Some("Failed"), _) => Cell::text("Failed").paint(Paint::Red),
        (Some(other), _) => Cell::text(other).paint(Paint::Yellow),
        (None, _) => Cell::text("-"),
    }
}

/// Runs `get`.
pub(super) fn get(args: &args::Get) -> Result<(), Failure> {
    let client = Client::new(&args.connection)?;
    let input = GetFunctionRequest { function_name: Some(args.name.clone()), ..Default::default() };
    let value: Value = client.call(Operation::GetFunction, &args.name, &input)?;
    if args.json {
        return terminal::print_json(&value);
    }
    let function = client::typed(Operation::GetFunction, &args.name, value)?;
    terminal::print(described(&function, Output::of_this_process()))
}

/// One line per property: name, then value.
fn described(function: &GetFunctionResponse, output: Output) -> String {
    let configuration = function.configuration.clone().unwrap_or_default();
    let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Cell::text);
    let unit = |number: Option<i32>, unit: &str| number.map(|number| Cell::text(format!("{number} {unit}")));
    let size = configuration.code_size.and_then(|size| u64::try_from(size).ok());
    let storage = configuration.ephemeral_storage.as_ref().and_then(|storage| storage.size);
    let image = configuration.image_config_response.clone().and_then(|response| response.image_config);
    let image = image.unwrap_or_default();
    let words = |words: Option<Vec<String>>| words.map(|words| Cell::text(words.join(" ")));
    let reserved = function.concurrency.as_ref().and_then(|it| it.reserved_concurrent_executions);
    let properties = [
        ("name", text(&configuration.function_name)),
        ("arn", text(&configuration.function_arn)),
        ("state", Some(state(&configuration))),
        ("reason", text(&configuration.state_reason)),
        ("last update", text(&configuration.last_update_status_reason)),
        ("description", text(&configuration.description)),
        ("runtime", text(&configuration.runtime)),
        ("handler", text(&configuration.handler)),
        ("image", function.code.as_ref().and_then(|code| text(&code.image_uri))),
        ("entry point", words(image.entry_point)),
        ("command", words(image.command)),
        ("working directory", text(&image.working_directory)),
        ("role", text(&configuration.role)),
        ("memory", unit(configuration.memory_size, "MB")),
        ("timeout", unit(configuration.timeout, "s")),
        ("/tmp", unit(storage, "MB")),
        ("reserved concurrency", reserved.map(|number| Cell::text(number.to_string()))),
        ("code", size.map(|size| Cell::text(terminal::size(size)))),
        ("code sha256", text(&configuration.code_sha256)),
        ("last modified", text(&configuration.last_modified)),
    ];
    let mut table = Table::new(["PROPERTY", "VALUE"]);
    for (name, value) in properties {
        if let Some(value) = value {
            table.push([Cell::text(name), value]);
        }
    }
    let variables =
        configuration.environment.and_then(|environment| environment.variables).unwrap_or_default();
    for (name, value) in variables {
        table.push([Cell::text(format!("env {name}")), Cell::text(value)]);
    }
    for (name, value) in function.tags.clone().unwrap_or_default() {
        table.push([Cell::text(format!("tag {name}")), Cell::text(value)]);
    }
    table.render(output)
}

/// Runs `delete`.
pub(super) fn delete(args: &args::Delete) -> Result<(), Failure> {
    let client = Client::new(&args.connection)?;
    let input = DeleteFunctionRequest { function_name: Some(args.name.clone()), ..Default::default() };
    let _: Value = client.call(Operation::DeleteFunction, &args.name, &input)?;
    terminal::say(&format!("{} deleted", args.name));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_described_without_what_it_does_not_have() {
        let value = json!({
            "Configuration": {
                "FunctionName": "f", "State": "Active", "LastUpdateStatus": "Successful", "MemorySize": 128,
                "CodeSize": 2048, "Description": "", "Environment": { "Variables": { "A": "1\n2" } },
            },
            "Tags": { "team": "x" },
        });
        let function = serde_json::from_value(value).expect("is a function");
        let text = described(&function, Output { is_terminal: false, colours: false });
        let expected = "name\tf\nstate\tActive\nmemory\t128 MB\ncode\t2.0 KiB\nenv A\t1 2\ntag team\tx\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_state_is_one_word() {
        let at = |state: Option<&str>, update: &str| FunctionConfiguration {
            state: state.map(str::to_owned),
            last_update_status: Some(update.to_owned()),
            ..Default::default()
        };
        for (function, word) in [
            (at(Some("Active"), "Successful"), "Active"),
            (at(Some("Active"), "InProgress"), "Updating"),
            (at(Some("Active"), "Failed"), "UpdateFailed"),
            (at(Some("Pending"), "InProgress"), "Pending"),
            (at(None, "Successful"), "-"),
        ] {
            let mut table = Table::new(["STATE"]);
            table.push([state(&function)]);
            assert_eq!(table.render(Output { is_terminal: false, colours: false }), format!("{word}\n"));
        }
    }
}
