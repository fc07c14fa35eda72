//! A made-up population of functions with the published marginals of a large public cloud (Azure Functions, 2019).
//!
//! Invocations per day by quantile of functions: 10 % 0.14, 25 % 0.85, 50 % 5.2, 75 % 125, 90 % 1,190, 95 % 3,790,
//! 98 % 24.9 k, 99 % 97.6 k; the top 0.1 % make 67 % of all, the top 1 % 92 %. Mean execution time: 5 % 28 ms, 25 % 220 ms,
//! 50 % 0.94 s, 75 % 4.2 s, 90 % 22 s, 99 % 4.5 min. Memory: 5 % 97 MB, 50 % 140, 75 % 187, 90 % 222, 99 % 544. Gaps vary
//! no more than those of a Poisson process for 57 %; 16 % are timers, exactly periodic. A day swings by 15 %.
//!
//! Quantiles are met by stratifying; between them the logarithm is interpolated. What is not published is chosen here and
//! said where it stands.

use super::arrivals::Pattern;
use super::random::{Random, Stream, exp, ln};
use super::spread::Spread;
use super::workload::Function;
use crate::limits::{MEMORY_MAX_MB, MEMORY_MIN_MB, TIMEOUT_MAX};
use std::time::Duration;

/// Invocations per day. The last two points follow from the shares of the top: log-linear between 99 % and 99.9 % and up
/// to the busiest, they make 25 % and 67 % of all invocations.
const PER_DAY: [(f64, f64); 11] = [
    (0.0, 0.03),
    (0.10, 0.14),
    (0.25, 0.85),
    (0.50, 5.2),
    (0.75, 125.0),
    (0.90, 1_190.0),
    (0.95, 3_790.0),
    (0.98, 24_900.0),
    (0.99, 97_600.0),
    (0.999, 940_000.0),
    (1.0, 32_500_000.0),
];
/// Mean execution time, milliseconds. The ends are ours.
const MEAN_MS: [(f64, f64); 8] = [
    (0.0, 5.0),
    (0.05, 28.0),
    (0.25, 220.0),
    (0.50, 940.0),
    (0.75, 4_200.0),
    (0.90, 22_000.0),
    (0.99, 270_000.0),
    (1.0, 900_000.0),
];
/// Memory, MB. The ends are ours.
const MEMORY_MB: [(f64, f64); 7] =
    [(0.0, 64.0), (0.05, 97.0), (0.50, 140.0), (0.75, 187.0), (0.90, 222.0), (0.99, 544.0), (1.0, 1_024.0)];
const DAY: Duration = Duration::from_secs(86_400);
const SECONDS_PER_DAY: f64 = 86_400.0;
/// Of a day's curve.
const SWING: f64 = 0.15;
/// Share of timers, and how often one fires at most: once a minute is the usual shortest period.
const TIMERS: f64 = 0.16;
const TIMER_PER_DAY_MAX: f64 = 1_440.0;
/// Share of functions whose gaps vary more than those of a Poisson process, and by how much (ours).
const BURSTY: f64 = 0.43;
const BURSTY_VARIATION: f64 = 3.0;
/// Deviation of the logarithm of one function's durations (ours).
const DURATION_SIGMA: f64 = 0.5;
/// API-like loads are so much shorter.
const API_FACTOR: f64 = 0.1;

/// What population is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    /// Functions.
    pub functions: usize,
    /// Requests per second of all together; `None` leaves the published rates.
    pub rate: Option<f64>,
    /// Execution times of APIs: a tenth of the published ones.
    pub api_like: bool,
    /// How long initialisation takes (not published).
    pub init: Spread,
}

impl Population {
    /// The functions, named `synthetic-0` and so on, the same for the same seed.
    #[must_use]
    pub fn functions(&self, seed: u64) -> Vec<Function> {
        let mut random = Random::new(seed, Stream::Population, 0);
        let mut quantiles = |_| stratified(self.functions, &mut random);
        let [rates, times, memories] = [(); 3].map(&mut quantiles);
        let rates: Vec<f64> = rates.iter().map(|q| at(&PER_DAY, *q) / SECONDS_PER_DAY).collect();
        let total: f64 = rates.iter().sum();
        let factor = self.rate.map_or(1.0, |rate| rate / total);
        let slow = if self.api_like { API_FACTOR } else { 1.0 };
        let mut functions = Vec::with_capacity(self.functions);
        for (index, rate) in rates.iter().enumerate() {
            let mean_ms = at(&MEAN_MS, times[index]) * slow;
            // The mean of a lognormal distribution is its median × e^(σ²/2).
            let median_ms = mean_ms / exp(DURATION_SIGMA * DURATION_SIGMA / 2.0);
            let memory_mb = at(&MEMORY_MB, memories[index]).round() as u32;
            functions.push(Function {
                name: format!("synthetic-{index}"),
                memory_mb: memory_mb.clamp(MEMORY_MIN_MB, MEMORY_MAX_MB),
                timeout: TIMEOUT_MAX,
                arrivals: Some(pattern(*rate, &mut random).times(factor)),
                duration: Spread::Lognormal {
                    median: Duration::from_nanos((median_ms * 1e6) as u64),
                    sigma: DURATION_SIGMA,
                },
                init: self.init.clone(),
                ..Function::default()
            });
        }
        functions
    }
}

