//! The one interface of every deciding part.
//!
//! A machine decides and never does: `daemon/drive.rs` feeds it events and performs its actions, and the
//! simulator does the same in virtual time.

use crate::Time;

/// Decides; never does. Same inputs, same outputs.
///
/// Law: `now` never goes back, and `todo` is performed before the next `step`.
pub trait Machine {
    /// What can happen to the machine.
    type Event;
    /// What the machine wants done.
    type Action;
    /// Takes one event at `now` and appends what must be done, in order.
    fn step(&mut self, now: Time, event: Self::Event, todo: &mut Vec<Self::Action>);
    /// Does what has fallen due. After it, `wake_at` is in the future.
    fn elapse(&mut self, now: Time, todo: &mut Vec<Self::Action>);
    /// The earliest moment at which `elapse` would act.
    fn wake_at(&self) -> Option<Time>;
}
