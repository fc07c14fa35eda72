//! THE table: one row per operation of the API, and everything that follows from a row.
//!
//! A row gives the operation's name, route, success status, shapes and whether it is built. From the rows follow the
//! [`enum@Operation`] enum, the [`Service`] trait, [`dispatch`], the router's table, the client's calls, the metric labels,
//! the list in the README and `hearth api dump`. An operation that is not built answers 501 with its name: never a
//! fake success. Long because the table is one thing. Deliberately not here: reading requests (`codec`).

use crate::codec;
use crate::error::ApiError;
use crate::reply::Reply;
use crate::shape::Shape;
use crate::shapes::*;
use serde_json::Value;
use std::fmt;

/// Whether an operation works in this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does what the service does.
    Built,
    /// It answers 501 with its name.
    NotBuilt,
}

/// The HTTP methods of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `DELETE`
    Delete,
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
}

impl Method {
    /// The method as it stands in a request line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }

    const fn of(text: &'static str) -> Self {
        match text.as_bytes() {
            b"DELETE" => Self::Delete,
            b"GET" => Self::Get,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            _ => panic!("the API uses four methods"),
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which operation this is.
    pub operation: Operation,
    /// Its name in the service's model.
    pub name: &'static str,
    /// Its name in metrics.
    pub label: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// The URI template: labels in braces, a constant query parameter after `?`.
    pub uri: &'static str,
    /// The HTTP status of success, unless an output member bound to the status says otherwise.
    pub success: u16,
    /// The shape of its input.
    pub input: &'static Shape,
    /// The shape of its output; `NoOutput` has none.
    pub output: &'static Shape,
    /// Whether it works in this release.
    pub state: State,
}

impl Row {
    /// True if a success has a body.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !std::ptr::eq(self.output, &raw const NoOutput)
    }

    /// True if the operation works in this release.
    #[must_use]
    pub fn is_built(&self) -> bool {
        self.state == State::Built
    }
}

impl Operation {
    /// The row of this operation.
    #[must_use]
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The name in the service's model, such as `CreateFunction`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The name in metrics, such as `create_function`.
    #[must_use]
    pub fn label(self) -> &'static str {
        self.row().label
    }

    /// The operation of this name, if the API has one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.binary_search_by(|row| row.name.cmp(name)).ok().map(|index| TABLE[index].operation)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! operations {
    ($($name:ident $call:ident: $method:ident $uri:literal $success:literal, $input:ident -> $output:ident, $state:ident;)*) => {
        /// Every operation of the API, in the order of their names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $(
                #[doc = concat!("`", stringify!($method), " ", $uri, "`")]
                $name,
            )*
        }

        impl Operation {
            /// Every operation, in the order of their names.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }

        /// The rows, in the order of the operations' names.
        pub static TABLE: &[Row] = &[$(Row {
            operation: Operation::$name,
            name: stringify!($name),
            label: stringify!($call),
            method: Method::of(stringify!($method)),
            uri: $uri,
            success: $success,
            input: &$input,
            output: &$output,
            state: State::$state,
        },)*];

        /// What answers the operations. Every method refuses by default: it says that the operation is not built.
        ///
        /// Raw payloads (of `Invoke` and its like) are not part of an input; they travel in the context.
        pub trait Service: Sync {
            /// What a call knows beside its input: the caller, the request id, a raw payload.
            type Context: Send;
            $(
                #[doc = concat!("Answers `", stringify!($name), "`.")]
                fn $call(
                    &self,
                    context: Self::Context,
                    input: $input,
                ) -> impl Future<Output = Result<$output, ApiError>> + Send {
                    let _ = (context, input);
                    std::future::ready(Err(ApiError::not_built(Operation::$name)))
                }
            )*
        }

        /// Calls the method of `operation` with a decoded and validated input and encodes its answer.
        ///
        /// # Errors
        /// What the method answers; 501 without reading the input if the operation is not built; a
        /// `SerializationException` if `input` does not fit the operation's shape (it was not decoded by [`codec`]).
        pub async fn dispatch<S: Service>(
            service: &S,
            context: S::Context,
            operation: Operation,
            input: Value,
        ) -> Result<Reply, ApiError> {
            let row = operation.row();
            if !row.is_built() {
                return Err(ApiError::not_built(operation));
            }
            match operation {
                $(Operation::$name => {
                    let input: $input = codec::typed(input)?;
                    codec::encode(row, &service.$call(context, input).await?)
                })*
            }
        }

        /// Reads `value` into the input type of `operation` and writes it back; for tests of the law.
        #[cfg(test)]
        pub(crate) fn through_input_type(operation: Operation, value: Value) -> Result<Value, serde_json::Error> {
            match operation {
                $(Operation::$name => serde_json::to_value(serde_json::from_value::<$input>(value)?),)*
            }
        }

        /// Reads `value` into the output type of `operation` and writes it back; for tests of the law.
        #[cfg(test)]
        pub(crate) fn through_output_type(operation: Operation, value: Value) -> Result<Value, serde_json::Error> {
            match operation {
                $(Operation::$name => serde_json::to_value(serde_json::from_value::<$output>(value)?),)*
            }
        }
    };
}

