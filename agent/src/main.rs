//! Command line to configuration to run to drain. Nothing is decided here.

fn main() {}
