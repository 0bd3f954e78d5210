//! What the daemon prints with `BEYLA_TRACE_PRINTER=tree`, read back as far as the demo checks it.

/// Which side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

/// The line of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// How many spans it is below.
    pub depth: usize,
    pub service: String,
    pub side: Side,
    /// What was asked for: method, target, status, and in brackets how its parent is known.
    pub what: String,
    /// Span status `Error`.
    pub failed: bool,
}

/// Trees, line by line.
#[derive(Default)]
pub struct Trees {
    branches: Vec<Branch>,
}

impl Trees {
    /// Takes a line; returns a tree if this was its last.
    pub fn take(&mut self, line: &str) -> Option<Vec<Branch>> {
        if line.is_empty() {
            let tree = std::mem::take(&mut self.branches);
            return (!tree.is_empty()).then_some(tree);
        }
        self.branches.extend(branch(line));
        None
    }
}

/// A mark, a bar, how long it took, lines that lead to it, service, side, the rest. The headline of
/// a trace is none.
fn branch(line: &str) -> Option<Branch> {
    let sides = [(" SERVER ", Side::Server), (" CLIENT ", Side::Client)];
    let mut found = sides
        .into_iter()
        .filter_map(|(word, side)| Some((line.find(word)?, word, side)));
    let (at, word, side) = found.next()?;
    let what = line[at + word.len()..].to_owned();
    let (place, service) = line[..at].rsplit_once(' ')?;
    // Behind the bar there are two blanks for those below nothing, and three columns for each
    // level.
    let (_, limbs) = place.rsplit_once('s').unwrap_or_default();
    Some(Branch {
        depth: limbs.chars().count().saturating_sub(1).div_ceil(3),
        service: service.to_owned(),
        side,
        what,
        failed: line.starts_with('!'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_as_it_is_printed() {
        let lines = "\
trace 95fd584c30f87ee7bde4a6fff5d7b18b  2026-11-27T02:22:21.343799Z  453.000µs  3 spans, 1 failed
  ━━━━━━━━━━━━━━━━━━━━━━━━  453.000µs  nginx SERVER GET /api/orders/999 404
!     ━━━━━━━━━━━━━━━━━━━   343.000µs  ├─ nginx CLIENT GET http://h/api/orders/999 404 [x]
      ━━━━━━━━━━━━━━━━━━    323.000µs  │  └─ orders SERVER GET /api/orders/999 404 [connection]
      ━━                    323.000µs  └─ nginx CLIENT GET http://h/auth 200 [x]
";
        let mut trees = Trees::default();
        for line in lines.lines() {
            assert_eq!(trees.take(line), None);
        }
        let tree = trees.take("").expect("it is over");
        let seen: Vec<_> = tree
            .iter()
            .map(|it| (it.depth, it.service.as_str(), it.side, it.failed))
            .collect();
        let expected = [
            (0, "nginx", Side::Server, false),
            (1, "nginx", Side::Client, true),
            (2, "orders", Side::Server, false),
            (1, "nginx", Side::Client, false),
        ];
        assert_eq!(seen, expected);
        assert_eq!(tree[2].what, "GET /api/orders/999 404 [connection]");
        assert_eq!(trees.take(""), None);
    }
}
