//! The rules that a mapping's options keep: what their values may be, and which go together.
//!
//! Everything is judged on the whole configuration, as it would be after the request. Values that the model refuses never
//! get here; who takes which option is said in `options`.
//!
//! Source: API reference of `CreateEventSourceMapping`; the texts are the service's where they are known.

use super::filter;
use super::options::{POLLERS_DEFAULT_MAX, foreign, pollers_min, registry, shares, unsupported};
use super::source::Kind;
use hearth_api::error::ApiError;
use hearth_api::primitives::EpochTime;
use hearth_api::shapes::EventSourceMappingConfiguration as Configuration;

/// Filters of one mapping, which are alternatives. The service's quota is 5 and can be raised to this.
const FILTERS_MAX: usize = 10;
/// Records of a batch from a queue that is not allowed to wait for more.
const UNWAITED_BATCH_MAX: i32 = 10;
const RECORD_AGE_MIN_S: i32 = 60;
/// Attempts where a failed record of Kafka has somewhere else to go.
const KAFKA_ATTEMPTS_MAX: i32 = 10;
const AT_TIMESTAMP: &str = "AT_TIMESTAMP";

/// Refuses what a mapping of this kind cannot have. Expects what `options::tidy` leaves.
pub(super) fn check(kind: Kind, it: &Configuration, now: EpochTime) -> Result<(), ApiError> {
    let found = foreign(kind, it)
        .or_else(|| batch(kind, it))
        .or_else(|| position(kind, it, now))
        .or_else(|| attempts(kind, it))
        .or_else(|| destination(kind, it))
        .or_else(|| pollers(kind, it))
        .or_else(|| schemas(it))
        .or_else(|| access(kind, it))
        .or_else(|| filters(kind, it));
    found.map_or(Ok(()), |text| Err(ApiError::invalid_parameter(text)))
}

fn batch(kind: Kind, it: &Configuration) -> Option<String> {
    let size = it.batch_size.unwrap_or(kind.batch_size());
    let window = it.maximum_batching_window_in_seconds.unwrap_or(0);
    match kind {
        Kind::Queue { fifo: true } if window > 0 => {
            Some("Batching window is not supported for FIFO queues".to_owned())
        }
        Kind::Queue { fifo: true } if size > UNWAITED_BATCH_MAX => {
            Some(format!("Maximum batch size must be between 1 and {UNWAITED_BATCH_MAX} inclusive"))
        }
        Kind::Queue { fifo: false } if size > UNWAITED_BATCH_MAX && window == 0 => Some(format!(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than {UNWAITED_BATCH_MAX}"
        )),
        _ => None,
    }
}

fn position(kind: Kind, it: &Configuration, now: EpochTime) -> Option<String> {
    if shares(it) {
        let positioned = it.starting_position.is_some() || it.starting_position_timestamp.is_some();
        let waits = it.maximum_batching_window_in_seconds.is_some();
        return positioned
            .then(|| unsupported("startingPosition"))
            .or_else(|| waits.then(|| unsupported("maximumBatchingWindowInSeconds")));
    }
    let at_timestamp = it.starting_position.as_deref() == Some(AT_TIMESTAMP);
    match (at_timestamp, it.starting_position_timestamp) {
        (true, _) if kind == Kind::DynamoDb => {
            let arn = it.event_source_arn.as_deref().unwrap_or_default();
            Some(format!("Unsupported starting position for arn type: {arn}"))
        }
        (true, None) => Some("Need to specify a timestamp".to_owned()),
        (true, Some(moment)) if moment > now => {
            Some("StartingPositionTimestamp cannot be in the future.".to_owned())
        }
        (false, Some(_)) => Some(
            "StartingPositionTimestamp is valid with the starting position AT_TIMESTAMP only.".to_owned(),
        ),
        (true, Some(_)) | (false, None) => None,
    }
}

fn attempts(kind: Kind, it: &Configuration) -> Option<String> {
    if it.maximum_record_age_in_seconds.is_some_and(|age| age != -1 && age < RECORD_AGE_MIN_S) {
        return Some(format!(
            "MaximumRecordAgeInSeconds must be either -1 (forever) or between {RECORD_AGE_MIN_S} and 604800 (inclusive)"
        ));
    }
    let retries = it.maximum_retry_attempts?;
    if shares(it) && retries < 0 {
        return Some(
            "MaximumRetryAttempts must be between 0 and 10000 in the consumption mode Queue.".to_owned(),
        );
    }
    (kind.is_kafka() && it.destination_config.is_some() && retries > KAFKA_ATTEMPTS_MAX).then(|| {
        format!("MaximumRetryAttempts must be at most {KAFKA_ATTEMPTS_MAX} with an on-failure destination.")
    })
}

