//! What a caller must be allowed for a request: the action and the resource that policies name.
//!
//! Most actions have their operation's name; those that have another are listed. A resource is what the request is about
//! as an ARN, or `*` for what is about the account as a whole. The ARN is written anew from what was read, never passed on
//! as the client spelled it: a policy must see the thing that the operation acts on. Deliberately not here: policies and who
//! the caller is.
//!
//! Source: "Actions, resources, and condition keys for AWS Lambda", Service Authorization Reference.

use crate::arn::Home;
use crate::error::ApiError;
use crate::operations::Operation;
use serde_json::Value;

/// The service that roles are passed to.
const PASSED_TO: &str = "lambda.amazonaws.com";

/// What a caller must be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// `lambda:InvokeFunction`.
    pub action: String,
    /// An ARN, or `*`.
    pub resource: String,
    /// Condition keys of the action's own, in lower case, with their values.
    pub context: Vec<(&'static str, String)>,
}

impl Permission {
    /// One without condition keys of its own.
    #[must_use]
    pub fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: resource.into(), context: Vec::new() }
    }

    /// The same with the value of a condition key, which is given in lower case.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.context.push((key, value.into()));
        self
    }

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
        let permission = Self::new(format!("lambda:{name}"), resource(operation, home, input)?);
        match (operation, input.get("FunctionName").and_then(Value::as_str)) {
            (Operation::CreateEventSourceMapping, Some(function)) => {
                Ok(permission.with(FUNCTION_ARN, mapped(home, function)?))
            }
            _ => Ok(permission),
        }
    }

    /// What a caller must be allowed beside that: whoever gives a function a role passes it on, whoever gives it a layer
    /// could read it there, and whoever gives it a code signing configuration uses both.
    #[must_use]
    pub fn beside(operation: Operation, home: &Home, input: &Value) -> Vec<Self> {
        if operation == Operation::PutFunctionCodeSigningConfig {
            let config = input.get("CodeSigningConfigArn").and_then(Value::as_str);
            let one = |arn| Self::new("lambda:PutFunctionCodeSigningConfig", own(home, arn));
            return config.map(one).into_iter().collect();
        }
        if !matches!(operation, Operation::CreateFunction | Operation::UpdateFunctionConfiguration) {
            return Vec::new();
        }
        let role = input.get("Role").and_then(Value::as_str);
        let role = role.map(|arn| Self::new("iam:PassRole", arn).with("iam:passedtoservice", PASSED_TO));
        let layers = input.get("Layers").and_then(Value::as_array).into_iter().flatten();
        let layers = layers.filter_map(Value::as_str);
        let layers = layers.map(|arn| Self::new("lambda:GetLayerVersion", layer_version(home, arn)));
        role.into_iter().chain(layers).collect()
    }
}

/// Which function a mapping is of, as conditions name that.
pub const FUNCTION_ARN: &str = "lambda:functionarn";

/// The function that a mapping is to have, as the mapping will tell it, `$LATEST` apart.
///
/// # Errors
/// Those of a function's name.
pub fn mapped(home: &Home, function: &str) -> Result<String, ApiError> {
    let found = home.resolve(function, None)?;
    let arn = home.qualified_arn(&found.name, found.qualifier.as_ref());
    Ok(arn.strip_suffix(":$LATEST").map(str::to_owned).unwrap_or(arn))
}

/// The ARN of what is no function, as this service writes it; as it was given if it is none of this service's, which the
/// operation refuses.
fn own(home: &Home, arn: &str) -> String {
    home.own(arn).map_or_else(|_| arn.to_owned(), |named| home.arn_of(named.kind, named.id))
}

fn layer_version(home: &Home, arn: &str) -> String {
    let found = home.own_layer_version(arn);
    found.map_or_else(|_| arn.to_owned(), |(name, number)| home.arn_of("layer", &format!("{name}:{number}")))
}

/// The ARN of anything that has one.
fn anything(home: &Home, text: &str) -> String {
    match (home.own(text), home.resolve(text, None)) {
        (Ok(named), _) if named.kind != "function" => home.arn_of(named.kind, named.id),
        (_, Ok(function)) => home.qualified_arn(&function.name, function.qualifier.as_ref()),
        _ => text.to_owned(),
    }
}

fn resource(operation: Operation, home: &Home, input: &Value) -> Result<String, ApiError> {
    let row = operation.row();
    let member = |name: &str| input.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    // The member that says what a request is about is a label of its path, but for creation.
    let about = |name: &str| member(name).filter(|_| row.uri.contains(&format!("{{{name}}}")));
    let function = about("FunctionName").or_else(|| match operation {
        Operation::CreateFunction => member("FunctionName"),
        _ => None,
    });
    if let Some(name) = function {
        let found = home.resolve(name, member("Qualifier"))?;
        // What has no qualifier of its own is about the function as a whole, whatever the name brought along.
        let qualifier = found.qualifier.as_ref().filter(|_| is_about_versions(operation));
        return Ok(home.qualified_arn(&found.name, qualifier));
    }
    if let Some(name) = about("LayerName") {
        let layer = if name.contains(':') { own(home, name) } else { home.arn_of("layer", name) };
        let version = input.get("VersionNumber").and_then(Value::as_i64);
        return Ok(version.map_or(layer.clone(), |version| format!("{layer}:{version}")));
    }
    if operation == Operation::GetLayerVersionByArn {
        return Ok(member("Arn").map_or_else(|| "*".to_owned(), |arn| layer_version(home, arn)));
    }
    if let Some(text) = about("ResourceArn").or_else(|| about("Resource")) {
        return Ok(anything(home, text));
    }
    let kinds = [
        ("UUID", "event-source-mapping"),
        ("CodeSigningConfigArn", "code-signing-config"),
        ("CapacityProviderName", "capacity-provider"),
        ("DurableExecutionArn", "function"),
    ];
    let named = |kind, text: &str| if text.contains(':') { own(home, text) } else { home.arn_of(kind, text) };
    let found = kinds.iter().find_map(|(member, kind)| Some(named(kind, about(member)?)));
    Ok(found.unwrap_or_else(|| "*".to_owned()))
}

