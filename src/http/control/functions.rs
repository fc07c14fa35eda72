//! Creating, reading, updating and deleting functions.
//!
//! Every write is one commit; what takes time (unpacking) happens after the answer, and a second commit says how it
//! went. Until it went well, what was before serves (`store/serving.rs`). A daemon that died in between finishes the work at
//! its next start (`resume`).

use super::super::names::Target;
use super::Control;
use super::code::Named;
use super::described::{self, Detail, Here};
use super::images;
use super::settings::{self, Given, Judge};
use crate::daemon::functions::{Unavailable, runtime_version_arn};
use crate::daemon::{clock, random};
use crate::store::{
    Change, CommitError, Configuration, DocumentError, FunctionRecord, Layer, State, StateKind, UpdateKind,
    UpdateStatus, serving,
};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::page;
use hearth_api::shapes::*;
use std::sync::Arc;

pub(super) const CREATING: &str = "Creating";
pub(super) const BEING_CREATED: &str = "The function is being created.";
pub(super) const STALE: &str = "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id";

/// How an update is made.
#[derive(Clone, Copy, Debug, Default)]
struct Manner {
    /// Check only.
    dry_run: bool,
    /// Publish a version of it.
    publish: bool,
}

impl Control {
    /// The stored version that a name means, or the error of a missing one. Without a qualifier that is `$LATEST`; an
    /// alias means its first version. Tags and reservation are the function's.
    pub(super) async fn record(&self, target: &Target) -> Result<FunctionRecord, ApiError> {
        let found = self.find(target).await.map_err(|error| self.internal(error))?;
        found.ok_or_else(|| target.not_found(&self.shared.functions))
    }

    pub(super) fn describe(
        &self,
        record: &FunctionRecord,
        target: &Target,
        detail: Detail,
    ) -> FunctionConfiguration {
        let functions = &self.shared.functions;
        let runtime = record.configuration.runtime.as_deref().unwrap_or_default();
        let served = functions.runtimes().get(runtime);
        let version = served.map(|served| runtime_version_arn(&functions.home().region, runtime, served));
        described::answer(record, target.arn(functions), Here { served, version }, detail)
    }

    pub(super) async fn create(
        &self,
        input: CreateFunctionRequest,
        environment: Option<String>,
    ) -> Result<FunctionConfiguration, ApiError> {
        settings::check_environment_size(environment)?;
        let target = self.target(input.function_name.as_deref(), None)?;
        if target.qualifier.is_some() {
            return Err(ApiError::invalid_parameter(
                "The function name must not have a qualifier when a function is created.",
            ));
        }
        let mut code = input.code.clone().unwrap_or_default();
        let package_type = images::package_type(&input, &code)?;
        let architectures = check_architectures(input.architectures.clone())?;
        let tags = input.tags.clone().unwrap_or_default();
        super::tags::check(&tags)?;
        let signing = input.code_signing_config_arn.clone();
        self.check_new_signing(signing.as_deref(), &input, &target).await?;
        let publish = input.publish == Some(true);
        let mut configuration = Configuration { package_type, ..Configuration::default() };
        configuration.architectures = architectures.unwrap_or_else(|| vec![ARCHITECTURE.to_owned()]);
        let wanted = input.layers.clone();
        let (turn, layers) = self.attach(wanted.as_deref()).await?;
        // Whoever waits for a download keeps nobody else from layers.
        drop(turn);
        self.judge().apply(given_on_create(input, layers), &mut configuration)?;
        if self.shared.functions.store.function(&target.name).await.map_err(|e| self.internal(e))?.is_some() {
            return Err(exists(&target.name));
        }
        let pin = match code.image_uri.take() {
            Some(uri) => self.image(&uri, &mut configuration).await?,
            None => self.obtain(Named::from(&mut code).source()?).await?,
        };
        let now = clock::wall().as_millis();
        let record = FunctionRecord {
            name: target.name.clone(),
            version: "$LATEST".to_owned(),
            revision_id: random::uuid(),
            code: images::code(&pin, &configuration),
            state: State::because(StateKind::Pending, CREATING, BEING_CREATED),
            last_update: UpdateStatus::none(),
            reserved_concurrency: None,
            tags,
            created_ms: now,
            last_modified_ms: now,
            configuration,
        };
        // The same layers, or a refusal: a version that is gone does not come back with something else in it.
        let (_layers, _) = self.attach(wanted.as_deref()).await?;
        let unsigned =
            std::iter::once(target.name.as_str()).chain(wanted.iter().flatten().map(String::as_str));
        let (_signing, attachment) = self.new_signing(signing.as_deref(), &target, unsigned).await?;
        let _turn = self.shared.functions.gate(&target.name).await;
        let mut changes = vec![Change::Create(Box::new(record.clone()))];
        changes.extend(attachment);
        let answer = self.write(changes, record, publish).await?;
        drop(pin);
        // Only here a version is answered under the function's own ARN.
        Ok(self.describe(&answer, &target, Detail::Full))
    }

