//! wirespan's daemon. Read [`pipeline`] first: it wires the whole data path in one place.

pub mod cli;
pub mod config;
pub mod discover;
pub mod health;
pub mod span;
