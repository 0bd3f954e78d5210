//! Where things are, and cargo as every task runs it. It starts nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;

/// The directory of the root `Cargo.toml`.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask/ lies in the workspace")
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || root().join("target"),
        |dir| std::env::current_dir().unwrap_or_default().join(dir),
    )
}

/// Where cargo installs the tools that only this workspace uses; their programs are in `bin`.
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// The daemon, as `cargo build --release` leaves it.
pub fn daemon() -> PathBuf {
    target().join("release/wirespan")
}

/// `PATH` with the workspace's own tools in front.
pub fn search_path() -> std::ffi::OsString {
    let mut path = tools().join("bin").into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

/// Where set-up, workloads and benchmarks find programs, and `tests/src/process.rs` too: Debian's
/// first, whatever a version manager or an administrator put before them, because the libraries
/// that set-up installs are for those.
pub const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";

/// The first executable of this name on the [`SYSTEM_PATH`].
pub fn program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(SYSTEM_PATH)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// A program on the [`SYSTEM_PATH`], which its own children find things on too.
pub fn system(program: &str) -> Command {
    let mut command = process::tied(program);
    command.env("PATH", SYSTEM_PATH);
    command
}

/// Cargo in the workspace's root, with the workspace's own tools at hand.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = process::tied(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments)
        .current_dir(root())
        .env("PATH", search_path());
    // Set by the cargo that started xtask; they would mean xtask's package to the one started here.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}
