//! All servers, clients and shapes of requests under one daemon: what every way into the kernel has
//! to tell alike. It is what runs in virtual machines too, where starting a daemon takes its time.

use wirespan_tests::daemon::Daemon;
use wirespan_tests::puppet::Puppet;
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::truth::assert_same;
use wirespan_tests::visits::{assert_told, visit, visit_rawly};
use wirespan_tests::workload::{Client, Nginx, Server};

/// What a client is told to send.
const CALLS: [(&str, &str, u64); 6] = [
    ("GET", "/plain?size=12", 0),
    ("POST", "/posted", 2000),
    ("HEAD", "/head?size=99", 0),
    ("GET", "/large?size=400000", 0),
    ("GET", "/chunked?chunked=1&size=300", 0),
    ("DELETE", "/broken?status=500", 0),
];

#[test]
fn every_way_into_the_kernel_tells_the_same() {
    let servers = [Server::python(), Server::node(), Server::hyper()];
    let mut clients = [Client::python(), Client::node(), Client::hyper()];
    let nginx = Nginx::start(1, "", "");
    nginx.serve_file("small.txt", 300);
    nginx.serve_file("large.bin", 3_000_000);
    let (mut puppet_server, mut puppet_client) = (Puppet::start(), Puppet::start());
    let puppet_port = puppet_server.listen();

    let pids: Vec<_> = servers
        .iter()
        .map(|server| &server.process)
        .chain(clients.iter().map(|client| &client.process))
        .map(|process| process.pid())
        .chain([puppet_server.pid(), puppet_client.pid()])
        .chain(nginx.workers())
        .map(|pid| pid.to_string())
        .collect();
    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids.join(","))]);

    let mut served = Vec::new();
    for server in &servers {
        let mut count = visit(|target| server.url(target));
        count += visit_rawly(server.port);
        served.push(count);
    }
    for (client, (server, count)) in clients.iter_mut().zip(servers.iter().zip(&mut served)) {
        for (method, target, body) in CALLS {
            client.send(method, &server.url(target), body);
        }
        let _ = client.truth(CALLS.len());
        *count += CALLS.len();
    }
    for target in ["/small.txt", "/large.bin", "/fixed/", "/no-such-file"] {
        let _ = wirespan_tests::workload::curl(&[&nginx.url(target)]);
    }
    dialogue(&mut puppet_server, &mut puppet_client, puppet_port);

    let truths: Vec<_> = servers
        .iter()
        .zip(&served)
        .map(|(server, count)| server.truth(*count))
        .collect();
    let calls: Vec<_> = clients
        .iter()
        .map(|client| client.truth(CALLS.len()))
        .collect();
    let nginx_truth = nginx.truth(4);
    let expected = served.iter().sum::<usize>() + 3 * CALLS.len() + 4 + PUPPETS.len();
    daemon.wait_for_count(expected);
    let finished = daemon.stop();

    let of = |pid: u32| -> Vec<&Seen> {
        let pid = pid.to_string();
        let spans = finished.spans.iter();
        spans
            .filter(|span| span.resource["process.pid"] == pid)
            .collect()
    };
    for (server, truth) in servers.iter().zip(truths) {
        let spans = of(server.process.pid());
        assert_told("spans of a server", truth, &spans);
        assert!(spans.iter().all(|span| span.kind == Kind::Server));
    }
    for (client, truth) in clients.iter().zip(calls) {
        let spans = of(client.process.pid());
        assert_told("spans of a client", truth, &spans);
        assert!(spans.iter().all(|span| span.kind == Kind::Client));
    }
    assert_told("spans of nginx", nginx_truth, &of(nginx.workers()[0]));
    let puppets = [puppet_server.pid(), puppet_client.pid()];
    let lines = puppets.into_iter().flat_map(of).map(Seen::line);
    assert_same(
        "spans of puppets",
        PUPPETS.iter().map(|line| (*line).to_owned()),
        lines,
    );
    assert_eq!(finished.spans.len(), expected, "{}", finished.story());
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
}

/// What comes of [`dialogue`].
const PUPPETS: [&str; 8] = [
    "Client GET /interim 200, request 0 B, response 2 B",
    "Server GET /interim 200, request 0 B, response 2 B",
    "Client GET /unanswered no response, request 0 B, response ? B, error connection_closed",
    "Server GET /unanswered no response, request 0 B, response ? B, error connection_closed",
    "Client GET /old 200, request 0 B, response 6 B",
    "Server GET /old 200, request 0 B, response 6 B",
    "Client GET /ws 101, request 0 B, response ? B",
    "Server GET /ws 101, request 0 B, response ? B",
];

/// Endings that well-behaved programs do not have.
fn dialogue(server: &mut Puppet, client: &mut Puppet, port: u16) {
    let connect = |server: &mut Puppet, client: &mut Puppet| {
        let (at_client, _) = client.connect(port);
        (server.accept(), at_client)
    };
    let (at_server, at_client) = connect(server, client);
    client.write_in_pieces(at_client, 1, "GET /interim HTTP/1.1\r\nHost: h\r\n\r\n");
    server.read_head(at_server);
    server.write(
        at_server,
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    client.read_until(at_client, "\r\n\r\nok");
    client.write(at_client, "GET /unanswered HTTP/1.1\r\nHost: h\r\n\r\n");
    server.read_head(at_server);
    server.close(at_server);
    client.read_to_end(at_client);
    client.close(at_client);

    let (at_server, at_client) = connect(server, client);
    client.write(at_client, "GET /old HTTP/1.0\r\n\r\n");
    server.read_head(at_server);
    server.write(at_server, "HTTP/1.0 200 OK\r\n\r\n");
    server.write(at_server, "closed");
    server.close(at_server);
    client.read_to_end(at_client);
    client.close(at_client);

    let (at_server, at_client) = connect(server, client);
    client.write(
        at_client,
        "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\n",
    );
    server.read_head(at_server);
    server.write(
        at_server,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    );
    client.read_head(at_client);
    client.write(at_client, "GET /made-up HTTP/1.1\r\nHost: h\r\n\r\n");
    server.read_head(at_server);
    server.write(at_server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    client.read_head(at_client);
}
