//! Shapes of code signing.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::shape::{choice, list, text};

alias! {
    CodeSigningConfigId: String = text().pattern(r"csc-[a-zA-Z0-9-_\.]{17}");
    CodeSigningConfigList: Vec<CodeSigningConfig> = list(&CodeSigningConfig);
    CodeSigningPolicy: String = choice(&["Warn", "Enforce"]);
    FunctionArnList: Vec<FunctionArn> = list(&FunctionArn);
    SigningProfileVersionArns: Vec<Arn> = list(&Arn).length(1, 20);
}

shape! {
    AllowedPublishers {
        signing_profile_version_arns: SigningProfileVersionArns = "SigningProfileVersionArns".required();
    }
    CodeSigningConfig {
        allowed_publishers: AllowedPublishers = "AllowedPublishers".required();
        code_signing_config_arn: CodeSigningConfigArn = "CodeSigningConfigArn".required();
        code_signing_config_id: CodeSigningConfigId = "CodeSigningConfigId".required();
        code_signing_policies: CodeSigningPolicies = "CodeSigningPolicies".required();
        description: Description = "Description";
        last_modified: Timestamp = "LastModified".required();
    }
    CodeSigningPolicies {
        untrusted_artifact_on_deployment: CodeSigningPolicy = "UntrustedArtifactOnDeployment";
    }
    CreateCodeSigningConfigRequest {
        allowed_publishers: AllowedPublishers = "AllowedPublishers".required();
        code_signing_policies: CodeSigningPolicies = "CodeSigningPolicies";
        description: Description = "Description";
        tags: Tags = "Tags";
    }
    CreateCodeSigningConfigResponse {
        code_signing_config: CodeSigningConfig = "CodeSigningConfig".required();
    }
    DeleteCodeSigningConfigRequest {
        code_signing_config_arn: CodeSigningConfigArn = "CodeSigningConfigArn".label().required();
    }
    DeleteCodeSigningConfigResponse {
    }
    DeleteFunctionCodeSigningConfigRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
    }
    GetCodeSigningConfigRequest {
        code_signing_config_arn: CodeSigningConfigArn = "CodeSigningConfigArn".label().required();
    }
    GetCodeSigningConfigResponse {
        code_signing_config: CodeSigningConfig = "CodeSigningConfig".required();
    }
    GetFunctionCodeSigningConfigRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
    }
    GetFunctionCodeSigningConfigResponse {
        code_signing_config_arn: CodeSigningConfigArn = "CodeSigningConfigArn".required();
        function_name: FunctionName = "FunctionName".required();
    }
    ListCodeSigningConfigsRequest {
        marker: Text = "Marker".query();
        max_items: MaxListItems = "MaxItems".query();
    }
    ListCodeSigningConfigsResponse {
        code_signing_configs: CodeSigningConfigList = "CodeSigningConfigs";
        next_marker: Text = "NextMarker";
    }
    ListFunctionsByCodeSigningConfigRequest {
        code_signing_config_arn: CodeSigningConfigArn = "CodeSigningConfigArn".label().required();
        marker: Text = "Marker".query();
        max_items: MaxListItems = "MaxItems".query();
    }
    ListFunctionsByCodeSigningConfigResponse {
        function_arns: FunctionArnList = "FunctionArns";
        next_marker: Text = "NextMarker";
    }
    PutFunctionCodeSigningConfigRequest {
        code_signing_config_arn: CodeSigningConfigArn = "CodeSigningConfigArn".required();
        function_name: NamespacedFunctionName = "FunctionName".label().required();
    }
    PutFunctionCodeSigningConfigResponse {
        code_signing_config_arn: CodeSigningConfigArn = "CodeSigningConfigArn".required();
        function_name: FunctionName = "FunctionName".required();
    }
    UpdateCodeSigningConfigRequest {
        allowed_publishers: AllowedPublishers = "AllowedPublishers";
        code_signing_config_arn: CodeSigningConfigArn = "CodeSigningConfigArn".label().required();
        code_signing_policies: CodeSigningPolicies = "CodeSigningPolicies";
        description: Description = "Description";
    }
    UpdateCodeSigningConfigResponse {
        code_signing_config: CodeSigningConfig = "CodeSigningConfig".required();
    }
}
