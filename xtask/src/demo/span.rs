//! Spans as OTLP/JSON tells them, as far as the demo shows them.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Which side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
    Other,
}

/// One span.
#[derive(Clone, Debug)]
pub struct Span {
    pub service: String,
    pub side: Side,
    pub method: String,
    /// Path, or full URL on clients.
    pub target: String,
    pub status: Option<i64>,
    /// Span status `Error`.
    pub failed: bool,
    pub error: Option<String>,
    pub took_us: u64,
}

/// The spans of one document (a line).
pub fn read(document: &str) -> Result<Vec<Span>> {
    let document: Value = serde_json::from_str(document).context("not a JSON document")?;
    let mut spans = Vec::new();
    for resource in list(&document["resourceSpans"]) {
        let service = text(&resource["resource"]["attributes"], "service.name");
        for scope in list(&resource["scopeSpans"]) {
            for span in list(&scope["spans"]) {
                spans.push(one(service.clone().unwrap_or_default(), span));
            }
        }
    }
    Ok(spans)
}

fn one(service: String, span: &Value) -> Span {
    let attributes = &span["attributes"];
    let target = text(attributes, "url.path").or_else(|| text(attributes, "url.full"));
    let start = number(&span["startTimeUnixNano"]).unwrap_or_default();
    let end = number(&span["endTimeUnixNano"]).unwrap_or_default();
    Span {
        service,
        // Numbers of SpanKind and StatusCode in opentelemetry/proto/trace/v1/trace.proto.
        side: match number(&span["kind"]) {
            Some(2) => Side::Server,
            Some(3) => Side::Client,
            _ => Side::Other,
        },
        method: text(attributes, "http.request.method").unwrap_or_default(),
        target: target.unwrap_or_default(),
        status: attribute(attributes, "http.response.status_code")
            .and_then(|value| number(&value["intValue"])),
        failed: number(&span["status"]["code"]) == Some(2),
        error: text(attributes, "error.type"),
        took_us: end.saturating_sub(start).unsigned_abs() / 1000,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn attribute<'a>(attributes: &'a Value, name: &str) -> Option<&'a Value> {
    list(attributes)
        .find(|attribute| attribute["key"] == name)
        .map(|attribute| &attribute["value"])
}

fn text(attributes: &Value, name: &str) -> Option<String> {
    let value = attribute(attributes, name)?["stringValue"].as_str()?;
    Some(value.to_owned())
}

/// JSON of protobuf writes 64-bit integers as strings; readers take both.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

impl std::fmt::Display for Span {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = match self.side {
            Side::Server => "SERVER",
            Side::Client => "CLIENT",
            Side::Other => "OTHER",
        };
        let milliseconds = self.took_us / 1000;
        let fraction = self.took_us % 1000;
        let Self {
            service,
            method,
            target,
            ..
        } = self;
        write!(
            out,
            "{milliseconds:>5}.{fraction:03} ms  {side}  {service:<10} {method} {target}"
        )?;
        if let Some(status) = self.status {
            write!(out, " {status}")?;
        }
        match &self.error {
            Some(error) if self.failed => write!(out, " ERROR {error}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_from_its_document() {
        let document = r#"{"resourceSpans":[{"resource":{"attributes":[
            {"key":"service.name","value":{"stringValue":"orders"}}]},
            "scopeSpans":[{"spans":[{"kind":2,"startTimeUnixNano":"1000000","endTimeUnixNano":
            "3500000","attributes":[{"key":"url.path","value":{"stringValue":"/a"}},
            {"key":"http.request.method","value":{"stringValue":"GET"}},
            {"key":"http.response.status_code","value":{"intValue":"500"}},
            {"key":"error.type","value":{"stringValue":"500"}}],"status":{"code":2}}]}]}]}"#;
        let spans = read(&document.replace('\n', "")).expect("it is a document");
        let [span] = spans.as_slice() else {
            panic!("one span, not {}", spans.len());
        };
        assert_eq!(span.side, Side::Server);
        assert_eq!(span.status, Some(500));
        assert!(span.failed);
        assert_eq!(
            span.to_string(),
            "    2.500 ms  SERVER  orders     GET /a 500 ERROR 500"
        );
    }

    #[test]
    fn what_is_no_document_is_refused() {
        assert!(read("wirespan: ready").is_err());
    }
}
