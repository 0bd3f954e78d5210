//! Finished exchanges that wait for what they lack, within bounds of record time and number.

use wirespan::discover::Process;
use wirespan::health::Loss;
use wirespan_common::record::{LifeEvent, OBJECT_BIT};

use crate::records::{MS, PID, Recorder};
use crate::{Bench, CLIENT, GET, OK, SERVER, WALL_NS, attribute, service};

const SECOND: u64 = 1000 * MS;
const OBJECT: u64 = OBJECT_BIT | 1;

fn exchange(recorder: &mut Recorder) -> &mut Recorder {
    recorder.read(1, GET).write(1, OK)
}

/// A process that has just run a program which nobody described yet.
fn undescribed() -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.life(LifeEvent::Exec, 0);
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder
}

fn services(bench: &Bench) -> Vec<String> {
    bench
        .spans
        .iter()
        .map(|span| service(span).to_string())
        .collect()
}

#[test]
fn an_exchange_waits_for_the_description_of_its_process() {
    let mut bench = Bench::seeded();
    let mut recorder = undescribed();
    exchange(&mut recorder);
    bench.feed(&mut recorder);
    assert_eq!(services(&bench), [""; 0]);
    assert_eq!(bench.pipeline.waits_until(), Some(2 * SECOND));
    bench.feed(recorder.at(SECOND).named("shop"));
    assert_eq!(services(&bench), ["shop"]);
    assert_eq!(bench.pipeline.waits_until(), None);
    assert_eq!(bench.health.losses(Loss::Incomplete), 0);
    assert_eq!(bench.health.spans_made(), 1);
    // Its times are its own.
    assert_eq!(bench.spans[0].end_unix_ns, WALL_NS as u64);
}

#[test]
fn a_description_that_does_not_come_is_not_waited_for_for_ever() {
    let mut bench = Bench::seeded();
    let mut recorder = undescribed();
    bench.feed(exchange(&mut recorder));
    bench.feed(recorder.at(2 * SECOND - 1).clock(WALL_NS));
    assert_eq!(services(&bench), [""; 0]);
    bench.feed(recorder.at(2 * SECOND).clock(WALL_NS));
    assert_eq!(services(&bench), ["unknown_service"]);
    assert_eq!(bench.health.losses(Loss::Incomplete), 1);
    // Whoever was not described in time isn't waited for again.
    bench.feed(exchange(&mut recorder));
    assert_eq!(bench.spans.len(), 2);
    assert_eq!(bench.health.losses(Loss::Incomplete), 1);
}

/// A description of a process whose pod is not known yet.
fn named_without_its_pod(recorder: &mut Recorder) -> &mut Recorder {
    recorder.process(&Process {
        pid: PID,
        service_name: "shop".into(),
        awaits_place: true,
        ..Process::default()
    })
}

#[test]
fn a_description_that_lacks_the_pod_is_kept_and_the_whole_one_waited_for() {
    let mut bench = Bench::seeded();
    let mut recorder = undescribed();
    exchange(&mut recorder);
    bench.feed(named_without_its_pod(recorder.at(SECOND)));
    bench.feed(exchange(&mut recorder));
    assert_eq!(services(&bench), [""; 0]);
    bench.feed(recorder.named("shop of a pod"));
    assert_eq!(services(&bench), ["shop of a pod"; 2]);
    assert_eq!(bench.health.losses(Loss::Incomplete), 0);
}

#[test]
fn a_pod_that_does_not_come_is_not_waited_for_for_ever() {
    let mut bench = Bench::seeded();
    let mut recorder = undescribed();
    exchange(&mut recorder);
    bench.feed(named_without_its_pod(recorder.at(SECOND)));
    bench.feed(recorder.at(2 * SECOND).clock(WALL_NS));
    assert_eq!(services(&bench), ["shop"], "told as far as it is known");
    assert_eq!(bench.health.losses(Loss::Incomplete), 1);
    bench.feed(exchange(&mut recorder));
    assert_eq!(services(&bench), ["shop"; 2]);
    // What began before is told with its pod, once that is known.
    bench.feed(recorder.at(60 * SECOND).named("shop of a pod"));
    bench.feed(exchange(&mut recorder));
    assert_eq!(services(&bench), ["shop", "shop", "shop of a pod"]);
    assert_eq!(bench.health.losses(Loss::Incomplete), 1);
}

#[test]
fn at_the_end_nothing_waits() {
    let mut bench = Bench::seeded();
    let mut recorder = undescribed();
    bench.feed(exchange(&mut recorder)).finish();
    assert_eq!(services(&bench), ["unknown_service"]);
}

#[test]
fn a_process_that_was_there_already_is_waited_for_once_it_is_said_to_be_looked_at() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.expected().open_tcp(1, SERVER, CLIENT);
    bench.feed(exchange(&mut recorder));
    assert_eq!(services(&bench), [""; 0]);
    bench.feed(recorder.named("shop"));
    assert_eq!(services(&bench), ["shop"]);
    assert_eq!(bench.health.losses(Loss::Undecodable), 0);
}

