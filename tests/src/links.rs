//! How well calls are linked to the requests that caused them, told by spans that a daemon
//! exported.
//!
//! The truth is in the paths: each request has an id of its own, the first segment of its path
//! (`/r17/…`; of gRPC the first part of the method's full name), and whatever is called for its
//! sake carries the same. So a parent with another id is wrong, whatever it is. Nothing is asked
//! of programs, and nothing is measured but that.

pub mod go;
pub mod java;
mod kept;
mod load;
pub mod python;
pub mod tokio;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

pub use kept::KeptRow;
pub use load::Load;

use crate::spans::{Kind, Seen};

/// Says how many requests a row is made of; 1,000 if it says nothing.
const REQUESTS: &str = "WIRESPAN_LINK_REQUESTS";

/// Requests of a row.
///
/// # Panics
/// The environment says something else than a number.
#[must_use]
pub fn requests() -> usize {
    let told = std::env::var(REQUESTS).ok();
    told.map_or(1000, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{REQUESTS}={text} is no number"))
    })
}

/// Says, and keeps for the table of all, that a row was not run, because the machine lacks what it
/// is about.
pub fn not_run(name: &str) {
    println!("links: {name}: not run");
    KeptRow::not_run().keep(name);
}

/// What became of spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Their parent is what it should be, and in the same trace.
    pub right: usize,
    /// It belongs to another request, to another trace, or is not there.
    pub wrong: usize,
    /// They have none.
    pub none: usize,
}

/// What the spans of a run say.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Client spans of processes that serve: their parent is the server span that caused them.
    pub calls: Counts,
    /// Calls of those that have no parent: they point at a server span that has their id, or at
    /// another one.
    pub pointing: Counts,
    /// Server spans: their parent is a client span of the same exchange. Of those whose client was
    /// not watched there is none.
    pub joins: Counts,
    /// Ids whose spans are all in one trace, of those with several spans.
    pub whole: usize,
    /// Ids whose spans are in several traces.
    pub split: usize,
    /// The wrong ones, in words.
    wrong: Vec<String>,
    /// Calls that have no parent.
    without: Vec<String>,
}

/// What a row must reach, in per cent of the calls.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// At least so many are right.
    pub right: f64,
    /// At most so many are wrong.
    pub wrong: f64,
}

/// Spans of a kind that a message shows.
const SHOWN_MAX: usize = 10;

impl Row {
    /// Looks at all spans of a run.
    #[must_use]
    pub fn of(spans: &[Seen]) -> Self {
        let by_id: HashMap<&str, &Seen> = spans
            .iter()
            .map(|span| (span.span_id.as_str(), span))
            .collect();
        let servers: BTreeSet<&str> = spans
            .iter()
            .filter(|span| span.kind == Kind::Server)
            .map(process)
            .collect();
        let mut row = Self::default();
        let mut traces: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut lens: BTreeMap<&str, usize> = BTreeMap::new();
        for span in spans {
            let Some(id) = id_of(span) else { continue };
            traces.entry(id).or_default().insert(&span.trace_id);
            *lens.entry(id).or_default() += 1;
            if span.kind == Kind::Client && !servers.contains(process(span)) {
                continue;
            }
            let parent = by_id.get(span.parent_span_id.as_str()).copied();
            let is_right = parent.is_some_and(|parent| is_cause(parent, span));
            let counts = match span.kind {
                Kind::Client => &mut row.calls,
                Kind::Server => &mut row.joins,
            };
            if span.parent_span_id.is_empty() {
                counts.none += 1;
                if span.kind == Kind::Client {
                    row.without.push(span.line());
                    row.points(&by_id, span, id);
                }
            } else if is_right {
                counts.right += 1;
            } else {
                counts.wrong += 1;
                let parent = parent.map_or_else(|| "nothing".to_owned(), |it| it.line());
                row.wrong.push(format!("{} is below {parent}", span.line()));
            }
        }
        for (id, traces) in traces {
            match (lens[id], traces.len()) {
                (0 | 1, _) => {}
                (_, 1) => row.whole += 1,
                _ => row.split += 1,
            }
        }
        row
    }

    /// Counts what a call without a parent points at.
    fn points(&mut self, by_id: &HashMap<&str, &Seen>, span: &Seen, id: &str) {
        let is_cause = |[trace, own, _]: &[String; 3]| {
            let request = by_id.get(own.as_str());
            request.is_some_and(|it| {
                it.kind == Kind::Server && it.trace_id == *trace && id_of(it) == Some(id)
            })
        };
        match &span.links[..] {
            [] => self.pointing.none += 1,
            links if links.iter().all(is_cause) => self.pointing.right += 1,
            _ => self.pointing.wrong += 1,
        }
    }

    /// Prints it, keeps it for the table of all, and compares with what it must reach. `calls` is
    /// how many there were, if that is known: what was not seen has no parent either.
    ///
    /// # Panics
    /// It does not reach it.
    pub fn assert(&self, name: &str, calls: Option<usize>, target: Target) {
        println!("links: {name}: {self}");
        let seen = self.calls.sum();
        let all = calls.unwrap_or(seen).max(seen);
        KeptRow::new(
            all,
            self.calls.right,
            self.calls.wrong + self.joins.wrong,
            target,
        )
        .keep(name);
        assert!(all > 0, "{name}: no call was seen");
        let part = |count: usize| 100.0 * count as f64 / all as f64;
        let wrong = part(self.calls.wrong + self.joins.wrong);
        assert!(
            part(self.calls.right) >= target.right && wrong <= target.wrong,
            "{name}: {self} of {all}, but {target:?}\nwrong:\n{}\nwithout:\n{}",
            self.wrong[..self.wrong.len().min(SHOWN_MAX)].join("\n"),
            self.without[..self.without.len().min(SHOWN_MAX)].join("\n"),
        );
    }
}