    pub(super) async fn get(
        &self,
        input: GetFunctionRequest,
        endpoint: &str,
    ) -> Result<GetFunctionResponse, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let record = self.record(&target).await?;
        let zip = || FunctionCodeLocation {
            repository_type: Some("S3".to_owned()),
            location: Some(format!("{endpoint}{}", self.signer.sign(&record.code.digest))),
            ..FunctionCodeLocation::default()
        };
        Ok(GetFunctionResponse {
            configuration: Some(self.describe(&record, &target, Detail::Full)),
            code: Some(images::location(&record).unwrap_or_else(zip)),
            tags: (!record.tags.is_empty()).then(|| record.tags.clone()),
            concurrency: record
                .reserved_concurrency
                .map(|reserved| Concurrency { reserved_concurrent_executions: i32::try_from(reserved).ok() }),
            tags_error: None,
        })
    }

    pub(super) async fn get_configuration(
        &self,
        input: GetFunctionConfigurationRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let record = self.record(&target).await?;
        Ok(self.describe(&record, &target, Detail::Full))
    }

    pub(super) async fn list(&self, input: ListFunctionsRequest) -> Result<ListFunctionsResponse, ApiError> {
        if input.function_version.is_some() || input.master_region.is_some() {
            return self.list_all_versions(input).await;
        }
        let request = page::Request::new(input.marker.as_deref(), input.max_items, page::MAX_FUNCTIONS)?;
        let store = &self.shared.functions.store;
        let records = store
            .functions(request.after.as_deref(), request.limit + 1)
            .await
            .map_err(|e| self.internal(e))?;
        let page = request.cut(records, |record| &record.name);
        let describe = |record: &FunctionRecord| {
            let target = Target { name: record.name.clone(), qualifier: None };
            self.describe(record, &target, Detail::Listed)
        };
        Ok(ListFunctionsResponse {
            functions: Some(page.items.iter().map(describe).collect()),
            next_marker: page.next_marker,
        })
    }

    pub(super) async fn update_code(
        &self,
        mut input: UpdateFunctionCodeRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        let target = self.unqualified(input.function_name.as_deref())?;
        let is_image = self.record(&target).await?.is_image();
        images::check_update(&input, is_image)?;
        if input.publish_to.is_some() {
            return Err(unbuilt("PublishTo"));
        }
        let architectures = check_architectures(input.architectures.take())?;
        let unsigned = vec![target.name.clone()];
        self.refuse_unsigned(&target.name, &unsigned).await?;
        let mut image = Configuration::default();
        let pin = match input.image_uri.take() {
            Some(uri) => self.image(&uri, &mut image).await?,
            None => self.obtain(Named::from(&mut input).source()?).await?,
        };
        let change = |record: &mut FunctionRecord| {
            images::check_type(record, is_image)?;
            record.configuration.image_uri = image.image_uri.clone();
            record.code = images::code(&pin, &record.configuration);
            if let Some(architectures) = architectures {
                record.configuration.architectures = architectures;
            }
            Ok(())
        };
        let manner = Manner { dry_run: input.dry_run == Some(true), publish: input.publish == Some(true) };
        self.update(&target, input.revision_id, (manner, unsigned), change).await
    }

    pub(super) async fn update_configuration(
        &self,
        input: UpdateFunctionConfigurationRequest,
        environment: Option<String>,
    ) -> Result<FunctionConfiguration, ApiError> {
        settings::check_environment_size(environment)?;
        let target = self.unqualified(input.function_name.as_deref())?;
        let revision = input.revision_id.clone();
        let unsigned = input.layers.clone().unwrap_or_default();
        self.refuse_unsigned(&target.name, &unsigned).await?;
        let (_layers, layers) = self.attach(input.layers.as_deref()).await?;
        let given = given_on_update(input, layers);
        let change = |record: &mut FunctionRecord| self.judge().apply(given, &mut record.configuration);
        self.update(&target, revision, (Manner::default(), unsigned), change).await
    }

    /// One update: old code serves until the new one is ready, and nobody else updates meanwhile. `unsigned` is new in it
    /// and has no signature.
    async fn update(
        &self,
        target: &Target,
        expected: Option<String>,
        (manner, unsigned): (Manner, Vec<String>),
        change: impl FnOnce(&mut FunctionRecord) -> Result<(), ApiError>,
    ) -> Result<FunctionConfiguration, ApiError> {
        let _turns = self.deployment_turns(&target.name).await?;
        let mut record = self.record(target).await?;
        if expected.is_some_and(|expected| expected != record.revision_id) {
            return Err(ApiError::new(ErrorCode::PreconditionFailedException, STALE));
        }
        self.refuse_busy(&record, target)?;
        let old = record.revision_id.clone();
        // After an update that failed that is not what is stored, but what was before.
        let standing = self.shared.functions.store.standing(record.clone()).await;
        let kept = standing.and_then(|standing| serving::keep(&standing)).map_err(|e| self.internal(e))?;
        change(&mut record)?;
        if manner.dry_run {
            self.check_unzipped(&record).await?;
            return Ok(self.describe(&record, target, Detail::Full));
        }
        self.judge_unsigned(&target.name, &unsigned).await?;
        record.revision_id = random::uuid();
        record.last_modified_ms = clock::wall().as_millis().max(record.last_modified_ms);
        record.last_update = UpdateStatus::because(UpdateKind::InProgress, CREATING, BEING_CREATED);
        let change = Change::Replace { expected: old, record: Box::new(record.clone()) };
        let answer = self.write(vec![change, kept], record, manner.publish).await?;
        Ok(self.describe(&answer, &target.of_version(&answer), Detail::Full))
    }

    /// Commits a new state of `$LATEST` and has it made ready; with `publish` a version of it is made in the same commit
    /// and is what is answered.
    async fn write(
        &self,
        mut changes: Vec<Change>,
        mut record: FunctionRecord,
        publish: bool,
    ) -> Result<FunctionRecord, ApiError> {
        let target = Target { name: record.name.clone(), qualifier: None };
        self.check_unzipped(&record).await?;
        changes.extend(super::layers::kept(&record).map_err(|error| self.internal(error))?);
        let version = if publish { self.add_version(&mut record, &mut changes).await? } else { None };
        // A version that is answered because it is still the same takes no room.
        let is_new = version.as_ref().is_some_and(|version| version.state.kind == StateKind::Pending);
        self.check_function_storage(&record, is_new).await?;
        self.commit_all(changes, &target).await?;
        self.shared.code.offers.take_up(record.code.digest);
        self.settle_later(&record);
        Ok(version.unwrap_or(record))
    }

    /// Updates are refused while another one, or the creation, is under way.
    pub(super) fn refuse_busy(&self, record: &FunctionRecord, target: &Target) -> Result<(), ApiError> {
        self.refuse_updating(record, target)?;
        match record.state.kind {
            StateKind::Active | StateKind::Inactive => Ok(()),
            state @ (StateKind::Pending | StateKind::Failed) => Err(ApiError::conflict(format!(
                "The operation cannot be performed at this time. The function is currently in the following state: {}",
                state.name()
            ))),
        }
    }

    /// What is refused while an update is under way, though not while the function is being created.
    pub(super) fn refuse_updating(&self, record: &FunctionRecord, target: &Target) -> Result<(), ApiError> {
        if record.last_update.kind != Some(UpdateKind::InProgress) {
            return Ok(());
        }
        let arn = self.shared.functions.arn(&target.name);
        Err(ApiError::conflict(format!(
            "The operation cannot be performed at this time. An update is in progress for resource: {arn}"
        )))
    }

    pub(super) async fn delete(
        &self,
        input: DeleteFunctionRequest,
    ) -> Result<DeleteFunctionResponse, ApiError> {
        let target = self.target(input.function_name.as_deref(), input.qualifier.as_deref())?;
        let qualifier = target.qualifier.as_deref();
        if qualifier == Some("$LATEST") {
            return Err(ApiError::invalid_parameter(
                "$LATEST version cannot be deleted without deleting the function.",
            ));
        }
        // Names of aliases cannot hold `$`.
        let is_alias = |text: &str| !text.contains('$') && !text.bytes().all(|byte| byte.is_ascii_digit());
        if qualifier.is_some_and(is_alias) {
            return Err(ApiError::invalid_parameter("Deletion of aliases is not currently supported."));
        }
        if let Some(number) = qualifier {
            return self.delete_version(&target, number).await;
        }
        let _turn = self.shared.functions.gate(&target.name).await;
        self.commit(Change::Delete { name: target.name.clone() }, &target).await?;
        self.shared.functions.forget(&target.name);
        self.shared.metrics.forget(&target.name);
        self.shared.code.released.notify_one();
        Ok(DeleteFunctionResponse { status_code: Some(204) })
    }

    pub(super) async fn commit(&self, change: Change, target: &Target) -> Result<(), ApiError> {
        self.commit_all(vec![change], target).await
    }

    pub(super) async fn commit_all(&self, changes: Vec<Change>, target: &Target) -> Result<(), ApiError> {
        self.shared.functions.commit(changes).await.map_err(|error| match error {
            CommitError::Exists { .. } => exists(&target.name),
            CommitError::Missing { .. } => target.not_found(&self.shared.functions),
            CommitError::Stale { .. } => ApiError::new(ErrorCode::PreconditionFailedException, STALE),
            CommitError::TooMuchReserved { .. } => ApiError::invalid_parameter(format!(
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [{}].",
                self.unreserved_minimum
            ))
            .without_type(),
            CommitError::TooManyTags { .. } => super::tags::too_many(),
            CommitError::Version(error) => self.version_error(error, target),
            // Families have words of their own; these are for what came in between.
            CommitError::Document(DocumentError::Stale { .. }) => {
                ApiError::new(ErrorCode::PreconditionFailedException, STALE)
            }
            CommitError::Document(DocumentError::Exists { .. }) => {
                ApiError::conflict("The resource already exists.")
            }
            CommitError::Document(DocumentError::Missing { .. }) => {
                ApiError::not_found("The resource you requested does not exist.")
            }
            CommitError::Store(error) => self.internal(error),
        })
    }

    fn judge(&self) -> Judge<'_> {
        Judge { runtimes: self.shared.functions.runtimes() }
    }

    /// Makes a created or updated function ready, in the background.
    fn settle_later(&self, record: &FunctionRecord) {
        let (shared, name, revision) =
            (Arc::clone(&self.shared), record.name.clone(), record.revision_id.clone());
        let (code, creating) = (record.tree(), record.state.kind == StateKind::Pending);
        let layers: Vec<_> = record.configuration.layers.iter().map(|layer| layer.digest).collect();
        tokio::spawn(async move {
            let mut unpacked = shared.code.ensure_unpacked(code).await;
            if unpacked.is_ok() {
                unpacked = shared.code.ensure_layers(&layers).await;
            }
            let _turn = shared.functions.gate(&name).await;
            let Ok(Some(mut record)) = shared.functions.store.function(&name).await else { return };
            if record.revision_id != revision {
                return;
            }
            conclude(&mut record, creating, unpacked);
            let mut changes = vec![Change::Replace { expected: revision, record: Box::new(record.clone()) }];
            // What could not be made ready does not serve: what was before goes on.
            if record.last_update.kind != Some(UpdateKind::Failed) {
                changes.push(serving::forget(&name));
            }
            match super::versions::settled(&shared.functions, &record).await {
                Ok(settled) => changes.extend(settled),
                Err(error) => {
                    return tracing::error!(function = %name, %error, "an update could not be finished");
                }
            }
            if let Err(error) = shared.functions.commit(changes).await {
                return tracing::error!(function = %name, %error, "an update could not be finished");
            }
            shared.code.released.notify_one();
            if let Err(Unavailable::Store(error)) = shared.functions.settled(&record).await {
                tracing::error!(function = %name, %error, "an update could not be taken up");
            }
        });
    }

    /// Finishes what a daemon that died left half-done, and tells the scheduler of every reservation and all provisioned
    /// concurrency.
    pub(crate) async fn resume(&self) -> Result<(), crate::store::StoreError> {
        const CHUNK: usize = 500;
        let mut after: Option<String> = None;
        loop {
            let records = self.shared.functions.store.functions(after.as_deref(), CHUNK).await?;
            for record in &records {
                let busy = record.last_update.kind == Some(UpdateKind::InProgress);
                if record.state.kind == StateKind::Pending || busy {
                    self.settle_later(record);
                } else if record.reserved_concurrency.is_some() {
                    // Without its runtime it cannot run, and reserves nothing that it could use.
                    self.shared.functions.take_up(record.clone()).await.ok();
                }
            }
            match records.last() {
                Some(last) if records.len() == CHUNK => after = Some(last.name.clone()),
                _ => return self.shared.functions.resume_provisioned().await,
            }
        }
    }
}

