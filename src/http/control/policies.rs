//! Resource policies: who else may use a function, version or alias, in the JSON that the service writes.
//!
//! A policy is kept as the text that `GetPolicy` gives, one per qualifier, and goes with what it is about. Statements come
//! one by one (`AddPermission`) or as a whole document, which must be one that can be decided upon: a rule that nobody
//! understands may be the one that forbids. Deliberately not here: the decision itself, which is `logic::policy`'s.

use super::super::names::Target;
use super::Control;
use super::functions::STALE;
use crate::daemon::random;
use crate::store::{Change, Document, DocumentChange, Expect, Family, Version};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::shapes::*;
use hearth_logic::policy;
use serde_json::{Map, Value, json};

/// Bytes of one policy.
const POLICY_MAX: usize = 20_480;
const ABSENT: &str = "The resource you requested does not exist.";
const NOTHING: &str = "No policy is associated with the given resource.";
const NO_LATEST: &str = "We currently do not support adding policies for $LATEST.";
/// Beside services of `amazonaws.com`: the voice assistant's.
const SERVICE_DOMAINS: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".amazon.com"];

/// What conditions of a resource policy may ask for, in lower case.
pub(crate) const CONTEXT_KEYS: [&str; 13] = [
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:requestedregion",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:useragent",
    "aws:username",
    "lambda:eventsourcetoken",
    "lambda:functionurlauthtype",
    "lambda:invokedviafunctionurl",
];

/// A stored policy: what was written, and under which revision.
struct Kept {
    text: String,
    revision: String,
}

