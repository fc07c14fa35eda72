//! Front doors: the control API, the functions' own door, and administration. Bounds sizes before reading and maps
//! errors in one place; decides nothing about concurrency and touches no sandbox.

pub(crate) mod admin;
pub(crate) mod authorise;
pub(crate) mod control;
pub(crate) mod door;
mod file;
pub(crate) mod guard;
pub(crate) mod identity;
mod insight;
pub(crate) mod invoke;
mod json_check;
pub(crate) mod location;
mod logs;
mod names;
mod pace;
mod patience;
pub(crate) mod peer;
mod progress;
pub(crate) mod roots;
pub(crate) mod server;
pub(crate) mod signed;
mod standing;
pub(crate) mod tls;
pub(crate) mod url;
