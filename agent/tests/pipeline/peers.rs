//! Who is behind addresses, as records tell it: from the record on, and again in a replay.

use std::sync::Arc;

use wirespan::health::{Health, Loss};
use wirespan::kubernetes::peer::{Peer, PeerChange, PeerKind};
use wirespan::pipeline::{PipelineConfig, Pipelines};
use wirespan::recording::{Reader, peers_records, replay};
use wirespan::span::Span;

use crate::records::{MS, Recorder};
use crate::{Bench, CLIENT, GET, OK, SERVER, WALL_NS, attribute};

/// This is behind the client's address from now on.
fn is_behind(recorder: &mut Recorder, at_ns: u64, name: Option<&str>) {
    let change = PeerChange {
        address: "10.0.0.2".parse().expect("an address"),
        peer: name.map(|name| {
            Arc::new(Peer {
                kind: PeerKind::Pod,
                name: name.to_owned(),
                namespace: Some("shop".to_owned()),
            })
        }),
    };
    recorder.records.extend(peers_records(at_ns, &[change]));
}

fn ask(recorder: &mut Recorder, id: u64) {
    recorder.at(id * MS).open_tcp(id, SERVER, CLIENT);
    recorder.read(id, GET).write(id, OK);
}

/// Nobody, then one, then none for a while, then another one while somebody still asks.
fn story() -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("cart");
    ask(&mut recorder, 1);
    is_behind(&mut recorder, 2 * MS, Some("web"));
    ask(&mut recorder, 3);
    is_behind(&mut recorder, 4 * MS, None);
    ask(&mut recorder, 5);
    recorder.at(6 * MS).open_tcp(6, SERVER, CLIENT);
    recorder.read(6, GET);
    is_behind(&mut recorder, 7 * MS, Some("db"));
    recorder.at(8 * MS).write(6, OK);
    ask(&mut recorder, 9);
    recorder
}

fn clients(spans: &[Span]) -> Vec<Option<String>> {
    let client = |span: &Span| attribute(span, "client.service.name");
    spans.iter().map(client).collect()
}

#[test]
fn the_right_client_is_named_or_none_and_again_in_a_replay() {
    let mut bench = Bench::new(PipelineConfig::default());
    bench.feed(&mut story()).finish();
    let told = clients(&bench.spans);
    let told: Vec<_> = told.iter().map(Option::as_deref).collect();
    assert_eq!(told, [None, Some("web"), None, None, Some("db")]);

    let file = story().file();
    let mut pipelines = Pipelines::new(PipelineConfig::default(), Arc::new(Health::default()));
    let mut again = Vec::new();
    let mut reader = Reader::new(file.as_slice()).expect("a recording");
    replay(&mut reader, &mut pipelines, |spans| again.append(spans)).expect("whole");
    assert_eq!(clients(&again), clients(&bench.spans));
}

#[test]
fn what_names_nobody_is_counted() {
    let mut recorder = Recorder::new(WALL_NS);
    is_behind(&mut recorder, MS, Some("web"));
    let mut garbage = recorder.records.pop().expect("a record");
    let len = garbage.len();
    garbage[len - 1] = b'7';
    recorder.records.push(garbage);
    ask(&mut recorder, 2);
    let mut bench = Bench::new(PipelineConfig::default());
    bench.feed(&mut recorder).finish();
    assert_eq!(bench.health.losses(Loss::Undecodable), 1);
    assert_eq!(clients(&bench.spans), [None]);
}
