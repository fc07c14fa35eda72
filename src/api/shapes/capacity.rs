//! Shapes of capacity providers and the scaling of managed instances.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::shape::{choice, double, integer, list, map, text};
use std::collections::BTreeMap;

alias! {
    CapacityProviderMaxVCpuCount: i32 = integer().at_least(2).at_most(15_000);
    CapacityProviderName: String = text().length(1, 140).pattern(r"(arn:aws[a-zA-Z-]*:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:capacity-provider:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+");
    CapacityProviderPredefinedMetricType: String = choice(&["LambdaCapacityProviderAverageCPUUtilization", "LambdaCapacityProviderAverageGPUUtilization"]);
    CapacityProviderScalingMode: String = choice(&["Auto", "Manual"]);
    CapacityProviderScalingPoliciesList: Vec<TargetTrackingScalingPolicy> = list(&TargetTrackingScalingPolicy).length(1, 10);
    CapacityProviderSecurityGroupIds: Vec<SecurityGroupId> = list(&SecurityGroupId).length(0, 5);
    CapacityProviderState: String = choice(&["Pending", "Active", "Failed", "Deleting"]);
    CapacityProviderSubnetIds: Vec<SubnetId> = list(&SubnetId).length(1, 16);
    CapacityProvidersList: Vec<CapacityProvider> = list(&CapacityProvider).length(0, 50);
    FunctionScalingConfigExecutionEnvironments: i32 = integer().at_least(0).at_most(15_000);
    FunctionVersionsByCapacityProviderList: Vec<FunctionVersionsByCapacityProviderListItem> = list(&FunctionVersionsByCapacityProviderListItem).length(0, 50);
    InstanceType: String = text().length(1, 30).pattern(r"[a-zA-Z0-9\.\*\-]+");
    InstanceTypeSet: Vec<InstanceType> = list(&InstanceType).length(0, 400);
    KMSKeyArnNonEmpty: String = text().length(0, 10_000).pattern(r"arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*");
    MaxFiftyListItems: i32 = integer().at_least(1).at_most(50);
    MetricTargetValue: f64 = double().no_less_than(0.0).no_more_than(100.0);
    PropagateTagsExplicitTagsMap: BTreeMap<TagKey, TagValue> = map(&TagKey, &TagValue).length(0, 40);
    PropagateTagsMode: String = choice(&["None", "Explicit"]);
    PublishedFunctionQualifier: String = text().length(1, 128).pattern(r"(\$LATEST\.PUBLISHED|[0-9]+)");
}

