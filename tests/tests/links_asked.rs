//! Traces that go on from node to node because the agents there ask each other, and no byte on the
//! way says so: a chain of servers on three nodes, with a router between that translates addresses
//! and loses packets. Requests come from where nobody watches.

use wirespan_tests::chain::{Chain, PORT, Speech};
use wirespan_tests::daemon::{self, Daemon, Finished};
use wirespan_tests::links::{Counts, KeptRow, Load, Row, Target};
use wirespan_tests::nodes::{Nodes, Way};
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::redis::introduces;
use wirespan_tests::spans::{Kind, Seen};

/// Where agents listen on their nodes.
const PEERS_PORT: u16 = 4319;
const SECRET: &str = "three nodes and a router";

/// An agent on a node, that watches what `settings` select.
fn agent(nodes: &Nodes, node: u8, settings: &[(&str, &str)]) -> Daemon {
    let peers: Vec<String> = (0..3)
        .map(|it| format!("{}:{PEERS_PORT}", nodes.address(it, Way::Routed)))
        .collect();
    let own = [
        ("WIRESPAN_PEERS", peers.join(",")),
        ("WIRESPAN_PEERS_LISTEN", format!("[::]:{PEERS_PORT}")),
        ("WIRESPAN_PEERS_SECRET", SECRET.to_owned()),
        // It is no measure of how fast a machine is.
        ("WIRESPAN_PEERS_TIMEOUT", "10s".to_owned()),
    ];
    let given = settings
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    let settings: Vec<(String, String)> = own
        .into_iter()
        .chain(given)
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    nodes.host(node).run(move || {
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Daemon::start_by(daemon::command(), &[], &settings)
    })
}

/// One that watches a node's server.
fn agent_of(nodes: &Nodes, chain: &Chain, node: u8) -> Daemon {
    let workers = chain.workers(node);
    let pids: Vec<String> = workers.iter().map(u32::to_string).collect();
    let daemon = agent(nodes, node, &[("BEYLA_TARGET_PID", &pids.join(","))]);
    for worker in workers {
        daemon.wait_until_watching(worker);
    }
    daemon
}

/// Waits until an agent has streams to both others.
fn meets_others(nodes: &Nodes, daemon: &mut Daemon, node: u8) {
    let others: Vec<String> = (0..3)
        .filter(|other| *other != node)
        .map(|other| format!("asks the agent at {}:", nodes.address(other, Way::Routed)))
        .collect();
    let process = daemon.process();
    let met = process.stderr.wait_for(LIMIT, |lines| {
        let has = |text: &String| lines.iter().any(|line| line.contains(text));
        others.iter().all(has).then_some(())
    });
    assert!(met.is_some(), "it meets nobody\n{}", process.story());
}

fn agents(nodes: &Nodes, chain: &Chain) -> Vec<Daemon> {
    let mut agents: Vec<_> = (0..3).map(|node| agent_of(nodes, chain, node)).collect();
    for (daemon, node) in agents.iter_mut().zip(0..) {
        meets_others(nodes, daemon, node);
    }
    agents
}

/// Sends requests to the first server, from the router; the phase is part of their ids.
fn send(nodes: &Nodes, load: &Load, phase: u8) {
    let base = format!("http://{}:{PORT}", nodes.address(0, Way::Routed));
    let (load, requests) = (load.clone(), load.requests);
    let answered = nodes
        .router()
        .run(move || load.send(&base, |id| format!("/{id}00{phase}/a")));
    assert_eq!(answered, requests);
}

/// Ends all agents, once they have told of so many requests each: until then one may ask another.
fn stop(agents: Vec<Daemon>, spans: [usize; 3]) -> Vec<Finished> {
    for (daemon, spans) in agents.iter().zip(spans) {
        daemon.wait_for_count(spans);
    }
    agents.into_iter().map(Daemon::stop).collect()
}

fn all_spans(finished: &[Finished]) -> Vec<Seen> {
    let all = finished.iter().flat_map(|it| it.spans.iter());
    all.cloned().collect()
}

