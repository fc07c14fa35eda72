//! Every operation by its name, and who does it: what the table calls, in one place.
//!
//! Long because the table is one thing. Nothing is decided here.

use super::{Context, Control};
use hearth_api::error::ApiError;
use hearth_api::operations::Service;
use hearth_api::shapes::*;

impl Service for Control {
    type Context = Context;

    async fn create_function(
        &self,
        context: Context,
        input: CreateFunctionRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        self.create(input, context.environment).await
    }

    async fn get_function(
        &self,
        context: Context,
        input: GetFunctionRequest,
    ) -> Result<GetFunctionResponse, ApiError> {
        self.get(input, &context.endpoint).await
    }

    async fn get_function_configuration(
        &self,
        _: Context,
        input: GetFunctionConfigurationRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        self.get_configuration(input).await
    }

    async fn list_functions(
        &self,
        _: Context,
        input: ListFunctionsRequest,
    ) -> Result<ListFunctionsResponse, ApiError> {
        self.list(input).await
    }

    async fn update_function_code(
        &self,
        _: Context,
        input: UpdateFunctionCodeRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        self.update_code(input).await
    }

    async fn update_function_configuration(
        &self,
        context: Context,
        input: UpdateFunctionConfigurationRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        self.update_configuration(input, context.environment).await
    }

    async fn delete_function(
        &self,
        _: Context,
        input: DeleteFunctionRequest,
    ) -> Result<DeleteFunctionResponse, ApiError> {
        self.delete(input).await
    }

    async fn publish_version(
        &self,
        _: Context,
        input: PublishVersionRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        self.publish(input).await
    }

    async fn list_versions_by_function(
        &self,
        _: Context,
        input: ListVersionsByFunctionRequest,
    ) -> Result<ListVersionsByFunctionResponse, ApiError> {
        self.list_versions(input).await
    }

    async fn create_alias(
        &self,
        _: Context,
        input: CreateAliasRequest,
    ) -> Result<AliasConfiguration, ApiError> {
        self.make_alias(input).await
    }

    async fn get_alias(&self, _: Context, input: GetAliasRequest) -> Result<AliasConfiguration, ApiError> {
        self.alias(input).await
    }

    async fn update_alias(
        &self,
        _: Context,
        input: UpdateAliasRequest,
    ) -> Result<AliasConfiguration, ApiError> {
        self.change_alias(input).await
    }

    async fn delete_alias(&self, _: Context, input: DeleteAliasRequest) -> Result<NoOutput, ApiError> {
        self.remove_alias(input).await
    }

    async fn list_aliases(
        &self,
        _: Context,
        input: ListAliasesRequest,
    ) -> Result<ListAliasesResponse, ApiError> {
        self.aliases(input).await
    }

    async fn put_function_concurrency(
        &self,
        _: Context,
        input: PutFunctionConcurrencyRequest,
    ) -> Result<Concurrency, ApiError> {
        self.put_concurrency(input).await
    }

    async fn get_function_concurrency(
        &self,
        _: Context,
        input: GetFunctionConcurrencyRequest,
    ) -> Result<GetFunctionConcurrencyResponse, ApiError> {
        self.get_concurrency(input).await
    }

    async fn delete_function_concurrency(
        &self,
        _: Context,
        input: DeleteFunctionConcurrencyRequest,
    ) -> Result<NoOutput, ApiError> {
        self.delete_concurrency(input).await
    }

    async fn get_account_settings(
        &self,
        _: Context,
        _: GetAccountSettingsRequest,
    ) -> Result<GetAccountSettingsResponse, ApiError> {
        self.account_settings().await
    }

    async fn list_tags(&self, _: Context, input: ListTagsRequest) -> Result<ListTagsResponse, ApiError> {
        self.tags(input).await
    }

    async fn tag_resource(&self, _: Context, input: TagResourceRequest) -> Result<NoOutput, ApiError> {
        self.tag(input).await
    }

    async fn untag_resource(&self, _: Context, input: UntagResourceRequest) -> Result<NoOutput, ApiError> {
        self.untag(input).await
    }

    async fn publish_layer_version(
        &self,
        context: Context,
        input: PublishLayerVersionRequest,
    ) -> Result<PublishLayerVersionResponse, ApiError> {
        self.publish_layer(input, &context.endpoint).await
    }

    async fn get_layer_version(
        &self,
        context: Context,
        input: GetLayerVersionRequest,
    ) -> Result<GetLayerVersionResponse, ApiError> {
        self.layer_version(input, &context.endpoint).await
    }

    async fn get_layer_version_by_arn(
        &self,
        context: Context,
        input: GetLayerVersionByArnRequest,
    ) -> Result<GetLayerVersionResponse, ApiError> {
        self.layer_version_by_arn(input, &context.endpoint).await
    }

    async fn list_layers(
        &self,
        _: Context,
        input: ListLayersRequest,
    ) -> Result<ListLayersResponse, ApiError> {
        self.layers(input).await
    }

