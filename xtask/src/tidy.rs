//! tidy
use std::process::ExitCode;
/// a
pub fn run() -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
