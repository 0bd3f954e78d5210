//! The export room against a real receiver.

mod bounds;
mod cost;
mod delivery;
mod encoding;
mod printing;
mod sample;
mod tls;