shape! {
    CapacityProvider {
        capacity_provider_arn: CapacityProviderArn = "CapacityProviderArn".required();
        capacity_provider_scaling_config: CapacityProviderScalingConfig = "CapacityProviderScalingConfig";
        instance_requirements: InstanceRequirements = "InstanceRequirements";
        kms_key_arn: KMSKeyArn = "KmsKeyArn";
        last_modified: Timestamp = "LastModified";
        permissions_config: CapacityProviderPermissionsConfig = "PermissionsConfig".required();
        propagate_tags: PropagateTags = "PropagateTags";
        state: CapacityProviderState = "State".required();
        telemetry_config: CapacityProviderTelemetryConfig = "TelemetryConfig";
        vpc_config: CapacityProviderVpcConfig = "VpcConfig".required();
    }
    CapacityProviderLoggingConfig {
        log_group: LogGroup = "LogGroup";
        system_log_level: SystemLogLevel = "SystemLogLevel";
    }
    CapacityProviderPermissionsConfig {
        capacity_provider_operator_role_arn: RoleArn = "CapacityProviderOperatorRoleArn".required();
    }
    CapacityProviderScalingConfig {
        max_v_cpu_count: CapacityProviderMaxVCpuCount = "MaxVCpuCount";
        scaling_mode: CapacityProviderScalingMode = "ScalingMode";
        scaling_policies: CapacityProviderScalingPoliciesList = "ScalingPolicies";
    }
    CapacityProviderTelemetryConfig {
        logging_config: CapacityProviderLoggingConfig = "LoggingConfig";
    }
    CapacityProviderVpcConfig {
        security_group_ids: CapacityProviderSecurityGroupIds = "SecurityGroupIds".required();
        subnet_ids: CapacityProviderSubnetIds = "SubnetIds".required();
    }
    CreateCapacityProviderRequest {
        capacity_provider_name: CapacityProviderName = "CapacityProviderName".required();
        capacity_provider_scaling_config: CapacityProviderScalingConfig = "CapacityProviderScalingConfig";
        instance_requirements: InstanceRequirements = "InstanceRequirements";
        kms_key_arn: KMSKeyArnNonEmpty = "KmsKeyArn";
        permissions_config: CapacityProviderPermissionsConfig = "PermissionsConfig".required();
        propagate_tags: PropagateTags = "PropagateTags";
        tags: Tags = "Tags";
        telemetry_config: CapacityProviderTelemetryConfig = "TelemetryConfig";
        vpc_config: CapacityProviderVpcConfig = "VpcConfig".required();
    }
    CreateCapacityProviderResponse {
        capacity_provider: CapacityProvider = "CapacityProvider".required();
    }
    DeleteCapacityProviderRequest {
        capacity_provider_name: CapacityProviderName = "CapacityProviderName".label().required();
    }
    DeleteCapacityProviderResponse {
        capacity_provider: CapacityProvider = "CapacityProvider".required();
    }
    FunctionScalingConfig {
        max_execution_environments: FunctionScalingConfigExecutionEnvironments = "MaxExecutionEnvironments";
        min_execution_environments: FunctionScalingConfigExecutionEnvironments = "MinExecutionEnvironments";
    }
    FunctionVersionsByCapacityProviderListItem {
        function_arn: NameSpacedFunctionArn = "FunctionArn".required();
        state: State = "State".required();
    }
    GetCapacityProviderRequest {
        capacity_provider_name: CapacityProviderName = "CapacityProviderName".label().required();
    }
    GetCapacityProviderResponse {
        capacity_provider: CapacityProvider = "CapacityProvider".required();
    }
    GetFunctionScalingConfigRequest {
        function_name: UnqualifiedFunctionName = "FunctionName".label().required();
        qualifier: PublishedFunctionQualifier = "Qualifier".query().required();
    }
    GetFunctionScalingConfigResponse {
        applied_function_scaling_config: FunctionScalingConfig = "AppliedFunctionScalingConfig";
        function_arn: FunctionArn = "FunctionArn";
        requested_function_scaling_config: FunctionScalingConfig = "RequestedFunctionScalingConfig";
    }
    InstanceRequirements {
        allowed_instance_types: InstanceTypeSet = "AllowedInstanceTypes";
        architectures: ArchitecturesList = "Architectures";
        excluded_instance_types: InstanceTypeSet = "ExcludedInstanceTypes";
    }
    ListCapacityProvidersRequest {
        marker: Text = "Marker".query();
        max_items: MaxFiftyListItems = "MaxItems".query();
        state: CapacityProviderState = "State".query();
    }
    ListCapacityProvidersResponse {
        capacity_providers: CapacityProvidersList = "CapacityProviders".required();
        next_marker: Text = "NextMarker";
    }
    ListFunctionVersionsByCapacityProviderRequest {
        capacity_provider_name: CapacityProviderName = "CapacityProviderName".label().required();
        marker: Text = "Marker".query();
        max_items: MaxFiftyListItems = "MaxItems".query();
    }
    ListFunctionVersionsByCapacityProviderResponse {
        capacity_provider_arn: CapacityProviderArn = "CapacityProviderArn".required();
        function_versions: FunctionVersionsByCapacityProviderList = "FunctionVersions".required();
        next_marker: Text = "NextMarker";
    }
    PropagateTags {
        explicit_tags: PropagateTagsExplicitTagsMap = "ExplicitTags";
        mode: PropagateTagsMode = "Mode";
    }
    PutFunctionScalingConfigRequest {
        function_name: UnqualifiedFunctionName = "FunctionName".label().required();
        function_scaling_config: FunctionScalingConfig = "FunctionScalingConfig";
        qualifier: PublishedFunctionQualifier = "Qualifier".query().required();
    }
    PutFunctionScalingConfigResponse {
        function_state: State = "FunctionState";
    }
    TargetTrackingScalingPolicy {
        predefined_metric_type: CapacityProviderPredefinedMetricType = "PredefinedMetricType".required();
        target_value: MetricTargetValue = "TargetValue".required();
    }
    UpdateCapacityProviderRequest {
        capacity_provider_name: CapacityProviderName = "CapacityProviderName".label().required();
        capacity_provider_scaling_config: CapacityProviderScalingConfig = "CapacityProviderScalingConfig";
        propagate_tags: PropagateTags = "PropagateTags";
        telemetry_config: CapacityProviderTelemetryConfig = "TelemetryConfig";
    }
    UpdateCapacityProviderResponse {
        capacity_provider: CapacityProvider = "CapacityProvider".required();
    }
}
