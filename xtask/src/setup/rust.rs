//! Components of the pinned toolchain. It chooses no toolchain: `rust-toolchain.toml` does.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace;

/// `rust-src` is what `core` for the kernel side is built from.
const COMPONENTS: [&str; 3] = ["rust-src", "clippy", "rustfmt"];

pub fn ensure_components() -> Result<()> {
    let installed = process::capture(rustup().args(["component", "list", "--installed"])).context(
        "rustup tells which parts of the toolchain are there; get it from https://rustup.rs",
    )?;
    let missing: Vec<_> = missing(&installed).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("setup: adding to the Rust toolchain: {}", missing.join(" "));
    process::run(rustup().args(["component", "add"]).args(missing))
}

/// The standard library for another target than this machine's.
pub fn ensure_target(target: &str) -> Result<()> {
    let installed = process::capture(rustup().args(["target", "list", "--installed"]))?;
    if installed.lines().any(|line| line == target) {
        return Ok(());
    }
    println!("setup: adding to the Rust toolchain: {target}");
    process::run(rustup().args(["target", "add", target]))
}

fn rustup() -> Command {
    let mut command = process::tied("rustup");
    command.current_dir(workspace::root());
    command
}

/// rustup lists host-specific components as `clippy-x86_64-unknown-linux-gnu`.
fn missing(installed: &str) -> impl Iterator<Item = &'static str> {
    COMPONENTS.into_iter().filter(move |component| {
        !installed.lines().any(|line| {
            line.strip_prefix(component)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_there_with_or_without_its_host() {
        let installed = "clippy-x86_64-unknown-linux-gnu\nrust-src\nrust-std-x86\n";
        assert_eq!(missing(installed).collect::<Vec<_>>(), ["rustfmt"]);
    }
}
