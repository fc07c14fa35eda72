//! Shapes of durable executions.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::primitives;
use crate::shape::{blob, boolean, choice, integer, list, text, timestamp};

alias! {
    AttemptCount: i32 = integer().at_least(0);
    BinaryOperationPayload: primitives::Blob = blob().length(0, 1_048_576).sensitive();
    CallbackId: String = text().length(1, 1024).pattern(r"[A-Za-z0-9+/]+={0,2}");
    CallbackOptionsHeartbeatTimeoutSecondsInteger: i32 = integer().at_least(0).at_most(99_999_999);
    CallbackOptionsTimeoutSecondsInteger: i32 = integer().at_least(0).at_most(99_999_999);
    CheckpointToken: String = text().length(1, 2048).pattern(r"[A-Za-z0-9+/]+={0,2}");
    ClientToken: String = text().length(1, 64).pattern(r"[\x21-\x7E]+");
    DurableExecutions: Vec<Execution> = list(&Execution);
    DurationSeconds: i32 = integer().at_least(0);
    ErrorData: String = text().sensitive();
    ErrorMessage: String = text().sensitive();
    ErrorType: String = text().sensitive();
    EventId: i32 = integer().at_least(1);
    EventType: String = choice(&["ExecutionStarted", "ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionStopped", "ContextStarted", "ContextSucceeded", "ContextFailed", "WaitStarted", "WaitSucceeded", "WaitCancelled", "StepStarted", "StepSucceeded", "StepFailed", "ChainedInvokeStarted", "ChainedInvokeSucceeded", "ChainedInvokeFailed", "ChainedInvokeTimedOut", "ChainedInvokeStopped", "CallbackStarted", "CallbackSucceeded", "CallbackFailed", "CallbackTimedOut", "InvocationCompleted", "ExecutionPaused", "ExecutionResumed"]);
    Events: Vec<Event> = list(&Event);
    ExecutionDataIncluded: bool = boolean();
    ExecutionStatus: String = choice(&["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED", "DELETING", "PAUSING", "PAUSED"]);
    ExecutionStatusList: Vec<ExecutionStatus> = list(&ExecutionStatus).length(1, 10);
    ExecutionTimeoutPaused: bool = boolean();
    ExecutionTimestamp: primitives::EpochTime = timestamp();
    IncludeExecutionData: bool = boolean();
    InputPayload: String = text().length(0, 6_291_456).sensitive();
    ItemCount: i32 = integer().at_least(0).at_most(1000);
    OperationAction: String = choice(&["START", "SUCCEED", "FAIL", "RETRY", "CANCEL"]);
    OperationId: String = text().length(1, 64).pattern(r"[a-zA-Z0-9-_]+");
    OperationName: String = text().length(1, 256).pattern(r"[\x20-\x7E]+");
    OperationPayload: String = text().length(0, 6_291_456).sensitive();
    OperationStatus: String = choice(&["STARTED", "PENDING", "READY", "SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT", "STOPPED"]);
    OperationSubType: String = text().length(1, 32).pattern(r"[a-zA-Z0-9-_]+");
    OperationType: String = choice(&["EXECUTION", "CONTEXT", "STEP", "WAIT", "CALLBACK", "CHAINED_INVOKE"]);
    OperationUpdates: Vec<OperationUpdate> = list(&OperationUpdate);
    Operations: Vec<Operation> = list(&Operation);
    OutputPayload: String = text().length(0, 6_291_456).sensitive();
    PauseReason: String = text().length(0, 1024).sensitive();
    ReplayChildren: bool = boolean();
    ResumeReason: String = text().length(0, 1024).sensitive();
    ReverseOrder: bool = boolean();
    StackTraceEntries: Vec<StackTraceEntry> = list(&StackTraceEntry);
    StackTraceEntry: String = text().sensitive();
    StepOptionsNextAttemptDelaySecondsInteger: i32 = integer().at_least(1).at_most(31_622_400);
    Truncated: bool = boolean();
    WaitOptionsWaitSecondsInteger: i32 = integer().at_least(1).at_most(31_622_400);
    XAmznTraceId: String = text().length(0, 8192);
}

