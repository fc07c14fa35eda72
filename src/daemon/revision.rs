//! A function as it can be run: immutable code and settings, made once from what the store holds.

use super::decisions::Label;
use super::doors::Door;
use super::uses::{Use, Uses};
use super::{clock, random};
use crate::runtimes::image::Image;
use crate::runtimes::process::{Context, Credentials};
use crate::runtimes::{Kind, Served};
use crate::store::tree_of;
use hearth_logic::records::{SystemLevel, date};
use hearth_logic::scheduler::Initialization;
use hearth_logic::{FunctionId, RevisionId};
use hearth_sandbox::{Contents, Digest, InnerUser};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// One function version with its effective settings; the key of a pool.
pub(crate) struct Revision {
    /// The pool's key.
    pub(crate) id: RevisionId,
    /// The function, for its limits.
    pub(crate) function: FunctionId,
    /// Function name.
    pub(crate) name: String,
    /// `$LATEST` or a number.
    pub(crate) version: String,
    /// Both, as decision records name them.
    pub(crate) label: Arc<Label>,
    /// Unqualified ARN.
    pub(crate) arn: String,
    /// Hash of the code.
    pub(crate) code: Digest,
    /// Packages of its layers, in order.
    pub(crate) layers: Vec<Digest>,
    /// How it starts if that code is a root of its own.
    pub(crate) image: Option<Image>,
    /// Runtime name; empty if it has none.
    pub(crate) runtime: String,
    /// How that runtime is served here.
    pub(crate) served: Served,
    /// Handler; empty if there is none.
    pub(crate) handler: String,
    /// MiB.
    pub(crate) memory_mb: u32,
    /// MiB of `/tmp`.
    pub(crate) tmp_mb: u32,
    /// Function timeout.
    pub(crate) timeout: Duration,
    /// The function's own variables.
    pub(crate) variables: BTreeMap<String, String>,
    /// Log group.
    pub(crate) log_group: Arc<str>,
    /// Application log level if the function logs in JSON.
    pub(crate) json_log_level: Option<String>,
    /// Which of the platform's records its log gets if the function logs in JSON; else it gets lines of text.
    pub(crate) system_log: Option<SystemLevel>,
    /// For `INIT_START`.
    pub(crate) runtime_version: String,
    /// For `INIT_START`.
    pub(crate) runtime_version_arn: String,
    /// Region of this installation.
    pub(crate) region: String,
    /// ARN of the function's role.
    pub(crate) role: String,
    /// How many of its environments have answered and are not free yet.
    pub(crate) finishing: AtomicU32,
    /// Its function's.
    pub(crate) door: Door,
    /// What it is made of, so that it stays on disk for whoever found it before it was replaced.
    pub(super) held: Vec<Use>,
    /// Another one serves, or none: see [`Revision::retire`].
    pub(crate) retired: AtomicBool,
}

impl Revision {
    /// Keeps what it runs from on disk for as long as it lives.
    pub(super) fn holding(mut self, uses: &Uses) -> Self {
        // Layers merged, and each by itself: a tree that is lost is made from them again.
        let layers = self.layers.iter().copied().chain(tree_of(&self.layers));
        self.held = layers.chain([self.code]).map(|digest| uses.hold(digest)).collect();
        self
    }

    /// It does not serve any more, for good; who found it before may still run it.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether it was retired.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Whether an interpreter of ours runs it.
    pub(crate) const fn is_managed(&self) -> bool {
        matches!(self.served.kind, Kind::Interpreted(..))
    }

    /// What its sandboxes hold.
    pub(crate) fn contents(&self) -> Contents {
        match self.image {
            Some(_) => Contents::Root { tree: self.code },
            None => Contents::Task {
                code: self.code,
                layers: tree_of(&self.layers),
                runtime: self.runtime.clone(),
            },
        }
    }

    /// Who it is inside them.
    pub(crate) fn user(&self) -> InnerUser {
        self.image.as_ref().map(|image| image.user).unwrap_or_default()
    }

    /// A name for the log stream of a new environment: `YYYY/MM/DD/[<version>]<32 hex>`, with the function's name
    /// before it in a log group of the user's own choice (AWS documentation, "Configuring CloudWatch log groups").
    pub(crate) fn new_log_stream(&self) -> String {
        let (year, month, day) = date(clock::wall().as_millis() / 86_400_000);
        let own_group = *self.log_group == *format!("/aws/lambda/{}", self.name);
        let name = if own_group { "" } else { self.name.as_str() };
        format!("{year:04}/{month:02}/{day:02}/{name}[{}]{}", self.version, random::hex::<16>())
    }

    /// What the runtime's process is started with.
    pub(crate) fn process_context<'a>(
        &'a self,
        log_stream: &'a str,
        metadata_token: &'a str,
        credentials: &'a Credentials,
    ) -> Context<'a> {
        Context {
            function: &self.name,
            version: &self.version,
            runtime: &self.runtime,
            handler: &self.handler,
            memory_mb: self.memory_mb,
            variables: &self.variables,
            region: &self.region,
            log_group: &self.log_group,
            log_stream,
            json_log_level: self.json_log_level.as_deref(),
            initialization: Initialization::OnDemand.as_str(),
            metadata_token,
            credentials,
        }
    }
}