operations! {
    AddLayerVersionPermission add_layer_version_permission: POST "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy" 201, AddLayerVersionPermissionRequest -> AddLayerVersionPermissionResponse, Built;
    AddPermission add_permission: POST "/2015-03-31/functions/{FunctionName}/policy" 201, AddPermissionRequest -> AddPermissionResponse, Built;
    CheckpointDurableExecution checkpoint_durable_execution: POST "/2025-12-01/durable-executions/{DurableExecutionArn}/checkpoint" 200, CheckpointDurableExecutionRequest -> CheckpointDurableExecutionResponse, NotBuilt;
    CreateAlias create_alias: POST "/2015-03-31/functions/{FunctionName}/aliases" 201, CreateAliasRequest -> AliasConfiguration, Built;
    CreateCapacityProvider create_capacity_provider: POST "/2025-11-30/capacity-providers" 202, CreateCapacityProviderRequest -> CreateCapacityProviderResponse, NotBuilt;
    CreateCodeSigningConfig create_code_signing_config: POST "/2020-04-22/code-signing-configs" 201, CreateCodeSigningConfigRequest -> CreateCodeSigningConfigResponse, Built;
    CreateEventSourceMapping create_event_source_mapping: POST "/2015-03-31/event-source-mappings" 202, CreateEventSourceMappingRequest -> EventSourceMappingConfiguration, Built;
    CreateFunction create_function: POST "/2015-03-31/functions" 201, CreateFunctionRequest -> FunctionConfiguration, Built;
    CreateFunctionUrlConfig create_function_url_config: POST "/2021-10-31/functions/{FunctionName}/url" 201, CreateFunctionUrlConfigRequest -> CreateFunctionUrlConfigResponse, Built;
    DeleteAlias delete_alias: DELETE "/2015-03-31/functions/{FunctionName}/aliases/{Name}" 204, DeleteAliasRequest -> NoOutput, Built;
    DeleteCapacityProvider delete_capacity_provider: DELETE "/2025-11-30/capacity-providers/{CapacityProviderName}" 202, DeleteCapacityProviderRequest -> DeleteCapacityProviderResponse, NotBuilt;
    DeleteCodeSigningConfig delete_code_signing_config: DELETE "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}" 204, DeleteCodeSigningConfigRequest -> DeleteCodeSigningConfigResponse, Built;
    DeleteDurableExecution delete_durable_execution: DELETE "/2025-12-01/durable-executions/{DurableExecutionArn}" 202, DeleteDurableExecutionRequest -> DeleteDurableExecutionResponse, NotBuilt;
    DeleteEventSourceMapping delete_event_source_mapping: DELETE "/2015-03-31/event-source-mappings/{UUID}" 202, DeleteEventSourceMappingRequest -> EventSourceMappingConfiguration, Built;
    DeleteFunction delete_function: DELETE "/2015-03-31/functions/{FunctionName}" 200, DeleteFunctionRequest -> DeleteFunctionResponse, Built;
    DeleteFunctionCodeSigningConfig delete_function_code_signing_config: DELETE "/2020-06-30/functions/{FunctionName}/code-signing-config" 204, DeleteFunctionCodeSigningConfigRequest -> NoOutput, Built;
    DeleteFunctionConcurrency delete_function_concurrency: DELETE "/2017-10-31/functions/{FunctionName}/concurrency" 204, DeleteFunctionConcurrencyRequest -> NoOutput, Built;
    DeleteFunctionEventInvokeConfig delete_function_event_invoke_config: DELETE "/2019-09-25/functions/{FunctionName}/event-invoke-config" 204, DeleteFunctionEventInvokeConfigRequest -> NoOutput, Built;
    DeleteFunctionUrlConfig delete_function_url_config: DELETE "/2021-10-31/functions/{FunctionName}/url" 204, DeleteFunctionUrlConfigRequest -> NoOutput, Built;
    DeleteLayerVersion delete_layer_version: DELETE "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}" 204, DeleteLayerVersionRequest -> NoOutput, Built;
    DeleteProvisionedConcurrencyConfig delete_provisioned_concurrency_config: DELETE "/2019-09-30/functions/{FunctionName}/provisioned-concurrency" 204, DeleteProvisionedConcurrencyConfigRequest -> NoOutput, Built;
    DeleteResourcePolicy delete_resource_policy: DELETE "/2026-07-09/resource-policy/{ResourceArn}" 204, DeleteResourcePolicyRequest -> NoOutput, Built;
    GetAccountSettings get_account_settings: GET "/2016-08-19/account-settings" 200, GetAccountSettingsRequest -> GetAccountSettingsResponse, Built;
    GetAlias get_alias: GET "/2015-03-31/functions/{FunctionName}/aliases/{Name}" 200, GetAliasRequest -> AliasConfiguration, Built;
    GetCapacityProvider get_capacity_provider: GET "/2025-11-30/capacity-providers/{CapacityProviderName}" 200, GetCapacityProviderRequest -> GetCapacityProviderResponse, NotBuilt;
    GetCodeSigningConfig get_code_signing_config: GET "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}" 200, GetCodeSigningConfigRequest -> GetCodeSigningConfigResponse, Built;
    GetDurableExecution get_durable_execution: GET "/2025-12-01/durable-executions/{DurableExecutionArn}" 200, GetDurableExecutionRequest -> GetDurableExecutionResponse, NotBuilt;
    GetDurableExecutionHistory get_durable_execution_history: GET "/2025-12-01/durable-executions/{DurableExecutionArn}/history" 200, GetDurableExecutionHistoryRequest -> GetDurableExecutionHistoryResponse, NotBuilt;
    GetDurableExecutionState get_durable_execution_state: GET "/2025-12-01/durable-executions/{DurableExecutionArn}/state" 200, GetDurableExecutionStateRequest -> GetDurableExecutionStateResponse, NotBuilt;
    GetEventSourceMapping get_event_source_mapping: GET "/2015-03-31/event-source-mappings/{UUID}" 200, GetEventSourceMappingRequest -> EventSourceMappingConfiguration, Built;
    GetFunction get_function: GET "/2015-03-31/functions/{FunctionName}" 200, GetFunctionRequest -> GetFunctionResponse, Built;
    GetFunctionCodeSigningConfig get_function_code_signing_config: GET "/2020-06-30/functions/{FunctionName}/code-signing-config" 200, GetFunctionCodeSigningConfigRequest -> GetFunctionCodeSigningConfigResponse, Built;
    GetFunctionConcurrency get_function_concurrency: GET "/2019-09-30/functions/{FunctionName}/concurrency" 200, GetFunctionConcurrencyRequest -> GetFunctionConcurrencyResponse, Built;
    GetFunctionConfiguration get_function_configuration: GET "/2015-03-31/functions/{FunctionName}/configuration" 200, GetFunctionConfigurationRequest -> FunctionConfiguration, Built;
    GetFunctionEventInvokeConfig get_function_event_invoke_config: GET "/2019-09-25/functions/{FunctionName}/event-invoke-config" 200, GetFunctionEventInvokeConfigRequest -> FunctionEventInvokeConfig, Built;
    GetFunctionRecursionConfig get_function_recursion_config: GET "/2024-08-31/functions/{FunctionName}/recursion-config" 200, GetFunctionRecursionConfigRequest -> GetFunctionRecursionConfigResponse, Built;
    GetFunctionScalingConfig get_function_scaling_config: GET "/2025-11-30/functions/{FunctionName}/function-scaling-config" 200, GetFunctionScalingConfigRequest -> GetFunctionScalingConfigResponse, NotBuilt;
    GetFunctionUrlConfig get_function_url_config: GET "/2021-10-31/functions/{FunctionName}/url" 200, GetFunctionUrlConfigRequest -> GetFunctionUrlConfigResponse, Built;
    GetLayerVersion get_layer_version: GET "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}" 200, GetLayerVersionRequest -> GetLayerVersionResponse, Built;
    GetLayerVersionByArn get_layer_version_by_arn: GET "/2018-10-31/layers?find=LayerVersion" 200, GetLayerVersionByArnRequest -> GetLayerVersionResponse, Built;
    GetLayerVersionPolicy get_layer_version_policy: GET "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy" 200, GetLayerVersionPolicyRequest -> GetLayerVersionPolicyResponse, Built;
    GetPolicy get_policy: GET "/2015-03-31/functions/{FunctionName}/policy" 200, GetPolicyRequest -> GetPolicyResponse, Built;
    GetProvisionedConcurrencyConfig get_provisioned_concurrency_config: GET "/2019-09-30/functions/{FunctionName}/provisioned-concurrency" 200, GetProvisionedConcurrencyConfigRequest -> GetProvisionedConcurrencyConfigResponse, Built;
    GetResourcePolicy get_resource_policy: GET "/2026-07-09/resource-policy/{ResourceArn}" 200, GetResourcePolicyRequest -> GetResourcePolicyResponse, Built;
    GetRuntimeManagementConfig get_runtime_management_config: GET "/2021-07-20/functions/{FunctionName}/runtime-management-config" 200, GetRuntimeManagementConfigRequest -> GetRuntimeManagementConfigResponse, Built;
    Invoke invoke: POST "/2015-03-31/functions/{FunctionName}/invocations" 200, InvocationRequest -> InvocationResponse, Built;
    InvokeAsync invoke_async: POST "/2014-11-13/functions/{FunctionName}/invoke-async" 202, InvokeAsyncRequest -> InvokeAsyncResponse, NotBuilt;
    InvokeWithResponseStream invoke_with_response_stream: POST "/2021-11-15/functions/{FunctionName}/response-streaming-invocations" 200, InvokeWithResponseStreamRequest -> InvokeWithResponseStreamResponse, NotBuilt;
    ListAliases list_aliases: GET "/2015-03-31/functions/{FunctionName}/aliases" 200, ListAliasesRequest -> ListAliasesResponse, Built;
    ListCapacityProviders list_capacity_providers: GET "/2025-11-30/capacity-providers" 200, ListCapacityProvidersRequest -> ListCapacityProvidersResponse, NotBuilt;
    ListCodeSigningConfigs list_code_signing_configs: GET "/2020-04-22/code-signing-configs" 200, ListCodeSigningConfigsRequest -> ListCodeSigningConfigsResponse, Built;
    ListDurableExecutionsByFunction list_durable_executions_by_function: GET "/2025-12-01/functions/{FunctionName}/durable-executions" 200, ListDurableExecutionsByFunctionRequest -> ListDurableExecutionsByFunctionResponse, NotBuilt;
    ListEventSourceMappings list_event_source_mappings: GET "/2015-03-31/event-source-mappings" 200, ListEventSourceMappingsRequest -> ListEventSourceMappingsResponse, Built;
    ListFunctionEventInvokeConfigs list_function_event_invoke_configs: GET "/2019-09-25/functions/{FunctionName}/event-invoke-config/list" 200, ListFunctionEventInvokeConfigsRequest -> ListFunctionEventInvokeConfigsResponse, Built;
    ListFunctionUrlConfigs list_function_url_configs: GET "/2021-10-31/functions/{FunctionName}/urls" 200, ListFunctionUrlConfigsRequest -> ListFunctionUrlConfigsResponse, Built;
    ListFunctionVersionsByCapacityProvider list_function_versions_by_capacity_provider: GET "/2025-11-30/capacity-providers/{CapacityProviderName}/function-versions" 200, ListFunctionVersionsByCapacityProviderRequest -> ListFunctionVersionsByCapacityProviderResponse, NotBuilt;
    ListFunctions list_functions: GET "/2015-03-31/functions" 200, ListFunctionsRequest -> ListFunctionsResponse, Built;
    ListFunctionsByCodeSigningConfig list_functions_by_code_signing_config: GET "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}/functions" 200, ListFunctionsByCodeSigningConfigRequest -> ListFunctionsByCodeSigningConfigResponse, Built;
    ListLayerVersions list_layer_versions: GET "/2018-10-31/layers/{LayerName}/versions" 200, ListLayerVersionsRequest -> ListLayerVersionsResponse, Built;
    ListLayers list_layers: GET "/2018-10-31/layers" 200, ListLayersRequest -> ListLayersResponse, Built;
    ListProvisionedConcurrencyConfigs list_provisioned_concurrency_configs: GET "/2019-09-30/functions/{FunctionName}/provisioned-concurrency?List=ALL" 200, ListProvisionedConcurrencyConfigsRequest -> ListProvisionedConcurrencyConfigsResponse, Built;
    ListTags list_tags: GET "/2017-03-31/tags/{Resource}" 200, ListTagsRequest -> ListTagsResponse, Built;
    ListVersionsByFunction list_versions_by_function: GET "/2015-03-31/functions/{FunctionName}/versions" 200, ListVersionsByFunctionRequest -> ListVersionsByFunctionResponse, Built;
    PauseDurableExecution pause_durable_execution: POST "/2025-12-01/durable-executions/{DurableExecutionArn}/pause" 202, PauseDurableExecutionRequest -> PauseDurableExecutionResponse, NotBuilt;
    PublishLayerVersion publish_layer_version: POST "/2018-10-31/layers/{LayerName}/versions" 201, PublishLayerVersionRequest -> PublishLayerVersionResponse, Built;
    PublishVersion publish_version: POST "/2015-03-31/functions/{FunctionName}/versions" 201, PublishVersionRequest -> FunctionConfiguration, Built;
    PutFunctionCodeSigningConfig put_function_code_signing_config: PUT "/2020-06-30/functions/{FunctionName}/code-signing-config" 200, PutFunctionCodeSigningConfigRequest -> PutFunctionCodeSigningConfigResponse, Built;
    PutFunctionConcurrency put_function_concurrency: PUT "/2017-10-31/functions/{FunctionName}/concurrency" 200, PutFunctionConcurrencyRequest -> Concurrency, Built;
    PutFunctionEventInvokeConfig put_function_event_invoke_config: PUT "/2019-09-25/functions/{FunctionName}/event-invoke-config" 200, PutFunctionEventInvokeConfigRequest -> FunctionEventInvokeConfig, Built;
    PutFunctionRecursionConfig put_function_recursion_config: PUT "/2024-08-31/functions/{FunctionName}/recursion-config" 200, PutFunctionRecursionConfigRequest -> PutFunctionRecursionConfigResponse, Built;
    PutFunctionScalingConfig put_function_scaling_config: PUT "/2025-11-30/functions/{FunctionName}/function-scaling-config" 202, PutFunctionScalingConfigRequest -> PutFunctionScalingConfigResponse, NotBuilt;
    PutProvisionedConcurrencyConfig put_provisioned_concurrency_config: PUT "/2019-09-30/functions/{FunctionName}/provisioned-concurrency" 202, PutProvisionedConcurrencyConfigRequest -> PutProvisionedConcurrencyConfigResponse, Built;
    PutResourcePolicy put_resource_policy: PUT "/2026-07-09/resource-policy/{ResourceArn}" 200, PutResourcePolicyRequest -> PutResourcePolicyResponse, Built;
    PutRuntimeManagementConfig put_runtime_management_config: PUT "/2021-07-20/functions/{FunctionName}/runtime-management-config" 200, PutRuntimeManagementConfigRequest -> PutRuntimeManagementConfigResponse, Built;
    RemoveLayerVersionPermission remove_layer_version_permission: DELETE "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy/{StatementId}" 204, RemoveLayerVersionPermissionRequest -> NoOutput, Built;
    RemovePermission remove_permission: DELETE "/2015-03-31/functions/{FunctionName}/policy/{StatementId}" 204, RemovePermissionRequest -> NoOutput, Built;
    ResumeDurableExecution resume_durable_execution: POST "/2025-12-01/durable-executions/{DurableExecutionArn}/resume" 202, ResumeDurableExecutionRequest -> ResumeDurableExecutionResponse, NotBuilt;
    SendDurableExecutionCallbackFailure send_durable_execution_callback_failure: POST "/2025-12-01/durable-execution-callbacks/{CallbackId}/fail" 200, SendDurableExecutionCallbackFailureRequest -> SendDurableExecutionCallbackFailureResponse, NotBuilt;
    SendDurableExecutionCallbackHeartbeat send_durable_execution_callback_heartbeat: POST "/2025-12-01/durable-execution-callbacks/{CallbackId}/heartbeat" 200, SendDurableExecutionCallbackHeartbeatRequest -> SendDurableExecutionCallbackHeartbeatResponse, NotBuilt;
    SendDurableExecutionCallbackSuccess send_durable_execution_callback_success: POST "/2025-12-01/durable-execution-callbacks/{CallbackId}/succeed" 200, SendDurableExecutionCallbackSuccessRequest -> SendDurableExecutionCallbackSuccessResponse, NotBuilt;
    StopDurableExecution stop_durable_execution: POST "/2025-12-01/durable-executions/{DurableExecutionArn}/stop" 200, StopDurableExecutionRequest -> StopDurableExecutionResponse, NotBuilt;
    TagResource tag_resource: POST "/2017-03-31/tags/{Resource}" 204, TagResourceRequest -> NoOutput, Built;
    UntagResource untag_resource: DELETE "/2017-03-31/tags/{Resource}" 204, UntagResourceRequest -> NoOutput, Built;
    UpdateAlias update_alias: PUT "/2015-03-31/functions/{FunctionName}/aliases/{Name}" 200, UpdateAliasRequest -> AliasConfiguration, Built;
    UpdateCapacityProvider update_capacity_provider: PUT "/2025-11-30/capacity-providers/{CapacityProviderName}" 202, UpdateCapacityProviderRequest -> UpdateCapacityProviderResponse, NotBuilt;
    UpdateCodeSigningConfig update_code_signing_config: PUT "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}" 200, UpdateCodeSigningConfigRequest -> UpdateCodeSigningConfigResponse, Built;
    UpdateEventSourceMapping update_event_source_mapping: PUT "/2015-03-31/event-source-mappings/{UUID}" 202, UpdateEventSourceMappingRequest -> EventSourceMappingConfiguration, Built;
    UpdateFunctionCode update_function_code: PUT "/2015-03-31/functions/{FunctionName}/code" 200, UpdateFunctionCodeRequest -> FunctionConfiguration, Built;
    UpdateFunctionConfiguration update_function_configuration: PUT "/2015-03-31/functions/{FunctionName}/configuration" 200, UpdateFunctionConfigurationRequest -> FunctionConfiguration, Built;
    UpdateFunctionEventInvokeConfig update_function_event_invoke_config: POST "/2019-09-25/functions/{FunctionName}/event-invoke-config" 200, UpdateFunctionEventInvokeConfigRequest -> FunctionEventInvokeConfig, Built;
    UpdateFunctionUrlConfig update_function_url_config: PUT "/2021-10-31/functions/{FunctionName}/url" 200, UpdateFunctionUrlConfigRequest -> UpdateFunctionUrlConfigResponse, Built;
}

