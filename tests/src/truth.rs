//! What really happened, as the servers and clients under observation tell it themselves, and its
//! comparison with spans: as multisets of lines, so that a difference reads like a diff.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// One request and its response, as one of the two sides saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchange {
    /// Method as sent.
    pub method: String,
    /// Request target as sent.
    pub target: String,
    /// `None` if there was no response.
    pub status: Option<u16>,
    /// Bytes of the request's body, without framing; `None` where there is none to speak of.
    pub request_body: u64,
    /// Bytes of the response's body, without framing.
    pub response_body: u64,
}

impl Exchange {
    /// An exchange without a request body.
    #[must_use]
    pub fn new(method: &str, target: &str, status: u16, response_body: u64) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            status: Some(status),
            request_body: 0,
            response_body,
        }
    }

    /// The same with a request body.
    #[must_use]
    pub fn with_request_body(mut self, size: u64) -> Self {
        self.request_body = size;
        self
    }

    /// Reads a line that a workload wrote; `None` if it is about something else.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let told: Value = serde_json::from_str(line).ok()?;
        Some(Self {
            method: told["method"].as_str()?.into(),
            target: told["target"].as_str()?.into(),
            status: told["status"]
                .as_u64()
                .map(|status| u16::try_from(status).expect("a status has three digits")),
            request_body: told["request_body"].as_u64().unwrap_or(0),
            response_body: told["response_body"].as_u64().unwrap_or(0),
        })
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            target,
            status,
            request_body,
            response_body,
        } = self;
        write!(f, "{method} {target} ")?;
        match status {
            Some(status) => write!(f, "{status}")?,
            None => f.write_str("no response")?,
        }
        write!(f, " request {request_body} B, response {response_body} B")
    }
}

/// Compares two multisets.
///
/// # Panics
/// They differ; the message lists what is missing and what is too much.
pub fn assert_same<T: fmt::Display>(
    what: &str,
    expected: impl IntoIterator<Item = T>,
    came: impl IntoIterator<Item = T>,
) {
    let mut balance: BTreeMap<String, i64> = BTreeMap::new();
    let (mut expected_len, mut came_len) = (0, 0);
    for line in expected {
        *balance.entry(line.to_string()).or_default() += 1;
        expected_len += 1;
    }
    for line in came {
        *balance.entry(line.to_string()).or_default() -= 1;
        came_len += 1;
    }
    balance.retain(|_, count| *count != 0);
    if balance.is_empty() {
        return;
    }
    let differences: Vec<_> = balance
        .iter()
        .take(40)
        .map(|(line, count)| match *count {
            1 => format!("  missing:     {line}"),
            -1 => format!("  not expected: {line}"),
            more @ 1.. => format!("  missing {more}×: {line}"),
            less => format!("  not expected {}×: {line}", -less),
        })
        .collect();
    panic!(
        "{what}: {expected_len} expected, {came_len} came, {} kinds differ:\n{}",
        balance.len(),
        differences.join("\n")
    );
}
