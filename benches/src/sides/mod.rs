//! The ways to do a row's work: a cold start inside Hearth, a bare process, a sandbox
//! without a daemon, another program's sandbox, calls one after another, calls at once.

pub(crate) mod bare;
pub(crate) mod cold;
pub(crate) mod command;
pub(crate) mod parallel;
pub(crate) mod sandbox;
pub(crate) mod sequential;
pub(crate) mod target;
