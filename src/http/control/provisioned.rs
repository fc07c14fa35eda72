//! Provisioned concurrency: environments of a version or alias that are kept ready, out of what its function reserves or
//! of what nobody does.
//!
//! What may be promised is decided here, from what is on disk; whether it is kept, by the scheduler, whose word on it
//! is asked for in each answer. A version and an alias that leads to it cannot both have some, as the service has it.

use super::super::names::Target;
use super::Control;
use super::side::{PAGE_MAX, key_of};
use crate::daemon::functions::{Promise, Provision};
use crate::daemon::{clock, random};
use crate::store::{
    Alias, Change, Document, DocumentChange, Expect, Family, StateKind, Version, VersionChange,
};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::page;
use hearth_api::primitives::EpochTime;
use hearth_api::shapes::*;
use hearth_logic::scheduler::{ProvisionedFailure, ProvisionedState};

const FAMILY: Family = Family::ProvisionedConcurrency;
const UNPUBLISHED: &str =
    "Provisioned Concurrency Configs cannot be applied to unpublished function versions.";
const NOT_QUALIFIED: &str = "The function resource provided must be an alias or a published version.";
const ABSENT: &str = "No Provisioned Concurrency Config found for this function";
const ALIAS_OF_PROVISIONED: &str =
    "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version";
const POINTED_AT: &str = "Version is pointed by a Provisioned Concurrency alias";
const OVER_RESERVED: &str = "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function";
/// Why a configuration failed, as the service says it.
const INIT_FAILED: &str = "FUNCTION_ERROR_INIT_FAILURE";
const NO_ROOM: &str = "This host has no room for more environments.";
const NO_SANDBOX: &str = "An environment could not be made; the daemon's log has the reason.";
/// Aliases that are read at once when a version is looked for among them.
const ALIASES_CHUNK: usize = 100;

/// What a qualifier names.
enum Named {
    Version(Version),
    Alias(Alias),
}

/// A configuration as answers show it.
struct Shown {
    wanted: u32,
    allocated: u32,
    available: u32,
    status: &'static str,
    reason: Option<String>,
    modified: String,
}

impl Shown {
    fn of(promise: &Promise, provision: Option<&Provision>, state: Option<&ProvisionedState>) -> Self {
        let state = state.cloned().unwrap_or_default();
        let failed = provision.and_then(|it| it.obstacle.clone()).or(state.failed.map(|why| match why {
            ProvisionedFailure::Initialization => INIT_FAILED.to_owned(),
            ProvisionedFailure::Capacity => NO_ROOM.to_owned(),
            ProvisionedFailure::Sandbox(_) => NO_SANDBOX.to_owned(),
        }));
        let is_ready = state.wanted == promise.wanted && state.allocated >= promise.wanted;
        let status = match (&failed, is_ready) {
            (Some(_), _) => "FAILED",
            (None, true) => "READY",
            (None, false) => "IN_PROGRESS",
        };
        // While an alias moves, what serves still counts, as the service has it.
        let allocated = state.serving.min(promise.wanted).max(state.allocated);
        Self {
            wanted: promise.wanted,
            allocated,
            available: allocated.min(state.available.max(state.serving)),
            status,
            reason: failed,
            modified: EpochTime::from_ms(promise.modified_ms).to_second_text(),
        }
    }
}

/// One of the answers, which have their members in common.
macro_rules! answer {
    ($kind:ident, $shown:expr $(, $member:ident: $value:expr)*) => {{
        let shown: Shown = $shown;
        let count = |number: u32| i32::try_from(number).ok();
        $kind {
            $($member: $value,)*
            allocated_provisioned_concurrent_executions: count(shown.allocated),
            available_provisioned_concurrent_executions: count(shown.available),
            last_modified: Some(shown.modified),
            requested_provisioned_concurrent_executions: count(shown.wanted),
            status: Some(shown.status.to_owned()),
            status_reason: shown.reason,
        }
    }};
}

