//! Event source mappings: which function is to get what comes from which source, and how.
//!
//! They are checked, kept and answered here. Nothing reads from a source yet: a mapping that is to be enabled
//! settles at `Disabled` and says why. Answers to changes name the state that the service would pass
//! through; the next question finds the mapping settled. A mapping outlives its function, as at AWS. Deliberately not
//! here: what options there are (`options`, `rules`), what patterns filters may have (`filter`).

mod filter;
mod merge;
mod options;
mod record;
mod rules;
mod source;

use super::super::names::Target;
use super::Control;
use super::tags;
use crate::daemon::random;
use crate::store::{Change, Document, DocumentChange, Expect, Family};
use hearth_api::error::ApiError;
use hearth_api::operations::Operation;
use hearth_api::page;
use hearth_api::permission::{self, Permission};
use hearth_api::shapes::{EventSourceMappingConfiguration as Configuration, *};
use record::{Mapping, Phase};
use serde_json::Value;
use source::Kind;
use tokio::sync::MutexGuard;

const FAMILY: Family = Family::EventSourceMapping;
/// Mappings of one installation: each creation looks at all of them.
const MAPPINGS_MAX: usize = 10_000;
/// Bytes of one mapping as it is kept; the model bounds members, but not all lists.
const MAPPING_BYTES_MAX: usize = 128 * 1024;
/// Documents read at a time.
const CHUNK: usize = 200;
const NO_MAPPING: &str = "The resource you requested does not exist.";
const NO_FUNCTION: &str = "Function does not exist";

impl Control {
    pub(super) async fn create_mapping(
        &self,
        input: CreateEventSourceMappingRequest,
    ) -> Result<Configuration, ApiError> {
        let endpoints =
            input.self_managed_event_source.as_ref().map(|own| own.endpoints.clone().unwrap_or_default());
        let kind = Kind::of(input.event_source_arn.as_deref(), endpoints.as_ref())?;
        let target = self.target(input.function_name.as_deref(), None)?;
        let tags = input.tags.clone().unwrap_or_default();
        tags::check(&tags)?;
        let uuid = random::uuid();
        let (enabled, mut configuration) = (input.enabled.unwrap_or(true), merge::configured(input));
        configuration.event_source_mapping_arn = Some(format!("{}{uuid}", self.mapping_arn_prefix()));
        configuration.function_arn = Some(target.arn(&self.shared.functions));
        configuration.uuid = Some(uuid.clone());
        let mut mapping = Mapping { kind, enabled, tags, configuration };
        mapping.settle(&uuid)?;
        let _turn = self.mappings_turn().await;
        self.must_run(&target, kind).await?;
        self.refuse_double(&mapping, &target).await?;
        self.keep_mapping(&mapping).await?;
        // One that is to be disabled has nothing to pass through.
        Ok(mapping.answer(if enabled { Phase::Creating } else { Phase::Settled }))
    }

    pub(super) async fn get_mapping(
        &self,
        input: GetEventSourceMappingRequest,
    ) -> Result<Configuration, ApiError> {
        Ok(self.mapping(input.uuid.as_deref()).await?.answer(Phase::Settled))
    }

    pub(super) async fn update_mapping(
        &self,
        input: UpdateEventSourceMappingRequest,
    ) -> Result<Configuration, ApiError> {
        let name = input.function_name.as_deref();
        let target = name.map(|name| self.target(Some(name), None)).transpose()?;
        let _turn = self.mappings_turn().await;
        let mut mapping = self.mapping(input.uuid.as_deref()).await?;
        let phase = match input.enabled {
            Some(true) => Phase::Enabling,
            Some(false) if mapping.enabled => Phase::Disabling,
            Some(false) | None => Phase::Updating,
        };
        mapping.enabled = input.enabled.unwrap_or(mapping.enabled);
        if let Some(target) = &target {
            mapping.configuration.function_arn = Some(target.arn(&self.shared.functions));
        }
        merge::update(&mut mapping, input)?;
        let uuid = mapping.uuid().to_owned();
        mapping.settle(&uuid)?;
        if let Some(target) = &target {
            self.must_run(target, mapping.kind).await?;
            self.refuse_double(&mapping, target).await?;
        }
        self.keep_mapping(&mapping).await?;
        Ok(mapping.answer(phase))
    }

    pub(super) async fn delete_mapping(
        &self,
        input: DeleteEventSourceMappingRequest,
    ) -> Result<Configuration, ApiError> {
        let _turn = self.mappings_turn().await;
        let mapping = self.mapping(input.uuid.as_deref()).await?;
        let key = mapping.uuid().to_owned();
        let change = DocumentChange::Remove { family: FAMILY, key, expect: Expect::Present };
        self.write_mapping(change).await?;
        Ok(mapping.answer(Phase::Deleting))
    }

    pub(super) async fn list_mappings(
        &self,
        input: ListEventSourceMappingsRequest,
    ) -> Result<ListEventSourceMappingsResponse, ApiError> {
        let request = page::Request::new(input.marker.as_deref(), input.max_items, page::MAX_MAPPINGS)?;
        let function = input.function_name.as_deref();
        let function = function.map(|name| self.target(Some(name), None)).transpose()?;
        let function = function.map(|target| target.arn(&self.shared.functions));
        let fits = |mapping: &Mapping| {
            let it = &mapping.configuration;
            (function.is_none() || it.function_arn == function)
                && (input.event_source_arn.is_none() || it.event_source_arn == input.event_source_arn)
        };
        let after = request.after.as_deref().unwrap_or_default();
        let page = request.cut(self.find_mappings(after, request.limit + 1, fits).await?, Mapping::uuid);
        Ok(ListEventSourceMappingsResponse {
            event_source_mappings: Some(page.items.iter().map(|it| it.answer(Phase::Settled)).collect()),
            next_marker: page.next_marker,
        })
    }

