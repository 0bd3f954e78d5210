//! Trace context carried to other nodes: only where the kernel passes the self-test, and then with
//! the ids of the span that is exported. Whoever is asked is not watched, and shows what came.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use wirespan_tests::cgroup::SocketGroup;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::grpc::python_with_grpc;
use wirespan_tests::ports;
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::spans::{Kind, Seen, listing};
use wirespan_tests::tls::built;
use wirespan_tests::workload::{Client, Nginx, Server, children_of, eventually, python};

/// The lines of a request's head.
type Head = Vec<String>;

/// A server that nobody watches, and the heads of what it was asked.
struct Unobserved {
    port: u16,
    heads: Arc<Mutex<Vec<Head>>>,
}

impl Unobserved {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heads = Arc::default();
        let all = Arc::clone(&heads);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let heads = Arc::clone(&all);
                std::thread::spawn(move || serve(connection, &heads));
            }
        });
        Self { port, heads }
    }

    fn heads(&self) -> Vec<Head> {
        self.heads.lock().expect("no panic").clone()
    }

    /// What those of this path name, of which there has to be one.
    fn contexts_of(&self, path: &str) -> Vec<String> {
        let asked = format!("GET {path} HTTP/1.1");
        let heads = self.heads();
        let mut of_path = heads.iter().filter(|head| head.first() == Some(&asked));
        let head = of_path
            .next()
            .unwrap_or_else(|| panic!("{path}: {heads:?}"));
        assert!(of_path.next().is_none(), "{path}: {heads:?}");
        contexts(head)
    }
}

/// Answers until the client has enough.
fn serve(mut connection: TcpStream, heads: &Mutex<Vec<Head>>) {
    let reader = connection.try_clone().expect("a descriptor");
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    loop {
        let head: Head = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        if head.is_empty() {
            return;
        }
        heads.lock().expect("no panic").push(head);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        if connection.write_all(answer).is_err() {
            return;
        }
    }
}

/// The fields of a head that name a trace.
fn contexts(head: &[String]) -> Vec<String> {
    let named = head
        .iter()
        .filter_map(|line| line.strip_prefix("traceparent: "));
    named.map(str::to_owned).collect()
}

/// What a field has to say of a client's span.
fn named_by(span: &Seen) -> Vec<String> {
    vec![format!("00-{}-{}-01", span.trace_id, span.span_id)]
}

/// The spans of one kind, by the path that they are about.
fn of_path<'a>(spans: &'a [Seen], kind: Kind, path: &str) -> &'a Seen {
    let is_it = |span: &&Seen| span.kind == kind && span.target() == path;
    spans
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("{kind:?} {path}:\n{}", listing(spans)))
}

/// A daemon that carries what it watches by these settings, and what it says of that.
fn carrying(group: &SocketGroup, targets: (&str, &str)) -> (Daemon, String) {
    carrying_some(group, &[targets])
}

fn carrying_some(group: &SocketGroup, settings: &[(&str, &str)]) -> (Daemon, String) {
    let group = group.path().to_str().expect("text");
    let own = [
        ("BEYLA_BPF_CONTEXT_PROPAGATION", "headers"),
        ("WIRESPAN_CONTEXT_PROPAGATION_CGROUP", group),
    ];
    let mut daemon = Daemon::start(&[settings, &own].concat());
    let stderr = &daemon.process().stderr;
    let said = stderr.wait_for_line(LIMIT, "carry their trace");
    (daemon, said.unwrap_or_default())
}

/// What a daemon says in the end of what it carried, and what it did not.
fn counted(log: &[String]) -> &str {
    let line = log
        .iter()
        .find(|line| line.contains("context in headers: "));
    line.map_or("nothing", String::as_str)
}

/// Whether this kernel carries, as it has to.
fn carries(said: &str) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("it tells");
    let does = said.contains("calls of watched processes carry");
    if release.starts_with("6.1.") || release.starts_with("6.12.") {
        assert!(does && !said.contains(" alone: "), "{said}");
    } else if release.starts_with("6.18.44") {
        // It tells of no bytes on an enrolled socket: a proxy would wait for ever.
        let reason = "with 100 bytes waiting, FIONREAD on an enrolled socket tells 0";
        assert!(said.contains(reason), "{said}");
    } else if release.starts_with("5.10.") {
        assert!(said.contains("bpf_loop"), "{said}");
    }
    does
}

fn group() -> Option<SocketGroup> {
    SocketGroup::new("wirespan-carriers")
        .inspect_err(|reason| eprintln!("not tried: {reason}"))
        .ok()
}

