//! The synchronous path: an invocation from the front door to its answer, and what all parts of the daemon share.
//!
//! Nothing here decides about limits or reuse. A failed function is a value (`Answer`), a refused invocation another
//! (`Refusal`); each invocation gets exactly one of them.

use super::clock;
use super::code::Code;
use super::credentials::Keys;
use super::decisions::{Arrival, Decisions, TurnedAway};
use super::functions::Serving;
use super::keyring::Ring;
use super::logs::Logs;
use super::metrics::Metrics;
use super::random;
use super::revision::Revision;
use super::sandboxes::Sandboxes;
use super::scheduler::SchedulerHandle;
use crate::config::Network;
use bytes::Bytes;
use hearth_logic::admission::Reason;
use hearth_logic::scheduler::Source;
use hearth_logic::{InvocationId, ProvisionedId};
use hearth_runtime_api::RequestId;
use hearth_sandbox::cgroup::Freezer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// What every part of the daemon may use.
pub(crate) struct Shared {
    /// Series.
    pub(crate) metrics: Metrics,
    /// Function output.
    pub(crate) logs: Logs,
    /// Minted credentials.
    pub(crate) keys: Keys,
    /// What roles may do, where callers are asked who they are.
    pub(crate) ring: Option<Ring>,
    /// The forker.
    pub(crate) sandboxes: Sandboxes,
    /// Unpacked code.
    pub(crate) code: Code,
    /// The scheduler.
    pub(crate) scheduler: SchedulerHandle,
    /// Functions as they can be invoked.
    pub(crate) functions: super::functions::Functions,
    /// Which function may reach what.
    pub(crate) network: Network,
    /// Who is asked for names.
    pub(crate) resolvers: Arc<super::dns::Resolvers>,
    /// Whether control groups have v2's form.
    pub(crate) pure_v2: bool,
    /// Why invocations went as they did.
    pub(crate) decisions: Decisions,
    /// How sandboxes are frozen.
    pub(crate) freezer: Freezer,
    /// The last invocation number handed out.
    pub(crate) invocations: AtomicU64,
    /// Connections of functions beyond the first that each environment has to each of its servers.
    pub(crate) connections: Arc<Semaphore>,
}

impl Shared {
    /// A number for an invocation.
    pub(crate) fn next_invocation(&self) -> InvocationId {
        InvocationId(self.invocations.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// What came of an invocation that ran.
pub(crate) struct Answer {
    /// The function's answer or the error document.
    pub(crate) payload: Bytes,
    /// Whether it is an error document.
    pub(crate) failed: bool,
    /// The last 4 KiB of its log, if asked for.
    pub(crate) log_tail: Option<Vec<u8>>,
}

/// Why an invocation did not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A limit.
    Limit {
        /// Which.
        reason: Reason,
        /// After what pause another try may succeed, if that is known.
        retry_after: Option<Duration>,
    },
    /// The platform could not: the detail is for the log.
    Internal(String),
}

/// One request to run a function once.
pub(crate) struct Invocation {
    /// Number among the daemon's invocations.
    pub(crate) id: InvocationId,
    /// The request id that caller, function and log see.
    pub(crate) request_id: RequestId,
    /// What to run.
    pub(crate) revision: Arc<Revision>,
    /// The ARN as invoked.
    pub(crate) invoked_arn: String,
    /// X-Ray header.
    pub(crate) trace_id: String,
    /// Decoded client context, or empty.
    pub(crate) client_context: String,
    /// The event.
    pub(crate) payload: Bytes,
    /// Whether the caller wants the log's tail.
    pub(crate) wants_log: bool,
    /// Who waits for the answer.
    pub(crate) source: Source,
    /// Provisioned concurrency that it may use.
    pub(crate) provisioned: Option<ProvisionedId>,
    /// A limit refused it once, a moment before a permit came back.
    pub(crate) held_back: bool,
    reply: Option<oneshot::Sender<Result<Answer, Refusal>>>,
}

impl Invocation {
    /// One of a test, and what will be answered to it.
    #[cfg(test)]
    pub(crate) fn sample(
        number: u64,
        revision: &Arc<Revision>,
    ) -> (Box<Self>, oneshot::Receiver<Result<Answer, Refusal>>) {
        let (reply, wait) = oneshot::channel();
        let invocation = Self {
            id: InvocationId(number),
            request_id: RequestId::from_bytes(u128::from(number).to_be_bytes()),
            revision: Arc::clone(revision),
            invoked_arn: String::new(),
            trace_id: String::new(),
            client_context: String::new(),
            payload: Bytes::new(),
            wants_log: false,
            source: Source::Synchronous,
            provisioned: None,
            held_back: false,
            reply: Some(reply),
        };
        (Box::new(invocation), wait)
    }

    /// Answers the caller; only the first answer counts.
    pub(crate) fn answer(&mut self, answer: Answer) {
        if let Some(reply) = self.reply.take() {
            // A caller who has left does not stop the function, and gets no answer.
            reply.send(Ok(answer)).ok();
        }
    }

    /// Tells the caller that it did not run.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        if let Some(reply) = self.reply.take() {
            reply.send(Err(refusal)).ok();
        }
    }

    /// For an environment that ends with callers still waiting.
    pub(crate) fn fail_internally(&mut self, detail: &str) {
        self.refuse(Refusal::Internal(detail.to_owned()));
    }
}

