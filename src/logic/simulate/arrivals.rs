//! When invocations come: moments of one function, one after the other, without end or until its steps are over.
//!
//! Knows rates and no clock. What was recorded elsewhere (traces) does not come from here.

use super::random::{Random, sine_of_turns};
use crate::Time;
use std::time::Duration;

/// Requests per second that a pattern may ask for.
pub const RATE_MAX: f64 = 1e6;
/// Steps of a pattern.
pub const STEPS_MAX: usize = 1_000;

/// How far apart invocations of a constant rate are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Evenly.
    Constant,
    /// At random (Poisson).
    Poisson,
}

/// A rate for a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// For how long.
    pub length: Duration,
    /// Requests per second.
    pub rate: f64,
}

/// When invocations come. Rates are in requests per second, from 0 to [`RATE_MAX`].
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// Every `1/rate` seconds, the first at `offset`.
    Constant {
        /// How often.
        rate: f64,
        /// When first.
        offset: Duration,
    },
    /// Independently of each other.
    Poisson {
        /// On average.
        rate: f64,
    },
    /// In bursts: gaps vary more than those of a Poisson process (hyperexponential, balanced means).
    Bursty {
        /// On average.
        rate: f64,
        /// Coefficient of variation of the gaps, from 1.
        variation: f64,
    },
    /// One rate after the other, then none.
    Steps {
        /// Which.
        steps: Vec<Step>,
        /// How each is spaced.
        spacing: Spacing,
    },
    /// A Poisson process whose rate follows a wave.
    Diurnal {
        /// On average.
        rate: f64,
        /// How far it swings, as a part of the rate, from 0 to 1.
        swing: f64,
        /// Length of the wave.
        period: Duration,
    },
}

impl Pattern {
    /// The same load, so many times over.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        let mut scaled = self.clone();
        match &mut scaled {
            Self::Constant { rate, .. }
            | Self::Poisson { rate }
            | Self::Bursty { rate, .. }
            | Self::Diurnal { rate, .. } => *rate *= factor,
            Self::Steps { steps, .. } => {
                for step in steps {
                    step.rate *= factor;
                }
            }
        }
        scaled
    }
}

/// The moments of one function.
#[derive(Clone, Debug)]
pub struct Arrivals {
    pattern: Pattern,
    random: Random,
    /// Moment of the last one, as far as drawn, and how many there were (since the step began).
    last: f64,
    count: u64,
    /// Which step, and when it began.
    step: usize,
    begun: f64,
}

const NANOS: f64 = 1e9;

impl Arrivals {
    /// Those of a pattern.
    #[must_use]
    pub const fn new(pattern: Pattern, random: Random) -> Self {
        Self { pattern, random, last: 0.0, count: 0, step: 0, begun: 0.0 }
    }

    fn poisson(&mut self, rate: f64) -> f64 {
        self.last += self.random.exponential() * NANOS / rate;
        self.last
    }

    fn bursty(&mut self, rate: f64, variation: f64) -> f64 {
        let square = variation * variation;
        let likely = 0.5 * (1.0 + ((square - 1.0) / (square + 1.0)).sqrt());
        let phase = if self.random.unit() < likely { likely } else { 1.0 - likely };
        self.poisson(2.0 * phase * rate)
    }

    /// By thinning: drawn at the highest rate, kept with the chance of the rate at that moment.
    fn diurnal(&mut self, rate: f64, swing: f64, period: f64) -> f64 {
        let highest = rate * (1.0 + swing);
        loop {
            let at = self.poisson(highest);
            let here = rate * (1.0 + swing * sine_of_turns(at / period));
            if self.random.unit() * highest < here || at > u64::MAX as f64 {
                return at;
            }
        }
    }

    fn in_steps(&mut self) -> Option<f64> {
        loop {
            let Pattern::Steps { steps, spacing } = &self.pattern else { return None };
            let (step, spacing) = (*steps.get(self.step)?, *spacing);
            let end = self.begun + step.length.as_nanos() as f64;
            if step.rate > 0.0 {
                let at = match spacing {
                    Spacing::Constant => {
                        self.count += 1;
                        self.begun + (self.count - 1) as f64 * NANOS / step.rate
                    }
                    Spacing::Poisson => self.poisson(step.rate),
                };
                if at < end {
                    return Some(at);
                }
            }
            // What was drawn beyond the end is forgotten: the next step begins anew, as a process without memory may.
            self.step += 1;
            (self.begun, self.last, self.count) = (end, end, 0);
        }
    }
}

impl Iterator for Arrivals {
    type Item = Time;

