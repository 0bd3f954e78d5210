//! What each service asks for, whether its calls are to be linked by now, and how many of them are.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use crate::links::{KeptRow, Target, id_of};
use crate::spans::{Kind, Seen};

/// A service, and what is to become of its calls.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// `service.name`.
    pub name: &'static str,
    /// What it asks for, for each request that it serves.
    pub calls: &'static [Call],
    /// In per cent, at least so many of its calls are below the request that they were made for; 0
    /// where its runtime's tasks can't be told apart yet.
    pub linked_min: f64,
}

/// Whom a service asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A service, by name.
    To(&'static str),
    /// Redis.
    Redis,
}

/// All of them. Who teaches the agent to link a runtime raises its number here.
pub const SERVICES: [Service; 8] = [
    service("nginx", &[Call::To("cart")], 99.9),
    service("cart", &[Call::To("catalogue"), Call::To("prices")], 99.0),
    service("catalogue", &[Call::To("stock")], 99.9),
    service("stock", &[Call::Redis], 99.0),
    service("prices", &[Call::To("taxes")], 99.0),
    // With the script.
    service("taxes", &[Call::To("shipping")], 99.0),
    service("shipping", &[Call::Redis], 95.0),
    service("redis-server", &[], 0.0),
];

const fn service(name: &'static str, calls: &'static [Call], linked_min: f64) -> Service {
    Service {
        name,
        calls,
        linked_min,
    }
}

/// What the spans of one order look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Calls of each service that are below the request that they were made for.
    pub linked: BTreeMap<String, usize>,
    /// Calls of each service without a parent.
    pub alone: BTreeMap<String, usize>,
    /// Orders all of whose spans are there, each in its place, and in as many traces as there are
    /// calls without a parent, and one.
    pub whole: usize,
    /// Spans below others than those that caused them: whose, and in words.
    pub wrong: Vec<(String, String)>,
}

impl Sight {
    /// Looks at the spans of the orders of a series, which were so many.
    ///
    /// # Panics
    /// A span's id is not known.
    #[must_use]
    pub fn of(spans: &[Seen], series: u8) -> Self {
        let by_id: HashMap<_, _> = spans.iter().map(|it| (it.span_id.as_str(), it)).collect();
        let parent = |span: &Seen| by_id.get(span.parent_span_id.as_str()).copied();
        let own = format!("r{series}");
        // Of commands of Redis: of the request for which they were sent, as far as that is known.
        let order_of = |span: &Seen| {
            let mut at = span.clone();
            while id_of(&at).is_none() {
                at = parent(&at)?.clone();
            }
            id_of(&at).map(str::to_owned)
        };
        let mut sight = Self::default();
        let mut orders: BTreeMap<String, Vec<&Seen>> = BTreeMap::new();
        for span in spans {
            if let Some(order) = order_of(span).filter(|order| order.starts_with(&own)) {
                sight.look_at(span, parent(span), &order, order_of(span));
                orders.entry(order).or_default().push(span);
            }
        }
        sight.whole = orders.values().filter(|spans| is_whole(spans)).count();
        sight
    }

    fn look_at(&mut self, span: &Seen, parent: Option<&Seen>, order: &str, of: Option<String>) {
        let name = name_of(span).to_owned();
        let Some(parent) = parent else {
            if !span.parent_span_id.is_empty() {
                let what = format!("{} is below nothing", span.line());
                self.wrong.push((name, what));
            } else if span.kind == Kind::Client {
                *self.alone.entry(name).or_default() += 1;
            }
            return;
        };
        let is_in_place = match span.kind {
            Kind::Client => parent.kind == Kind::Server && name_of(parent) == name,
            Kind::Server => parent.kind == Kind::Client && name_of(parent) != name,
        };
        let is_same = parent.trace_id == span.trace_id && of.as_deref() == Some(order);
        let ids_agree = id_of(parent).is_none_or(|id| id == order);
        if !is_in_place || !is_same || !ids_agree {
            let what = format!("{} is below {}", span.line(), parent.line());
            self.wrong.push((name, what));
        } else if span.kind == Kind::Client {
            *self.linked.entry(name).or_default() += 1;
        }
    }

    /// How many of `orders` orders' calls of a service are linked, in per cent.
    #[must_use]
    pub fn linked_part(&self, service: &Service, orders: usize) -> f64 {
        let calls = orders * service.calls.len();
        let linked = self.linked.get(service.name).copied().unwrap_or_default();
        100.0 * linked as f64 / calls.max(1) as f64
    }

    /// What became of the calls of each service, a line each.
    #[must_use]
    pub fn table(&self, orders: usize) -> String {
        let mut text = String::new();
        for service in SERVICES.iter().filter(|it| !it.calls.is_empty()) {
            let alone = self.alone.get(service.name).copied().unwrap_or_default();
            let part = self.linked_part(service, orders);
            let Service {
                name, linked_min, ..
            } = service;
            let _ = writeln!(
                text,
                "shop: {name:<10} {part:>7.2}% linked (at least {linked_min}%), {alone} without"
            );
        }
        let _ = write!(text, "shop: {} of {orders} orders whole", self.whole);
        text
    }

