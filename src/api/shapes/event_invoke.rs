//! Shapes of the settings of asynchronous invocation.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::shape::{integer, list};

alias! {
    FunctionEventInvokeConfigList: Vec<FunctionEventInvokeConfig> = list(&FunctionEventInvokeConfig);
    MaxFunctionEventInvokeConfigListItems: i32 = integer().at_least(1).at_most(50);
    MaximumEventAgeInSeconds: i32 = integer().at_least(60).at_most(21_600);
    MaximumRetryAttempts: i32 = integer().at_least(0).at_most(2);
}

shape! {
    DeleteFunctionEventInvokeConfigRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
    }
    FunctionEventInvokeConfig {
        destination_config: DestinationConfig = "DestinationConfig";
        function_arn: FunctionArn = "FunctionArn";
        last_modified: Date = "LastModified";
        maximum_event_age_in_seconds: MaximumEventAgeInSeconds = "MaximumEventAgeInSeconds";
        maximum_retry_attempts: MaximumRetryAttempts = "MaximumRetryAttempts";
    }
    GetFunctionEventInvokeConfigRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
    }
    ListFunctionEventInvokeConfigsRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        marker: Text = "Marker".query();
        max_items: MaxFunctionEventInvokeConfigListItems = "MaxItems".query();
    }
    ListFunctionEventInvokeConfigsResponse {
        function_event_invoke_configs: FunctionEventInvokeConfigList = "FunctionEventInvokeConfigs";
        next_marker: Text = "NextMarker";
    }
    PutFunctionEventInvokeConfigRequest {
        destination_config: DestinationConfig = "DestinationConfig";
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        maximum_event_age_in_seconds: MaximumEventAgeInSeconds = "MaximumEventAgeInSeconds";
        maximum_retry_attempts: MaximumRetryAttempts = "MaximumRetryAttempts";
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
    }
    UpdateFunctionEventInvokeConfigRequest {
        destination_config: DestinationConfig = "DestinationConfig";
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        maximum_event_age_in_seconds: MaximumEventAgeInSeconds = "MaximumEventAgeInSeconds";
        maximum_retry_attempts: MaximumRetryAttempts = "MaximumRetryAttempts";
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
    }
}
