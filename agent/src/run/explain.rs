//! `wirespan explain`: what is known of a process, and then what becomes of what it says for a
//! while, from its bytes to the last loss. It watches beside any other daemon, and no span leaves.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::daemon::{Daemon, Ended};
use super::{SETTLE_MAX, give_up_rights, left};
use crate::config::{Config, HealthCheckConfig, PrinterFormat};
use crate::discover::ProcRoot;
use crate::ending::{Ending, Event};
use crate::health::Health;
use crate::inspect::{Absent, Explanation};
use crate::page::{self, Readers};
use crate::report;
use crate::semconv;

/// Says all there is to say of a process, watching it for so long.
///
/// # Errors
/// There is no such process, or it can't be looked at; standard output can't be written to; or what
/// keeps a run from starting.
pub fn explain(
    mut config: Config,
    pid: u32,
    watch: Duration,
    ending: &Ending,
) -> anyhow::Result<()> {
    ending.reconfigure(&config.ending);
    let root = ProcRoot::host();
    root.check_pids()?;
    if let Some(absent) = Absent::of(&root, pid) {
        anyhow::bail!("{pid} can't be explained: {absent}");
    }
    let pods = crate::inspect::pods(&config, None).unwrap_or_default();
    let explanation = Explanation::of(&root, &config, &pods, pid)
        .with_context(|| format!("process {pid} has gone, or it can't be looked at"))?;
    if page::say(|page| explanation.write(page))? == Readers::Left || watch.is_zero() {
        return Ok(());
    }
    config.discover.targets = crate::config::Targets {
        pids: vec![pid],
        ..Default::default()
    };
    config.traces.otlp = None;
    config.traces.printer = PrinterFormat::Json;
    config.metrics = None;
    config.health_check = HealthCheckConfig::default();
    let rights = give_up_rights(&config);
    let health = Arc::new(Health::default());
    let said = SpansSaid::default();
    let daemon = Daemon::start_to(config, said.clone(), ending, Arc::clone(&health))
        .context("what it says can't be watched")?;
    rights.tell();
    // What it says until then is not all read.
    let settled = ending.wait(SETTLE_MAX);
    let asked = matches!(settled, Some(Event::Asked(_))) || {
        let strategy = daemon.strategy;
        page::say(|page| writeln!(page, "what it says, for {watch:?}, by {strategy}"))?;
        matches!(ending.wait(watch), Some(Event::Asked(_)))
    };
    ending.begin();
    let (finished, detached): Ended = daemon.end(ending)?;
    ending.has_spoken();
    page::say(|page| {
        if asked {
            writeln!(page, "  ended before its time")?;
        }
        writeln!(page, "  spans: {}", said.counted())?;
        report::of_process(&health, &finished)
            .into_iter()
            .try_for_each(|line| writeln!(page, "  {line}"))
    })?;
    let _ = detached.recv_timeout(left(ending));
    Ok(())
}

/// Counts spans by what was said, as they are printed.
#[derive(Clone, Debug, Default)]
pub(super) struct SpansSaid(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    /// A document that has not come whole.
    line: Vec<u8>,
    spans: BTreeMap<String, u64>,
}

impl SpansSaid {
    fn counted(&self) -> String {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = counted.spans.iter();
        let each: Vec<_> = each
            .map(|(what, count)| format!("{what} {count}"))
            .collect();
        if each.is_empty() {
            return "none".to_owned();
        }
        each.join(", ")
    }
}

impl Write for SpansSaid {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            counted.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut counted.line);
                counted.take(&line);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Counted {
    /// A document of OTLP/JSON.
    fn take(&mut self, line: &[u8]) {
        let Ok(document) = serde_json::from_slice::<Value>(line) else {
            return;
        };
        let resources = document["resourceSpans"].as_array().into_iter().flatten();
        let scopes = resources.flat_map(|it| it["scopeSpans"].as_array().into_iter().flatten());
        for span in scopes.flat_map(|it| it["spans"].as_array().into_iter().flatten()) {
            *self.spans.entry(what(span)).or_default() += 1;
        }
    }
}

/// What was said, and in which role: `server of HTTP/1.1`.
fn what(span: &Value) -> String {
    let attribute = |name: &str| {
        let mut attributes = span["attributes"].as_array()?.iter();
        attributes.find(|it| it["key"] == name)?["value"]["stringValue"].as_str()
    };
    let role = match span["kind"].as_u64() {
        Some(2) => "server of",
        Some(3) => "client of",
        _ => "within",
    };
    let version = attribute(semconv::NETWORK_PROTOCOL_VERSION).unwrap_or_default();
    let said = [semconv::DB_SYSTEM_NAME, semconv::RPC_SYSTEM_NAME]
        .into_iter()
        .find_map(attribute);
    let is_http = attribute(semconv::HTTP_REQUEST_METHOD).is_some();
    match said {
        Some(system) => format!("{role} {system}"),
        None if is_http && !version.is_empty() => format!("{role} HTTP/{version}"),
        None => format!("{role} HTTP"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_counted_by_what_was_said() {
        let text = |key: &str, value: &str| {
            format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
        };
        let http = format!(
            r#"{{"kind":2,"attributes":[{},{}]}}"#,
            text("http.request.method", "GET"),
            text("network.protocol.version", "1.1")
        );
        let redis = format!(
            r#"{{"kind":3,"attributes":[{}]}}"#,
            text("db.system.name", "redis")
        );
        let document = format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{http},{redis},{http}]}}]}}]}}"#
        );
        let mut said = SpansSaid::default();
        assert_eq!(said.counted(), "none");
        let document = format!("{document}\n");
        // Writes are cut anywhere.
        for piece in document.as_bytes().chunks(7) {
            said.write_all(piece).expect("it takes all");
        }
        assert_eq!(said.counted(), "client of redis 1, server of HTTP/1.1 2");
    }
}
