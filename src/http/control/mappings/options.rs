//! The options of a mapping: which kind of source takes which, and what they are by default.
//!
//! One table says who takes what. Deliberately not here: what the values may be and which go together (`rules`).
//!
//! Source: API reference of `CreateEventSourceMapping`; the texts are the service's where they are known.

use super::source::Kind;
use hearth_api::shapes::{
    AmazonManagedKafkaEventSourceConfig, DestinationConfig, EventSourceMappingConfiguration as Configuration,
    KafkaSchemaRegistryConfig, OnFailure, ProvisionedPollerConfig, SelfManagedKafkaEventSourceConfig,
};

pub(super) const POLLERS_DEFAULT_MAX: i32 = 200;

/// Whether a kind of source takes an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Always,
    /// With pollers of the mapping's own.
    Provisioned,
    Never,
}

/// An option: its name in refusals, whether a configuration has it, who takes it.
struct Row {
    name: &'static str,
    given: fn(&Configuration) -> bool,
    taken: fn(Kind) -> Taken,
}

const fn always(taken: bool) -> Taken {
    if taken { Taken::Always } else { Taken::Never }
}

/// Options that are for streams, and for Kafka with pollers of its own.
fn ordered(kind: Kind) -> Taken {
    if kind.is_kafka() { Taken::Provisioned } else { always(kind.is_stream()) }
}

static OPTIONS: &[Row] = &[
    Row {
        name: "startingPosition",
        given: |it| it.starting_position.is_some() || it.starting_position_timestamp.is_some(),
        taken: |kind| always(!kind.is_queue() && kind != Kind::Mq),
    },
    Row {
        name: "parallelizationFactor",
        given: |it| it.parallelization_factor.is_some(),
        taken: |kind| always(kind.is_stream()),
    },
    Row {
        name: "tumblingWindowInSeconds",
        given: |it| it.tumbling_window_in_seconds.is_some(),
        taken: |kind| always(kind.is_stream()),
    },
    Row {
        name: "maximumRecordAgeInSeconds",
        given: |it| it.maximum_record_age_in_seconds.is_some(),
        taken: ordered,
    },
    Row { name: "maximumRetryAttempts", given: |it| it.maximum_retry_attempts.is_some(), taken: ordered },
    Row {
        name: "bisectBatchOnFunctionError",
        given: |it| it.bisect_batch_on_function_error.is_some(),
        taken: ordered,
    },
    Row {
        name: "functionResponseTypes",
        given: |it| it.function_response_types.as_ref().is_some_and(|types| !types.is_empty()),
        taken: |kind| if kind.is_queue() { Taken::Always } else { ordered(kind) },
    },
    Row {
        name: "scalingConfig",
        given: |it| it.scaling_config.is_some(),
        taken: |kind| always(kind.is_queue()),
    },
    Row {
        name: "provisionedPollerConfig",
        given: |it| it.provisioned_poller_config.is_some(),
        taken: |kind| always(kind.is_queue() || kind.is_kafka()),
    },
    Row {
        name: "loggingConfig",
        given: |it| it.logging_config.is_some(),
        taken: |kind| if kind.is_kafka() { Taken::Provisioned } else { Taken::Never },
    },
    Row {
        name: "schemaRegistryConfig",
        given: |it| registry(it).is_some(),
        taken: |kind| if kind.is_kafka() { Taken::Provisioned } else { Taken::Never },
    },
    Row { name: "topics", given: |it| it.topics.is_some(), taken: |kind| always(kind.is_kafka()) },
    Row { name: "queues", given: |it| it.queues.is_some(), taken: |kind| always(kind == Kind::Mq) },
    Row {
        name: "sourceAccessConfigurations",
        given: |it| it.source_access_configurations.as_ref().is_some_and(|list| !list.is_empty()),
        taken: |kind| always(!kind.is_queue() && !kind.is_stream()),
    },
    Row {
        name: "amazonManagedKafkaEventSourceConfig",
        given: |it| it.amazon_managed_kafka_event_source_config.is_some(),
        taken: |kind| always(kind == Kind::ManagedKafka),
    },
    Row {
        name: "selfManagedKafkaEventSourceConfig",
        given: |it| it.self_managed_kafka_event_source_config.is_some(),
        taken: |kind| always(kind == Kind::OwnKafka),
    },
    Row {
        name: "documentDBEventSourceConfig",
        given: |it| it.document_db_event_source_config.is_some(),
        taken: |kind| always(kind == Kind::DocumentDb),
    },
];

/// Takes out what is given but says nothing, which is how clients take an option back.
pub(super) fn tidy(it: &mut Configuration) {
    let full = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    it.kms_key_arn.take_if(|key| key.is_empty());
    it.filter_criteria.take_if(|criteria| criteria.filters.as_ref().is_none_or(Vec::is_empty));
    it.function_response_types.take_if(|types| types.is_empty());
    it.metrics_config.take_if(|config| config.metrics.as_ref().is_none_or(Vec::is_empty));
    it.logging_config.take_if(|config| config.system_log_level.is_none());
    it.scaling_config.take_if(|config| config.maximum_concurrency.is_none());
    it.provisioned_poller_config.take_if(|config| *config == ProvisionedPollerConfig::default());
    if let Some(config) = &mut it.destination_config {
        config.on_success.take_if(|success| !full(&success.destination));
        config.on_failure.take_if(|failure| !full(&failure.destination));
    }
    it.destination_config.take_if(|config| *config == DestinationConfig::default());
    let nothing = KafkaSchemaRegistryConfig::default();
    if let Some(config) = &mut it.amazon_managed_kafka_event_source_config {
        config.schema_registry_config.take_if(|registry| *registry == nothing);
    }
    if let Some(config) = &mut it.self_managed_kafka_event_source_config {
        config.schema_registry_config.take_if(|registry| *registry == nothing);
    }
}

