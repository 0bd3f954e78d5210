//! A process whose memory says anything at all, which is read to link its calls: what it says of
//! itself is its own affair, but nothing of it reaches others, and the daemon does what it does.

use wirespan_tests::daemon::Daemon;
use wirespan_tests::links::{Load, Row, Target, requests};
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::Kind;
use wirespan_tests::tunnels::listening;
use wirespan_tests::workload::{Nginx, Server, children_of, eventually, file};

/// Of the proxy beside it.
const TARGET: Target = Target {
    right: 99.9,
    wrong: 0.0,
};

#[test]
fn who_lies_about_its_requests_lies_about_nobody_elses() {
    let back = Server::hyper();
    let directory = tempfile::tempdir().expect("a directory");
    // It is known by its name.
    let program = directory.path().join("nginx");
    let mut compiler = tied("cc");
    compiler.args(["-O1", "-o"]).arg(&program);
    compiler.arg(file("links/hostile.c")).arg("-lpthread");
    Process::start("cc", &mut compiler).succeed();
    let port = ports::free();
    let mut command = tied(&program);
    command.args([port.to_string(), back.port.to_string()]);
    let liar = listening("liar", command, port);
    let upstream = format!(
        "upstream up {{ server 127.0.0.1:{}; keepalive 8; }}",
        back.port
    );
    let pass = r#"location / { proxy_pass http://up; proxy_http_version 1.1;
        proxy_set_header Connection ""; }"#;
    let honest = Nginx::start(1, &upstream, pass);
    eventually("a worker", || !children_of(honest.process.pid()).is_empty());
    let worker = children_of(honest.process.pid())[0];

    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &format!("{},{worker}", liar.pid()))]);
    let load = Load::of_a_row();
    let urls = [format!("http://127.0.0.1:{port}"), honest.url("")];
    std::thread::scope(|scope| {
        for url in &urls {
            let load = &load;
            scope.spawn(move || {
                assert_eq!(
                    load.send(url, |id| format!("/{id}/x?size=2")),
                    load.requests
                );
            });
        }
    });
    let finished = daemon.stop();

    assert_eq!(
        finished.spans.len(),
        4 * requests(),
        "each request, and each call"
    );
    let of = |pid: u32| {
        let pid = pid.to_string();
        let spans = finished.spans.iter();
        spans
            .filter(move |span| span.resource["process.pid"] == pid)
            .cloned()
            .collect::<Vec<_>>()
    };
    Row::of(&of(worker)).assert("nginx, beside a liar", Some(requests()), TARGET);
    let told = of(liar.pid());
    println!("links: the liar: {}", Row::of(&told));
    for span in told.iter().filter(|span| !span.parent_span_id.is_empty()) {
        let parent = told.iter().find(|it| it.span_id == span.parent_span_id);
        let parent = parent.unwrap_or_else(|| panic!("not its own: {span}"));
        assert_eq!(
            (span.kind, parent.kind),
            (Kind::Client, Kind::Server),
            "{span}"
        );
    }
}
