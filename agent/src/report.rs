//! What the daemon says about itself: a line a minute while things are lost, a summary at the end.
//! It counts nothing.

use std::fmt::Write as _;
use std::time::Duration;

use wirespan_common::sampling::{LeftAlone, LeftAloneCount};

use crate::asking::PeerEvent;
use crate::health::{Coverage, Destination, Health, LeftOut, Loss};
use crate::links::{Abstained, QuestionFate};
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

/// Logs what was lost so far, if anything was, and what was not understood of processes. To be
/// called at most once a minute.
pub fn log_losses(health: &Health) {
    let losses = losses(health);
    if !losses.is_empty() {
        let by = losers(&health.coverage());
        let left_out = left_out(health);
        let made = health.spans_made();
        log::warn!("{made} spans so far{left_out}; lost: {losses}{by}");
    }
    if health.followed() < 1.0 {
        let percent = 100.0 * health.followed();
        let (cores, left_alone) = (health.cores(), left_alone(health).unwrap_or_default());
        log::info!("follows {percent:.1}% of connections, at {cores:.3} cores; {left_alone}");
    }
    let coverage = health.coverage();
    let unread = coverage
        .iter()
        .filter_map(|coverage| Some((coverage, not_understood(coverage)?)));
    for (coverage, unread) in unread.take(UNREAD_LINES_MAX) {
        log::info!("{}; {unread}", covered(coverage));
    }
}

/// Logs how many parents were found so far, and how many calls have none, if there are any.
pub fn log_links(health: &Health) {
    if let Some(links) = links(health) {
        log::info!("{links}");
    }
}

/// Processes of which is said in one minute what is not understood.
const UNREAD_LINES_MAX: usize = 10;

/// What a process said that nobody understood.
fn not_understood(coverage: &Coverage) -> Option<String> {
    let is_all_understood = coverage.unread.tallies().is_empty();
    (!is_all_understood).then(|| format!("not understood: {}", coverage.unread))
}

