//! What a conversation costs: nanoseconds for one request and its response, as nginx and wrk
//! exchange them, over a connection that is kept alive. Run with `--release`.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::time::Instant;

use wirespan_protocols::conversation::{Chunk, Conversation, Direction, Extent};
use wirespan_protocols::exchange::{Exchange, Ticket};
use wirespan_protocols::listener::{Beginning, Discard, Listener};

const REQUEST: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
    User-Agent: wrk/4.1.0\r\nConnection: keep-alive\r\n\r\n";

const RESPONSE_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\
    Date: Sat, 21 Nov 2026 07:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 612\r\n\
    Last-Modified: Tue, 13 Jun 2023 15:08:10 GMT\r\nConnection: keep-alive\r\n\
    ETag: \"6488865a-264\"\r\nAccept-Ranges: bytes\r\n\r\n";

const EXCHANGES: u64 = 1_000_000;

struct Count(u64);

impl Listener for Count {
    fn begin(&mut self, _beginning: Beginning) -> Ticket {
        Ticket(self.0)
    }

    fn end(&mut self, exchange: Exchange) {
        assert_eq!(exchange.ticket, Ticket(self.0));
        self.0 += 1;
    }

    fn withdraw(&mut self, _ticket: Ticket) {}

    fn discard(&mut self, what: Discard) {
        panic!("{what:?}");
    }
}

fn main() {
    let response = [RESPONSE_HEAD, &[b'x'; 612]].concat();
    for round in 0..5 {
        let mut count = Count(0);
        let mut conversation = Conversation::new();
        let (mut asked, mut answered) = (Extent::default(), Extent::default());
        let begun = Instant::now();
        for n in 0..EXCHANGES {
            let time_ns = n * 100_000 + 1;
            conversation.extent(Direction::Egress, answered, &mut count);
            let request = chunk(Direction::Ingress, REQUEST, &mut asked, time_ns);
            conversation.chunk(request, &mut count);
            conversation.extent(Direction::Ingress, asked, &mut count);
            let response = chunk(Direction::Egress, &response, &mut answered, time_ns + 50);
            conversation.chunk(response, &mut count);
        }
        let spent = begun.elapsed();
        assert_eq!(count.0, EXCHANGES);
        let each = spent.as_nanos() as f64 / EXCHANGES as f64;
        println!("round {round}: {each:.0} ns per exchange");
    }
}

/// A call that was captured whole.
fn chunk<'a>(
    direction: Direction,
    bytes: &'a [u8],
    extent: &mut Extent,
    time_ns: u64,
) -> Chunk<'a> {
    let position = extent.position;
    *extent = Extent {
        position: position + bytes.len() as u64,
        last_ns: time_ns,
        ..Extent::default()
    };
    Chunk {
        direction,
        position,
        len: bytes.len() as u64,
        bytes,
        tail: [0; 8],
        tail_len: 0,
        time_ns,
        tid: 1,
        after_loss: false,
    }
}
