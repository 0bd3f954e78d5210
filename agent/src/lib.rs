//! wirespan's daemon. Read [`pipeline`] first: it wires the whole data path in one place.

pub mod config;
pub mod discover;
pub mod export;
pub mod health;
pub mod span;
