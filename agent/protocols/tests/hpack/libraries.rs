//! How soon a connection is understood that was joined after a thousand requests, for what the
//! client libraries of gRPC send. The table in `learnt.rs` is what this measures.

use wirespan_protocols::http2::hpack::{Decoder, LearntHeaders};

use super::sender::{Call, Form, Library, Pair, complete};
use super::support::fields_with;

const BEFORE: usize = 1000;
const AFTER: usize = 300;

const PATHS: [&str; 3] = ["/shop.Stock/Get", "/shop.Stock/Put", "/shop.Orders/List"];

/// What a program does.
#[derive(Clone, Copy, Debug)]
struct Program {
    library: Library,
    paths: &'static [&'static str],
    deadlines: bool,
}

impl Program {
    /// The blocks of one connection. Deadlines are different on each.
    fn connection(&self, seed: usize, requests: usize) -> Vec<(Vec<u8>, Vec<Pair>)> {
        let mut sender = self.library.connect();
        let calls = (0..requests).map(|number| Call {
            path: self.paths[number % self.paths.len()],
            timeout: self.deadlines.then(|| {
                let left = 999 - (number * 7919 + seed * 104_729) % 1000;
                format!("4999{left:03}u")
            }),
        });
        calls
            .map(|call| self.library.request(&mut sender, &call))
            .collect()
    }

    /// What was learnt from so many connections that were seen from the start.
    fn learnt(&self, connections: usize) -> LearntHeaders {
        let mut learnt = LearntHeaders::new();
        for seed in 1..=connections {
            let mut decoder = Decoder::from_start();
            for (block, sent) in self.connection(seed, BEFORE + AFTER) {
                let fields = fields_with(&mut decoder, &block, Some(&mut learnt)).unwrap();
                assert!(complete(&fields, &sent));
            }
        }
        learnt
    }

    /// After how many requests all further ones are complete: all fields, and the path alone.
    /// `None` if the last one is not.
    fn settles(&self, mut learnt: Option<LearntHeaders>) -> (Option<usize>, Option<usize>) {
        let mut decoder = Decoder::joined();
        let (mut fields_at, mut path_at) = (0, 0);
        let blocks = self.connection(0, BEFORE + AFTER).into_iter().skip(BEFORE);
        for ((block, sent), number) in blocks.zip(1..) {
            let fields = fields_with(&mut decoder, &block, learnt.as_mut()).unwrap();
            if !complete(&fields, &sent) {
                fields_at = number;
            }
            let path = sent.iter().position(|(name, _)| name == b":path").unwrap();
            if fields[path].1.is_unknown() || fields[path].0.is_unknown() {
                path_at = number;
            }
        }
        let settled = |at| (at < AFTER).then_some(at);
        (settled(fields_at), settled(path_at))
    }
}

/// Requests that are missing something after the join; `NEVER` if the last one is.
const NEVER: Option<usize> = None;

/// How soon (all fields, the path), with nothing learnt, with one connection in it, and with three.
type Expected = [(Option<usize>, Option<usize>); 3];

#[track_caller]
fn expect(library: Library, paths: &'static [&'static str], deadlines: bool, wanted: Expected) {
    let program = Program {
        library,
        paths,
        deadlines,
    };
    let one = program.settles(Some(program.learnt(1)));
    let three = program.settles(Some(program.learnt(3)));
    assert_eq!([program.settles(None), one, three], wanted, "{program:?}");
}

#[test]
fn a_program_that_makes_one_call_is_understood_at_once_with_lore_of_one_connection() {
    let one = &PATHS[..1];
    let at_once = (Some(0), Some(0));
    for (library, deadlines, path_alone) in [
        (Library::GrpcGo, false, NEVER),
        (Library::GrpcGo, true, Some(36)),
        (Library::GrpcCore, false, NEVER),
        (Library::GrpcCore, true, NEVER),
        (Library::GrpcJava, false, NEVER),
        (Library::GrpcJava, true, Some(22)),
        (Library::GrpcJs, false, Some(0)),
        (Library::GrpcJs, true, Some(0)),
        (Library::Tonic, false, Some(0)),
        (Library::Tonic, true, Some(0)),
    ] {
        expect(
            library,
            one,
            deadlines,
            [(NEVER, path_alone), at_once, at_once],
        );
    }
}

#[test]
fn a_program_that_makes_several_calls_is_understood_at_once_with_lore_of_three_connections() {
    let at_once = (Some(0), Some(0));
    let never = (NEVER, NEVER);
    for library in [Library::GrpcGo, Library::GrpcCore, Library::GrpcJava] {
        expect(library, &PATHS, false, [never, never, at_once]);
    }
    expect(Library::GrpcCore, &PATHS, true, [never, never, at_once]);
    for library in [Library::GrpcJs, Library::Tonic] {
        for deadlines in [false, true] {
            expect(
                library,
                &PATHS,
                deadlines,
                [(NEVER, Some(0)), at_once, at_once],
            );
        }
    }
}

