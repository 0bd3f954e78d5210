//! Engines stood in for on sockets of the test, for what real ones do only in trouble.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::*;

/// Answers each connection in turn with these bytes, and hands over what was asked.
fn serve(socket: &Path, answers: &'static [&'static str]) -> std::sync::mpsc::Receiver<String> {
    std::fs::create_dir_all(socket.parent().expect("a directory")).expect("a directory");
    let listener = UnixListener::bind(socket).expect("a socket");
    let (asked, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).expect("a request");
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let _ = stream.write_all(answer.as_bytes());
            let _ = asked.send(head.lines().next().unwrap_or_default().to_owned());
        }
    });
    heard
}

fn labelled(name: &str, image: &str) -> Option<Labelled> {
    Some(Labelled {
        name: name.to_owned(),
        image: image.to_owned(),
    })
}

const KNOWN: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\
    {\"Name\": \"/shop-web-1\", \"Config\": {\"Image\": \"shop:1.2\"}}";
const UNKNOWN: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";

#[test]
fn a_container_is_asked_for_once() {
    let root = tempfile::tempdir().expect("a directory");
    let docker = root.path().join("run/docker.sock");
    let asked = serve(&docker, &[KNOWN, UNKNOWN]);
    let engines = Engines::below(root.path());
    for _ in 0..3 {
        assert_eq!(engines.labelled("0a1b"), labelled("shop-web-1", "shop:1.2"));
        assert_eq!(engines.labelled("ffff"), None);
    }
    let asked: Vec<_> = asked.iter().collect();
    assert_eq!(
        asked,
        [
            "GET /containers/0a1b/json HTTP/1.1",
            "GET /containers/ffff/json HTTP/1.1",
        ]
    );
}

#[test]
fn another_engine_is_asked_where_one_does_not_know_it() {
    let root = tempfile::tempdir().expect("a directory");
    serve(&root.path().join("run/docker.sock"), &[UNKNOWN]);
    serve(&root.path().join("run/podman/podman.sock"), &[KNOWN]);
    let engines = Engines::below(root.path());
    assert_eq!(engines.labelled("0a1b"), labelled("shop-web-1", "shop:1.2"));
}

#[test]
fn an_engine_in_trouble_is_left_alone_for_a_while() {
    for answers in [
        &["HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"][..],
        &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"],
        &["220 mail.example.com ESMTP\r\n"],
        &[""],
    ] {
        let root = tempfile::tempdir().expect("a directory");
        let docker = root.path().join("run/docker.sock");
        let asked = serve(&docker, answers);
        let engines = Engines::below(root.path());
        assert_eq!(engines.labelled("0a1b"), None, "{answers:?}");
        assert_eq!(engines.labelled("0a1b"), None, "{answers:?}");
        assert_eq!(asked.iter().count(), 1, "{answers:?}");
        assert!(engines.known().containers.is_empty(), "it may be told yet");
    }
}

#[test]
fn a_socket_that_is_for_others_is_said_once() {
    for (socket, _) in SOCKETS {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join(socket);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        let _listener = UnixListener::bind(&path).expect("a socket");
        let nobodys = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(&path, nobodys).expect("it is ours");
        let engines = Engines::below(root.path());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Root may write whatever it says.
                let mut sets = capabilities(None).expect("they are told");
                sets.effective.remove(CapabilitySet::DAC_OVERRIDE);
                set_capabilities(None, sets).expect("fewer may be had");
                assert_eq!(engines.labelled("0a1b"), None);
                engines.known().paused.clear();
                assert_eq!(engines.labelled("0a1b"), None);
            });
        });
        let refused: Vec<_> = engines.known().refused.iter().cloned().collect();
        assert_eq!(refused, [path]);
        assert!(engines.known().containers.is_empty(), "it may be told yet");
    }
}

#[test]
fn one_that_is_away_is_not_said_to_refuse() {
    let root = tempfile::tempdir().expect("a directory");
    for (socket, _) in SOCKETS {
        let path = root.path().join(socket);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        // Nobody listens there any more.
        drop(UnixListener::bind(&path).expect("a socket"));
    }
    let engines = Engines::below(root.path());
    assert_eq!(engines.labelled("0a1b"), None);
    assert_eq!(engines.known().paused.len(), SOCKETS.len());
    assert!(engines.known().refused.is_empty());
}

#[test]
fn one_that_hangs_is_not_waited_for() {
    let root = tempfile::tempdir().expect("a directory");
    let socket = root.path().join("run/containerd/containerd.sock");
    std::fs::create_dir_all(socket.parent().expect("a directory")).expect("a directory");
    // It takes connections, and never says a word.
    let _listener = UnixListener::bind(&socket).expect("a socket");
    let engines = Engines::below(root.path());
    assert_eq!(engines.labelled("0a1b"), None);
}

#[test]
fn what_no_engine_would_say_is_not_taken_over() {
    assert_eq!(bounded("x".repeat(TEXT_MAX + 1)), "");
    assert_eq!(bounded("x".repeat(TEXT_MAX)).len(), TEXT_MAX);
}
