//! Functions of tokio, h2 and tower by their mangled names, legacy (`_ZN…`) and v0 (`_R…`,
//! rust-lang RFC 2603), which are compared piece by piece and not demangled.

use memchr::memmem;

use super::super::TaskPoint;
use crate::discover::tls::rustls::after_pieces;

/// A function that something is to be known of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokioName {
    /// It sets a thread's current task.
    SetsCurrent,
    /// It may bind new tasks to their runtime.
    Binds,
    /// It puts something into a channel.
    Puts,
    /// On its first instruction.
    Point(TaskPoint),
}

use TaskPoint::{TokioAnswers, TokioAnswersBySecond, TokioAsks, TokioPassesOn, TokioPutInBlock};
use TokioName::{Binds, Point, Puts, SetsCurrent};

/// For each function, pieces of its name in the two ways of mangling, legacy and v0, all of which
/// have to be there in this order.
const NAMES: &[(TokioName, &[&str], &[&str])] = &[
    (
        SetsCurrent,
        &[
            "tokio..runtime..task..core..TaskIdGuard",
            "Drop$GT$4drop17h",
        ],
        &["5tokio7runtime4task4core", "11TaskIdGuard", "4Drop4drop"],
    ),
    (
        SetsCurrent,
        &["5tokio7runtime4task4core11TaskIdGuard5enter17h"],
        &["5tokio7runtime4task4core", "11TaskIdGuard5enter"],
    ),
    (
        SetsCurrent,
        &["5tokio7runtime7context19set_current_task_id17h"],
        &["5tokio7runtime7context19set_current_task_id"],
    ),
    (
        Binds,
        &["5tokio7runtime4task4list", "OwnedTasks", "bind"],
        &["5tokio7runtime4task4list", "10OwnedTasks", "bind"],
    ),
    (
        Binds,
        &["5tokio7runtime9scheduler", "Handle", "13bind_new_task17h"],
        &["5tokio7runtime9scheduler", "6Handle", "13bind_new_task"],
    ),
    (
        Binds,
        &["5tokio7runtime9scheduler", "Handle", "5spawn17h"],
        &["5tokio7runtime9scheduler", "6Handle", "5spawn"],
    ),
    (
        Binds,
        &["_ZN5tokio", "spawn"],
        &["5tokio4task5spawn", "5spawn"],
    ),
    (
        Puts,
        &["5tokio4sync4mpsc4list", "Tx$LT$T$GT$4push17h"],
        &["5tokio4sync4mpsc4list", "2Tx", "4push"],
    ),
    (
        Point(TokioPutInBlock),
        &["5tokio4sync4mpsc4list", "Tx$LT$T$GT$10find_block17h"],
        &["5tokio4sync4mpsc4list", "2Tx", "10find_block"],
    ),
    (
        Point(TokioPassesOn),
        &["tower..buffer..worker..Worker$LT$", "Future$GT$4poll17h"],
        &["5tower6buffer6worker", "6Worker", "6Future4poll"],
    ),
    (
        Point(TokioAsks),
        &["2h26client4Peer20convert_send_message17h"],
        &["2h26client", "4Peer20convert_send_message"],
    ),
    (
        Point(TokioAnswers),
        &[
            "_ZN2h25proto7streams7streams",
            "StreamRef$LT$B$GT$13send_response17h",
        ],
        &[
            "2h25proto7streams7streams",
            "9StreamRef",
            "E13send_response",
        ],
    ),
    (
        Point(TokioAnswersBySecond),
        &["_ZN2h26server", "SendResponse$LT$B$GT$13send_response17h"],
        &["2h26server", "12SendResponse", "13send_response"],
    ),
];

/// Length of a hash in legacy mangling, with the `E` that ends the name.
const HASH_LEN: usize = 17;

/// What a mangled name is the name of.
pub(super) fn wanted(name: &[u8]) -> Option<(usize, TokioName)> {
    let legacy = name.starts_with(b"_ZN");
    if !legacy && !name.starts_with(b"_R") {
        return None;
    }
    // What LLVM appends to names of internal functions that it had to rename.
    let own = match memmem::find(name, b".llvm.") {
        Some(end) => &name[..end],
        None => name,
    };
    let is_it = |(wanted, legacy_pieces, v0_pieces): &&(TokioName, &[&str], &[&str])| {
        let pieces = if legacy { legacy_pieces } else { v0_pieces };
        let Some(rest) = after_pieces(own, pieces) else {
            return false;
        };
        // What is made within a function has its name, too. The code tells which binds tasks.
        match (*wanted, legacy) {
            (Binds, _) => true,
            (_, true) => rest == HASH_LEN,
            // The crate that made the copy, by its name or as one that was named before.
            (_, false) => matches!(own[own.len() - rest..], [] | [b'B' | b'C', ..]),
        }
    };
    let found = NAMES.iter().find(is_it);
    found.map(|(wanted, ..)| (name.len(), *wanted))
}
