//! demo
use std::process::ExitCode;
/// a
#[derive(clap::Args)]
pub struct Args {}
/// a
pub fn run(_: &Args) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
