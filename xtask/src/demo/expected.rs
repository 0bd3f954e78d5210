//! The spans that one round of the demo's requests must leave.

use super::span::{Side, Span};

/// A kind of span, and in how many of the round's requests it takes part at least.
struct Expected {
    what: &'static str,
    service: &'static str,
    side: Side,
    status: i64,
    failed: bool,
}

const fn expected(
    what: &'static str,
    service: &'static str,
    side: Side,
    status: i64,
    failed: bool,
) -> Expected {
    Expected {
        what,
        service,
        side,
        status,
        failed,
    }
}

const EXPECTED: [Expected; 11] = {
    use Side::{Client, Server};
    [
        expected("nginx served a request", "nginx", Server, 200, false),
        expected("nginx called orders", "nginx", Client, 200, false),
        expected("orders served a request", "orders", Server, 200, false),
        expected("orders called stock", "orders", Client, 200, false),
        expected("stock served a request", "stock", Server, 200, false),
        // A server's 404 is no error of the server, a client's is one of the client.
        expected("nginx served a 404", "nginx", Server, 404, false),
        expected("nginx received a 404, an error", "nginx", Client, 404, true),
        expected("orders served a 500, an error", "orders", Server, 500, true),
        expected("nginx served a 500, an error", "nginx", Server, 500, true),
        expected(
            "orders received a 503, an error",
            "orders",
            Client,
            503,
            true,
        ),
        expected("stock served a 503, an error", "stock", Server, 503, true),
    ]
};

/// What was seen of what was expected.
#[derive(Default)]
pub struct Checklist {
    seen: [bool; EXPECTED.len()],
}

impl Checklist {
    /// Notes a span.
    pub fn tick(&mut self, span: &Span) {
        for (expected, seen) in EXPECTED.iter().zip(&mut self.seen) {
            *seen |= span.service.contains(expected.service)
                && span.side == expected.side
                && span.status == Some(expected.status)
                && span.failed == expected.failed
                && span.method == "GET";
        }
    }

    /// Whether all came.
    pub fn is_complete(&self) -> bool {
        self.seen.iter().all(|seen| *seen)
    }

    /// What did not come.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        let unseen = EXPECTED.iter().zip(self.seen).filter(|(_, seen)| !seen);
        unseen.map(|(expected, _)| expected.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(expected: &Expected) -> Span {
        Span {
            service: expected.service.into(),
            side: expected.side,
            method: "GET".into(),
            target: String::new(),
            status: Some(expected.status),
            failed: expected.failed,
            error: None,
            took_us: 1,
        }
    }

    #[test]
    fn it_is_complete_with_the_last_span_only() {
        let mut checklist = Checklist::default();
        for (place, expected) in EXPECTED.iter().enumerate() {
            assert!(!checklist.is_complete());
            assert_eq!(checklist.missing().count(), EXPECTED.len() - place);
            checklist.tick(&span(expected));
        }
        assert!(checklist.is_complete());
    }

    #[test]
    fn a_500_that_is_no_error_does_not_count() {
        let mut checklist = Checklist::default();
        checklist.tick(&Span {
            failed: false,
            ..span(&EXPECTED[7])
        });
        assert_eq!(checklist.missing().count(), EXPECTED.len());
    }
}
