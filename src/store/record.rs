//! The catalog's data model: one version of a function with its settings, as stored.
//!
//! Settings live in one JSON document, so that a new setting needs no migration; what is searched, compared or
//! updated by itself has a column. The wire's shapes are another room's: this one outlives them on disk.

use super::seal::Sealer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearth_logic::limits::{MEMORY_MIN_MB, TIMEOUT_DEFAULT};
use hearth_sandbox::{Digest, Tree};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One version of a function, most often `$LATEST`: what the control API answers from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FunctionRecord {
    /// Unqualified name; the catalog's key, ordered by bytes.
    pub(crate) name: String,
    /// `$LATEST` or the number of a published version.
    pub(crate) version: String,
    /// Changes with each write of code, settings or state; made by the caller.
    pub(crate) revision_id: String,
    /// The code package.
    pub(crate) code: Code,
    /// Whether the function may be invoked.
    pub(crate) state: State,
    /// Where the last update stands.
    pub(crate) last_update: UpdateStatus,
    /// Reserved concurrency; none when the function shares the account's. Changed by `Change::Reserve` only.
    pub(crate) reserved_concurrency: Option<u32>,
    /// Tags. Changed by `Change::Tag` only.
    pub(crate) tags: BTreeMap<String, String>,
    /// Creation, milliseconds since 1970. Kept by every later change.
    pub(crate) created_ms: u64,
    /// Last change of code or settings, milliseconds since 1970.
    pub(crate) last_modified_ms: u64,
    /// All other settings.
    pub(crate) configuration: Configuration,
}

impl FunctionRecord {
    /// Whether its code is a root of its own (`PackageType` `Image`).
    pub(crate) fn is_image(&self) -> bool {
        self.configuration.package_type == "Image"
    }

    /// What must be unpacked before it runs.
    pub(crate) fn tree(&self) -> Tree {
        if self.is_image() { Tree::Root(self.code.digest) } else { Tree::Task(self.code.digest) }
    }
}

/// Names a code package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    /// SHA-256 of the package as uploaded; `hex()` of it names the blob and the unpacked tree.
    pub(crate) digest: Digest,
    /// Size of the package, bytes.
    pub(crate) size: u64,
}

impl Code {
    /// The hash as the API shows it (`CodeSha256`): base64 with padding.
    pub(crate) fn sha256_base64(&self) -> String {
        STANDARD.encode(self.digest.0)
    }
}

/// A layer version as a function has it: all that running takes, so that the version itself may be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// ARN with version.
    pub(crate) arn: String,
    /// Its package.
    pub(crate) digest: Digest,
    /// Size of the package, bytes.
    pub(crate) size: u64,
}

/// A machine-readable code (`Creating`) with its sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reason {
    /// `StateReasonCode` or `LastUpdateStatusReasonCode`.
    pub(crate) code: String,
    /// `StateReason` or `LastUpdateStatusReason`.
    pub(crate) text: String,
}

/// `State` with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The state.
    pub(crate) kind: StateKind,
    /// Why, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
}

impl State {
    /// Invocable, with nothing to explain.
    pub(crate) fn active() -> Self {
        Self { kind: StateKind::Active, reason: None }
    }

    /// With a reason.
    pub(crate) fn because(kind: StateKind, code: &str, text: &str) -> Self {
        Self { kind, reason: Some(Reason { code: code.into(), text: text.into() }) }
    }
}

/// The values of `State` that this store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StateKind {
    /// Being created.
    Pending,
    /// Invocable.
    Active,
    /// Resources were reclaimed.
    Inactive,
    /// Creation failed.
    Failed,
}

impl StateKind {
    /// The API's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Active => "Active",
            Self::Inactive => "Inactive",
            Self::Failed => "Failed",
        }
    }
}

/// `LastUpdateStatus` with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UpdateStatus {
    /// The status; none before creation has finished.
    pub(crate) kind: Option<UpdateKind>,
    /// Why, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
}

impl UpdateStatus {
    /// No update yet.
    pub(crate) fn none() -> Self {
        Self { kind: None, reason: None }
    }

    /// A status without a reason.
    pub(crate) fn of(kind: UpdateKind) -> Self {
        Self { kind: Some(kind), reason: None }
    }

    /// With a reason.
    pub(crate) fn because(kind: UpdateKind, code: &str, text: &str) -> Self {
        Self { kind: Some(kind), reason: Some(Reason { code: code.into(), text: text.into() }) }
    }
}

/// The values of `LastUpdateStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UpdateKind {
    /// The last update is in force.
    Successful,
    /// The last update failed; what was before serves.
    Failed,
    /// An update is being made.
    InProgress,
}

