//! What is read off and compared with nothing: memory. One file each; a further one is a file and a line in [`ALL`].
//!
//! A gauge gets a daemon of its own, because what another row left in its memory would be read, too.

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
    /// Bytes.
    pub(crate) bytes: f64,
    /// At most so many, if there is a bound.
    pub(crate) bounds: Option<Bounds>,
}

/// The two bounds of a figure, bytes.
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
        Some(match self.bytes {
            bytes if bytes <= bounds.aim => "aim",
            bytes if bytes <= bounds.must => "must",
            _ => "nothing",
        })
    }
}

/// All of them.
pub(crate) const ALL: [&Gauge; 1] = [&m2::GAUGE];

#[cfg(test)]
mod tests {
    use super::{Bounds, Figure};

    #[test]
    fn the_stricter_bound_is_named() {
        let meets = |bytes| {
            Figure { what: String::new(), bytes, bounds: Some(Bounds { must: 10.0, aim: 5.0 }) }.meets()
        };
        assert_eq!([meets(5.0), meets(5.1), meets(10.1)], [Some("aim"), Some("must"), Some("nothing")]);
        assert_eq!(Figure { what: String::new(), bytes: 1.0, bounds: None }.meets(), None);
    }
}