impl Control {
    pub(super) async fn grant(&self, input: AddPermissionRequest) -> Result<AddPermissionResponse, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        if target.qualifier.as_deref() == Some("$LATEST") {
            return Err(ApiError::invalid_parameter(NO_LATEST));
        }
        let arn = target.arn(&self.shared.functions);
        let statement = statement(&input, &arn)?;
        let _turn = self.shared.functions.gate(&target.name).await;
        self.require(&target, |arn| format!("Function not found: {arn}")).await?;
        let kept = self.kept(&target).await?;
        check_revision(kept.as_ref(), input.revision_id.as_deref())?;
        let mut document = match &kept {
            Some(kept) => parsed(&kept.text).map_err(|error| self.internal(error))?,
            None => json!({ "Version": "2012-10-17", "Id": "default", "Statement": [] }),
        };
        let statements = statements(&mut document);
        let sid = input.statement_id.unwrap_or_default();
        if statements.iter().any(|it| it["Sid"] == sid.as_str()) {
            return Err(ApiError::conflict(format!(
                "The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the existing statement."
            )));
        }
        statements.push(statement.clone());
        let text = document.to_string();
        // Nothing is kept that nobody could decide upon: the function would be closed to everybody.
        understood(&text).map_err(invalid)?;
        self.keep_policy(&target, text, kept).await?;
        Ok(AddPermissionResponse { statement: Some(statement.to_string()) })
    }

    pub(super) async fn revoke(&self, input: RemovePermissionRequest) -> Result<NoOutput, ApiError> {
        let target = self.policy_target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let _turn = self.shared.functions.gate(&target.name).await;
        self.require(&target, |arn| format!("No policy found for: {arn}")).await?;
        let kept = self.kept(&target).await?.ok_or_else(|| ApiError::not_found(NOTHING))?;
        let mut document = parsed(&kept.text).map_err(|error| self.internal(error))?;
        let statements = statements(&mut document);
        let sid = input.statement_id.unwrap_or_default();
        let before = statements.len();
        statements.retain(|it| it["Sid"] != sid.as_str());
        let left = statements.len();
        if left == before {
            let text = format!("Statement {sid} is not found in resource policy.");
            return Err(ApiError::not_found(text));
        }
        check_revision(Some(&kept), input.revision_id.as_deref())?;
        if left == 0 {
            self.drop_policy(&target, kept).await?;
        } else {
            self.keep_policy(&target, document.to_string(), Some(kept)).await?;
        }
        Ok(NoOutput::default())
    }

    pub(super) async fn policy(&self, input: GetPolicyRequest) -> Result<GetPolicyResponse, ApiError> {
        let target = self.policy_target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let kept = self.kept(&target).await?.ok_or_else(|| ApiError::not_found(ABSENT))?;
        Ok(GetPolicyResponse { policy: Some(kept.text), revision_id: Some(kept.revision) })
    }

    pub(super) async fn put_policy(
        &self,
        input: PutResourcePolicyRequest,
    ) -> Result<PutResourcePolicyResponse, ApiError> {
        let target = self.policy_of(input.resource_arn.as_deref())?;
        let text = input.policy.unwrap_or_default();
        understood(&text).map_err(invalid)?;
        let _turn = self.shared.functions.gate(&target.name).await;
        self.require(&target, |arn| format!("Function not found: {arn}")).await?;
        let kept = self.kept(&target).await?;
        check_revision(kept.as_ref(), input.revision_id.as_deref())?;
        let revision = self.keep_policy(&target, text.clone(), kept).await?;
        Ok(PutResourcePolicyResponse { policy: Some(text), revision_id: Some(revision) })
    }

    pub(super) async fn whole_policy(
        &self,
        input: GetResourcePolicyRequest,
    ) -> Result<GetResourcePolicyResponse, ApiError> {
        let target = self.policy_of(input.resource_arn.as_deref())?;
        let kept = self.kept(&target).await?.ok_or_else(|| ApiError::not_found(ABSENT))?;
        Ok(GetResourcePolicyResponse { policy: Some(kept.text), revision_id: Some(kept.revision) })
    }

    pub(super) async fn remove_policy(
        &self,
        input: DeleteResourcePolicyRequest,
    ) -> Result<NoOutput, ApiError> {
        let target = self.policy_of(input.resource_arn.as_deref())?;
        let _turn = self.shared.functions.gate(&target.name).await;
        let kept = self.kept(&target).await?.ok_or_else(|| ApiError::not_found(ABSENT))?;
        check_revision(Some(&kept), input.revision_id.as_deref())?;
        self.drop_policy(&target, kept).await?;
        Ok(NoOutput::default())
    }

    /// What goes with a version or alias when that is deleted.
    pub(super) fn followers(&self, target: &Target) -> Vec<Change> {
        let (family, key, expect) = (Family::Policy, target.document_key(), Expect::Anything);
        let mut changes = vec![Change::Document(DocumentChange::Remove { family, key, expect })];
        changes.extend(self.url_removal(target));
        changes
            .extend(target.qualifier.iter().flat_map(|it| super::side::forget_qualified(&target.name, it)));
        changes
    }

    /// Whose policy is meant: `$LATEST` and no qualifier are one.
    fn policy_target(&self, name: Option<&str>, qualifier: Option<&str>) -> Result<Target, ApiError> {
        Ok(self.target(name, qualifier)?.without_latest())
    }

    /// The same for an ARN; policies of other things than functions are not kept here.
    fn policy_of(&self, arn: Option<&str>) -> Result<Target, ApiError> {
        if !arn.is_some_and(|arn| arn.contains(":function:")) {
            return Err(ApiError::not_found(ABSENT));
        }
        self.policy_target(arn, None)
    }

    /// Refuses what does not exist; `missing` says so of the function, in the operation's words.
    async fn require(&self, target: &Target, missing: impl FnOnce(&str) -> String) -> Result<(), ApiError> {
        let functions = &self.shared.functions;
        let whole = Target { name: target.name.clone(), qualifier: None };
        if self.find(&whole).await.map_err(|error| self.internal(error))?.is_none() {
            return Err(ApiError::not_found(missing(&target.arn(functions))));
        }
        if self.find(target).await.map_err(|error| self.internal(error))?.is_some() {
            return Ok(());
        }
        let qualifier = target.qualifier.as_deref().unwrap_or_default();
        let is_alias = Version::parse(qualifier).is_none() && !qualifier.contains('$');
        let arn = target.arn(functions);
        Err(ApiError::not_found(match is_alias {
            true => format!("Cannot find alias arn: {arn}"),
            false => format!("Function not found: {arn}"),
        }))
    }

    async fn kept(&self, target: &Target) -> Result<Option<Kept>, ApiError> {
        let found = self.shared.functions.store.document(Family::Policy, &target.document_key()).await;
        let Some(document) = found.map_err(|error| self.internal(error))? else { return Ok(None) };
        let text = document.read().map_err(|error| self.internal(error))?;
        Ok(Some(Kept { text, revision: document.revision }))
    }

    /// Writes a policy in place of the one that was read; gives its revision.
    async fn keep_policy(
        &self,
        target: &Target,
        text: String,
        before: Option<Kept>,
    ) -> Result<String, ApiError> {
        if text.len() > POLICY_MAX {
            let text =
                format!("The final policy size ({}) is bigger than the limit ({POLICY_MAX}).", text.len());
            return Err(ApiError::new(ErrorCode::PolicyLengthExceededException, text));
        }
        let revision = random::uuid();
        let document = Document::of(Family::Policy, target.document_key(), &text)
            .map_err(|error| self.internal(error))?
            .of_function(&target.name)
            .with_revision(revision.clone());
        let expect = before.map_or(Expect::Absent, |kept| Expect::Revision(kept.revision));
        let change = DocumentChange::Put { document: Box::new(document), expect };
        self.commit(Change::Document(change), target).await?;
        Ok(revision)
    }

    async fn drop_policy(&self, target: &Target, kept: Kept) -> Result<(), ApiError> {
        let (family, key) = (Family::Policy, target.document_key());
        let change = DocumentChange::Remove { family, key, expect: Expect::Revision(kept.revision) };
        self.commit(Change::Document(change), target).await
    }
}

