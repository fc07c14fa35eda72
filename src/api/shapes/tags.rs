//! Shapes of tags.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;

shape! {
    ListTagsRequest {
        resource: TaggableResource = "Resource".label().required();
    }
    ListTagsResponse {
        tags: Tags = "Tags";
    }
    TagResourceRequest {
        resource: TaggableResource = "Resource".label().required();
        tags: Tags = "Tags".required();
    }
}
