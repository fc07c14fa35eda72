//! Tags of functions.

use super::super::names::Target;
use super::Control;
use crate::store::Change;
use hearth_api::error::ApiError;
use hearth_api::shapes::*;
use std::collections::BTreeMap;

/// Tags of one resource.
const TAGS_MAX: usize = 50;

/// Refuses more tags than a resource may have.
pub(super) fn check_count(count: usize) -> Result<(), ApiError> {
    if count > TAGS_MAX { Err(too_many()) } else { Ok(()) }
}

pub(super) fn too_many() -> ApiError {
    ApiError::invalid_parameter("Number of tags exceeds resource tag limit.")
}

impl Control {
    fn tagged(&self, resource: Option<&str>) -> Result<Target, ApiError> {
        let target = self.target(resource, None)?;
        if target.qualifier.is_some() {
            return Err(ApiError::invalid_parameter(
                "Tags on function aliases and versions are not supported. Please specify a function ARN.",
            ));
        }
        Ok(target)
    }

    pub(super) async fn tags(&self, input: ListTagsRequest) -> Result<ListTagsResponse, ApiError> {
        let target = self.tagged(input.resource.as_deref())?;
        Ok(ListTagsResponse { tags: Some(self.record(&target).await?.tags) })
    }

    pub(super) async fn tag(&self, input: TagResourceRequest) -> Result<NoOutput, ApiError> {
        let target = self.tagged(input.resource.as_deref())?;
        let set = input.tags.unwrap_or_default();
        if set.is_empty() {
            return Err(ApiError::invalid_parameter(
                "An error occurred and the request cannot be processed.",
            ));
        }
        self.change_tags(&target, set, Vec::new()).await
    }

    pub(super) async fn untag(&self, input: UntagResourceRequest) -> Result<NoOutput, ApiError> {
        let target = self.tagged(input.resource.as_deref())?;
        self.change_tags(&target, BTreeMap::new(), input.tag_keys.unwrap_or_default()).await
    }

    async fn change_tags(
        &self,
        target: &Target,
        set: BTreeMap<String, String>,
        remove: Vec<String>,
    ) -> Result<NoOutput, ApiError> {
        let _turn = self.shared.functions.gate(&target.name).await;
        let record = self.record(target).await?;
        self.refuse_busy(&record, target)?;
        self.commit(Change::Tag { name: target.name.clone(), set, remove }, target).await?;
        Ok(NoOutput::default())
    }
}
