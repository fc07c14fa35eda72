//! Tags of functions, and the way to those of mappings.

use super::super::names::Target;
use super::Control;
use super::mappings::is_mapping;
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

fn refuse_nothing(set: &BTreeMap<String, String>) -> Result<(), ApiError> {
    match set.is_empty() {
        true => Err(ApiError::invalid_parameter("An error occurred and the request cannot be processed.")),
        false => Ok(()),
    }
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
        if let Some(arn) = input.resource.as_deref().filter(|arn| is_mapping(arn)) {
            return Ok(ListTagsResponse { tags: Some(self.mapping_tags(arn).await?) });
        }
        let target = self.tagged(input.resource.as_deref())?;
        Ok(ListTagsResponse { tags: Some(self.record(&target).await?.tags) })
    }

    pub(super) async fn tag(&self, input: TagResourceRequest) -> Result<NoOutput, ApiError> {
        let set = input.tags.unwrap_or_default();
        if let Some(arn) = input.resource.as_deref().filter(|arn| is_mapping(arn)) {
            refuse_nothing(&set)?;
            return self.change_mapping_tags(arn, set, &[]).await;
        }
        let target = self.tagged(input.resource.as_deref())?;
        refuse_nothing(&set)?;
        self.change_tags(&target, set, Vec::new()).await
    }

    pub(super) async fn untag(&self, input: UntagResourceRequest) -> Result<NoOutput, ApiError> {
        if let Some(arn) = input.resource.as_deref().filter(|arn| is_mapping(arn)) {
            let keys = input.tag_keys.unwrap_or_default();
            return self.change_mapping_tags(arn, BTreeMap::new(), &keys).await;
        }
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
