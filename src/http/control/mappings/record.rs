//! A mapping as it is kept: what answers show of it, when it is sound, and when it doubles another.

use super::source::{self, Kind};
use super::{options, rules};
use crate::daemon::clock;
use hearth_api::error::ApiError;
use hearth_api::primitives::EpochTime;
use hearth_api::shapes::EventSourceMappingConfiguration as Configuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why a mapping that is to be enabled is not.
const NO_POLLERS: &str =
    "This build of Hearth keeps event source mappings but does not poll event sources yet.";

/// What is kept under a mapping's UUID.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Mapping {
    pub(super) kind: Kind,
    /// What the user wants it to be.
    pub(super) enabled: bool,
    pub(super) tags: BTreeMap<String, String>,
    /// Everything that answers show, but for the state.
    pub(super) configuration: Configuration,
}

/// The state that an answer names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Creating,
    Enabling,
    Disabling,
    Updating,
    Deleting,
    Settled,
}

impl Mapping {
    pub(super) fn uuid(&self) -> &str {
        self.configuration.uuid.as_deref().unwrap_or_default()
    }

    pub(super) fn answer(&self, phase: Phase) -> Configuration {
        let state = match phase {
            Phase::Creating => "Creating",
            Phase::Enabling => "Enabling",
            Phase::Disabling => "Disabling",
            Phase::Updating => "Updating",
            Phase::Deleting => "Deleting",
            Phase::Settled => "Disabled",
        };
        let unwanted = phase == Phase::Settled && self.enabled;
        let reason = if unwanted { NO_POLLERS } else { self.kind.wanted() };
        Configuration {
            state: Some(state.to_owned()),
            state_transition_reason: Some(reason.to_owned()),
            ..self.configuration.clone()
        }
    }

    /// Checks and completes what was changed, as of now.
    pub(super) fn settle(&mut self, uuid: &str) -> Result<(), ApiError> {
        let now = EpochTime::from_ms(i64::try_from(clock::wall().as_millis()).unwrap_or(i64::MAX));
        options::tidy(&mut self.configuration);
        rules::check(self.kind, &self.configuration, now)?;
        options::complete(self.kind, &mut self.configuration, uuid);
        self.configuration.last_modified = Some(now);
        Ok(())
    }

