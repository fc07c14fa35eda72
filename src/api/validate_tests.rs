//! The words of violations, held against recorded answers of the real service.

use super::*;
use crate::codec::{self, Head};
use serde_json::json;

const NAME: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?";
const NAME_ON_GET: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
const RUNTIME_LIST: &str = "nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2";

fn error(operation: Operation, input: Value) -> ApiError {
    check(operation.row(), &input).expect_err("the input violates a constraint")
}

#[track_caller]
fn assert_violations(operation: Operation, input: Value, items: &[&str]) {
    let error = error(operation, input);
    let start = match items.len() {
        1 => "1 validation error detected: ".to_owned(),
        many => format!("{many} validation errors detected: "),
    };
    assert_eq!(error.message(), Some(format!("{start}{}", items.join("; ")).as_str()));
    assert_eq!((error.code(), error.status()), (ErrorCode::ValidationException, 400));
}

fn function(changes: Value) -> Value {
    let mut input = json!({
        "FunctionName": "f",
        "Role": "arn:aws:iam::111111111111:role/lambda",
        "Code": { "ZipFile": "QUI=" },
        "Handler": "index.handler",
        "Runtime": "python3.12",
    });
    for (name, value) in changes.as_object().unwrap() {
        input[name] = value.clone();
    }
    input
}

#[test]
fn a_good_function_is_accepted() {
    assert_eq!(check(Operation::CreateFunction.row(), &function(json!({}))), Ok(()));
    let all = json!({
        "Architectures": ["arm64"], "MemorySize": 512, "Timeout": 900, "Environment": {"Variables": {"KEY": "", "A_1": "x"}},
        "Tags": {"a": ""}, "Layers": ["arn:aws:lambda:us-east-1:111111111111:layer:l:1"], "DeadLetterConfig": {"TargetArn": ""},
        "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []}, "KMSKeyArn": "", "Description": "", "PackageType": "Zip",
    });
    assert_eq!(check(Operation::CreateFunction.row(), &function(all)), Ok(()));
}

#[test]
fn names_and_qualifiers_are_judged_as_recorded() {
    let long = "a".repeat(129);
    let arn = format!("arn:aws:lambda:invalid-region:111111111111:function:my-function-{}", "a".repeat(170));
    let on_get = |name: &str| {
        format!(
            "Value '{name}' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: {NAME_ON_GET}"
        )
    };
    for operation in [Operation::GetFunction, Operation::DeleteFunction, Operation::Invoke] {
        for name in [
            "*",
            "my-function!",
            "invalid-account:function:my-function",
            "function:my-function:$LATEST:extra",
            "arn:aws:lambda:us-east-1:111111111111:function:my-function:$LATES",
            "arn:aws:lambda:us-east-1::function:my-function",
        ] {
            assert_violations(operation, json!({"FunctionName": name}), &[&on_get(name)]);
        }
        let bad = r"Value 'invalid!' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: \$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+";
        assert_violations(operation, json!({"FunctionName": "f", "Qualifier": "invalid!"}), &[bad]);
        let too_long = format!(
            "Value '{long}' at 'qualifier' failed to satisfy constraint: Member must have length less than or equal to 128"
        );
        assert_violations(
            operation,
            json!({"FunctionName": arn, "Qualifier": long}),
            &[&too_long, &on_get(&arn)],
        );
        assert_eq!(check(operation.row(), &json!({"FunctionName": "a".repeat(65)})), Ok(()));
        assert_eq!(check(operation.row(), &json!({"FunctionName": "f", "Qualifier": "$latest"})), Ok(()));
    }
}

#[test]
fn names_of_new_functions_are_judged_as_recorded() {
    let like = |name: &str| {
        format!(
            "Value '{name}' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: {NAME}"
        )
    };
    let short = |name: &str| {
        format!(
            "Value '{name}' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 140"
        )
    };
    for name in [
        "*",
        "my-function:invalid!",
        "arn:aws:lambda:us-east-1:111111111111:function:my-function:$latest",
        "invalid:function:name",
    ] {
        assert_violations(Operation::CreateFunction, function(json!({"FunctionName": name})), &[&like(name)]);
    }
    let name = format!("arn:aws:lambda:invalid-region:111111111111:function:my-function{}", "a".repeat(170));
    assert_violations(
        Operation::CreateFunction,
        function(json!({"FunctionName": name})),
        &[&short(&name), &like(&name)],
    );
    let name = format!("my-function:{}", "a".repeat(129));
    assert_violations(Operation::CreateFunction, function(json!({"FunctionName": name})), &[&short(&name)]);
}