/// A client may say which policy it means to change; a policy that is not there has no revision.
fn check_revision(kept: Option<&Kept>, expected: Option<&str>) -> Result<(), ApiError> {
    match expected {
        Some(expected) if kept.is_none_or(|kept| kept.revision != expected) => {
            Err(ApiError::new(ErrorCode::PreconditionFailedException, STALE))
        }
        Some(_) | None => Ok(()),
    }
}

fn parsed(text: &str) -> Result<Value, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if document.is_object() { Ok(document) } else { Err("a policy is an object".to_owned()) }
}

fn invalid(why: String) -> ApiError {
    ApiError::invalid_parameter(format!("The policy is invalid: {why}"))
}

/// The policy in a form that can be decided upon.
pub(crate) fn understood(text: &str) -> Result<policy::Document, String> {
    let document: policy::Document = serde_json::from_str(text).map_err(|error| error.to_string())?;
    document.into_resource_policy(&CONTEXT_KEYS).map_err(|error| error.to_string())
}

/// The statements of a document, which may have been written with one that stands alone.
fn statements(document: &mut Value) -> &mut Vec<Value> {
    let statements = &mut document["Statement"];
    if !statements.is_array() {
        *statements = match statements.take() {
            Value::Null => Value::Array(Vec::new()),
            one => Value::Array(vec![one]),
        };
    }
    match statements {
        Value::Array(list) => list,
        _ => unreachable!("it was made a list above"),
    }
}

/// The statement that the service writes for a permission, its members in the service's order.
fn statement(input: &AddPermissionRequest, arn: &str) -> Result<Value, ApiError> {
    let mut statement = json!({
        "Sid": input.statement_id,
        "Effect": "Allow",
        "Principal": principal(input.principal.as_deref().unwrap_or_default())?,
        "Action": input.action,
        "Resource": arn,
    });
    let mut equal = Map::new();
    let conditions = [
        ("AWS:SourceAccount", &input.source_account),
        ("aws:PrincipalOrgID", &input.principal_org_id),
        ("lambda:EventSourceToken", &input.event_source_token),
        ("lambda:FunctionUrlAuthType", &input.function_url_auth_type),
    ];
    for (key, value) in conditions {
        if let Some(value) = value {
            equal.insert(key.to_owned(), value.clone().into());
        }
    }
    let mut condition = Map::new();
    if !equal.is_empty() {
        condition.insert("StringEquals".to_owned(), equal.into());
    }
    if let Some(source) = &input.source_arn {
        condition.insert("ArnLike".to_owned(), json!({ "AWS:SourceArn": source }));
    }
    if let Some(via) = input.invoked_via_function_url {
        condition.insert("Bool".to_owned(), json!({ "lambda:InvokedViaFunctionUrl": via.to_string() }));
    }
    if !condition.is_empty() {
        statement["Condition"] = condition.into();
    }
    Ok(statement)
}

