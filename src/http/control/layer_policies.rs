//! Who may use a version of a layer: the statements of its policy.
//!
//! Kept and told as the service does. Nobody is let in or turned away here: attaching a layer of another account is
//! refused whatever a policy says, because there is no other account.

use super::Control;
use super::layers::Numbered;
use crate::daemon::random;
use crate::store::{Change, Document, DocumentChange, Expect, Family};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::shapes::*;
use serde_json::{Value, json};

/// Bytes of a policy.
const POLICY_MAX: usize = 20_480;
const STALE: &str = "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest Revision Id";

/// The statements of a version and the revision that they have.
struct Policy {
    statements: Vec<Value>,
    revision: Option<String>,
}

impl Policy {
    fn text(&self) -> String {
        json!({"Version": "2012-10-17", "Id": "default", "Statement": self.statements}).to_string()
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.statements.iter().position(|statement| statement["Sid"] == id)
    }
}

impl Control {
    pub(super) async fn add_layer_permission(
        &self,
        input: AddLayerVersionPermissionRequest,
    ) -> Result<AddLayerVersionPermissionResponse, ApiError> {
        let _turn = self.layer_turn.lock().await;
        let numbered = self.numbered(input.layer_name.as_deref(), input.version_number)?;
        let mut policy = self.stored_policy(&numbered).await?;
        check_revision(&policy, input.revision_id.as_deref())?;
        let id = input.statement_id.unwrap_or_default();
        if policy.position(&id).is_some() {
            return Err(ApiError::conflict(format!(
                "The statement id ({id}) provided already exists. Please provide a new statement id, or remove the existing statement."
            )));
        }
        let principal = input.principal.unwrap_or_default();
        let is_account = principal.len() == 12 && principal.bytes().all(|byte| byte.is_ascii_digit());
        let principal = match principal.as_str() {
            "*" => json!("*"),
            account if is_account => json!({"AWS": format!("arn:aws:iam::{account}:root")}),
            arn => json!({"AWS": arn}),
        };
        let mut statement = json!({
            "Sid": id,
            "Effect": "Allow",
            "Principal": principal,
            "Action": input.action,
            "Resource": self.layer_version_arn(&numbered.layer, numbered.number),
        });
        if let Some(organization) = input.organization_id {
            statement["Condition"] = json!({"StringEquals": {"aws:PrincipalOrgID": organization}});
        }
        policy.statements.push(statement.clone());
        if policy.text().len() > POLICY_MAX {
            let text = format!(
                "The final policy size ({}) is bigger than the limit ({POLICY_MAX}).",
                policy.text().len()
            );
            return Err(ApiError::new(ErrorCode::PolicyLengthExceededException, text));
        }
        let revision = self.keep_layer_policy(&numbered, &policy).await?;
        Ok(AddLayerVersionPermissionResponse {
            revision_id: Some(revision),
            statement: Some(statement.to_string()),
        })
    }

    pub(super) async fn remove_layer_permission(
        &self,
        input: RemoveLayerVersionPermissionRequest,
    ) -> Result<NoOutput, ApiError> {
        let _turn = self.layer_turn.lock().await;
        let numbered = self.numbered(input.layer_name.as_deref(), input.version_number)?;
        let mut policy = self.stored_policy(&numbered).await?;
        let id = input.statement_id.unwrap_or_default();
        let missing = || ApiError::not_found(format!("Statement {id} is not found in resource policy."));
        let at = policy.position(&id).ok_or_else(missing)?;
        check_revision(&policy, input.revision_id.as_deref())?;
        policy.statements.remove(at);
        self.keep_layer_policy(&numbered, &policy).await?;
        Ok(NoOutput::default())
    }

    pub(super) async fn layer_policy(
        &self,
        input: GetLayerVersionPolicyRequest,
    ) -> Result<GetLayerVersionPolicyResponse, ApiError> {
        let numbered = self.numbered(input.layer_name.as_deref(), input.version_number)?;
        let policy = self.stored_policy(&numbered).await?;
        if policy.statements.is_empty() {
            return Err(ApiError::not_found("No policy is associated with the given resource."));
        }
        Ok(GetLayerVersionPolicyResponse { policy: Some(policy.text()), revision_id: policy.revision })
    }

    async fn stored_policy(&self, numbered: &Numbered) -> Result<Policy, ApiError> {
        if self.stored_layer(numbered).await?.is_none() {
            let arn = self.layer_version_arn(&numbered.layer, numbered.number);
            return Err(ApiError::not_found(format!("Layer version {arn} does not exist.")));
        }
        let found = self.shared.functions.store.document(Family::LayerPolicy, &numbered.key()).await;
        match found.map_err(|error| self.internal(error))? {
            None => Ok(Policy { statements: Vec::new(), revision: None }),
            Some(document) => {
                let statements = document.read().map_err(|error| self.internal(error))?;
                Ok(Policy { statements, revision: Some(document.revision) })
            }
        }
    }

    /// Writes the statements under a new revision, which is given back; a policy without any is none.
    async fn keep_layer_policy(&self, numbered: &Numbered, policy: &Policy) -> Result<String, ApiError> {
        let (family, revision) = (Family::LayerPolicy, random::uuid());
        let change = if policy.statements.is_empty() {
            DocumentChange::Remove { family, key: numbered.key(), expect: Expect::Anything }
        } else {
            let document = Document::of(family, numbered.key(), &policy.statements);
            let document = document.map_err(|error| self.internal(error))?.with_revision(revision.clone());
            DocumentChange::Put { document: Box::new(document), expect: Expect::Anything }
        };
        self.commit_layers(vec![Change::Document(change)]).await?;
        Ok(revision)
    }
}

fn check_revision(policy: &Policy, expected: Option<&str>) -> Result<(), ApiError> {
    match expected {
        Some(expected) if policy.revision.as_deref() != Some(expected) => {
            Err(ApiError::new(ErrorCode::PreconditionFailedException, STALE))
        }
        _ => Ok(()),
    }
}
