//! The daemon as users get it.

use anyhow::Result;

use crate::process;
use crate::workspace;

/// Compiles it.
pub fn build() -> Result<()> {
    process::run(&mut workspace::cargo(&[
        "build",
        "--quiet",
        "--release",
        "--package",
        "wirespan",
    ]))
}
