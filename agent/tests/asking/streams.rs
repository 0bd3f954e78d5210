//! Who finds whom, and what goes over streams.

use wirespan::asking::PeerEvent;
use wirespan::links::ForPeers;

use crate::agents::{Agent, SECRET, free_address, key, with_secret};

#[test]
fn one_knows_what_the_other_asks_whoever_connected() {
    let mut first = Agent::new(&[], with_secret(SECRET));
    let mut second = Agent::new(&[first.address], with_secret(SECRET));
    second.wait_for_streams(1);
    first.wait_for_streams(1);
    first.knows(1, 7);
    second.knows(2, 8);
    second.asks(1);
    assert_eq!(second.told(), (1, Some(7)));
    first.asks(2);
    assert_eq!(first.told(), (2, Some(8)));
    // Nobody knows that.
    first.asks(3);
    assert_eq!(first.told(), (3, None));
    assert_eq!(second.health.asking.events(PeerEvent::NotKnown), 1);
    let [read, written] = first.health.asking.bytes();
    assert!(read > 0 && written > 0);
}

#[test]
fn who_knows_later_answers_later() {
    let mut first = Agent::new(&[], with_secret(SECRET));
    let mut second = Agent::new(&[first.address], with_secret(SECRET));
    second.wait_for_streams(1);
    first.leave([ForPeers::Begins(key(1))]);
    // It is behind the other one, which is answered at once.
    first.knows(2, 8);
    second.asks(1);
    second.asks(2);
    assert_eq!(second.told(), (2, Some(8)));
    first.knows(1, 7);
    assert_eq!(second.told(), (1, Some(7)));
}

#[test]
fn two_that_connect_to_each_other_and_to_themselves_keep_one_stream() {
    let addresses = [free_address(), free_address(), free_address()];
    let mut agents = addresses.map(|it| Agent::start(it, &addresses, with_secret(SECRET)));
    for agent in &agents {
        agent.wait_for_streams(2);
    }
    agents[0].knows(1, 7);
    for asking in [1, 2] {
        // The one that was kept last may have been another one when it was asked.
        let mut told = (1, None);
        while told.1.is_none() {
            agents[asking].asks(1);
            told = agents[asking].told();
        }
        assert_eq!(told, (1, Some(7)));
    }
    for agent in &agents {
        agent.wait_for_streams(2);
    }
}

#[test]
fn one_that_is_gone_costs_its_answers_alone_and_is_found_when_it_is_back() {
    let address = free_address();
    let mut first = Agent::new(&[address], with_secret(SECRET));
    first.wait_for_event(PeerEvent::Unreachable);
    first.asks(1);
    assert_eq!(first.told(), (1, None), "there is nobody to wait for");
    let mut second = Agent::start(address, &[], with_secret(SECRET));
    first.wait_for_streams(1);
    second.leave([ForPeers::Begins(key(2))]);
    first.asks(2);
    second.wait_for_streams(1);
    drop(second);
    assert_eq!(first.told(), (2, None), "what it was asked nobody answers");
    first.wait_for_streams(0);
    let mut third = Agent::start(address, &[], with_secret(SECRET));
    first.wait_for_streams(1);
    third.knows(3, 9);
    first.asks(3);
    let mut told = first.told();
    if told.1.is_none() {
        // It may have been asked before it knew.
        first.asks(3);
        told = first.told();
    }
    assert_eq!(told, (3, Some(9)));
}