/// Drops what only a Kafka mapping with pollers of its own has, for one that gives them up.
pub(super) fn drop_provisioned(kind: Kind, it: &mut Configuration) {
    it.provisioned_poller_config = None;
    if !kind.is_kafka() {
        return;
    }
    it.maximum_record_age_in_seconds = None;
    it.maximum_retry_attempts = None;
    it.bisect_batch_on_function_error = None;
    it.function_response_types = None;
    it.logging_config = None;
    if let Some(config) = &mut it.amazon_managed_kafka_event_source_config {
        config.schema_registry_config = None;
    }
    if let Some(config) = &mut it.self_managed_kafka_event_source_config {
        config.schema_registry_config = None;
    }
}

/// Fills in what was not given, as answers show it. A consumer group without a name is called like its mapping.
pub(super) fn complete(kind: Kind, it: &mut Configuration, uuid: &str) {
    it.batch_size.get_or_insert(kind.batch_size());
    if !kind.is_queue() {
        it.last_processing_result.get_or_insert_with(|| "No records processed".to_owned());
    }
    if kind.is_queue() || kind.is_stream() {
        it.maximum_batching_window_in_seconds.get_or_insert(0);
        it.function_response_types.get_or_insert_default();
    }
    if kind.is_stream() {
        it.parallelization_factor.get_or_insert(1);
        it.tumbling_window_in_seconds.get_or_insert(0);
        it.maximum_record_age_in_seconds.get_or_insert(-1);
        it.maximum_retry_attempts.get_or_insert(-1);
        it.bisect_batch_on_function_error.get_or_insert(false);
        let destinations = it.destination_config.get_or_insert_default();
        destinations.on_failure.get_or_insert(OnFailure { destination: None });
    }
    if let Some(config) = &mut it.provisioned_poller_config {
        config.minimum_pollers.get_or_insert(pollers_min(kind));
        config.maximum_pollers.get_or_insert(POLLERS_DEFAULT_MAX);
    }
    let group = || uuid.to_owned();
    match kind {
        Kind::ManagedKafka => {
            let config = it
                .amazon_managed_kafka_event_source_config
                .get_or_insert_with(AmazonManagedKafkaEventSourceConfig::default);
            config.consumer_group_id.get_or_insert_with(group);
        }
        Kind::OwnKafka => {
            if !shares(it) {
                it.starting_position.get_or_insert_with(|| "TRIM_HORIZON".to_owned());
            }
            let config = it
                .self_managed_kafka_event_source_config
                .get_or_insert_with(SelfManagedKafkaEventSourceConfig::default);
            config.consumer_group_id.get_or_insert_with(group);
        }
        Kind::DocumentDb => {
            let config = it.document_db_event_source_config.get_or_insert_default();
            config.full_document.get_or_insert_with(|| "Default".to_owned());
        }
        Kind::Queue { .. } | Kind::Kinesis | Kind::DynamoDb | Kind::Mq => {}
    }
}

pub(super) fn unsupported(name: &str) -> String {
    format!("Unsupported '{name}' parameter for given event source mapping type.")
}

/// An option that a source of this kind does not take.
pub(super) fn foreign(kind: Kind, it: &Configuration) -> Option<String> {
    if kind.is_queue() && it.starting_position.is_some() {
        return Some("StartingPosition is not valid for SQS event sources.".to_owned());
    }
    let has_pollers = it.provisioned_poller_config.is_some();
    let refused = |option: &&Row| {
        (option.given)(it)
            && match (option.taken)(kind) {
                Taken::Always => false,
                Taken::Provisioned => !has_pollers,
                Taken::Never => true,
            }
    };
    if let Some(option) = OPTIONS.iter().find(refused) {
        return Some(unsupported(option.name));
    }
    let required = [
        ("topics", kind.is_kafka() && it.topics.is_none()),
        ("queues", kind == Kind::Mq && it.queues.is_none()),
        (
            "sourceAccessConfigurations",
            !kind.is_queue()
                && !kind.is_stream()
                && kind != Kind::ManagedKafka
                && it.source_access_configurations.is_none(),
        ),
        (
            "databaseName",
            kind == Kind::DocumentDb
                && it
                    .document_db_event_source_config
                    .as_ref()
                    .is_none_or(|config| config.database_name.is_none()),
        ),
    ];
    let (name, _) = required.iter().find(|(_, missing)| *missing)?;
    Some(format!("Required '{name}' parameter is missing."))
}

/// The fewest pollers that a mapping may have of its own.
pub(super) fn pollers_min(kind: Kind) -> i32 {
    if kind.is_queue() { 2 } else { 1 }
}

/// How records are told from their schemas.
pub(super) fn registry(it: &Configuration) -> Option<&KafkaSchemaRegistryConfig> {
    let managed = it.amazon_managed_kafka_event_source_config.as_ref();
    let own = it.self_managed_kafka_event_source_config.as_ref();
    managed
        .and_then(|config| config.schema_registry_config.as_ref())
        .or_else(|| own.and_then(|config| config.schema_registry_config.as_ref()))
}

/// Whether a Kafka mapping reads as a member of a share group, from wherever the group is.
pub(super) fn shares(it: &Configuration) -> bool {
    let config = it.self_managed_kafka_event_source_config.as_ref();
    config.and_then(|config| config.consumption_mode.as_deref()) == Some("Queue")
}