impl Control {
    pub(super) async fn put_provisioned(
        &self,
        input: PutProvisionedConcurrencyConfigRequest,
    ) -> Result<PutProvisionedConcurrencyConfigResponse, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let wanted = u32::try_from(input.provisioned_concurrent_executions.unwrap_or(0)).unwrap_or(0);
        // What others are promised must stay as it is until this is on disk.
        let _account = self.concurrency_turn.lock().await;
        let _turn = self.shared.functions.gate(&target.name).await;
        let named = self.provisionable(&target, UNPUBLISHED).await?;
        let qualifier = match &named {
            Named::Version(version) => self.check_version(&target, *version).await?,
            Named::Alias(alias) => self.check_alias(&target, alias).await?,
        };
        self.check_promise(&target.name, &qualifier, wanted).await?;
        let modified_ms = i64::try_from(clock::wall().as_millis()).unwrap_or(i64::MAX);
        let promise = Promise { wanted, modified_ms };
        let document = Document::of(FAMILY, key_of(&target.name, &qualifier), &promise);
        let document = document.map_err(|error| self.internal(error))?.of_function(&target.name);
        let put = DocumentChange::Put { document: Box::new(document), expect: Expect::Anything };
        let mut changes = vec![Change::Document(put)];
        let versions: Vec<Version> = match &named {
            Named::Version(version) => vec![*version],
            Named::Alias(alias) => leads_to(alias).collect(),
        };
        for version in versions {
            changes.extend(self.touched(&target.name, version).await?);
        }
        self.commit_all(changes, &target).await?;
        let functions = &self.shared.functions;
        let provisioned = functions.provision(&target.name, &qualifier, wanted).await;
        provisioned.map_err(|error| self.internal(error))?;
        let mut shown = self.shown(&target.name, vec![(qualifier, promise)]).await;
        // It was asked for a moment ago: what came of an earlier attempt says nothing of this one.
        let mut shown = shown.pop().ok_or_else(|| self.internal("a configuration was lost"))?.1;
        (shown.status, shown.reason) = ("IN_PROGRESS", None);
        Ok(answer!(PutProvisionedConcurrencyConfigResponse, shown))
    }

    pub(super) async fn get_provisioned(
        &self,
        input: GetProvisionedConcurrencyConfigRequest,
    ) -> Result<GetProvisionedConcurrencyConfigResponse, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        self.provisionable(&target, NOT_QUALIFIED).await?;
        let qualifier = target.qualifier.unwrap_or_default();
        let promise = self.promise(&target.name, &qualifier).await?.ok_or_else(absent)?;
        let mut shown = self.shown(&target.name, vec![(qualifier, promise)]).await;
        Ok(answer!(GetProvisionedConcurrencyConfigResponse, shown.pop().ok_or_else(absent)?.1))
    }

    pub(super) async fn delete_provisioned(
        &self,
        input: DeleteProvisionedConcurrencyConfigRequest,
    ) -> Result<NoOutput, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let _turn = self.shared.functions.gate(&target.name).await;
        self.provisionable(&target, NOT_QUALIFIED).await?;
        let qualifier = target.qualifier.clone().unwrap_or_default();
        let key = key_of(&target.name, &qualifier);
        let change = DocumentChange::Remove { family: FAMILY, key, expect: Expect::Anything };
        self.commit(Change::Document(change), &target).await?;
        self.shared.functions.unprovision(&target.name, &qualifier);
        Ok(NoOutput::default())
    }

    pub(super) async fn list_provisioned(
        &self,
        input: ListProvisionedConcurrencyConfigsRequest,
    ) -> Result<ListProvisionedConcurrencyConfigsResponse, ApiError> {
        let target = self.whole_function(input.function_name.as_deref())?;
        let request = page::Request::new(input.marker.as_deref(), input.max_items, PAGE_MAX)?;
        self.record(&target).await?;
        let page = self.side_page(FAMILY, &key_of(&target.name, ""), &request).await?;
        let mut promises = Vec::with_capacity(page.items.len());
        for document in &page.items {
            let promise: Promise = document.read().map_err(|error| self.internal(error))?;
            let qualifier = document.key.split_once('\n').map_or("", |(_, qualifier)| qualifier);
            promises.push((qualifier.to_owned(), promise));
        }
        let function = self.shared.functions.arn(&target.name);
        let shown = self.shown(&target.name, promises).await.into_iter();
        let item = |(qualifier, shown): (String, Shown)| {
            let arn = Some(format!("{function}:{qualifier}"));
            answer!(ProvisionedConcurrencyConfigListItem, shown, function_arn: arn)
        };
        Ok(ListProvisionedConcurrencyConfigsResponse {
            provisioned_concurrency_configs: Some(shown.map(item).collect()),
            next_marker: page.next_marker,
        })
    }

    /// Whether an alias may lead to where it is about to, for what is promised to it.
    pub(super) async fn check_provisioned_alias(
        &self,
        target: &Target,
        alias: &Alias,
    ) -> Result<(), ApiError> {
        match self.promise(&target.name, &alias.name).await? {
            Some(_) => self.check_alias(target, alias).await.map(drop),
            None => Ok(()),
        }
    }

    /// What a request names, which must exist; `$LATEST` is refused in the operation's own words.
    async fn provisionable(&self, target: &Target, unpublished: &str) -> Result<Named, ApiError> {
        let functions = &self.shared.functions;
        let qualifier = target.qualifier.as_deref().unwrap_or("$LATEST");
        if qualifier.starts_with('$') {
            return Err(ApiError::invalid_parameter(unpublished));
        }
        // All digits are never an alias, whether such a version can be or not.
        if qualifier.bytes().all(|byte| byte.is_ascii_digit()) {
            let version = Version::parse(qualifier).ok_or_else(|| target.not_found(functions))?;
            self.record(target).await?;
            return Ok(Named::Version(version));
        }
        let alias = functions.store.alias(&target.name, qualifier).await;
        alias
            .map_err(|error| self.internal(error))?
            .map(Named::Alias)
            .ok_or_else(|| ApiError::not_found(format!("Cannot find alias arn: {}", target.arn(functions))))
    }

    /// The qualifier of a version that may be promised environments.
    async fn check_version(&self, target: &Target, version: Version) -> Result<String, ApiError> {
        self.check_state(&target.name, version).await?;
        let mut after = String::new();
        loop {
            let store = &self.shared.functions.store;
            let aliases = store.aliases(&target.name, &after, None, ALIASES_CHUNK).await;
            let aliases = aliases.map_err(|error| self.internal(error))?;
            for alias in &aliases {
                let leads = leads_to(alias).any(|other| other == version);
                if leads && self.promise(&target.name, &alias.name).await?.is_some() {
                    return Err(ApiError::conflict(POINTED_AT));
                }
            }
            match aliases.last() {
                Some(last) if aliases.len() == ALIASES_CHUNK => after.clone_from(&last.name),
                _ => return Ok(version.to_string()),
            }
        }
    }

    /// The same of an alias.
    async fn check_alias(&self, target: &Target, alias: &Alias) -> Result<String, ApiError> {
        for version in leads_to(alias) {
            if version == Version::Latest {
                return Err(ApiError::invalid_parameter(UNPUBLISHED));
            }
            if self.promise(&target.name, &version.to_string()).await?.is_some() {
                return Err(ApiError::conflict(ALIAS_OF_PROVISIONED));
            }
            self.check_state(&target.name, version).await?;
        }
        Ok(alias.name.clone())
    }

    /// A version that is still being made, or failed to be, has no environments.
    async fn check_state(&self, name: &str, version: Version) -> Result<(), ApiError> {
        let target = Target { name: name.to_owned(), qualifier: Some(version.to_string()) };
        match self.record(&target).await?.state.kind {
            StateKind::Active | StateKind::Inactive => Ok(()),
            state @ (StateKind::Pending | StateKind::Failed) => Err(ApiError::conflict(format!(
                "The operation cannot be performed at this time. The function is currently in the following state: {}",
                state.name()
            ))),
        }
    }

    /// A version that is provisioned has another revision, and is otherwise as it was, as the service has it.
    async fn touched(&self, name: &str, version: Version) -> Result<Option<Change>, ApiError> {
        let Version::Number(number) = version else { return Ok(None) };
        let target = Target { name: name.to_owned(), qualifier: Some(version.to_string()) };
        let record = self.record(&target).await?;
        Ok(Some(Change::Version(VersionChange::Settle {
            function: name.to_owned(),
            number,
            revision_id: random::uuid(),
            state: record.state,
            last_update: record.last_update,
        })))
    }

    /// Whether so many may be promised: out of the function's reservation if it has one, else out of what the account
    /// leaves to all, which keeps its minimum.
    async fn check_promise(&self, name: &str, qualifier: &str, wanted: u32) -> Result<(), ApiError> {
        let functions = &self.shared.functions;
        let stored = functions.store.function(name).await.map_err(|error| self.internal(error))?;
        let beside = functions.promised_beside(name, qualifier);
        let wanted = u64::from(wanted);
        if let Some(reserved) = stored.and_then(|record| record.reserved_concurrency) {
            let fits = wanted + beside <= u64::from(reserved);
            return if fits { Ok(()) } else { Err(ApiError::invalid_parameter(OVER_RESERVED)) };
        }
        let others = functions.promised_unreserved(name) + beside;
        let unreserved = self.unreserved().await?.saturating_sub(others);
        let refusal = if wanted > unreserved {
            format!(
                "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{unreserved}]."
            )
        } else if unreserved - wanted < u64::from(self.unreserved_minimum) {
            format!(
                "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [{}].",
                self.unreserved_minimum
            )
        } else {
            return Ok(());
        };
        Err(ApiError::invalid_parameter(refusal).without_type())
    }

    /// What reservations leave of the account's concurrency.
    pub(super) async fn unreserved(&self) -> Result<u64, ApiError> {
        let usage = self.shared.functions.store.usage().await.map_err(|error| self.internal(error))?;
        Ok(u64::from(self.account_concurrency).saturating_sub(usage.reserved))
    }

    async fn promise(&self, name: &str, qualifier: &str) -> Result<Option<Promise>, ApiError> {
        let document = self.side(FAMILY, &key_of(name, qualifier)).await?;
        document.map(|document| document.read()).transpose().map_err(|error| self.internal(error))
    }

    /// Configurations of a function with what the scheduler says of them by now.
    async fn shown(&self, name: &str, promises: Vec<(String, Promise)>) -> Vec<(String, Shown)> {
        let functions = &self.shared.functions;
        let provisions: Vec<Option<Provision>> =
            promises.iter().map(|(qualifier, _)| functions.promised(name, qualifier)).collect();
        let ids: Vec<_> = provisions.iter().map(|provision| provision.as_ref().map(|it| it.id)).collect();
        let look = self.shared.scheduler.look(move |machine| {
            ids.into_iter().map(|id| id.and_then(|id| machine.provisioned(id))).collect::<Vec<_>>()
        });
        // A scheduler that is gone knows of nothing.
        let states = look.await.unwrap_or_default();
        let each = promises.into_iter().zip(provisions).enumerate();
        each.map(|(at, ((qualifier, promise), provision))| {
            let state = states.get(at).and_then(Option::as_ref);
            let shown = Shown::of(&promise, provision.as_ref(), state);
            (qualifier, shown)
        })
        .collect()
    }
}

