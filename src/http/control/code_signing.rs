//! Code signing: configurations, which functions have one, and what they say to a package that is deployed.
//!
//! A configuration's document is all there is of it; a function's is known by two documents of the function's own, one
//! from each side, which go with the function. There is no AWS Signer here and nothing verifies a signature: every
//! package counts as unsigned, so `Enforce` refuses all new code and `Warn` lets it through and counts it. What runs
//! already is never looked at.

use super::super::names::Target;
use super::Control;
use super::side::{PAGE_MAX, key_of};
use crate::daemon::{clock, random};
use crate::store::{
    Change, CommitError, Document, DocumentChange, Expect, Family, FunctionRecord, StoreError,
};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::page;
use hearth_api::primitives::EpochTime;
use hearth_api::resource::{Elsewhere, Named};
use hearth_api::shapes::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio::sync::MutexGuard;

const FAMILY: Family = Family::CodeSigningConfig;
const ENFORCE: &str = "Enforce";
const WARN: &str = "Warn";
/// Letters and digits of an id.
const ID_LENGTH: usize = 17;
const IMAGE: &str = "Code signing is not supported for functions created with container images.";

/// What is kept under a configuration's id.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    description: String,
    publishers: Vec<String>,
    policy: String,
    modified_ms: u64,
    /// By this name `tags` finds them.
    tags: BTreeMap<String, String>,
}

impl Stored {
    fn touched(self) -> Self {
        // Two changes in one millisecond, or a clock set back, must not look like none.
        Self { modified_ms: clock::wall().as_millis().max(self.modified_ms + 1), ..self }
    }
}

/// A configuration that was found.
struct Found {
    id: String,
    revision: String,
    stored: Stored,
}

/// `csc-` and what the pattern of ids allows.
fn new_id() -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut id = String::from("csc-");
    // Bytes that would make some letters likelier than others are left out; 256 of them always leave enough.
    let bytes = random::bytes::<256>();
    let fair = bytes.iter().filter(|byte| **byte < 252).take(ID_LENGTH);
    id.extend(fair.map(|byte| char::from(ALPHABET[usize::from(byte % 36)])));
    id
}

fn unfound(arn: &str) -> ApiError {
    let text = format!("The Lambda code signing configuration {arn} can not be found.");
    ApiError::not_found(text).without_type()
}

fn unattachable(arn: &str) -> ApiError {
    let text = format!(
        "The code signing configuration cannot be found. Check that the provided configuration is not deleted: {arn}."
    );
    ApiError::new(ErrorCode::CodeSigningConfigNotFoundException, text)
}

fn put(document: Document, expect: Expect) -> Change {
    Change::Document(DocumentChange::Put { document: Box::new(document), expect })
}

fn remove(family: Family, key: String) -> Change {
    Change::Document(DocumentChange::Remove { family, key, expect: Expect::Anything })
}

/// The changes by which a function gets a configuration, or none, in the place of the one that it had.
fn attachment(
    function: &str,
    old: Option<&str>,
    new: Option<&str>,
) -> Result<impl Iterator<Item = Change> + use<>, StoreError> {
    let own = |document: Document| put(document.of_function(function), Expect::Anything);
    let gone = old.map(|id| remove(Family::CodeSigningUse, key_of(id, function)));
    let there = match new {
        None => [Some(remove(Family::FunctionCodeSigning, function.to_owned())), None],
        Some(id) => [
            Some(own(Document::of(Family::FunctionCodeSigning, function, &id)?)),
            Some(own(Document::of(Family::CodeSigningUse, key_of(id, function), &())?)),
        ],
    };
    Ok(gone.into_iter().chain(there.into_iter().flatten()))
}

impl Control {
    pub(super) async fn make_signing_config(
        &self,
        input: CreateCodeSigningConfigRequest,
    ) -> Result<CreateCodeSigningConfigResponse, ApiError> {
        let tags = input.tags.unwrap_or_default();
        super::tags::check(&tags)?;
        let stored = Stored {
            description: input.description.unwrap_or_default(),
            publishers: arns(input.allowed_publishers),
            policy: policy(input.code_signing_policies).unwrap_or_else(|| WARN.to_owned()),
            modified_ms: 0,
            tags,
        }
        .touched();
        let id = new_id();
        self.keep_signing_config(&id, &stored, Expect::Absent).await?;
        Ok(CreateCodeSigningConfigResponse { code_signing_config: Some(self.describe_signing(&id, stored)) })
    }

    pub(super) async fn signing_config(
        &self,
        input: GetCodeSigningConfigRequest,
    ) -> Result<GetCodeSigningConfigResponse, ApiError> {
        let found = self.find_signing(input.code_signing_config_arn, unfound).await?;
        let described = self.describe_signing(&found.id, found.stored);
        Ok(GetCodeSigningConfigResponse { code_signing_config: Some(described) })
    }

