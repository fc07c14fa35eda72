//! Shapes of resource policies.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::shape::{boolean, text};

alias! {
    Action: String = text().length(0, 10_000).pattern(r"(lambda:[*]|lambda:[a-zA-Z]+|[*])");
    EventSourceToken: String = text().length(0, 256).pattern(r"[a-zA-Z0-9._\-]+");
    InvokedViaFunctionUrl: bool = boolean();
    NamespacedStatementId: String = text().length(1, 100).pattern(r"([a-zA-Z0-9-_.]+)");
    PolicyResourceArn: String = text().length(0, 512).pattern(r"arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_])+)?|runtime/[a-zA-Z0-9-_./]+)");
    Principal: String = text().length(0, 2048).pattern(r"[^\s]+");
    PrincipalOrgID: String = text().length(12, 34).pattern(r"o-[a-z0-9]{10,32}");
    ResourcePolicy: String = text().length(1, 20_480).pattern(r"[\s\S]+");
    RevisionId: String = text().length(36, 36).pattern(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}");
    SourceOwner: String = text().length(0, 12).pattern(r"\d{12}");
}

shape! {
    AddPermissionRequest {
        action: Action = "Action".required();
        event_source_token: EventSourceToken = "EventSourceToken";
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        function_url_auth_type: FunctionUrlAuthType = "FunctionUrlAuthType";
        invoked_via_function_url: InvokedViaFunctionUrl = "InvokedViaFunctionUrl";
        principal: Principal = "Principal".required();
        principal_org_id: PrincipalOrgID = "PrincipalOrgID";
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
        revision_id: Text = "RevisionId";
        source_account: SourceOwner = "SourceAccount";
        source_arn: Arn = "SourceArn";
        statement_id: StatementId = "StatementId".required();
    }
    AddPermissionResponse {
        statement: Text = "Statement";
    }
    DeleteResourcePolicyRequest {
        resource_arn: PolicyResourceArn = "ResourceArn".label().required();
        revision_id: RevisionId = "RevisionId".query();
    }
    GetPolicyRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
    }
    GetPolicyResponse {
        policy: Text = "Policy";
        revision_id: Text = "RevisionId";
    }
    GetResourcePolicyRequest {
        resource_arn: PolicyResourceArn = "ResourceArn".label().required();
    }
    GetResourcePolicyResponse {
        policy: ResourcePolicy = "Policy";
        revision_id: RevisionId = "RevisionId";
    }
    PutResourcePolicyRequest {
        policy: ResourcePolicy = "Policy".required();
        resource_arn: PolicyResourceArn = "ResourceArn".label().required();
        revision_id: RevisionId = "RevisionId";
    }
    PutResourcePolicyResponse {
        policy: ResourcePolicy = "Policy";
        revision_id: RevisionId = "RevisionId";
    }
    RemovePermissionRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        qualifier: NumericLatestPublishedOrAliasQualifier = "Qualifier".query();
        revision_id: Text = "RevisionId".query();
        statement_id: NamespacedStatementId = "StatementId".label().required();
    }
}
