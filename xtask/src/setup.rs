//! Set-up: whatever a task needs and this machine lacks is installed, once, and announced.
//! Packages of the system come from apt, tools from crates, what workloads need from the registries
//! of their languages; nothing else is downloaded, except kernels for virtual machines (see `vm`)
//! and what the tests trace over TLS (see `tls`), which are unpacked and never installed.

mod api_server;
pub mod apt;
mod bpf_linker;
mod bundle;
mod go;
mod grpc;
mod jaeger;
mod kubernetes;
pub mod mirror;
mod modules;
mod mongodb;
mod packers;
mod purpose;
mod python;
mod pythons;
mod rust;
mod tls;
pub mod userland;
mod wheels;

use std::process::ExitCode;

use anyhow::Result;

use crate::vm::kernel;
pub use purpose::Purpose;

/// A Node with OpenSSL in its executable, downloaded unless it is there.
pub fn node() -> Result<std::path::PathBuf> {
    wheels::NODE.ensure()
}

/// The program of `tests/workloads/collector`, with the components that `deploy/` names.
const COLLECTOR: &str = "wirespan.test/collector";

/// Which set-up to do.
#[derive(clap::Args)]
pub struct Args {
    /// For these tasks only; all of them if none is named
    #[arg(value_enum)]
    purposes: Vec<Purpose>,
}

/// `cargo xtask setup`
pub fn run(args: &Args) -> Result<ExitCode> {
    let purposes = if args.purposes.is_empty() {
        &Purpose::ALL
    } else {
        args.purposes.as_slice()
    };
    ensure(purposes)?;
    if purposes.contains(&Purpose::Vm) {
        kernel::ensure_tested()?;
    }
    println!("setup: everything is there");
    Ok(ExitCode::SUCCESS)
}

/// The Go that workloads are compiled with, unless they say another.
pub fn go_for_workloads() -> Result<std::path::PathBuf> {
    wheels::GO.ensure()
}

/// Installs what is missing for `purposes`. Quick and silent when nothing is.
pub fn ensure(purposes: &[Purpose]) -> Result<()> {
    let building = purposes.contains(&Purpose::Build);
    if building {
        rust::ensure_components()?;
    }
    apt::ensure(purposes)?;
    if building {
        bpf_linker::ensure()?;
    }
    if purposes.contains(&Purpose::Test) {
        grpc::ensure()?;
        bundle::ensure()?;
        python::ensure()?;
        pythons::ensure()?;
        tls::ensure()?;
        wheels::REDIS_PY.ensure()?;
        mongodb::ensure()?;
        kubernetes::ensure()?;
        api_server::ensure()?;
    }
    if purposes.contains(&Purpose::Image) {
        rust::ensure_target(crate::package::TARGET)?;
    }
    if purposes.contains(&Purpose::Cross) {
        rust::ensure_target(crate::cross::ARM)?;
    }
    if purposes.contains(&Purpose::Package) {
        packers::ensure()?;
    }
    if purposes.contains(&Purpose::Soak) {
        go::between()?;
        jaeger::ensure()?;
        modules::ensure("collector", &[COLLECTOR], "")?;
    }
    Ok(())
}
