//! `wirespan node-script`: hands out the script that a user may load into Node. It is the one part
//! of wirespan that runs in somebody else's process, and nobody but the user gets it there.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use crate::page;
use crate::visible::Visible;

/// The script.
pub const SCRIPT: &str = include_str!("../script/wirespan-node.cjs");

/// Writes it to a new file, or to standard output.
///
/// # Errors
/// What keeps it from being written; a file that is there already is left as it is.
pub fn hand_out(file: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = file else {
        page::say(|page| page.write_all(SCRIPT.as_bytes()))?;
        return Ok(());
    };
    let created = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = created.with_context(|| format!("can't create {}", Visible(path.display())))?;
    file.write_all(SCRIPT.as_bytes())
        .with_context(|| format!("can't write {}", Visible(path.display())))
}