#[test]
fn a_bare_name_that_is_too_long_is_an_invalid_parameter() {
    let name = "a".repeat(65);
    let error = error(Operation::CreateFunction, function(json!({"FunctionName": name})));
    let text = format!(
        "1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64"
    );
    assert_eq!(
        (error.code(), error.message()),
        (ErrorCode::InvalidParameterValueException, Some(text.as_str()))
    );
}

#[test]
fn an_unknown_runtime_is_an_invalid_parameter_in_words_of_its_own() {
    for operation in [Operation::CreateFunction, Operation::UpdateFunctionConfiguration] {
        let error = error(operation, function(json!({"Runtime": "PYTHON3.9"})));
        let text = format!(
            "Value PYTHON3.9 at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [{RUNTIME_LIST}] or be a valid ARN"
        );
        assert_eq!(
            (error.code(), error.message()),
            (ErrorCode::InvalidParameterValueException, Some(text.as_str()))
        );
    }
    for runtime in ["python3.7", "nodejs26.x", "provided.al2", "custom"] {
        assert_eq!(
            check(Operation::CreateFunction.row(), &function(json!({"Runtime": runtime}))),
            Ok(()),
            "{runtime}"
        );
    }
}

#[test]
fn members_of_functions_are_judged_as_recorded() {
    let role = r"Value 'r1' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+";
    let cases = [
        (json!({"Role": "r1"}), role),
        (
            json!({"Architectures": ["x86_64", "arm64"]}),
            "Value '[x86_64, arm64]' at 'architectures' failed to satisfy constraint: Member must have length less than or equal to 1",
        ),
        (
            json!({"Architectures": ["X86_64"]}),
            "Value '[X86_64]' at 'architectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]",
        ),
        (
            json!({"SnapStart": {"ApplyOn": "invalidOption"}}),
            "Value 'invalidOption' at 'snapStart.applyOn' failed to satisfy constraint: Member must satisfy enum value set: [PublishedVersions, None]",
        ),
        (
            json!({"VpcConfig": {"SecurityGroupIds": ["bad-1"]}}),
            "Value '[bad-1]' at 'vpcConfig.securityGroupIds' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: sg-[0-9a-zA-Z]*]",
        ),
        (json!({"Role": null}), "Value null at 'role' failed to satisfy constraint: Member must not be null"),
        (
            json!({"MemorySize": 64}),
            "Value '64' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128",
        ),
        // Values that may be secret are not repeated.
        (
            json!({"Environment": {"Variables": {"1A": "secret"}}}),
            "Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]",
        ),
    ];
    for (changes, expected) in cases {
        assert_violations(Operation::CreateFunction, function(changes), &[expected]);
    }
}

#[test]
fn members_of_lists_of_structures_are_named_by_their_place() {
    let bad = json!({"FileSystemConfigs": [{"Arn": "arn:aws:s3files:r:1:file-system/fs-1/access-point/fsap-1", "LocalMountPath": "/tmp"}]});
    let error = error(Operation::CreateFunction, function(bad));
    let text = error.message().unwrap();
    assert!(text.starts_with("2 validation errors detected: "), "{text}");
    assert!(text.contains("Value '/tmp' at 'fileSystemConfigs.1.member.localMountPath' failed"), "{text}");
}

#[test]
fn other_operations_are_judged_as_recorded() {
    let alias = |weights: Value| json!({"FunctionName": "f", "Name": "custom", "FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": weights}});
    let weight = |given: &str| {
        format!(
            "Value '{{2={given}}}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]"
        )
    };
    assert_violations(Operation::CreateAlias, alias(json!({"2": 2.0})), &[&weight("2.0")]);
    assert_violations(Operation::CreateAlias, alias(json!({"2": -1.0})), &[&weight("-1.0")]);
    let keys = "Value '{$LATEST=0.5}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+]";
    assert_violations(Operation::CreateAlias, alias(json!({"$LATEST": 0.5})), &[keys]);
    let url = json!({"FunctionName": "f", "AuthType": "NONE", "InvokeMode": "UNKNOWN"});
    let text = "Value 'UNKNOWN' at 'invokeMode' failed to satisfy constraint: Member must satisfy enum value set: [RESPONSE_STREAM, BUFFERED]";
    assert_violations(Operation::CreateFunctionUrlConfig, url, &[text]);
    let provisioned = json!({"FunctionName": "f", "Qualifier": "1", "ProvisionedConcurrentExecutions": 0});
    let text = "Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 1";
    assert_violations(Operation::PutProvisionedConcurrencyConfig, provisioned, &[text]);
    let recursion = json!({"FunctionName": "f", "RecursiveLoop": "InvalidValue"});
    let text = "Value 'InvalidValue' at 'recursiveLoop' failed to satisfy constraint: Member must satisfy enum value set: [Terminate, Allow]";
    assert_violations(Operation::PutFunctionRecursionConfig, recursion, &[text]);
    let text = "Value null at 'tagKeys' failed to satisfy constraint: Member must not be null";
    assert_violations(
        Operation::UntagResource,
        json!({"Resource": "arn:aws:lambda:us-east-1:111111111111:function:f"}),
        &[text],
    );
    let arn = "arn:aws:lambda:us-east-1:111111111111:foobar:f";
    let text = format!(
        r"Value '{arn}' at 'resource' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{{2}}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{{1}}:\d{{12}}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{{17}}|event-source-mapping:[0-9a-fA-F]{{8}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{12}}|capacity-provider:[a-zA-Z0-9-_]+)"
    );
    assert_violations(Operation::ListTags, json!({"Resource": arn}), &[&text]);
}