/// What a caller asks for.
pub(crate) struct Call {
    /// What to run.
    pub(crate) serving: Serving,
    /// Who waits for the answer.
    pub(crate) source: Source,
    /// The ARN as invoked.
    pub(crate) invoked_arn: String,
    /// The caller's X-Ray header, if any.
    pub(crate) trace_header: Option<String>,
    /// Decoded client context, or empty.
    pub(crate) client_context: String,
    /// The event.
    pub(crate) payload: Bytes,
    /// Whether the caller wants the log's tail.
    pub(crate) wants_log: bool,
    /// The request id.
    pub(crate) request_id: RequestId,
}

/// A call's result: the X-Ray header it ran under, and what it came to.
pub(crate) struct Returned {
    /// X-Ray header.
    pub(crate) trace_id: String,
    /// Answer or refusal.
    pub(crate) result: Result<Answer, Refusal>,
}

/// Why an invocation would be throttled whatever it carries, so that nobody has to read that. Looks at what is known
/// without asking; the scheduler decides for all that pass.
pub(crate) fn refused_at_the_door(
    shared: &Shared,
    serving: &Serving,
    request_id: RequestId,
    invoked_arn: &str,
) -> Option<Refusal> {
    if shared.scheduler.is_recorded() {
        // The recording is of all traffic.
        return None;
    }
    // What has just been answered gives its permit back in a moment.
    if serving.revision.finishing.load(Ordering::Relaxed) > 0 {
        return None;
    }
    let (reason, usage) = match (serving.reserved, serving.provisioned) {
        (Some(0), _) => (Reason::ReservedFunctionConcurrentInvocationLimitExceeded, Some((0, 0))),
        (Some(reserved), None) if serving.revision.door.is_shut() => {
            (Reason::ReservedFunctionConcurrentInvocationLimitExceeded, Some((reserved, reserved)))
        }
        (None, None) if shared.scheduler.is_full() => (Reason::ConcurrentInvocationLimitExceeded, None),
        _ => return None,
    };
    let id = shared.next_invocation();
    let (since, at) = (clock::now(), clock::wall());
    let revision = &serving.revision;
    shared.decisions.open(&Arrival { id, request_id, revision, invoked_arn, since, at });
    shared.decisions.refused(id, &TurnedAway { usage, ..TurnedAway::at_once(reason) });
    shared.metrics.throttle(revision, reason);
    Some(Refusal::Limit { reason, retry_after: None })
}

/// Runs a function once and waits for what it comes to.
pub(crate) async fn invoke(shared: &Shared, call: Call) -> Returned {
    let (reply, wait) = oneshot::channel();
    let trace_id = trace_id(call.trace_header.as_deref());
    let revision = Arc::clone(&call.serving.revision);
    let invocation = Box::new(Invocation {
        id: shared.next_invocation(),
        request_id: call.request_id,
        revision: call.serving.revision,
        invoked_arn: call.invoked_arn,
        trace_id: trace_id.clone(),
        client_context: call.client_context,
        payload: call.payload,
        wants_log: call.wants_log,
        source: call.source,
        provisioned: call.serving.provisioned,
        held_back: false,
        reply: Some(reply),
    });
    let id = invocation.id;
    shared.decisions.open(&Arrival {
        id,
        request_id: invocation.request_id,
        revision: &invocation.revision,
        invoked_arn: &invocation.invoked_arn,
        since: clock::now(),
        at: clock::wall(),
    });
    let result = match shared.scheduler.offer(invocation) {
        Err(_) => {
            let reason = Reason::QueueFull;
            shared.decisions.refused(id, &TurnedAway::at_once(reason));
            Err(Refusal::Limit { reason, retry_after: None })
        }
        Ok(()) => wait.await.unwrap_or_else(|_| Err(Refusal::Internal("the invocation was lost".to_owned()))),
    };
    if let Err(Refusal::Limit { reason, .. }) = &result {
        shared.metrics.throttle(&revision, *reason);
    }
    Returned { trace_id, result }
}

/// Bytes of an X-Ray header with ids of the usual length.
const TRACE_BYTES: usize = 128;

/// The X-Ray header of an invocation: the caller's root and decision if there is one, else new ones, not sampled.
fn trace_id(given: Option<&str>) -> String {
    let part = |name: &str| {
        given?.split(';').find_map(|part| part.trim().strip_prefix(name)).filter(|value| {
            value.len() <= 64 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
    };
    let mut header = String::with_capacity(TRACE_BYTES);
    header.push_str("Root=");
    match part("Root=") {
        Some(root) => header.push_str(root),
        None => {
            let seconds = u32::try_from(clock::wall().as_millis() / 1000).unwrap_or(u32::MAX);
            header.push_str("1-");
            random::push_hex(&seconds.to_be_bytes(), &mut header);
            header.push('-');
            random::push_hex(&random::id::<12>(), &mut header);
        }
    }
    header.push_str(";Parent=");
    random::push_hex(&random::id::<8>(), &mut header);
    header.push_str(";Sampled=");
    header.push_str(part("Sampled=").filter(|flag| *flag == "1").unwrap_or("0"));
    header.push_str(";Lineage=1:");
    random::push_hex(&random::id::<4>(), &mut header);
    header.push_str(":0");
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_root_is_kept_and_a_broken_one_replaced() {
        let kept = trace_id(Some("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=x;Sampled=1"));
        assert!(kept.starts_with("Root=1-5759e988-bd862e3fe1be46a994272793;Parent="), "{kept}");
        assert!(kept.contains(";Sampled=1;"), "{kept}");
        let fresh = trace_id(Some("Root=a\r\nb"));
        assert!(fresh.starts_with("Root=1-") && fresh.contains(";Sampled=0;"), "{fresh}");
    }
}
