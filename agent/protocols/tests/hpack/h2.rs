//! What the encoder of the `h2` crate writes, taken from a client that talks to nobody.

use ::http::{HeaderName, HeaderValue, Request};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use wirespan_protocols::http2::hpack::Decoder;

use super::sender::{Pair, complete};
use super::support::{Owned, fields};

const PREFACE_LEN: usize = 24;
const FRAME_HEAD_LEN: usize = 9;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// The end of the connection where a server would be.
struct Wire {
    io: DuplexStream,
}

impl Wire {
    /// The next frame: kind, flags, payload.
    async fn frame(&mut self) -> (u8, u8, Vec<u8>) {
        let mut head = [0; FRAME_HEAD_LEN];
        self.io.read_exact(&mut head).await.unwrap();
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; len as usize];
        self.io.read_exact(&mut payload).await.unwrap();
        (head[3], head[4], payload)
    }

    async fn block(&mut self) -> Vec<u8> {
        let mut block = Vec::new();
        loop {
            let (kind, flags, payload) = self.frame().await;
            if kind == HEADERS || kind == CONTINUATION {
                block.extend(payload);
                if flags & END_HEADERS != 0 {
                    return block;
                }
            }
        }
    }

    /// Announces a table size, and waits until the client knows it.
    async fn allow_table_size(&mut self, size: u32) {
        let mut frame = vec![0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 1];
        frame.extend(size.to_be_bytes());
        self.io.write_all(&frame).await.unwrap();
        loop {
            let (kind, flags, _) = self.frame().await;
            if kind == SETTINGS && flags & ACK != 0 {
                return;
            }
        }
    }
}

/// A path, and other fields: name, value, whether it is secret.
type Sent = (String, Vec<(String, Vec<u8>, bool)>);

fn request() -> impl Strategy<Value = Sent> {
    let name = prop_oneof![
        3 => prop::sample::select(vec!["accept", "cookie", "user-agent", "etag", "x-one", "x-two"])
            .prop_map(str::to_owned),
        1 => "x-[a-z0-9-]{1,30}",
    ];
    let octet = prop_oneof![4 => 0x20u8..=0x7e, 1 => 0x80u8..=0xff];
    let value = prop_oneof![
        3 => prop::sample::select(vec!["", "1", "trailers", "curl/8.5.0"])
            .prop_map(|value| value.as_bytes().to_vec()),
        2 => prop::collection::vec(octet, 0..200),
    ];
    let field = (name, value, prop::bool::weighted(0.1));
    ("/[a-z/]{0,40}", prop::collection::vec(field, 0..12))
}

/// The blocks that a client writes for these requests, with their fields. The table size changes
/// in their middle.
async fn write(requests: &[Sent], table_size: u32) -> Vec<(Vec<u8>, Vec<Pair>)> {
    let (client, server) = tokio::io::duplex(64 << 10);
    let (mut sender, connection) = ::h2::client::handshake(client).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut wire = Wire { io: server };
    wire.io.read_exact(&mut [0; PREFACE_LEN]).await.unwrap();
    let mut blocks = Vec::new();
    for (number, (path, fields)) in requests.iter().enumerate() {
        if number == requests.len() / 2 {
            wire.allow_table_size(table_size).await;
        }
        let uri = format!("http://shop.example{path}");
        let mut request = Request::post(uri).body(()).unwrap();
        let authority = (b":authority".to_vec(), b"shop.example".to_vec());
        let mut sent = vec![
            (b":method".to_vec(), b"POST".to_vec()),
            (b":scheme".to_vec(), b"http".to_vec()),
            authority,
            (b":path".to_vec(), path.as_bytes().to_vec()),
        ];
        for (name, value, secret) in fields {
            let mut value = HeaderValue::from_bytes(value).unwrap();
            value.set_sensitive(*secret);
            request
                .headers_mut()
                .append(name.parse::<HeaderName>().unwrap(), value);
        }
        let pairs = request.headers().iter();
        sent.extend(pairs.map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec())));
        sender = sender.ready().await.unwrap();
        let (_response, _body) = sender.send_request(request, true).unwrap();
        blocks.push((wire.block().await, sent));
    }
    driver.abort();
    blocks
}

fn blocks(requests: &[Sent], table_size: u32) -> Vec<(Vec<u8>, Vec<Pair>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(write(requests, table_size))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_h2_writes_is_read_from_the_start_and_never_wrongly_later(
        requests in prop::collection::vec(request(), 1..60),
        table_size in prop_oneof![Just(0u32), 0..300u32, 0..70_000u32],
        joins in any::<prop::sample::Index>(),
    ) {
        let joins = joins.index(requests.len());
        let mut whole = Decoder::from_start();
        let mut joined = Decoder::joined();
        whole.allow_table_size(table_size);
        for (number, (block, sent)) in blocks(&requests, table_size).iter().enumerate() {
            let told = fields(&mut whole, block).unwrap();
            prop_assert!(complete(&told, sent));
            let all_known = |(name, value): &(Owned, Owned)| name.is_known() && value.is_known();
            prop_assert!(told.iter().all(all_known));
            if number >= joins {
                complete(&fields(&mut joined, block).unwrap(), sent);
            }
        }
    }
}
