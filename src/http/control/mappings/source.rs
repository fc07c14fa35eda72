//! What a mapping reads from: seven kinds of sources, told by an ARN or by bootstrap servers.
//!
//! Whether a source exists, and whether the function's role may read it, is not asked: that is for whoever polls it.

use hearth_api::error::ApiError;
use hearth_api::shapes::{EndpointLists, Endpoints};
use serde::{Deserialize, Serialize};

/// The one kind of endpoint that a self-managed source has.
const BOOTSTRAP_SERVERS: &str = "KAFKA_BOOTSTRAP_SERVERS";

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// A queue of SQS.
    Queue {
        /// Whether it keeps the order within a message group.
        fifo: bool,
    },
    /// A stream of Kinesis, or a consumer of one.
    Kinesis,
    /// A table's stream of changes.
    DynamoDb,
    /// A Kafka cluster of the cloud's.
    ManagedKafka,
    /// A Kafka cluster of somebody's own.
    OwnKafka,
    /// A broker: ActiveMQ or RabbitMQ; an ARN does not say which.
    Mq,
    /// A cluster's stream of changes.
    DocumentDb,
}

impl Kind {
    /// The kind of what a request names.
    ///
    /// # Errors
    /// It names nothing, two things, or something that is no source.
    pub(super) fn of(arn: Option<&str>, endpoints: Option<&Endpoints>) -> Result<Self, ApiError> {
        let unrecognized = || ApiError::invalid_parameter("Unrecognized event source.");
        match (arn, endpoints) {
            (Some(arn), None) => Self::of_arn(arn).ok_or_else(unrecognized),
            (None, Some(endpoints)) if servers(endpoints).is_some() => Ok(Self::OwnKafka),
            (None, Some(_)) => Err(ApiError::invalid_parameter(format!(
                "Required '{BOOTSTRAP_SERVERS}' endpoint is missing."
            ))),
            (Some(_), Some(_)) => Err(ApiError::invalid_parameter(
                "Only one of EventSourceArn and SelfManagedEventSource can be specified.",
            )),
            (None, None) => Err(unrecognized()),
        }
    }

    fn of_arn(arn: &str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let service = parts.nth(2)?;
        let resource = parts.nth(2).filter(|resource| !resource.is_empty())?;
        match service {
            "sqs" if !resource.contains([':', '/']) => {
                Some(Self::Queue { fifo: resource.ends_with(".fifo") })
            }
            "kinesis" if resource.starts_with("stream/") => Some(Self::Kinesis),
            "dynamodb" if resource.starts_with("table/") && resource.contains("/stream/") => {
                Some(Self::DynamoDb)
            }
            "kafka" if resource.starts_with("cluster/") || resource.starts_with("vpc-connection/") => {
                Some(Self::ManagedKafka)
            }
            "mq" if resource.starts_with("broker:") => Some(Self::Mq),
            "rds" if resource.starts_with("cluster:") => Some(Self::DocumentDb),
            _ => None,
        }
    }

    pub(super) fn is_queue(self) -> bool {
        matches!(self, Self::Queue { .. })
    }

    pub(super) fn is_stream(self) -> bool {
        matches!(self, Self::Kinesis | Self::DynamoDb)
    }

    pub(super) fn is_kafka(self) -> bool {
        matches!(self, Self::ManagedKafka | Self::OwnKafka)
    }

    /// Records of a batch, where a mapping does not say.
    pub(super) fn batch_size(self) -> i32 {
        if self.is_queue() { 10 } else { 100 }
    }

    /// The longest time-out of a function that reads from it.
    pub(super) fn timeout_max_s(self) -> u32 {
        if self.is_queue() || self.is_stream() { 900 } else { 840 }
    }

    /// How the service says that a state is what the user wanted.
    pub(super) fn wanted(self) -> &'static str {
        if self.is_stream() { "User action" } else { "USER_INITIATED" }
    }
}

/// The bootstrap servers among the endpoints of a source.
pub(super) fn servers(endpoints: &Endpoints) -> Option<&EndpointLists> {
    endpoints.get(BOOTSTRAP_SERVERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_says_what_kind_of_source_it_names() {
        for (resource, kind) in [
            ("sqs:us-east-1:000000000000:q", Some(Kind::Queue { fifo: false })),
            ("sqs:us-east-1:000000000000:q.fifo", Some(Kind::Queue { fifo: true })),
            ("kinesis:us-east-1:000000000000:stream/s", Some(Kind::Kinesis)),
            ("kinesis:us-east-1:000000000000:stream/s/consumer/c:1", Some(Kind::Kinesis)),
            ("dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000", Some(Kind::DynamoDb)),
            ("dynamodb:us-east-1:000000000000:table/t", None),
            ("kafka:us-east-1:000000000000:cluster/c/0-1", Some(Kind::ManagedKafka)),
            ("mq:us-east-1:000000000000:broker:b:b-1", Some(Kind::Mq)),
            ("rds:us-east-1:000000000000:cluster:c", Some(Kind::DocumentDb)),
            ("s3:::bucket", None),
            ("sqs:us-east-1:000000000000:", None),
            ("sqs", None),
        ] {
            let arn = format!("arn:aws:{resource}");
            assert_eq!(Kind::of(Some(&arn), None).ok(), kind, "{arn}");
        }
    }

    #[test]
    fn a_source_is_named_once() {
        let own = Endpoints::from([(BOOTSTRAP_SERVERS.to_owned(), vec!["kafka:9092".to_owned()])]);
        assert_eq!(Kind::of(None, Some(&own)).ok(), Some(Kind::OwnKafka));
        assert!(Kind::of(Some("arn:aws:sqs:us-east-1:000000000000:q"), Some(&own)).is_err());
        assert!(Kind::of(None, Some(&Endpoints::new())).is_err());
        assert!(Kind::of(None, None).is_err());
    }
}