#[test]
fn layers_are_judged_as_recorded() {
    let input = json!({"LayerName": "l", "Content": {}, "CompatibleRuntimes": ["invalidruntime", "nodejs20.x"], "CompatibleArchitectures": ["invalidarch", "x86_64"]});
    let runtimes = format!(
        "Value '[invalidruntime, nodejs20.x]' at 'compatibleRuntimes' failed to satisfy constraint: Member must satisfy enum value set: [{RUNTIME_LIST}]"
    );
    let architectures = "Value '[invalidarch, x86_64]' at 'compatibleArchitectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]";
    assert_violations(Operation::PublishLayerVersion, input, &[&runtimes, architectures]);
    let error = error(Operation::ListLayers, json!({"CompatibleRuntime": "x"}));
    let text = error.message().unwrap();
    assert!(text.starts_with("1 validation error detected: Value 'x' at 'compatibleRuntime' failed to satisfy constraint: Member must satisfy enum value set: [ruby3.5, ruby2.6, "));
    assert!(text.ends_with("python3.6, python2.7]"));
    let arn = "arn:aws:lambda:us-east-1:111111111111:layer:l";
    let text = format!(
        r"Value '{arn}' at 'arn' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{{2}}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{{1}}:\d{{12}}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)"
    );
    assert_violations(Operation::GetLayerVersionByArn, json!({"Arn": arn}), &[&text]);
}

#[test]
fn a_mapping_of_a_stream_needs_its_starting_position() {
    let stream = "arn:aws:dynamodb:us-east-1:111111111111:table/t/stream/s";
    let error =
        error(Operation::CreateEventSourceMapping, json!({"FunctionName": "f", "EventSourceArn": stream}));
    let text = "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.";
    assert_eq!((error.code(), error.message()), (ErrorCode::InvalidParameterValueException, Some(text)));
    let queue = json!({"FunctionName": "f", "EventSourceArn": "arn:aws:sqs:us-east-1:111111111111:q"});
    assert_eq!(check(Operation::CreateEventSourceMapping.row(), &queue), Ok(()));
    let text = "Value 'invalid' at 'startingPosition' failed to satisfy constraint: Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]";
    let input = json!({"FunctionName": "f", "EventSourceArn": stream, "StartingPosition": "invalid"});
    assert_violations(Operation::CreateEventSourceMapping, input, &[text]);
}

#[test]
fn every_violation_is_reported_at_once() {
    let bad =
        function(json!({"FunctionName": "*", "Role": "r1", "MemorySize": 1, "Handler": "a b", "Code": null}));
    let error = error(Operation::CreateFunction, bad);
    let text = error.message().unwrap();
    assert!(text.starts_with("5 validation errors detected: "), "{text}");
    for path in ["functionName", "role", "memorySize", "handler", "code"] {
        assert!(text.contains(&format!("at '{path}' failed")), "{path}");
    }
}

#[test]
fn whole_weights_are_printed_as_doubles_when_they_come_from_a_body() {
    let labels = vec![("FunctionName", "f".to_owned())];
    let head = Head { labels: &labels, query: "", headers: &|_| None };
    let body = br#"{"Name":"a","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"2":2}}}"#;
    let error = codec::decode(Operation::CreateAlias.row(), &head, body).unwrap_err();
    assert!(error.message().unwrap().contains("Value '{2=2.0}'"), "{error}");
}

#[test]
fn a_huge_value_does_not_come_back_whole() {
    let error = error(Operation::CreateFunction, function(json!({"Description": "é".repeat(100_000)})));
    assert!(error.message().unwrap().len() < 3 * MAX_PRINTED);
}
