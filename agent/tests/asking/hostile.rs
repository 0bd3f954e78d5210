//! Who does not know the secret, and who does and is not honest: that costs the stream, and nothing
//! that others are told.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use wirespan::asking::credentials::Credentials;
use wirespan::asking::frame::{self, AskedRequest, PeerFrame, ToldAnswer, ToldContext};
use wirespan::asking::stream::{self, PeerHeard};
use wirespan::asking::{AskingCounts, PeerEvent};

use crate::agents::{Agent, LIMIT, SECRET, free_address, with_secret};

/// Somebody who knows the secret and says whatever a test has it say.
struct Liar {
    runtime: Runtime,
    says: mpsc::Sender<Vec<u8>>,
    hears: mpsc::Receiver<PeerHeard>,
}

impl Liar {
    fn connect(address: SocketAddr, name: u8) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let credentials = Credentials::read(&with_secret(SECRET)).expect("a secret");
        let connecting = stream::connect(address, "127.0.0.1", &credentials, [name; 16]);
        let established = runtime.block_on(connecting).expect("it knows the secret");
        let (says, said) = mpsc::channel(64);
        let (tell, hears) = mpsc::channel(1024);
        runtime.spawn(async move {
            let counts = Arc::new(AskingCounts::default());
            let hear = |heard| {
                let tell = tell.clone();
                async move { tell.send(heard).await.is_ok() }
            };
            established.converse(said, &counts, hear).await;
        });
        Self {
            runtime,
            says,
            hears,
        }
    }

    fn say(&self, put: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        put(&mut bytes);
        // It may have been cut off.
        let _ = self.runtime.block_on(self.says.send(bytes));
    }

    /// The next question that it is asked.
    fn question(&mut self) -> (u32, AskedRequest) {
        self.runtime.block_on(async {
            loop {
                let heard = tokio::time::timeout(LIMIT, self.hears.recv());
                let heard = heard.await.expect("asked in time").expect("connected");
                if let Ok(PeerFrame::Questions(questions)) = heard {
                    return questions[0];
                }
            }
        })
    }

    /// Waits until it is cut off.
    fn is_cut_off(&mut self) {
        self.runtime.block_on(async {
            loop {
                let heard = tokio::time::timeout(LIMIT, self.hears.recv());
                match heard.await.expect("cut off in time") {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                }
            }
        });
    }
}

fn lie(number: u32) -> (u32, ToldAnswer) {
    let told = ToldContext {
        trace_id: [66; 16],
        span_id: None,
        flags: 1,
        decided: None,
        randomness: None,
    };
    (number, ToldAnswer::Stands(told))
}

#[test]
fn another_secret_is_refused_by_both() {
    let first = Agent::new(&[], with_secret(SECRET));
    let second = Agent::new(&[first.address], with_secret("another horse battery"));
    first.wait_for_event(PeerEvent::Unproven);
    second.wait_for_event(PeerEvent::Unproven);
    assert_eq!(first.health.asking.streams(), 0);
    assert_eq!(second.health.asking.streams(), 0);
}

#[test]
fn what_is_no_agent_is_closed_and_others_are_served() {
    let address = free_address();
    let mut agent = Agent::start(address, &[], with_secret(SECRET));
    let mut idle: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(address).expect("it listens"))
        .collect();
    let mut http = TcpStream::connect(address).expect("it listens");
    http.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let mut said = Vec::new();
    http.set_read_timeout(Some(LIMIT)).expect("a socket");
    // An alert of TLS, or nothing.
    let _ = http.read_to_end(&mut said);
    agent.wait_for_event(PeerEvent::Handshake);
    agent.wait_for_event(PeerEvent::Crowded);
    let mut honest = Agent::new(&[address], with_secret(SECRET));
    honest.wait_for_streams(1);
    agent.knows(1, 7);
    agent.wait_for_streams(1);
    honest.asks(1);
    assert_eq!(honest.told(), (1, Some(7)));
    idle.clear();
}

#[test]
fn an_answer_that_nobody_asked_for_is_not_heard() {
    let mut agent = Agent::new(&[], with_secret(SECRET));
    let mut liar = Liar::connect(agent.address, 1);
    agent.wait_for_streams(1);
    liar.say(|out| frame::put_answers(&[lie(1)], out));
    liar.is_cut_off();
    agent.wait_for_event(PeerEvent::Unasked);
    agent.wait_for_streams(0);
    // What was asked of the honest one is not believed of another.
    let mut honest = Liar::connect(agent.address, 2);
    agent.wait_for_streams(1);
    agent.asks(1);
    let (number, _) = honest.question();
    let mut liar = Liar::connect(agent.address, 3);
    agent.wait_for_streams(2);
    liar.say(|out| frame::put_answers(&[lie(number)], out));
    liar.is_cut_off();
    honest.say(|out| frame::put_answers(&[(number, ToldAnswer::Unknown)], out));
    assert_eq!(agent.told(), (1, None));
}

#[test]
fn an_answer_that_is_repeated_is_heard_once() {
    let mut agent = Agent::new(&[], with_secret(SECRET));
    let mut liar = Liar::connect(agent.address, 1);
    agent.wait_for_streams(1);
    agent.asks(1);
    let (number, _) = liar.question();
    liar.say(|out| frame::put_answers(&[lie(number), lie(number)], out));
    assert_eq!(agent.told(), (1, Some(66)));
    agent.asks(2);
    let (number, _) = liar.question();
    liar.say(|out| frame::put_answers(&[(number, ToldAnswer::Unknown)], out));
    assert_eq!(agent.told(), (2, None), "nothing in between");
}

#[test]
fn what_is_no_frame_ends_the_stream() {
    for garbage in [&b"\0\0"[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 64]] {
        let agent = Agent::new(&[], with_secret(SECRET));
        let mut liar = Liar::connect(agent.address, 1);
        agent.wait_for_streams(1);
        liar.say(|out| out.extend_from_slice(garbage));
        liar.is_cut_off();
        agent.wait_for_event(PeerEvent::Malformed);
    }
}

#[test]
fn a_flood_is_held_back_and_others_are_answered_meanwhile() {
    let mut agent = Agent::new(&[], with_secret(SECRET));
    let liar = Liar::connect(agent.address, 1);
    let mut honest = Agent::new(&[agent.address], with_secret(SECRET));
    agent.wait_for_streams(2);
    let flood: Vec<_> = (0..400)
        .map(|it| {
            let request = AskedRequest {
                starts: [it, it],
                at: 0,
            };
            (it, request)
        })
        .collect();
    let says = liar.says.clone();
    let flooding = liar.runtime.spawn(async move {
        let mut bytes = Vec::new();
        frame::put_questions(&flood, &mut bytes);
        while says.send(bytes.clone()).await.is_ok() {}
    });
    agent.wait_for_event(PeerEvent::TooMany);
    agent.knows(1, 7);
    for _ in 0..10 {
        honest.asks(1);
        assert_eq!(honest.told(), (1, Some(7)));
    }
    flooding.abort();
    liar.runtime.shutdown_timeout(Duration::from_secs(1));
    agent.wait_for_streams(1);
}