/// The summary of a run.
#[must_use]
pub fn summary(health: &Health, finished: &Finished, ran: Duration) -> String {
    let mut text = format!(
        "traced for {:.1} s: {} spans made{}",
        ran.as_secs_f64(),
        health.spans_made(),
        left_out(health)
    );
    for destination in Destination::ALL {
        if health.is_open(destination) {
            let exported = health.spans_exported(destination);
            let lost = lost_on_the_way(health, destination);
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
    if let Some(left_alone) = left_alone(health) {
        let _ = write!(text, "\n  {left_alone}");
    }
    if let Some(links) = links(health) {
        let _ = write!(text, "\n  {links}");
    }
    if let Some(asked) = asked(health) {
        let _ = write!(text, "\n  {asked}");
    }
    for coverage in &finished.coverage {
        let _ = write!(text, "\n  understood of {}", covered(coverage));
        if let Some(unread) = not_understood(coverage) {
            let _ = write!(text, "\n    {unread}");
        }
    }
    if let Some(recorded) = &finished.recorded {
        let _ = write!(text, "\n  {}", kept(recorded));
    }
    text
}

/// Spans that did not get to a destination, over all of these.
#[must_use]
pub fn spans_lost(health: &Health) -> u64 {
    let lost = Destination::ALL.map(|destination| lost_on_the_way(health, destination));
    lost.into_iter().sum()
}

fn lost_on_the_way(health: &Health, destination: Destination) -> u64 {
    let lost = Loss::ALL.map(|loss| health.spans_lost(destination, loss));
    lost.into_iter().sum()
}

/// What became of what one process said, while nothing else was watched: a line for each matter.
#[must_use]
pub fn of_process(health: &Health, finished: &Finished) -> Vec<String> {
    let mut lines = Vec::new();
    for coverage in &finished.coverage {
        lines.push(format!("understood of {}", covered(coverage)));
        lines.extend(not_understood(coverage));
    }
    if finished.coverage.is_empty() {
        lines.push("it moved no bytes on sockets".to_owned());
    }
    let found = health.links.linked().into_iter();
    let found: Vec<_> = found
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let found = match found.join(", ") {
        none if none.is_empty() => "none".to_owned(),
        some => some,
    };
    lines.push(format!("parents found, by how they are known: {found}"));
    for why in Abstained::ALL {
        let count = health.links.abstained(why);
        if count > 0 {
            lines.push(format!(
                "calls without a parent: {count} {} ({})",
                why.sentence(),
                why.name()
            ));
        }
    }
    let left_out = left_out(health);
    lines.extend(left_out.strip_prefix("; ").map(str::to_owned));
    lines.extend(left_alone(health));
    let lost = match losses(health) {
        none if none.is_empty() => "nothing".to_owned(),
        some => some,
    };
    lines.push(format!("lost: {lost}"));
    lines
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

/// Processes that one line names.
const LOSERS_MAX: usize = 5;

/// Whose records were lost: those who lost most.
fn losers(coverage: &[Coverage]) -> String {
    let mut losers: Vec<_> = coverage.iter().filter(|it| it.lost_records > 0).collect();
    losers.sort_by_key(|it| std::cmp::Reverse(it.lost_records));
    let named = losers.iter().take(LOSERS_MAX).map(|it| {
        let Coverage { pid, service, .. } = it;
        format!("{} of {service} (pid {pid})", it.lost_records)
    });
    let named = named.collect::<Vec<_>>().join(", ");
    match losers.len() {
        0 => String::new(),
        1..=LOSERS_MAX => format!("; records: {named}"),
        more => format!(
            "; records: {named} and {} more processes",
            more - LOSERS_MAX
        ),
    }
}

fn covered(coverage: &Coverage) -> String {
    let Coverage {
        pid,
        service,
        seen_bytes,
        understood_bytes,
        unread: _,
        lost_records,
    } = coverage;
    let who = if *pid == 0 {
        "processes no longer remembered".to_owned()
    } else {
        format!("{} (pid {pid})", Visible(service))
    };
    let part = 100.0 * coverage.ratio();
    let lost = match lost_records {
        0 => String::new(),
        lost => format!(", {lost} records lost"),
    };
    format!("{who}: {part:.1}% ({understood_bytes} of {seen_bytes} bytes){lost}")
}

/// What of the spans that were made nobody wanted, and of how many traces that was decided early.
pub fn left_out(health: &Health) -> String {
    let reasons =
        LeftOut::ALL
            .into_iter()
            .filter_map(|reason| match health.spans_left_out(reason) {
                0 => None,
                count => Some(format!("{count} by {}", reason.name())),
            });
    let left_out = match reasons.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => String::new(),
        some => format!("; left out {some}"),
    };
    match health.traces_decided_early() {
        0 => left_out,
        traces => format!("{left_out}; {traces} traces decided on before their end"),
    }
}

/// Which connections the kernel side left alone.
fn left_alone(health: &Health) -> Option<String> {
    let counts = LeftAlone::ALL.map(|reason| (reason.name(), health.left_alone(reason)));
    let counts = counts.into_iter().filter(|(_, it)| it.connections > 0);
    let counts = counts.map(|(reason, LeftAloneCount { connections, bytes })| {
        format!("{connections} by {reason} ({bytes} bytes)")
    });
    let counts: Vec<_> = counts.collect();
    (!counts.is_empty()).then(|| format!("connections left alone: {}", counts.join(", ")))
}

/// How parents were found, and why calls have none.
fn links(health: &Health) -> Option<String> {
    let found = health.links.linked().into_iter();
    let found = found.filter(|(_, count)| *count > 0);
    let found: Vec<_> = found
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let missing = Abstained::ALL.map(|why| (why.name(), health.links.abstained(why)));
    let missing = missing.into_iter().filter(|(_, count)| *count > 0);
    let missing: Vec<_> = missing
        .map(|(why, count)| format!("{why} {count}"))
        .collect();
    let found = (!found.is_empty()).then(|| format!("parents found: {}", found.join(", ")));
    let missing = (!missing.is_empty()).then(|| format!("calls without: {}", missing.join(", ")));
    let parts: Vec<_> = found.into_iter().chain(missing).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What came of questions to other nodes, and of theirs.
fn asked(health: &Health) -> Option<String> {
    let fates = QuestionFate::ALL.map(|it| (it.name(), health.links.questions(it)));
    let events = PeerEvent::ALL.map(|it| (it.name(), health.asking.events(it)));
    let listed = |counts: &[(&str, u64)]| {
        let counts = counts.iter().filter(|(_, count)| *count > 0);
        let counts: Vec<_> = counts
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        counts.join(", ")
    };
    let of_nodes = [
        ("questions to other nodes", listed(&fates)),
        ("other agents", listed(&events)),
    ];
    let parts = of_nodes
        .into_iter()
        .filter(|(_, counts)| !counts.is_empty());
    let parts: Vec<_> = parts
        .map(|(what, counts)| format!("{what}: {counts}"))
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
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
    use crate::health::LeftOutTally;
    use crate::links::{LinkTally, Mechanism};
    use crate::unread::{Reason, Unread};

    #[test]
    fn a_summary_names_each_loss_and_the_coverage_of_each_process() {
        let health = Health::default();
        health.made_spans(12);
        let mut left_out = LeftOutTally::default();
        left_out.add(LeftOut::Sampler, 2);
        health.left_out_spans(left_out);
        health.decided_early(4);
        let (connections, bytes) = (6, 700);
        let left_alone = LeftAloneCount { connections, bytes };
        health.set_left_alone(LeftAlone::CpuLimit, left_alone);
        health.lose(Loss::StreamGap, 1);
        let mut tally = LinkTally::default();
        tally.link(Mechanism::Connection);
        tally.link(Mechanism::Connection);
        tally.abstain(Abstained::OutlivingTask);
        tally.questions(QuestionFate::Asked, 3);
        tally.question(QuestionFate::Answered);
        health.links.add(&tally);
        health.asking.count_many(PeerEvent::Told, 2);
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
                unread: {
                    let mut unread = Unread::default();
                    unread.count(Reason::FastCgi, 50);
                    unread
                },
                lost_records: 3,
            }],
            recorded: Some(Recorded {
                records: 5,
                ..Recorded::default()
            }),
        };
        assert_eq!(
            summary(&health, &finished, Duration::from_millis(1500)),
            "traced for 1.5 s: 12 spans made; left out 2 by sampler; 4 traces decided on before \
             their end; OTLP exported 7, lost 3; \
             printer exported 9, lost 1\n  lost: stream_gap 1, queue_full 4\n  connections left \
             alone: 6 by cpu_limit (700 bytes)\n  parents found: connection 2; calls without: \
             outliving_task 1\n  questions to other nodes: asked 3, \
             answered 1; other agents: told 2\n  understood of shop (pid 42): 75.0% \
             (150 of 200 bytes), 3 records lost\n    not understood: looks like FastCGI (1 \
             connection, 50 bytes)\n  recorded: 5 records"
        );
    }

    #[test]
    fn the_line_of_a_minute_names_who_lost_most() {
        let of = |pid, lost_records| Coverage {
            pid,
            service: "shop".into(),
            seen_bytes: 1,
            understood_bytes: 1,
            unread: Unread::default(),
            lost_records,
        };
        assert_eq!(losers(&[of(1, 0)]), "");
        assert_eq!(
            losers(&[of(1, 3), of(2, 9), of(3, 0)]),
            "; records: 9 of shop (pid 2), 3 of shop (pid 1)"
        );
        let many: Vec<_> = (1..=7).map(|pid| of(pid, 1)).collect();
        assert!(losers(&many).ends_with("(pid 5) and 2 more processes"));
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
