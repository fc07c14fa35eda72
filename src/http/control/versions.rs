//! Published versions: making, finding, listing and deleting them.
//!
//! A version is made in the commit that makes the state it is a copy of, or of a state that is ready; so there is never
//! one whose code could not serve. It gets a number only if code or settings differ from those of the last one. What a
//! change of versions must find stored is checked in the store once more; here it gets the service's words.

use super::super::names::Target;
use super::Control;
use super::described::Detail;
use super::functions::{STALE, unbuilt};
use crate::daemon::functions::Functions;
use crate::daemon::random;
use crate::store::{
    Change, FunctionRecord, Published, State, StateKind, StoreError, UpdateKind, UpdateStatus, Version,
    VersionChange, VersionError,
};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::page;
use hearth_api::shapes::*;

/// Between a name and a number in a marker; sorts before all that names hold, so that markers sort as the list does.
const BETWEEN: char = '\0';

impl Control {
    /// The stored version that a name means, if there is one.
    pub(super) async fn find(&self, target: &Target) -> Result<Option<FunctionRecord>, StoreError> {
        let store = &self.shared.functions.store;
        let version = match target.qualifier.as_deref() {
            None => Version::Latest,
            Some(qualifier) => match Version::parse(qualifier) {
                Some(version) => version,
                None => match store.alias(&target.name, qualifier).await? {
                    Some(alias) => alias.version,
                    None => return Ok(None),
                },
            },
        };
        match version {
            Version::Latest => store.function(&target.name).await,
            Version::Number(number) => {
                Ok(store.version(&target.name, number).await?.map(|found| found.record))
            }
        }
    }

    pub(super) async fn publish(
        &self,
        input: PublishVersionRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        let target = self.unqualified(input.function_name.as_deref())?;
        if input.publish_to.is_some() {
            return Err(unbuilt("PublishTo"));
        }
        let _turn = self.shared.functions.gate(&target.name).await;
        let latest = self.record(&target).await?;
        if input.revision_id.is_some_and(|expected| expected != latest.revision_id) {
            return Err(ApiError::new(ErrorCode::PreconditionFailedException, STALE));
        }
        let current = latest.code.sha256_base64();
        if let Some(given) = input.code_sha256.filter(|given| !given.is_empty() && *given != current) {
            return Err(ApiError::invalid_parameter(format!(
                "CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST ({current}). Please try again with the CodeSHA256 in $LATEST."
            )));
        }
        self.refuse_busy(&latest, &target)?;
        refuse_failed(&latest)?;
        let (number, last) = self.last_version(&latest).await?;
        let published = match last {
            Some(published) => published,
            None => {
                let mut published = Published::of(&latest, number + 1, random::uuid(), input.description);
                // What `$LATEST` last became is no history of the version's.
                published.record.last_update = UpdateStatus::of(UpdateKind::Successful);
                self.check_storage(latest.code.size, 0).await?;
                let (before, after) = (latest.revision_id, random::uuid());
                let change = VersionChange::Publish {
                    expected: before.clone(),
                    revision_id: after.clone(),
                    published: Box::new(published.clone()),
                };
                self.commit(Change::Version(change), &target).await?;
                self.shared.functions.published(&target.name, &before, &after);
                published
            }
        };
        Ok(self.describe(&published.record, &target.of_version(&published.record), Detail::Full))
    }

    /// Adds the publishing of `record` to the changes that make it; none if the last version is the same. The version
    /// becomes ready, or fails, with the function.
    pub(super) async fn add_version(
        &self,
        record: &mut FunctionRecord,
        changes: &mut Vec<Change>,
    ) -> Result<Option<FunctionRecord>, ApiError> {
        let (number, last) = self.last_version(record).await?;
        if let Some(same) = last {
            return Ok(Some(same.record));
        }
        let mut published = Published::of(record, number + 1, random::uuid(), None);
        published.record.state =
            State::because(StateKind::Pending, super::functions::CREATING, super::functions::BEING_CREATED);
        published.record.last_update = UpdateStatus::none();
        let expected = std::mem::replace(&mut record.revision_id, random::uuid());
        let version = published.record.clone();
        changes.push(Change::Version(VersionChange::Publish {
            expected,
            revision_id: record.revision_id.clone(),
            published: Box::new(published),
        }));
        Ok(Some(version))
    }

    /// The last number given, and the version that has it if that is still the same as `latest`. One that could not be made
    /// is the same as nothing: what it was to be gets a number once more.
    async fn last_version(&self, latest: &FunctionRecord) -> Result<(u64, Option<Published>), ApiError> {
        let store = &self.shared.functions.store;
        let number = store.last_number(&latest.name).await.map_err(|error| self.internal(error))?;
        let last = store.version(&latest.name, number).await.map_err(|error| self.internal(error))?;
        let is_same = |last: &Published| last.record.state.kind != StateKind::Failed && last.is_still(latest);
        Ok((number, last.filter(is_same)))
    }

    pub(super) async fn list_versions(
        &self,
        input: ListVersionsByFunctionRequest,
    ) -> Result<ListVersionsByFunctionResponse, ApiError> {
        let given = self.target(input.function_name.as_deref(), None)?;
        let target = Target { name: given.name, qualifier: None };
        let request = page::Request::new(input.marker.as_deref(), input.max_items, page::MAX_FUNCTIONS)?;
        let latest = self.record(&target).await?;
        let after = request.after.as_deref().map(|key| key.parse().unwrap_or(0));
        let store = &self.shared.functions.store;
        let numbered = store.versions(&target.name, after.unwrap_or(0), request.limit + 1).await;
        let all = after.is_none().then_some(latest).into_iter();
        let all = all.chain(numbered.map_err(|error| self.internal(error))?);
        let page = request.cut(all.map(|record| (number_key(&record), record)), |(key, _)| key);
        Ok(ListVersionsByFunctionResponse {
            versions: Some(page.items.iter().map(|(_, record)| self.listed_version(record)).collect()),
            next_marker: page.next_marker,
        })
    }

