//! The driver with environments that the test plays: a forker that never answers, and news told in its place.

use super::*;
use crate::config::Config;
use crate::daemon::code::Code;
use crate::daemon::credentials::Keys;
use crate::daemon::decisions::{Decisions, tests::revision as plain};
use crate::daemon::dns::Resolvers;
use crate::daemon::functions::Functions;
use crate::daemon::invoke::Answer;
use crate::daemon::logs::{Logs, Retention};
use crate::daemon::metrics::Metrics;
use crate::daemon::sandboxes::Sandboxes;
use crate::runtimes::{Missing, Runtimes};
use crate::store::Unpacker;
use crate::store::tests::{Fixture, Scratch};
use hearth_api::arn::Home;
use hearth_logic::Scaling;
use hearth_sandbox::Tree;
use hearth_sandbox::cgroup::Freezer;
use hearth_sandbox::channel::{Channel, pair};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use tokio::sync::Semaphore;

type Reply = oneshot::Receiver<Result<Answer, Refusal>>;

/// A scheduler's task and what it needs; goes with the value.
struct Bench {
    handle: SchedulerHandle,
    shared: Arc<Shared>,
    revision: Arc<Revision>,
    offered: AtomicU64,
    _forker: OwnedFd,
    _files: (Fixture, Scratch),
}

fn bench(change: impl FnOnce(&mut SchedulerLimits)) -> Bench {
    let (fixture, logs) = (Fixture::new(), Scratch::new());
    let revision = Arc::new(plain("f"));
    // Its code is there already.
    let unpacker = Unpacker::new(fixture.blobs.clone(), &fixture.scratch.path().join("unpacked"));
    std::fs::create_dir(unpacker.path(Tree::Task(revision.code))).expect("makes");
    let (config, _) = Config::load(None, &[], &[]).expect("loads");
    let (handle, inbox) = SchedulerHandle::new();
    let metrics = Metrics::new().expect("registers");
    let (ours, forker) = pair().expect("pairs");
    let (sandboxes, _) =
        Sandboxes::start(Channel::new(ours), metrics.firewall_changes.clone()).expect("starts");
    let runtimes = Arc::new(Runtimes::new(&[], &BTreeMap::new(), Missing::Refuse));
    let home = Home::new("us-east-1".to_owned(), "000000000000".to_owned());
    let retention = Retention { file_bytes: 1 << 20, files: 1, age: Duration::from_secs(3_600) };
    let shared = Arc::new(Shared {
        metrics,
        logs: Logs::start(logs.path(), retention).expect("starts"),
        keys: Keys::default(),
        ring: None,
        connections: Arc::new(Semaphore::new(64)),
        sandboxes,
        code: Code::new(Arc::new(unpacker)),
        scheduler: handle.clone(),
        functions: Functions::new(fixture.store.clone(), runtimes, handle.clone(), home),
        pure_v2: true,
        freezer: Freezer::V2,
        resolvers: Arc::new(Resolvers::new(&[])),
        network: config.network,
        decisions: Decisions::default(),
        invocations: AtomicU64::new(0),
    });
    let mut limits = SchedulerLimits { freeze_after: None, ..SchedulerLimits::default() };
    change(&mut limits);
    tokio::spawn(start((limits, None), Arc::clone(&shared), handle.clone(), inbox));
    Bench { handle, shared, revision, offered: AtomicU64::new(0), _forker: forker, _files: (fixture, logs) }
}

const fn e(number: u64) -> EnvironmentId {
    EnvironmentId(number)
}

impl Bench {
    fn sample(&self) -> (Box<Invocation>, Reply) {
        let number = self.offered.fetch_add(1, Ordering::Relaxed) + 1;
        Invocation::sample(number, &self.revision)
    }

    /// Offers one; gives its number and where its answer comes.
    fn offer(&self) -> (InvocationId, Reply) {
        let (invocation, reply) = self.sample();
        let id = invocation.id;
        assert!(self.handle.offer(invocation).is_ok());
        (id, reply)
    }

    fn tell(&self, told: Told) {
        self.handle.of_environment().tell(told);
    }

    /// An environment is up and takes whoever waits.
    fn ready(&self, number: u64) {
        self.tell(Told::Launched { environment: e(number) });
        self.tell(Told::Ready { environment: e(number) });
    }

