//! What one check came to. It looks at nothing itself.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Grade {
    /// All is as it has to be.
    Pass,
    /// A run works, and less is seen than could be.
    Warn,
    /// A run can't do what it is for.
    Fail,
}

impl Grade {
    /// As tables and JSON have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to do about it, where something is wrong.
    pub remedy: Option<String>,
}

impl Check {
    /// All is well.
    pub fn pass(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            grade: Grade::Pass,
            found: found.into(),
            remedy: None,
        }
    }

    /// It could be better.
    pub fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            grade: Grade::Warn,
            remedy: Some(remedy.into()),
            ..Self::pass(check, found)
        }
    }

    /// Nothing works.
    pub fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            grade: Grade::Fail,
            ..Self::warn(check, found, remedy)
        }
    }
}