    /// A row for each service whose calls are to be linked.
    fn keep(&self, orders: usize) {
        for service in SERVICES.iter().filter(|it| it.linked_min > 0.0) {
            let linked = self.linked.get(service.name).copied().unwrap_or_default();
            let of_service = |(name, _): &&(String, String)| name == service.name;
            let row = KeptRow {
                requests: orders,
                all: orders * service.calls.len(),
                right: linked,
                wrong: self.wrong.iter().filter(of_service).count(),
                target: Target {
                    right: service.linked_min,
                    wrong: 0.0,
                },
            };
            row.keep(service.name);
        }
    }

    /// Compares with what is to be.
    ///
    /// # Panics
    /// It is not so.
    pub fn assert(&self, orders: usize) {
        println!("{}", self.table(orders));
        self.keep(orders);
        let shown = self.wrong.iter().take(10);
        let shown: Vec<_> = shown
            .map(|(name, what)| format!("{name}: {what}"))
            .collect();
        assert!(self.wrong.is_empty(), "wrong:\n{}", shown.join("\n"));
        for service in &SERVICES {
            let part = self.linked_part(service, orders);
            assert!(part >= service.linked_min, "{}", self.table(orders));
        }
        // Of those without a link for their command of Redis, its spans are not known.
        let whole_min = orders * 90 / 100;
        assert!(self.whole >= whole_min, "{}", self.table(orders));
    }
}

/// Whether each service served once and asked whom it asks, and traces begin where nothing is
/// above. Commands of Redis that were not linked are not among the spans.
fn is_whole(spans: &[&Seen]) -> bool {
    let count = |name: &str, kind: Kind| {
        let all = spans.iter();
        all.filter(|it| name_of(it) == name && it.kind == kind)
            .count()
    };
    let is_told = |service: &Service| {
        let calls = service.calls.len();
        count(service.name, Kind::Server) == 1 && count(service.name, Kind::Client) == calls
    };
    let redis = SERVICES.iter().flat_map(|it| it.calls);
    let redis = redis.filter(|call| **call == Call::Redis).count();
    let (named, last) = SERVICES.split_at(SERVICES.len() - 1);
    let mut traces: Vec<_> = spans.iter().map(|it| it.trace_id.as_str()).collect();
    traces.sort_unstable();
    traces.dedup();
    let roots = spans.iter().filter(|it| it.parent_span_id.is_empty());
    named.iter().all(is_told)
        && count(last[0].name, Kind::Server) == redis
        && traces.len() == roots.count()
}

fn name_of(span: &Seen) -> &str {
    let name = span.resource.get("service.name");
    name.map(String::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An order as it is to be: name, kind, place of its parent.
    const ORDER: [(&str, Kind, usize); 17] = {
        use Kind::{Client, Server};
        [
            ("nginx", Server, 0),
            ("nginx", Client, 1),
            ("cart", Server, 2),
            ("cart", Client, 3),
            ("catalogue", Server, 4),
            ("catalogue", Client, 5),
            ("stock", Server, 6),
            ("stock", Client, 7),
            ("redis-server", Server, 8),
            ("cart", Client, 3),
            ("prices", Server, 10),
            ("prices", Client, 11),
            ("taxes", Server, 12),
            ("taxes", Client, 13),
            ("shipping", Server, 14),
            ("shipping", Client, 15),
            ("redis-server", Server, 16),
        ]
    };

    fn order(id: &str) -> Vec<Seen> {
        let span = |(place, (name, kind, parent)): (usize, &(&str, Kind, usize))| {
            let is_redis = matches!(place, 7 | 8 | 15 | 16);
            let path = (!is_redis).then(|| ("url.path".to_owned(), format!("/{id}/x")));
            Seen {
                name: "GET".into(),
                kind: *kind,
                trace_id: id.into(),
                span_id: format!("{id}-{}", place + 1),
                parent_span_id: match parent {
                    0 => String::new(),
                    parent => format!("{id}-{parent}"),
                },
                flags: 0,
                trace_state: None,
                start_ns: 0,
                end_ns: 0,
                failed: false,
                attributes: path.into_iter().collect(),
                events: Vec::new(),
                links: Vec::new(),
                resource: [("service.name".to_owned(), (*name).to_owned())].into(),
            }
        };
        ORDER.iter().enumerate().map(span).collect()
    }

    #[test]
    fn an_order_as_it_should_be_is_whole() {
        let mut spans = order("r11");
        spans.extend(order("r12"));
        spans.extend(order("r21"));
        let sight = Sight::of(&spans, 1);
        assert_eq!((sight.whole, &sight.wrong[..]), (2, &[][..]));
        sight.assert(2);
    }

    #[test]
    fn a_call_of_another_order_is_wrong_and_one_that_is_alone_is_not() {
        let mut spans = order("r11");
        spans.extend(order("r12"));
        let root = spans[12].clone();
        // prices asks for taxes in a trace of its own.
        for span in &mut spans[11..17] {
            span.trace_id = "another".into();
        }
        spans[11].parent_span_id = String::new();
        assert_eq!(root.kind, Kind::Server);
        let sight = Sight::of(&spans, 1);
        assert_eq!((sight.whole, sight.wrong.len()), (2, 0));
        assert_eq!(sight.alone["prices"], 1);

        // One of Redis's is below another order's.
        spans[7].parent_span_id = "r12-7".into();
        let sight = Sight::of(&spans, 1);
        assert_eq!((sight.whole, sight.wrong.len()), (0, 1), "{sight:?}");
        // Or one of the others.
        let mut spans = order("r11");
        spans.extend(order("r12"));
        spans[5].parent_span_id = "r12-5".into();
        assert_eq!(Sight::of(&spans, 1).wrong.len(), 1);
    }
}