#[test]
fn what_a_process_said_before_it_ran_another_program_is_not_named_after_that() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shell").open_tcp(1, SERVER, CLIENT);
    exchange(&mut recorder).life(LifeEvent::Exec, 0);
    exchange(&mut recorder);
    bench.feed(&mut recorder);
    assert_eq!(services(&bench), ["shell"]);
    bench.feed(recorder.named("shop"));
    assert_eq!(services(&bench), ["shell", "shop"]);
}

#[test]
fn a_child_waits_if_its_parent_does() {
    let mut bench = Bench::seeded();
    let mut recorder = undescribed();
    recorder.life(LifeEvent::Fork, 7).of(7);
    bench.feed(exchange(&mut recorder));
    assert_eq!(services(&bench), [""; 0]);
    bench.feed(recorder.named("worker"));
    assert_eq!(services(&bench), ["worker"]);
}

#[test]
fn a_child_that_is_about_to_name_itself_is_waited_for() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.process(&Process {
        pid: PID,
        executable: "/usr/sbin/php-fpm8.2".into(),
        service_name: "php-fpm8.2".into(),
        ..Process::default()
    });
    recorder.life(LifeEvent::Fork, 7).of(7);
    recorder.open_tcp(1, SERVER, CLIENT);
    bench.feed(exchange(&mut recorder));
    assert_eq!(services(&bench), [""; 0]);
    bench.feed(recorder.named("shop"));
    assert_eq!(services(&bench), ["shop"]);
}

#[test]
fn a_description_may_come_after_the_end_of_its_process() {
    let mut bench = Bench::seeded();
    let mut recorder = undescribed();
    exchange(&mut recorder).life(LifeEvent::Exit, 0);
    bench.feed(&mut recorder);
    assert_eq!(services(&bench), [""; 0]);
    bench.feed(recorder.named("curl"));
    assert_eq!(services(&bench), ["curl"]);
    // Who has the number later is somebody else.
    recorder
        .of(9)
        .named("parent")
        .life(LifeEvent::Fork, PID)
        .of(PID);
    recorder
        .open_tcp(2, SERVER, CLIENT)
        .read(2, GET)
        .write(2, OK);
    bench.feed(&mut recorder);
    assert_eq!(services(&bench), ["curl", "parent"]);
}

#[test]
fn who_listens_has_not_ended_but_has_the_number_of_one_that_did() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("first").life(LifeEvent::Exit, 0);
    recorder.life(LifeEvent::Listen, 0);
    recorder.open_tcp(1, SERVER, CLIENT);
    bench.feed(exchange(&mut recorder));
    assert_eq!(services(&bench), [""; 0]);
    bench.feed(recorder.named("second"));
    assert_eq!(services(&bench), ["second"]);
}

#[test]
fn of_one_process_so_many_wait_and_others_have_room() {
    let mut bench = Bench::seeded();
    let mut recorder = undescribed();
    for _ in 0..300 {
        exchange(&mut recorder);
    }
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 300 - 256);
    assert_eq!(bench.health.losses(Loss::Incomplete), 300 - 256);
    recorder
        .of(7)
        .life(LifeEvent::Exec, 0)
        .open_tcp(2, SERVER, CLIENT);
    bench.feed(recorder.read(2, GET).write(2, OK).named("other"));
    assert_eq!(services(&bench).last().map(String::as_str), Some("other"));
    assert_eq!(bench.health.losses(Loss::Incomplete), 300 - 256);
    bench.feed(recorder.of(PID).named("shop"));
    let named = services(&bench).into_iter().filter(|name| name == "shop");
    assert_eq!(named.count(), 256);
    assert_eq!(bench.health.spans_made(), 301);
}

#[test]
fn who_lacks_both_waits_for_both() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .life(LifeEvent::Exec, 0)
        .read(OBJECT, GET)
        .write(OBJECT, OK);
    bench.feed(recorder.named("shop"));
    assert_eq!(services(&bench), [""; 0]);
    recorder.open_on(7, OBJECT, SERVER, CLIENT);
    bench.feed(&mut recorder);
    assert_eq!(services(&bench), ["shop"]);
    let told = attribute(&bench.spans[0], "client.address");
    assert_eq!(told.as_deref(), Some("10.0.0.2"));
}

#[test]
fn addresses_are_not_waited_for_for_ever() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shop").read(OBJECT, GET).write(OBJECT, OK);
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 0);
    bench.feed(recorder.at(2 * SECOND).clock(WALL_NS));
    assert_eq!(bench.spans.len(), 1);
    assert_eq!(bench.health.losses(Loss::Incomplete), 1);
}
