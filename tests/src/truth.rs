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
    /// Bytes of the request's body, without framing; `None` if that is not known.
    pub request_body: Option<u64>,
    /// Bytes of the response's body, without framing; `None` if that is not known.
    pub response_body: Option<u64>,
}

impl Exchange {
    /// An exchange without a request body.
    #[must_use]
    pub fn new(method: &str, target: &str, status: u16, response_body: u64) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            status: Some(status),
            request_body: Some(0),
            response_body: Some(response_body),
        }
    }

    /// The same with a request body.
    #[must_use]
    pub fn with_request_body(mut self, size: u64) -> Self {
        self.request_body = Some(size);
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
            request_body: told["request_body"].as_u64(),
            response_body: told["response_body"].as_u64(),
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
        let size = |size: &Option<u64>| match size {
            Some(size) => format!("{size} B"),
            None => "? B".into(),
        };
        let (request, response) = (size(request_body), size(response_body));
        write!(f, ", request {request}, response {response}")
    }
}

/// Chunks are counted only where the capture has all of their framing, which it does not try for
/// long bodies. Takes out of `truth` the sizes of such bodies where spans say that they don't know;
/// a wrong size stays a difference.
#[must_use]
pub fn forgiving_long_chunked(mut truth: Vec<Exchange>, came: &[Exchange]) -> Vec<Exchange> {
    const LONG: u64 = 1000;
    for exchange in &mut truth {
        if !exchange.target.contains("chunked") {
            continue;
        }
        let Some(span) = came.iter().find(|span| span.target == exchange.target) else {
            continue;
        };
        if span.request_body.is_none() && exchange.request_body > Some(LONG) {
            exchange.request_body = None;
        }
        if span.response_body.is_none() && exchange.response_body > Some(LONG) {
            exchange.response_body = None;
        }
    }
    truth
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