    async fn list_layer_versions(
        &self,
        _: Context,
        input: ListLayerVersionsRequest,
    ) -> Result<ListLayerVersionsResponse, ApiError> {
        self.layer_versions(input).await
    }

    async fn delete_layer_version(
        &self,
        _: Context,
        input: DeleteLayerVersionRequest,
    ) -> Result<NoOutput, ApiError> {
        self.remove_layer_version(input).await
    }

    async fn add_layer_version_permission(
        &self,
        _: Context,
        input: AddLayerVersionPermissionRequest,
    ) -> Result<AddLayerVersionPermissionResponse, ApiError> {
        self.add_layer_permission(input).await
    }

    async fn remove_layer_version_permission(
        &self,
        _: Context,
        input: RemoveLayerVersionPermissionRequest,
    ) -> Result<NoOutput, ApiError> {
        self.remove_layer_permission(input).await
    }

    async fn get_layer_version_policy(
        &self,
        _: Context,
        input: GetLayerVersionPolicyRequest,
    ) -> Result<GetLayerVersionPolicyResponse, ApiError> {
        self.layer_policy(input).await
    }

    async fn add_permission(
        &self,
        _: Context,
        input: AddPermissionRequest,
    ) -> Result<AddPermissionResponse, ApiError> {
        self.grant(input).await
    }

    async fn remove_permission(
        &self,
        _: Context,
        input: RemovePermissionRequest,
    ) -> Result<NoOutput, ApiError> {
        self.revoke(input).await
    }

    async fn get_policy(&self, _: Context, input: GetPolicyRequest) -> Result<GetPolicyResponse, ApiError> {
        self.policy(input).await
    }

    async fn put_resource_policy(
        &self,
        _: Context,
        input: PutResourcePolicyRequest,
    ) -> Result<PutResourcePolicyResponse, ApiError> {
        self.put_policy(input).await
    }

    async fn get_resource_policy(
        &self,
        _: Context,
        input: GetResourcePolicyRequest,
    ) -> Result<GetResourcePolicyResponse, ApiError> {
        self.whole_policy(input).await
    }

    async fn delete_resource_policy(
        &self,
        _: Context,
        input: DeleteResourcePolicyRequest,
    ) -> Result<NoOutput, ApiError> {
        self.remove_policy(input).await
    }

    async fn create_function_url_config(
        &self,
        _: Context,
        input: CreateFunctionUrlConfigRequest,
    ) -> Result<CreateFunctionUrlConfigResponse, ApiError> {
        self.make_url(input).await
    }

    async fn get_function_url_config(
        &self,
        _: Context,
        input: GetFunctionUrlConfigRequest,
    ) -> Result<GetFunctionUrlConfigResponse, ApiError> {
        self.url(input).await
    }

    async fn update_function_url_config(
        &self,
        _: Context,
        input: UpdateFunctionUrlConfigRequest,
    ) -> Result<UpdateFunctionUrlConfigResponse, ApiError> {
        self.change_url(input).await
    }

    async fn delete_function_url_config(
        &self,
        _: Context,
        input: DeleteFunctionUrlConfigRequest,
    ) -> Result<NoOutput, ApiError> {
        self.remove_url(input).await
    }

    async fn list_function_url_configs(
        &self,
        _: Context,
        input: ListFunctionUrlConfigsRequest,
    ) -> Result<ListFunctionUrlConfigsResponse, ApiError> {
        self.urls(input).await
    }

    async fn put_function_event_invoke_config(
        &self,
        _: Context,
        input: PutFunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        self.put_event_invoke(input).await
    }

    async fn update_function_event_invoke_config(
        &self,
        _: Context,
        input: UpdateFunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        self.update_event_invoke(input).await
    }

    async fn get_function_event_invoke_config(
        &self,
        _: Context,
        input: GetFunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        self.get_event_invoke(input).await
    }

    async fn delete_function_event_invoke_config(
        &self,
        _: Context,
        input: DeleteFunctionEventInvokeConfigRequest,
    ) -> Result<NoOutput, ApiError> {
        self.delete_event_invoke(input).await
    }

    async fn list_function_event_invoke_configs(
        &self,
        _: Context,
        input: ListFunctionEventInvokeConfigsRequest,
    ) -> Result<ListFunctionEventInvokeConfigsResponse, ApiError> {
        self.list_event_invokes(input).await
    }

    async fn put_function_recursion_config(
        &self,
        _: Context,
        input: PutFunctionRecursionConfigRequest,
    ) -> Result<PutFunctionRecursionConfigResponse, ApiError> {
        self.put_recursion(input).await
    }

    async fn get_function_recursion_config(
        &self,
        _: Context,
        input: GetFunctionRecursionConfigRequest,
    ) -> Result<GetFunctionRecursionConfigResponse, ApiError> {
        self.get_recursion(input).await
    }

