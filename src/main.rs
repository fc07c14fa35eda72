//! The binary: argv to an exit code.
fn main() {}
