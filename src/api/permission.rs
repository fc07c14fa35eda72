//! What a caller must be allowed for a request: the action and the resource that policies name.
//!
//! Most actions have their operation's name; those that have another are listed. A resource is what the request is about
//! as an ARN, or `*` for what is about the account as a whole. Deliberately not here: policies and who the caller is.
//!
//! Source: "Actions, resources, and condition keys for AWS Lambda", Service Authorization Reference.

use crate::arn::Home;
use crate::error::ApiError;
use crate::operations::Operation;
use serde_json::Value;

/// What a caller must be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// `lambda:InvokeFunction`.
    pub action: String,
    /// An ARN, or `*`.
    pub resource: String,
}

impl Permission {
    /// For an operation with this decoded input (of which its labels and query are enough, unless the name of what it
    /// is about is in its body).
    ///
    /// # Errors
    /// Those of a function's name, as the operation itself would answer them.
    pub fn of(operation: Operation, home: &Home, input: &Value) -> Result<Self, ApiError> {
        let name = match operation {
            Operation::Invoke | Operation::InvokeWithResponseStream => "InvokeFunction",
            Operation::GetLayerVersionByArn => "GetLayerVersion",
            other => other.name(),
        };
        Ok(Self { action: format!("lambda:{name}"), resource: resource(operation, home, input)? })
    }

    /// What a caller must be allowed beside that: whoever gives a function a layer could read it there, and who gives it a
    /// code signing configuration uses both.
    #[must_use]
    pub fn beside(operation: Operation, input: &Value) -> Vec<Self> {
        if operation == Operation::PutFunctionCodeSigningConfig {
            let config = input.get("CodeSigningConfigArn").and_then(Value::as_str);
            let action = "lambda:PutFunctionCodeSigningConfig".to_owned();
            return config.map(|arn| Self { action, resource: arn.to_owned() }).into_iter().collect();
        }
        if !matches!(operation, Operation::CreateFunction | Operation::UpdateFunctionConfiguration) {
            return Vec::new();
        }
        let layers = input.get("Layers").and_then(Value::as_array).into_iter().flatten();
        let one = |arn: &str| Self { action: "lambda:GetLayerVersion".to_owned(), resource: arn.to_owned() };
        layers.filter_map(Value::as_str).map(one).collect()
    }
}

