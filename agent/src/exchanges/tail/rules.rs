//! What rules say of one span. They know nothing of traces.

use globset::{GlobBuilder, GlobMatcher};

use crate::config::{TailCondition, TailRule};
use crate::semconv;
use crate::span::{Span, Status, Value};

/// Randomness never reaches this.
const NONE: u64 = 1 << 56;

/// Rules, in the order of the setting.
#[derive(Debug, Default)]
pub struct TailRules {
    rules: Vec<(Option<GlobMatcher>, TailCondition)>,
    /// Some ask for paths.
    ask_for_paths: bool,
}

/// What they say of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its trace is to be told.
    pub is_wanted: bool,
    /// Else a share of those like it, by the first rule for its path: which, and its threshold.
    pub share: Option<(usize, u64)>,
}

impl TailRules {
    /// These rules. A path that is no glob is that of nothing; the configuration refuses it.
    pub fn new(rules: &[TailRule]) -> Self {
        let compiled = rules.iter().filter_map(|rule| {
            let glob = match &rule.path {
                None => None,
                Some(path) => Some(GlobBuilder::new(path).build().ok()?.compile_matcher()),
            };
            Some((glob, rule.condition))
        });
        let rules: Vec<_> = compiled.collect();
        Self {
            ask_for_paths: rules.iter().any(|(glob, _)| glob.is_some()),
            rules,
        }
    }

    /// Whether there are none.
    pub fn are_none(&self) -> bool {
        self.rules.is_empty()
    }

    /// What randomness a trace must reach for which there is no other rule.
    pub fn threshold(&self) -> u64 {
        let mut shares = self.rules.iter().filter_map(|rule| match rule {
            (None, TailCondition::Threshold(threshold)) => Some(*threshold),
            _ => None,
        });
        shares.next().unwrap_or(NONE)
    }

    /// What they say of a span that is over.
    pub fn judge(&self, span: &Span) -> Judged {
        let path = if self.ask_for_paths { path(span) } else { None };
        let took_ns = span.end_unix_ns.saturating_sub(span.start_unix_ns);
        let mut judged = Judged {
            is_wanted: false,
            share: None,
        };
        for (index, (glob, condition)) in self.rules.iter().enumerate() {
            let is_for_it = match (glob, &path) {
                (None, _) => true,
                (Some(glob), Some(path)) => glob.is_match(path),
                (Some(_), None) => false,
            };
            if !is_for_it {
                continue;
            }
            match condition {
                TailCondition::Error => judged.is_wanted |= span.status == Status::Error,
                TailCondition::SlowerNs(ns) => judged.is_wanted |= took_ns >= *ns,
                TailCondition::Threshold(threshold) if glob.is_some() => {
                    judged.share = judged.share.or(Some((index, *threshold)));
                }
                TailCondition::Threshold(_) => {}
            }
        }
        judged
    }
}

/// The path that was asked for; of a call, the one that it has over HTTP/2.
fn path(span: &Span) -> Option<String> {
    let text = |name| {
        let mut attributes = span.attributes.iter();
        let (_, value) = attributes.find(|(key, _)| *key == name)?;
        Value::as_str(value)
    };
    if let Some(path) = text(semconv::URL_PATH) {
        return Some(path.to_owned());
    }
    if let Some(method) = text(semconv::RPC_METHOD) {
        return Some(format!("/{method}"));
    }
    let full = text(semconv::URL_FULL)?;
    let (_, behind) = full.split_once("://")?;
    let path = &behind[behind.find('/')?..];
    let end = path.find(['?', '#']).unwrap_or(path.len());
    Some(path[..end].to_owned())
}
