//! Links of the documents: relative ones must lead to a file. Nothing on the network is asked.

use std::path::Path;

use super::Finding;
use super::source::{Source, numbered};
use crate::workspace;

pub fn links_lead_somewhere(sources: &[Source]) -> Vec<Finding> {
    check(workspace::root(), sources)
}

fn check(root: &Path, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.path.ends_with(".md")) {
        let mut in_code = false;
        for (line, text) in numbered(&source.text) {
            in_code ^= text.trim_start().starts_with("```");
            if in_code {
                continue;
            }
            for link in relative_links(text) {
                let folder = Path::new(&source.path).parent().unwrap_or(Path::new(""));
                if !root.join(folder).join(link).exists() {
                    let what = format!("the link to `{link}` leads nowhere");
                    findings.push(Finding::new(source, line, what));
                }
            }
        }
    }
    findings
}

/// Targets of `[text](target)` that name a file, without `#fragment`.
fn relative_links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', ' ']).next()?;
        let file = target.split('#').next()?;
        (!file.is_empty() && !file.contains("://") && !file.starts_with("mailto:")).then_some(file)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let text = "[one](Cargo.toml) [two](../no-such-file.md#part)\n[three](https://x.y/z)\n";
        let findings = check(workspace::root(), &[Source::new("README.md", text)]);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 1);
    }

    #[test]
    fn a_link_is_relative_to_its_document() {
        let source = Source::new("tests/README.md", "[the tests](src/lib.rs)");
        assert!(check(workspace::root(), &[source]).is_empty());
    }
}
