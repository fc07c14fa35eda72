//! Shapes of versions.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;

shape! {
    ListVersionsByFunctionRequest {
        function_name: NamespacedFunctionName = "FunctionName".label().required();
        marker: Text = "Marker".query();
        max_items: MaxListItems = "MaxItems".query();
    }
    ListVersionsByFunctionResponse {
        next_marker: Text = "NextMarker";
        versions: FunctionList = "Versions";
    }
    PublishVersionRequest {
        code_sha256: Text = "CodeSha256";
        description: Description = "Description";
        function_name: FunctionName = "FunctionName".label().required();
        publish_to: FunctionVersionLatestPublished = "PublishTo";
        revision_id: Text = "RevisionId";
    }
}
