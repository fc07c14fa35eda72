//! What is read off and compared with nothing but itself: memory, idle time, the control API as functions grow many, what a
//! setting adds to a call. One file each; a further one is a file and a line in [`ALL`].
//!
//! A gauge gets a daemon of its own, because what another row left in its memory would be read, too.

mod a1;
mod added;
mod m2;
mod m3;
mod o1;
mod r1;
mod w7;

use crate::error::Fault;
use crate::world::World;

/// Something to read off.
pub(crate) struct Gauge {
    /// Short name.
    pub(crate) id: &'static str,
    /// In words.
    pub(crate) what: &'static str,
    /// Takes the readings with a fresh daemon; the number is that of the functions to register.
    pub(crate) read: fn(&mut World, usize) -> Result<Vec<Figure>, Fault>,
}

/// One figure.
pub(crate) struct Figure {
    /// In words.
    pub(crate) what: String,
    /// How much.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: Unit,
    /// How many it should be, if that is said.
    pub(crate) bounds: Option<Bounds>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes.
    Bytes,
    /// Microseconds.
    Microseconds,
    /// Times as much as something else of the same gauge.
    Ratio,
    /// Hundredths of one core's time.
    Percent,
}

impl Unit {
    /// Its name in the document.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Microseconds => "microseconds",
            Self::Ratio => "ratio",
            Self::Percent => "percent",
        }
    }
}

/// The two bounds of a figure, in its unit.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// To be kept.
    pub(crate) must: f64,
    /// To be aimed at.
    pub(crate) aim: f64,
    /// Whether more is better.
    pub(crate) at_least: bool,
}

impl Bounds {
    /// Less is better.
    pub(crate) const fn at_most(must: f64, aim: f64) -> Self {
        Self { must, aim, at_least: false }
    }

    /// More is better.
    pub(crate) const fn at_least(must: f64, aim: f64) -> Self {
        Self { must, aim, at_least: true }
    }

    /// Its sign before a number.
    pub(crate) const fn sign(self) -> &'static str {
        if self.at_least { "≥" } else { "≤" }
    }
}

impl Figure {
    /// The stricter of the bounds that it keeps; nothing where there is none.
    pub(crate) fn meets(&self) -> Option<&'static str> {
        let bounds = self.bounds?;
        let keeps = |bound: f64| if bounds.at_least { self.value >= bound } else { self.value <= bound };
        Some(match (keeps(bounds.aim), keeps(bounds.must)) {
            (true, _) => "aim",
            (false, true) => "must",
            (false, false) => "nothing",
        })
    }
}

/// All of them.
pub(crate) const ALL: [&Gauge; 6] = [&w7::GAUGE, &r1::GAUGE, &o1::GAUGE, &m2::GAUGE, &m3::GAUGE, &a1::GAUGE];

#[cfg(test)]
mod tests {
    use super::{Bounds, Figure, Unit};

    #[test]
    fn the_stricter_bound_is_named() {
        let figure = |value, bounds| Figure { what: String::new(), value, unit: Unit::Bytes, bounds };
        let meets = |value| figure(value, Some(Bounds::at_most(10.0, 5.0))).meets();
        assert_eq!([meets(5.0), meets(5.1), meets(10.1)], [Some("aim"), Some("must"), Some("nothing")]);
        let meets = |value| figure(value, Some(Bounds::at_least(5.0, 10.0))).meets();
        assert_eq!([meets(10.0), meets(5.0), meets(4.9)], [Some("aim"), Some("must"), Some("nothing")]);
        assert_eq!(figure(1.0, None).meets(), None);
    }
}
