//! `WIRESPAN_TAIL_SAMPLING`: which traces are told once it is known what became of them.
//!
//! Rules between commas, each `[PATH:]CONDITION`, where the path is a glob in which `*` matches `/`
//! too, and a condition is `error`, `slower=DURATION` or `share=NUMBER`.

use globset::GlobBuilder;
use serde::{Deserialize, Serialize};

use super::names::Setting;
use super::settings::Settings;
use super::{ConfigError, sampler, values};

const ALLOWED: &str = "rules such as error,slower=500ms,/cart/*:slower=200ms,share=0.05";

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailRule {
    /// It holds for spans with a path that this glob matches; `None`: for all.
    pub path: Option<String>,
    /// Of which a trace is told.
    pub condition: TailCondition,
}

/// Of what a trace is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TailCondition {
    /// A span in it is an error.
    Error,
    /// A span in it took so many nanoseconds or more.
    SlowerNs(u64),
    /// Its randomness, of 56 bits, reaches this; as of a sampler.
    Threshold(u64),
}

pub(super) fn read(
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<TailRule>>, ConfigError> {
    let Some(given) = settings.of(Setting::TailSampling) else {
        return Ok(None);
    };
    let rules = given.parse(rules, ALLOWED)?;
    if let Some(rule) = rules.iter().enumerate().find_map(|(at, rule)| {
        let is_like = |before: &&TailRule| before.path == rule.path && before.is_share();
        rules[..at].iter().find(is_like).filter(|_| rule.is_share())
    }) {
        let path = rule.path.as_deref();
        let of = path.map_or_else(String::new, |path| format!(" of {path}"));
        warnings.push(format!(
            "{}: there are several shares{of}: the first one counts",
            given.source
        ));
    }
    Ok(Some(rules))
}

impl TailRule {
    fn is_share(&self) -> bool {
        matches!(self.condition, TailCondition::Threshold(_))
    }
}

fn rules(text: &str) -> Option<Vec<TailRule>> {
    values::items_outside_braces(text).map(rule).collect()
}

fn rule(text: &str) -> Option<TailRule> {
    let (path, condition) = match text.rsplit_once(':') {
        Some((path, condition)) => (Some(path.trim()), condition.trim()),
        None => (None, text),
    };
    if path.is_some_and(|path| {
        !path.starts_with(['/', '*']) || GlobBuilder::new(path).build().is_err()
    }) {
        return None;
    }
    let condition = match condition.split_once('=') {
        None if condition == "error" => TailCondition::Error,
        Some(("slower", duration)) => {
            let duration = values::duration(duration.trim())?;
            TailCondition::SlowerNs(duration.as_nanos().try_into().ok()?)
        }
        Some(("share", share)) => {
            TailCondition::Threshold(sampler::threshold_of(sampler::part(share.trim())?))
        }
        _ => return None,
    };
    Some(TailRule {
        path: path.map(str::to_owned),
        condition,
    })
}
