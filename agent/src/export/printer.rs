//! Spans on standard output. Formatting happens here, on the async edge; writing, which may block
//! for as long as a reader likes, on a thread of its own that holds one batch at most.

mod counter;
mod line;
mod text;
mod tree;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use log::{info, warn};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::otlp;
use super::queue::SinkOutlet;
use crate::config::PrinterFormat;
use crate::health::Loss;
use crate::visible::Visible;

/// Most spans that are written at once.
pub(super) const BATCH_SPANS_MAX: usize = 512;
/// How long a span waits to be seen: short enough to feel immediate, long enough to gather a burst.
pub(super) const BATCH_AGE_MAX: Duration = Duration::from_millis(50);

/// Where to print.
#[derive(Debug)]
pub struct Output<W> {
    /// Takes the text.
    pub to: W,
    /// Lines can be written over.
    pub terminal: bool,
    /// Lines may be coloured.
    pub colours: bool,
}

impl Output<io::Stdout> {
    /// Standard output; in colours if `colours` allows it and it is a terminal.
    #[must_use]
    pub fn stdout(colours: bool) -> Self {
        let to = io::stdout();
        let terminal = to.is_terminal();
        Self {
            to,
            terminal,
            colours: terminal && colours,
        }
    }
}

/// Starts the worker that empties a sink.
pub(super) fn start<W: Write + Send + 'static>(
    format: PrinterFormat,
    output: Output<W>,
    outlet: Arc<SinkOutlet>,
) -> JoinHandle<()> {
    let Output {
        to,
        terminal,
        colours,
    } = output;
    let of_pen = Arc::clone(&outlet);
    let pen = Pen::new(to, move || of_pen.desert());
    match format {
        PrinterFormat::Counter => tokio::spawn(count(outlet, pen, terminal)),
        PrinterFormat::Tree => tokio::spawn(tree::print(outlet, pen, colours)),
        _ => tokio::spawn(print(format, outlet, pen, colours)),
    }
}

async fn print(format: PrinterFormat, outlet: Arc<SinkOutlet>, mut pen: Pen, colours: bool) {
    while let Some(batch) = outlet.next_batch().await {
        let mut page = pen.page();
        {
            let mut spans = batch.spans();
            match format {
                PrinterFormat::Text => {
                    spans
                        .iter()
                        .for_each(|span| text::write(span, colours, &mut page));
                }
                PrinterFormat::Json => {
                    otlp::bring_together(&mut spans);
                    otlp::json::write(&spans, &mut page);
                    page.push(b'\n');
                }
                PrinterFormat::JsonIndent => {
                    otlp::bring_together(&mut spans);
                    otlp::json::write_indented(&spans, &mut page);
                    page.push(b'\n');
                }
                PrinterFormat::Counter | PrinterFormat::Tree | PrinterFormat::Disabled => {}
            }
        }
        let batch = batch.into_unsettled();
        if pen.write(page).await {
            batch.accepted_but(0);
        } else {
            batch.lost(Loss::ExportFailed);
        }
    }
}

async fn count(outlet: Arc<SinkOutlet>, mut pen: Pen, terminal: bool) {
    let mut counter = counter::Counter::new(terminal);
    let mut next = Instant::now() + counter::PERIOD;
    loop {
        let batch = timeout_at(next, outlet.next_batch()).await;
        let (end, batch) = match batch {
            Ok(None) => (true, None),
            Ok(Some(batch)) => (false, Some(batch.into_unsettled())),
            Err(_) => (false, None),
        };
        if let Some(batch) = batch {
            counter.add(batch.spans());
            batch.accepted_but(0);
        }
        if end || Instant::now() >= next {
            next = Instant::now() + counter::PERIOD;
            let mut page = pen.page();
            counter.write(end, &mut page);
            if !page.is_empty() {
                pen.write(page).await;
            }
        }
        if end {
            return;
        }
    }
}

/// Writes pages on a thread, one at a time. The thread may hang in a write for ever; then so does
/// [`Pen::write`], which can be dropped.
struct Pen {
    pages: mpsc::Sender<Page>,
    spare: Vec<u8>,
    broken: bool,
    /// Called once nobody reads any longer.
    deserted: Box<dyn Fn() + Send + Sync>,
}

struct Page {
    text: Vec<u8>,
    /// Gives the memory back.
    written: oneshot::Sender<io::Result<Vec<u8>>>,
}

impl Pen {
    fn new<W: Write + Send + 'static>(
        mut to: W,
        deserted: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (pages, mut receiver) = mpsc::channel::<Page>(1);
        let write = move || {
            while let Some(Page { text, written }) = receiver.blocking_recv() {
                let result = to.write_all(&text).and_then(|()| to.flush());
                // Nobody listens any more if the drain ended before the write did.
                let _ = written.send(result.map(|()| text));
            }
        };
        let thread = std::thread::Builder::new()
            .name("printer".into())
            .spawn(write);
        if let Err(error) = &thread {
            warn!("printing is off: no thread for it: {}", Visible(error));
        }
        Self {
            pages,
            spare: Vec::new(),
            broken: thread.is_err(),
            deserted: Box::new(deserted),
        }
    }

    /// An empty page, with the memory of an earlier one.
    fn page(&mut self) -> Vec<u8> {
        let mut page = std::mem::take(&mut self.spare);
        page.clear();
        page
    }

    /// Whether it was written. The first failure is logged and ends all printing.
    async fn write(&mut self, text: Vec<u8>) -> bool {
        if self.broken {
            return false;
        }
        let (written, answer) = oneshot::channel();
        let sent = self.pages.send(Page { text, written }).await.is_ok();
        match answer.await {
            Ok(Ok(text)) if sent => {
                self.spare = text;
                true
            }
            Ok(Err(error)) => {
                self.broken = true;
                if error.kind() == io::ErrorKind::BrokenPipe {
                    info!("printing ends: nobody reads standard output any longer");
                    (self.deserted)();
                    return false;
                }
                warn!("printing ends: standard output: {}", Visible(error));
                false
            }
            _ => {
                self.broken = true;
                false
            }
        }
    }
}
