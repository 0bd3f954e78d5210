//! A soak: recordings that nobody made, from one that somebody did. Whatever stands in one, reading
//! it ends, with spans or with an error.

use std::path::Path;
use std::process::Stdio;

use wirespan_tests::daemon::{Daemon, command};
use wirespan_tests::soak::Soak;
use wirespan_tests::visits::{visit, visit_rawly};
use wirespan_tests::workload::Server;

/// What the daemon may say with its exit code: done, failed, refused. A panic is 101.
const ENDS: [i32; 3] = [0, 1, 2];

/// Numbers that look random and are the same in each run (Marsaglia's xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).expect("below a usize")
    }

    /// Bytes that were flipped, cut out, doubled, swapped, or cut off.
    fn mutate(&mut self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..=self.below(4) {
            let len = bytes.len();
            if len < 64 {
                break;
            }
            let at = self.below(len - 32);
            let end = at + 1 + self.below((len - at - 1).min(4096));
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = [0, 0xff, 0x7f, 0x80][self.below(4)],
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(len);
                    drop(bytes.splice(to..to, piece));
                }
                4 => bytes[at..end].reverse(),
                _ => bytes.truncate(len - self.below(len / 2)),
            }
        }
        bytes
    }
}

/// Requests of many shapes.
fn record(file: &str) {
    let server = Server::python();
    let port = server.port.to_string();
    let daemon = Daemon::start_with(&["record", file], &[("BEYLA_OPEN_PORT", &port)]);
    let count = visit(|target| server.url(target)) + visit_rawly(server.port);
    daemon.wait_for_count(count);
    let _ = daemon.stop();
}

/// Reads a recording to its end; the exit code.
fn replay(file: &Path) -> Option<i32> {
    let mut command = command();
    command
        .arg("replay")
        .arg(file)
        .args(["--printer", "counter"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().expect("it starts").code()
}

#[test]
#[ignore = "a soak"]
fn no_recording_makes_the_reader_panic() {
    let soak = Soak::begin();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("calls.wirespan");
    record(file.to_str().expect("a path in UTF-8"));
    let original = std::fs::read(&file).expect("a recording");
    assert_eq!(replay(&file), Some(0), "as it was made");
    let mut ends = [0; ENDS.len()];
    let mut seed = 1;
    while soak.goes_on() {
        std::fs::write(&file, Chance(seed).mutate(&original)).expect("a file");
        let code = replay(&file);
        let end = ENDS.iter().position(|end| Some(*end) == code);
        let Some(end) = end else {
            let kept = std::env::temp_dir().join(format!("mutated-{seed}.wirespan"));
            let _ = std::fs::copy(&file, &kept);
            panic!("{code:?} of {}", kept.display());
        };
        ends[end] += 1;
        seed += 1;
    }
    println!("{seed} recordings; {ends:?} ended with {ENDS:?}");
    assert!(ends[0] > 0, "none was whole enough to be read: {ends:?}");
}
