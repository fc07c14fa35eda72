//! Lambda's artificial rates: how fast functions may grow, and how many requests per second they may get.
//!
//! Decides whether one more start or request is within its rate, and when the next one would be. It starts nothing and
//! refuses nothing: `scheduler` does. Concurrency itself is `admission`'s. Rates of Lambda's caller-side API are not here.

use crate::{FunctionId, ProvisionedId, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How fast environments may be added on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scaling {
    /// As fast as the machine can.
    #[default]
    Unlimited,
    /// Each function has a bucket of its own (Lambda since November 2023).
    PerFunction {
        /// Environments that may come at once; full at the beginning.
        burst: u32,
        /// How fast that is refilled.
        per_minute: u32,
    },
    /// All functions share one bucket (Lambda before).
    Classic {
        /// Environments that may come at once; full at the beginning.
        burst: u32,
        /// How fast that is refilled.
        per_minute: u32,
    },
}

impl Scaling {
    /// Lambda's: 1,000 environments per 10 seconds and function, without saving up.
    pub const PER_FUNCTION: Self = Self::PerFunction { burst: 1_000, per_minute: 6_000 };
    /// Lambda's old one in its large regions; small ones had a burst of 500 or 1,000.
    pub const CLASSIC: Self = Self::Classic { burst: 3_000, per_minute: 500 };

    const fn rate(self) -> Option<Rate> {
        match self {
            Self::Unlimited => None,
            Self::PerFunction { burst, per_minute } | Self::Classic { burst, per_minute } => {
                Some(Rate { burst: burst as u64, per_minute: per_minute as u64 })
            }
        }
    }
}

/// Which of the rates was exceeded: what Lambda's `Reason` does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Exceeded {
    /// That at which environments may be added: [`Scaling`].
    Scaling,
    /// That of synchronous requests, so many a second for each unit of concurrency.
    Requests,
}

impl Exceeded {
    /// One word, as programs read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scaling => "scaling",
            Self::Requests => "requests",
        }
    }
}

/// What a bucket holds and gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    burst: u64,
    per_minute: u64,
}

impl Rate {
    /// One second's worth at once.
    pub(crate) const fn per_second(n: u64) -> Self {
        Self { burst: n, per_minute: n.saturating_mul(60) }
    }
}

/// Nanoseconds of a minute: at one token per minute, this many drops fall until there is one.
const TOKEN: u128 = 60_000_000_000;

/// A bucket that starts full. What is missing is kept, not what is there: another capacity then needs no conversion.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    missing: u128,
    at: Time,
    per_minute: u64,
}

impl Bucket {
    fn missing(&self, now: Time) -> u128 {
        self.missing.saturating_sub(now.since(self.at).as_nanos() * u128::from(self.per_minute))
    }

    /// How long until there is a token, `None` if there never will be; zero if there is one.
    fn wait(&self, now: Time, rate: Rate) -> Option<Duration> {
        let full = u128::from(rate.burst) * TOKEN;
        let lack = (self.missing(now) + TOKEN).saturating_sub(full);
        if lack == 0 {
            return Some(Duration::ZERO);
        }
        if rate.burst == 0 || rate.per_minute == 0 {
            return None;
        }
        let nanos = lack.div_ceil(u128::from(rate.per_minute));
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn take(&mut self, now: Time, rate: Rate) {
        *self = Self { missing: self.missing(now) + TOKEN, at: now, per_minute: rate.per_minute };
    }

    fn give_back(&mut self, now: Time) {
        *self = Self { missing: self.missing(now).saturating_sub(TOKEN), at: now, ..*self };
    }
}

/// Who is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whose {
    /// All that have no bucket of their own.
    Shared,
    /// One function.
    Function(FunctionId),
    /// Who comes by a qualifier with provisioned concurrency.
    Provisioned(ProvisionedId),
}

/// Buckets by their owners; one that has filled up again is forgotten sooner or later.
#[derive(Debug, Default)]
struct Buckets {
    shared: Bucket,
    own: BTreeMap<Whose, Bucket>,
    sweep_at: usize,
}

const SWEEP_AT_MIN: usize = 64;

impl Buckets {
    fn look(&self, whose: Whose) -> Bucket {
        match whose {
            Whose::Shared => self.shared,
            Whose::Function(_) | Whose::Provisioned(_) => self.own.get(&whose).copied().unwrap_or_default(),
        }
    }

    fn take(&mut self, now: Time, whose: Whose, rate: Rate) {
        if whose == Whose::Shared {
            return self.shared.take(now, rate);
        }
        self.own.entry(whose).or_default().take(now, rate);
        // Doubling with what is left keeps the sweeps' share in a step constant.
        if self.own.len() > self.sweep_at.max(SWEEP_AT_MIN) {
            self.own.retain(|_, bucket| bucket.missing(now) > 0);
            self.sweep_at = self.own.len() * 2;
        }
    }

    fn give_back(&mut self, now: Time, whose: Whose) {
        match whose {
            Whose::Shared => self.shared.give_back(now),
            Whose::Function(_) | Whose::Provisioned(_) => {
                if let Some(bucket) = self.own.get_mut(&whose) {
                    bucket.give_back(now);
                }
            }
        }
    }
}