    fn released(&self, environment: u64, invocation: InvocationId, answered: bool) {
        let answered = answered.then(|| Arc::clone(&self.revision));
        self.tell(Told::Released { environment: e(environment), invocation, reuse: true, answered });
    }

    async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Scheduler) -> T + Send + 'static) -> T {
        self.handle.look(look).await.expect("the scheduler is there")
    }

    /// Waits until the machine is as asked for.
    async fn until(&self, what: &str, is_so: impl Fn(&Scheduler) -> bool + Copy + Send + 'static) {
        for _ in 0..10_000 {
            if self.look(is_so).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("never: {what}");
    }
}

fn refusal(reply: Result<Result<Answer, Refusal>, oneshot::error::RecvError>) -> Refusal {
    match reply {
        Ok(Err(refusal)) => refusal,
        Ok(Ok(_)) => panic!("it was answered"),
        Err(_) => panic!("nobody answered it"),
    }
}

#[tokio::test]
async fn what_an_environment_gives_back_that_is_gone_already_is_refused_and_not_kept() {
    let bench = bench(|_| ());
    let (invocation, reply) = bench.sample();
    bench.tell(Told::GivenBack { environment: e(9), invocation });
    assert!(matches!(refusal(reply.await), Refusal::Internal(_)));
}

#[tokio::test]
async fn what_a_dying_environment_gives_back_runs_elsewhere() {
    let bench = bench(|_| ());
    let (first, mut reply) = bench.offer();
    bench.ready(0);
    bench.until("it runs", |machine| machine.census().waiting == 0).await;
    // The environment dies before it has begun: it says so in this order.
    let (invocation, _) = Invocation::sample(first.0, &bench.revision);
    bench.tell(Told::GivenBack { environment: e(0), invocation });
    bench.tell(Told::Died { environment: e(0) });
    bench.tell(Told::Destroyed { environment: e(0) });
    bench.until("it waits for another", |machine| machine.census().waiting == 1).await;
    bench.ready(1);
    bench.until("that has it", |machine| machine.census().waiting == 0).await;
    assert!(reply.try_recv().is_err(), "it has not been refused");
    assert_eq!(bench.look(|machine| machine.census().environments).await, 1);
}

#[tokio::test]
async fn fast_calls_one_after_the_other_cost_one_start_of_the_scaling_rate() {
    let bench = bench(|limits| limits.scaling = Scaling::PerFunction { burst: 2, per_minute: 0 });
    let (mut last, mut replies) = (bench.offer(), Vec::new());
    bench.ready(0);
    bench.until("the first runs", |machine| machine.census().waiting == 0).await;
    for _ in 0..20 {
        // It has answered, and its caller is back before it is free.
        bench.revision.finishing.fetch_add(1, Ordering::Relaxed);
        let next = bench.offer();
        // Heard in one go: the start that is wanted in between is put off for longer.
        bench.released(0, last.0, true);
        bench.until("the start was not begun", |machine| machine.census().environments == 1).await;
        replies.push(std::mem::replace(&mut last, next).1);
    }
    for mut reply in replies {
        assert!(reply.try_recv().is_err(), "nobody was refused");
    }
    assert_eq!(bench.look(|machine| machine.admission().running()).await, 1);
}

#[tokio::test]
async fn a_late_offer_does_not_make_a_retired_revision_current_again() {
    let bench = bench(|_| ());
    let (first, _reply) = bench.offer();
    bench.ready(0);
    bench.revision.retire();
    bench.handle.order(Order::Retire(bench.revision.id));
    let (second, _other) = bench.offer();
    bench.ready(1);
    bench
        .until("both run", |machine| machine.census().environments == 2 && machine.census().waiting == 0)
        .await;
    bench.released(0, first, false);
    bench.released(1, second, false);
    bench.until("nothing runs", |machine| machine.admission().running() == 0).await;
    assert_eq!(bench.look(|machine| machine.census().idle).await, 0, "they go");
}

