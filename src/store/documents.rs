//! Documents: what the control API remembers beside functions, versions and aliases (configurations, policies, layers …).
//!
//! One keyed table serves every family, so that a new one needs no schema. A document may belong to a function, with
//! which it goes, and may name a code package, which then stays. What is in a document and how its key is made is its
//! family's business; here are only the rules of a commit, in [`plan`], for every engine.

use super::catalog::{CommitError, StoreError};
use super::record::Code;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of one document at most. The largest are policies (20 KB) and lists of a few ARNs.
const BODY_MAX: usize = 256 * 1024;

/// What kind of thing a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    /// Retries, age and destinations of asynchronous invocations.
    EventInvokeConfig,
    /// Environments that are kept ready for a version or alias.
    ProvisionedConcurrency,
    /// A function URL.
    FunctionUrl,
    /// A resource-based policy.
    Policy,
    /// A code signing configuration.
    CodeSigningConfig,
    /// Which code signing configuration a function has.
    FunctionCodeSigning,
    /// The same by configuration and function.
    CodeSigningUse,
    /// How a function's runtime is updated.
    RuntimeManagement,
    /// What happens to recursive invocations.
    Recursion,
    /// A layer as a whole.
    Layer,
    /// One version of a layer.
    LayerVersion,
    /// Who may use a version of a layer.
    LayerPolicy,
    /// Keeps the packages and trees of layers for a function that has, or had, them.
    FunctionLayer,
    /// Which function gets what comes from which source.
    EventSourceMapping,
    /// What serves of a function while an update is made, and after one failed.
    Serving,
}

impl Family {
    /// Its name in the catalog; never changed, never reused.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::EventInvokeConfig => "event-invoke-config",
            Self::ProvisionedConcurrency => "provisioned-concurrency",
            Self::FunctionUrl => "function-url",
            Self::Policy => "policy",
            Self::CodeSigningConfig => "code-signing-config",
            Self::FunctionCodeSigning => "function-code-signing",
            Self::CodeSigningUse => "code-signing-use",
            Self::RuntimeManagement => "runtime-management",
            Self::Recursion => "recursion",
            Self::Layer => "layer",
            Self::LayerVersion => "layer-version",
            Self::LayerPolicy => "layer-policy",
            Self::FunctionLayer => "function-layer",
            Self::EventSourceMapping => "event-source-mapping",
            Self::Serving => "serving",
        }
    }
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    /// What it is about.
    pub(crate) family: Family,
    /// Unique in its family; composite keys are joined by a line feed, which no name has.
    pub(crate) key: String,
    /// The function that it belongs to, if it does.
    pub(crate) function: Option<String>,
    /// For conditional writes; empty where the family has no use for it.
    pub(crate) revision: String,
    /// A code package that must stay while the document does.
    pub(crate) code: Option<Code>,
    /// JSON.
    pub(crate) body: String,
}

impl Document {
    /// A document with this content.
    pub(crate) fn of(
        family: Family,
        key: impl Into<String>,
        body: &impl Serialize,
    ) -> Result<Self, StoreError> {
        let failed = |detail: String| StoreError::Engine { action: "encode a document", detail };
        let body = serde_json::to_string(body).map_err(|error| failed(error.to_string()))?;
        if body.len() > BODY_MAX {
            return Err(failed(format!("{} bytes; {BODY_MAX} is the most", body.len())));
        }
        Ok(Self { family, key: key.into(), function: None, revision: String::new(), code: None, body })
    }

    /// The same, owned by a function.
    pub(crate) fn of_function(self, function: &str) -> Self {
        Self { function: Some(function.to_owned()), ..self }
    }

    /// The same, keeping a code package.
    pub(crate) fn with_code(self, code: Code) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The same under a revision.
    pub(crate) fn with_revision(self, revision: impl Into<String>) -> Self {
        Self { revision: revision.into(), ..self }
    }

    /// Its content.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        let (family, key) = (self.family.name(), &self.key);
        serde_json::from_str(&self.body).map_err(|error| StoreError::Engine {
            action: "read a document",
            detail: format!("{family} {key:?} is damaged: {error}"),
        })
    }
}

/// What must be stored for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Whatever; a removal of what is not there is no error.
    Anything,
    /// Nothing under this key.
    Absent,
    /// Something under this key.
    Present,
    /// Something of this revision.
    Revision(String),
}

/// A change of one document.
#[derive(Clone, Debug)]
pub(crate) enum DocumentChange {
    /// Writes it.
    Put {
        /// What is to be stored.
        document: Box<Document>,
        /// What must be there.
        expect: Expect,
    },
    /// Forgets it.
    Remove {
        /// What it is about.
        family: Family,
        /// Its key.
        key: String,
        /// What must be there.
        expect: Expect,
    },
}

impl DocumentChange {
    /// The function that it is about; empty if none is.
    pub(crate) fn function(&self) -> &str {
        match self {
            Self::Put { document, .. } => document.function.as_deref().unwrap_or_default(),
            Self::Remove { .. } => "",
        }
    }

    pub(super) fn address(&self) -> (Family, &str) {
        match self {
            Self::Put { document, .. } => (document.family, &document.key),
            Self::Remove { family, key, .. } => (*family, key),
        }
    }
}

/// Why a change of a document was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentError {
    /// The key is taken.
    #[error("{} {key:?} exists already", .family.name())]
    Exists {
        /// What it is about.
        family: Family,
        /// Its key.
        key: String,
    },
    /// There is no such document.
    #[error("{} {key:?} does not exist", .family.name())]
    Missing {
        /// What it is about.
        family: Family,
        /// Its key.
        key: String,
    },
    /// Somebody changed it in between.
    #[error("{} {key:?} is at revision {stored}, not {expected}", .family.name())]
    Stale {
        /// What it is about.
        family: Family,
        /// Its key.
        key: String,
        /// Given.
        expected: String,
        /// Found.
        stored: String,
    },
}

/// What an engine must write.
pub(super) enum Act {
    Put(Box<Document>),
    Remove,
}

/// The rules. `stored` is the revision under the change's key; `owner_exists` says whether a function is there.
pub(super) fn plan(
    change: DocumentChange,
    stored: Option<String>,
    owner_exists: impl FnOnce(&str) -> Result<bool, StoreError>,
) -> Result<Act, CommitError> {
    let (family, key) = change.address();
    let key = key.to_owned();
    let expect = match &change {
        DocumentChange::Put { expect, .. } | DocumentChange::Remove { expect, .. } => expect.clone(),
    };
    match (expect, stored) {
        (Expect::Anything, _) | (Expect::Absent, None) | (Expect::Present, Some(_)) => {}
        (Expect::Revision(expected), Some(stored)) if expected == stored => {}
        (Expect::Revision(expected), Some(stored)) => {
            return Err(DocumentError::Stale { family, key, expected, stored }.into());
        }
        (Expect::Absent, Some(_)) => return Err(DocumentError::Exists { family, key }.into()),
        (Expect::Present | Expect::Revision(_), None) => {
            return Err(DocumentError::Missing { family, key }.into());
        }
    }
    match change {
        DocumentChange::Put { document, .. } => {
            if let Some(function) = &document.function
                && !owner_exists(function)?
            {
                return Err(CommitError::Missing { name: function.clone() });
            }
            Ok(Act::Put(document))
        }
        DocumentChange::Remove { .. } => Ok(Act::Remove),
    }
}

/// The first key after every key that starts with `prefix`; none if there is no such bound.
pub(super) fn after_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // Surrogates are not characters; the step over them skips nothing that exists.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}
