//! What the small families of the control API share: finding, listing and writing their documents.
//!
//! A family makes its keys with [`key_of`] and says what it expects; which document may be written when is the store's
//! to decide. The words for a missing or doubled document are the family's own.

use super::super::names::Target;
use super::Control;
use crate::store::{Change, Document, DocumentChange, Expect, Family, StoreError};
use hearth_api::error::ApiError;
use hearth_api::page;

/// How many documents one page of a family holds at most, whatever `MaxItems` says.
pub(super) const PAGE_MAX: usize = 50;

/// The key of a document that belongs to one version or alias of a function.
pub(super) fn key_of(function: &str, qualifier: &str) -> String {
    format!("{function}\n{qualifier}")
}

/// The changes that forget the event invoke configuration, the runtime management and the provisioned concurrency of a
/// version or alias, for the commit that removes it.
pub(super) fn forget_qualified(function: &str, qualifier: &str) -> impl Iterator<Item = Change> {
    let key = key_of(function, qualifier);
    [Family::EventInvokeConfig, Family::RuntimeManagement, Family::ProvisionedConcurrency].into_iter().map(
        move |family| {
            Change::Document(DocumentChange::Remove { family, key: key.clone(), expect: Expect::Anything })
        },
    )
}

impl Control {
    /// The document under this key, if there is one.
    pub(super) async fn side(&self, family: Family, key: &str) -> Result<Option<Document>, ApiError> {
        self.shared.functions.store.document(family, key).await.map_err(|error| self.internal(error))
    }

    /// One page of the documents whose keys start with `prefix`.
    pub(super) async fn side_page(
        &self,
        family: Family,
        prefix: &str,
        request: &page::Request,
    ) -> Result<page::Page<Document>, ApiError> {
        let after = request.after.as_deref().unwrap_or_default();
        let found = self.shared.functions.store.documents(family, prefix, after, request.limit + 1).await;
        Ok(request.cut(found.map_err(|error| self.internal(error))?, |document| &document.key))
    }

    /// Writes a document, whatever was there.
    pub(super) async fn put_side(
        &self,
        document: Result<Document, StoreError>,
        target: &Target,
    ) -> Result<(), ApiError> {
        let document = Box::new(document.map_err(|error| self.internal(error))?.of_function(&target.name));
        let change = DocumentChange::Put { document, expect: Expect::Anything };
        self.commit(Change::Document(change), target).await
    }
}
