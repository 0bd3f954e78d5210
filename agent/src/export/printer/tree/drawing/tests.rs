//! What trees look like, and that odd ones are drawn, too.

use super::*;

fn branch(span: u8, parent: u8, (start, end): (u64, u64), text: &str) -> Branch {
    Branch {
        span: [span; 8],
        parent: (parent != 0).then_some([parent; 8]),
        link: None,
        start_unix_ns: 1_000_000 * start,
        end_unix_ns: 1_000_000 * end,
        is_failed: text.contains("500"),
        text: text.into(),
    }
}

fn drawn(branches: &[Branch]) -> String {
    let mut page = Vec::new();
    draw(&[0xab; 16], branches, false, &mut page);
    String::from_utf8(page).expect("it is text")
}

#[test]
fn each_span_is_below_the_one_that_caused_it_and_has_a_bar() {
    let tree = drawn(&[
        branch(5, 4, (13, 23), "stock SERVER GET /b 200"),
        branch(2, 1, (1, 24), "nginx CLIENT GET /a 500"),
        branch(4, 3, (12, 24), "orders CLIENT GET /b 200"),
        branch(6, 3, (6, 6), "orders CLIENT redis GET ?"),
        branch(3, 2, (2, 24), "orders SERVER GET /a 500"),
        branch(1, 0, (0, 24), "nginx SERVER GET /a 500"),
    ]);
    let expected = "\
trace abababababababababababababababab  1970-01-01T00:00:00.000000Z   24.000ms  6 spans, 3 failed
! ━━━━━━━━━━━━━━━━━━━━━━━━   24.000ms  nginx SERVER GET /a 500
!  ━━━━━━━━━━━━━━━━━━━━━━━   23.000ms  └─ nginx CLIENT GET /a 500
!   ━━━━━━━━━━━━━━━━━━━━━━   22.000ms     └─ orders SERVER GET /a 500
        ━                     0.000ns        ├─ orders CLIENT redis GET ?
              ━━━━━━━━━━━━   12.000ms        └─ orders CLIENT GET /b 200
               ━━━━━━━━━━    10.000ms           └─ stock SERVER GET /b 200

";
    assert_eq!(tree, expected, "\n{tree}");
}

#[test]
fn an_orphan_is_a_root_that_names_its_parent() {
    let tree = drawn(&[
        branch(2, 1, (0, 2), "a CLIENT GET /a"),
        branch(3, 9, (1, 2), "b SERVER GET /a"),
    ]);
    let lines: Vec<_> = tree.lines().skip(1).collect();
    assert!(lines[0].ends_with("  a CLIENT GET /a [its parent is 0101010101010101]"));
    assert!(lines[1].ends_with("  b SERVER GET /a [its parent is 0909090909090909]"));
}

#[test]
fn whatever_parents_are_named_each_span_has_one_line() {
    let circles = [
        branch(1, 1, (0, 1), "<itself>"),
        branch(2, 3, (0, 1), "<one>"),
        branch(3, 2, (0, 1), "<other>"),
        branch(4, 0, (0, 1), "<twice>"),
        branch(4, 0, (0, 1), "<again>"),
        branch(5, 4, (0, 1), "<below>"),
        // A clock was set back.
        branch(6, 4, (9, 1), "<backwards>"),
    ];
    let tree = drawn(&circles);
    for branch in &circles {
        let text = std::str::from_utf8(&branch.text).expect("it is text");
        assert_eq!(tree.matches(text).count(), 1, "{tree}");
    }
}

#[test]
fn what_is_deep_stays_within_its_columns() {
    let mut chain: Vec<_> = (1..=200)
        .map(|depth| branch(depth, depth - 1, (0, 1), "x SERVER GET /"))
        .collect();
    chain.reverse();
    let tree = drawn(&chain);
    assert_eq!(tree.lines().count(), 202);
    assert!(
        tree.lines().all(|line| line.chars().count() < 130),
        "{tree}"
    );
    assert!(tree.contains("+179 "), "{tree}");
}

#[test]
fn a_bar_covers_a_column_wherever_its_span_is() {
    let extent = Stretch { begin: 0, end: 0 };
    assert_eq!(columns(&branch(1, 0, (0, 0), ""), extent), (0, 1));
    let extent = Stretch {
        begin: 0,
        end: u64::MAX,
    };
    let mut last = branch(1, 0, (0, 0), "");
    (last.start_unix_ns, last.end_unix_ns) = (u64::MAX, u64::MAX);
    assert_eq!(columns(&last, extent), (BAR_COLUMNS - 1, BAR_COLUMNS));
}
