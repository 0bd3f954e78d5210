//! Spans as the daemon prints them (OTLP/JSON, a document a line), and what is asked of them. It
//! knows no test.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Lines between which they are.
const BEGIN: &str = "spans begin";
const END: &str = "spans end";

const SERVER: i64 = 2;
const CLIENT: i64 = 3;

/// All that was told.
pub struct Told {
    spans: Vec<ToldSpan>,
}

struct ToldSpan {
    kind: i64,
    id: String,
    parent: String,
    port: i64,
    /// Of the URL, with its parameters.
    path: String,
    status: i64,
}

impl Told {
    pub fn read(said: &[String]) -> Result<Self> {
        let begin = said.iter().position(|line| line == BEGIN);
        let rest = &said[begin.context("there are none")? + 1..];
        let end = rest.iter().position(|line| line == END);
        let mut spans = Vec::new();
        for line in &rest[..end.context("they do not end")?] {
            let document: Value = serde_json::from_str(line).with_context(|| line.clone())?;
            for span in each(&document, &["resourceSpans", "scopeSpans", "spans"]) {
                spans.extend(ToldSpan::read(span));
            }
        }
        Ok(Self { spans })
    }

    /// Requests that were served well on a port, for what begins so.
    pub fn served(&self, port: i64, path: &str) -> usize {
        let is_it = |span: &&ToldSpan| span.port == port && span.path.starts_with(path);
        let served = self.spans.iter().filter(is_it);
        let is_well = |span: &&ToldSpan| span.kind == SERVER && span.status == 200;
        served.filter(is_well).count()
    }

    /// Of calls to a port, how many have the parent that they have to, another one, and none: what
    /// is called for a request has its id, the first segment of the path.
    pub fn linked(&self, port: i64) -> (usize, usize, usize) {
        let calls = self.spans.iter();
        let calls = calls.filter(|span| span.kind == CLIENT && span.port == port);
        let (mut right, mut wrong, mut without) = (0, 0, 0);
        for call in calls {
            let mut served = self.spans.iter().filter(|span| span.kind == SERVER);
            match served.find(|span| span.id == call.parent) {
                Some(parent) if parent.request() == call.request() => right += 1,
                Some(_) => wrong += 1,
                None => without += 1,
            }
        }
        (right, wrong, without)
    }
}

impl ToldSpan {
    fn read(span: &Value) -> Option<Self> {
        let attribute = |name: &str| {
            let mut all = span["attributes"].as_array()?.iter();
            let found = all.find(|attribute| attribute["key"] == name)?;
            found["value"].as_object()?.values().next()
        };
        let text = |name| attribute(name).and_then(Value::as_str);
        let count = |name| attribute(name).and_then(number);
        let url = text("url.full").and_then(|url| url.splitn(4, '/').nth(3));
        Some(Self {
            kind: number(&span["kind"])?,
            id: span["spanId"].as_str()?.to_owned(),
            parent: span["parentSpanId"].as_str().unwrap_or_default().to_owned(),
            port: count("server.port")?,
            path: match (text("url.path"), url) {
                (Some(path), _) => path.to_owned(),
                (None, Some(rest)) => format!("/{rest}"),
                (None, None) => return None,
            },
            status: count("http.response.status_code").unwrap_or_default(),
        })
    }

    fn request(&self) -> Option<&str> {
        self.path.split('/').nth(1)
    }
}

/// What lies at the end of a path of arrays.
fn each<'a>(value: &'a Value, path: &[&str]) -> Vec<&'a Value> {
    let Some((first, rest)) = path.split_first() else {
        return vec![value];
    };
    let all = value[*first].as_array().into_iter().flatten();
    all.flat_map(|value| each(value, rest)).collect()
}

/// 64-bit numbers are texts in JSON.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(kind: i64, id: &str, parent: &str, port: i64, path: &str) -> String {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"kind":{kind},"spanId":"{id}",
"parentSpanId":"{parent}","attributes":[{{"key":"server.port","value":{{"intValue":"{port}"}}}},
{{"key":"url.full","value":{{"stringValue":"http://127.0.0.1:{port}{path}"}}}},
{{"key":"http.response.status_code","value":{{"intValue":"200"}}}}]}}]}}]}}]}}"#
        )
        .replace('\n', "")
    }

    #[test]
    fn calls_are_right_wrong_or_without_parent() {
        let lines = [
            "noise".to_owned(),
            BEGIN.to_owned(),
            span(SERVER, "a", "", 1, "/7/direct"),
            span(SERVER, "b", "", 1, "/8/direct"),
            span(CLIENT, "c", "a", 2, "/7/direct"),
            span(CLIENT, "d", "a", 2, "/8/direct"),
            span(CLIENT, "e", "", 2, "/8/again"),
            END.to_owned(),
        ];
        let told = Told::read(&lines).expect("they are read");
        assert_eq!(told.linked(2), (1, 1, 1));
        assert_eq!((told.served(1, "/"), told.served(1, "/7")), (2, 1));
        assert!(Told::read(&lines[..5]).is_err());
    }
}
