//! What is read off and compared with nothing but itself: memory, and the control API as functions grow many. One file each; a further one is a file and a line in [`ALL`].
//!
//! A gauge gets a daemon of its own, because what another row left in its memory would be read, too.

mod a1;
mod m2;

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
    /// At most so many, if there is a bound.
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
}

impl Unit {
    /// Its name in the document.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Microseconds => "microseconds",
            Self::Ratio => "ratio",
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
}

impl Figure {
    /// The stricter of the bounds that it keeps; nothing where there is none.
    pub(crate) fn meets(&self) -> Option<&'static str> {
        let bounds = self.bounds?;
        Some(match self.value {
            value if value <= bounds.aim => "aim",
            value if value <= bounds.must => "must",
            _ => "nothing",
        })
    }
}

/// All of them.
pub(crate) const ALL: [&Gauge; 2] = [&m2::GAUGE, &a1::GAUGE];

#[cfg(test)]
mod tests {
    use super::{Bounds, Figure, Unit};

    #[test]
    fn the_stricter_bound_is_named() {
        let figure = |value, bounds| Figure { what: String::new(), value, unit: Unit::Bytes, bounds };
        let meets = |value| figure(value, Some(Bounds { must: 10.0, aim: 5.0 })).meets();
        assert_eq!([meets(5.0), meets(5.1), meets(10.1)], [Some("aim"), Some("must"), Some("nothing")]);
        assert_eq!(figure(1.0, None).meets(), None);
    }
}