    pub(super) async fn change_signing_config(
        &self,
        input: UpdateCodeSigningConfigRequest,
    ) -> Result<UpdateCodeSigningConfigResponse, ApiError> {
        let _turn = self.signing_turn.lock().await;
        let Found { id, revision, mut stored } =
            self.find_signing(input.code_signing_config_arn, unfound).await?;
        if let Some(description) = input.description {
            stored.description = description;
        }
        if input.allowed_publishers.is_some() {
            stored.publishers = arns(input.allowed_publishers);
        }
        if let Some(policy) = policy(input.code_signing_policies) {
            stored.policy = policy;
        }
        let stored = stored.touched();
        self.keep_signing_config(&id, &stored, Expect::Revision(revision)).await?;
        Ok(UpdateCodeSigningConfigResponse { code_signing_config: Some(self.describe_signing(&id, stored)) })
    }

    pub(super) async fn remove_signing_config(
        &self,
        input: DeleteCodeSigningConfigRequest,
    ) -> Result<DeleteCodeSigningConfigResponse, ApiError> {
        let _turn = self.signing_turn.lock().await;
        let arn = input.code_signing_config_arn.clone().unwrap_or_default();
        let found = self.find_signing(input.code_signing_config_arn, unfound).await?;
        let first = page::Request { after: None, limit: 1 };
        let users = self.side_page(Family::CodeSigningUse, &key_of(&found.id, ""), &first).await?;
        if let Some(user) = users.items.first().and_then(|user| user.function.as_deref()) {
            return Err(ApiError::conflict(format!(
                "The code signing configuration {arn} cannot be deleted: functions have it, {user} among them."
            )));
        }
        self.commit_signing(vec![remove(FAMILY, found.id)]).await?;
        Ok(DeleteCodeSigningConfigResponse::default())
    }

    pub(super) async fn signing_configs(
        &self,
        input: ListCodeSigningConfigsRequest,
    ) -> Result<ListCodeSigningConfigsResponse, ApiError> {
        let request = page::Request::new(input.marker.as_deref(), input.max_items, PAGE_MAX)?;
        let page = self.side_page(FAMILY, "", &request).await?;
        let mut configs = Vec::with_capacity(page.items.len());
        for document in page.items {
            let stored = document.read().map_err(|error| self.internal(error))?;
            configs.push(self.describe_signing(&document.key, stored));
        }
        Ok(ListCodeSigningConfigsResponse {
            code_signing_configs: Some(configs),
            next_marker: page.next_marker,
        })
    }

    pub(super) async fn signing_functions(
        &self,
        input: ListFunctionsByCodeSigningConfigRequest,
    ) -> Result<ListFunctionsByCodeSigningConfigResponse, ApiError> {
        let found = self.find_signing(input.code_signing_config_arn, unfound).await?;
        let request = page::Request::new(input.marker.as_deref(), input.max_items, PAGE_MAX)?;
        let page = self.side_page(Family::CodeSigningUse, &key_of(&found.id, ""), &request).await?;
        let functions = page.items.iter().filter_map(|document| document.function.as_deref());
        Ok(ListFunctionsByCodeSigningConfigResponse {
            function_arns: Some(functions.map(|name| self.shared.functions.arn(name)).collect()),
            next_marker: page.next_marker,
        })
    }