#[tokio::test]
async fn the_door_of_a_function_is_shut_while_its_reservation_is_used_up() {
    let bench = bench(|_| ());
    let function = bench.revision.function;
    let limits = |reserved| Order::Function { function, reserved: Some(reserved), idle_timeout: None };
    bench.handle.order(limits(1));
    let (first, _reply) = bench.offer();
    bench.ready(0);
    let door = &bench.revision.door;
    assert!(!door.is_shut(), "nobody was refused");
    let full = Refusal::Limit { reason: RESERVATION_FULL, retry_after: None };
    assert_eq!(refusal(bench.offer().1.await), full);
    assert!(door.is_shut());
    bench.released(0, first, false);
    bench.until("it is over", |machine| machine.admission().running() == 0).await;
    assert!(!door.is_shut(), "a permit has come back");
    let (_second, _running) = bench.offer();
    assert_eq!(refusal(bench.offer().1.await), full);
    bench.handle.order(limits(2));
    bench
        .until("more is reserved", |machine| machine.admission().reserved_of(FunctionId(1)) == Some(2))
        .await;
    assert!(!door.is_shut(), "the limit is another one");
    let (_third, _waiting) = bench.offer();
    assert_eq!(refusal(bench.offer().1.await), full);
    // One that dies gives its permit back, too.
    assert!(door.is_shut());
    bench.tell(Told::Died { environment: e(0) });
    bench.until("it is counted out", |machine| machine.admission().running() == 1).await;
    assert!(!door.is_shut());
}

#[tokio::test]
async fn what_is_in_flight_is_what_holds_a_permit() {
    let bench = bench(|_| ());
    let shown = async |all: u32, unreserved: u32| {
        crate::http::admin::read_concurrency(&bench.shared).await;
        let text = bench.shared.metrics.render();
        for (series, value) in
            [("hearth_concurrent_executions", all), ("hearth_unreserved_concurrent_executions", unreserved)]
        {
            assert!(text.contains(&format!("\n{series} {value}\n")), "{series} {value}: {text}");
        }
    };
    shown(0, 0).await;
    let (first, _first_reply) = bench.offer();
    let (second, _second_reply) = bench.offer();
    bench.ready(0);
    bench.until("one runs", |machine| machine.census().waiting == 1).await;
    // Who waits is in flight, too.
    shown(2, 2).await;
    let function = bench.revision.function;
    bench.handle.order(Order::Function { function, reserved: Some(5), idle_timeout: None });
    shown(2, 0).await;
    bench.released(0, first, false);
    bench.until("one is over", |machine| machine.admission().running() == 1).await;
    shown(1, 0).await;
    bench.released(0, second, false);
    bench.until("both are over", |machine| machine.admission().running() == 0).await;
    shown(0, 0).await;
}

#[tokio::test]
async fn a_function_with_nothing_in_flight_any_more_is_shown_with_nothing() {
    let bench = bench(|_| ());
    let metrics = &bench.shared.metrics;
    let _series = metrics.series(&bench.revision);
    for all in [2, 0] {
        let functions = if all > 0 { vec![("f".to_owned(), all)] } else { Vec::new() };
        metrics.in_flight(&crate::daemon::metrics::InFlight { all, unreserved: all, functions });
        let text = metrics.render();
        let line = format!("\nhearth_function_concurrent_executions{{function=\"f\"}} {all}\n");
        assert!(text.contains(&line), "{line}: {text}");
    }
}

#[tokio::test]
async fn the_series_of_a_deleted_function_go_and_do_not_come_back() {
    let bench = bench(|_| ());
    let metrics = &bench.shared.metrics;
    let count = |metrics: &Metrics| {
        metrics.series(&bench.revision).count(true);
        metrics.cold_start(&bench.revision);
        metrics.throttle(&bench.revision, RESERVATION_FULL);
        metrics.throttle(&bench.revision, Reason::ShuttingDown);
        metrics.spilled_over(&bench.revision);
        metrics.provisioned(&bench.revision);
    };
    count(metrics);
    assert!(metrics.render().contains("hearth_throttles_total{function=\"f\""));
    assert!(!metrics.render().contains("ShuttingDown"), "that is no throttle");
    bench.revision.retire();
    metrics.forget("f");
    count(metrics);
    let text = metrics.render();
    assert!(!text.contains("function=\"f\"") && text.contains("function=\"other\""), "{text}");
}
