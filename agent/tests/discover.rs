//! Discovery, on made-up proc file systems and on real processes.

#[path = "discover/describing.rs"]
mod describing;
#[path = "discover/fake_proc.rs"]
mod fake_proc;
#[path = "discover/narrowing.rs"]
mod narrowing;
#[path = "discover/placing.rs"]
mod placing;
#[path = "discover/real.rs"]
mod real;
#[path = "discover/reconfiguring.rs"]
mod reconfiguring;
#[path = "discover/selecting.rs"]
mod selecting;
#[path = "discover/watching.rs"]
mod watching;

use wirespan::config::{Config, Purpose, Targets};

/// Targets as a user sets them.
fn targets(environment: &[(&str, &str)]) -> Targets {
    Config::load(Purpose::Explain, [], environment.iter().copied())
        .expect("valid settings")
        .config
        .discover
        .targets
}