    async fn put_runtime_management_config(
        &self,
        _: Context,
        input: PutRuntimeManagementConfigRequest,
    ) -> Result<PutRuntimeManagementConfigResponse, ApiError> {
        self.put_runtime_management(input).await
    }

    async fn get_runtime_management_config(
        &self,
        _: Context,
        input: GetRuntimeManagementConfigRequest,
    ) -> Result<GetRuntimeManagementConfigResponse, ApiError> {
        self.get_runtime_management(input).await
    }

    async fn create_event_source_mapping(
        &self,
        _: Context,
        input: CreateEventSourceMappingRequest,
    ) -> Result<EventSourceMappingConfiguration, ApiError> {
        self.create_mapping(input).await
    }

    async fn get_event_source_mapping(
        &self,
        _: Context,
        input: GetEventSourceMappingRequest,
    ) -> Result<EventSourceMappingConfiguration, ApiError> {
        self.get_mapping(input).await
    }

    async fn update_event_source_mapping(
        &self,
        _: Context,
        input: UpdateEventSourceMappingRequest,
    ) -> Result<EventSourceMappingConfiguration, ApiError> {
        self.update_mapping(input).await
    }

    async fn delete_event_source_mapping(
        &self,
        _: Context,
        input: DeleteEventSourceMappingRequest,
    ) -> Result<EventSourceMappingConfiguration, ApiError> {
        self.delete_mapping(input).await
    }

    async fn list_event_source_mappings(
        &self,
        _: Context,
        input: ListEventSourceMappingsRequest,
    ) -> Result<ListEventSourceMappingsResponse, ApiError> {
        self.list_mappings(input).await
    }

    async fn create_code_signing_config(
        &self,
        _: Context,
        input: CreateCodeSigningConfigRequest,
    ) -> Result<CreateCodeSigningConfigResponse, ApiError> {
        self.make_signing_config(input).await
    }

    async fn get_code_signing_config(
        &self,
        _: Context,
        input: GetCodeSigningConfigRequest,
    ) -> Result<GetCodeSigningConfigResponse, ApiError> {
        self.signing_config(input).await
    }

    async fn update_code_signing_config(
        &self,
        _: Context,
        input: UpdateCodeSigningConfigRequest,
    ) -> Result<UpdateCodeSigningConfigResponse, ApiError> {
        self.change_signing_config(input).await
    }

    async fn delete_code_signing_config(
        &self,
        _: Context,
        input: DeleteCodeSigningConfigRequest,
    ) -> Result<DeleteCodeSigningConfigResponse, ApiError> {
        self.remove_signing_config(input).await
    }

    async fn list_code_signing_configs(
        &self,
        _: Context,
        input: ListCodeSigningConfigsRequest,
    ) -> Result<ListCodeSigningConfigsResponse, ApiError> {
        self.signing_configs(input).await
    }

    async fn list_functions_by_code_signing_config(
        &self,
        _: Context,
        input: ListFunctionsByCodeSigningConfigRequest,
    ) -> Result<ListFunctionsByCodeSigningConfigResponse, ApiError> {
        self.signing_functions(input).await
    }

    async fn put_function_code_signing_config(
        &self,
        _: Context,
        input: PutFunctionCodeSigningConfigRequest,
    ) -> Result<PutFunctionCodeSigningConfigResponse, ApiError> {
        self.put_function_signing(input).await
    }

    async fn get_function_code_signing_config(
        &self,
        _: Context,
        input: GetFunctionCodeSigningConfigRequest,
    ) -> Result<GetFunctionCodeSigningConfigResponse, ApiError> {
        self.get_function_signing(input).await
    }

    async fn delete_function_code_signing_config(
        &self,
        _: Context,
        input: DeleteFunctionCodeSigningConfigRequest,
    ) -> Result<NoOutput, ApiError> {
        self.delete_function_signing(input).await
    }

    async fn put_provisioned_concurrency_config(
        &self,
        _: Context,
        input: PutProvisionedConcurrencyConfigRequest,
    ) -> Result<PutProvisionedConcurrencyConfigResponse, ApiError> {
        self.put_provisioned(input).await
    }

    async fn get_provisioned_concurrency_config(
        &self,
        _: Context,
        input: GetProvisionedConcurrencyConfigRequest,
    ) -> Result<GetProvisionedConcurrencyConfigResponse, ApiError> {
        self.get_provisioned(input).await
    }

    async fn delete_provisioned_concurrency_config(
        &self,
        _: Context,
        input: DeleteProvisionedConcurrencyConfigRequest,
    ) -> Result<NoOutput, ApiError> {
        self.delete_provisioned(input).await
    }

    async fn list_provisioned_concurrency_configs(
        &self,
        _: Context,
        input: ListProvisionedConcurrencyConfigsRequest,
    ) -> Result<ListProvisionedConcurrencyConfigsResponse, ApiError> {
        self.list_provisioned(input).await
    }
}
