//! Layers: publishing, finding, listing and deleting their versions, and attaching them to functions.
//!
//! A version's document is all there is of it, under a key that sorts the newest first; the layer's own document
//! remembers the last number, for numbers are never given twice. A function takes along what it needs of its layers
//! ([`Layer`]) and keeps their packages by documents of its own ([`kept`]), so that a deleted version still runs.
//! Deliberately not here: what is at `/opt` (`store/layers.rs`), who may use a layer (`layer_policies.rs`).

use super::Control;
use super::code;
use crate::daemon::clock;
use crate::store::{
    Change, Code, CommitError, Document, DocumentChange, Expect, Family, FunctionRecord, Layer, StoreError,
    UNZIPPED_MAX, tree_of, unzipped,
};
use hearth_api::error::ApiError;
use hearth_api::page;
use hearth_api::primitives::EpochTime;
use hearth_api::resource::{Elsewhere, Named};
use hearth_api::shapes::*;
use serde::{Deserialize, Serialize};
use tokio::sync::MutexGuard;

/// Layers of one function.
const LAYERS_MAX: usize = 5;
/// Documents read at a time where a filter may leave few of them.
const CHUNK: usize = 100;
pub(super) const NO_RESOURCE: &str = "The resource you requested does not exist.";

/// The number that was given last.
#[derive(Serialize, Deserialize)]
struct Numbers {
    last: i64,
}

/// What is remembered of a version, beside its package.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: i64,
    description: String,
    created_ms: u64,
    runtimes: Option<Vec<String>>,
    architectures: Option<Vec<String>>,
    license: Option<String>,
}

/// A version of a layer by name and number.
pub(super) struct Numbered {
    pub(super) layer: String,
    pub(super) number: i64,
}

impl Numbered {
    /// Newest first in the order of keys.
    pub(super) fn key(&self) -> String {
        format!("{}{:020}", prefix(&self.layer), i64::MAX - self.number)
    }
}

/// What the keys of all versions of a layer start with.
fn prefix(layer: &str) -> String {
    format!("{layer}\n")
}

/// A filter of listings.
struct Filter {
    runtime: Option<String>,
    architecture: Option<String>,
}

impl Filter {
    fn lets(&self, stored: &Stored) -> bool {
        let has = |wanted: &Option<String>, given: &Option<Vec<String>>| match wanted {
            None => true,
            Some(wanted) => given.as_ref().is_some_and(|given| given.contains(wanted)),
        };
        has(&self.runtime, &stored.runtimes) && has(&self.architecture, &stored.architectures)
    }
}

impl Control {
    pub(super) async fn publish_layer(
        &self,
        input: PublishLayerVersionRequest,
        endpoint: &str,
    ) -> Result<PublishLayerVersionResponse, ApiError> {
        let name = self.layer_name(input.layer_name.as_deref().unwrap_or_default())?;
        let mut content = input.content.unwrap_or_default();
        let pin = self.obtain(code::Named::from(&mut content).source()?).await?;
        let _turn = self.layer_turn.lock().await;
        self.check_storage(pin.code().size, 0).await?;
        let store = &self.shared.functions.store;
        let failed = |error: StoreError| self.internal(error);
        let numbers = store.document(Family::Layer, &name).await.map_err(failed)?;
        let last =
            numbers.map_or(Ok(0), |found| found.read::<Numbers>().map(|it| it.last)).map_err(failed)?;
        let stored = Stored {
            version: last + 1,
            description: input.description.unwrap_or_default(),
            created_ms: clock::wall().as_millis(),
            runtimes: input.compatible_runtimes,
            architectures: input.compatible_architectures,
            license: input.license_info,
        };
        let key = Numbered { layer: name.clone(), number: stored.version }.key();
        let version = Document::of(Family::LayerVersion, key, &stored).map_err(failed)?.with_code(pin.code());
        let layer = Document::of(Family::Layer, name.clone(), &Numbers { last: stored.version });
        let changes = vec![put(layer.map_err(failed)?, Expect::Anything), put(version, Expect::Absent)];
        self.commit_layers(changes).await?;
        let answer = self.describe_layer(&name, stored, pin.code(), endpoint);
        Ok(PublishLayerVersionResponse {
            compatible_architectures: answer.compatible_architectures,
            compatible_runtimes: answer.compatible_runtimes,
            content: answer.content,
            created_date: answer.created_date,
            description: answer.description,
            layer_arn: answer.layer_arn,
            layer_version_arn: answer.layer_version_arn,
            license_info: answer.license_info,
            version: answer.version,
        })
    }

