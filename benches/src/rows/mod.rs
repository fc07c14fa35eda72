//! The rows of the suite, one file each. A further row is a file and a line in [`ALL`].

mod c1;
mod c4;
mod c5;
mod w1;
mod w4;
mod w6;

use crate::error::Fault;
use crate::pairs::{Side, Statistic};
use crate::world::World;
use crate::zipfile::{Entry, archive};

/// Opens one side of a row.
pub(crate) type Open = fn(&World) -> Result<Box<dyn Side>, Fault>;

/// What is measured, and against what.
pub(crate) struct Row {
    /// Short name.
    pub(crate) id: &'static str,
    /// Hearth's side in words.
    pub(crate) what: &'static str,
    /// The other side in words.
    pub(crate) comparator: &'static str,
    /// What is compared.
    pub(crate) statistic: Statistic,
    /// The ratio to reach.
    pub(crate) must: f64,
    /// The ratio to aim at.
    pub(crate) aim: f64,
    /// Sets up Hearth's side.
    pub(crate) ours: Open,
    /// Sets up the other side.
    pub(crate) theirs: Open,
}

/// All of them, in the order in which they run.
pub(crate) const ALL: [&Row; 8] =
    [&c1::ROW, &c4::ROW, &c5::BWRAP, &c5::RUNC, &c5::CRUN, &w1::ROW, &w4::ROW, &w6::ROW];

/// The code of the native function.
pub(crate) fn bootstrap_zip(world: &World) -> Result<Vec<u8>, Fault> {
    let path = &world.programs.bootstrap;
    let content = std::fs::read(path).map_err(|source| Fault::File { path: path.clone(), source })?;
    Ok(archive(&[Entry { name: "bootstrap", mode: 0o755, content: &content }]))
}
