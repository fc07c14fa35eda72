//! Decides which of an alias's two versions an invocation runs: a share, and a draw that comes from outside.
//!
//! Each invocation is decided by itself, as Lambda has it: no counting, so that nothing is shared between callers and a
//! share of 0.1 means every tenth in the long run only. It knows neither names nor where the draw comes from.

/// How many bits of a draw decide: as many as a double holds exactly.
const BITS: u32 = 53;

/// The part of an alias's invocations that runs its additional version; from nothing to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u64);

impl Share {
    /// Nothing at all.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(1 << BITS);

    /// From a weight between 0.0 and 1.0, both included; none for any other number.
    #[must_use]
    pub fn from_weight(weight: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&weight) {
            return None;
        }
        // Exact: a double times a power of two is a double, and at most 2^53.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2^53")]
        let parts = (weight * Self::ALL.0 as f64) as u64;
        Some(Self(parts))
    }

    /// This share of a number of things, to the nearest; of a half, less.
    #[must_use]
    pub fn of(self, count: u32) -> u32 {
        let doubled = 2 * u128::from(count) * u128::from(self.0);
        let rounded = (doubled + u128::from(Self::ALL.0) - 1) >> (BITS + 1);
        u32::try_from(rounded).unwrap_or(count).min(count)
    }

    /// Whether the invocation that drew this number runs the additional version. `draw` is uniform over all of `u64`.
    #[must_use]
    pub const fn takes(self, draw: u64) -> bool {
        draw >> (u64::BITS - BITS) < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_and_everything_are_exact() {
        for draw in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            assert!(!Share::from_weight(0.0).unwrap().takes(draw));
            assert!(Share::from_weight(1.0).unwrap().takes(draw));
        }
    }

    #[test]
    fn the_draw_is_compared_with_the_share() {
        let half = Share::from_weight(0.5).unwrap();
        assert!(half.takes(0) && half.takes((1 << 63) - 1));
        assert!(!half.takes(1 << 63) && !half.takes(u64::MAX));
    }

    #[test]
    fn what_is_no_weight_is_refused() {
        for weight in [-0.1, 1.000_1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Share::from_weight(weight), None, "{weight}");
        }
        assert_eq!(Share::from_weight(-0.0), Some(Share::NONE));
    }

    #[test]
    fn evenly_spread_draws_are_split_by_the_weight() {
        const DRAWS: u64 = 10_000;
        for weight in [0.01, 0.03, 0.2, 0.5, 0.97] {
            let share = Share::from_weight(weight).unwrap();
            let taken = (0..DRAWS).filter(|at| share.takes(at * (u64::MAX / DRAWS))).count();
            let expected = weight * DRAWS as f64;
            assert!((taken as f64 - expected).abs() <= 1.0, "{weight}: {taken}");
        }
    }

    #[test]
    fn a_share_of_a_number_is_the_nearest_and_never_more() {
        let of = |weight, count| Share::from_weight(weight).unwrap().of(count);
        for (weight, count, part) in [(0.5, 1, 0), (0.5, 3, 1), (0.6, 1, 1), (0.1, 4, 0), (0.1, 6, 1)] {
            assert_eq!(of(weight, count), part, "{weight} of {count}");
        }
        assert_eq!([of(0.0, u32::MAX), of(1.0, u32::MAX)], [0, u32::MAX]);
    }

    proptest! {
        #[test]
        fn a_larger_weight_takes_whatever_a_smaller_one_takes(one in 0.0..=1.0_f64, other in 0.0..=1.0_f64, draw: u64) {
            let (small, large) = if one <= other { (one, other) } else { (other, one) };
            let takes = |weight| Share::from_weight(weight).unwrap().takes(draw);
            prop_assert!(!takes(small) || takes(large));
        }
    }
}