shape! {
    CallbackDetails {
        callback_id: CallbackId = "CallbackId";
        error: ErrorObject = "Error";
        result: OperationPayload = "Result";
    }
    CallbackFailedDetails {
        error: EventError = "Error".required();
    }
    CallbackOptions {
        heartbeat_timeout_seconds: CallbackOptionsHeartbeatTimeoutSecondsInteger = "HeartbeatTimeoutSeconds";
        timeout_seconds: CallbackOptionsTimeoutSecondsInteger = "TimeoutSeconds";
    }
    CallbackStartedDetails {
        callback_id: CallbackId = "CallbackId".required();
        heartbeat_timeout: DurationSeconds = "HeartbeatTimeout";
        timeout: DurationSeconds = "Timeout";
    }
    CallbackSucceededDetails {
        result: EventResult = "Result".required();
    }
    CallbackTimedOutDetails {
        error: EventError = "Error".required();
    }
    ChainedInvokeDetails {
        error: ErrorObject = "Error";
        result: OperationPayload = "Result";
    }
    ChainedInvokeFailedDetails {
        error: EventError = "Error".required();
    }
    ChainedInvokeOptions {
        function_name: NamespacedFunctionName = "FunctionName".required();
        tenant_id: TenantId = "TenantId";
        x_amzn_trace_id: XAmznTraceId = "XAmznTraceId";
    }
    ChainedInvokeStartedDetails {
        durable_execution_arn: DurableExecutionArn = "DurableExecutionArn";
        executed_version: VersionWithLatestPublished = "ExecutedVersion";
        function_name: NamespacedFunctionName = "FunctionName".required();
        input: EventInput = "Input";
        tenant_id: TenantId = "TenantId";
    }
    ChainedInvokeStoppedDetails {
        error: EventError = "Error".required();
    }
    ChainedInvokeSucceededDetails {
        result: EventResult = "Result".required();
    }
    ChainedInvokeTimedOutDetails {
        error: EventError = "Error".required();
    }
    CheckpointDurableExecutionRequest {
        checkpoint_token: CheckpointToken = "CheckpointToken".required();
        client_token: ClientToken = "ClientToken";
        durable_execution_arn: DurableExecutionArn = "DurableExecutionArn".label().required();
        updates: OperationUpdates = "Updates";
    }
    CheckpointDurableExecutionResponse {
        checkpoint_token: CheckpointToken = "CheckpointToken";
        new_execution_state: CheckpointUpdatedExecutionState = "NewExecutionState".required();
    }
    CheckpointUpdatedExecutionState {
        next_marker: Text = "NextMarker";
        operations: Operations = "Operations";
    }
    ContextDetails {
        error: ErrorObject = "Error";
        replay_children: ReplayChildren = "ReplayChildren";
        result: OperationPayload = "Result";
    }
    ContextFailedDetails {
        error: EventError = "Error".required();
    }
    ContextOptions {
        replay_children: ReplayChildren = "ReplayChildren";
    }
    ContextStartedDetails {
    }
    ContextSucceededDetails {
        result: EventResult = "Result".required();
    }
    DeleteDurableExecutionRequest {
        durable_execution_arn: DurableExecutionArn = "DurableExecutionArn".label().required();
    }
    DeleteDurableExecutionResponse {
        deletion_request_timestamp: ExecutionTimestamp = "DeletionRequestTimestamp".required();
    }
    ErrorObject {
        error_data: ErrorData = "ErrorData";
        error_message: ErrorMessage = "ErrorMessage";
        error_type: ErrorType = "ErrorType";
        stack_trace: StackTraceEntries = "StackTrace";
    }
    Event {
        callback_failed_details: CallbackFailedDetails = "CallbackFailedDetails";
        callback_started_details: CallbackStartedDetails = "CallbackStartedDetails";
        callback_succeeded_details: CallbackSucceededDetails = "CallbackSucceededDetails";
        callback_timed_out_details: CallbackTimedOutDetails = "CallbackTimedOutDetails";
        chained_invoke_failed_details: ChainedInvokeFailedDetails = "ChainedInvokeFailedDetails";
        chained_invoke_started_details: ChainedInvokeStartedDetails = "ChainedInvokeStartedDetails";
        chained_invoke_stopped_details: ChainedInvokeStoppedDetails = "ChainedInvokeStoppedDetails";
        chained_invoke_succeeded_details: ChainedInvokeSucceededDetails = "ChainedInvokeSucceededDetails";
        chained_invoke_timed_out_details: ChainedInvokeTimedOutDetails = "ChainedInvokeTimedOutDetails";
        context_failed_details: ContextFailedDetails = "ContextFailedDetails";
        context_started_details: ContextStartedDetails = "ContextStartedDetails";
        context_succeeded_details: ContextSucceededDetails = "ContextSucceededDetails";
        event_id: EventId = "EventId";
        event_timestamp: ExecutionTimestamp = "EventTimestamp";
        event_type: EventType = "EventType";
        execution_failed_details: ExecutionFailedDetails = "ExecutionFailedDetails";
        execution_paused_details: ExecutionPausedDetails = "ExecutionPausedDetails";
        execution_resumed_details: ExecutionResumedDetails = "ExecutionResumedDetails";
        execution_started_details: ExecutionStartedDetails = "ExecutionStartedDetails";
        execution_stopped_details: ExecutionStoppedDetails = "ExecutionStoppedDetails";
        execution_succeeded_details: ExecutionSucceededDetails = "ExecutionSucceededDetails";
        execution_timed_out_details: ExecutionTimedOutDetails = "ExecutionTimedOutDetails";
        id: OperationId = "Id";
        invocation_completed_details: InvocationCompletedDetails = "InvocationCompletedDetails";
        name: OperationName = "Name";
        parent_id: OperationId = "ParentId";
        step_failed_details: StepFailedDetails = "StepFailedDetails";
        step_started_details: StepStartedDetails = "StepStartedDetails";
        step_succeeded_details: StepSucceededDetails = "StepSucceededDetails";
        sub_type: OperationSubType = "SubType";
        wait_cancelled_details: WaitCancelledDetails = "WaitCancelledDetails";
        wait_started_details: WaitStartedDetails = "WaitStartedDetails";
        wait_succeeded_details: WaitSucceededDetails = "WaitSucceededDetails";
    }
    EventError {
        payload: ErrorObject = "Payload";
        truncated: Truncated = "Truncated";
    }
    EventInput {
        payload: InputPayload = "Payload";
        truncated: Truncated = "Truncated";
    }
    EventPauseReason {
        payload: PauseReason = "Payload";
        truncated: Truncated = "Truncated";
    }
    EventResult {
        payload: OperationPayload = "Payload";
        truncated: Truncated = "Truncated";
    }
    EventResumeReason {
        payload: ResumeReason = "Payload";
        truncated: Truncated = "Truncated";
    }
    Execution {
        durable_execution_arn: DurableExecutionArn = "DurableExecutionArn".required();
        durable_execution_name: DurableExecutionName = "DurableExecutionName".required();
        end_timestamp: ExecutionTimestamp = "EndTimestamp";
        function_arn: NameSpacedFunctionArn = "FunctionArn".required();
        kms_key_arn: KMSKeyArn = "KMSKeyArn";
        start_timestamp: ExecutionTimestamp = "StartTimestamp".required();
        status: ExecutionStatus = "Status".required();
    }
    ExecutionDetails {
        input_payload: InputPayload = "InputPayload";
    }
    ExecutionFailedDetails {
        error: EventError = "Error".required();
    }
    ExecutionPausedDetails {
        execution_timeout_paused: ExecutionTimeoutPaused = "ExecutionTimeoutPaused".required();
        pause_request_timestamp: ExecutionTimestamp = "PauseRequestTimestamp".required();
        reason: EventPauseReason = "Reason";
    }
    ExecutionResumedDetails {
        reason: EventResumeReason = "Reason";
        resume_request_timestamp: ExecutionTimestamp = "ResumeRequestTimestamp".required();
    }
    ExecutionStartedDetails {
        execution_timeout: DurationSeconds = "ExecutionTimeout".required();
        input: EventInput = "Input".required();
    }
    ExecutionStoppedDetails {
        error: EventError = "Error".required();
    }
    ExecutionSucceededDetails {
        result: EventResult = "Result".required();
    }
    ExecutionTimedOutDetails {
        error: EventError = "Error";
    }
    GetDurableExecutionHistoryRequest {
        durable_execution_arn: DurableExecutionArn = "DurableExecutionArn".label().required();
        include_execution_data: IncludeExecutionData = "IncludeExecutionData".query();
        marker: Text = "Marker".query();
        max_items: ItemCount = "MaxItems".query();
        reverse_order: ReverseOrder = "ReverseOrder".query();
    }
    GetDurableExecutionHistoryResponse {
        events: Events = "Events".required();
        next_marker: Text = "NextMarker";
    }
    GetDurableExecutionRequest {
        durable_execution_arn: DurableExecutionArn = "DurableExecutionArn".label().required();
        include_execution_data: IncludeExecutionData = "IncludeExecutionData".query();
    }
    GetDurableExecutionResponse {
        durable_config: DurableConfig = "DurableConfig";
        durable_execution_arn: DurableExecutionArn = "DurableExecutionArn".required();
        durable_execution_name: DurableExecutionName = "DurableExecutionName".required();
        end_timestamp: ExecutionTimestamp = "EndTimestamp";
        error: ErrorObject = "Error";
        execution_data_included: ExecutionDataIncluded = "ExecutionDataIncluded";
        expected_execution_timeout_timestamp: ExecutionTimestamp = "ExpectedExecutionTimeoutTimestamp";
        function_arn: NameSpacedFunctionArn = "FunctionArn".required();
        input_payload: InputPayload = "InputPayload";
        pause_details: PauseDetails = "PauseDetails";
        result: OutputPayload = "Result";
        start_timestamp: ExecutionTimestamp = "StartTimestamp".required();
        status: ExecutionStatus = "Status".required();
        trace_header: TraceHeader = "TraceHeader";
        version: VersionWithLatestPublished = "Version";
    }
    GetDurableExecutionStateRequest {
        checkpoint_token: CheckpointToken = "CheckpointToken".query().required();
        durable_execution_arn: DurableExecutionArn = "DurableExecutionArn".label().required();
        marker: Text = "Marker".query();
        max_items: ItemCount = "MaxItems".query();
    }
    GetDurableExecutionStateResponse {
        next_marker: Text = "NextMarker";
        operations: Operations = "Operations".required();
    }
    InvocationCompletedDetails {
        end_timestamp: ExecutionTimestamp = "EndTimestamp".required();
        error: EventError = "Error";
        request_id: Text = "RequestId".required();
        start_timestamp: ExecutionTimestamp = "StartTimestamp".required();
    }
    ListDurableExecutionsByFunctionRequest {
        durable_execution_name: DurableExecutionName = "DurableExecutionName".query();
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        marker: Text = "Marker".query();
        max_items: ItemCount = "MaxItems".query();
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
        reverse_order: ReverseOrder = "ReverseOrder".query();
        started_after: ExecutionTimestamp = "StartedAfter".query();
        started_before: ExecutionTimestamp = "StartedBefore".query();
        statuses: ExecutionStatusList = "Statuses".query();
    }
    ListDurableExecutionsByFunctionResponse {
        durable_executions: DurableExecutions = "DurableExecutions";
        next_marker: Text = "NextMarker";
    }
    Operation {
        callback_details: CallbackDetails = "CallbackDetails";
        chained_invoke_details: ChainedInvokeDetails = "ChainedInvokeDetails";
        context_details: ContextDetails = "ContextDetails";
        end_timestamp: ExecutionTimestamp = "EndTimestamp";
        execution_details: ExecutionDetails = "ExecutionDetails";
        id: OperationId = "Id".required();
        name: OperationName = "Name";
        parent_id: OperationId = "ParentId";
        start_timestamp: ExecutionTimestamp = "StartTimestamp".required();
        status: OperationStatus = "Status".required();
        step_details: StepDetails = "StepDetails";
        sub_type: OperationSubType = "SubType";
        type_: OperationType = "Type".required();
        wait_details: WaitDetails = "WaitDetails";
    }
    OperationUpdate {
        action: OperationAction = "Action".required();
        callback_options: CallbackOptions = "CallbackOptions";
        chained_invoke_options: ChainedInvokeOptions = "ChainedInvokeOptions";
        context_options: ContextOptions = "ContextOptions";
        error: ErrorObject = "Error";
        id: OperationId = "Id".required();
        name: OperationName = "Name";
        parent_id: OperationId = "ParentId";
        payload: OperationPayload = "Payload";
        step_options: StepOptions = "StepOptions";
        sub_type: OperationSubType = "SubType";
        type_: OperationType = "Type".required();
        wait_options: WaitOptions = "WaitOptions";
    }
    PauseDetails {
        execution_timeout_paused: ExecutionTimeoutPaused = "ExecutionTimeoutPaused".required();
        pause_request_timestamp: ExecutionTimestamp = "PauseRequestTimestamp".required();
        reason: PauseReason = "Reason";
    }
    PauseDurableExecutionRequest {
        client_token: ClientToken = "ClientToken";
        durable_execution_arn: DurableExecutionArn = "DurableExecutionArn".label().required();
        execution_timeout_paused: ExecutionTimeoutPaused = "ExecutionTimeoutPaused";
        reason: PauseReason = "Reason";
    }
    PauseDurableExecutionResponse {
    }
    ResumeDurableExecutionRequest {
        client_token: ClientToken = "ClientToken";
        durable_execution_arn: DurableExecutionArn = "DurableExecutionArn".label().required();
        reason: ResumeReason = "Reason";
    }
    ResumeDurableExecutionResponse {
    }
    RetryDetails {
        current_attempt: AttemptCount = "CurrentAttempt";
        next_attempt_delay_seconds: DurationSeconds = "NextAttemptDelaySeconds";
    }
    SendDurableExecutionCallbackFailureRequest {
        callback_id: CallbackId = "CallbackId".label().required();
        error: ErrorObject = "Error".payload();
    }
    SendDurableExecutionCallbackFailureResponse {
    }
    SendDurableExecutionCallbackHeartbeatRequest {
        callback_id: CallbackId = "CallbackId".label().required();
    }
    SendDurableExecutionCallbackHeartbeatResponse {
    }
    SendDurableExecutionCallbackSuccessRequest {
        callback_id: CallbackId = "CallbackId".label().required();
        + BinaryOperationPayload = "Result";
    }
    SendDurableExecutionCallbackSuccessResponse {
    }
    StepDetails {
        attempt: AttemptCount = "Attempt";
        error: ErrorObject = "Error";
        next_attempt_timestamp: ExecutionTimestamp = "NextAttemptTimestamp";
        result: OperationPayload = "Result";
    }
    StepFailedDetails {
        error: EventError = "Error".required();
        retry_details: RetryDetails = "RetryDetails".required();
    }
    StepOptions {
        next_attempt_delay_seconds: StepOptionsNextAttemptDelaySecondsInteger = "NextAttemptDelaySeconds";
    }
    StepStartedDetails {
    }
    StepSucceededDetails {
        result: EventResult = "Result".required();
        retry_details: RetryDetails = "RetryDetails".required();
    }
    StopDurableExecutionRequest {
        durable_execution_arn: DurableExecutionArn = "DurableExecutionArn".label().required();
        error: ErrorObject = "Error".payload();
    }
    StopDurableExecutionResponse {
        stop_timestamp: ExecutionTimestamp = "StopTimestamp".required();
    }
    TraceHeader {
        x_amzn_trace_id: XAmznTraceId = "XAmznTraceId";
    }
    WaitCancelledDetails {
        error: EventError = "Error";
    }
    WaitDetails {
        scheduled_end_timestamp: ExecutionTimestamp = "ScheduledEndTimestamp";
    }
    WaitOptions {
        wait_seconds: WaitOptionsWaitSecondsInteger = "WaitSeconds";
    }
    WaitStartedDetails {
        duration: DurationSeconds = "Duration".required();
        scheduled_end_timestamp: ExecutionTimestamp = "ScheduledEndTimestamp".required();
    }
    WaitSucceededDetails {
        duration: DurationSeconds = "Duration";
    }
}
