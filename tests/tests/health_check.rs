//! What `/healthz` and `/readyz` say while a receiver goes and comes, while a shard is stuck, and
//! to who asks for something else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use wirespan_tests::daemon::Daemon;
use wirespan_tests::ports;
use wirespan_tests::process::LIMIT;
use wirespan_tests::receiver::Receiver;
use wirespan_tests::workload::{Server, curl};

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Status and body of the answer to a request.
fn ask(port: u16, request: &str) -> (u16, String) {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
    let request = format!("{request} HTTP/1.1\r\nHost: node\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (status.expect("a status"), body.to_owned())
}

/// Asks until the status is this one, as a kubelet does; returns the body.
fn wait_for(port: u16, path: &str, status: u16) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        let (got, body) = ask(port, &format!("GET {path}"));
        if got == status {
            return body;
        }
        assert!(Instant::now() < deadline, "{path}: {got} {body:?}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_receiver_that_is_away_makes_it_unready_and_keeps_it_alive() {
    let server = Server::python();
    let mut receiver = Receiver::start().await.expect("a port");
    let port = ports::free();
    let daemon = Daemon::start(&[
        ("BEYLA_TARGET_PID", &server.process.pid().to_string()),
        ("BEYLA_HEALTH_CHECK_PORT", &port.to_string()),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            &format!("http://{}", receiver.address()),
        ),
    ]);
    let look = move |path: &'static str, status| {
        tokio::task::spawn_blocking(move || wait_for(port, path, status))
    };
    // Nothing was exported yet: an empty export decides.
    assert_eq!(look("/readyz", 200).await.expect("no panic"), "ok\n");
    assert_eq!(look("/healthz", 200).await.expect("no panic"), "ok\n");
    assert!(receiver.spans().is_empty() && receiver.attempts() > 0);

    receiver.go_away().await;
    // What is exported now finds out.
    let _ = curl(&[&server.url("/away")]);
    let why = look("/readyz", 503).await.expect("no panic");
    let names = format!("http://{} takes no spans: ", receiver.address());
    assert!(why.starts_with(&names), "{why}");
    assert_eq!(look("/healthz", 200).await.expect("no panic"), "ok\n");

    receiver.come_back().await.expect("its port");
    assert_eq!(look("/readyz", 200).await.expect("no panic"), "ok\n");
    receiver
        .wait_for(|spans| spans.len() == 1, LIMIT)
        .await
        .expect("the span that waited");
    let _ = daemon.stop();
}

#[test]
fn a_shard_that_is_stuck_makes_it_unhealthy_until_it_turns() {
    let server = Server::python();
    let port = ports::free();
    let mut daemon = Daemon::start(&[
        ("BEYLA_TARGET_PID", &server.process.pid().to_string()),
        ("BEYLA_HEALTH_CHECK_PORT", &port.to_string()),
    ]);
    assert_eq!(wait_for(port, "/healthz", 200), "ok\n");
    // Without a receiver there is nothing to wait for.
    assert_eq!(wait_for(port, "/readyz", 200), "ok\n");
    let held = held::Thread::named(daemon.process().pid(), "shard");
    let why = wait_for(port, "/healthz", 503);
    assert!(why.starts_with("shard 0 has read no records for "), "{why}");
    assert_eq!(ask(port, "GET /readyz").0, 503);
    drop(held);
    assert_eq!(wait_for(port, "/healthz", 200), "ok\n");
    let _ = curl(&[&server.url("/after")]);
    daemon.wait_for_count(1);
    let _ = daemon.stop();
}

#[test]
fn who_asks_for_something_else_or_for_nothing_is_in_nobodys_way() {
    let server = Server::python();
    let port = ports::free();
    let daemon = Daemon::start(&[
        ("BEYLA_TARGET_PID", &server.process.pid().to_string()),
        ("BEYLA_HEALTH_CHECK_PORT", &port.to_string()),
    ]);
    assert_eq!(ask(port, "GET /metrics").0, 404);
    assert_eq!(ask(port, "GET /healthz/..").0, 404);
    assert_eq!(ask(port, "POST /healthz").0, 405);
    assert_eq!(ask(port, "HEAD /healthz"), (200, String::new()));
    assert_eq!(ask(port, "GET /healthz?verbose").0, 200);
    let long = format!("GET /{}", "a".repeat(64 * 1024));
    assert!(matches!(ask(port, &long).0, 400..500));
    // More who say nothing, or not all, than there is room for.
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let silent: Vec<_> = (0..200)
        .map(|number| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            if number % 2 == 0 {
                stream
                    .write_all(b"GET /healthz HTTP/1.1\r\n")
                    .expect("it reads");
            }
            stream
        })
        .collect();
    assert_eq!(ask(port, "GET /healthz").0, 200);
    // Each of them is closed, sooner or later.
    for mut stream in silent {
        stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
        let mut rest = Vec::new();
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    let _ = daemon.stop();
}

/// A thread that is kept from running, and no other of its process.
mod held {
    use std::marker::PhantomData;

    /// Until this is dropped, on the thread that made it, as ptrace(2) has it.
    pub struct Thread {
        id: libc::pid_t,
        stays: PhantomData<*const ()>,
    }

    impl Thread {
        /// Holds the thread of this name.
        pub fn named(pid: u32, name: &str) -> Self {
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
            let id = tasks.flatten().find(|task| {
                let is = std::fs::read_to_string(task.path().join("comm"));
                is.is_ok_and(|is| is.trim() == name)
            });
            let id = id.expect("there is such a thread").file_name();
            let id = id.to_str().and_then(|id| id.parse().ok()).expect("an id");
            trace(libc::PTRACE_SEIZE, id);
            trace(libc::PTRACE_INTERRUPT, id);
            // SAFETY: no status is asked for.
            let waited = unsafe { libc::waitpid(id, std::ptr::null_mut(), libc::__WALL) };
            assert_eq!(waited, id, "{}", std::io::Error::last_os_error());
            let stays = PhantomData;
            Self { id, stays }
        }
    }

    impl Drop for Thread {
        fn drop(&mut self) {
            trace(libc::PTRACE_DETACH, self.id);
        }
    }

    fn trace(request: libc::c_uint, id: libc::pid_t) {
        let nothing = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: none of these requests reads or writes memory of this process.
        let done = unsafe { libc::ptrace(request, id, nothing, nothing) };
        let error = std::io::Error::last_os_error();
        assert_eq!(done, 0, "ptrace {request:#x} of {id}: {error}");
    }
}
