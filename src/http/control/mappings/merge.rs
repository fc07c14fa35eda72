//! From requests to a mapping: what a new one has, and what an update puts in place of what was there.
//!
//! Nothing is checked here but what an update may not touch.

use super::options;
use super::record::Mapping;
use hearth_api::error::ApiError;
use hearth_api::shapes::{
    CreateEventSourceMappingRequest, EventSourceMappingConfiguration as Configuration,
    ProvisionedPollerConfig, UpdateEventSourceMappingRequest,
};

/// What a request for a new mapping says of it.
pub(super) fn configured(input: CreateEventSourceMappingRequest) -> Configuration {
    Configuration {
        amazon_managed_kafka_event_source_config: input.amazon_managed_kafka_event_source_config,
        batch_size: input.batch_size,
        bisect_batch_on_function_error: input.bisect_batch_on_function_error,
        destination_config: input.destination_config,
        document_db_event_source_config: input.document_db_event_source_config,
        event_source_arn: input.event_source_arn,
        filter_criteria: input.filter_criteria,
        function_response_types: input.function_response_types,
        kms_key_arn: input.kms_key_arn,
        logging_config: input.logging_config,
        maximum_batching_window_in_seconds: input.maximum_batching_window_in_seconds,
        maximum_record_age_in_seconds: input.maximum_record_age_in_seconds,
        maximum_retry_attempts: input.maximum_retry_attempts,
        metrics_config: input.metrics_config,
        parallelization_factor: input.parallelization_factor,
        provisioned_poller_config: input.provisioned_poller_config,
        queues: input.queues,
        scaling_config: input.scaling_config,
        self_managed_event_source: input.self_managed_event_source,
        self_managed_kafka_event_source_config: input.self_managed_kafka_event_source_config,
        source_access_configurations: input.source_access_configurations,
        starting_position: input.starting_position,
        starting_position_timestamp: input.starting_position_timestamp,
        topics: input.topics,
        tumbling_window_in_seconds: input.tumbling_window_in_seconds,
        ..Configuration::default()
    }
}

/// Puts what a request gives over what is there; lists and blocks are replaced as a whole.
pub(super) fn update(mapping: &mut Mapping, input: UpdateEventSourceMappingRequest) -> Result<(), ApiError> {
    let it = &mut mapping.configuration;
    if input.provisioned_poller_config == Some(ProvisionedPollerConfig::default()) {
        options::drop_provisioned(mapping.kind, it);
    }
    macro_rules! over {
        ($($option:ident)*) => {$(
            if input.$option.is_some() {
                it.$option = input.$option;
            }
        )*};
    }
    over! {
        batch_size bisect_batch_on_function_error destination_config filter_criteria function_response_types
        kms_key_arn logging_config maximum_batching_window_in_seconds maximum_record_age_in_seconds
        maximum_retry_attempts metrics_config parallelization_factor provisioned_poller_config scaling_config
        source_access_configurations tumbling_window_in_seconds
    }
    let renamed = |old: Option<&String>, new: &Option<String>| new.is_some() && new.as_ref() != old;
    let fixed = || ApiError::invalid_parameter("ConsumerGroupId cannot be updated.");
    if let Some(mut given) = input.amazon_managed_kafka_event_source_config {
        let old = it.amazon_managed_kafka_event_source_config.take().unwrap_or_default();
        if renamed(old.consumer_group_id.as_ref(), &given.consumer_group_id) {
            return Err(fixed());
        }
        given.consumer_group_id = old.consumer_group_id;
        given.schema_registry_config = given.schema_registry_config.or(old.schema_registry_config);
        it.amazon_managed_kafka_event_source_config = Some(given);
    }
    if let Some(mut given) = input.self_managed_kafka_event_source_config {
        let old = it.self_managed_kafka_event_source_config.take().unwrap_or_default();
        if renamed(old.consumer_group_id.as_ref(), &given.consumer_group_id) {
            return Err(fixed());
        }
        given.consumer_group_id = old.consumer_group_id;
        given.consumption_mode = given.consumption_mode.or(old.consumption_mode);
        given.schema_registry_config = given.schema_registry_config.or(old.schema_registry_config);
        it.self_managed_kafka_event_source_config = Some(given);
    }
    if let Some(given) = input.document_db_event_source_config {
        if given.database_name.is_some() || given.collection_name.is_some() {
            return Err(ApiError::invalid_parameter("Invalid parameters: collectionName, databaseName"));
        }
        let mut config = it.document_db_event_source_config.take().unwrap_or_default();
        config.full_document = given.full_document.or(config.full_document);
        it.document_db_event_source_config = Some(config);
    }
    Ok(())
}