    pub(super) async fn layer_version(
        &self,
        input: GetLayerVersionRequest,
        endpoint: &str,
    ) -> Result<GetLayerVersionResponse, ApiError> {
        let numbered = self.numbered(input.layer_name.as_deref(), input.version_number)?;
        self.one_layer_version(&numbered, endpoint).await
    }

    pub(super) async fn layer_version_by_arn(
        &self,
        input: GetLayerVersionByArnRequest,
        endpoint: &str,
    ) -> Result<GetLayerVersionResponse, ApiError> {
        let arn = input.arn.unwrap_or_default();
        let (layer, number) = self.shared.functions.home().own_layer_version(&arn).map_err(not_ours)?;
        let numbered = self.numbered(Some(layer), Some(number))?;
        self.one_layer_version(&numbered, endpoint).await
    }

    async fn one_layer_version(
        &self,
        numbered: &Numbered,
        endpoint: &str,
    ) -> Result<GetLayerVersionResponse, ApiError> {
        let found = self.stored_layer(numbered).await?.ok_or_else(|| ApiError::not_found(NO_RESOURCE))?;
        let stored = found.read().map_err(|error| self.internal(error))?;
        let code = found.code.ok_or_else(|| self.internal("a layer version without a package"))?;
        Ok(self.describe_layer(&numbered.layer, stored, code, endpoint))
    }

    /// The document of a version.
    pub(super) async fn stored_layer(&self, numbered: &Numbered) -> Result<Option<Document>, ApiError> {
        let found = self.shared.functions.store.document(Family::LayerVersion, &numbered.key()).await;
        found.map_err(|error| self.internal(error))
    }

