//! Spans as the daemon printed them, in a form that is easy to ask.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::truth::Exchange;

/// `kind` of a span in OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// 2
    Server,
    /// 3
    Client,
}

/// A span with the resource that it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: Kind,
    /// In hexadecimal.
    pub trace_id: String,
    /// In hexadecimal.
    pub span_id: String,
    /// In hexadecimal; empty for a root.
    pub parent_span_id: String,
    /// As in OTLP.
    pub flags: u64,
    /// `tracestate`, if it has one.
    pub trace_state: Option<String>,
    /// Nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// Nanoseconds since the Unix epoch.
    pub end_ns: u64,
    /// Whether its status is an error.
    pub failed: bool,
    /// Attributes; numbers and booleans as text.
    pub attributes: BTreeMap<String, String>,
    /// Events, by name, with their times in nanoseconds since the Unix epoch.
    pub events: Vec<(String, u64)>,
    /// Trace and span that it points at, with how that is known.
    pub links: Vec<[String; 3]>,
    /// Attributes of the resource, likewise.
    pub resource: BTreeMap<String, String>,
}

impl Seen {
    /// The spans of one line of the JSON printer.
    ///
    /// # Panics
    /// It is no such line.
    #[must_use]
    pub fn of_line(line: &str) -> Vec<Self> {
        let document: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let mut seen = Vec::new();
        for resource_spans in list(&document["resourceSpans"]) {
            let resource = attributes(&resource_spans["resource"]["attributes"]);
            for scope in list(&resource_spans["scopeSpans"]) {
                let spans = list(&scope["spans"]);
                seen.extend(spans.iter().map(|span| Self::of(span, &resource)));
            }
        }
        seen
    }

    fn of(span: &Value, resource: &BTreeMap<String, String>) -> Self {
        Self {
            name: text(&span["name"]),
            kind: match span["kind"].as_u64() {
                Some(2) => Kind::Server,
                Some(3) => Kind::Client,
                other => panic!("kind {other:?}"),
            },
            trace_id: text(&span["traceId"]),
            span_id: text(&span["spanId"]),
            parent_span_id: text(&span["parentSpanId"]),
            flags: span["flags"].as_u64().expect("flags are a number"),
            trace_state: span["traceState"].as_str().map(str::to_owned),
            start_ns: decimal(&span["startTimeUnixNano"]),
            end_ns: decimal(&span["endTimeUnixNano"]),
            failed: span["status"]["code"] == 2,
            attributes: attributes(&span["attributes"]),
            events: list(&span["events"])
                .iter()
                .map(|event| (text(&event["name"]), decimal(&event["timeUnixNano"])))
                .collect(),
            links: list(&span["links"])
                .iter()
                .map(|link| {
                    let how = attributes(&link["attributes"]);
                    let how = how.get("wirespan.link").cloned().unwrap_or_default();
                    [text(&link["traceId"]), text(&link["spanId"]), how]
                })
                .collect(),
            resource: resource.clone(),
        }
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Where the request went: path and query, of clients without scheme and authority.
    #[must_use]
    pub fn target(&self) -> String {
        if let Some(full) = self.get("url.full") {
            let after = full.split_once("://").map_or(full, |(_, rest)| rest);
            return after.find('/').map_or("", |at| &after[at..]).to_owned();
        }
        let path = self.get("url.path").unwrap_or_default();
        match self.get("url.query") {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }

    /// What it says about its request and response.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        let method = self
            .get("http.request.method_original")
            .or_else(|| self.get("http.request.method"));
        Exchange {
            method: method.unwrap_or_default().to_owned(),
            target: self.target(),
            status: self
                .number("http.response.status_code")
                .map(|status| u16::try_from(status).expect("a status has three digits")),
            request_body: self.number("http.request.body.size"),
            response_body: self.number("http.response.body.size"),
        }
    }

    /// One line with all that tells an exchange apart: kind, request, response, error.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{:?} {}", self.kind, self.exchange());
        if let Some(error) = self.get("error.type") {
            line.push_str(", error ");
            line.push_str(error);
        }
        for mark in ["wirespan.capture.truncated", "wirespan.end_inferred"] {
            if self.get(mark).is_some() {
                line.push_str(", ");
                line.push_str(mark);
            }
        }
        line
    }

    /// All that it says, without what differs between two runs of the pipeline over
    /// the same records: ids that wirespan made.
    #[must_use]
    pub fn without_ids(&self) -> String {
        let mut same = self.clone();
        same.span_id.clear();
        let is_linked = same.get("wirespan.link").is_some();
        if is_linked {
            same.parent_span_id.clear();
        }
        if same.parent_span_id.is_empty() {
            same.trace_id.clear();
        }
        format!("{same:?}")
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name)
            .map(|text| text.parse().expect("a count is a number"))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({} µs){}",
            self.line(),
            (self.end_ns - self.start_ns) / 1000,
            if self.failed { " failed" } else { "" }
        )?;
        for (name, value) in &self.attributes {
            write!(f, "\n    {name} = {value}")?;
        }
        Ok(())
    }
}

/// Many spans, for messages.
#[must_use]
pub fn listing(spans: &[Seen]) -> String {
    let lines: Vec<_> = spans.iter().take(40).map(Seen::to_string).collect();
    format!("{} spans:\n{}", spans.len(), lines.join("\n"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn decimal(value: &Value) -> u64 {
    text(value).parse().expect("a time is a decimal string")
}

fn attributes(value: &Value) -> BTreeMap<String, String> {
    list(value)
        .iter()
        .map(|pair| {
            let kinds = pair["value"].as_object().expect("a value has a kind");
            let value = match kinds.values().next() {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            (text(&pair["key"]), value)
        })
        .collect()
}
