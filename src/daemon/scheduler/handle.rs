//! What is said to the scheduler's task, and the ends by which others say it.
//!
//! Nobody waits to be heard: an offer that finds no room comes back, all else stands in line (`lane.rs`).

use super::super::invoke::Invocation;
use super::super::lane::Lane;
use super::super::overview::Overview;
use super::super::revision::Revision;
use hearth_logic::{EnvironmentId, FunctionId, InvocationId, ProvisionedId, RevisionId, Scheduler};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Messages that wait for the scheduler; one more invocation is refused, everything else stands in line behind them.
const MESSAGES_MAX: usize = 16 * 1024;

/// What arrives at the scheduler.
pub(crate) enum Order {
    /// Run this.
    Offer(Box<Invocation>),
    /// An environment has something to tell.
    Told(Told),
    /// Limits of a function: no reservation means unreserved, no time-out that of all.
    Function { function: FunctionId, reserved: Option<u32>, idle_timeout: Option<Duration> },
    /// So many environments of each of these are kept ready from now on, for a version or alias; none: not any more.
    Provision { provisioned: ProvisionedId, function: FunctionId, parts: Vec<(Arc<Revision>, u32)> },
    /// The function is gone.
    FunctionGone(FunctionId),
    /// A newer revision serves from now on.
    Retire(RevisionId),
    /// What the machine feels.
    Pressure {
        /// Memory that environments use, MB.
        measured_mb: u64,
        /// Whether tasks stall for want of memory.
        stalled: bool,
    },
    /// No new work; answer when everything is gone.
    Drain(oneshot::Sender<()>),
    /// The grace is over.
    Stop,
    /// Somebody looks on.
    Survey(oneshot::Sender<Overview>),
    /// A start that was put off is due.
    Begin { environment: EnvironmentId, revision: RevisionId },
    /// An invocation that was held back is offered once more.
    OfferAgain(RevisionId, InvocationId),
    /// Revisions that are not needed any more are to be let go of; answer when they are.
    ForgetUnneeded(oneshot::Sender<()>),
    /// Somebody wants to read the machine as it is by now.
    Look(Box<dyn FnOnce(&Scheduler) + Send>),
}

/// What an environment tells.
pub(crate) enum Told {
    /// Its sandbox is made.
    Launched {
        /// Which environment.
        environment: EnvironmentId,
    },
    /// It takes an invocation.
    Ready {
        /// Which environment.
        environment: EnvironmentId,
    },
    /// It could not be made.
    StartFailed {
        /// Which environment.
        environment: EnvironmentId,
        /// Why.
        detail: String,
    },
    /// It has finished an invocation.
    Released {
        /// Which environment.
        environment: EnvironmentId,
        /// Which invocation.
        invocation: InvocationId,
        /// Whether it can take another one.
        reuse: bool,
        /// Set if its answer went out before: the revision that counts it as finishing.
        answered: Option<Arc<Revision>>,
    },
    /// It could not take an invocation, which did not run.
    GivenBack {
        /// Which environment.
        environment: EnvironmentId,
        /// What it was given.
        invocation: Box<Invocation>,
    },
    /// It takes nothing any more.
    Died {
        /// Which environment.
        environment: EnvironmentId,
    },
    /// Nothing of it is left.
    Destroyed {
        /// Which environment.
        environment: EnvironmentId,
    },
}

/// Handle to the scheduler's task.
#[derive(Clone)]
pub(crate) struct SchedulerHandle {
    orders: Lane<Order>,
    /// Whether functions without a reservation have used up what they share; a moment old.
    pub(super) is_full: Arc<AtomicBool>,
    /// Whether all that is asked of it is to be written down.
    pub(super) is_recorded: Arc<AtomicBool>,
}

/// The environments' side of the handle.
#[derive(Clone)]
pub(crate) struct EnvironmentHandle(SchedulerHandle);

impl EnvironmentHandle {
    /// Tells without waiting. What one environment tells is heard in that order.
    pub(crate) fn tell(&self, told: Told) {
        self.0.order(Order::Told(told));
    }
}

impl SchedulerHandle {
    /// Makes the queue; the task is started by `start`.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, inbox) = Lane::new(MESSAGES_MAX);
        (Self { orders, is_full: Arc::default(), is_recorded: Arc::default() }, inbox)
    }

    /// Hands an order over without waiting. What one sender orders is heard in that order.
    pub(crate) fn order(&self, order: Order) {
        self.orders.send(order);
    }

    /// The side that environments have.
    pub(in crate::daemon) fn of_environment(&self) -> EnvironmentHandle {
        EnvironmentHandle(self.clone())
    }

    /// Whether what is asked of the scheduler is recorded: nothing may be decided beside it then.
    pub(crate) fn is_recorded(&self) -> bool {
        self.is_recorded.load(Ordering::Relaxed)
    }

    /// Whether an invocation of a function without a reservation is sure to be throttled, as things stood a moment ago.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Reads the machine once it has heard all that was said before; `None` if the scheduler is gone.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Scheduler) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, wait) = oneshot::channel();
        // Who does not wait any more gets no answer.
        let order = Order::Look(Box::new(move |machine| drop(answer.send(look(machine)))));
        self.order(order);
        wait.await.ok()
    }

    /// Lets go of the revisions that nothing will be started of, as things are once it has heard what was said before.
    pub(crate) async fn forget_unneeded(&self) {
        let (done, wait) = oneshot::channel();
        self.order(Order::ForgetUnneeded(done));
        // Without a scheduler nothing is held any more.
        wait.await.ok();
    }

    /// Offers an invocation; gives it back if the queue is full or the scheduler is gone.
    pub(crate) fn offer(&self, invocation: Box<Invocation>) -> Result<(), Box<Invocation>> {
        self.orders.offer(Order::Offer(invocation)).map_err(|order| match order {
            Order::Offer(back) => back,
            _ => unreachable!("only an offer was sent"),
        })
    }
}