#[test]
fn deadlines_push_everything_out_of_the_table_and_back_into_sight() {
    let (soon, at_once) = ((Some(8), Some(8)), (Some(0), Some(0)));
    expect(
        Library::GrpcGo,
        &PATHS,
        true,
        [(NEVER, Some(8)), soon, at_once],
    );
    // The name of grpc-timeout itself is never spelled again: the order of the fields tells it.
    let path_soon = (NEVER, Some(8));
    expect(Library::GrpcJava, &PATHS, true, [path_soon, soon, soon]);
}

/// Blocks of responses: each a head and trailers.
fn responses(outcomes: &[&str]) -> Vec<(Vec<u8>, Vec<Pair>)> {
    let mut sender = Library::GrpcGo.connect();
    let mut blocks = Vec::new();
    for outcome in outcomes {
        let head = [(":status", "200"), ("content-type", "application/grpc")];
        let message = match *outcome {
            "0" => "",
            _ => "it failed",
        };
        for fields in [head, [("grpc-status", outcome), ("grpc-message", message)]] {
            let owned = |text: &str| text.as_bytes().to_vec();
            let sent = fields.map(|(name, value)| {
                sender.field(Form::Indexed, name, value);
                (owned(name), owned(value))
            });
            blocks.push((sender.take_block(), sent.to_vec()));
        }
    }
    blocks
}

fn lore_of(connections: &[Vec<(Vec<u8>, Vec<Pair>)>]) -> LearntHeaders {
    let mut learnt = LearntHeaders::new();
    for blocks in connections {
        let mut decoder = Decoder::from_start();
        for (block, sent) in blocks {
            assert!(complete(
                &fields_with(&mut decoder, block, Some(&mut learnt)).unwrap(),
                sent
            ));
        }
    }
    learnt
}

#[test]
fn an_outcome_is_inferred_once_three_connections_agree() {
    let good = responses(&["0"; 5]);
    for (connections, found) in [(1, false), (2, false), (3, true)] {
        let mut learnt = lore_of(&vec![good.clone(); connections]);
        let mut decoder = Decoder::joined();
        let mut last = false;
        for (block, sent) in &good[4..] {
            last = complete(
                &fields_with(&mut decoder, block, Some(&mut learnt)).unwrap(),
                sent,
            );
        }
        assert_eq!(last, found, "{connections} connections");
    }
}

#[test]
fn an_error_that_no_other_connection_had_is_not_taken_for_a_success() {
    let mixed = responses(&["0", "0", "5", "0", "5", "13", "0", "13", "5"]);
    for joins in 4..mixed.len() {
        // New for each: it learns from this connection as well.
        let mut learnt = lore_of(&vec![responses(&["0"; 5]); 20]);
        let mut decoder = Decoder::joined();
        for (block, sent) in &mixed[joins..] {
            let fields = fields_with(&mut decoder, block, Some(&mut learnt)).unwrap();
            // Panics if something is inferred wrongly.
            complete(&fields, sent);
        }
    }
}

#[test]
fn connections_that_disagree_about_an_index_silence_it() {
    let order = |paths: &'static [&'static str]| Program {
        library: Library::GrpcGo,
        paths,
        deadlines: false,
    };
    let forth = order(&["/a.B/C", "/d.E/F"]).connection(0, 10);
    let back = order(&["/d.E/F", "/a.B/C"]).connection(0, 10);
    let path_is_found = |learnt: &mut LearntHeaders| {
        let mut decoder = Decoder::joined();
        let found = forth[4..].iter().map(|(block, sent)| {
            let fields = fields_with(&mut decoder, block, Some(learnt)).unwrap();
            let names = fields.iter().filter(|(name, _)| !name.is_unknown()).count();
            assert_eq!(names, sent.len(), "nobody disagrees about names");
            complete(&fields, sent)
        });
        found.last().unwrap()
    };
    let mut learnt = lore_of(&vec![forth.clone(); 3]);
    assert!(path_is_found(&mut learnt));
    let teach = |blocks: &[(Vec<u8>, Vec<Pair>)], learnt: &mut LearntHeaders| {
        let mut decoder = Decoder::from_start();
        for (block, _) in blocks {
            fields_with(&mut decoder, block, Some(learnt)).unwrap();
        }
    };
    teach(&back, &mut learnt);
    assert!(!path_is_found(&mut learnt));
    for _ in 0..7 {
        teach(&forth, &mut learnt);
        assert!(!path_is_found(&mut learnt));
    }
    teach(&forth, &mut learnt);
    assert!(path_is_found(&mut learnt), "unanimous again");
}
