//! Root trees that have come and that no function names yet: kept for a while, within a bound.
//!
//! Between the upload of a tree and the request that names it only this keeps the collector of unused code away.

use super::clock;
use crate::store::Pin;
use hearth_logic::Time;
use hearth_sandbox::Digest;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Trees kept at once; the one that came first goes first.
const OFFERS_MAX: usize = 64;
/// How long a tree is kept. Whoever waits longer sends it again.
const KEPT: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Default)]
pub(crate) struct Offers(Mutex<VecDeque<(Time, Pin)>>);

impl Offers {
    /// Keeps a tree.
    pub(crate) fn keep(&self, pin: Pin) {
        let mut kept = self.lock();
        kept.push_back((clock::now(), pin));
        if kept.len() > OFFERS_MAX {
            kept.pop_front();
        }
    }

    /// A function names this tree from now on: one who sent it has used it.
    pub(crate) fn take_up(&self, digest: Digest) {
        let mut kept = self.lock();
        if let Some(at) = kept.iter().position(|(_, pin)| pin.code().digest == digest) {
            kept.remove(at);
        }
    }

    /// Lets go of what has been kept for long enough.
    pub(crate) fn expire(&self, now: Time) {
        self.lock().retain(|(since, _)| now.since(*since) < KEPT);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Time, Pin)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Fixture;

    #[test]
    fn the_first_offer_goes_when_there_are_too_many() {
        let fixture = Fixture::new();
        let offers = Offers::default();
        let put = |number: usize| fixture.blobs.put(number.to_string().as_bytes()).expect("puts");
        let first = put(0).code().digest;
        for number in 0..=OFFERS_MAX {
            offers.keep(put(number));
        }
        assert_eq!(offers.lock().len(), OFFERS_MAX);
        assert!(!offers.lock().iter().any(|(_, pin)| pin.code().digest == first));
    }

    #[test]
    fn an_offer_ends_when_it_is_taken_up_or_with_its_time() {
        let fixture = Fixture::new();
        let offers = Offers::default();
        let put = || fixture.blobs.put(b"tree").expect("puts");
        let digest = put().code().digest;
        offers.keep(put());
        offers.keep(put());
        offers.take_up(digest);
        assert_eq!(offers.lock().len(), 1, "somebody else has sent it, too");
        offers.expire(clock::now());
        assert_eq!(offers.lock().len(), 1);
        offers.expire(clock::now().after(KEPT));
        assert!(offers.lock().is_empty());
    }
}
