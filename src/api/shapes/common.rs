//! Shapes of more than one family: scalars, lists and structures.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::primitives;
use crate::shape::{blob, choice, integer, list, long, map, text, timestamp};
use std::collections::BTreeMap;

alias! {
    Architecture: String = choice(&["x86_64", "arm64"]);
    ArchitecturesList: Vec<Architecture> = list(&Architecture).length(1, 1);
    Arn: String = text().length(0, 10_000).pattern(r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)");
    Blob: primitives::Blob = blob().sensitive();
    CapacityProviderArn: String = text().length(1, 140).pattern(r"arn:aws[a-zA-Z-]*:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:capacity-provider:[a-zA-Z0-9-_]+");
    CodeSigningConfigArn: String = text().length(0, 200).pattern(r"arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:code-signing-config:csc-[a-z0-9]{17}");
    Date: primitives::EpochTime = timestamp();
    Description: String = text().length(0, 256);
    DestinationArn: String = text().length(0, 350).pattern(r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)");
    DurableExecutionArn: String = text().length(1, 1024).pattern(r"arn:([a-zA-Z0-9-]+):lambda:([a-zA-Z0-9-]+):(\d{12}):function:([a-zA-Z0-9_-]+):(\$LATEST(?:\.PUBLISHED)?|[0-9]+)/durable-execution/([a-zA-Z0-9_-]+)/([a-zA-Z0-9_-]+)");
    DurableExecutionName: String = text().length(1, 64).pattern(r"[a-zA-Z0-9-_]+");
    ExecutionTimeout: i32 = integer().at_least(1).at_most(31_622_400);
    FunctionArn: String = text().length(0, 10_000).pattern(r"arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?");
    FunctionList: Vec<FunctionConfiguration> = list(&FunctionConfiguration);
    FunctionName: String = text().length(1, 140).pattern(r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?");
    FunctionUrlAuthType: String = choice(&["NONE", "AWS_IAM"]);
    FunctionVersionLatestPublished: String = choice(&["LATEST_PUBLISHED"]);
    Integer: i32 = integer();
    KMSKeyArn: String = text().length(0, 10_000).pattern(r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()");
    LayerVersionArn: String = text().length(1, 2048).pattern(r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)");
    LogGroup: String = text().length(1, 512).pattern(r"[\.\-_/#A-Za-z0-9]+");
    Long: i64 = long();
    MaxListItems: i32 = integer().at_least(1).at_most(10_000);
    NameSpacedFunctionArn: String = text().length(0, 10_000).pattern(r"arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:function:[a-zA-Z0-9-_\.]+(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?");
    NamespacedFunctionName: String = text().length(1, 256).pattern(r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?");
    NumericLatestPublishedOrAliasQualifier: String = text().length(1, 128).pattern(r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+");
    ReservedConcurrentExecutions: i32 = integer().at_least(0);
    RetentionPeriodInDays: i32 = integer().at_least(1).at_most(90);
    RoleArn: String = text().length(0, 10_000).pattern(r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+");
    Runtime: String = choice(&["nodejs", "nodejs4.3", "nodejs6.10", "nodejs8.10", "nodejs10.x", "nodejs12.x", "nodejs14.x", "nodejs16.x", "nodejs18.x", "nodejs20.x", "nodejs22.x", "nodejs24.x", "java8", "java8.al2", "java11", "java17", "java21", "java25", "python2.7", "python3.6", "python3.7", "python3.8", "python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14", "dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1", "dotnet6", "dotnet8", "dotnet10", "nodejs4.3-edge", "go1.x", "ruby2.5", "ruby2.7", "ruby3.2", "ruby3.3", "ruby3.4", "ruby4.0", "provided", "provided.al2", "provided.al2023", "nodejs26.x", "python3.15", "java8.al2023", "java11.al2023", "java17.al2023", "custom"]);
    RuntimeVersionArn: String = text().length(26, 2048).pattern(r"((arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}::runtime:.+)|(arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:runtime/[A-Za-z0-9_.-]{1,128}/version/[A-Za-z0-9_.-]{1,128}))");
    S3Bucket: String = text().length(3, 63).pattern(r"[0-9A-Za-z\.\-_]*(?<!\.)");
    S3Key: String = text().length(1, 1024).pattern(r".*");
    S3ObjectStorageMode: String = choice(&["COPY", "REFERENCE"]);
    S3ObjectVersion: String = text().length(1, 1024).pattern(r".*");
    SecurityGroupId: String = text().length(0, 1024).pattern(r"sg-[0-9a-zA-Z]*");
    SensitiveStringOnServerOnly: String = text().length(0, 10_000);
    State: String = choice(&["Pending", "Active", "Inactive", "Failed", "Deactivating", "Deactivated", "ActiveNonInvocable", "Deleting"]);
    StatementId: String = text().length(1, 100).pattern(r"([a-zA-Z0-9-_]+)");
    Text: String = text();
    SubnetId: String = text().length(0, 1024).pattern(r"subnet-[0-9a-z]*");
    SystemLogLevel: String = choice(&["DEBUG", "INFO", "WARN"]);
    TagKey: String = text().length(1, 128).pattern(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)");
    TagValue: String = text().length(0, 256).pattern(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)");
    TaggableResource: String = text().length(1, 10_000).pattern(r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)");
    Tags: BTreeMap<TagKey, TagValue> = map(&TagKey, &TagValue);
    TenantId: String = text().length(1, 256).pattern(r"[a-zA-Z0-9\._:\/=+\-@ ]+");
    Timestamp: String = text().length(0, 100).pattern(r".*");
    UnqualifiedFunctionName: String = text().length(1, 140).pattern(r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)");
    Version: String = text().length(1, 1024).pattern(r"(\$LATEST|[0-9]+)");
    VersionWithLatestPublished: String = text().length(1, 1024).pattern(r"(\$LATEST(\.PUBLISHED)?|[0-9]+)");
}

shape! {
    Concurrency {
        reserved_concurrent_executions: ReservedConcurrentExecutions = "ReservedConcurrentExecutions";
    }
    DestinationConfig {
        on_failure: OnFailure = "OnFailure";
        on_success: OnSuccess = "OnSuccess";
    }
    DurableConfig {
        execution_timeout: ExecutionTimeout = "ExecutionTimeout";
        kms_key_arn: KMSKeyArn = "KMSKeyArn";
        retention_period_in_days: RetentionPeriodInDays = "RetentionPeriodInDays";
    }
    OnFailure {
        destination: DestinationArn = "Destination";
    }
    OnSuccess {
        destination: DestinationArn = "Destination";
    }
    ResolvedS3Object {
        s3_bucket: S3Bucket = "S3Bucket";
        s3_key: S3Key = "S3Key";
        s3_object_version: S3ObjectVersion = "S3ObjectVersion";
    }
}
