//! The traces that one round of the demo's requests must leave: one for each request.

use super::tree::{Branch, Side};

/// A request, and its trace from the top down: each span is below the one before.
struct Expected {
    path: &'static str,
    spans: &'static [ExpectedSpan],
}

/// Service, side, status, and whether the conventions call that an error: of a server's 404 they
/// don't, of a client's they do.
type ExpectedSpan = (&'static str, Side, u16, bool);

const EXPECTED: [Expected; 4] = {
    use Side::{Client, Server};
    [
        Expected {
            path: "/api/orders",
            spans: &[
                ("nginx", Server, 200, false),
                ("nginx", Client, 200, false),
                ("orders", Server, 200, false),
            ],
        },
        Expected {
            path: "/api/orders/7",
            spans: &[
                ("nginx", Server, 200, false),
                ("nginx", Client, 200, false),
                ("orders", Server, 200, false),
                ("orders", Client, 200, false),
                ("stock", Server, 200, false),
            ],
        },
        Expected {
            path: "/api/orders/999",
            spans: &[
                ("nginx", Server, 404, false),
                ("nginx", Client, 404, true),
                ("orders", Server, 404, false),
            ],
        },
        Expected {
            path: "/api/orders/broken",
            spans: &[
                ("nginx", Server, 500, true),
                ("nginx", Client, 500, true),
                ("orders", Server, 500, true),
                ("orders", Client, 503, true),
                ("stock", Server, 503, true),
            ],
        },
    ]
};

/// What was seen of what was expected.
#[derive(Default)]
pub struct Checklist {
    seen: [bool; EXPECTED.len()],
}

impl Checklist {
    /// Notes a trace.
    pub fn tick(&mut self, tree: &[Branch]) {
        for (expected, seen) in EXPECTED.iter().zip(&mut self.seen) {
            *seen |= expected.is(tree);
        }
    }

    /// Whether all came.
    pub fn is_complete(&self) -> bool {
        self.seen.iter().all(|seen| *seen)
    }

    /// Requests whose traces did not come.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        let unseen = EXPECTED.iter().zip(self.seen).filter(|(_, seen)| !seen);
        unseen.map(|(expected, _)| expected.path)
    }
}

impl Expected {
    fn is(&self, tree: &[Branch]) -> bool {
        let first = format!("GET {} ", self.path);
        let is_span = |(depth, (branch, expected)): (usize, (&Branch, &ExpectedSpan))| {
            let (service, side, status, failed) = expected;
            branch.depth == depth
                && branch.service == *service
                && branch.side == *side
                && branch.failed == *failed
                && branch
                    .what
                    .split(' ')
                    .any(|word| word == status.to_string())
        };
        tree.len() == self.spans.len()
            && tree
                .first()
                .is_some_and(|root| root.what.starts_with(&first))
            && tree.iter().zip(self.spans).enumerate().all(is_span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(expected: &Expected) -> Vec<Branch> {
        let branch = |(depth, span): (usize, &ExpectedSpan)| Branch {
            depth,
            service: span.0.into(),
            side: span.1,
            what: format!("GET {} {}", expected.path, span.2),
            failed: span.3,
        };
        expected.spans.iter().enumerate().map(branch).collect()
    }

    #[test]
    fn it_is_complete_with_the_last_trace_only() {
        let mut checklist = Checklist::default();
        for (place, expected) in EXPECTED.iter().enumerate() {
            assert!(!checklist.is_complete());
            assert_eq!(checklist.missing().count(), EXPECTED.len() - place);
            checklist.tick(&tree(expected));
        }
        assert!(checklist.is_complete());
    }

    #[test]
    fn a_trace_that_is_torn_or_lacks_an_error_does_not_count() {
        let mut checklist = Checklist::default();
        let whole = tree(&EXPECTED[3]);
        let (above, below) = whole.split_at(3);
        checklist.tick(above);
        checklist.tick(below);
        let mut fine = whole.clone();
        fine[4].failed = false;
        checklist.tick(&fine);
        let mut flat = whole;
        flat[4].depth = 1;
        checklist.tick(&flat);
        assert_eq!(checklist.missing().count(), EXPECTED.len());
    }
}