fn absent() -> ApiError {
    ApiError::new(ErrorCode::ProvisionedConcurrencyConfigNotFoundException, ABSENT)
}

fn leads_to(alias: &Alias) -> impl Iterator<Item = Version> {
    [Some(alias.version), alias.additional.map(|(number, _)| Version::Number(number))].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_ready_when_all_of_it_came_up_and_failed_with_the_services_reason() {
        let promise = Promise { wanted: 3, modified_ms: 1_714_566_896_789 };
        let shown = |state: ProvisionedState| {
            let shown = Shown::of(&promise, None, Some(&state));
            (shown.status, shown.reason)
        };
        let state =
            |allocated, failed| ProvisionedState { wanted: 3, allocated, failed, ..Default::default() };
        assert_eq!(shown(state(2, None)), ("IN_PROGRESS", None));
        assert_eq!(shown(state(3, None)), ("READY", None));
        assert_eq!(shown(ProvisionedState { wanted: 2, ..state(3, None) }), ("IN_PROGRESS", None));
        let failed = shown(state(0, Some(ProvisionedFailure::Initialization)));
        assert_eq!(failed, ("FAILED", Some("FUNCTION_ERROR_INIT_FAILURE".to_owned())));
        let unknown = Shown::of(&promise, None, None);
        assert_eq!((unknown.status, unknown.modified.as_str()), ("IN_PROGRESS", "2024-05-01T12:34:56+0000"));
        let obstacle = Some("The runtime is gone.".to_owned());
        let provision =
            Provision { id: hearth_logic::ProvisionedId(1), wanted: 3, obstacle: obstacle.clone() };
        let stuck = Shown::of(&promise, Some(&provision), None);
        assert_eq!((stuck.status, stuck.reason), ("FAILED", obstacle));
    }
}