/// Runs curl, with these arguments.
fn curl(arguments: &[&str]) {
    Process::start("curl", tied("curl").arg("-sS").args(arguments)).succeed();
}

/// Runs it within the group, with three requests on one connection.
fn ask_within(group: &SocketGroup, port: u16) {
    let url = format!("http://127.0.0.1:{port}");
    let joined = format!(
        "echo $$ > {}/cgroup.procs && exec curl -sS {url}/first {url}/second {url}/third",
        group.path().display()
    );
    let mut command = tied("sh");
    command.args(["-c", &joined]);
    Process::start("curl", &mut command).succeed();
}

const PATHS: [&str; 3] = ["/first", "/second", "/third"];

#[test]
fn headers_are_carried_only_where_the_self_test_passes() {
    let Some(group) = group() else { return };
    let (daemon, said) = carrying(&group, ("BEYLA_AUTO_TARGET_EXE", "*/curl"));
    let asked = Unobserved::start();
    ask_within(&group, asked.port);
    daemon.wait_for_count(PATHS.len());
    let spans = daemon.stop().spans;
    let carries = carries(&said);
    for path in PATHS {
        let span = of_path(&spans, Kind::Client, path);
        assert!(span.parent_span_id.is_empty(), "{span:?}");
        let expected = if carries { named_by(span) } else { vec![] };
        assert_eq!(asked.contexts_of(path), expected, "{span:?}");
    }
}

/// Each way passes by itself: kernels that refuse header fields may take the option.
#[test]
fn of_all_ways_those_are_used_that_pass() {
    let Some(group) = group() else { return };
    let path = group.path().to_str().expect("text");
    let asked = Unobserved::start();
    let mut daemon = Daemon::start(&[
        ("BEYLA_AUTO_TARGET_EXE", "*/curl"),
        ("BEYLA_BPF_CONTEXT_PROPAGATION", "all"),
        ("WIRESPAN_CONTEXT_PROPAGATION_CGROUP", path),
    ]);
    let stderr = &daemon.process().stderr;
    let said = stderr.wait_for_line(LIMIT, "carry their trace");
    let said = said.unwrap_or_default();
    ask_within(&group, asked.port);
    daemon.wait_for_count(PATHS.len());
    let told = daemon.stop();
    let carries = carries(&said);
    let has_headers = carries && !said.contains("in TCP options alone");
    for path in PATHS {
        let span = of_path(&told.spans, Kind::Client, path);
        let expected = if has_headers { named_by(span) } else { vec![] };
        assert_eq!(asked.contexts_of(path), expected, "{said}");
    }
    let counted = told.log.iter().find(|line| line.contains("context in "));
    let counted = counted.map_or("nothing", String::as_str);
    let has_option = counted.contains("3 requests with the TCP option");
    assert_eq!(has_option, carries, "{said}\n{counted}");
}

#[test]
fn without_being_asked_to_nothing_is_changed() {
    let Some(group) = group() else { return };
    let asked = Unobserved::start();
    let mut bytes = Vec::new();
    for watched in [false, true] {
        let daemon = watched.then(|| Daemon::start(&[("BEYLA_AUTO_TARGET_EXE", "*/curl")]));
        ask_within(&group, asked.port);
        if let Some(daemon) = daemon {
            daemon.wait_for_count(PATHS.len());
            let _ = daemon.stop();
        }
        bytes.push(std::mem::take(&mut *asked.heads.lock().expect("no panic")));
    }
    assert_eq!(bytes[0], bytes[1]);
    assert_eq!(bytes[0].len(), PATHS.len());
}

/// What a client names.
const GIVEN: [&str; 2] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];

fn given() -> String {
    format!("traceparent: 00-{}-{}-01", GIVEN[0], GIVEN[1])
}