/// The list of all operations with their state, as Markdown, for the README.
#[must_use]
pub fn coverage() -> String {
    let built = TABLE.iter().filter(|row| row.is_built()).count();
    let mut text =
        format!("{built} of {} operations work; every other one answers 501 with its name.\n\n", TABLE.len());
    text.push_str("| Operation | Request | State |\n|---|---|---|\n");
    for row in TABLE {
        let state = if row.is_built() { "works" } else { "501" };
        text.push_str(&format!("| {} | `{} {}` | {state} |\n", row.name, row.method.as_str(), row.uri));
    }
    text
}

/// The table as JSON, for `hearth api dump`: one object per operation, with the names and places of its members.
#[must_use]
pub fn dump() -> Value {
    TABLE
        .iter()
        .map(|row| {
            serde_json::json!({
                "operation": row.name,
                "method": row.method.as_str(),
                "uri": row.uri,
                "success": row.success,
                "state": if row.is_built() { "built" } else { "not built" },
                "input": dump_members(row.input),
                "output": if row.has_output() { dump_members(row.output) } else { Value::Null },
            })
        })
        .collect()
}

fn dump_members(shape: &Shape) -> Value {
    use crate::shape::Place;
    let members = shape.members().iter().map(|member| {
        let place = match member.place {
            Place::Body => "body".to_owned(),
            Place::Label => "label".to_owned(),
            Place::Query(name) => format!("query {name}"),
            Place::Header(name) => format!("header {name}"),
            Place::Status => "status".to_owned(),
            Place::Payload => "payload".to_owned(),
        };
        let about =
            serde_json::json!({ "shape": member.shape.name, "place": place, "required": member.required });
        (member.name.to_owned(), about)
    });
    serde_json::json!({ "shape": shape.name, "members": members.collect::<serde_json::Map<_, _>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn the_table_has_ninety_one_operations_in_the_order_of_their_names() {
        assert_eq!(TABLE.len(), 91);
        assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.operation as usize, index);
            assert_eq!(Operation::from_name(row.name), Some(row.operation));
        }
        assert_eq!(Operation::from_name("MakeCoffee"), None);
    }

    #[test]
    fn coverage_lists_every_operation_once_with_its_state() {
        let text = coverage();
        for row in TABLE {
            let start = format!("| {} | `{} {}` | ", row.name, row.method.as_str(), row.uri);
            let lines: Vec<_> = text.lines().filter(|line| line.starts_with(&start)).collect();
            assert_eq!(lines.len(), 1, "{}", row.name);
            assert_eq!(lines[0].ends_with("| works |"), row.is_built());
        }
        assert_eq!(dump().as_array().unwrap().len(), 91);
    }

    struct Nobody;
    impl Service for Nobody {
        type Context = ();
        async fn get_account_settings(
            &self,
            (): (),
            _: GetAccountSettingsRequest,
        ) -> Result<GetAccountSettingsResponse, ApiError> {
            Ok(GetAccountSettingsResponse::default())
        }
    }

    fn answer(operation: Operation) -> Result<Reply, ApiError> {
        let mut call = std::pin::pin!(dispatch(&Nobody, (), operation, serde_json::json!({})));
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("nothing here waits"),
        }
    }

    #[test]
    fn what_a_service_does_not_answer_says_501_with_its_name() {
        for operation in Operation::ALL {
            if *operation == Operation::GetAccountSettings {
                assert_eq!(answer(*operation).unwrap().status, 200);
                continue;
            }
            let error = answer(*operation).unwrap_err();
            assert_eq!(error.status(), 501);
            assert!(error.message().unwrap().contains(operation.name()));
        }
    }
}