    pub(super) async fn put_function_signing(
        &self,
        input: PutFunctionCodeSigningConfigRequest,
    ) -> Result<PutFunctionCodeSigningConfigResponse, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        let _signing = self.signing_turn.lock().await;
        let found = self.find_signing(input.code_signing_config_arn, unattachable).await?;
        let _turn = self.shared.functions.gate(&target.name).await;
        refuse_image(&self.record(&target).await?)?;
        let old = self.signing_of(&target.name).await?;
        let changes = attachment(&target.name, old.as_deref(), Some(&found.id));
        self.commit_all(changes.map_err(|error| self.internal(error))?.collect(), &target).await?;
        Ok(PutFunctionCodeSigningConfigResponse {
            code_signing_config_arn: Some(self.signing_arn(&found.id)),
            function_name: Some(target.name),
        })
    }

    pub(super) async fn get_function_signing(
        &self,
        input: GetFunctionCodeSigningConfigRequest,
    ) -> Result<GetFunctionCodeSigningConfigResponse, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        refuse_image(&self.record(&target).await?)?;
        // A function without one is answered with nothing at all, not even its name.
        let Some(id) = self.signing_of(&target.name).await? else {
            return Ok(GetFunctionCodeSigningConfigResponse::default());
        };
        Ok(GetFunctionCodeSigningConfigResponse {
            code_signing_config_arn: Some(self.signing_arn(&id)),
            function_name: Some(target.name),
        })
    }

    pub(super) async fn delete_function_signing(
        &self,
        input: DeleteFunctionCodeSigningConfigRequest,
    ) -> Result<NoOutput, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        let _signing = self.signing_turn.lock().await;
        let _turn = self.shared.functions.gate(&target.name).await;
        refuse_image(&self.record(&target).await?)?;
        if let Some(id) = self.signing_of(&target.name).await? {
            let changes = attachment(&target.name, Some(&id), None);
            self.commit_all(changes.map_err(|error| self.internal(error))?.collect(), &target).await?;
        }
        Ok(NoOutput::default())
    }

    /// What a function that is to be created says of code signing: refuses what the configuration would refuse.
    pub(super) async fn check_new_signing(
        &self,
        arn: Option<&str>,
        input: &CreateFunctionRequest,
        target: &Target,
    ) -> Result<(), ApiError> {
        let Some(arn) = arn else { return Ok(()) };
        if input.package_type.as_deref() == Some("Image") {
            return Err(ApiError::invalid_parameter(IMAGE));
        }
        let found = self.find_signing(Some(arn.to_owned()), unattachable).await?;
        refuse(&found, Some(&target.name))
    }

    /// The changes that give a new function its configuration, and the turn in which they must be made: taken before
    /// the function's gate. Within it the configuration is asked again, for it may have become another one since the
    /// packages were fetched.
    pub(super) async fn new_signing(
        &self,
        arn: Option<&str>,
        target: &Target,
        unsigned: impl Iterator<Item = &str>,
    ) -> Result<(Option<MutexGuard<'_, ()>>, Vec<Change>), ApiError> {
        let Some(arn) = arn else { return Ok((None, Vec::new())) };
        let turn = self.signing_turn.lock().await;
        let found = self.find_signing(Some(arn.to_owned()), unattachable).await?;
        self.let_through(&found, &target.name, unsigned)?;
        let changes =
            attachment(&target.name, None, Some(&found.id)).map_err(|error| self.internal(error))?;
        Ok((Some(turn), changes.collect()))
    }

    /// The turns in which packages of a function may change: its own and, where it has a configuration, that in which
    /// configurations change, so that what is judged in them stays as it was judged.
    pub(super) async fn deployment_turns(
        &self,
        function: &str,
    ) -> Result<(Option<MutexGuard<'_, ()>>, MutexGuard<'_, ()>), ApiError> {
        let mut signing = match self.signing_of(function).await? {
            Some(_) => Some(self.signing_turn.lock().await),
            None => None,
        };
        let mut turn = self.shared.functions.gate(function).await;
        if signing.is_none() && self.signing_of(function).await?.is_some() {
            // It was given one meanwhile. The order of the turns is always the same.
            drop(turn);
            signing = Some(self.signing_turn.lock().await);
            turn = self.shared.functions.gate(function).await;
        }
        Ok((signing, turn))
    }

    /// Refuses packages that come without a signature, if the function's configuration does: its code, by the
    /// function's name, or layers, by their ARNs. Before they are fetched, to save that; what counts is [`Self::judge_unsigned`].
    pub(super) async fn refuse_unsigned(&self, function: &str, unsigned: &[String]) -> Result<(), ApiError> {
        match self.signing_found(function).await? {
            Some(found) => refuse(&found, unsigned.first().map(String::as_str)),
            None => Ok(()),
        }
    }

    /// The same within [`Self::deployment_turns`], directly before they are deployed: also counts what is let through.
    pub(super) async fn judge_unsigned(&self, function: &str, unsigned: &[String]) -> Result<(), ApiError> {
        match self.signing_found(function).await? {
            Some(found) => self.let_through(&found, function, unsigned.iter().map(String::as_str)),
            None => Ok(()),
        }
    }

    fn let_through<'a>(
        &self,
        found: &Found,
        function: &str,
        unsigned: impl Iterator<Item = &'a str>,
    ) -> Result<(), ApiError> {
        for artifact in unsigned {
            refuse(found, Some(artifact))?;
            self.shared.metrics.signature_failure(function);
            tracing::warn!(function, artifact, config = %found.id, "an unsigned package is deployed");
        }
        Ok(())
    }

    async fn signing_found(&self, function: &str) -> Result<Option<Found>, ApiError> {
        let Some(id) = self.signing_of(function).await? else { return Ok(None) };
        self.find_signing(Some(self.signing_arn(&id)), unattachable).await.map(Some)
    }

    /// The id of a function's configuration.
    async fn signing_of(&self, function: &str) -> Result<Option<String>, ApiError> {
        let document = self.side(Family::FunctionCodeSigning, function).await?;
        document.map(|document| document.read()).transpose().map_err(|error| self.internal(error))
    }

    async fn find_signing(
        &self,
        arn: Option<String>,
        missing: fn(&str) -> ApiError,
    ) -> Result<Found, ApiError> {
        let arn = arn.unwrap_or_default();
        let id = match self.shared.functions.home().own(&arn) {
            Ok(Named { kind: "code-signing-config", id }) => id,
            Err(Elsewhere::Account) => return Err(ApiError::access_denied()),
            Ok(_) | Err(_) => return Err(missing(&arn)),
        };
        let document = self.side(FAMILY, id).await?.ok_or_else(|| missing(&arn))?;
        let stored = document.read().map_err(|error| self.internal(error))?;
        Ok(Found { id: document.key, revision: document.revision, stored })
    }

    async fn keep_signing_config(&self, id: &str, stored: &Stored, expect: Expect) -> Result<(), ApiError> {
        let document = Document::of(FAMILY, id, stored).map_err(|error| self.internal(error))?;
        self.commit_signing(vec![put(document.with_revision(random::uuid()), expect)]).await
    }

    /// Within the turn nothing else writes here but tags, whose owner's revision then differs.
    async fn commit_signing(&self, changes: Vec<Change>) -> Result<(), ApiError> {
        self.shared.functions.commit(changes).await.map_err(|error: CommitError| match error {
            CommitError::Document(_) => {
                ApiError::conflict("The code signing configuration was changed at the same time. Try again.")
            }
            error => self.internal(error),
        })
    }

    fn signing_arn(&self, id: &str) -> String {
        self.shared.functions.home().arn_of("code-signing-config", id)
    }

    fn describe_signing(&self, id: &str, stored: Stored) -> CodeSigningConfig {
        let modified = i64::try_from(stored.modified_ms).unwrap_or(i64::MAX);
        CodeSigningConfig {
            allowed_publishers: Some(AllowedPublishers {
                signing_profile_version_arns: Some(stored.publishers),
            }),
            code_signing_config_arn: Some(self.signing_arn(id)),
            code_signing_config_id: Some(id.to_owned()),
            code_signing_policies: Some(CodeSigningPolicies {
                untrusted_artifact_on_deployment: Some(stored.policy),
            }),
            description: Some(stored.description),
            last_modified: Some(EpochTime::from_ms(modified).to_service_text()),
        }
    }
}

