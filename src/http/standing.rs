//! Resource policies as requests meet them: read from the store, understood, or closed to everybody.
//!
//! A policy that cannot be decided upon may be the one that forbids, so it forbids; only what repairs it, or takes it away
//! with its function, is not stopped by it. Deliberately not here: how policies are written (`control/policies.rs`), and
//! callers (`authorise.rs`).

use super::control::policies::understood;
use super::names::Target;
use crate::daemon::functions::Functions;
use crate::daemon::random;
use crate::store::{Family, StoreError};
use hearth_api::error::ApiError;
use hearth_api::operations::Operation;
use hearth_logic::policy::Document;

/// A policy as requests meet it.
pub(crate) enum Standing {
    /// There is none.
    Absent,
    /// It can be decided upon.
    Understood(Document),
    /// It was kept by a release that knew other rules, or is damaged.
    Unreadable,
}

impl Standing {
    /// The policy of this function, version or alias, `$LATEST` and no qualifier being one.
    pub(crate) async fn of(functions: &Functions, target: Target) -> Result<Self, ApiError> {
        let target = target.without_latest();
        let failed = |error: StoreError| ApiError::internal(&random::uuid(), error.to_string());
        let found = functions.store.document(Family::Policy, &target.document_key()).await;
        let Some(document) = found.map_err(failed)? else { return Ok(Self::Absent) };
        let text = document.read::<String>().map_err(|error| error.to_string());
        Ok(text.and_then(|text| understood(&text)).map_or_else(
            |why| {
                let function = target.arn(functions);
                tracing::warn!(function, why, "a resource policy cannot be decided upon: nobody is let in");
                Self::Unreadable
            },
            Self::Understood,
        ))
    }

    /// The same for whatever a policy may name.
    pub(crate) async fn of_resource(functions: &Functions, resource: &str) -> Result<Self, ApiError> {
        match Target::parse(functions, resource, None) {
            Ok(target) if resource.contains(":function:") => Self::of(functions, target).await,
            Ok(_) | Err(_) => Ok(Self::Absent),
        }
    }

    /// What is decided by: one that nobody understands may be the one that forbids, so it lets nobody in.
    pub(crate) fn decided_by(self) -> Option<Document> {
        match self {
            Self::Absent => None,
            Self::Understood(document) => Some(document),
            Self::Unreadable => Some(Document::closed()),
        }
    }

    /// The same for an operation: what repairs an unreadable policy, or takes it away, is not stopped by it.
    pub(super) fn decided_by_for(self, operation: Operation) -> Option<Document> {
        let repairs = matches!(
            operation,
            Operation::DeleteFunction
                | Operation::DeleteResourcePolicy
                | Operation::GetPolicy
                | Operation::GetResourcePolicy
                | Operation::PutResourcePolicy
                | Operation::RemovePermission
        );
        match self {
            Self::Unreadable if repairs => None,
            standing => standing.decided_by(),
        }
    }
}