    /// What a caller must be allowed for an operation on one mapping: once for the function that it is of, and once for
    /// the one that it is to get.
    pub(super) async fn of_mapping(
        &self,
        permission: Permission,
        operation: Operation,
        input: &Value,
    ) -> Result<Vec<Permission>, ApiError> {
        use Operation::{DeleteEventSourceMapping, GetEventSourceMapping, UpdateEventSourceMapping};
        if !matches!(operation, DeleteEventSourceMapping | GetEventSourceMapping | UpdateEventSourceMapping) {
            return Ok(vec![permission]);
        }
        let member = |name: &str| input.get(name).and_then(Value::as_str);
        let stored = match self.mapping(member("UUID")).await {
            Ok(mapping) => mapping.configuration.function_arn,
            Err(error) if error.status() == 404 => None,
            Err(error) => return Err(error),
        };
        let functions = [stored.as_deref(), member("FunctionName")];
        let home = self.shared.functions.home();
        let named = functions.into_iter().flatten().map(|function| {
            Ok(permission.clone().with(permission::FUNCTION_ARN, permission::mapped(home, function)?))
        });
        let named: Vec<Permission> = named.collect::<Result<_, ApiError>>()?;
        Ok(if named.is_empty() { vec![permission] } else { named })
    }

    fn mapping_arn_prefix(&self) -> String {
        let home = self.shared.functions.home();
        format!("arn:{}:lambda:{}:{}:event-source-mapping:", home.partition, home.region, home.account)
    }

    /// The turn to write mappings, their tags included (`tags`); no function has this name. Nobody takes a function's turn under it.
    async fn mappings_turn(&self) -> MutexGuard<'_, ()> {
        self.shared.functions.gate("event-source-mapping:").await
    }

    async fn mapping(&self, uuid: Option<&str>) -> Result<Mapping, ApiError> {
        match self.side(FAMILY, uuid.unwrap_or_default()).await? {
            Some(document) => document.read().map_err(|error| self.internal(error)),
            None => Err(ApiError::not_found(NO_MAPPING)),
        }
    }

    /// The first `count` mappings after a UUID that fit.
    async fn find_mappings(
        &self,
        after: &str,
        count: usize,
        mut fits: impl FnMut(&Mapping) -> bool + Send,
    ) -> Result<Vec<Mapping>, ApiError> {
        let (mut found, mut after) = (Vec::new(), after.to_owned());
        for _ in 0..=MAPPINGS_MAX / CHUNK {
            let chunk = self.shared.functions.store.documents(FAMILY, "", &after, CHUNK).await;
            let chunk = chunk.map_err(|error| self.internal(error))?;
            for document in &chunk {
                let mapping: Mapping = document.read().map_err(|error| self.internal(error))?;
                if fits(&mapping) {
                    found.push(mapping);
                }
                if found.len() == count {
                    return Ok(found);
                }
            }
            match chunk.last() {
                Some(last) if chunk.len() == CHUNK => after.clone_from(&last.key),
                _ => break,
            }
        }
        Ok(found)
    }

    /// Refuses a function that is not there, or that runs longer than the source waits.
    async fn must_run(&self, target: &Target, kind: Kind) -> Result<(), ApiError> {
        let record = match self.record(target).await {
            Err(error) if error.status() == 404 => return Err(ApiError::invalid_parameter(NO_FUNCTION)),
            other => other?,
        };
        let (timeout, longest) = (record.configuration.timeout_s, kind.timeout_max_s());
        if timeout > longest {
            return Err(ApiError::invalid_parameter(format!(
                "Function timeout: {timeout} seconds is more than the {longest} seconds that are allowed for given event source mapping type."
            )));
        }
        Ok(())
    }

    async fn refuse_double(&self, mapping: &Mapping, target: &Target) -> Result<(), ApiError> {
        let mut others = 0;
        let doubled = self.find_mappings("", 1, |other| {
            others += usize::from(other.uuid() != mapping.uuid());
            other.uuid() != mapping.uuid() && other.doubles(mapping)
        });
        if let Some(stored) = doubled.await?.first() {
            return Err(mapping.conflict(stored, &target.name));
        }
        if others >= MAPPINGS_MAX {
            let text = format!("There are {MAPPINGS_MAX} event source mappings, which is the most.");
            return Err(ApiError::invalid_parameter(text));
        }
        Ok(())
    }

    async fn keep_mapping(&self, mapping: &Mapping) -> Result<(), ApiError> {
        let too_large = || {
            let text = format!("An event source mapping must be smaller than {MAPPING_BYTES_MAX} bytes.");
            ApiError::invalid_parameter(text)
        };
        // What does not fit into a document at all is refused the same way.
        let document = Document::of(FAMILY, mapping.uuid(), mapping).map_err(|_| too_large())?;
        if document.body.len() > MAPPING_BYTES_MAX {
            return Err(too_large());
        }
        self.write_mapping(DocumentChange::Put { document: Box::new(document), expect: Expect::Anything })
            .await
    }

    async fn write_mapping(&self, change: DocumentChange) -> Result<(), ApiError> {
        let written = self.shared.functions.commit(vec![Change::Document(change)]).await;
        written.map_err(|error| self.internal(error))
    }
}
