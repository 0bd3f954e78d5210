//! Descriptions of processes, each in its time: who hangs whoever looks at it, or has its file on a
//! file system that does not answer, is described by what is known without. It selects nothing.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::blocking::{BlockingPool, Bounds, LookTicket};
use crate::discover::{Describer, ProcRoot, Process};
use crate::visible::Visible;

/// A look that is under way.
struct InspectLook {
    pid: u32,
    /// What is known before any file is read.
    first: Arc<Mutex<Option<Process>>>,
}

impl InspectLook {
    /// What there is without the look's end.
    fn so_far(&self, describer: &Describer) -> Option<Process> {
        let first = self.first.lock();
        let first = first.unwrap_or_else(PoisonError::into_inner).take();
        first.or_else(|| describer.glance(self.pid))
    }
}

/// The processes of `pids` that have not gone, in no order.
pub fn described(
    root: &ProcRoot,
    describer: &Describer,
    pids: impl IntoIterator<Item = u32>,
) -> Vec<Process> {
    let pids: Vec<u32> = pids.into_iter().collect();
    let bounds = Bounds {
        waiting_max: pids.len(),
        ..Bounds::default()
    };
    let (tell, told) = channel();
    let pool = BlockingPool::new("look", bounds, move |ticket, found: Option<Option<_>>| {
        // Without an owner nobody wants to know.
        let _ = tell.send((ticket, found));
    });
    let mut under_way = HashMap::new();
    let mut processes = Vec::new();
    for pid in pids {
        let first = Arc::new(Mutex::new(None));
        let (of_look, looker) = (Arc::clone(&first), describer.clone());
        let look = move || {
            looker.describe_in_steps(pid, |process| {
                *of_look.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.clone());
            })
        };
        let look = pool.look(root.user(pid).into(), look);
        let look = look.map(|ticket| under_way.insert(ticket, InspectLook { pid, first }));
        if look.is_err() {
            processes.extend(describer.glance(pid));
        }
    }
    while !under_way.is_empty() {
        processes.extend(next(&pool, &told, &bounds, &mut under_way, describer));
    }
    processes
}

/// Waits until a look has ended or is given up.
fn next(
    pool: &BlockingPool<Option<Process>>,
    told: &Receiver<(LookTicket, Option<Option<Process>>)>,
    bounds: &Bounds,
    under_way: &mut HashMap<LookTicket, InspectLook>,
    describer: &Describer,
) -> Vec<Process> {
    let now = Instant::now();
    let until = pool.next_due().unwrap_or(now + bounds.patience);
    if let Ok((ticket, found)) = told.recv_timeout(until.saturating_duration_since(now)) {
        let look = under_way.remove(&ticket);
        // One that was given up is told already; one that panicked told why.
        return look
            .and_then(|look| found.unwrap_or_else(|| look.so_far(describer)))
            .into_iter()
            .collect();
    }
    let given_up = pool.give_up(Instant::now()).into_iter();
    given_up
        .filter_map(|ticket| {
            let process = under_way.remove(&ticket)?.so_far(describer)?;
            log::warn!(
                "pid {}: looking at it takes too long (a file system that does not answer?): what \
                 is told of it is not all",
                Visible(process.pid)
            );
            Some(process)
        })
        .collect()
}