/// What a configuration says to a package without a signature, if there is one.
fn refuse(found: &Found, unsigned: Option<&str>) -> Result<(), ApiError> {
    let Some(artifact) = unsigned.filter(|_| found.stored.policy == ENFORCE) else { return Ok(()) };
    let text = format!(
        "Lambda cannot deploy the function. The function or layer might be signed using a signature that the client is not configured to accept. Check the provided signature for {artifact}."
    );
    Err(ApiError::new(ErrorCode::CodeVerificationFailedException, text))
}

fn arns(publishers: Option<AllowedPublishers>) -> Vec<String> {
    publishers.and_then(|publishers| publishers.signing_profile_version_arns).unwrap_or_default()
}

fn policy(policies: Option<CodeSigningPolicies>) -> Option<String> {
    policies.and_then(|policies| policies.untrusted_artifact_on_deployment)
}

fn refuse_image(record: &FunctionRecord) -> Result<(), ApiError> {
    if record.is_image() { Err(ApiError::invalid_parameter(IMAGE)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_the_pattern_of_arns_allows() {
        for _ in 0..1000 {
            let id = new_id();
            let rest = id.strip_prefix("csc-").expect("begins so");
            assert_eq!(rest.len(), ID_LENGTH, "{id}");
            assert!(rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{id}");
        }
        assert_ne!(new_id(), new_id());
    }

    #[test]
    fn another_configuration_takes_the_place_of_the_old_one_on_both_sides() {
        let shown = |old, new| -> Vec<String> {
            let tell = |change: Change| match change {
                Change::Document(DocumentChange::Put { document, .. }) => {
                    assert_eq!(document.function.as_deref(), Some("f"));
                    format!("+{:?} {:?}", document.family, document.key)
                }
                Change::Document(DocumentChange::Remove { family, key, .. }) => {
                    format!("-{family:?} {key:?}")
                }
                other => format!("{other:?}"),
            };
            attachment("f", old, new).expect("encodes").map(tell).collect()
        };
        let put = ["+FunctionCodeSigning \"f\"", "+CodeSigningUse \"new\\nf\""];
        assert_eq!(shown(None, Some("new")), put);
        assert_eq!(shown(Some("old"), Some("new")), [&["-CodeSigningUse \"old\\nf\""][..], &put].concat());
        assert_eq!(shown(Some("old"), None), ["-CodeSigningUse \"old\\nf\"", "-FunctionCodeSigning \"f\""]);
    }
}