/// Keeps a row of requests that came from one node to the next, of which so many per cent have to
/// be below the call that made them, and none below another one.
fn keep(name: &str, asked: usize, row: &Row, least: f64, finished: &[Finished]) {
    println!("asked: {name}: {} of {asked}", row.joins);
    for it in finished {
        let summary = it.summary();
        let lines = summary.lines().filter(|line| line.contains("questions"));
        lines.for_each(|line| println!("asked: {name}: {}", line.trim()));
    }
    let target = Target {
        right: least,
        wrong: 0.0,
    };
    let (right, wrong) = (row.joins.right, row.joins.wrong);
    KeptRow::new(asked, right, wrong, target).keep(&format!("asked, {name}"));
    let story = || {
        let stories: Vec<_> = finished.iter().map(|it| it.log.join("\n")).collect();
        stories.join("\n---\n")
    };
    assert_eq!(
        row.joins.wrong + row.calls.wrong,
        0,
        "{name}: {row}\n{}",
        story()
    );
    let part = 100.0 * right as f64 / asked as f64;
    assert!(part >= least, "{name}: {row}, {part}%\n{}", story());
}

/// A chain of three nodes under load.
fn goes_on(name: &str, way: Way, speech: Speech, load: &Load) {
    let nodes = Nodes::new(3);
    goes_on_between(name, &nodes, way, speech, load, 99.5);
}

fn goes_on_between(name: &str, nodes: &Nodes, way: Way, speech: Speech, load: &Load, least: f64) {
    let chain = Chain::new(nodes, way, speech);
    let agents = agents(nodes, &chain);
    send(nodes, load, 1);
    let requests = load.requests;
    let finished = stop(agents, [2 * requests, 2 * requests, requests]);
    for it in &finished {
        assert_eq!(it.lost(), "nothing", "{}", it.story());
    }
    let row = Row::of(&all_spans(&finished));
    keep(name, 2 * requests, &row, least, &finished);
    // Of the first server, nobody watches the client.
    assert!(row.joins.none >= requests, "{name}: {row}");
    if row.joins.right == 2 * requests && row.calls.right == 2 * requests {
        assert_eq!(row.whole, requests, "{name}: {row}");
    }
}

#[test]
fn over_http1_whatever_translates_addresses() {
    for way in Way::ALL {
        goes_on(
            &format!("HTTP/1, {way:?}"),
            way,
            Speech::Http1,
            &Load::of_a_row(),
        );
    }
}

#[test]
fn over_tls() {
    let load = Load::of_a_row();
    goes_on("TLS", Way::Masqueraded, Speech::Https, &load);
}

#[test]
fn over_http2() {
    let load = Load {
        http2: true,
        ..Load::of_a_row()
    };
    goes_on("HTTP/2", Way::Dnat, Speech::Http2, &load);
}

#[test]
fn over_a_network_that_loses_packets() {
    let nodes = Nodes::new(3);
    nodes.lose(2);
    if !nodes.delay(5) {
        println!("asked: this kernel delays nothing: it has no sch_netem");
    }
    let load = Load {
        requests: Load::of_a_row().requests / 5,
        ..Load::of_a_row()
    };
    let name = "HTTP/1, 2% lost";
    goes_on_between(name, &nodes, Way::Masqueraded, Speech::Http1, &load, 99.0);
}

