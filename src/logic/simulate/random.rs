//! Chance that is the same on every machine: SplitMix64, and the few functions that distributions need.
//!
//! The logarithm and its relatives are our own because the C library's may differ in the last bit from one version to the
//! next, and a seed promises the same bytes. Only `+ - × ÷ √` are used, which IEEE 754 fixes. Not for secrets.

use std::f64::consts::{FRAC_PI_2, LN_2, SQRT_2};

/// A stream of numbers that its seed determines.
#[derive(Clone, Debug)]
pub struct Random(u64);

/// What a stream is for: streams of one seed are independent, so that drawing more of one leaves the others as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// When invocations come.
    Arrivals,
    /// How long they run.
    Durations,
    /// How long environments take to come up.
    Starts,
    /// What functions there are.
    Population,
}

impl Random {
    /// The stream of `seed` for one purpose of one function.
    #[must_use]
    pub fn new(seed: u64, stream: Stream, function: u64) -> Self {
        let mut mixer = Self(seed);
        let a = mixer.next_u64();
        let mut mixer = Self(a ^ (stream as u64 + 1).wrapping_mul(0xd6e8_feb8_6659_fd93));
        let b = mixer.next_u64();
        let mut mixer = Self(b ^ function.wrapping_mul(0xa076_1d64_78bd_642f));
        Self(mixer.next_u64())
    }

    /// 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in (0, 1): never 0, so that it has a logarithm.
    pub const fn unit(&mut self) -> f64 {
        ((self.next_u64() >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -ln(self.unit())
    }

    /// Normal with mean 0 and deviation 1 (Marsaglia's polar method).
    pub fn normal(&mut self) -> f64 {
        loop {
            let (a, b) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = a * a + b * b;
            if square > 0.0 && square < 1.0 {
                return a * (-2.0 * ln(square) / square).sqrt();
            }
        }
    }
}

/// Natural logarithm of a positive, normal number.
#[must_use]
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0) - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh((m − 1) / (m + 1)); |s| ≤ 0.172, so that twelve terms are enough.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for k in (0..12).rev() {
        sum = sum * square + 1.0 / f64::from(2 * k + 1);
    }
    2.0 * s * sum + f64::from(exponent) * LN_2
}

/// The exponential function; saturates beyond ±700.
#[must_use]
pub fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let power = (x / LN_2).round();
    let rest = x - power * LN_2;
    let mut sum = 1.0;
    for k in (1..=16).rev() {
        sum = 1.0 + sum * rest / f64::from(k);
    }
    // Between −1010 and 1010, so that the exponent is that of a normal number.
    let exponent = power as i64 + 1023;
    sum * f64::from_bits(u64::try_from(exponent).unwrap_or(1) << 52)
}

/// Sine of so many full turns.
#[must_use]
pub fn sine_of_turns(turns: f64) -> f64 {
    let part = (turns - turns.floor()) * 4.0;
    // Quarters: up, down, up below zero, down below zero.
    let (rising, sign) = match part {
        p if p < 1.0 => (p, 1.0),
        p if p < 2.0 => (2.0 - p, 1.0),
        p if p < 3.0 => (p - 2.0, -1.0),
        p => (4.0 - p, -1.0),
    };
    let x = rising * FRAC_PI_2;
    let square = x * x;
    let mut sum = 1.0;
    for k in (1..=10).rev() {
        sum = 1.0 - sum * square / f64::from(2 * k * (2 * k + 1));
    }
    sign * x * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() <= 1e-12 * (1.0 + other.abs())
    }

    #[test]
    fn our_own_functions_are_those_of_the_c_library_but_for_the_last_bits() {
        let mut random = Random::new(1, Stream::Arrivals, 0);
        for _ in 0..10_000 {
            let x = random.unit() * 20.0;
            assert!(near(ln(x), x.ln()), "ln {x}");
            assert!(near(exp(x - 10.0), (x - 10.0).exp()), "exp {}", x - 10.0);
            assert!(near(sine_of_turns(x), (x * std::f64::consts::TAU).sin()), "sine {x}");
        }
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(1e9).is_finite() && exp(-1e9) > 0.0);
    }

    #[test]
    fn distributions_have_their_mean_and_deviation() {
        let mut random = Random::new(2, Stream::Durations, 3);
        let n = 200_000;
        let mean = (0..n).map(|_| random.exponential()).sum::<f64>() / f64::from(n);
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        let normals: Vec<f64> = (0..n).map(|_| random.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn streams_of_one_seed_differ_and_are_the_same_each_time() {
        let first = |seed, stream, function| Random::new(seed, stream, function).next_u64();
        let all = [
            first(1, Stream::Arrivals, 0),
            first(1, Stream::Arrivals, 1),
            first(1, Stream::Durations, 0),
            first(2, Stream::Arrivals, 0),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[..at].iter().all(|other| other != one));
        }
        assert_eq!(first(1, Stream::Starts, 7), first(1, Stream::Starts, 7));
    }
}
