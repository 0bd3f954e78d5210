//! The export room against a real receiver.

#![allow(clippy::unwrap_used, reason = "a test")]

mod bounds;
mod cost;
mod delivery;
mod encoding;
mod own_metrics;
mod printing;
mod reach;
mod reconfiguring;
mod sample;
mod tls;
