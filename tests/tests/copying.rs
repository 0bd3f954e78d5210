//! How long bytes are copied that nobody can make anything of: a recording grows by them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::ports;
use wirespan_tests::workload::{Server, eventually, python};

fn skip(from: &mut TcpStream, count: usize) {
    from.read_exact(&mut vec![0; count]).expect("as many bytes");
}

/// What begins as HTTP and goes on as something else is copied until user space has said so, and
/// not for as long as it lasts.
#[test]
fn what_goes_on_as_something_else_is_soon_copied_no_more() {
    const PIECE: usize = 4096;
    const ENOUGH: u64 = 8 * 1024 * 1024;
    let upgrade = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    let connect = "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n";
    let hello = b"\x16\x03\x01\0\x06\x01\0\0\x02\x03\x03";
    for (request, first) in [(upgrade, &b"\x81\x02hi"[..]), (connect, hello)] {
        let directory = tempfile::tempdir().expect("a directory");
        let recording = directory.path().join("recording");
        let server = Server::on(ports::free(), |port| {
            python("capture/switching.py", &[port])
        });
        let port = server.port.to_string();
        let daemon = Daemon::start_with(
            &["record", recording.to_str().expect("text")],
            &[("BEYLA_OPEN_PORT", &port)],
        );
        daemon.wait_until_watching(server.process.pid());
        let mut connection = TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
        connection.set_nodelay(true).expect("a socket");
        connection.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        connection.write_all(first).expect("sent");
        skip(&mut connection, first.len());
        let mut moved = 0;
        let recorded = || recording.metadata().expect("there").len();
        eventually("less to be copied than moves", || {
            for _ in 0..64 {
                connection.write_all(&[0x17; PIECE]).expect("sent");
                skip(&mut connection, PIECE);
                moved += 2 * PIECE as u64;
            }
            moved >= ENOUGH && recorded() < moved / 4
        });
        let _ = daemon.stop_uncounted();
        assert!(recorded() < moved / 2, "{} of {moved}", recorded());
    }
}