fn destination(kind: Kind, it: &Configuration) -> Option<String> {
    let config = it.destination_config.as_ref()?;
    if config.on_success.is_some() || !(kind.is_stream() || kind.is_kafka()) {
        return Some(
            "Unsupported DestinationConfig parameter for given event source mapping type.".to_owned(),
        );
    }
    let target = config.on_failure.as_ref()?.destination.as_deref()?;
    let takes = match target.split(':').nth(2) {
        _ if target.starts_with("kafka://") => kind.is_kafka(),
        Some("sqs" | "sns" | "s3") => true,
        _ => false,
    };
    (!takes).then(|| {
        format!(
            "The provided destination config DestinationConfig(onSuccess=null, onFailure=OnFailure(destination={target})) is invalid."
        )
    })
}

fn pollers(kind: Kind, it: &Configuration) -> Option<String> {
    let config = it.provisioned_poller_config.as_ref()?;
    if it.scaling_config.is_some() {
        return Some("ScalingConfig and ProvisionedPollerConfig cannot be specified together.".to_owned());
    }
    if config.poller_group_name.is_some() && !kind.is_kafka() {
        return Some(unsupported("pollerGroupName"));
    }
    let lowest = pollers_min(kind);
    let highest = if kind.is_queue() { 10_000 } else { 2000 };
    let least = config.minimum_pollers.unwrap_or(lowest);
    let most = config.maximum_pollers.unwrap_or(POLLERS_DEFAULT_MAX);
    if least < lowest {
        return Some(format!(
            "MinimumPollers must be between {lowest} and 200 for given event source mapping type."
        ));
    }
    if most < lowest || most > highest {
        return Some(format!(
            "MaximumPollers must be between {lowest} and {highest} for given event source mapping type."
        ));
    }
    (least > most).then(|| "MinimumPollers must be less than or equal to MaximumPollers.".to_owned())
}

fn schemas(it: &Configuration) -> Option<String> {
    let registry = registry(it)?;
    let missing = [
        ("schemaRegistryURI", registry.schema_registry_uri.is_none()),
        ("eventRecordFormat", registry.event_record_format.is_none()),
    ];
    let (name, _) = missing.iter().find(|(_, missing)| *missing)?;
    Some(format!("Required '{name}' parameter is missing."))
}

/// How a mapping of this kind may prove who it is to its source.
fn access(kind: Kind, it: &Configuration) -> Option<String> {
    let given = it.source_access_configurations.as_deref().unwrap_or_default();
    let types = || given.iter().filter_map(|access| access.type_.as_deref());
    let allowed = |name: &str| match kind {
        Kind::OwnKafka => name != "VIRTUAL_HOST",
        Kind::ManagedKafka => {
            matches!(name, "SASL_SCRAM_512_AUTH" | "CLIENT_CERTIFICATE_TLS_AUTH")
                || name.starts_with("OAUTHBEARER_")
                || name.starts_with("IAM_")
        }
        Kind::Mq => matches!(name, "BASIC_AUTH" | "VIRTUAL_HOST"),
        Kind::DocumentDb => name == "BASIC_AUTH",
        Kind::Queue { .. } | Kind::Kinesis | Kind::DynamoDb => false,
    };
    if let Some(name) = types().find(|name| !allowed(name)) {
        return Some(format!(
            "Unsupported source access configuration type {name} for given event source mapping type."
        ));
    }
    let needs_password = matches!(kind, Kind::Mq | Kind::DocumentDb);
    (needs_password && !types().any(|name| name == "BASIC_AUTH"))
        .then(|| "Required source access configuration type BASIC_AUTH is missing.".to_owned())
}

fn filters(kind: Kind, it: &Configuration) -> Option<String> {
    let filters = it.filter_criteria.as_ref()?.filters.as_deref().unwrap_or_default();
    if filters.len() > FILTERS_MAX {
        return Some(format!("At most {FILTERS_MAX} filters can be specified for an event source mapping."));
    }
    let valid =
        |pattern: &Option<String>| pattern.as_deref().is_some_and(|text| filter::is_valid(text, kind));
    let wrong = filters.iter().any(|filter| !valid(&filter.pattern));
    wrong.then(|| "Invalid filter pattern definition.".to_owned())
}