#[test]
fn an_agent_that_is_killed_costs_its_links_and_one_that_comes_back_makes_new_ones() {
    let nodes = Nodes::new(3);
    let chain = Chain::new(&nodes, Way::Routed, Speech::Http1);
    let mut agents = agents(&nodes, &chain);
    let load = Load {
        requests: 200,
        ..Load::of_a_row()
    };
    send(&nodes, &load, 1);
    agents[1].wait_for_count(2 * load.requests);
    let first = agents[1].spans();
    agents.remove(1).kill();
    send(&nodes, &load, 2);
    let mut again = agent_of(&nodes, &chain, 1);
    meets_others(&nodes, &mut again, 1);
    for (daemon, node) in agents.iter_mut().zip([0, 2]) {
        let address = nodes.address(1, Way::Routed);
        let met = daemon.process().stderr.wait_for(LIMIT, |lines| {
            let text = format!("asks the agent at {address}:");
            let met = lines.iter().filter(|line| line.contains(&text)).count();
            (met > 1).then_some(())
        });
        assert!(met.is_some(), "node {node} does not meet it again");
    }
    send(&nodes, &load, 3);
    agents.insert(1, again);
    let requests = load.requests;
    let finished = stop(agents, [6 * requests, 2 * requests, 3 * requests]);
    let spans = [first, all_spans(&finished)].concat();
    let row = Row::of(&spans);
    // Of the second phase, nobody saw the calls of the second node.
    keep("HTTP/1, killed", 4 * requests, &row, 99.0, &finished);
    assert!(row.joins.none >= 4 * requests, "{row}");
}

/// Commands of a client on one node, and what the server on another one did.
#[test]
fn over_redis() {
    const PORT: &str = "6379";
    let nodes = Nodes::new(3);
    let own = nodes.address(1, Way::Routed).to_string();
    let server = nodes.host(1).run(move || {
        let mut command = tied("redis-server");
        command.args(["--port", PORT, "--bind", &own, "--save", ""]);
        command.args([
            "--appendonly",
            "no",
            "--dir",
            "/tmp",
            "--protected-mode",
            "no",
        ]);
        let server = Process::start("redis-server", &mut command);
        server.expect_line("eady to accept connections");
        server
    });
    let at = nodes.address(1, Way::Masqueraded).to_string();
    let mut client = nodes.host(0).run(move || {
        let mut command = tied("redis-cli");
        command.args(["-h", &at, "-p", PORT]);
        Process::start("redis-cli", &mut command)
    });
    client.tell("PING");
    client.expect_line("PONG");
    let watching = |node: u8, pid: u32| {
        let daemon = agent(&nodes, node, &[("BEYLA_TARGET_PID", &pid.to_string())]);
        daemon.wait_until_watching(pid);
        daemon
    };
    let mut agents = vec![watching(0, client.pid()), watching(1, server.pid())];
    agents.push(agent(&nodes, 2, &[("BEYLA_OPEN_PORT", "1")]));
    for (daemon, node) in agents.iter_mut().zip(0..) {
        meets_others(&nodes, daemon, node);
    }
    let commands = Load::of_a_row().requests;
    for number in 0..commands {
        let name = if number % 2 == 0 { "INCR" } else { "DECR" };
        client.tell(&format!("{name} counter"));
    }
    let finished = stop(agents, [commands, commands, 0]);
    let mut row = Row::default();
    row.joins = commands_joined(&all_spans(&finished));
    keep("Redis", commands, &row, 99.0, &finished);
}

/// What became of the server's spans of commands. The client takes turns, so that the n-th span of
/// the one belongs to the n-th of the other.
fn commands_joined(spans: &[Seen]) -> Counts {
    let of_kind = |kind: Kind| {
        let is_command = |it: &&Seen| it.kind == kind && !introduces(it);
        let mut spans: Vec<_> = spans.iter().filter(is_command).collect();
        spans.sort_by_key(|it| it.start_ns);
        spans
    };
    let (calls, commands) = (of_kind(Kind::Client), of_kind(Kind::Server));
    assert_eq!(calls.len(), commands.len());
    let mut counts = Counts::default();
    for (call, command) in calls.into_iter().zip(commands) {
        assert_eq!(
            call.get("db.operation.name"),
            command.get("db.operation.name")
        );
        let parent = (&command.trace_id, &command.parent_span_id);
        if command.parent_span_id.is_empty() {
            counts.none += 1;
        } else if parent == (&call.trace_id, &call.span_id) {
            counts.right += 1;
        } else {
            counts.wrong += 1;
        }
    }
    counts
}
