//! What end-to-end tests are made of: an OTLP receiver, workloads, the daemon under test.

pub mod receiver;
