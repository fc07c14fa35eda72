//! Calls that are offered twice: the daemon holds one back for a moment that a limit refuses while a permit is on its way,
//! and offers it again under its number.
//!
//! Remembers what was known of each call for as long as it may come again, and no longer: memory is bounded by the calls of
//! that time.

use crate::{InvocationId, Time};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Longer than a daemon holds back, however busy it is.
const AGAIN_MAX: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub(super) struct Recent<T> {
    known: BTreeMap<InvocationId, T>,
    order: VecDeque<(Time, InvocationId)>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<T> Recent<T> {
    /// Remembers something of a call.
    pub(super) fn keep(&mut self, now: Time, invocation: InvocationId, what: T) {
        while let Some((at, old)) = self.order.front().copied()
            && at.after(AGAIN_MAX) < now
        {
            self.known.remove(&old);
            self.order.pop_front();
        }
        self.order.push_back((now, invocation));
        self.known.insert(invocation, what);
    }

    /// What was known of it, if it has come before: a call comes twice at most.
    pub(super) fn take(&mut self, invocation: InvocationId) -> Option<T> {
        self.known.remove(&invocation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_long_ago_is_forgotten_and_what_was_a_moment_ago_told_once() {
        let mut recent = Recent::default();
        let at = |ms| Time::ZERO.after(Duration::from_millis(ms));
        for n in 0..10_000 {
            recent.keep(at(n), InvocationId(n), n);
        }
        assert!(recent.known.len() <= 2_002 && recent.order.len() <= 2_002);
        assert_eq!(recent.take(InvocationId(0)), None);
        assert_eq!(recent.take(InvocationId(9_990)), Some(9_990));
        assert_eq!(recent.take(InvocationId(9_990)), None);
    }
}
