//! Shapes of account limits and usage.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::shape::integer;

alias! {
    UnreservedConcurrentExecutions: i32 = integer().at_least(0);
}

shape! {
    AccountLimit {
        code_size_unzipped: Long = "CodeSizeUnzipped";
        code_size_zipped: Long = "CodeSizeZipped";
        concurrent_executions: Integer = "ConcurrentExecutions";
        total_code_size: Long = "TotalCodeSize";
        unreserved_concurrent_executions: UnreservedConcurrentExecutions = "UnreservedConcurrentExecutions";
    }
    AccountUsage {
        function_count: Long = "FunctionCount";
        total_code_size: Long = "TotalCodeSize";
    }
    GetAccountSettingsRequest {
    }
    GetAccountSettingsResponse {
        account_limit: AccountLimit = "AccountLimit";
        account_usage: AccountUsage = "AccountUsage";
    }
}
