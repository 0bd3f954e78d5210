//! What the daemon says about itself: a line a minute while things are lost, a summary at the end.
//! It counts nothing.

use std::fmt::Write as _;
use std::time::Duration;

use crate::health::{Coverage, Destination, Health, Loss};
use crate::recording::Recorded;
use crate::visible::Visible;

/// What a run came to.
#[derive(Debug)]
pub struct Finished {
    /// How much was understood, by process.
    pub coverage: Vec<Coverage>,
    /// Records kept, if they were to be.
    pub recorded: Option<Recorded>,
}

/// Logs what was lost so far, if anything was. To be called at most once a minute.
pub fn log_losses(health: &Health) {
    let losses = losses(health);
    if !losses.is_empty() {
        log::warn!("{} spans so far; lost: {losses}", health.spans_made());
    }
}

/// The summary of a run.
#[must_use]
pub fn summary(health: &Health, finished: &Finished, ran: Duration) -> String {
    let mut text = format!(
        "traced for {:.1} s: {} spans made",
        ran.as_secs_f64(),
        health.spans_made()
    );
    for destination in Destination::ALL {
        if health.is_open(destination) {
            let exported = health.spans_exported(destination);
            let lost: u64 = Loss::ALL
                .map(|loss| health.spans_lost(destination, loss))
                .into_iter()
                .sum();
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "; {} exported {exported}, lost {lost}",
                destination.name()
            );
        }
    }
    let losses = losses(health);
    let lost = if losses.is_empty() {
        "nothing"
    } else {
        &losses
    };
    let _ = write!(text, "\n  lost: {lost}");
    for coverage in &finished.coverage {
        let _ = write!(text, "\n  understood of {}", covered(coverage));
    }
    if let Some(recorded) = &finished.recorded {
        let _ = write!(text, "\n  {}", kept(recorded));
    }
    text
}

fn kept(recorded: &Recorded) -> String {
    let mut text = format!("recorded: {} records", recorded.records);
    if recorded.is_full {
        text.push_str(", up to the limit that was set");
    }
    if !recorded.is_complete() {
        // Writing to a string does not fail.
        let _ = write!(text, "; INCOMPLETE, {} records are missing", recorded.lost);
    }
    if let Some(error) = &recorded.error {
        let _ = write!(text, ": {}", Visible(error));
    }
    text
}

fn covered(coverage: &Coverage) -> String {
    let Coverage {
        pid,
        service,
        seen_bytes,
        understood_bytes,
    } = coverage;
    let who = if *pid == 0 {
        "processes no longer remembered".to_owned()
    } else {
        format!("{} (pid {pid})", Visible(service))
    };
    let part = 100.0 * coverage.ratio();
    format!("{who}: {part:.1}% ({understood_bytes} of {seen_bytes} bytes)")
}

fn losses(health: &Health) -> String {
    Loss::ALL
        .into_iter()
        .filter_map(|loss| match health.losses(loss) {
            0 => None,
            count => Some(format!("{} {count}", loss.name())),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_each_loss_and_the_coverage_of_each_process() {
        let health = Health::default();
        health.made_spans(10);
        health.lose(Loss::StreamGap, 1);
        health.open(Destination::Otlp);
        health.exported_spans(Destination::Otlp, 7);
        health.lose_spans(Destination::Otlp, Loss::QueueFull, 3);
        health.open(Destination::Printer);
        health.exported_spans(Destination::Printer, 9);
        health.lose_spans(Destination::Printer, Loss::QueueFull, 1);
        let finished = Finished {
            coverage: vec![Coverage {
                pid: 42,
                service: "shop".into(),
                seen_bytes: 200,
                understood_bytes: 150,
            }],
            recorded: Some(Recorded {
                records: 5,
                ..Recorded::default()
            }),
        };
        assert_eq!(
            summary(&health, &finished, Duration::from_millis(1500)),
            "traced for 1.5 s: 10 spans made; OTLP exported 7, lost 3; printer exported \
             9, lost 1\n  lost: stream_gap 1, queue_full 4\n  understood of \
             shop (pid 42): 75.0% (150 of 200 bytes)\n  recorded: 5 records"
        );
    }

    #[test]
    fn a_recording_that_lacks_something_says_so() {
        let mut recorded = Recorded {
            records: 5,
            is_full: true,
            ..Recorded::default()
        };
        assert_eq!(
            kept(&recorded),
            "recorded: 5 records, up to the limit that was set"
        );
        recorded.is_full = false;
        recorded.lost = 3;
        recorded.error = Some("No space left on device".into());
        assert_eq!(
            kept(&recorded),
            "recorded: 5 records; INCOMPLETE, 3 records are missing: No space left on device"
        );
    }
}
