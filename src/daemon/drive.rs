//! The one loop of all drivers: awaits the next event or `wake_at`, asks the machine, performs its actions.
//!
//! `perform` must not await: it spawns or uses a bounded `try_send`; what comes of it returns as an event.

use super::clock;
use hearth_logic::Machine;
use tokio::sync::mpsc::Receiver;

/// The doing side of a machine.
pub(crate) trait Driver {
    /// The machine that decides.
    type Machine: Machine;
    /// What arrives from outside; turned into events by `admit`.
    type Message;

    /// The machine.
    fn machine(&mut self) -> &mut Self::Machine;
    /// Takes what the message carries and names the event for the machine; `None` if it does not concern it.
    fn admit(&mut self, message: Self::Message) -> Option<<Self::Machine as Machine>::Event>;
    /// Does one action now, without waiting; may leave an event to be fed next.
    fn perform(
        &mut self,
        action: <Self::Machine as Machine>::Action,
    ) -> Option<<Self::Machine as Machine>::Event>;
    /// Called after all actions of a step are done.
    fn settled(&mut self) {}
    /// True when the loop has nothing left to do.
    fn is_done(&self) -> bool;
}

/// Runs a machine until it is done or nobody can send to it any more.
pub(crate) async fn drive<D: Driver>(driver: &mut D, inbox: &mut Receiver<D::Message>) {
    let mut todo = Todo { actions: Vec::new(), batch: Vec::new(), events: Vec::new() };
    // One timer for the life of the loop: deadlines mostly move away before they are due, and setting a timer for each
    // of them cost more than finding out, at the earlier one, that nothing is due yet.
    let timer = tokio::time::sleep_until(clock::instant(clock::now()));
    tokio::pin!(timer);
    let mut armed = None;
    while !driver.is_done() {
        let wake = driver.machine().wake_at();
        if let Some(at) = wake
            && armed.is_none_or(|armed| at < armed)
        {
            timer.as_mut().reset(clock::instant(at));
            armed = Some(at);
        }
        let message = tokio::select! {
            biased;
            message = inbox.recv() => message,
            () = &mut timer, if armed.is_some() => {
                armed = None;
                if wake.is_some_and(|at| at <= clock::now()) {
                    elapse(driver, &mut todo);
                }
                continue;
            }
        };
        let Some(message) = message else { return };
        let now = clock::now();
        if let Some(event) = driver.admit(message) {
            driver.machine().step(now, event, &mut todo.actions);
            settle(driver, &mut todo);
        }
        // Messages come first, but a full inbox must not starve what has fallen due.
        if wake.is_some_and(|at| at <= now) {
            elapse(driver, &mut todo);
        }
    }
}

/// What a machine has asked for, with the room for it kept between steps.
struct Todo<M: Machine> {
    actions: Vec<M::Action>,
    batch: Vec<M::Action>,
    events: Vec<M::Event>,
}

fn elapse<D: Driver>(driver: &mut D, todo: &mut Todo<D::Machine>) {
    driver.machine().elapse(clock::now(), &mut todo.actions);
    settle(driver, todo);
}

/// Performs all actions in order, then feeds the events they led to, until there are none.
fn settle<D: Driver>(driver: &mut D, todo: &mut Todo<D::Machine>) {
    while !todo.actions.is_empty() {
        std::mem::swap(&mut todo.actions, &mut todo.batch);
        todo.events.extend(todo.batch.drain(..).filter_map(|action| driver.perform(action)));
        for event in todo.events.drain(..) {
            driver.machine().step(clock::now(), event, &mut todo.actions);
        }
    }
    driver.settled();
}
