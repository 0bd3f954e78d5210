//! The program on Node among the workloads that is made into one file, as bundlers do it, with a
//! library of its own in it: `target/tools/bundled/app.cjs`.

use anyhow::{Context as _, Result};

use super::grpc;
use crate::process;
use crate::workspace::{self, system};

pub fn ensure() -> Result<()> {
    let directory = workspace::tools().join("bundled");
    let source = workspace::root().join("tests/workloads/links/node/bundled");
    grpc::packages(&directory, &source)?;
    // Its packages are looked for beside it.
    std::fs::copy(source.join("app.mjs"), directory.join("app.mjs")).context("app.mjs")?;
    process::run(
        system("node")
            .arg("node_modules/esbuild/bin/esbuild")
            .args(["app.mjs", "--bundle", "--minify", "--platform=node"])
            .args(["--log-level=warning", "--outfile=app.cjs"])
            .current_dir(directory),
    )
}