    pub(super) async fn layers(&self, input: ListLayersRequest) -> Result<ListLayersResponse, ApiError> {
        let request = page::Request::new(input.marker.as_deref(), input.max_items, page::MAX_FUNCTIONS)?;
        let filter =
            Filter { runtime: input.compatible_runtime, architecture: input.compatible_architecture };
        let store = &self.shared.functions.store;
        let mut after = request.after.clone().unwrap_or_default();
        let mut found: Vec<(String, LayersListItem)> = Vec::new();
        'enough: loop {
            let layers = store.documents(Family::Layer, "", &after, CHUNK).await;
            let layers = layers.map_err(|error| self.internal(error))?;
            for layer in &layers {
                let mut matching = self.matching(&layer.key, String::new(), &filter, 1).await?;
                if let Some((_, latest)) = matching.pop() {
                    let item = LayersListItem {
                        latest_matching_version: Some(latest),
                        layer_arn: Some(self.layer_arn(&layer.key)),
                        layer_name: Some(layer.key.clone()),
                    };
                    found.push((layer.key.clone(), item));
                }
                if found.len() > request.limit {
                    break 'enough;
                }
            }
            match layers.last() {
                Some(last) if layers.len() == CHUNK => after.clone_from(&last.key),
                _ => break,
            }
        }
        let page = request.cut(found, |(key, _)| key);
        let layers = page.items.into_iter().map(|(_, item)| item).collect();
        Ok(ListLayersResponse { layers: Some(layers), next_marker: page.next_marker })
    }

    pub(super) async fn layer_versions(
        &self,
        input: ListLayerVersionsRequest,
    ) -> Result<ListLayerVersionsResponse, ApiError> {
        let name = self.layer_name(input.layer_name.as_deref().unwrap_or_default())?;
        let request = page::Request::new(input.marker.as_deref(), input.max_items, page::MAX_FUNCTIONS)?;
        let filter =
            Filter { runtime: input.compatible_runtime, architecture: input.compatible_architecture };
        let after = request.after.clone().unwrap_or_default();
        let found = self.matching(&name, after, &filter, request.limit + 1).await?;
        let page = request.cut(found, |(key, _)| key);
        let versions = page.items.into_iter().map(|(_, item)| item).collect();
        Ok(ListLayerVersionsResponse { layer_versions: Some(versions), next_marker: page.next_marker })
    }

    /// Versions of a layer after a key that the filter lets pass, with their keys, newest first.
    async fn matching(
        &self,
        layer: &str,
        mut after: String,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<(String, LayerVersionsListItem)>, ApiError> {
        let mut found = Vec::new();
        loop {
            let store = &self.shared.functions.store;
            let documents = store.documents(Family::LayerVersion, &prefix(layer), &after, CHUNK).await;
            let documents = documents.map_err(|error| self.internal(error))?;
            for document in &documents {
                let stored: Stored = document.read().map_err(|error| self.internal(error))?;
                if filter.lets(&stored) {
                    found.push((document.key.clone(), self.list_layer(layer, stored)));
                }
                if found.len() >= limit {
                    return Ok(found);
                }
            }
            match documents.last() {
                Some(last) if documents.len() == CHUNK => after.clone_from(&last.key),
                _ => return Ok(found),
            }
        }
    }

    pub(super) async fn remove_layer_version(
        &self,
        input: DeleteLayerVersionRequest,
    ) -> Result<NoOutput, ApiError> {
        let numbered = self.numbered(input.layer_name.as_deref(), input.version_number)?;
        let _turn = self.layer_turn.lock().await;
        let remove = |family| {
            Change::Document(DocumentChange::Remove { family, key: numbered.key(), expect: Expect::Anything })
        };
        self.commit_layers(vec![remove(Family::LayerVersion), remove(Family::LayerPolicy)]).await?;
        Ok(NoOutput::default())
    }

    /// What a function is to have at `/opt`, with the turn during which none of it can be deleted: to be kept until the
    /// function is on disk.
    pub(super) async fn attach(
        &self,
        given: Option<&[String]>,
    ) -> Result<(Option<MutexGuard<'_, ()>>, Option<Vec<Layer>>), ApiError> {
        let Some(given) = given else { return Ok((None, None)) };
        if given.len() > LAYERS_MAX {
            return Err(ApiError::invalid_parameter("Cannot reference more than 5 layers."));
        }
        let turn = self.layer_turn.lock().await;
        let mut layers: Vec<Layer> = Vec::new();
        for arn in given {
            let layer = self.attachable(arn).await?;
            let is_same = |other: &&Layer| unversioned(&other.arn) == unversioned(&layer.arn);
            if let Some(other) = layers.iter().find(is_same) {
                return Err(ApiError::invalid_parameter(format!(
                    "Two different versions of the same layer are not allowed to be referenced in the same function. {} and {arn} are versions of the same layer.",
                    other.arn
                )));
            }
            layers.push(layer);
        }
        Ok((Some(turn), Some(layers)))
    }

    async fn attachable(&self, arn: &str) -> Result<Layer, ApiError> {
        let home = &self.shared.functions.home();
        let missing = || ApiError::invalid_parameter(format!("Layer version {arn} does not exist."));
        let (layer, number) = home.own_layer_version(arn).map_err(|why| match why {
            Elsewhere::Partition | Elsewhere::Region => ApiError::invalid_parameter(format!(
                "Layers are not in the same region as the function. Layers are expected to be in region {}.",
                home.region
            )),
            Elsewhere::Account => ApiError::access_denied(),
            Elsewhere::Form => missing(),
        })?;
        let numbered = Numbered { layer: layer.to_owned(), number };
        let found = self.stored_layer(&numbered).await?.ok_or_else(missing)?;
        let code = found.code.ok_or_else(missing)?;
        let arn = self.layer_version_arn(layer, number);
        Ok(Layer { arn, digest: code.digest, size: code.size })
    }

    /// Refuses a function that is too large together with its layers.
    pub(super) async fn check_unzipped(&self, record: &FunctionRecord) -> Result<(), ApiError> {
        if record.configuration.layers.is_empty() {
            return Ok(());
        }
        let layers = record.configuration.layers.iter().map(|layer| layer.digest);
        let packages: Vec<_> = std::iter::once(record.code.digest).chain(layers).collect();
        let blobs = self.blobs.clone();
        let work = tokio::task::spawn_blocking(move || unzipped(&blobs, &packages));
        let bytes =
            work.await.map_err(|error| self.internal(error))?.map_err(|error| self.internal(error))?;
        if bytes > UNZIPPED_MAX {
            return Err(ApiError::invalid_parameter(format!(
                "Function code combined with layers exceeds the maximum allowed size of {UNZIPPED_MAX} bytes. The actual size is {bytes} bytes."
            )));
        }
        Ok(())
    }

    pub(super) async fn commit_layers(&self, changes: Vec<Change>) -> Result<(), ApiError> {
        self.shared.functions.commit(changes).await.map_err(|error: CommitError| self.internal(error))
    }

    /// Reads a name or an ARN of this account and region.
    fn layer_name(&self, given: &str) -> Result<String, ApiError> {
        if !given.contains(':') {
            return Ok(given.to_owned());
        }
        match self.shared.functions.home().own(given).map_err(not_ours)? {
            Named { kind: "layer", id } if !id.contains(':') => Ok(id.to_owned()),
            Named { .. } => Err(ApiError::access_denied()),
        }
    }

    /// Reads a version of a layer.
    pub(super) fn numbered(&self, layer: Option<&str>, number: Option<i64>) -> Result<Numbered, ApiError> {
        let layer = self.layer_name(layer.unwrap_or_default())?;
        match number {
            Some(number @ 1..) => Ok(Numbered { layer, number }),
            _ => Err(ApiError::invalid_parameter("Layer Version Cannot be less than 1")),
        }
    }

    fn layer_arn(&self, name: &str) -> String {
        self.shared.functions.home().arn_of("layer", name)
    }

    /// The ARN of a version.
    pub(super) fn layer_version_arn(&self, layer: &str, number: i64) -> String {
        format!("{}:{number}", self.layer_arn(layer))
    }

    fn list_layer(&self, layer: &str, stored: Stored) -> LayerVersionsListItem {
        LayerVersionsListItem {
            layer_version_arn: Some(self.layer_version_arn(layer, stored.version)),
            version: Some(stored.version),
            description: Some(stored.description),
            created_date: Some(date(stored.created_ms)),
            compatible_runtimes: stored.runtimes,
            compatible_architectures: stored.architectures,
            license_info: stored.license,
        }
    }

    /// All that is told of a version; its package is to be had from `endpoint`.
    fn describe_layer(
        &self,
        layer: &str,
        stored: Stored,
        code: Code,
        endpoint: &str,
    ) -> GetLayerVersionResponse {
        let listed = self.list_layer(layer, stored);
        GetLayerVersionResponse {
            layer_arn: Some(self.layer_arn(layer)),
            layer_version_arn: listed.layer_version_arn,
            version: listed.version,
            description: listed.description,
            created_date: listed.created_date,
            compatible_runtimes: listed.compatible_runtimes,
            compatible_architectures: listed.compatible_architectures,
            license_info: listed.license_info,
            content: Some(LayerVersionContentOutput {
                location: Some(format!("{endpoint}{}", self.signer.sign(&code.digest))),
                code_sha256: Some(code.sha256_base64()),
                code_size: i64::try_from(code.size).ok(),
                ..LayerVersionContentOutput::default()
            }),
        }
    }
}

