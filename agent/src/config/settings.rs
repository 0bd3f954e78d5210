//! Which text each setting was given. It does not know what a text means.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::known;
use super::names::{SETTINGS, Setting};
use super::{ConfigError, values};

/// A text that was given for a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The variable or flag, as the user wrote it.
    pub source: String,
    /// The text, neither trimmed nor checked.
    pub text: String,
}

/// Texts by setting, conflicts between names resolved.
#[derive(Debug, Default)]
pub(super) struct Settings {
    given: BTreeMap<Setting, Given>,
}

impl Settings {
    /// Sorts flags and environment into settings. Whatever is odd but harmless becomes a warning
    /// of one line: two names with different values, settings that wirespan does not have, names
    /// that look misspelt.
    pub fn collect(
        flags: impl IntoIterator<Item = (Setting, Given)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let environment = Self::readable(environment)?;
        let mut given = BTreeMap::new();
        for names in SETTINGS {
            let mut set = names
                .variables
                .iter()
                .filter_map(|name| Some((*name, environment.get(*name)?)));
            let Some((winner, text)) = set.next() else {
                continue;
            };
            for (loser, other) in set {
                // OTEL_BSP_* are meant for many programs; being more precise is no conflict.
                if other != text && !loser.starts_with("OTEL_BSP_") {
                    warnings.push(format!(
                        "{winner} and {loser} differ: {winner} is used, {loser} is ignored"
                    ));
                }
            }
            given.insert(
                names.setting,
                Given {
                    source: winner.to_owned(),
                    text: text.clone(),
                },
            );
        }
        known::warn_of_others(environment.keys().map(String::as_str), warnings);
        for (setting, flag) in flags {
            // A flag wins over the environment, also where the variable for traces alone would
            // win over the general one.
            match setting {
                Setting::Endpoint => given.remove(&Setting::TracesEndpoint),
                Setting::Protocol => given.remove(&Setting::TracesProtocol),
                _ => None,
            };
            given.insert(setting, flag);
        }
        Ok(Self { given })
    }

    /// What was given, if anything.
    pub fn of(&self, setting: Setting) -> Option<&Given> {
        self.given.get(&setting)
    }

    /// What was given for the first of these that has a value.
    pub fn first_of<const N: usize>(&self, settings: [Setting; N]) -> Option<&Given> {
        settings.into_iter().find_map(|setting| self.of(setting))
    }

    /// What was given, if it is more than blanks; trimmed.
    pub fn text(&self, setting: Setting) -> Option<String> {
        let text = self.of(setting)?.text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Whether it is on, if that was given.
    ///
    /// # Errors
    /// It is neither true nor false.
    pub fn boolean(&self, setting: Setting) -> Result<Option<bool>, ConfigError> {
        let given = self.of(setting);
        given
            .map(|given| given.parse(values::boolean, values::BOOLEAN))
            .transpose()
    }

    /// Variables with text in them. Those that concern nobody here may hold any bytes.
    fn readable(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut readable = BTreeMap::new();
        for (name, value) in environment {
            let Ok(name) = name.into_string() else {
                continue;
            };
            if value.is_empty() || !known::concerns_us(&name) {
                continue;
            }
            match value.into_string() {
                Ok(value) => readable.insert(name, value),
                Err(value) => {
                    return Err(ConfigError::invalid(
                        name,
                        value.to_string_lossy(),
                        "text in UTF-8",
                    ));
                }
            };
        }
        Ok(readable)
    }
}
