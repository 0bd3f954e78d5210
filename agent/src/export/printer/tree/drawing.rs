//! A trace as lines of text: for each span a bar, which is as long as the span took and lies where
//! it was within the trace, and its place below the span that caused it. Whatever parents are named
//! (none that is there, itself, one another in a circle), each span has one line.

use std::collections::HashMap;

use super::super::line::{Line, Tint};
use super::branch::Branch;

/// Columns for the time of the whole trace.
const BAR_COLUMNS: u64 = 24;
/// Levels for which there are columns; those above are not drawn where there are more.
const LEVELS_MAX: usize = 20;

/// Appends the tree, and an empty line.
pub(super) fn draw(trace: &[u8; 16], branches: &[Branch], colours: bool, to: &mut Vec<u8>) {
    let mut line = Line { to, colours };
    let begin = branches.iter().map(|it| it.start_unix_ns).min();
    let end = branches.iter().map(|it| it.end_unix_ns).max();
    let extent = Stretch {
        begin: begin.unwrap_or_default(),
        end: end.unwrap_or_default(),
    };
    head(&mut line, trace, branches, extent);
    let mut levels = Vec::new();
    for at in in_tree(branches) {
        levels.truncate(at.depth);
        let branch = &branches[at.index];
        bar(&mut line, branch, extent);
        line.duration(branch.end_unix_ns.saturating_sub(branch.start_unix_ns));
        line.word("  ");
        limbs(&mut line, &levels, at);
        line.to.extend_from_slice(&branch.text);
        if let Some(parent) = branch.parent.filter(|_| at.depth == 0) {
            let parent = u64::from_be_bytes(parent);
            line.tinted(Tint::Aside, |line| {
                line.format(format_args!(" [its parent is {parent:016x}]"));
            });
        }
        line.word("\n");
        levels.push(at.is_last);
    }
    line.word("\n");
}

/// When a trace was.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    begin: u64,
    end: u64,
}

/// A span's place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Twig {
    index: usize,
    depth: usize,
    /// Of those below the same one.
    is_last: bool,
}

fn head(line: &mut Line<'_>, trace: &[u8; 16], branches: &[Branch], extent: Stretch) {
    let id = u128::from_be_bytes(*trace);
    line.format(format_args!("trace {id:032x}  "));
    line.tinted(Tint::Aside, |line| line.time(extent.begin));
    line.duration(extent.end.saturating_sub(extent.begin));
    let count = branches.len();
    let plural = if count == 1 { "" } else { "s" };
    line.format(format_args!("  {count} span{plural}"));
    let failed = branches.iter().filter(|branch| branch.is_failed).count();
    if failed > 0 {
        line.tinted(Tint::Failed, |line| {
            line.format(format_args!(", {failed} failed"));
        });
    }
    line.word("\n");
}

fn bar(line: &mut Line<'_>, branch: &Branch, extent: Stretch) {
    let (from, to) = columns(branch, extent);
    let is_failed = branch.is_failed;
    line.word(if is_failed { "! " } else { "  " });
    let part = |from: u64, to: u64, mark: &str| mark.repeat((to - from) as usize);
    line.word(&part(0, from, " "));
    let tint = if is_failed { Tint::Failed } else { Tint::Well };
    line.tinted(tint, |line| line.word(&part(from, to, "━")));
    line.word(&part(to, BAR_COLUMNS, " "));
}

/// Where the bar begins and ends: it covers at least a column, and no time that is not the span's
/// but for what its first and last column take.
fn columns(branch: &Branch, extent: Stretch) -> (u64, u64) {
    let whole = u128::from(extent.end.saturating_sub(extent.begin).max(1));
    let scaled = |at: u64| u128::from(at.saturating_sub(extent.begin)) * u128::from(BAR_COLUMNS);
    let from = (scaled(branch.start_unix_ns) / whole) as u64;
    let to = scaled(branch.end_unix_ns).div_ceil(whole) as u64;
    let from = from.min(BAR_COLUMNS - 1);
    (from, to.clamp(from + 1, BAR_COLUMNS))
}

/// The lines that lead from those above to a span; `levels` says of each of them whether it is the
/// last one of its level.
fn limbs(line: &mut Line<'_>, levels: &[bool], at: Twig) {
    if at.depth == 0 {
        return;
    }
    // The roots have no lines between them.
    let above = &levels[1..];
    let skipped = above.len().saturating_sub(LEVELS_MAX - 1);
    if skipped > 0 {
        line.format(format_args!("+{skipped} "));
    }
    for is_last in &above[skipped..] {
        line.word(if *is_last { "   " } else { "│  " });
    }
    line.word(if at.is_last { "└─ " } else { "├─ " });
}

/// All spans, each behind the one that it is below, those of one level in the order of time.
fn in_tree(branches: &[Branch]) -> Vec<Twig> {
    let mut places: HashMap<[u8; 8], usize> = HashMap::new();
    for (index, branch) in branches.iter().enumerate() {
        places.entry(branch.span).or_insert(index);
    }
    let mut below = vec![Vec::new(); branches.len()];
    let mut in_time: Vec<usize> = (0..branches.len()).collect();
    in_time.sort_by_key(|index| {
        let branch = &branches[*index];
        (branch.start_unix_ns, std::cmp::Reverse(branch.end_unix_ns))
    });
    let mut roots = Vec::new();
    for index in in_time.iter().copied() {
        let parent = branches[index].parent.and_then(|it| places.get(&it));
        match parent.filter(|parent| **parent != index) {
            Some(parent) => below[*parent].push(index),
            None => roots.push(index),
        }
    }
    let mut twigs = Vec::with_capacity(branches.len());
    let mut is_placed = vec![false; branches.len()];
    // Those that no root leads to are below one another in a circle, which begins somewhere.
    for root in roots.into_iter().chain(in_time) {
        let mut next = vec![Twig {
            index: root,
            depth: 0,
            is_last: true,
        }];
        while let Some(twig) = next.pop() {
            if std::mem::replace(&mut is_placed[twig.index], true) {
                continue;
            }
            twigs.push(twig);
            let children = std::mem::take(&mut below[twig.index]);
            let mut is_last = true;
            for index in children.into_iter().rev() {
                if !is_placed[index] {
                    next.push(Twig {
                        index,
                        depth: twig.depth + 1,
                        is_last,
                    });
                    is_last = false;
                }
            }
        }
    }
    twigs
}

#[cfg(test)]
mod tests;