/// An ARN that names no layer of this account and region, in the service's words.
fn not_ours(why: Elsewhere) -> ApiError {
    match why {
        Elsewhere::Partition | Elsewhere::Region => ApiError::not_found(NO_RESOURCE),
        Elsewhere::Account | Elsewhere::Form => ApiError::access_denied(),
    }
}

fn date(ms: u64) -> String {
    EpochTime::from_ms(i64::try_from(ms).unwrap_or(i64::MAX)).to_service_text()
}

fn unversioned(arn: &str) -> &str {
    arn.rsplit_once(':').map_or(arn, |(layer, _)| layer)
}

fn put(document: Document, expect: Expect) -> Change {
    Change::Document(DocumentChange::Put { document: Box::new(document), expect })
}

/// `Layers` as an answer tells them.
pub(super) fn of_function(layers: &[Layer]) -> Vec<hearth_api::shapes::Layer> {
    let describe = |layer: &Layer| hearth_api::shapes::Layer {
        arn: Some(layer.arn.clone()),
        code_size: i64::try_from(layer.size).ok(),
        ..Default::default()
    };
    layers.iter().map(describe).collect()
}

/// Changes by which a function keeps the packages of its layers and their merged tree. They stay until the function
/// goes, for its versions may have them; their size counts where the layer is, so it is none here.
pub(super) fn kept(record: &FunctionRecord) -> Result<Vec<Change>, StoreError> {
    let layers: Vec<_> = record.configuration.layers.iter().map(|layer| layer.digest).collect();
    let keep = |digest: hearth_sandbox::Digest| {
        let key = format!("{}\n{}", record.name, digest.hex());
        let document = Document::of(Family::FunctionLayer, key, &serde_json::Value::Null)?;
        Ok(put(document.of_function(&record.name).with_code(Code { digest, size: 0 }), Expect::Anything))
    };
    layers.iter().copied().chain(tree_of(&layers)).map(keep).collect()
}
