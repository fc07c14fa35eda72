//! The control: starting and waiting for a static program that does nothing, between the pairs of every row. When it
//! varies, the machine varied, and the run says so.

use crate::clock;
use crate::error::Fault;
use crate::stats::median;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A control that differs by more than this between the halves of a run makes its figures doubtful.
const DRIFT_MAX: f64 = 2.0;

/// All controls of a run.
pub(crate) struct Control {
    program: PathBuf,
    samples_us: Vec<f64>,
}

/// What they say.
pub(crate) struct Verdict {
    /// How many there were.
    pub(crate) samples: usize,
    /// Their median, microseconds.
    pub(crate) median_us: f64,
    /// Medians of the first and the second half.
    pub(crate) halves_us: (f64, f64),
}

impl Verdict {
    /// The greater half over the smaller.
    pub(crate) fn drift(&self) -> f64 {
        let (first, second) = self.halves_us;
        let least = first.min(second);
        if least > 0.0 { first.max(second) / least } else { 1.0 }
    }

    /// Whether the machine changed too much for the figures to be trusted.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.drift() > DRIFT_MAX
    }
}

impl Control {
    /// Nothing measured yet.
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program, samples_us: Vec::new() }
    }

    /// How many controls there were so far: the mark from which [`Control::since`] counts.
    pub(crate) fn mark(&self) -> usize {
        self.samples_us.len()
    }

    /// Starts the program and waits for its end.
    ///
    /// # Errors
    /// When it does not start or does not succeed.
    pub(crate) fn once(&mut self) -> Result<(), Fault> {
        let mut command = Command::new(&self.program);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = clock::now();
        let status =
            command.status().map_err(|source| Fault::Spawn { program: self.program.clone(), source })?;
        self.samples_us.push(clock::us_since(start));
        if status.success() {
            return Ok(());
        }
        Err(Fault::NotReady { program: "the control", said: status.to_string() })
    }

    /// What the controls since `mark` say.
    pub(crate) fn since(&self, mark: usize) -> Verdict {
        let samples = self.samples_us.get(mark..).unwrap_or_default();
        let (first, second) = samples.split_at(samples.len() / 2);
        Verdict {
            samples: samples.len(),
            median_us: median(samples),
            halves_us: (median(first), median(second)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[f64]) -> Verdict {
        Control { program: PathBuf::new(), samples_us: samples.to_vec() }.since(0)
    }

    #[test]
    fn a_machine_that_became_three_times_slower_is_doubted() {
        assert!(of(&[100.0, 100.0, 300.0, 300.0]).is_doubtful());
        assert!(of(&[300.0, 300.0, 100.0, 100.0]).is_doubtful());
    }

    #[test]
    fn one_slow_control_is_not_a_drift() {
        assert!(!of(&[100.0, 110.0, 90.0, 100.0, 900.0, 105.0]).is_doubtful());
        assert!(!of(&[]).is_doubtful());
    }
}
