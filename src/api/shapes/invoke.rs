//! Shapes of invocations.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::primitives;
use crate::shape::{blob, choice, integer};

alias! {
    BlobStream: primitives::Blob = blob();
    HttpStatus: i32 = integer();
    InvocationType: String = choice(&["Event", "RequestResponse", "DryRun"]);
    LogType: String = choice(&["None", "Tail"]);
    ResponseStreamingInvocationType: String = choice(&["RequestResponse", "DryRun"]);
}

shape! {
    InvocationRequest {
        client_context: Text = "ClientContext".header("X-Amz-Client-Context");
        durable_execution_name: DurableExecutionName = "DurableExecutionName".header("X-Amz-Durable-Execution-Name");
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        invocation_type: InvocationType = "InvocationType".header("X-Amz-Invocation-Type");
        log_type: LogType = "LogType".header("X-Amz-Log-Type");
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
        tenant_id: TenantId = "TenantId".header("X-Amz-Tenant-Id");
        + Blob = "Payload";
    }
    InvocationResponse {
        durable_execution_arn: DurableExecutionArn = "DurableExecutionArn".header("X-Amz-Durable-Execution-Arn");
        executed_version: Version = "ExecutedVersion".header("X-Amz-Executed-Version");
        function_error: Text = "FunctionError".header("X-Amz-Function-Error");
        log_result: Text = "LogResult".header("X-Amz-Log-Result");
        status_code: Integer = "StatusCode".status();
        + Blob = "Payload";
    }
    InvokeAsyncRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        + BlobStream = "InvokeArgs".required();
    }
    InvokeAsyncResponse {
        status: HttpStatus = "Status".status();
    }
    InvokeResponseStreamUpdate {
        payload: Blob = "Payload";
    }
    InvokeWithResponseStreamCompleteEvent {
        error_code: Text = "ErrorCode";
        error_details: Text = "ErrorDetails";
        log_result: Text = "LogResult";
    }
    InvokeWithResponseStreamRequest {
        client_context: Text = "ClientContext".header("X-Amz-Client-Context");
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        invocation_type: ResponseStreamingInvocationType = "InvocationType".header("X-Amz-Invocation-Type");
        log_type: LogType = "LogType".header("X-Amz-Log-Type");
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
        tenant_id: TenantId = "TenantId".header("X-Amz-Tenant-Id");
        + Blob = "Payload";
    }
    InvokeWithResponseStreamResponse {
        executed_version: Version = "ExecutedVersion".header("X-Amz-Executed-Version");
        response_stream_content_type: Text = "ResponseStreamContentType".header("Content-Type");
        status_code: Integer = "StatusCode".status();
        + Blob = "EventStream";
    }
}