/// All rates of the account.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    starts: Buckets,
    requests: Buckets,
}

/// Too fast; when it may go on, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooFast(pub(crate) Option<Duration>);

const fn owner(function: FunctionId, scaling: Scaling) -> Whose {
    match scaling {
        Scaling::Unlimited | Scaling::Classic { .. } => Whose::Shared,
        Scaling::PerFunction { .. } => Whose::Function(function),
    }
}

impl Rates {
    /// Takes the right to start one environment.
    pub(crate) fn claim_start(
        &mut self,
        now: Time,
        function: FunctionId,
        scaling: Scaling,
    ) -> Result<(), TooFast> {
        let Some(rate) = scaling.rate() else { return Ok(()) };
        let whose = owner(function, scaling);
        match self.starts.look(whose).wait(now, rate) {
            Some(Duration::ZERO) => {
                self.starts.take(now, whose, rate);
                Ok(())
            }
            wait => Err(TooFast(wait)),
        }
    }

    /// The start was not needed after all.
    pub(crate) fn return_start(&mut self, now: Time, function: FunctionId, scaling: Scaling) {
        if scaling.rate().is_some() {
            self.starts.give_back(now, owner(function, scaling));
        }
    }

    /// Whether one more request is within the rate.
    pub(crate) fn may_request(&self, now: Time, whose: Whose, rate: Rate) -> Result<(), TooFast> {
        match self.requests.look(whose).wait(now, rate) {
            Some(Duration::ZERO) => Ok(()),
            wait => Err(TooFast(wait)),
        }
    }

    /// Counts one.
    pub(crate) fn count_request(&mut self, now: Time, whose: Whose, rate: Rate) {
        self.requests.take(now, whose, rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F: FunctionId = FunctionId(1);
    const G: FunctionId = FunctionId(2);

    fn at(millis: u64) -> Time {
        Time::from_nanos(millis * 1_000_000)
    }

    fn grow(rates: &mut Rates, now: Time, function: FunctionId, scaling: Scaling, wanted: u32) -> u32 {
        (0..wanted).map(|_| u32::from(rates.claim_start(now, function, scaling).is_ok())).sum()
    }

    #[test]
    fn a_function_grows_by_a_thousand_at_once_and_then_by_a_hundred_a_second() {
        let mut rates = Rates::default();
        let scaling = Scaling::PER_FUNCTION;
        assert_eq!(grow(&mut rates, at(0), F, scaling, 5_000), 1_000);
        assert_eq!(rates.claim_start(at(0), F, scaling), Err(TooFast(Some(Duration::from_millis(10)))));
        assert_eq!(rates.claim_start(at(4), F, scaling), Err(TooFast(Some(Duration::from_millis(6)))));
        assert_eq!(grow(&mut rates, at(1_000), F, scaling, 5_000), 100);
        assert_eq!(grow(&mut rates, at(1_000), G, scaling, 5_000), 1_000, "each has its own");
        // Nothing is saved up: an hour later there are a thousand again.
        assert_eq!(grow(&mut rates, at(3_600_000), F, scaling, 5_000), 1_000);
    }

    #[test]
    fn the_classic_burst_is_shared_by_all() {
        let mut rates = Rates::default();
        assert_eq!(grow(&mut rates, at(0), F, Scaling::CLASSIC, 2_000), 2_000);
        assert_eq!(grow(&mut rates, at(0), G, Scaling::CLASSIC, 2_000), 1_000);
        assert_eq!(grow(&mut rates, at(60_000), F, Scaling::CLASSIC, 2_000), 500);
    }

    #[test]
    fn a_start_that_was_not_needed_may_be_had_again() {
        let mut rates = Rates::default();
        let scaling = Scaling::PerFunction { burst: 1, per_minute: 0 };
        assert_eq!(rates.claim_start(at(0), F, scaling), Ok(()));
        assert_eq!(rates.claim_start(at(0), F, scaling), Err(TooFast(None)));
        rates.return_start(at(0), F, scaling);
        assert_eq!(rates.claim_start(at(0), F, scaling), Ok(()));
        assert_eq!(grow(&mut rates, at(0), F, Scaling::Unlimited, 7), 7);
    }

    #[test]
    fn a_capacity_of_nothing_gives_nothing() {
        let mut rates = Rates::default();
        let scaling = Scaling::PerFunction { burst: 0, per_minute: 60 };
        assert_eq!(rates.claim_start(at(9), F, scaling), Err(TooFast(None)));
        assert_eq!(rates.may_request(at(9), Whose::Function(F), Rate::per_second(0)), Err(TooFast(None)));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let mut rates = Rates::default();
        for n in 0..10_000 {
            // Each is full again long before the next.
            rates.claim_start(at(n * 1_000), FunctionId(n), Scaling::PER_FUNCTION).unwrap();
        }
        assert!(rates.starts.own.len() <= SWEEP_AT_MIN + 1, "{}", rates.starts.own.len());
    }
}