#[test]
fn nginx_carries_on_what_it_was_asked_with() {
    let Some(group) = group() else { return };
    let asked = Unobserved::start();
    let upstream = format!(
        "upstream up {{ server 127.0.0.1:{}; keepalive 2; }}",
        asked.port
    );
    let pass = "proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection \"\";";
    let locations = format!(
        "location / {{ {pass} }}
         location /bare {{ {pass} proxy_set_header traceparent \"\"; }}"
    );
    let nginx = Nginx::start(1, &upstream, &locations);
    eventually("a worker", || !children_of(nginx.process.pid()).is_empty());
    let worker = children_of(nginx.process.pid())[0];
    group.take_in(worker);
    let (daemon, said) = carrying(&group, ("BEYLA_TARGET_PID", &worker.to_string()));
    daemon.wait_until_watching(worker);
    curl(&[&nginx.url("/none")]);
    curl(&["-H", &given(), &nginx.url("/given")]);
    curl(&["-H", &given(), &nginx.url("/bare")]);
    curl(&["-H", "b3: 0", &nginx.url("/unknown")]);
    daemon.wait_for_count(8);
    let spans = daemon.stop().spans;
    let client = |path| of_path(&spans, Kind::Client, path);
    for path in ["/none", "/given", "/bare"] {
        let server = of_path(&spans, Kind::Server, path);
        assert_eq!(
            client(path).parent_span_id,
            server.span_id,
            "{}",
            listing(&spans)
        );
        assert_eq!(
            client(path).trace_id,
            server.trace_id,
            "{}",
            listing(&spans)
        );
    }
    assert_eq!(client("/bare").trace_id, GIVEN[0]);
    // Passed on as it came: nobody doubles it.
    assert_eq!(contexts(&[given()]), asked.contexts_of("/given"));
    let of = |path| match carries(&said) {
        true => named_by(client(path)),
        false => vec![],
    };
    assert_eq!(asked.contexts_of("/none"), of("/none"));
    assert_eq!(asked.contexts_of("/bare"), of("/bare"));
    assert!(asked.contexts_of("/unknown").is_empty());
}

#[test]
fn goroutines_carry_on_what_they_read() {
    let Some(group) = group() else { return };
    let asked = Unobserved::start();
    let base = format!("http://127.0.0.1:{}", asked.port);
    let front = Server::on(ports::free(), |port| {
        let mut command = tied(built("bin/links-go-newest"));
        command.args(["front", port, &base]);
        command
    });
    group.take_in(front.process.pid());
    let (mut daemon, said) = carrying(&group, ("BEYLA_OPEN_PORT", &front.port.to_string()));
    // Before, nobody knows which goroutine asks.
    let probed = daemon.process().stderr.wait_for_line(LIMIT, "probes)");
    assert!(probed.is_some(), "{}", daemon.process().story());
    curl(&[&front.url("/r1/direct")]);
    curl(&["-H", &given(), &front.url("/r2/direct")]);
    daemon.wait_for_count(6);
    let told = daemon.stop();
    let spans = told.spans;
    let carries = carries(&said);
    let mut clients = spans.iter().filter(|span| span.kind == Kind::Client);
    assert_eq!(clients.clone().count(), 4, "{}", listing(&spans));
    assert!(
        clients.any(|span| span.trace_id == GIVEN[0]),
        "{}",
        listing(&spans)
    );
    for span in spans.iter().filter(|span| span.kind == Kind::Client) {
        assert!(!span.parent_span_id.is_empty(), "{}", listing(&spans));
        let expected = if carries { named_by(span) } else { vec![] };
        let contexts = asked.contexts_of(&span.target());
        assert_eq!(contexts, expected, "{}: {span:?}", counted(&told.log));
    }
}

#[test]
fn services_that_were_not_chosen_carry_nothing() {
    let Some(group) = group() else { return };
    let asked = Unobserved::start();
    let url = format!("http://127.0.0.1:{}", asked.port);
    let named = |name| {
        let mut command = python("client.py", &[]);
        Client::start(command.env("OTEL_SERVICE_NAME", name))
    };
    let mut clients = [named("cart"), named("till")];
    let pids = clients.each_ref().map(|client| client.process.pid());
    pids.iter().for_each(|pid| group.take_in(*pid));
    let targets = pids.map(|pid| pid.to_string()).join(",");
    let (daemon, said) = carrying_some(
        &group,
        &[
            ("BEYLA_TARGET_PID", &targets),
            ("WIRESPAN_CONTEXT_PROPAGATION_SERVICES", "other,ca*"),
        ],
    );
    for (client, path) in clients.iter_mut().zip(["/cart", "/till"]) {
        daemon.wait_until_watching(client.process.pid());
        client.send("GET", &format!("{url}{path}"), 0);
        let _ = client.truth(1);
    }
    daemon.wait_for_count(2);
    let told = daemon.stop();
    let cart = of_path(&told.spans, Kind::Client, "/cart");
    if carries(&said) {
        assert_eq!(asked.contexts_of("/cart"), named_by(cart));
        assert!(counted(&told.log).contains("1 connections of processes that were not chosen"));
    }
    assert!(asked.contexts_of("/till").is_empty());
}

#[test]
fn who_sends_without_copying_is_left_alone() {
    let Some(group) = group() else { return };
    let asked = Unobserved::start();
    let mut client = Client::start(&mut python("uncopied.py", &[&asked.port.to_string()]));
    let pid = client.process.pid();
    group.take_in(pid);
    let (daemon, said) = carrying(&group, ("BEYLA_TARGET_PID", &pid.to_string()));
    daemon.wait_until_watching(pid);
    for (line, freed) in [("early /early", "[0, 1, 2]"), ("late /late", "[]")] {
        client.process.tell(line);
        let told = client.process.stdout.wait_for_line(LIMIT, freed);
        assert!(told.is_some(), "{line}: {}", client.process.story());
    }
    daemon.wait_for_count(6);
    let told = daemon.stop();
    for path in ["/early/0", "/early/1", "/early/2", "/late/1", "/late/2"] {
        assert!(asked.contexts_of(path).is_empty(), "{path}");
    }
    if carries(&said) {
        let before = of_path(&told.spans, Kind::Client, "/late/0");
        assert_eq!(asked.contexts_of("/late/0"), named_by(before));
        let counted = counted(&told.log);
        assert!(
            counted.contains("2 connections that may send without"),
            "{counted}"
        );
    }
}

/// Asks within the group over one connection of HTTP/2; what was answered, a line each.
fn nghttp_within(group: &SocketGroup, arguments: &str) -> Vec<String> {
    let joined = format!(
        "echo $$ > {}/cgroup.procs && exec nghttp {arguments}",
        group.path().display()
    );
    let mut command = tied("sh");
    command.args(["-c", &joined]);
    Process::start("nghttp", &mut command).succeed()
}

#[test]
fn requests_of_http2_carry_a_literal() {
    let Some(group) = group() else { return };
    let named = "location / { return 200 '$request_uri $http_traceparent\\n'; }";
    let nginx = Nginx::http2(1, "", named);
    let (daemon, said) = carrying(&group, ("BEYLA_AUTO_TARGET_EXE", "*/nghttp"));
    let urls = PATHS.map(|path| nginx.url(path)).join(" ");
    let mut answers = nghttp_within(&group, &urls);
    let own = nginx.url("/own");
    answers.extend(nghttp_within(&group, &format!("-H '{}' {own}", given())));
    daemon.wait_for_count(PATHS.len() + 1);
    let told = daemon.stop();
    let carries = carries(&said);
    let answered = |path: &str| {
        let found = answers.iter().find_map(|line| line.strip_prefix(path));
        let found = found.unwrap_or_else(|| panic!("{path}: {answers:?}"));
        found.trim().to_owned()
    };
    let counted = counted(&told.log);
    for path in PATHS {
        let span = of_path(&told.spans, Kind::Client, path);
        let expected = if carries {
            named_by(span).concat()
        } else {
            String::new()
        };
        assert_eq!(answered(path), expected, "{counted}");
    }
    assert_eq!(format!("traceparent: {}", answered("/own")), given());
    if carries {
        assert!(
            counted.contains("3 requests of HTTP/2 with a field"),
            "{counted}"
        );
        assert!(
            counted.contains("1 connections of HTTP/2 on which traces"),
            "{counted}"
        );
    }
}

#[test]
fn calls_of_grpc_carry_a_literal() {
    const CALLS: usize = 10;
    let Some(group) = group() else { return };
    let server = Server::on(ports::free(), |port| {
        let mut command = python_with_grpc("soak/grpc_echo.py");
        command.arg(port);
        command
    });
    let mut command = python_with_grpc("grpc/context.py");
    let mut client = Client::start(command.arg(server.port.to_string()));
    let pid = client.process.pid();
    group.take_in(pid);
    let (daemon, said) = carrying(&group, ("BEYLA_TARGET_PID", &pid.to_string()));
    daemon.wait_until_watching(pid);
    for call in 0..CALLS {
        client.process.tell(&format!("{call}"));
    }
    let lines = client.process.stdout.wait_for(LIMIT, |lines| {
        let told = lines
            .iter()
            .filter_map(|line| line.strip_prefix("context "));
        let told: Vec<String> = told.map(str::to_owned).collect();
        (told.len() == CALLS).then_some(told)
    });
    let lines = lines.unwrap_or_else(|| panic!("{}", client.process.story()));
    daemon.wait_for_count(CALLS);
    let told = daemon.stop();
    let mut expected = vec![String::new(); CALLS];
    if carries(&said) {
        expected = told.spans.iter().flat_map(named_by).collect();
    }
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    assert_eq!(sorted(lines), sorted(expected), "{}", counted(&told.log));
}
