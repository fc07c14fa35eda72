//! Shapes of reserved and provisioned concurrency.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::shape::{choice, integer, list, text};

alias! {
    MaxProvisionedConcurrencyConfigListItems: i32 = integer().at_least(1).at_most(50);
    NonNegativeInteger: i32 = integer().at_least(0);
    PositiveInteger: i32 = integer().at_least(1);
    ProvisionedConcurrencyConfigList: Vec<ProvisionedConcurrencyConfigListItem> = list(&ProvisionedConcurrencyConfigListItem);
    ProvisionedConcurrencyStatusEnum: String = choice(&["IN_PROGRESS", "READY", "FAILED"]);
    Qualifier: String = text().length(1, 128).pattern(r"(|[a-zA-Z0-9$_-]+)");
}

shape! {
    DeleteFunctionConcurrencyRequest {
        function_name: FunctionName = "FunctionName".label().required();
    }
    DeleteProvisionedConcurrencyConfigRequest {
        function_name: FunctionName = "FunctionName".label().required();
        qualifier: Qualifier = "Qualifier".query().required();
    }
    GetFunctionConcurrencyRequest {
        function_name: FunctionName = "FunctionName".label().required();
    }
    GetFunctionConcurrencyResponse {
        reserved_concurrent_executions: ReservedConcurrentExecutions = "ReservedConcurrentExecutions";
    }
    GetProvisionedConcurrencyConfigRequest {
        function_name: FunctionName = "FunctionName".label().required();
        qualifier: Qualifier = "Qualifier".query().required();
    }
    GetProvisionedConcurrencyConfigResponse {
        allocated_provisioned_concurrent_executions: NonNegativeInteger = "AllocatedProvisionedConcurrentExecutions";
        available_provisioned_concurrent_executions: NonNegativeInteger = "AvailableProvisionedConcurrentExecutions";
        last_modified: Timestamp = "LastModified";
        requested_provisioned_concurrent_executions: PositiveInteger = "RequestedProvisionedConcurrentExecutions";
        status: ProvisionedConcurrencyStatusEnum = "Status";
        status_reason: Text = "StatusReason";
    }
    ListProvisionedConcurrencyConfigsRequest {
        function_name: FunctionName = "FunctionName".label().required();
        marker: Text = "Marker".query();
        max_items: MaxProvisionedConcurrencyConfigListItems = "MaxItems".query();
    }
    ListProvisionedConcurrencyConfigsResponse {
        next_marker: Text = "NextMarker";
        provisioned_concurrency_configs: ProvisionedConcurrencyConfigList = "ProvisionedConcurrencyConfigs";
    }
    ProvisionedConcurrencyConfigListItem {
        allocated_provisioned_concurrent_executions: NonNegativeInteger = "AllocatedProvisionedConcurrentExecutions";
        available_provisioned_concurrent_executions: NonNegativeInteger = "AvailableProvisionedConcurrentExecutions";
        function_arn: FunctionArn = "FunctionArn";
        last_modified: Timestamp = "LastModified";
        requested_provisioned_concurrent_executions: PositiveInteger = "RequestedProvisionedConcurrentExecutions";
        status: ProvisionedConcurrencyStatusEnum = "Status";
        status_reason: Text = "StatusReason";
    }
    PutFunctionConcurrencyRequest {
        function_name: FunctionName = "FunctionName".label().required();
        reserved_concurrent_executions: ReservedConcurrentExecutions = "ReservedConcurrentExecutions".required();
    }
    PutProvisionedConcurrencyConfigRequest {
        function_name: FunctionName = "FunctionName".label().required();
        provisioned_concurrent_executions: PositiveInteger = "ProvisionedConcurrentExecutions".required();
        qualifier: Qualifier = "Qualifier".query().required();
    }
    PutProvisionedConcurrencyConfigResponse {
        allocated_provisioned_concurrent_executions: NonNegativeInteger = "AllocatedProvisionedConcurrentExecutions";
        available_provisioned_concurrent_executions: NonNegativeInteger = "AvailableProvisionedConcurrentExecutions";
        last_modified: Timestamp = "LastModified";
        requested_provisioned_concurrent_executions: PositiveInteger = "RequestedProvisionedConcurrentExecutions";
        status: ProvisionedConcurrencyStatusEnum = "Status";
        status_reason: Text = "StatusReason";
    }
}
