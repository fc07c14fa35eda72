//! Tags: of functions, and of whatever else has an ARN and a document.
//!
//! A function's tags are members of its record. Any other resource is a row of [`KINDS`]: its document holds them in a
//! member of its own, so they come and go with it. The model's lengths and characters are checked before.

use super::super::names::Target;
use super::Control;
use crate::daemon::random;
use crate::store::{Change, CommitError, Document, DocumentChange, DocumentError, Expect, Family};
use hearth_api::error::ApiError;
use hearth_api::resource::Elsewhere;
use hearth_api::shapes::*;
use std::collections::BTreeMap;

type Tags = BTreeMap<String, String>;

/// Tags of one resource.
const TAGS_MAX: usize = 50;
/// How often a change of tags is tried again when the resource was changed meanwhile.
const TRIES_MAX: usize = 8;
/// What begins so is AWS's, in any case of letters.
const RESERVED: &str = "aws:";
/// The member of a document that holds its tags.
const MEMBER: &str = "tags";

/// What can be tagged beside functions.
struct Kind {
    /// As ARNs name it.
    name: &'static str,
    /// Its documents, whose key is what follows the kind in the ARN; none if there are no such resources yet.
    family: Option<Family>,
    /// What is said of a missing one, before its ARN.
    missing: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "code-signing-config",
        family: Some(Family::CodeSigningConfig),
        missing: "Code signing config not found",
    },
    Kind {
        name: "event-source-mapping",
        family: Some(Family::EventSourceMapping),
        missing: "Event source mapping not found",
    },
    Kind { name: "capacity-provider", family: None, missing: "Capacity provider not found" },
];

/// What an ARN names.
enum Tagged {
    Function(Target),
    Other(Place),
}

/// Where a document with tags is.
struct Place {
    kind: &'static str,
    family: Family,
    key: String,
    missing: ApiError,
}

/// Refuses tags that no resource may be created with.
pub(super) fn check(tags: &Tags) -> Result<(), ApiError> {
    let is_reserved = |key: &String| {
        key.as_bytes().get(..RESERVED.len()).is_some_and(|it| it.eq_ignore_ascii_case(RESERVED.as_bytes()))
    };
    if tags.keys().any(is_reserved) {
        return Err(ApiError::invalid_parameter(
            "aws: prefixed tag key names are not allowed for external use.",
        ));
    }
    if tags.len() > TAGS_MAX { Err(too_many()) } else { Ok(()) }
}

pub(super) fn too_many() -> ApiError {
    ApiError::invalid_parameter("Number of tags exceeds resource tag limit.")
}

/// The tags in a document, of whatever family.
fn tags_in(body: &serde_json::Value) -> Tags {
    body.get(MEMBER).and_then(|tags| serde_json::from_value(tags.clone()).ok()).unwrap_or_default()
}

impl Control {
    fn tagged(&self, resource: Option<&str>) -> Result<Tagged, ApiError> {
        let arn = resource.unwrap_or_default();
        let said = arn.split(':').nth(5).unwrap_or_default();
        let Some(kind) = KINDS.iter().find(|it| it.name == said) else { return self.tagged_function(arn) };
        let missing = || ApiError::not_found(format!("{}: {arn}", kind.missing));
        match (self.shared.functions.home().own(arn), kind.family) {
            (Err(Elsewhere::Account), _) => Err(ApiError::access_denied()),
            (Ok(named), Some(family)) => {
                let key = named.id.to_owned();
                Ok(Tagged::Other(Place { kind: kind.name, family, key, missing: missing() }))
            }
            (Ok(_) | Err(_), _) => Err(missing()),
        }
    }

    fn tagged_function(&self, arn: &str) -> Result<Tagged, ApiError> {
        let target = self.target(Some(arn), None)?;
        if target.qualifier.is_some() {
            return Err(ApiError::invalid_parameter(
                "Tags on function aliases and versions are not supported. Please specify a function ARN.",
            ));
        }
        Ok(Tagged::Function(target))
    }

    pub(super) async fn tags(&self, input: ListTagsRequest) -> Result<ListTagsResponse, ApiError> {
        let tags = match self.tagged(input.resource.as_deref())? {
            Tagged::Function(target) => self.record(&target).await?.tags,
            Tagged::Other(place) => tags_in(&self.tagged_document(&place).await?.1),
        };
        Ok(ListTagsResponse { tags: Some(tags) })
    }