/// Whether an operation tells a function's versions and aliases apart.
fn is_about_versions(operation: Operation) -> bool {
    let has_qualifier = operation.row().input.members().iter().any(|member| member.name == "Qualifier");
    // The old form of asynchronous invocation has the qualifier in the name alone.
    has_qualifier || operation == Operation::InvokeAsync
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
            let expected = [Permission::new("lambda:GetLayerVersion", arn)];
            assert_eq!(Permission::beside(operation, &home(), &input), expected, "{operation}");
            let respelled = json!({ "FunctionName": "f", "Layers": [arn.replace(":3", ":0003")] });
            assert_eq!(Permission::beside(operation, &home(), &respelled), expected, "{operation}");
            assert!(Permission::beside(operation, &home(), &json!({ "FunctionName": "f" })).is_empty());
        }
        assert!(Permission::beside(Operation::GetFunction, &home(), &input).is_empty());
    }

    #[test]
    fn who_gives_a_function_a_code_signing_configuration_must_be_allowed_on_both() {
        let prefix = "arn:aws:lambda:us-east-1:000000000000";
        let config = format!("{prefix}:code-signing-config:csc-0123456789abcdefg");
        let input = json!({ "FunctionName": "f", "CodeSigningConfigArn": config });
        let operation = Operation::PutFunctionCodeSigningConfig;
        let action = "lambda:PutFunctionCodeSigningConfig".to_owned();
        assert_eq!(of(operation, input.clone()), (action.clone(), format!("{prefix}:function:f")));
        assert_eq!(Permission::beside(operation, &home(), &input), [Permission::new(action, config)]);
    }

    #[test]
    fn who_gives_a_function_a_role_must_be_allowed_to_pass_it() {
        let role = "arn:aws:iam::000000000000:role/r";
        let input = json!({ "FunctionName": "f", "Role": role });
        let expected =
            [Permission::new("iam:PassRole", role).with("iam:passedtoservice", "lambda.amazonaws.com")];
        for operation in [Operation::CreateFunction, Operation::UpdateFunctionConfiguration] {
            assert_eq!(Permission::beside(operation, &home(), &input), expected, "{operation}");
        }
        assert!(Permission::beside(Operation::UpdateFunctionCode, &home(), &input).is_empty());
    }

    #[test]
    fn what_is_about_a_function_as_a_whole_is_so_however_its_name_is_spelled() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
        let whole = [
            Operation::UpdateFunctionCode,
            Operation::UpdateFunctionConfiguration,
            Operation::PublishVersion,
            Operation::ListVersionsByFunction,
            Operation::ListFunctionUrlConfigs,
            Operation::ListFunctionEventInvokeConfigs,
            Operation::PutFunctionConcurrency,
        ];
        for operation in whole {
            for name in ["f", "f:$LATEST", "f:anything", "000000000000:function:f:7"] {
                assert_eq!(of(operation, json!({ "FunctionName": name })).1, arn, "{operation} {name}");
            }
        }
        for operation in [Operation::Invoke, Operation::GetFunction, Operation::InvokeAsync] {
            assert_eq!(of(operation, json!({ "FunctionName": "f:live" })).1, format!("{arn}:live"));
        }
    }

    #[test]
    fn a_resource_is_named_as_this_service_names_it() {
        let prefix = "arn:aws:lambda:us-east-1:000000000000";
        let layer = |number: &str| json!({ "Arn": format!("{prefix}:layer:l:{number}") });
        assert_eq!(of(Operation::GetLayerVersionByArn, layer("007")).1, format!("{prefix}:layer:l:7"));
        let input = json!({ "LayerName": "arn::lambda:us-east-1:000000000000:layer:l", "VersionNumber": 7 });
        assert_eq!(of(Operation::GetLayerVersion, input).1, format!("{prefix}:layer:l:7"));
        for text in ["arn:aws:lambda:us-east-1:000000000000:f", "arn:aws:lambda:function:f", "f"] {
            let input = json!({ "Resource": text });
            assert_eq!(of(Operation::ListTags, input).1, format!("{prefix}:function:f"), "{text}");
        }
        // What is elsewhere is no thing of this service's: the operation refuses it.
        let foreign = "arn:aws-cn:lambda:us-east-1:000000000000:code-signing-config:c";
        assert_eq!(
            of(Operation::GetCodeSigningConfig, json!({ "CodeSigningConfigArn": foreign })).1,
            foreign
        );
    }

    #[test]
    fn a_new_mapping_says_which_function_it_is_of() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
        for (name, said) in
            [("f", arn.to_owned()), ("f:$LATEST", arn.to_owned()), ("f:live", format!("{arn}:live"))]
        {
            let input = json!({ "FunctionName": name });
            let found = Permission::of(Operation::CreateEventSourceMapping, &home(), &input).expect("is one");
            assert_eq!(found.context, [(FUNCTION_ARN, said)]);
        }
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
