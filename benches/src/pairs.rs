//! Interleaved pairs: ours, theirs, ours, theirs. Machines are shared and noisy; two measurements that lie beside each
//! other in time share the noise, so the ratio within a pair means something where two averages would not.

use crate::control::Control;
use crate::error::Fault;
use crate::process;
use crate::stats::{Spread, median};

/// Pairs at the start that are thrown away: caches, page tables and connections warm up.
pub(crate) const DISCARDED: usize = 3;

/// One side of a row, set up and ready to be measured again and again.
pub(crate) trait Side {
    /// Does the row's work once and leaves nothing running.
    ///
    /// # Errors
    /// When the work did not succeed: a failed operation is never counted as a fast one.
    fn measure(&mut self) -> Result<Sample, Fault>;
}

/// What one side of one pair took.
pub(crate) struct Sample {
    /// Latency of each operation, microseconds.
    pub(crate) latencies_us: Vec<f64>,
    /// From the first request to the last answer, microseconds.
    pub(crate) wall_us: f64,
    /// CPU time of the measured processes, microseconds.
    pub(crate) cpu_us: f64,
}

/// A sample of each side, measured one after the other.
pub(crate) struct Pair {
    /// Hearth's.
    pub(crate) ours: Sample,
    /// The comparator's.
    pub(crate) theirs: Sample,
}

/// What a row compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistic {
    /// Median latency of the operations: less is better.
    Latency,
    /// Operations per second: more is better.
    Throughput,
}

impl Statistic {
    /// This statistic of a sample: microseconds, or operations per second.
    #[expect(clippy::cast_precision_loss, reason = "batches are far below 2^52 operations")]
    pub(crate) fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Latency => median(&sample.latencies_us),
            Self::Throughput => sample.latencies_us.len() as f64 / sample.wall_us * 1e6,
        }
    }

    /// Ours over theirs for each pair.
    pub(crate) fn ratios(self, pairs: &[Pair]) -> Vec<f64> {
        pairs.iter().map(|pair| self.of(&pair.ours) / self.of(&pair.theirs)).collect()
    }

    /// Whether `ratio` is on the good side of `bound`.
    pub(crate) fn meets(self, ratio: f64, bound: f64) -> bool {
        match self {
            Self::Latency => ratio <= bound,
            Self::Throughput => ratio >= bound,
        }
    }
}

/// CPU time per operation of one side over all pairs, microseconds.
#[expect(clippy::cast_precision_loss, reason = "batches are far below 2^52 operations")]
pub(crate) fn cpu_us_per_operation<'a>(samples: impl Iterator<Item = &'a Sample>) -> f64 {
    let (cpu, count) =
        samples.fold((0.0, 0), |(cpu, count), one| (cpu + one.cpu_us, count + one.latencies_us.len()));
    cpu / count.max(1) as f64
}

/// Measures `count` pairs after the discarded ones, a control before each.
///
/// # Errors
/// The first that either side meets.
pub(crate) fn measure(
    ours: &mut dyn Side,
    theirs: &mut dyn Side,
    control: &mut Control,
    count: usize,
) -> Result<Vec<Pair>, Fault> {
    let mut pairs = Vec::new();
    for round in 0..DISCARDED + count {
        if process::is_interrupted() {
            return Err(Fault::Interrupted);
        }
        control.once()?;
        let pair = Pair { ours: ours.measure()?, theirs: theirs.measure()? };
        if round >= DISCARDED {
            pairs.push(pair);
        }
    }
    Ok(pairs)
}

/// Median and range of the pair ratios; `None` without pairs.
pub(crate) fn ratio(statistic: Statistic, pairs: &[Pair]) -> Option<Spread> {
    Spread::of(&statistic.ratios(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(latencies_us: &[f64], wall_us: f64) -> Sample {
        Sample { latencies_us: latencies_us.to_vec(), wall_us, cpu_us: 10.0 }
    }

    struct Counting(usize);

    impl Side for Counting {
        fn measure(&mut self) -> Result<Sample, Fault> {
            self.0 += 1;
            Ok(sample(&[f64::from(u32::try_from(self.0).expect("few"))], 1.0))
        }
    }

    #[test]
    fn the_first_pairs_are_measured_and_thrown_away() {
        let (mut ours, mut theirs) = (Counting(0), Counting(0));
        let mut control = Control::new("/bin/true".into());
        let pairs = measure(&mut ours, &mut theirs, &mut control, 2).expect("nothing can fail");
        assert_eq!((ours.0, theirs.0, control.mark()), (5, 5, 5));
        assert_eq!(pairs[0].ours.latencies_us, [4.0]);
    }

    #[test]
    fn less_latency_and_more_throughput_are_better() {
        let pairs = [Pair { ours: sample(&[2.0, 4.0], 8.0), theirs: sample(&[1.0, 2.0], 4.0) }];
        assert_eq!(Statistic::Latency.ratios(&pairs), [2.0]);
        assert_eq!(Statistic::Throughput.ratios(&pairs), [0.5]);
        assert!(Statistic::Latency.meets(1.2, 1.25) && !Statistic::Latency.meets(1.3, 1.25));
        assert!(Statistic::Throughput.meets(0.9, 0.6) && !Statistic::Throughput.meets(0.5, 0.6));
    }

    #[test]
    fn cpu_time_is_shared_among_all_operations() {
        let samples = [sample(&[1.0, 1.0], 1.0), sample(&[1.0, 1.0], 1.0)];
        assert!((cpu_us_per_operation(samples.iter()) - 5.0).abs() < 1e-9);
    }
}