    /// `ListFunctions` with `FunctionVersion=ALL`.
    pub(super) async fn list_all_versions(
        &self,
        input: ListFunctionsRequest,
    ) -> Result<ListFunctionsResponse, ApiError> {
        if input.function_version.is_none() {
            return Err(ApiError::invalid_parameter("MasterRegion needs FunctionVersion to be ALL."));
        }
        let request = page::Request::new(input.marker.as_deref(), input.max_items, page::MAX_FUNCTIONS)?;
        if input.master_region.is_some_and(|region| region != "ALL") {
            // Only functions that were replicated from another region have one; there are none here.
            return Ok(ListFunctionsResponse { functions: Some(Vec::new()), next_marker: None });
        }
        let after = request.after.as_deref().unwrap_or_default();
        let (name, number) = after.split_once(BETWEEN).unwrap_or((after, "0"));
        let store = &self.shared.functions.store;
        let all = store.all_versions((name, number.parse().unwrap_or(0)), request.limit + 1).await;
        let all = all.map_err(|error| self.internal(error))?.into_iter();
        let keyed = all.map(|record| (format!("{}{BETWEEN}{}", record.name, number_key(&record)), record));
        let page = request.cut(keyed, |(key, _)| key);
        Ok(ListFunctionsResponse {
            functions: Some(page.items.iter().map(|(_, record)| self.listed_version(record)).collect()),
            next_marker: page.next_marker,
        })
    }

    fn listed_version(&self, record: &FunctionRecord) -> FunctionConfiguration {
        let target = Target { name: record.name.clone(), qualifier: Some(record.version.clone()) };
        self.describe(record, &target, Detail::Listed)
    }

    /// Deletes one version. One that is not there is deleted already.
    pub(super) async fn delete_version(
        &self,
        target: &Target,
        number: &str,
    ) -> Result<DeleteFunctionResponse, ApiError> {
        let whole = Target { name: target.name.clone(), qualifier: None };
        let _turn = self.shared.functions.gate(&target.name).await;
        self.record(&whole).await?;
        if let Some(Version::Number(number)) = Version::parse(number) {
            let change = VersionChange::Remove { function: target.name.clone(), number };
            let named = Target { name: target.name.clone(), qualifier: Some(number.to_string()) };
            let mut changes = vec![Change::Version(change)];
            changes.extend(self.followers(&named));
            self.commit_all(changes, &whole).await?;
            self.shared.functions.unprovision(&target.name, &number.to_string());
            self.shared.functions.forget_version(&target.name, number);
            self.shared.code.released.notify_one();
        }
        Ok(DeleteFunctionResponse { status_code: Some(204) })
    }

    /// What the store refused about versions and aliases, in the service's words.
    pub(super) fn version_error(&self, error: VersionError, target: &Target) -> ApiError {
        let functions = &self.shared.functions;
        let arn = |qualifier: &str| {
            Target { name: target.name.clone(), qualifier: Some(qualifier.to_owned()) }.arn(functions)
        };
        match error {
            VersionError::Missing { number, .. } => {
                ApiError::not_found(format!("Function not found: {}", arn(&number.to_string())))
            }
            VersionError::InUse { aliases, .. } => ApiError::conflict(format!(
                "Unable to delete version because the following aliases reference it: [{}]",
                aliases.join(", ")
            )),
            VersionError::AliasExists { alias, .. } => {
                ApiError::conflict(format!("Alias already exists: {}", arn(&alias)))
            }
            VersionError::AliasMissing { alias, .. } => {
                ApiError::not_found(format!("Alias not found: {}", arn(&alias)))
            }
            // The number was read within the function's turn, so nobody can have taken it.
            error @ VersionError::NotNext { .. } => self.internal(error),
        }
    }
}

/// What is stored of `$LATEST` after an update that failed does not serve, so no version is made of it.
fn refuse_failed(latest: &FunctionRecord) -> Result<(), ApiError> {
    if latest.last_update.kind != Some(UpdateKind::Failed) {
        return Ok(());
    }
    Err(ApiError::conflict(
        "The operation cannot be performed at this time. The last update of the function failed, and what was before it serves: update the code or the configuration again before you publish a version.",
    ))
}

/// What becomes of a version that was being made together with `latest`: the same as of that.
pub(super) async fn settled(
    functions: &Functions,
    latest: &FunctionRecord,
) -> Result<Option<Change>, StoreError> {
    let number = functions.store.last_number(&latest.name).await?;
    let Some(made) = functions.store.version(&latest.name, number).await? else { return Ok(None) };
    if made.record.state.kind != StateKind::Pending {
        return Ok(None);
    }
    let failure =
        latest.last_update.reason.as_ref().filter(|_| latest.last_update.kind == Some(UpdateKind::Failed));
    let state = match failure {
        None => latest.state.clone(),
        Some(reason) => State { kind: StateKind::Failed, reason: Some(reason.clone()) },
    };
    Ok(Some(Change::Version(VersionChange::Settle {
        function: latest.name.clone(),
        number,
        revision_id: random::uuid(),
        state,
        last_update: latest.last_update.clone(),
    })))
}

/// A version's number, written so that the texts sort as the numbers do; `$LATEST` comes first.
fn number_key(record: &FunctionRecord) -> String {
    let number = match Version::parse(&record.version) {
        Some(Version::Number(number)) => number,
        Some(Version::Latest) | None => 0,
    };
    format!("{number:020}")
}
