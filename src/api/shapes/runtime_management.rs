//! Shapes of runtime management.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::shape::choice;

alias! {
    UpdateRuntimeOn: String = choice(&["Auto", "Manual", "FunctionUpdate"]);
}

shape! {
    GetRuntimeManagementConfigRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
    }
    GetRuntimeManagementConfigResponse {
        function_arn: NameSpacedFunctionArn = "FunctionArn";
        runtime_version_arn: RuntimeVersionArn = "RuntimeVersionArn";
        update_runtime_on: UpdateRuntimeOn = "UpdateRuntimeOn";
    }
    PutRuntimeManagementConfigRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
        runtime_version_arn: RuntimeVersionArn = "RuntimeVersionArn";
        update_runtime_on: UpdateRuntimeOn = "UpdateRuntimeOn".required();
    }
    PutRuntimeManagementConfigResponse {
        function_arn: FunctionArn = "FunctionArn".required();
        runtime_version_arn: RuntimeVersionArn = "RuntimeVersionArn";
        update_runtime_on: UpdateRuntimeOn = "UpdateRuntimeOn".required();
    }
}
