//! An encoder that writes what it is told to, in any form the standard allows, and client
//! libraries in the forms that they choose.

use std::collections::VecDeque;

use super::support::Owned;

/// A field as it is sent.
pub type Pair = (Vec<u8>, Vec<u8>);

/// How a field is written.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// As an index if the table has it, or else inserted: what most libraries do.
    Indexed,
    /// Inserted even if the table has it.
    Inserted,
    /// Not kept.
    Literal,
    /// Not kept, and secret.
    Never,
}

/// One direction of a connection.
#[derive(Clone, Debug)]
pub struct Sender {
    table: VecDeque<Pair>,
    size_max: usize,
    /// Whether strings are Huffman codes.
    pub huffman: bool,
    /// Whether names are written out even where the table has them.
    pub spells_names: bool,
    pub block: Vec<u8>,
}

impl Sender {
    pub fn new() -> Self {
        Self {
            table: VecDeque::new(),
            size_max: 4096,
            huffman: true,
            spells_names: false,
            block: Vec::new(),
        }
    }

    pub fn take_block(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.block)
    }

    pub fn resize(&mut self, size_max: usize) {
        self.integer(0x20, 5, size_max);
        self.size_max = size_max;
        self.evict();
    }

    pub fn field(&mut self, form: Form, name: &str, value: &str) {
        self.bytes(form, name.as_bytes(), value.as_bytes());
    }

    pub fn bytes(&mut self, form: Form, name: &[u8], value: &[u8]) {
        let same = |(n, v): &(&[u8], &[u8])| *n == name && *v == value;
        let whole = self.entries().position(|entry| same(&entry));
        let named = self.entries().position(|(n, _)| n == name);
        let named = named.filter(|_| !self.spells_names).map_or(0, |at| at + 1);
        match (form, whole) {
            (Form::Indexed, Some(at)) => self.integer(0x80, 7, at + 1),
            (Form::Indexed | Form::Inserted, _) => {
                self.literal(0x40, 6, named, name, value);
                self.table.push_front((name.to_vec(), value.to_vec()));
                self.evict();
            }
            (Form::Literal, _) => self.literal(0x00, 4, named, name, value),
            (Form::Never, _) => self.literal(0x10, 4, named, name, value),
        }
    }

    fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let fixed = STATIC
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        fixed.chain(self.table.iter().map(|(name, value)| (&**name, &**value)))
    }

    fn evict(&mut self) {
        let size = |(name, value): &Pair| name.len() + value.len() + 32;
        while self.table.iter().map(size).sum::<usize>() > self.size_max {
            self.table.pop_back();
        }
    }

    fn literal(&mut self, first: u8, bits: u32, named: usize, name: &[u8], value: &[u8]) {
        self.integer(first, bits, named);
        if named == 0 {
            self.string(name);
        }
        self.string(value);
    }

    fn string(&mut self, text: &[u8]) {
        let mut coded = Vec::new();
        if self.huffman {
            httlib_huffman::encode(text, &mut coded).unwrap();
            self.integer(0x80, 7, coded.len());
            self.block.extend(coded);
        } else {
            self.integer(0, 7, text.len());
            self.block.extend(text);
        }
    }

    fn integer(&mut self, first: u8, bits: u32, value: usize) {
        let full = (1 << bits) - 1;
        if value < full {
            return self.block.push(first | value as u8);
        }
        self.block.push(first | full as u8);
        let mut rest = value - full;
        while rest >= 128 {
            self.block.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.block.push(rest as u8);
    }
}

/// What a program's client library sends first and always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// `http2_client.go: createHeaderFields`; x/net/http2/hpack looks everything up, and inserts
    /// what it does not find.
    GrpcGo,
    /// `metadata_batch.h` orders the fields, `hpack_encoder.h` compresses each in its own way;
    /// names are spelled, nothing is Huffman-coded, deadlines are rounded and remembered.
    GrpcCore,
    /// `Utils.convertClientHeaders`; netty's HpackEncoder inserts what it does not find.
    GrpcJava,
    /// `subchannel-call.ts`, `mapToHeaders` of Node; nghttp2 never inserts a path
    /// (`nghttp2_hd.c: hd_deflate_decide_indexing`).
    GrpcJs,
    /// `h2::hpack` never inserts a path (`header.rs: skip_value_index`).
    Tonic,
}