/// How a creation or update came out.
fn conclude(record: &mut FunctionRecord, creating: bool, unpacked: Result<(), String>) {
    record.revision_id = random::uuid();
    match unpacked {
        Ok(()) => {
            record.last_update = UpdateStatus::of(UpdateKind::Successful);
            record.state = State::active();
        }
        Err(detail) => {
            tracing::error!(function = %record.name, %detail, "code could not be unpacked");
            let text = "The function's code could not be unpacked; the daemon's log has the reason.";
            if creating {
                record.state = State::because(StateKind::Failed, "InternalError", text);
            }
            record.last_update = UpdateStatus::because(UpdateKind::Failed, "InternalError", text);
        }
    }
}

fn exists(name: &str) -> ApiError {
    ApiError::conflict(format!("Function already exist: {name}"))
}

pub(super) fn unbuilt(what: &str) -> ApiError {
    let text = format!("{what} is not implemented in this release of Hearth.");
    ApiError::new(ErrorCode::NotImplementedException, text)
}

/// The machine's own: what a function has that names none, and all that one may name.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };

/// The machine's own architecture is the only one that runs here.
fn check_architectures(given: Option<Vec<String>>) -> Result<Option<Vec<String>>, ApiError> {
    let own = ARCHITECTURE;
    match given {
        Some(given) if given.iter().any(|name| name != own) => Err(ApiError::invalid_parameter(format!(
            "Architectures {given:?}: this host is {own} and runs nothing else."
        ))),
        other => Ok(other),
    }
}

