//! What end-to-end tests are made of: an OTLP receiver, workloads, the daemon under test.

pub mod cgroup;
pub mod daemon;
pub mod dialogue;
pub mod grpc;
pub mod held;
pub mod jaeger;
pub mod lines;
pub mod links;
pub mod moody;
pub mod network;
pub mod ports;
pub mod process;
pub mod puppet;
pub mod receiver;
pub mod redis;
pub mod shapes;
pub mod shop;
pub mod soak;
pub mod spans;
pub mod stalled;
pub mod tls;
pub mod truth;
pub mod tunnels;
pub mod visits;
pub mod wire;
pub mod workload;