fn principal(given: &str) -> Result<Value, ApiError> {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if given == "*" {
        return Ok("*".into());
    }
    let invalid = || {
        let text = "The provided principal was invalid. Please check the principal and try again.";
        ApiError::invalid_parameter(text)
    };
    // Principals have no wildcards but the one that is everybody.
    if given.contains('*') {
        return Err(invalid());
    }
    if SERVICE_DOMAINS.iter().any(|domain| given.len() > domain.len() && given.ends_with(domain)) {
        return Ok(json!({ "Service": given }));
    }
    if is_account(given) {
        return Ok(json!({ "AWS": format!("arn:aws:iam::{given}:root") }));
    }
    let parts: Vec<&str> = given.splitn(6, ':').collect();
    if let ["arn", partition, "iam" | "sts", "", account, name] = parts[..]
        && partition.starts_with("aws")
        && is_account(account)
        && !name.is_empty()
    {
        return Ok(json!({ "AWS": given }));
    }
    Err(invalid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

    fn given(principal: &str) -> AddPermissionRequest {
        AddPermissionRequest {
            action: Some("lambda:InvokeFunction".to_owned()),
            statement_id: Some("s".to_owned()),
            principal: Some(principal.to_owned()),
            ..Default::default()
        }
    }

    #[test]
    fn a_permission_becomes_the_statement_that_the_service_writes() {
        let mut input = given("s3.amazonaws.com");
        input.source_arn = Some("arn:aws:s3:::bucket".to_owned());
        input.source_account = Some("111111111111".to_owned());
        input.invoked_via_function_url = Some(true);
        assert_eq!(
            statement(&input, ARN).expect("is one").to_string(),
            format!(
                "{{\"Sid\":\"s\",\"Effect\":\"Allow\",\"Principal\":{{\"Service\":\"s3.amazonaws.com\"}},\
                 \"Action\":\"lambda:InvokeFunction\",\"Resource\":\"{ARN}\",\"Condition\":{{\
                 \"StringEquals\":{{\"AWS:SourceAccount\":\"111111111111\"}},\
                 \"ArnLike\":{{\"AWS:SourceArn\":\"arn:aws:s3:::bucket\"}},\
                 \"Bool\":{{\"lambda:InvokedViaFunctionUrl\":\"true\"}}}}}}"
            )
        );
        assert!(statement(&given("*"), ARN).expect("is one").get("Condition").is_none());
    }

    #[test]
    fn principals_are_told_apart_by_their_form() {
        for (text, written) in [
            ("*", json!("*")),
            ("alexa-appkit.amazon.com", json!({ "Service": "alexa-appkit.amazon.com" })),
            ("123456789012", json!({ "AWS": "arn:aws:iam::123456789012:root" })),
            ("arn:aws:iam::123456789012:role/a/b", json!({ "AWS": "arn:aws:iam::123456789012:role/a/b" })),
        ] {
            assert_eq!(principal(text).expect("is one"), written);
        }
        for text in [
            "invalid.nonaws.com",
            "",
            ".amazonaws.com",
            "12345678901",
            "arn:aws:s3:::b",
            "arn:aws:iam::1:root",
            "*.amazonaws.com",
            "s*.amazonaws.com",
            "arn:aws:iam::123456789012:role/*",
            "**",
        ] {
            assert!(principal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_document_that_cannot_be_decided_upon_is_refused() {
        let document = |principal: &str, condition: &str| {
            format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow",{principal}"Action":"lambda:*","Resource":"{ARN}"{condition}}}}}"#
            )
        };
        let everybody = r#""Principal":"*","#;
        assert!(understood(&document(everybody, "")).is_ok());
        assert!(understood(&document("", "")).is_err(), "nobody is named");
        assert!(
            understood(&document(everybody, r#","Condition":{"StringEquals":{"aws:Moon":"full"}}"#)).is_err()
        );
        assert!(understood("[]").is_err() && understood("{").is_err());
    }

    #[test]
    fn statements_are_added_to_one_that_stands_alone() {
        let mut document = parsed(r#"{"Statement":{"Sid":"a"}}"#).expect("is a document");
        statements(&mut document).push(json!({ "Sid": "b" }));
        assert_eq!(document["Statement"], json!([{ "Sid": "a" }, { "Sid": "b" }]));
        assert!(parsed("[]").is_err());
    }

    /// What the model lets a principal be, and forms that services, accounts and identities have.
    fn principals() -> impl Strategy<Value = String> {
        prop_oneof![
            "[^\\s]{1,40}",
            "[a-z0-9*.-]{1,12}\\.amazonaws\\.com",
            "[0-9]{12}",
            "arn:aws[a-z-]{0,4}:(iam|sts)::[0-9]{12}:[a-zA-Z0-9/*:_$\\{\\}-]{1,20}",
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_written_can_be_decided_upon(
            principal in principals(),
            action in "lambda:\\*|lambda:[a-zA-Z]{1,20}|\\*",
            org in proptest::option::of("o-[a-z0-9]{10,32}"),
            account in proptest::option::of("[0-9]{12}"),
            token in proptest::option::of("[a-zA-Z0-9._-]{1,40}"),
            source in proptest::option::of("arn:(aws[a-zA-Z0-9-]{0,6}):([a-zA-Z0-9-]){1,9}:([a-z]{2}(-gov)?-[a-z]{1,9}-[0-9])?:([0-9]{12})?:[^\n]{0,40}"),
            via in proptest::option::of(any::<bool>()),
        ) {
            let mut input = given(&principal);
            input.action = Some(action);
            input.principal_org_id = org;
            input.source_account = account;
            input.event_source_token = token;
            input.source_arn = source;
            input.invoked_via_function_url = via;
            // What is refused is not written; a policy variable is the one thing that only the whole document shows.
            let Ok(statement) = statement(&input, ARN) else { return Ok(()) };
            let text = json!({ "Version": "2012-10-17", "Statement": [statement] });
            let has_variable = input.source_arn.is_some_and(|source| source.contains("${"));
            prop_assert_eq!(understood(&text.to_string()).is_ok(), !has_variable, "{}", text);
        }
    }
}
