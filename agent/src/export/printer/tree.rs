//! Traces of this node as trees. Spans come as their exchanges settle, those of one trace over some
//! time, so a trace is held until nothing of it is missing or it has been held for long enough. It
//! shows what was told and no more: what is above a trace elsewhere is named, not waited for.

mod branch;
mod drawing;
mod forest;

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::Pen;
use crate::export::queue::{SinkOutlet, Unsettled};
use crate::health::Loss;
use branch::Branch;
use forest::{Forest, GrownTree};

/// Prints until the sink ends.
pub(super) async fn print(outlet: Arc<SinkOutlet>, mut pen: Pen, colours: bool) {
    let mut forest: Forest<Unsettled> = Forest::default();
    loop {
        let batch = match forest.next_due() {
            Some(at) => timeout_at(at, outlet.next_batch()).await.ok(),
            None => Some(outlet.next_batch().await),
        };
        let now = Instant::now();
        let has_ended = matches!(batch, Some(None));
        if let Some(Some(batch)) = batch {
            let spans = batch.spans();
            let branches: Vec<_> = spans
                .iter()
                .map(|span| (span.trace_id, Branch::of(span, colours)))
                .collect();
            let mut unsettled = batch.into_unsettled();
            for (trace, branch) in branches {
                forest.add(trace, branch, unsettled.take_one(), now);
            }
        }
        if has_ended {
            return show(forest.take_all(), &mut pen, colours).await;
        }
        // What is shown makes room, of which there may still be too little.
        loop {
            let trees = forest.take_due(now, || outlet.is_crowded());
            if trees.is_empty() {
                break;
            }
            show(trees, &mut pen, colours).await;
        }
    }
}

async fn show(trees: Vec<GrownTree<Unsettled>>, pen: &mut Pen, colours: bool) {
    let mut page = pen.page();
    for tree in &trees {
        drawing::draw(&tree.trace, &tree.branches, colours, &mut page);
    }
    let is_written = pen.write(page).await;
    for unsettled in trees.into_iter().flat_map(|tree| tree.held) {
        match is_written {
            true => unsettled.accepted_but(0),
            false => unsettled.lost(Loss::ExportFailed),
        }
    }
}
