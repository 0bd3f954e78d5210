//! Takes probes off, many at a time. The kernel waits for all processors each time, tens of
//! milliseconds long, and nobody else has to wait for that. It decides nothing.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

use super::standing::{Closing, Standing};

/// Links that are closed at the same time. Those who wait in the kernel share what they wait for.
const CLOSERS_MAX: usize = 128;

/// Starts the thread that closes links as they come. It ends with what they come from.
///
/// # Errors
/// No thread can be started.
pub fn start(standing: &Arc<Standing>, closings: Receiver<Closing>) -> std::io::Result<()> {
    let standing = Arc::downgrade(standing);
    let busy = Arc::new(Busy::default());
    let run = move || {
        for closing in closings {
            busy.begin();
            let task = CloserTask {
                closing: Some(closing),
                standing: Weak::clone(&standing),
                busy: Arc::clone(&busy),
            };
            // Where there is no thread to be had, it is dropped here.
            let _ = std::thread::Builder::new().spawn(move || drop(task));
        }
    };
    std::thread::Builder::new()
        .name("tls-detach".into())
        .spawn(run)?;
    Ok(())
}

/// Closes a link where it is dropped.
struct CloserTask {
    closing: Option<Closing>,
    standing: Weak<Standing>,
    busy: Arc<Busy>,
}

impl Drop for CloserTask {
    fn drop(&mut self) {
        if let Some(Closing { key, link }) = self.closing.take() {
            drop(link);
            if let Some(standing) = self.standing.upgrade() {
                standing.was_closed(key);
            }
        }
        self.busy.end();
    }
}

/// How many links are being closed.
#[derive(Default)]
struct Busy {
    count: Mutex<usize>,
    fewer: Condvar,
}

impl Busy {
    fn begin(&self) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |count: &mut usize| *count >= CLOSERS_MAX;
        let waited = self.fewer.wait_while(count, is_full);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn end(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.fewer.notify_one();
    }
}
