//! wirespan's daemon. Read [`pipeline`] first: it wires the whole data path in one place.

pub mod capture;
pub mod cli;
pub mod config;
pub mod connections;
pub mod discover;
pub mod endpoints;
pub mod enrich;
pub mod export;
pub mod health;
pub mod inspect;
pub mod live;
pub mod lookers;
pub mod lore;
pub mod memory;
pub mod own;
pub mod pipeline;
pub mod processes;
pub mod recording;
pub mod redact;
pub mod report;
pub mod run;
pub mod semconv;
pub mod span;
pub mod trace_context;
pub mod unread;
pub mod wall_clock;