/// How a function of this rate is called.
fn pattern(rate: f64, random: &mut Random) -> Pattern {
    let (drawn, phase) = (random.unit(), random.unit());
    let is_slow = rate * SECONDS_PER_DAY <= TIMER_PER_DAY_MAX;
    // Nine functions in ten are slow enough for a timer; the share is one of all.
    if is_slow && drawn < TIMERS / 0.91 {
        let offset = Duration::from_nanos((phase / rate * 1e9) as u64);
        return Pattern::Constant { rate, offset };
    }
    if random.unit() < BURSTY / (1.0 - TIMERS) {
        return Pattern::Bursty { rate, variation: BURSTY_VARIATION };
    }
    Pattern::Diurnal { rate, swing: SWING, period: DAY }
}

/// So many quantiles, evenly spread, in random order.
fn stratified(count: usize, random: &mut Random) -> Vec<f64> {
    let mut quantiles: Vec<f64> = (0..count).map(|at| (at as f64 + 0.5) / count as f64).collect();
    for at in (1..count).rev() {
        let other = usize::try_from(random.below(at as u64 + 1)).unwrap_or(at);
        quantiles.swap(at, other);
    }
    quantiles
}

/// The value at a quantile.
fn at(points: &[(f64, f64)], quantile: f64) -> f64 {
    let above = points.partition_point(|(q, _)| *q < quantile).clamp(1, points.len() - 1);
    let ((q0, v0), (q1, v1)) = (points[above - 1], points[above]);
    let part = ((quantile - q0) / (q1 - q0)).clamp(0.0, 1.0);
    exp(ln(v0) * (1.0 - part) + ln(v1) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(function: &Function) -> f64 {
        match function.arrivals {
            Some(
                Pattern::Constant { rate, .. } | Pattern::Bursty { rate, .. } | Pattern::Diurnal { rate, .. },
            ) => rate,
            _ => 0.0,
        }
    }

    fn population(rate: Option<f64>) -> Vec<Function> {
        let init = Spread::Constant(Duration::from_millis(200));
        Population { functions: 20_000, rate, api_like: false, init }.functions(1)
    }

    #[test]
    fn the_few_busiest_make_nearly_all_invocations() {
        let mut rates: Vec<f64> = population(None).iter().map(rate).collect();
        rates.sort_by(f64::total_cmp);
        let total: f64 = rates.iter().sum();
        let top = |n: usize| rates[20_000 - n..].iter().sum::<f64>() / total;
        assert!((top(20) - 0.67).abs() < 0.05, "0.1 %: {}", top(20));
        assert!((top(200) - 0.92).abs() < 0.02, "1 %: {}", top(200));
        let median = rates[10_000] * SECONDS_PER_DAY;
        assert!((median / 5.2 - 1.0).abs() < 0.05, "{median}");
    }

    #[test]
    fn shares_times_and_memory_are_the_published_ones() {
        let functions = population(None);
        let share = |is: fn(&Pattern) -> bool| {
            functions.iter().filter(|f| f.arrivals.as_ref().is_some_and(is)).count() as f64 / 20_000.0
        };
        assert!((share(|p| matches!(p, Pattern::Constant { .. })) - 0.16).abs() < 0.01);
        assert!((share(|p| matches!(p, Pattern::Bursty { .. })) - 0.43).abs() < 0.02);
        let mut memories: Vec<u32> = functions.iter().map(|f| f.memory_mb).collect();
        memories.sort_unstable();
        assert_eq!((memories[10_000], memories[15_000]), (140, 187));
    }

    #[test]
    fn a_wanted_rate_is_met_and_a_seed_has_one_population() {
        let total: f64 = population(Some(250.0)).iter().map(rate).sum();
        assert!((total - 250.0).abs() < 1e-6, "{total}");
        assert_eq!(population(None), population(None));
    }
}
