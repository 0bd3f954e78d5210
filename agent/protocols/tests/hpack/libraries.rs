//! How soon a connection is understood that was joined after a thousand requests, for what the
//! client libraries of gRPC send. The table in `lore.rs` is what this measures.

use wirespan_protocols::http2::hpack::{Decoder, Lore};

use super::sender::{Call, LIBRARIES, Library, Pair, complete};
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
        calls.map(|call| self.library.request(&mut sender, &call)).collect()
    }

    /// Lore of so many connections that were seen from the start.
    fn lore(&self, connections: usize) -> Lore {
        let mut lore = Lore::new();
        for seed in 1..=connections {
            let mut decoder = Decoder::from_start();
            for (block, sent) in self.connection(seed, BEFORE + AFTER) {
                let fields = fields_with(&mut decoder, &block, Some(&mut lore)).unwrap();
                assert!(complete(&fields, &sent));
            }
        }
        lore
    }

    /// After how many requests all further ones are complete: all fields, and the path alone.
    /// `None` if the last one is not.
    fn settles(&self, mut lore: Option<Lore>) -> (Option<usize>, Option<usize>) {
        let mut decoder = Decoder::joined();
        let (mut fields_at, mut path_at) = (0, 0);
        let blocks = self.connection(0, BEFORE + AFTER).into_iter().skip(BEFORE);
        for ((block, sent), number) in blocks.zip(1..) {
            let fields = fields_with(&mut decoder, &block, lore.as_mut()).unwrap();
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

fn all_programs() -> impl Iterator<Item = Program> {
    LIBRARIES.into_iter().flat_map(|library| {
        [&PATHS[..1], &PATHS[..]].into_iter().flat_map(move |paths| {
            [false, true].map(|deadlines| Program {
                library,
                paths,
                deadlines,
            })
        })
    })
}

#[test]
fn table() {
    for program in all_programs() {
        let none = program.settles(None);
        let one = program.settles(Some(program.lore(1)));
        let two = program.settles(Some(program.lore(2)));
        println!(
            "{:?} {} {}: {none:?} {one:?} {two:?}",
            program.library, program.paths.len(), program.deadlines
        );
    }
}
