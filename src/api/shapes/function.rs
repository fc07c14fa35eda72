//! Shapes of functions: code, configuration, recursion.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::shape::{boolean, choice, double, integer, list, map, text};
use std::collections::BTreeMap;

alias! {
    AcceleratorMemoryGB: i32 = integer();
    ApplicationLogLevel: String = choice(&["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]);
    Boolean: bool = boolean();
    DirectS3Read: String = choice(&["ENABLED", "DISABLED", "AUTO"]);
    EnvironmentVariableName: String = text().pattern(r"[a-zA-Z]([a-zA-Z0-9_])+").sensitive();
    EnvironmentVariableValue: String = text().sensitive();
    EnvironmentVariables: BTreeMap<EnvironmentVariableName, EnvironmentVariableValue> = map(&EnvironmentVariableName, &EnvironmentVariableValue).sensitive();
    EphemeralStorageSize: i32 = integer().at_least(512).at_most(32_768);
    ExecutionEnvironmentMemoryGiBPerVCpu: f64 = double().no_less_than(2.0).no_more_than(8.0);
    FileSystemArn: String = text().length(0, 256).pattern(r"arn:aws[a-zA-Z-]*:elasticfilesystem:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:access-point/fsap-[a-f0-9]{17}$|^arn:aws[-a-z]*:s3files:[0-9a-z-:]+:file-system/fs-[0-9a-f]{17,40}/access-point/fsap-[0-9a-f]{17,40}");
    FileSystemConfigList: Vec<FileSystemConfig> = list(&FileSystemConfig).length(0, 1);
    FunctionRuntimeAlias: String = text().length(1, 128);
    FunctionRuntimeArn: String = text().length(48, 2048).pattern(r"arn:[a-z-]+:lambda:[a-z0-9-]+:\d{12}:runtime/.+");
    FunctionVersion: String = choice(&["ALL"]);
    Handler: String = text().length(0, 128).pattern(r"[^\s]+");
    LastUpdateStatus: String = choice(&["Successful", "Failed", "InProgress"]);
    LastUpdateStatusReason: String = text();
    LastUpdateStatusReasonCode: String = choice(&["EniLimitExceeded", "InsufficientRolePermissions", "InvalidConfiguration", "InternalError", "SubnetOutOfIPAddresses", "InvalidSubnet", "InvalidSecurityGroup", "ImageDeleted", "ImageAccessDenied", "InvalidImage", "KMSKeyAccessDenied", "KMSKeyNotFound", "InvalidStateKMSKey", "DisabledKMSKey", "EFSIOError", "EFSMountConnectivityError", "EFSMountFailure", "EFSMountTimeout", "InvalidRuntime", "InvalidZipFileException", "FunctionError", "ServiceQuotaExceededException", "VcpuLimitExceeded", "CapacityProviderScalingLimitExceeded", "InsufficientCapacity", "EC2RequestLimitExceeded", "FunctionError.InitTimeout", "FunctionError.RuntimeInitError", "FunctionError.ExtensionInitError", "FunctionError.InvalidEntryPoint", "FunctionError.InvalidWorkingDirectory", "FunctionError.PermissionDenied", "FunctionError.TooManyExtensions", "FunctionError.InitResourceExhausted", "DisallowedByVpcEncryptionControl", "IncompatibleAcceleratorInstanceTypes", "DependencyError"]);
    LayerList: Vec<LayerVersionArn> = list(&LayerVersionArn);
    LayersReferenceList: Vec<Layer> = list(&Layer);
    LocalMountPath: String = text().length(0, 160).pattern(r"/mnt/[a-zA-Z0-9-_.]+");
    LogFormat: String = choice(&["JSON", "Text"]);
    MasterRegion: String = text().length(1, 50).pattern(r"ALL|(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}");
    MemorySize: i32 = integer().at_least(128).at_most(32_768);
    NullableBoolean: bool = boolean();
    PackageType: String = choice(&["Zip", "Image"]);
    PerExecutionEnvironmentMaxConcurrency: i32 = integer().at_least(1).at_most(1600);
    RecursiveLoop: String = choice(&["Terminate", "Allow"]);
    ResourceArn: String = text().length(0, 10_000).pattern(r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()");
    SecurityGroupIds: Vec<SecurityGroupId> = list(&SecurityGroupId).length(0, 5).nullable();
    SensitiveString: String = text().sensitive();
    SnapStartApplyOn: String = choice(&["PublishedVersions", "None"]);
    SnapStartOptimizationStatus: String = choice(&["On", "Off"]);
    StateReason: String = text();
    StateReasonCode: String = choice(&["Idle", "Creating", "Restoring", "EniLimitExceeded", "InsufficientRolePermissions", "InvalidConfiguration", "InternalError", "SubnetOutOfIPAddresses", "InvalidSubnet", "InvalidSecurityGroup", "ImageDeleted", "ImageAccessDenied", "InvalidImage", "KMSKeyAccessDenied", "KMSKeyNotFound", "InvalidStateKMSKey", "DisabledKMSKey", "EFSIOError", "EFSMountConnectivityError", "EFSMountFailure", "EFSMountTimeout", "InvalidRuntime", "InvalidZipFileException", "FunctionError", "ServiceQuotaExceededException", "VcpuLimitExceeded", "CapacityProviderScalingLimitExceeded", "InsufficientCapacity", "EC2RequestLimitExceeded", "FunctionError.InitTimeout", "FunctionError.RuntimeInitError", "FunctionError.ExtensionInitError", "FunctionError.InvalidEntryPoint", "FunctionError.InvalidWorkingDirectory", "FunctionError.PermissionDenied", "FunctionError.TooManyExtensions", "FunctionError.InitResourceExhausted", "DisallowedByVpcEncryptionControl", "DrainingDurableExecutions", "IncompatibleAcceleratorInstanceTypes", "DependencyError"]);
    StringList: Vec<Text> = list(&Text).length(0, 1500);
    SubnetIds: Vec<SubnetId> = list(&SubnetId).length(0, 16).nullable();
    TagKeyList: Vec<TagKey> = list(&TagKey);
    TagsErrorCode: String = text().length(10, 21).pattern(r"[A-Za-z]+Exception");
    TagsErrorMessage: String = text().length(84, 1000).pattern(r".*");
    TenantIsolationMode: String = choice(&["PER_TENANT"]);
    Timeout: i32 = integer().at_least(1).at_most(5400);
    TracingMode: String = choice(&["Active", "PassThrough"]);
    VpcId: String = text();
    WorkingDirectory: String = text().length(0, 1000);
}

shape! {
    AcceleratorConfig {
        accelerator_memory_size: AcceleratorMemoryGB = "AcceleratorMemorySize".required();
    }
    CapacityProviderConfig {
        lambda_managed_instances_capacity_provider_config: LambdaManagedInstancesCapacityProviderConfig = "LambdaManagedInstancesCapacityProviderConfig".required();
    }
    CreateFunctionRequest {
        accelerator_config: AcceleratorConfig = "AcceleratorConfig";
        architectures: ArchitecturesList = "Architectures";
        capacity_provider_config: CapacityProviderConfig = "CapacityProviderConfig";
        code: FunctionCode = "Code".required();
        code_signing_config_arn: CodeSigningConfigArn = "CodeSigningConfigArn";
        dead_letter_config: DeadLetterConfig = "DeadLetterConfig";
        description: Description = "Description";
        durable_config: DurableConfig = "DurableConfig";
        environment: Environment = "Environment";
        ephemeral_storage: EphemeralStorage = "EphemeralStorage";
        file_system_configs: FileSystemConfigList = "FileSystemConfigs";
        function_name: FunctionName = "FunctionName".required();
        handler: Handler = "Handler";
        image_config: ImageConfig = "ImageConfig";
        kms_key_arn: KMSKeyArn = "KMSKeyArn";
        layers: LayerList = "Layers";
        logging_config: LoggingConfig = "LoggingConfig";
        memory_size: MemorySize = "MemorySize";
        package_type: PackageType = "PackageType";
        publish: Boolean = "Publish";
        publish_to: FunctionVersionLatestPublished = "PublishTo";
        role: RoleArn = "Role".required();
        runtime: Runtime = "Runtime";
        runtime_config: FunctionRuntimeConfig = "RuntimeConfig";
        snap_start: SnapStart = "SnapStart";
        tags: Tags = "Tags";
        tenancy_config: TenancyConfig = "TenancyConfig";
        timeout: Timeout = "Timeout";
        tracing_config: TracingConfig = "TracingConfig";
        vpc_config: VpcConfig = "VpcConfig";
    }
    DeadLetterConfig {
        target_arn: ResourceArn = "TargetArn";
    }
    DeleteFunctionRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
    }
    DeleteFunctionResponse {
        status_code: Integer = "StatusCode".status();
    }
    Environment {
        variables: EnvironmentVariables = "Variables";
    }
    EnvironmentError {
        error_code: Text = "ErrorCode";
        message: SensitiveString = "Message";
    }
    EnvironmentResponse {
        error: EnvironmentError = "Error";
        variables: EnvironmentVariables = "Variables";
    }
    EphemeralStorage {
        size: EphemeralStorageSize = "Size".required();
    }
    FileSystemConfig {
        arn: FileSystemArn = "Arn".required();
        local_mount_path: LocalMountPath = "LocalMountPath".required();
        s3_files_config: S3FilesConfig = "S3FilesConfig";
    }
    FunctionCode {
        image_uri: Text = "ImageUri";
        s3_bucket: S3Bucket = "S3Bucket";
        s3_key: S3Key = "S3Key";
        s3_object_storage_mode: S3ObjectStorageMode = "S3ObjectStorageMode";
        s3_object_version: S3ObjectVersion = "S3ObjectVersion";
        source_kms_key_arn: KMSKeyArn = "SourceKMSKeyArn";
        zip_file: Blob = "ZipFile";
    }
    FunctionCodeLocation {
        error: FunctionCodeLocationError = "Error";
        image_uri: Text = "ImageUri";
        location: SensitiveStringOnServerOnly = "Location";
        repository_type: Text = "RepositoryType";
        resolved_image_uri: Text = "ResolvedImageUri";
        resolved_s3_object: ResolvedS3Object = "ResolvedS3Object";
        source_kms_key_arn: KMSKeyArn = "SourceKMSKeyArn";
    }
    FunctionCodeLocationError {
        error_code: Text = "ErrorCode";
        message: SensitiveString = "Message";
    }
    FunctionConfiguration {
        accelerator_config: AcceleratorConfig = "AcceleratorConfig";
        architectures: ArchitecturesList = "Architectures";
        capacity_provider_config: CapacityProviderConfig = "CapacityProviderConfig";
        code_sha256: Text = "CodeSha256";
        code_size: Long = "CodeSize";
        config_sha256: Text = "ConfigSha256";
        dead_letter_config: DeadLetterConfig = "DeadLetterConfig";
        description: Description = "Description";
        durable_config: DurableConfig = "DurableConfig";
        environment: EnvironmentResponse = "Environment";
        ephemeral_storage: EphemeralStorage = "EphemeralStorage";
        file_system_configs: FileSystemConfigList = "FileSystemConfigs";
        function_arn: NameSpacedFunctionArn = "FunctionArn";
        function_name: NamespacedFunctionName = "FunctionName";
        handler: Handler = "Handler";
        image_config_response: ImageConfigResponse = "ImageConfigResponse";
        kms_key_arn: KMSKeyArn = "KMSKeyArn";
        last_modified: Timestamp = "LastModified";
        last_update_status: LastUpdateStatus = "LastUpdateStatus";
        last_update_status_reason: LastUpdateStatusReason = "LastUpdateStatusReason";
        last_update_status_reason_code: LastUpdateStatusReasonCode = "LastUpdateStatusReasonCode";
        layers: LayersReferenceList = "Layers";
        logging_config: LoggingConfig = "LoggingConfig";
        master_arn: FunctionArn = "MasterArn";
        memory_size: MemorySize = "MemorySize";
        package_type: PackageType = "PackageType";
        revision_id: Text = "RevisionId";
        role: RoleArn = "Role";
        runtime: Runtime = "Runtime";
        runtime_config: FunctionRuntimeConfig = "RuntimeConfig";
        runtime_version_config: RuntimeVersionConfig = "RuntimeVersionConfig";
        signing_job_arn: Arn = "SigningJobArn";
        signing_profile_version_arn: Arn = "SigningProfileVersionArn";
        snap_start: SnapStartResponse = "SnapStart";
        state: State = "State";
        state_reason: StateReason = "StateReason";
        state_reason_code: StateReasonCode = "StateReasonCode";
        tenancy_config: TenancyConfig = "TenancyConfig";
        timeout: Timeout = "Timeout";
        tracing_config: TracingConfigResponse = "TracingConfig";
        version: Version = "Version";
        vpc_config: VpcConfigResponse = "VpcConfig";
    }
    FunctionRuntimeConfig {
        runtime_alias: FunctionRuntimeAlias = "RuntimeAlias".required();
        runtime_arn: FunctionRuntimeArn = "RuntimeArn".required();
    }
    GetFunctionConfigurationRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
    }
    GetFunctionRecursionConfigRequest {
        function_name: UnqualifiedFunctionName = "FunctionName".label().required();
    }
    GetFunctionRecursionConfigResponse {
        recursive_loop: RecursiveLoop = "RecursiveLoop";
    }
    GetFunctionRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
    }
    GetFunctionResponse {
        code: FunctionCodeLocation = "Code";
        concurrency: Concurrency = "Concurrency";
        configuration: FunctionConfiguration = "Configuration";
        tags: Tags = "Tags";
        tags_error: TagsError = "TagsError";
    }
    ImageConfig {
        command: StringList = "Command";
        entry_point: StringList = "EntryPoint";
        working_directory: WorkingDirectory = "WorkingDirectory";
    }
    ImageConfigError {
        error_code: Text = "ErrorCode";
        message: SensitiveString = "Message";
    }
    ImageConfigResponse {
        error: ImageConfigError = "Error";
        image_config: ImageConfig = "ImageConfig";
    }
    LambdaManagedInstancesCapacityProviderConfig {
        capacity_provider_arn: CapacityProviderArn = "CapacityProviderArn".required();
        execution_environment_memory_gib_per_vcpu: ExecutionEnvironmentMemoryGiBPerVCpu = "ExecutionEnvironmentMemoryGiBPerVCpu";
        per_execution_environment_max_concurrency: PerExecutionEnvironmentMaxConcurrency = "PerExecutionEnvironmentMaxConcurrency";
    }
    Layer {
        arn: LayerVersionArn = "Arn";
        code_size: Long = "CodeSize";
        signing_job_arn: Arn = "SigningJobArn";
        signing_profile_version_arn: Arn = "SigningProfileVersionArn";
    }
    ListFunctionsRequest {
        function_version: FunctionVersion = "FunctionVersion".query();
        marker: Text = "Marker".query();
        master_region: MasterRegion = "MasterRegion".query();
        max_items: MaxListItems = "MaxItems".query();
    }
    ListFunctionsResponse {
        functions: FunctionList = "Functions";
        next_marker: Text = "NextMarker";
    }
    LoggingConfig {
        application_log_level: ApplicationLogLevel = "ApplicationLogLevel";
        log_format: LogFormat = "LogFormat";
        log_group: LogGroup = "LogGroup";
        system_log_level: SystemLogLevel = "SystemLogLevel";
    }
    PutFunctionRecursionConfigRequest {
        function_name: UnqualifiedFunctionName = "FunctionName".label().required();
        recursive_loop: RecursiveLoop = "RecursiveLoop".required();
    }
    PutFunctionRecursionConfigResponse {
        recursive_loop: RecursiveLoop = "RecursiveLoop";
    }
    RuntimeVersionConfig {
        error: RuntimeVersionError = "Error";
        runtime_version_arn: RuntimeVersionArn = "RuntimeVersionArn";
    }
    RuntimeVersionError {
        error_code: Text = "ErrorCode";
        message: SensitiveString = "Message";
    }
    S3FilesConfig {
        direct_s3_read: DirectS3Read = "DirectS3Read";
    }
    SnapStart {
        apply_on: SnapStartApplyOn = "ApplyOn";
    }
    SnapStartResponse {
        apply_on: SnapStartApplyOn = "ApplyOn";
        optimization_status: SnapStartOptimizationStatus = "OptimizationStatus";
    }
    TagsError {
        error_code: TagsErrorCode = "ErrorCode".required();
        message: TagsErrorMessage = "Message".required();
    }
    TenancyConfig {
        tenant_isolation_mode: TenantIsolationMode = "TenantIsolationMode".required();
    }
    TracingConfig {
        mode: TracingMode = "Mode";
    }
    TracingConfigResponse {
        mode: TracingMode = "Mode";
    }
    UntagResourceRequest {
        resource: TaggableResource = "Resource".label().required();
        tag_keys: TagKeyList = "TagKeys".query_as("tagKeys").required();
    }
    UpdateFunctionCodeRequest {
        architectures: ArchitecturesList = "Architectures";
        dry_run: Boolean = "DryRun";
        function_name: FunctionName = "FunctionName".label().required();
        image_uri: Text = "ImageUri";
        publish: Boolean = "Publish";
        publish_to: FunctionVersionLatestPublished = "PublishTo";
        revision_id: Text = "RevisionId";
        s3_bucket: S3Bucket = "S3Bucket";
        s3_key: S3Key = "S3Key";
        s3_object_storage_mode: S3ObjectStorageMode = "S3ObjectStorageMode";
        s3_object_version: S3ObjectVersion = "S3ObjectVersion";
        source_kms_key_arn: KMSKeyArn = "SourceKMSKeyArn";
        zip_file: Blob = "ZipFile";
    }
    UpdateFunctionConfigurationRequest {
        accelerator_config: AcceleratorConfig = "AcceleratorConfig";
        capacity_provider_config: CapacityProviderConfig = "CapacityProviderConfig";
        dead_letter_config: DeadLetterConfig = "DeadLetterConfig";
        description: Description = "Description";
        durable_config: DurableConfig = "DurableConfig";
        environment: Environment = "Environment";
        ephemeral_storage: EphemeralStorage = "EphemeralStorage";
        file_system_configs: FileSystemConfigList = "FileSystemConfigs";
        function_name: FunctionName = "FunctionName".label().required();
        handler: Handler = "Handler";
        image_config: ImageConfig = "ImageConfig";
        kms_key_arn: KMSKeyArn = "KMSKeyArn";
        layers: LayerList = "Layers";
        logging_config: LoggingConfig = "LoggingConfig";
        memory_size: MemorySize = "MemorySize";
        revision_id: Text = "RevisionId";
        role: RoleArn = "Role";
        runtime: Runtime = "Runtime";
        runtime_config: FunctionRuntimeConfig = "RuntimeConfig";
        snap_start: SnapStart = "SnapStart";
        timeout: Timeout = "Timeout";
        tracing_config: TracingConfig = "TracingConfig";
        vpc_config: VpcConfig = "VpcConfig";
    }
    VpcConfig {
        ipv6_allowed_for_dual_stack: NullableBoolean = "Ipv6AllowedForDualStack";
        security_group_ids: SecurityGroupIds = "SecurityGroupIds";
        subnet_ids: SubnetIds = "SubnetIds";
    }
    VpcConfigResponse {
        ipv6_allowed_for_dual_stack: NullableBoolean = "Ipv6AllowedForDualStack";
        security_group_ids: SecurityGroupIds = "SecurityGroupIds";
        subnet_ids: SubnetIds = "SubnetIds";
        vpc_id: VpcId = "VpcId";
    }
}
