//! The rules between rooms, checked on the text of the sources. A rule that a compiler, rustfmt
//! or clippy can check is not here.

mod architecture;
mod changelog;
mod fences;
mod foreign_text;
mod layout;
mod links;
mod names;
mod protocols;
mod source;
mod types;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::workspace;
use source::Source;

/// A rule looks at everything and says what breaks it.
type Rule = fn(&[Source]) -> Vec<Finding>;

const RULES: &[Rule] = &[
    layout::every_file_says_what_it_is_for,
    layout::lines_are_short,
    layout::functions_are_short,
    changelog::is_in_form,
    fences::rooms_keep_to_themselves,
    fences::attribute_names_are_in_one_place,
    fences::unsafe_code_is_in_two_files,
    architecture::processors_are_known_in_one_file,
    foreign_text::paths_are_made_visible,
    foreign_text::nothing_is_printed_aside,
    foreign_text::logged_text_is_made_visible,
    protocols::protocols_touch_nothing,
    protocols::protocols_do_not_know_each_other,
    names::modules_are_named_for_what_they_do,
    names::nothing_is_left_for_later,
    types::one_name_means_one_type,
    links::links_lead_somewhere,
];

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    path: String,
    /// From 1.
    line: usize,
    what: String,
}

impl Finding {
    fn new(source: &Source, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: source.path.clone(),
            line,
            what: what.into(),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// `cargo xtask tidy`
pub fn run() -> Result<ExitCode> {
    let sources = source::read(workspace::root())?;
    for finding in layout::deserves_a_second_look(&sources) {
        println!("second look: {finding}");
    }
    let findings = check(workspace::root())?;
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} files, {} findings", sources.len(), findings.len());
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All that breaks a rule below `root`.
fn check(root: &Path) -> Result<Vec<Finding>> {
    let sources = source::read(root)?;
    Ok(RULES.iter().flat_map(|rule| rule(&sources)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_keeps_its_rules() {
        let findings = check(workspace::root()).expect("the sources can be read");
        let list: Vec<_> = findings.iter().map(Finding::to_string).collect();
        assert!(list.is_empty(), "\n{}", list.join("\n"));
    }
}
