//! How long things take: constants, distributions, and what was measured.
//!
//! Draws and nothing else; whoever asks says what may not be exceeded.

use super::random::{Random, exp, ln};
use std::time::Duration;

/// Buckets of a histogram, and samples that are kept of what was measured.
pub const BUCKETS_MAX: usize = 1_000;
/// Measured values that are kept; of more, an even choice.
pub const SAMPLES_MAX: usize = 4_096;
/// The 99th percentile of a normal distribution.
const NORMAL_P99: f64 = 2.326_347_874_040_841;

/// A distribution of durations.
#[derive(Clone, Debug, PartialEq)]
pub enum Spread {
    /// Always the same.
    Constant(Duration),
    /// Evenly between two.
    Uniform {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// Exponential.
    Exponential {
        /// Mean.
        mean: Duration,
    },
    /// Lognormal: the usual shape of run times.
    Lognormal {
        /// Half are shorter.
        median: Duration,
        /// Deviation of the logarithm.
        sigma: f64,
    },
    /// A measured histogram.
    Histogram(Histogram),
    /// Measured values, each as likely as the others.
    Measured(Vec<Duration>),
}

impl Spread {
    /// A lognormal distribution with this median and this 99th percentile.
    #[must_use]
    pub fn lognormal(p50: Duration, p99: Duration) -> Self {
        let ratio = p99.as_secs_f64() / p50.as_secs_f64();
        Self::Lognormal { median: p50, sigma: ln(ratio) / NORMAL_P99 }
    }

    /// One of them.
    pub fn draw(&self, random: &mut Random) -> Duration {
        match self {
            Self::Constant(duration) => *duration,
            Self::Uniform { min, max } => between(*min, *max, random),
            Self::Exponential { mean } => scaled(*mean, random.exponential()),
            Self::Lognormal { median, sigma } => scaled(*median, exp(sigma * random.normal())),
            Self::Histogram(histogram) => histogram.draw(random),
            Self::Measured(samples) => {
                let at = usize::try_from(random.below(samples.len() as u64)).unwrap_or(0);
                samples.get(at).copied().unwrap_or_default()
            }
        }
    }
}

fn between(min: Duration, max: Duration, random: &mut Random) -> Duration {
    min + scaled(max.saturating_sub(min), random.unit())
}

/// Whole nanoseconds, saturating: a factor may be large.
fn scaled(duration: Duration, factor: f64) -> Duration {
    Duration::from_nanos((duration.as_nanos() as f64 * factor) as u64)
}

/// Counts between bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: Vec<Duration>,
    /// Running sums of the counts.
    sums: Vec<u64>,
}

/// Why bounds and counts are no histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHistogram {
    /// A count per bound.
    #[error("there must be as many counts as upper bounds, from 1 to 1,000")]
    Lengths,
    /// In order.
    #[error("the upper bounds must ascend")]
    Order,
    /// Something was measured.
    #[error("the counts must have a sum above 0 and below 2^63")]
    Empty,
}

impl Histogram {
    /// Buckets by their upper bounds (the first begins at 0), and how many were measured in each.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(bounds: Vec<Duration>, counts: &[u64]) -> Result<Self, NoHistogram> {
        if bounds.is_empty() || bounds.len() != counts.len() || bounds.len() > BUCKETS_MAX {
            return Err(NoHistogram::Lengths);
        }
        if bounds.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(NoHistogram::Order);
        }
        let mut sums = Vec::with_capacity(counts.len());
        let mut sum = 0_u64;
        for count in counts {
            sum = sum.checked_add(*count).filter(|sum| *sum < 1 << 63).ok_or(NoHistogram::Empty)?;
            sums.push(sum);
        }
        if sum == 0 { Err(NoHistogram::Empty) } else { Ok(Self { bounds, sums }) }
    }

    /// A bucket by its count, and evenly within it.
    fn draw(&self, random: &mut Random) -> Duration {
        let total = self.sums.last().copied().unwrap_or(1);
        let drawn = random.below(total);
        let bucket = self.sums.partition_point(|sum| *sum <= drawn);
        let lower = bucket.checked_sub(1).map_or(Duration::ZERO, |before| self.bounds[before]);
        between(lower, self.bounds[bucket], random)
    }
}