/// The members that both requests have, under the same names.
macro_rules! given {
    ($input:ident, $unbuilt:expr, $layers:expr) => {
        Given {
            runtime: $input.runtime,
            handler: $input.handler,
            role: $input.role,
            description: $input.description,
            timeout: $input.timeout,
            memory_size: $input.memory_size,
            environment: $input.environment,
            ephemeral_storage: $input.ephemeral_storage,
            tracing_mode: $input.tracing_config.and_then(|config| config.mode),
            dead_letter_config: $input.dead_letter_config,
            kms_key_arn: $input.kms_key_arn,
            layers: $layers,
            vpc_config: $input.vpc_config,
            file_systems: $input.file_system_configs,
            snap_start: $input.snap_start,
            image_config: $input.image_config,
            logging: $input.logging_config,
            unbuilt: $unbuilt.into_iter().filter_map(|(name, given)| given.then_some(name)).collect(),
        }
    };
}

fn given_on_create(input: CreateFunctionRequest, layers: Option<Vec<Layer>>) -> Given {
    let unbuilt = [
        ("PublishTo", input.publish_to.is_some()),
        ("CapacityProviderConfig", input.capacity_provider_config.is_some()),
        ("DurableConfig", input.durable_config.is_some()),
        ("TenancyConfig", input.tenancy_config.is_some()),
        ("RuntimeConfig", input.runtime_config.is_some()),
        ("AcceleratorConfig", input.accelerator_config.is_some()),
    ];
    given!(input, unbuilt, layers)
}

fn given_on_update(input: UpdateFunctionConfigurationRequest, layers: Option<Vec<Layer>>) -> Given {
    let unbuilt = [
        ("CapacityProviderConfig", input.capacity_provider_config.is_some()),
        ("DurableConfig", input.durable_config.is_some()),
        ("RuntimeConfig", input.runtime_config.is_some()),
        ("AcceleratorConfig", input.accelerator_config.is_some()),
    ];
    given!(input, unbuilt, layers)
}
