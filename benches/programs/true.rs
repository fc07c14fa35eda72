//! A static program that succeeds: the control of every run, so that it costs what starting a process costs and no
//! more. It deliberately does nothing.

fn main() {}
