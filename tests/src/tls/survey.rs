//! `wirespan processes`, for programs.

use serde_json::Value;

use crate::daemon::{command, run_to_end};

/// Rows of `wirespan processes --json` with one setting.
///
/// # Panics
/// It fails, or prints something else.
#[must_use]
pub fn surveyed(setting: &str, value: &str) -> Vec<Value> {
    let mut command = command();
    command.args(["processes", "--json"]).env(setting, value);
    let (code, said, complaints) = run_to_end(&mut command);
    assert_eq!(code, Some(0), "{}", complaints.join("\n"));
    let table: Value = serde_json::from_str(&said.join("\n")).expect("JSON");
    table.as_array().expect("a list of processes").clone()
}