/// Values as they are measured, in bounded room: of many, each had the same chance to be kept.
#[derive(Clone, Debug)]
pub struct Reservoir {
    samples: Vec<Duration>,
    seen: u64,
    random: Random,
}

impl Reservoir {
    /// Empty.
    #[must_use]
    pub const fn new(random: Random) -> Self {
        Self { samples: Vec::new(), seen: 0, random }
    }

    /// One more.
    pub fn add(&mut self, value: Duration) {
        self.seen += 1;
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(value);
        } else if let Ok(at) = usize::try_from(self.random.below(self.seen))
            && let Some(place) = self.samples.get_mut(at)
        {
            *place = value;
        }
    }

    /// What was measured; none if nothing was.
    #[must_use]
    pub fn spread(&self) -> Option<Spread> {
        (!self.samples.is_empty()).then(|| Spread::Measured(self.samples.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Stream;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn draws(spread: &Spread) -> Vec<Duration> {
        let mut random = Random::new(5, Stream::Durations, 0);
        let mut all: Vec<Duration> = (0..20_000).map(|_| spread.draw(&mut random)).collect();
        all.sort();
        all
    }

    fn close(duration: Duration, ms: f64) -> bool {
        (duration.as_secs_f64() * 1e3 / ms - 1.0).abs() < 0.06
    }

    #[test]
    fn each_distribution_has_its_shape() {
        assert!(draws(&Spread::Constant(7 * MS)).iter().all(|d| *d == 7 * MS));
        let even = draws(&Spread::Uniform { min: 10 * MS, max: 20 * MS });
        assert!(even[0] >= 10 * MS && even[19_999] <= 20 * MS && close(even[10_000], 15.0));
        let exponential = draws(&Spread::Exponential { mean: 100 * MS });
        assert!(close(exponential[10_000], 69.3), "{:?}", exponential[10_000]);
        let lognormal = draws(&Spread::lognormal(50 * MS, 500 * MS));
        assert!(close(lognormal[10_000], 50.0) && (lognormal[19_800].as_millis()).abs_diff(500) < 60);
    }

    #[test]
    fn a_histogram_is_drawn_from_as_it_was_measured() {
        let histogram = Histogram::new(vec![10 * MS, 20 * MS, 40 * MS], &[1, 0, 3]).unwrap();
        let all = draws(&Spread::Histogram(histogram));
        assert!(all.iter().all(|d| *d <= 10 * MS || *d >= 20 * MS));
        let short = all.iter().filter(|d| **d <= 10 * MS).count();
        assert!((4_800..5_200).contains(&short), "{short}");
        assert!(all[19_999] <= 40 * MS);
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        assert_eq!(Histogram::new(vec![], &[]), Err(NoHistogram::Lengths));
        assert_eq!(Histogram::new(vec![MS], &[1, 2]), Err(NoHistogram::Lengths));
        assert_eq!(Histogram::new(vec![MS, MS], &[1, 2]), Err(NoHistogram::Order));
        assert_eq!(Histogram::new(vec![MS], &[0]), Err(NoHistogram::Empty));
        assert_eq!(Histogram::new(vec![MS, 2 * MS], &[u64::MAX, 1]), Err(NoHistogram::Empty));
    }

    #[test]
    fn a_reservoir_keeps_an_even_choice_in_bounded_room() {
        let mut reservoir = Reservoir::new(Random::new(1, Stream::Durations, 0));
        assert_eq!(reservoir.spread(), None);
        for ms in 0..40_000 {
            reservoir.add(ms * MS);
        }
        assert_eq!(reservoir.samples.len(), SAMPLES_MAX);
        let late = reservoir.samples.iter().filter(|d| **d >= 20_000 * MS).count();
        assert!((1_900..2_200).contains(&late), "{late}");
    }
}
