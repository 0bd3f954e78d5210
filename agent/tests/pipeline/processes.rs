//! Whose exchange it is: description, inheritance, reuse of numbers.

use std::sync::Arc;

use wirespan_common::record::LifeEvent;

use crate::records::{MS, PID, Recorder};
use crate::{CLIENT, GET, OK, SERVER, WALL_NS, error, service, spans_of, text};

#[test]
fn an_exchange_belongs_to_the_process_that_began_it() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("master").of(7).named("worker").of(PID);
    // Accepted by the master, served by a worker.
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder.of(7).at(MS).read(1, GET).at(2 * MS).write(1, OK);
    // Read by the master, answered by a worker.
    recorder.of(PID).at(3 * MS).read(1, GET);
    recorder.of(7).at(4 * MS).write(1, OK);
    let services: Vec<_> = spans_of(&mut recorder).iter().map(service).collect();
    assert_eq!(services, ["worker", "master"]);
}

#[test]
fn the_exit_of_a_master_does_not_end_what_its_workers_serve() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("master").open_tcp(1, SERVER, CLIENT);
    recorder.of(7).at(MS).read(1, GET);
    recorder.of(PID).life(LifeEvent::Exit, 0);
    recorder.of(7).at(2 * MS).write(1, OK);
    let spans = spans_of(&mut recorder);
    assert_eq!(spans.len(), 1);
    assert_eq!(error(&spans[0]), None);
}

#[test]
fn a_process_is_unknown_until_it_is_described_and_children_resemble_parents() {
    let mut recorder = Recorder::new(WALL_NS);
    let serve = |recorder: &mut Recorder| {
        recorder.read(1, GET).write(1, OK);
    };
    recorder.open_tcp(1, SERVER, CLIENT);
    serve(&mut recorder);
    recorder.named("shop");
    serve(&mut recorder);
    recorder.life(LifeEvent::Fork, 7);
    recorder.of(7);
    serve(&mut recorder);
    let spans = spans_of(&mut recorder);
    let services: Vec<_> = spans.iter().map(service).collect();
    assert_eq!(services, ["unknown_service", "shop", "shop"]);
    let pids: Vec<_> = spans
        .iter()
        .map(|span| text(span.resource.get("process.pid").expect("known")))
        .collect();
    assert_eq!(pids, ["4242", "4242", "7"]);
}

#[test]
fn a_resource_is_built_once_per_process() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shop").open_tcp(1, SERVER, CLIENT);
    recorder.read(1, GET).write(1, OK).read(1, GET).write(1, OK);
    let spans = spans_of(&mut recorder);
    assert!(Arc::ptr_eq(&spans[0].resource, &spans[1].resource));
}

#[test]
fn a_process_number_that_is_used_again_inherits_no_name() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("old").life(LifeEvent::Exit, 0);
    recorder.of(7).named("parent").life(LifeEvent::Fork, PID);
    recorder.of(PID).open_tcp(1, SERVER, CLIENT);
    recorder.read(1, GET).write(1, OK);
    assert_eq!(service(&spans_of(&mut recorder)[0]), "parent");
}
