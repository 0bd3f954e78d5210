//! Records of several shards: each is a stream of its own, and what concerns all is in each.

use std::collections::HashSet;
use std::sync::Arc;

use wirespan::health::{Health, Loss};
use wirespan::pipeline::{PipelineConfig, Pipelines};
use wirespan::recording::{Reader, Writer, of_shard, replay};
use wirespan::span::Span;
use wirespan_common::record::LifeEvent;
use wirespan_common::shard::SHARDS_MAX;

use crate::records::{MS, Recorder};
use crate::{CLIENT, GET, OK, SERVER, WALL_NS, service, spans_of, without_ids};

/// A process that was asked on twenty connections.
fn served(pid: u32, name: &str) -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.of(pid).named(name);
    let first = u64::from(pid) * 100;
    for id in first..first + 20 {
        recorder.at((id - first) * MS).open_tcp(id, SERVER, CLIENT);
        recorder.read(id, GET);
        if id % 3 != 0 {
            recorder.write(id, OK);
        }
    }
    recorder.at(30 * MS).life(LifeEvent::Exit, 0);
    recorder
}

/// One recording of several shards, a record of each in turn.
fn recording_of(shards: &[&Recorder]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("memory");
    let longest = shards.iter().map(|it| it.records.len()).max();
    for turn in 0..longest.unwrap_or_default() {
        for (shard, recorder) in (0..).zip(shards) {
            if let Some(record) = recorder.records.get(turn) {
                let record = of_shard(shard, record.clone());
                writer.write(&record).expect("memory");
            }
        }
    }
    writer.finish().expect("memory")
}

fn replayed(file: &[u8], seed: Option<u64>) -> (Vec<Span>, Arc<Health>) {
    let health = Arc::new(Health::default());
    let config = PipelineConfig {
        seed,
        ..PipelineConfig::default()
    };
    let mut pipelines = Pipelines::new(config, Arc::clone(&health));
    let mut spans = Vec::new();
    let mut reader = Reader::new(file).expect("a recording");
    replay(&mut reader, &mut pipelines, |batch| spans.append(batch)).expect("whole");
    (spans, health)
}

fn sorted(spans: &[Span], told: impl Fn(&Span) -> String) -> Vec<String> {
    let mut told: Vec<_> = spans.iter().map(told).collect();
    told.sort();
    told
}

#[test]
fn each_shard_tells_what_it_tells_alone() {
    let (mut shop, mut bank) = (served(1, "shop"), served(2, "bank"));
    let file = recording_of(&[&shop, &bank]);
    let (together, health) = replayed(&file, Some(1));
    assert_eq!(health.spans_made(), 40);
    let alone = [spans_of(&mut shop), spans_of(&mut bank)];
    assert_eq!(
        sorted(&together, without_ids),
        sorted(&alone.concat(), without_ids)
    );
    // The first one's are those that they were without others, and so they are the next time.
    let of_shop: Vec<_> = together
        .iter()
        .filter(|span| service(span) == "shop")
        .collect();
    assert_eq!(
        format!("{of_shop:?}"),
        format!("{:?}", alone[0].iter().collect::<Vec<_>>())
    );
    let (again, _) = replayed(&file, Some(1));
    assert_eq!(format!("{together:?}"), format!("{again:?}"));
}

#[test]
fn no_two_shards_give_out_the_same_id() {
    let recorders: Vec<_> = (1..=SHARDS_MAX as u32)
        .map(|pid| served(pid, "same"))
        .collect();
    let file = recording_of(&recorders.iter().collect::<Vec<_>>());
    for seed in [None, Some(1), Some(7)] {
        let (spans, _) = replayed(&file, seed);
        let traces: HashSet<_> = spans.iter().map(|span| span.trace_id).collect();
        let ids: HashSet<_> = spans.iter().map(|span| span.span_id).collect();
        assert_eq!(spans.len(), 20 * SHARDS_MAX);
        assert_eq!((traces.len(), ids.len()), (spans.len(), spans.len()));
    }
}

/// A listener's first process accepts, and hands the connection to another one, whose own
/// connections another shard has.
#[test]
fn a_connection_stays_in_its_shard_whoever_uses_it() {
    let (mut first, mut second) = (Recorder::new(WALL_NS), Recorder::new(WALL_NS));
    for shard in [&mut first, &mut second] {
        shard.of(1).named("parent").of(2).named("child");
    }
    first.at(MS).of(1).open_tcp(100, SERVER, CLIENT);
    first.read(100, GET).write(100, OK);
    first.at(2 * MS).of(2).read(100, GET).write(100, OK);
    first.at(3 * MS).read(100, GET);
    second.at(MS).of(2).open_tcp(200, SERVER, CLIENT);
    second.read(200, GET);
    // Its end is in both. In the first, the connection is its parent's again, which lives.
    for shard in [&mut first, &mut second] {
        shard.at(4 * MS).of(2).life(LifeEvent::Exit, 0);
    }
    let (spans, _) = replayed(&recording_of(&[&first, &second]), Some(1));
    let told = |span: &Span| {
        let error = crate::error(span).unwrap_or_default();
        format!("{} {error}", service(span))
    };
    assert_eq!(
        sorted(&spans, told),
        [
            "child ",
            "child observation_ended",
            "child process_exited",
            "parent "
        ]
    );
}

#[test]
fn a_shard_that_can_not_be_is_counted_and_makes_none() {
    let mut recorder = served(1, "shop");
    let strange = recorder.records.len() as u64;
    let mut writer = Writer::new(Vec::new()).expect("memory");
    for record in recorder.records.drain(..) {
        writer.write(&of_shard(200, record)).expect("memory");
    }
    let (spans, health) = replayed(&writer.finish().expect("memory"), None);
    assert!(spans.is_empty());
    assert_eq!(health.losses(Loss::Undecodable), strange);
}