/// A request: its path, and a deadline if it has one.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    pub path: &'a str,
    pub timeout: Option<String>,
}

impl Library {
    pub fn connect(self) -> Sender {
        let mut sender = Sender::new();
        if self == Self::GrpcCore {
            sender.huffman = false;
            sender.spells_names = true;
        }
        sender
    }

    /// Writes a request, and returns the block with what it means.
    pub fn request(self, sender: &mut Sender, call: &Call<'_>) -> (Vec<u8>, Vec<Pair>) {
        let timeout = call.timeout.as_deref();
        let path = (":path", Some(call.path));
        let method = (":method", Some("POST"));
        let scheme = (":scheme", Some("http"));
        let authority = (":authority", Some("stock.example:50051"));
        let content_type = ("content-type", Some("application/grpc"));
        let te = ("te", Some("trailers"));
        let accept = |encodings| ("grpc-accept-encoding", Some(encodings));
        let agent = |agent| ("user-agent", Some(agent));
        let timeout = ("grpc-timeout", timeout);
        let fields: Vec<(&str, Option<&str>)> = match self {
            Self::GrpcGo => {
                let agent = agent("grpc-go/1.76.0");
                vec![
                    method,
                    scheme,
                    path,
                    authority,
                    content_type,
                    agent,
                    te,
                    timeout,
                ]
            }
            Self::GrpcCore => {
                let timeout = ("grpc-timeout", timeout.1.map(|_| "5S"));
                let agent = agent("grpc-python/1.76.0 grpc-c/50.0.0 (linux; chttp2)");
                let accept = accept("identity, deflate, gzip");
                vec![
                    path,
                    authority,
                    method,
                    scheme,
                    content_type,
                    te,
                    accept,
                    timeout,
                    agent,
                ]
            }
            Self::GrpcJava => {
                let (agent, accept) = (agent("grpc-java-netty/1.76.0"), accept("gzip"));
                vec![
                    authority,
                    path,
                    method,
                    scheme,
                    content_type,
                    te,
                    agent,
                    accept,
                    timeout,
                ]
            }
            Self::GrpcJs => {
                let accept = accept("identity,deflate,gzip");
                let agent = agent("grpc-node-js/1.14.0");
                vec![
                    authority,
                    method,
                    path,
                    scheme,
                    accept,
                    agent,
                    content_type,
                    te,
                    timeout,
                ]
            }
            Self::Tonic => {
                let agent = agent("tonic/0.14.2");
                vec![
                    method,
                    scheme,
                    authority,
                    path,
                    te,
                    content_type,
                    timeout,
                    agent,
                ]
            }
        };
        let mut sent = Vec::new();
        for (name, value) in fields {
            let Some(value) = value else { continue };
            let form = match self {
                Self::GrpcJs | Self::Tonic if name == ":path" => Form::Literal,
                _ => Form::Indexed,
            };
            sender.field(form, name, value);
            sent.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
        (sender.take_block(), sent)
    }
}

/// Whether nothing is missing, of all fields. Panics if something is known and wrong.
#[track_caller]
pub fn complete(fields: &[(Owned, Owned)], sent: &[Pair]) -> bool {
    assert_eq!(fields.len(), sent.len());
    let mut complete = true;
    for ((name, value), (sent_name, sent_value)) in fields.iter().zip(sent) {
        assert!(name.agrees_with(sent_name), "{name:?} is not {sent_name:?}");
        assert!(
            value.agrees_with(sent_value),
            "{value:?} is not {sent_value:?}"
        );
        complete &= !name.is_unknown() && !value.is_unknown();
    }
    complete
}

/// RFC 7541 appendix A, as far as these tests send it, with the right indices.
const STATIC: [(&str, &str); 61] = {
    let mut table = [("a name that nobody sends, longer than any random one", ""); 61];
    table[0] = (":authority", "");
    table[1] = (":method", "GET");
    table[2] = (":method", "POST");
    table[3] = (":path", "/");
    table[5] = (":scheme", "http");
    table[6] = (":scheme", "https");
    table[7] = (":status", "200");
    table[30] = ("content-type", "");
    table[31] = ("cookie", "");
    table[32] = ("date", "");
    table[57] = ("user-agent", "");
    table
};