impl Counts {
    /// All of them.
    #[must_use]
    pub fn sum(self) -> usize {
        self.right + self.wrong + self.none
    }
}

/// The request that a span is about, by its path.
#[must_use]
pub fn id_of(span: &Seen) -> Option<&str> {
    let path = [span.get("url.full"), span.get("url.path")];
    let path = path.into_iter().flatten().next();
    let path = path.map(|text| text.split_once("://").map_or(text, |(_, rest)| rest));
    let path = path.or_else(|| span.get("rpc.method"))?;
    let mut segments = path.split(['/', '.', '?']);
    segments.find(|segment| {
        let digits = segment.strip_prefix('r').unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Looks at calls of which each is made by something that outlives its request, which has its calls
/// for `kept` after its end: all are below the request that has their id, or point at it, by when
/// they began. Returns how many do either.
///
/// # Panics
/// One does neither, or not with that one, or does the other.
#[must_use]
pub fn late_calls(spans: &[Seen], kept: Duration) -> (usize, usize) {
    let places: HashMap<_, _> = spans
        .iter()
        .map(|it| ((it.trace_id.as_str(), it.span_id.as_str()), it))
        .collect();
    let (mut below, mut pointing) = (0, 0);
    for span in spans.iter().filter(|it| it.kind == Kind::Client) {
        let place = match &span.links[..] {
            [] => {
                below += 1;
                [&span.trace_id, &span.parent_span_id]
            }
            [[trace, id, _]] => {
                pointing += 1;
                assert!(span.parent_span_id.is_empty(), "{span}");
                [trace, id]
            }
            several => panic!("{span}: {several:?}"),
        };
        let request = places.get(&(place[0].as_str(), place[1].as_str()));
        let request = request.unwrap_or_else(|| panic!("nobody's: {span}"));
        assert_eq!(
            (request.kind, id_of(request)),
            (Kind::Server, id_of(span)),
            "{span}"
        );
        let late = Duration::from_nanos(span.start_ns.saturating_sub(request.end_ns));
        assert_eq!(late < kept, span.links.is_empty(), "{late:?} late: {span}");
    }
    (below, pointing)
}

/// Which process a span comes from.
fn process(span: &Seen) -> &str {
    let instance = span.resource.get("service.instance.id");
    instance.map(String::as_str).unwrap_or_default()
}

/// Whether a span may be what the other one was made for.
fn is_cause(parent: &Seen, span: &Seen) -> bool {
    let is_in_place = match span.kind {
        Kind::Client => parent.kind == Kind::Server && process(parent) == process(span),
        Kind::Server => parent.kind == Kind::Client,
    };
    is_in_place && id_of(parent) == id_of(span) && parent.trace_id == span.trace_id
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { right, wrong, none } = self;
        write!(f, "{right} right, {wrong} wrong, {none} without")
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "calls {}; of these point {}; joins {}; traces {} whole, {} split",
            self.calls, self.pointing, self.joins, self.whole, self.split
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(kind: Kind, process: &str, path: &str, ids: [&str; 3]) -> Seen {
        let [trace, own, parent] = ids.map(str::to_owned);
        let name = if kind == Kind::Client {
            "url.full"
        } else {
            "url.path"
        };
        Seen {
            name: "GET".into(),
            kind,
            trace_id: trace,
            span_id: own,
            parent_span_id: parent,
            flags: 0,
            trace_state: None,
            start_ns: 0,
            end_ns: 0,
            failed: false,
            attributes: [(name.to_owned(), path.to_owned())].into(),
            events: Vec::new(),
            links: Vec::new(),
            resource: [("service.instance.id".to_owned(), process.to_owned())].into(),
        }
    }

    #[test]
    fn the_id_in_the_path_decides() {
        let spans = [
            span(Kind::Client, "driver", "http://a/r1/x", ["t0", "0", ""]),
            span(Kind::Server, "a", "/r1/x", ["t1", "1", "0"]),
            span(Kind::Server, "a", "/r2/x", ["t2", "2", ""]),
            span(Kind::Client, "a", "http://b:80/r1/y?z=1", ["t1", "3", "1"]),
            span(Kind::Client, "a", "http://b:80/r1/y", ["t2", "4", "2"]),
            span(Kind::Client, "a", "http://b:80/r2/y", ["t5", "5", ""]),
            span(Kind::Client, "a", "http://b:80/r2/y", ["t6", "6", "9"]),
            span(Kind::Server, "b", "/r1/y", ["t1", "7", "3"]),
        ];
        let row = Row::of(&spans);
        let counts = |right, wrong, none| Counts { right, wrong, none };
        assert_eq!(row.calls, counts(1, 2, 1));
        // The driver's span is in another trace.
        assert_eq!(row.joins, counts(1, 1, 1));
        assert_eq!((row.whole, row.split), (0, 2));
    }

    #[test]
    fn methods_of_grpc_have_ids_too() {
        let mut call = span(Kind::Client, "a", "", ["t", "1", ""]);
        call.attributes = [("rpc.method".to_owned(), "r12.Echo/Say".to_owned())].into();
        assert_eq!(id_of(&call), Some("r12"));
    }
}
