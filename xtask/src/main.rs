//! All that is not plain cargo: set-up, demo, tests, virtual machines, benchmarks, fuzzing, tidy.

fn main() {}
