//! Shapes of aliases.
//!
//! Declared once from the public model of the API: names, places and constraints are facts of the service.
//! Holds no behaviour: the codec and the validator interpret what stands here.

use super::*;
use crate::shape::{double, list, map, text};
use std::collections::BTreeMap;

alias! {
    AdditionalVersion: String = text().length(1, 1024).pattern(r"[0-9]+");
    AdditionalVersionWeights: BTreeMap<AdditionalVersion, Weight> = map(&AdditionalVersion, &Weight);
    Alias: String = text().length(1, 128).pattern(r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)");
    AliasList: Vec<AliasConfiguration> = list(&AliasConfiguration);
    Weight: f64 = double().no_less_than(0.0).no_more_than(1.0);
}

shape! {
    AliasConfiguration {
        alias_arn: FunctionArn = "AliasArn";
        description: Description = "Description";
        function_version: Version = "FunctionVersion";
        name: Alias = "Name";
        revision_id: Text = "RevisionId";
        routing_config: AliasRoutingConfiguration = "RoutingConfig";
    }
    AliasRoutingConfiguration {
        additional_version_weights: AdditionalVersionWeights = "AdditionalVersionWeights";
    }
    CreateAliasRequest {
        description: Description = "Description";
        function_name: FunctionName = "FunctionName".label().required();
        function_version: VersionWithLatestPublished = "FunctionVersion".required();
        name: Alias = "Name".required();
        routing_config: AliasRoutingConfiguration = "RoutingConfig";
    }
    DeleteAliasRequest {
        function_name: FunctionName = "FunctionName".label().required();
        name: Alias = "Name".label().required();
    }
    GetAliasRequest {
        function_name: FunctionName = "FunctionName".label().required();
        name: Alias = "Name".label().required();
    }
    ListAliasesRequest {
        function_name: FunctionName = "FunctionName".label().required();
        function_version: VersionWithLatestPublished = "FunctionVersion".query();
        marker: Text = "Marker".query();
        max_items: MaxListItems = "MaxItems".query();
    }
    ListAliasesResponse {
        aliases: AliasList = "Aliases";
        next_marker: Text = "NextMarker";
    }
    UpdateAliasRequest {
        description: Description = "Description";
        function_name: FunctionName = "FunctionName".label().required();
        function_version: VersionWithLatestPublished = "FunctionVersion";
        name: Alias = "Name".label().required();
        revision_id: Text = "RevisionId";
        routing_config: AliasRoutingConfiguration = "RoutingConfig";
    }
}