    pub(super) async fn tag(&self, input: TagResourceRequest) -> Result<NoOutput, ApiError> {
        let tagged = self.tagged(input.resource.as_deref())?;
        let set = input.tags.unwrap_or_default();
        if set.is_empty() {
            return Err(ApiError::invalid_parameter(
                "An error occurred and the request cannot be processed.",
            ));
        }
        check(&set)?;
        self.change_tags(tagged, set, Vec::new()).await
    }

    pub(super) async fn untag(&self, input: UntagResourceRequest) -> Result<NoOutput, ApiError> {
        let tagged = self.tagged(input.resource.as_deref())?;
        self.change_tags(tagged, Tags::new(), input.tag_keys.unwrap_or_default()).await
    }

    async fn change_tags(
        &self,
        tagged: Tagged,
        set: Tags,
        remove: Vec<String>,
    ) -> Result<NoOutput, ApiError> {
        match tagged {
            Tagged::Function(target) => {
                let _turn = self.shared.functions.gate(&target.name).await;
                let record = self.record(&target).await?;
                self.refuse_updating(&record, &target)?;
                self.commit(Change::Tag { name: target.name.clone(), set, remove }, &target).await?;
            }
            Tagged::Other(place) => self.change_document_tags(&place, set, &remove).await?,
        }
        Ok(NoOutput::default())
    }

    /// A resource may be changed or deleted meanwhile: either its kind's turn keeps others out, or its revision says so.
    async fn change_document_tags(
        &self,
        place: &Place,
        set: Tags,
        remove: &[String],
    ) -> Result<(), ApiError> {
        // No function has this name. Nobody takes a function's turn under it.
        let _turn = self.shared.functions.gate(&format!("{}:", place.kind)).await;
        for _ in 0..TRIES_MAX {
            let (document, mut body) = self.tagged_document(place).await?;
            let mut tags = tags_in(&body);
            tags.retain(|key, _| !remove.contains(key));
            tags.extend(set.clone());
            if tags.len() > TAGS_MAX {
                return Err(too_many());
            }
            body[MEMBER] = serde_json::json!(tags);
            let expect = Expect::Revision(document.revision.clone());
            let new = Document::of(place.family, place.key.as_str(), &body)
                .map_err(|error| self.internal(error))?;
            let new = Document { body: new.body, revision: random::uuid(), ..document };
            let change = Change::Document(DocumentChange::Put { document: Box::new(new), expect });
            match self.shared.functions.commit(vec![change]).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Document(DocumentError::Stale { .. } | DocumentError::Missing { .. })) => {}
                Err(error) => return Err(self.internal(error)),
            }
        }
        Err(ApiError::conflict("The resource is being changed by others. Try again."))
    }

    async fn tagged_document(&self, place: &Place) -> Result<(Document, serde_json::Value), ApiError> {
        let document = self.side(place.family, &place.key).await?.ok_or_else(|| place.missing.clone())?;
        let body = document.read().map_err(|error| self.internal(error))?;
        Ok((document, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags<'a>(keys: impl IntoIterator<Item = &'a str>) -> Tags {
        keys.into_iter().map(|key| (key.to_owned(), String::new())).collect()
    }

    #[test]
    fn fifty_tags_are_allowed_and_none_of_the_services_own() {
        let many: Vec<String> = (0..=TAGS_MAX).map(|at| at.to_string()).collect();
        assert!(check(&tags(many.iter().skip(1).map(String::as_str))).is_ok());
        assert!(check(&tags(many.iter().map(String::as_str))).is_err());
        for (key, is_allowed) in [
            ("aws:x", false),
            ("AWS:x", false),
            ("aws:", false),
            ("aws", true),
            ("xaws:", true),
            ("äwö:", true),
        ] {
            assert_eq!(check(&tags([key])).is_ok(), is_allowed, "{key}");
        }
    }

    #[test]
    fn a_document_without_tags_has_none() {
        assert_eq!(tags_in(&serde_json::json!({ "a": 1 })), Tags::new());
        assert_eq!(tags_in(&serde_json::json!({ "tags": { "k": "" } })), tags(["k"]));
    }
}
