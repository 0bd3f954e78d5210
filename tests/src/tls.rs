//! Programs that speak over TLS, and what must hold for the spans of what they said in it. It knows
//! their command lines; what they are is in `workloads/tls_programs`.

mod apache;
mod breakpoints;
mod certificates;
mod own_library;
mod postgres;
mod programs;
mod rows;
mod survey;

pub use apache::Apache;
pub use breakpoints::{breakpoints, wait_for_probes};
pub use certificates::Certificates;
pub use own_library::OwnLibrary;
pub use postgres::Postgres;
pub use programs::{
    OPENSSL_3, built, c_program, go_client, go_server, hyper_server, java_client, java_server,
    node_client, node_server, openssl_1_1, openssl_3, plain_python_server, python_client,
    python_server, reqwest_client, ruby_client, ruby_server, static_openssl, stripped, tls_server,
    urllib_client, workload,
};
pub use rows::{
    INSECURE, assert_both, assert_called, assert_goes_on, assert_served, called, opaque_caller,
    opaque_server, served, served_by, served_side_by_side, visited,
};
pub use survey::surveyed;
