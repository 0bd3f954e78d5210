//! The table: order, bounds, idleness, owners. No conversation is tested here.

use super::owners::HANDOVERS_MAX;
use super::*;

use wirespan_protocols::conversation::{self, Chunk, End};
use wirespan_protocols::exchange::{Exchange, Ticket};
use wirespan_protocols::listener::{Beginning, Discard, Listener};

fn owners(connections: &Connections) -> Vec<(ConnectionId, u32)> {
    let mut owners: Vec<_> = connections
        .iter()
        .map(|connection| (connection.id, connection.owners.current()))
        .collect();
    owners.sort_unstable();
    owners
}

#[test]
fn the_least_recently_active_makes_room() {
    let mut table = Connections::new(3);
    for id in 1..=3 {
        assert!(table.touch(id, 1, id).1.is_none());
    }
    assert!(table.touch(1, 1, 4).1.is_none(), "known: no room needed");
    let (_, evicted) = table.touch(4, 1, 5);
    assert_eq!(evicted.map(|connection| connection.id), Some(2));
    let (_, evicted) = table.touch(5, 1, 6);
    assert_eq!(evicted.map(|connection| connection.id), Some(3));
    assert_eq!(table.len(), 3);
    assert_eq!(
        table.drain_to_kernel().collect::<Vec<_>>(),
        [2, 3].map(|connection| ToKernel::Forget { connection })
    );
}

#[test]
fn silence_is_measured_in_record_time_and_ends_after_an_hour() {
    let mut table = Connections::new(8);
    table.touch(1, 1, 0);
    table.touch(2, 1, IDLE_NS_MAX / 2);
    assert!(table.take_idle(IDLE_NS_MAX - 1).is_none());
    // It looks once a second.
    let later = IDLE_NS_MAX + IDLE_LOOK_NS;
    let idle = table.take_idle(later).expect("one");
    assert_eq!(idle.id, 1);
    assert!(table.take_idle(later).is_none());
    assert_eq!(table.len(), 1);
    assert_eq!(
        table.drain_to_kernel().collect::<Vec<_>>(),
        [ToKernel::Forget { connection: 1 }]
    );
}

struct Deaf;

impl Listener for Deaf {
    fn begin(&mut self, _beginning: Beginning) -> Ticket {
        Ticket::default()
    }
    fn end(&mut self, _exchange: Exchange) {}
    fn withdraw(&mut self, _ticket: Ticket) {}
    fn discard(&mut self, _what: Discard) {}
}

/// A request comes over the connection, and waits for its response.
fn ask(table: &mut Connections, slot: Slot) {
    let request = b"GET / HTTP/1.1\r\n\r\n";
    let chunk = Chunk {
        direction: conversation::Direction::Ingress,
        position: 0,
        len: request.len() as u64,
        bytes: request,
        tail: [0; 8],
        tail_len: 0,
        time_ns: 0,
        tid: 1,
        after_loss: false,
    };
    table.at(slot).conversation.chunk(chunk, &mut Deaf);
}

#[test]
fn a_server_may_think_for_hours() {
    let mut table = Connections::new(8);
    let (slot, _) = table.touch(1, 1, 0);
    ask(&mut table, slot);
    for hours in 1..5 {
        assert!(table.take_idle(hours * 2 * IDLE_NS_MAX).is_none());
    }
    let conversation = &mut table.at(slot).conversation;
    conversation.end(End::Reset, 0, &mut Deaf);
    assert!(table.take_idle(20 * IDLE_NS_MAX).is_some());
}

#[test]
fn who_was_asked_about_lets_others_come_first() {
    let mut table = Connections::new(8);
    for id in 1..=3 {
        let (slot, _) = table.touch(id, 1, 0);
        ask(&mut table, slot);
        table.settle(slot, |_| false);
    }
    let next = |table: &Connections| table.wants_look(1).next();
    assert_eq!(next(&table), Some(1));
    table.asked(1);
    assert_eq!(next(&table), Some(2));
    table.asked(2);
    table.asked(3);
    assert_eq!(next(&table), Some(1), "nobody is left out");
}

#[test]
fn a_time_that_runs_backwards_makes_nothing_idle() {
    let mut table = Connections::new(8);
    table.touch(1, 1, 2 * IDLE_NS_MAX);
    table.touch(2, 1, 0);
    assert!(table.take_idle(2 * IDLE_NS_MAX).is_none());
    assert!(table.take_idle(u64::MAX).is_some());
}

#[test]
fn an_exchange_belongs_to_the_process_that_began_it() {
    let mut table = Connections::new(8);
    let (slot, _) = table.touch(1, 10, 0);
    assert_eq!(table.at(slot).owners.at(5), 10, "who accepted it");
    table.used_by(slot, 20, 100);
    table.used_by(slot, 20, 150);
    assert_eq!(
        table.at(slot).owners.at(50),
        20,
        "who accepted it moved nothing"
    );
    table.used_by(slot, 30, 200);
    let owners = &table.at(slot).owners;
    assert_eq!(
        [100, 199, 200, 300].map(|time| owners.at(time)),
        [20, 20, 30, 30]
    );
    assert_eq!(owners.current(), 30);
}

#[test]
fn changes_of_owner_are_bounded() {
    let mut table = Connections::new(8);
    let (slot, _) = table.touch(1, 1, 0);
    for time in 0..1000 {
        table.used_by(slot, 1 + time as u32 % 2, time);
    }
    assert_eq!(table.at(slot).owners.past.len(), HANDOVERS_MAX);
    assert_eq!(table.by_owner.len(), 1);
}

#[test]
fn a_process_that_ends_takes_its_connections_along_and_no_others() {
    let mut table = Connections::new(8);
    for (id, tgid) in [(1, 10), (2, 20), (3, 10), (4, 10)] {
        let (slot, _) = table.touch(id, tgid, 0);
        table.used_by(slot, tgid, 1);
    }
    // A worker answers what 10 accepted and read, and process 20 has gone already.
    let shared = table.find(3).expect("known");
    table.used_by(shared, 11, 5);
    let orphan = table.find(4).expect("known");
    table.used_by(orphan, 20, 5);
    table.used_by(orphan, 11, 6);

    let mut ended = Vec::new();
    while let Some(connection) = table.take_of(11, |tgid| tgid == 10) {
        ended.push(connection.id);
    }
    assert!(ended.is_empty(), "both go back to 10");
    assert_eq!(owners(&table), [(1, 10), (2, 20), (3, 10), (4, 10)]);

    while let Some(connection) = table.take_of(10, |_| false) {
        ended.push(connection.id);
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 3, 4]);
    assert_eq!(owners(&table), [(2, 20)]);
    assert!(table.take_of(10, |_| true).is_none());
}

#[test]
fn slots_are_used_again() {
    let mut table = Connections::new(8);
    for id in 0..1000 {
        table.touch(id, id as u32, id);
        assert!(table.remove(id).is_some());
        assert!(table.remove(id).is_none());
    }
    assert!(table.is_empty());
    assert_eq!(table.connections.len(), 1);
    assert!(table.by_owner.is_empty());
}

#[test]
fn what_nobody_takes_does_not_pile_up_without_bound() {
    let mut table = Connections::new(1);
    for id in 0..TO_KERNEL_MAX as u64 + 100 {
        table.touch(id, 1, id);
    }
    assert_eq!(table.drain_to_kernel().count(), TO_KERNEL_MAX);
}