    /// Whether both would hand the same records to the same function.
    pub(super) fn doubles(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.configuration, &other.configuration);
        let meet = |a: &Option<Vec<String>>, b: &Option<Vec<String>>| match (a, b) {
            (Some(a), Some(b)) => a.iter().any(|one| b.contains(one)),
            (None, None) => true,
            _ => false,
        };
        let part = |it: &Configuration| {
            let config = it.document_db_event_source_config.as_ref();
            config.map(|config| (config.database_name.clone(), config.collection_name.clone()))
        };
        mine.function_arn == theirs.function_arn
            && meet(&Some(self.sources()), &Some(other.sources()))
            && meet(&mine.topics, &theirs.topics)
            && meet(&mine.queues, &theirs.queues)
            && part(mine) == part(theirs)
    }

    /// What it reads from: an ARN or bootstrap servers.
    fn sources(&self) -> Vec<String> {
        let arn = self.configuration.event_source_arn.clone().map(|arn| vec![arn]);
        arn.or_else(|| {
            let own = self.configuration.self_managed_event_source.as_ref()?;
            source::servers(own.endpoints.as_ref()?).cloned()
        })
        .unwrap_or_default()
    }

    /// The refusal of a mapping that would double this stored one.
    pub(super) fn conflict(&self, stored: &Self, function: &str) -> ApiError {
        let (sources, name) = (self.sources().join(","), stored.uuid());
        let full = self.configuration.function_arn.as_deref().unwrap_or_default();
        let parts = |list: &Option<Vec<String>>| list.clone().unwrap_or_default().join(",");
        let what = match self.kind {
            Kind::Queue { .. } => {
                format!(
                    "An event source mapping with SQS arn (\" {sources} \") and function (\" {function} \")"
                )
            }
            Kind::Kinesis | Kind::DynamoDb | Kind::DocumentDb => format!(
                "The event source arn (\" {sources} \") and function (\" {function} \") provided mapping"
            ),
            Kind::ManagedKafka | Kind::OwnKafka => format!(
                "An event source mapping with event source (\"{sources}\"), function (\"{full}\"), topics (\"{}\")",
                parts(&self.configuration.topics)
            ),
            Kind::Mq => format!(
                "An event source mapping with event source (\"{sources}\"), function (\"{full}\"), queues (\"{}\")",
                parts(&self.configuration.queues)
            ),
        };
        ApiError::conflict(format!(
            "{what} already exists. Please update or delete the existing mapping with UUID {name}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What a mapping of each kind has at least, beside its source.
    fn smallest() -> Vec<(Kind, serde_json::Value)> {
        let secret = json!([{ "Type": "BASIC_AUTH", "URI": "secret" }]);
        let kafka =
            json!({ "StartingPosition": "LATEST", "Topics": ["t"], "SourceAccessConfigurations": [] });
        vec![
            (Kind::Queue { fifo: false }, json!({})),
            (Kind::Queue { fifo: true }, json!({})),
            (Kind::Kinesis, json!({ "StartingPosition": "LATEST" })),
            (Kind::DynamoDb, json!({ "StartingPosition": "LATEST" })),
            (Kind::ManagedKafka, kafka.clone()),
            (Kind::OwnKafka, kafka),
            (Kind::Mq, json!({ "Queues": ["q"], "SourceAccessConfigurations": secret })),
            (
                Kind::DocumentDb,
                json!({
                    "StartingPosition": "LATEST",
                    "SourceAccessConfigurations": secret,
                    "DocumentDBEventSourceConfig": { "DatabaseName": "d" },
                }),
            ),
        ]
    }

    fn mapping(kind: Kind, configuration: serde_json::Value) -> Mapping {
        let configuration = serde_json::from_value(configuration).unwrap();
        Mapping { kind, enabled: true, tags: BTreeMap::new(), configuration }
    }

    #[test]
    fn what_was_accepted_once_is_accepted_again_and_stays_as_it_is() {
        for (kind, configuration) in smallest() {
            let mut mapping = mapping(kind, configuration);
            mapping.settle("uuid").unwrap();
            let first = Configuration { last_modified: None, ..mapping.configuration.clone() };
            mapping.settle("uuid").unwrap();
            assert_eq!(Configuration { last_modified: None, ..mapping.configuration }, first, "{kind:?}");
        }
    }

    #[test]
    fn a_mapping_is_read_back_as_it_was_written() {
        for (kind, configuration) in smallest() {
            let mut written = mapping(kind, configuration);
            written.settle("uuid").unwrap();
            let read: Mapping = serde_json::from_str(&serde_json::to_string(&written).unwrap()).unwrap();
            assert_eq!((read.kind, read.enabled), (written.kind, written.enabled));
            assert_eq!(read.configuration, written.configuration);
        }
    }

    #[test]
    fn what_is_to_be_enabled_says_why_it_is_not() {
        let mut mapping = mapping(Kind::Kinesis, json!({}));
        let told = |mapping: &Mapping, phase| {
            let answer = mapping.answer(phase);
            (answer.state.unwrap(), answer.state_transition_reason.unwrap())
        };
        assert_eq!(told(&mapping, Phase::Creating), ("Creating".to_owned(), "User action".to_owned()));
        assert_eq!(told(&mapping, Phase::Settled), ("Disabled".to_owned(), NO_POLLERS.to_owned()));
        mapping.enabled = false;
        assert_eq!(told(&mapping, Phase::Settled), ("Disabled".to_owned(), "User action".to_owned()));
    }
}
