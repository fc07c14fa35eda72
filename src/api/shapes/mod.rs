//! The data of the API: one Rust type and one constant description per shape, one file per family.
//!
//! Why both from one line: the codec and the validator interpret the description, the handlers use the type, and
//! the two cannot drift apart. A type and its description carry the same name (they live in different namespaces).
//! Deliberately not here: behaviour, defaults, and checks that need to know more than one member.

#![expect(non_upper_case_globals, reason = "a description carries the name of the type that it describes")]

mod account;
mod alias;
mod capacity;
mod code_signing;
mod common;
mod concurrency;
mod durable;
mod event_invoke;
mod event_source;
mod function;
mod invoke;
mod layer;
mod policy;
mod runtime_management;
mod tags;
mod url;
mod version;

pub use account::*;
pub use alias::*;
pub use capacity::*;
pub use code_signing::*;
pub use common::*;
pub use concurrency::*;
pub use durable::*;
pub use event_invoke::*;
pub use event_source::*;
pub use function::*;
pub use invoke::*;
pub use layer::*;
pub use policy::*;
pub use runtime_management::*;
pub use tags::*;
pub use url::*;
pub use version::*;

use crate::shape::{alias, shape};

shape! {
    /// What an operation without output answers: an empty body.
    NoOutput {
    }
}
