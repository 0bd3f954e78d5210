//! Recordings and the spans that they yield again.

use std::sync::Arc;

use wirespan::health::Health;
use wirespan::pipeline::{PipelineConfig, Pipelines};
use wirespan::recording::{ReadError, Reader, replay};
use wirespan::span::Span;
use wirespan_common::record::{LifeEvent, Stage};

use crate::records::{MS, Recorder};
use crate::{CLIENT, GET, OK, SERVER, WALL_NS, spans_of, without_ids};

/// A recording with some of everything.
fn mixture() -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shop");
    for id in 1..=40 {
        recorder.at(id * MS).open_tcp(id, SERVER, CLIENT);
        recorder.read(id, GET);
        if id % 3 == 0 {
            recorder.write(id, OK);
        }
        if id % 5 == 0 {
            recorder.progress(id, Stage::Closed);
        }
    }
    recorder.at(99 * MS).life(LifeEvent::Exit, 0);
    recorder
}

fn replayed(file: &[u8], seed: Option<u64>) -> (Vec<Span>, Result<u64, ReadError>) {
    let config = PipelineConfig {
        seed,
        ..PipelineConfig::default()
    };
    let mut pipelines = Pipelines::new(config, Arc::new(Health::default()));
    let mut spans = Vec::new();
    let mut reader = Reader::new(file).expect("a recording");
    let outcome = replay(&mut reader, &mut pipelines, |batch| {
        spans.append(batch);
    });
    (spans, outcome.map(|replayed| replayed.spans))
}

#[test]
fn a_replay_yields_the_spans_of_the_live_run_and_with_a_seed_their_ids() {
    let mut recorder = mixture();
    let file = recorder.file();
    let live = spans_of(&mut recorder);
    assert_eq!(live.len(), 40);
    let all = |spans: &[Span]| format!("{spans:?}");
    let (seeded, count) = replayed(&file, Some(1));
    assert_eq!(count.expect("whole"), 40);
    assert_eq!(all(&seeded), all(&live));
    assert_eq!(all(&replayed(&file, Some(1)).0), all(&live));

    let (one, other) = (replayed(&file, None).0, replayed(&file, None).0);
    assert_ne!(all(&one), all(&other));
    let bare = |spans: &[Span]| spans.iter().map(without_ids).collect::<Vec<_>>();
    assert_eq!(bare(&one), bare(&live));
    assert_eq!(bare(&one), bare(&other));
}

#[test]
fn a_recording_cut_anywhere_replays_what_is_whole() {
    let mut recorder = mixture();
    let file = recorder.file();
    recorder.records.pop();
    let whole = spans_of(&mut recorder);
    assert_eq!(whole.len(), 40);
    let (spans, outcome) = replayed(&file[..file.len() - 1], Some(1));
    assert!(matches!(outcome, Err(ReadError::Cut { .. })), "{outcome:?}");
    assert_eq!(format!("{spans:?}"), format!("{whole:?}"));
}