impl UpdateKind {
    /// The API's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Successful => "Successful",
            Self::Failed => "Failed",
            Self::InProgress => "InProgress",
        }
    }
}

/// A function's settings. Absent members are unset; members of a later release are kept in `extras` and written back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Configuration {
    /// `Runtime`, for example `python3.12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtime: Option<String>,
    /// `Handler`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) handler: Option<String>,
    /// `Role`, an ARN.
    pub(crate) role: String,
    /// `Description`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    /// `Timeout`, seconds.
    pub(crate) timeout_s: u32,
    /// `MemorySize`, MiB.
    pub(crate) memory_mb: u32,
    /// `Environment.Variables`; none if never set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<BTreeMap<String, String>>,
    /// The same sealed, in base64: on disk, and after reading only where it cannot be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sealed_environment: Option<String>,
    /// `EphemeralStorage.Size`, MiB.
    pub(crate) ephemeral_mb: u32,
    /// `Architectures`.
    pub(crate) architectures: Vec<String>,
    /// `TracingConfig.Mode`.
    pub(crate) tracing_mode: String,
    /// `PackageType`.
    pub(crate) package_type: String,
    /// `DeadLetterConfig.TargetArn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dead_letter_arn: Option<String>,
    /// `KMSKeyArn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kms_key_arn: Option<String>,
    /// `Layers`, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) layers: Vec<Layer>,
    /// `VpcConfig` as it was given; none if never set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_config: Option<Value>,
    /// `FileSystemConfigs` as they were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file_systems: Option<Value>,
    /// `ImageConfig` as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_config: Option<Value>,
    /// `Code.ImageUri`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_uri: Option<String>,
    /// `SnapStart.ApplyOn`.
    pub(crate) snap_start: String,
    /// `LoggingConfig`.
    pub(crate) logging: Logging,
    /// Everything else that was given, by the API's member name, and members of later releases.
    #[serde(flatten)]
    pub(crate) extras: BTreeMap<String, Value>,
}

impl Configuration {
    /// For the disk: what is secret sealed, for this function.
    pub(super) fn seal(&mut self, sealer: &Sealer, function: &str) {
        if let Some(variables) = self.environment.take() {
            let json =
                serde_json::to_vec(&variables).unwrap_or_else(|_| unreachable!("a map of texts is JSON"));
            self.sealed_environment = Some(STANDARD.encode(sealer.seal(&environment_of(function), &json)));
        }
    }

    /// For use: opened where that is possible.
    pub(super) fn open(&mut self, sealer: &Sealer, function: &str) {
        let opened = self.sealed_environment.as_ref().and_then(|sealed| {
            let json = sealer.open(&environment_of(function), &STANDARD.decode(sealed).ok()?).ok()?;
            serde_json::from_slice(&json).ok()
        });
        match opened {
            Some(variables) => {
                self.environment = Some(variables);
                self.sealed_environment = None;
            }
            None if self.sealed_environment.is_some() => {
                tracing::error!(
                    function,
                    "the environment variables cannot be opened: they are damaged, or of another key"
                );
            }
            None => {}
        }
    }
}

/// What a sealed environment is bound to.
fn environment_of(function: &str) -> String {
    format!("environment of {function}")
}

impl Default for Configuration {
    /// The API's own defaults.
    fn default() -> Self {
        Self {
            runtime: None,
            handler: None,
            role: String::new(),
            description: String::new(),
            timeout_s: TIMEOUT_DEFAULT.as_secs() as u32,
            memory_mb: MEMORY_MIN_MB,
            environment: None,
            sealed_environment: None,
            ephemeral_mb: 512,
            architectures: vec!["x86_64".into()],
            tracing_mode: "PassThrough".into(),
            package_type: "Zip".into(),
            dead_letter_arn: None,
            kms_key_arn: None,
            layers: Vec::new(),
            vpc_config: None,
            file_systems: None,
            image_config: None,
            image_uri: None,
            snap_start: "None".into(),
            logging: Logging::default(),
            extras: BTreeMap::new(),
        }
    }
}

/// `LoggingConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Logging {
    /// `LogFormat`: `Text` or `JSON`.
    pub(crate) format: String,
    /// `ApplicationLogLevel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) application_level: Option<String>,
    /// `SystemLogLevel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) system_level: Option<String>,
    /// `LogGroup`; none for the group named after the function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
}

impl Default for Logging {
    fn default() -> Self {
        Self { format: "Text".into(), application_level: None, system_level: None, group: None }
    }
}