    fn next(&mut self) -> Option<Time> {
        let at = match self.pattern {
            Pattern::Constant { rate, .. }
            | Pattern::Poisson { rate }
            | Pattern::Bursty { rate, .. }
            | Pattern::Diurnal { rate, .. }
                if rate <= 0.0 =>
            {
                return None;
            }
            Pattern::Constant { rate, offset } => {
                self.count += 1;
                offset.as_nanos() as f64 + (self.count - 1) as f64 * NANOS / rate
            }
            Pattern::Poisson { rate } => self.poisson(rate),
            Pattern::Bursty { rate, variation } => self.bursty(rate, variation.max(1.0)),
            Pattern::Diurnal { rate, swing, period } => {
                self.diurnal(rate, swing, period.as_nanos().max(1) as f64)
            }
            Pattern::Steps { .. } => self.in_steps()?,
        };
        (at < u64::MAX as f64).then(|| Time::from_nanos(at.round() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Stream;
    use super::*;

    fn moments(pattern: Pattern, until_s: u64) -> Vec<u64> {
        let arrivals = Arrivals::new(pattern, Random::new(3, Stream::Arrivals, 0));
        let end = Time::ZERO.after(Duration::from_secs(until_s));
        let all: Vec<u64> = arrivals.take_while(|at| *at < end).map(Time::as_nanos).collect();
        assert!(all.is_sorted());
        all
    }

    fn variation(all: &[u64]) -> f64 {
        let gaps: Vec<f64> = all.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / gaps.len() as f64;
        variance.sqrt() / mean
    }

    #[test]
    fn a_constant_rate_comes_on_the_dot() {
        let all = moments(Pattern::Constant { rate: 3.0, offset: Duration::ZERO }, 2);
        assert_eq!(all, [0, 333_333_333, 666_666_667, 1_000_000_000, 1_333_333_333, 1_666_666_667]);
        let late = moments(Pattern::Constant { rate: 1.0, offset: Duration::from_millis(500) }, 2);
        assert_eq!(late, [500_000_000, 1_500_000_000]);
        assert!(moments(Pattern::Constant { rate: 0.0, offset: Duration::ZERO }, 2).is_empty());
    }

    #[test]
    fn random_processes_have_their_rate_and_their_variation() {
        let poisson = moments(Pattern::Poisson { rate: 50.0 }, 1_000);
        assert!(poisson.len().abs_diff(50_000) < 700 && (variation(&poisson) - 1.0).abs() < 0.03);
        let bursty = moments(Pattern::Bursty { rate: 50.0, variation: 3.0 }, 1_000);
        assert!(bursty.len().abs_diff(50_000) < 2_500, "{}", bursty.len());
        assert!((variation(&bursty) - 3.0).abs() < 0.2, "{}", variation(&bursty));
    }

    #[test]
    fn a_wave_has_its_mean_and_its_swing() {
        let period = Duration::from_secs(100);
        let all = moments(Pattern::Diurnal { rate: 100.0, swing: 0.5, period }, 1_000);
        assert!(all.len().abs_diff(100_000) < 1_500, "{}", all.len());
        let (high, low): (Vec<u64>, Vec<u64>) =
            all.iter().partition(|at| *at % 100_000_000_000 < 50_000_000_000);
        // Half waves: 1 ± 0.5 × 2/π.
        let ratio = high.len() as f64 / low.len() as f64;
        assert!((ratio - 1.318 / 0.682).abs() < 0.05, "{ratio}");
    }

    #[test]
    fn steps_follow_each_other_and_end() {
        let step = |secs, rate| Step { length: Duration::from_secs(secs), rate };
        let steps = vec![step(2, 1.0), step(3, 0.0), step(1, 4.0)];
        let all = moments(Pattern::Steps { steps: steps.clone(), spacing: Spacing::Constant }, 100);
        let ms: Vec<u64> = all.iter().map(|at| at / 1_000_000).collect();
        assert_eq!(ms, [0, 1_000, 5_000, 5_250, 5_500, 5_750]);
        let steps = steps.iter().map(|s| Step { rate: s.rate * 1_000.0, ..*s }).collect();
        let random = moments(Pattern::Steps { steps, spacing: Spacing::Poisson }, 100);
        let second = random.iter().filter(|at| **at >= 5_000_000_000).count();
        assert!(second.abs_diff(4_000) < 250 && (random.len() - second).abs_diff(2_000) < 200);
        assert!(!random.iter().any(|at| (2_000_000_000..5_000_000_000).contains(at)));
    }
}