fn resource(operation: Operation, home: &Home, input: &Value) -> Result<String, ApiError> {
    let row = operation.row();
    let member = |name: &str| input.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    // The member that says what a request is about is a label of its path, but for creation.
    let about = |name: &str| member(name).filter(|_| row.uri.contains(&format!("{{{name}}}")));
    let own = |kind: &str, name: &str| match name.starts_with("arn:") {
        true => name.to_owned(),
        false => format!("arn:{}:lambda:{}:{}:{kind}:{name}", home.partition, home.region, home.account),
    };
    let function = about("FunctionName").or_else(|| match operation {
        Operation::CreateFunction => member("FunctionName"),
        _ => None,
    });
    if let Some(name) = function {
        let found = home.resolve(name, member("Qualifier"))?;
        return Ok(home.qualified_arn(&found.name, found.qualifier.as_ref()));
    }
    if let Some(name) = about("LayerName") {
        let layer = own("layer", name);
        let version = input.get("VersionNumber").and_then(Value::as_i64);
        return Ok(version.map_or(layer.clone(), |version| format!("{layer}:{version}")));
    }
    if operation == Operation::GetLayerVersionByArn {
        return Ok(member("Arn").unwrap_or("*").to_owned());
    }
    let kinds = [
        ("UUID", "event-source-mapping"),
        ("CodeSigningConfigArn", "code-signing-config"),
        ("CapacityProviderName", "capacity-provider"),
        ("DurableExecutionArn", "function"),
        ("ResourceArn", "function"),
        ("Resource", "function"),
    ];
    let found = kinds.iter().find_map(|(member, kind)| Some(own(kind, about(member)?)));
    Ok(found.unwrap_or_else(|| "*".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::TABLE;
    use serde_json::json;

    fn home() -> Home {
        Home::new("us-east-1", "000000000000")
    }

    #[track_caller]
    fn of(operation: Operation, input: Value) -> (String, String) {
        let found = Permission::of(operation, &home(), &input).expect("names something");
        (found.action, found.resource)
    }

    #[test]
    fn a_function_is_named_by_its_arn_however_it_was_given() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
        for name in ["f", "000000000000:function:f", "000000000000:f", arn] {
            let found = of(Operation::Invoke, json!({ "FunctionName": name }));
            assert_eq!(found, ("lambda:InvokeFunction".to_owned(), arn.to_owned()), "{name}");
        }
        for input in
            [json!({ "FunctionName": "f:live" }), json!({ "FunctionName": "f", "Qualifier": "live" })]
        {
            assert_eq!(of(Operation::Invoke, input).1, format!("{arn}:live"));
        }
        assert_eq!(
            of(Operation::CreateFunction, json!({ "FunctionName": "f" })),
            ("lambda:CreateFunction".into(), arn.into())
        );
        let foreign = json!({ "FunctionName": "arn:aws:lambda:us-east-1:111111111111:function:f" });
        assert!(Permission::of(Operation::Invoke, &home(), &foreign).is_err());
    }

    #[test]
    fn other_resources_are_named_by_theirs() {
        let prefix = "arn:aws:lambda:us-east-1:000000000000";
        let cases = [
            (Operation::ListFunctions, json!({}), "*".to_owned()),
            (Operation::GetAccountSettings, json!({}), "*".to_owned()),
            (Operation::ListEventSourceMappings, json!({ "FunctionName": "f" }), "*".to_owned()),
            (Operation::CreateEventSourceMapping, json!({ "FunctionName": "f" }), "*".to_owned()),
            (Operation::PublishLayerVersion, json!({ "LayerName": "l" }), format!("{prefix}:layer:l")),
            (
                Operation::GetLayerVersion,
                json!({ "LayerName": "l", "VersionNumber": 3 }),
                format!("{prefix}:layer:l:3"),
            ),
            (
                Operation::GetLayerVersionByArn,
                json!({ "Arn": format!("{prefix}:layer:l:3") }),
                format!("{prefix}:layer:l:3"),
            ),
            (
                Operation::GetEventSourceMapping,
                json!({ "UUID": "u" }),
                format!("{prefix}:event-source-mapping:u"),
            ),
            (
                Operation::ListTags,
                json!({ "Resource": format!("{prefix}:function:f") }),
                format!("{prefix}:function:f"),
            ),
        ];
        for (operation, input, expected) in cases {
            assert_eq!(of(operation, input).1, expected, "{operation}");
        }
    }

    #[test]
    fn who_attaches_layers_must_be_allowed_to_get_them() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:layer:l:3";
        let input = json!({ "FunctionName": "f", "Layers": [arn] });
        for operation in [Operation::CreateFunction, Operation::UpdateFunctionConfiguration] {
            let beside = Permission::beside(operation, &input);
            let expected = Permission { action: "lambda:GetLayerVersion".into(), resource: arn.into() };
            assert_eq!(beside, [expected], "{operation}");
            assert!(Permission::beside(operation, &json!({ "FunctionName": "f" })).is_empty());
        }
        assert!(Permission::beside(Operation::GetFunction, &input).is_empty());
    }

    #[test]
    fn who_gives_a_function_a_code_signing_configuration_must_be_allowed_on_both() {
        let prefix = "arn:aws:lambda:us-east-1:000000000000";
        let config = format!("{prefix}:code-signing-config:csc-0123456789abcdefg");
        let input = json!({ "FunctionName": "f", "CodeSigningConfigArn": config });
        let operation = Operation::PutFunctionCodeSigningConfig;
        let action = "lambda:PutFunctionCodeSigningConfig".to_owned();
        assert_eq!(of(operation, input.clone()), (action.clone(), format!("{prefix}:function:f")));
        assert_eq!(Permission::beside(operation, &input), [Permission { action, resource: config }]);
    }

    #[test]
    fn every_operation_on_something_named_in_its_path_has_a_resource() {
        // A new kind of label must not fall through to `*`, which a policy on functions would never match.
        let nameless = [
            "SendDurableExecutionCallbackFailure",
            "SendDurableExecutionCallbackHeartbeat",
            "SendDurableExecutionCallbackSuccess",
        ];
        for row in TABLE.iter().filter(|row| row.uri.contains('{') && !nameless.contains(&row.name)) {
            let mut input = json!({});
            for label in row.uri.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                input[label] = json!("x");
            }
            assert_ne!(of(row.operation, input).1, "*", "{}", row.name);
        }
    }
}
