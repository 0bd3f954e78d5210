//! Conversations written out byte by byte, between two processes that are both watched: what each
//! role makes of them.

use wirespan_tests::daemon::Daemon;
use wirespan_tests::dialogue::{Dialogue, GET, OK};
use wirespan_tests::puppet::Puppet;
use wirespan_tests::spans::Kind;
use wirespan_tests::truth::assert_same;

#[test]
fn heads_and_bodies_may_come_byte_by_byte() {
    let mut both = Dialogue::begin();
    let post = "POST /bytes HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    both.client.write_in_pieces(both.at_client, 1, post);
    both.server.read_head_bytewise(both.at_server);
    both.server_reads(3);
    both.server.write_in_pieces(both.at_server, 1, OK);
    both.client.read_head_bytewise(both.at_client);
    both.client_reads(2);
    both.still_works();
    both.expect(&[
        "Client POST /bytes 200, request 3 B, response 2 B",
        "Server POST /bytes 200, request 3 B, response 2 B",
        "Client GET /after 200, request 0 B, response 5 B",
        "Server GET /after 200, request 0 B, response 5 B",
    ]);
}

#[test]
fn pipelined_requests_find_their_responses() {
    let mut both = Dialogue::begin();
    let (mut requests, mut responses, mut expected) = (String::new(), String::new(), Vec::new());
    for number in 0..50 {
        let size = number % 7;
        let body = "b".repeat(size);
        let status = 200 + number % 3;
        requests += &format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n");
        responses += &format!("HTTP/1.1 {status} X\r\nContent-Length: {size}\r\n\r\n{body}");
        for role in ["Client", "Server"] {
            expected.push(format!(
                "{role} GET /{number} {status}, request 0 B, response {size} B"
            ));
        }
    }
    both.client.write(both.at_client, &requests);
    both.server_reads(requests.len());
    both.server.write(both.at_server, &responses);
    both.client_reads(responses.len());
    both.still_works();
    for role in ["Client", "Server"] {
        expected.push(format!("{role} GET /after 200, request 0 B, response 5 B"));
    }
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    both.expect(&expected);
}

#[test]
fn after_the_first_long_burst_of_pipelined_requests_none_is_lost() {
    const BURST: usize = 200;
    let mut both = Dialogue::begin();
    let mut expected = Vec::new();
    for round in 0..3 {
        let (mut requests, mut responses) = (String::new(), String::new());
        for number in 0..BURST {
            // 32 bytes each, so that what is copied at first ends where a request does.
            requests += &format!("GET /{round}-{number:03} HTTP/1.1\r\nHost: h\r\n\r\n");
            responses += "HTTP/1.1 204 No Content\r\n\r\n";
            for role in ["Client", "Server"] {
                expected.push(format!(
                    "{role} GET /{round}-{number:03} 204, request 0 B, response 0 B"
                ));
            }
        }
        assert_eq!(requests.len(), BURST * 32);
        both.client.write(both.at_client, &requests);
        both.server_reads(requests.len());
        both.server.write(both.at_server, &responses);
        both.client_reads(responses.len());
        // What it learns, it learns by then.
        both.daemon.wait_for("both sides of this burst", |spans| {
            let of_this = |kind| {
                let mut ours = spans.iter().filter(|span| span.kind == kind);
                ours.any(|span| span.target() == format!("/{round}-000"))
            };
            of_this(Kind::Client) && of_this(Kind::Server)
        });
    }
    let finished = both.daemon.stop();
    let later = |line: &String| !line.contains("GET /0-");
    assert_same(
        "spans of the later bursts",
        expected.into_iter().filter(later),
        finished.lines().into_iter().filter(later),
    );
}

#[test]
fn chunks_with_trailers_are_counted() {
    let mut both = Dialogue::begin();
    both.request(
        "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n\
         4;ext=1\r\nabcd\r\n10\r\n0123456789abcdef\r\n0\r\nT: GET / HTTP/1.1\r\n\r\n",
    );
    both.server
        .read_until(both.at_server, "0\r\nT: GET / HTTP/1.1\r\n\r\n");
    both.response(
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\nT: v\r\n\r\n",
    );
    both.client.read_until(both.at_client, "T: v\r\n\r\n");
    both.still_works();
    both.expect(&[
        "Client PUT /c 201, request 20 B, response 3 B",
        "Server PUT /c 201, request 20 B, response 3 B",
        "Client GET /after 200, request 0 B, response 5 B",
        "Server GET /after 200, request 0 B, response 5 B",
    ]);
}

#[test]
fn interim_responses_are_not_the_answer() {
    let mut both = Dialogue::begin();
    both.request(
        "POST /i HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    );
    both.response("HTTP/1.1 100 Continue\r\n\r\n");
    both.client.write(both.at_client, "hi");
    both.server_reads(2);
    both.response("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    both.response(OK);
    both.client_reads(2);
    both.still_works();
    both.expect(&[
        "Client POST /i 200, request 2 B, response 2 B",
        "Server POST /i 200, request 2 B, response 2 B",
        "Client GET /after 200, request 0 B, response 5 B",
        "Server GET /after 200, request 0 B, response 5 B",
    ]);
}

#[test]
fn answers_without_body_leave_the_connection_in_step() {
    let mut both = Dialogue::begin();
    both.request("HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n");
    both.response("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    both.request("GET /n HTTP/1.1\r\nHost: h\r\n\r\n");
    both.response("HTTP/1.1 204 No Content\r\n\r\n");
    both.request("GET /m HTTP/1.1\r\nHost: h\r\n\r\n");
    both.response("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n");
    both.still_works();
    both.expect(&[
        "Client HEAD /h 200, request 0 B, response 0 B",
        "Server HEAD /h 200, request 0 B, response 0 B",
        "Client GET /n 204, request 0 B, response 0 B",
        "Server GET /n 204, request 0 B, response 0 B",
        "Client GET /m 304, request 0 B, response 0 B",
        "Server GET /m 304, request 0 B, response 0 B",
        "Client GET /after 200, request 0 B, response 5 B",
        "Server GET /after 200, request 0 B, response 5 B",
    ]);
}

#[test]
fn after_an_upgrade_the_connection_is_left_alone() {
    let mut both = Dialogue::begin();
    both.request(
        "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    both.response(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    both.request("GET /made-up HTTP/1.1\r\nHost: h\r\n\r\n");
    both.response(OK);
    both.expect(&[
        "Client GET /ws 101, request 0 B, response ? B",
        "Server GET /ws 101, request 0 B, response ? B",
    ]);
}

#[test]
fn exchanges_within_a_tunnel_are_told_too() {
    let mut both = Dialogue::begin();
    both.request("CONNECT shop:8080 HTTP/1.1\r\nHost: shop:8080\r\n\r\n");
    both.response("HTTP/1.1 200 Connection established\r\n\r\n");
    both.request("GET /within HTTP/1.1\r\nHost: shop\r\n\r\n");
    both.response(OK);
    both.client_reads(2);
    both.still_works();
    let finished = both.expect(&[
        "Client CONNECT  200, request 0 B, response ? B",
        "Server CONNECT  200, request 0 B, response ? B",
        "Client GET /within 200, request 0 B, response 2 B",
        "Server GET /within 200, request 0 B, response 2 B",
        "Client GET /after 200, request 0 B, response 5 B",
        "Server GET /after 200, request 0 B, response 5 B",
    ]);
    for span in &finished.spans {
        assert_eq!(span.get("server.port"), Some("8080"), "{span}");
    }
}

#[test]
fn what_is_not_understood_within_a_tunnel_is_left_alone() {
    let mut both = Dialogue::begin();
    both.request("CONNECT shop:22 HTTP/1.1\r\nHost: shop:22\r\n\r\n");
    both.response("HTTP/1.1 200 Connection established\r\n\r\n");
    both.server.write(both.at_server, "SSH-2.0-OpenSSH_9.2\r\n");
    both.client_reads("SSH-2.0-OpenSSH_9.2\r\n".len());
    both.request("GET /made-up HTTP/1.1\r\nHost: h\r\n\r\n");
    both.response(OK);
    both.expect(&[
        "Client CONNECT  200, request 0 B, response ? B",
        "Server CONNECT  200, request 0 B, response ? B",
    ]);
}

#[test]
fn what_a_server_refuses_to_read_is_an_exchange() {
    let mut both = Dialogue::begin();
    both.request("GET /odd HTTP/1.1 \r\nX(a): 1\r\nno colon\r\nHost: h\r\n\r\n");
    both.response(OK);
    both.client_reads(2);
    both.request("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n");
    both.response("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    both.still_works();
    let finished = both.expect(&[
        "Client GET /odd 200, request 0 B, response 2 B",
        "Server GET /odd 200, request 0 B, response 2 B",
        "Client _OTHER  400, request ? B, response 0 B, error 400",
        "Server _OTHER  400, request ? B, response 0 B",
        "Client GET /after 200, request 0 B, response 5 B",
        "Server GET /after 200, request 0 B, response 5 B",
    ]);
    assert_eq!(finished.lost(), "nothing");
}

#[test]
fn a_client_that_leaves_a_stream_ends_it() {
    let mut both = Dialogue::begin();
    both.request(GET);
    both.response(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
         Transfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n",
    );
    both.client_reads("8\r\ndata: 1\n\r\n".len());
    both.client.close(both.at_client);
    both.server.read_to_end(both.at_server);
    both.server.close(both.at_server);
    let finished = both.finish_any(2);
    for span in &finished.spans {
        assert_eq!(span.exchange().status, Some(200), "{span}");
        assert_eq!(
            (span.get("error.type"), span.failed),
            (None, false),
            "{span}"
        );
    }
}

#[test]
fn other_forms_of_targets_are_told_as_they_are() {
    let mut both = Dialogue::begin();
    both.request("GET http://u:p@shop.example/abs?q=1 HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    both.response(OK);
    both.request("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    both.response("HTTP/1.1 204 No Content\r\n\r\n");
    both.request("BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n");
    both.response("HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n");
    let port = both.port;
    let finished = both.expect(&[
        "Client GET /abs?q=1 200, request 0 B, response 2 B",
        "Server GET /abs?q=1 200, request 0 B, response 2 B",
        "Client OPTIONS  204, request 0 B, response 0 B",
        "Server OPTIONS * 204, request 0 B, response 0 B",
        "Client BREW /pot 418, request 0 B, response 0 B, error 418",
        "Server BREW /pot 418, request 0 B, response 0 B",
    ]);
    let mut full: Vec<_> = finished
        .spans
        .iter()
        .filter_map(|span| span.get("url.full"))
        .map(str::to_owned)
        .collect();
    full.sort();
    assert_eq!(
        full,
        [
            "http://REDACTED:REDACTED@shop.example/abs?q=1",
            "http://h",
            "http://h/pot"
        ],
        "port {port}"
    );
    for span in &finished.spans {
        if span.get("http.request.method_original").is_some() {
            assert_eq!(
                (&*span.name, span.get("http.request.method")),
                ("HTTP", Some("_OTHER"))
            );
        }
    }
}

#[test]
fn a_long_head_is_told_whole_or_marked() {
    let mut both = Dialogue::begin();
    let cookie = "c".repeat(12_000);
    for number in 0..3 {
        both.request(format!(
            "GET /long/{number} HTTP/1.1\r\nCookie: {cookie}\r\nHost: late\r\n\r\n"
        ));
        both.response(OK);
        both.client_reads(2);
        // What it learns, it learns by then.
        both.daemon.wait_for_count(2 * number + 2);
    }
    both.still_works();
    let finished = both.finish_any(8);
    for span in &finished.spans {
        assert_eq!(span.exchange().status, Some(200), "{span}");
        if span.target().starts_with("/long") {
            let truncated = span.get("wirespan.capture.truncated") == Some("true");
            let whole = span.get("server.address") == Some("late");
            assert!(truncated != whole, "{span}");
        }
    }
    // The daemon learns that this process has long heads.
    let last: Vec<_> = finished
        .spans
        .iter()
        .filter(|span| span.target() == "/long/2")
        .collect();
    assert_eq!(last.len(), 2);
    for span in last {
        assert_eq!(span.get("server.address"), Some("late"), "{span}");
    }
}

#[test]
fn large_bodies_are_counted_and_the_next_request_is_seen() {
    let mut both = Dialogue::begin();
    let size = 3_000_000;
    both.client.write(
        both.at_client,
        format!("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n"),
    );
    both.client
        .begin(&format!("fill {} {size}", both.at_client));
    both.server.read_head(both.at_server);
    both.server_reads(size);
    both.client.answer();
    both.server.write(
        both.at_server,
        format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"),
    );
    both.server
        .begin(&format!("fill {} {size}", both.at_server));
    both.client.read_head(both.at_client);
    both.client_reads(size);
    both.server.answer();
    both.still_works();
    both.expect(&[
        "Client POST /up 200, request 3000000 B, response 3000000 B",
        "Server POST /up 200, request 3000000 B, response 3000000 B",
        "Client GET /after 200, request 0 B, response 5 B",
        "Server GET /after 200, request 0 B, response 5 B",
    ]);
}

#[test]
fn what_is_not_http_makes_no_span() {
    let mut both = Dialogue::begin();
    let mut random: u32 = 1;
    let mut junk = Vec::new();
    for _ in 0..5000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        junk.push((random >> 24) as u8);
    }
    both.client.write(both.at_client, &junk);
    both.server_reads(junk.len());
    both.server.write(both.at_server, &junk);
    both.client_reads(junk.len());
    both.client.close(both.at_client);
    both.server.read_to_end(both.at_server);

    let (second, _) = both.client.connect(both.port);
    both.at_client = second;
    both.at_server = both.server.accept();
    // A TLS ClientHello that never ends.
    both.client
        .write(second, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03half");
    both.server_reads(10);
    both.client.close(second);
    both.server.read_to_end(both.at_server);

    let (third, _) = both.client.connect(both.port);
    both.at_client = third;
    both.at_server = both.server.accept();
    both.still_works();
    both.expect(&[
        "Client GET /after 200, request 0 B, response 5 B",
        "Server GET /after 200, request 0 B, response 5 B",
    ]);
}

#[test]
fn a_head_without_end_is_bounded() {
    let mut both = Dialogue::begin();
    both.client
        .write(both.at_client, "GET /endless HTTP/1.1\r\nHost: h\r\nX: ");
    both.client
        .begin(&format!("fill {} 10000000", both.at_client));
    both.server_reads(10_000_000);
    both.client.answer();
    both.client.close(both.at_client);
    both.server.read_to_end(both.at_server);
    both.server.close(both.at_server);
    let (second, _) = both.client.connect(both.port);
    both.at_client = second;
    both.at_server = both.server.accept();
    both.still_works();
    both.daemon.wait_for("the exchange after it", |spans| {
        spans
            .iter()
            .filter(|span| span.target() == "/after")
            .count()
            == 2
    });
    let peak = both.daemon.peak_memory_bytes();
    assert!(peak < 58_000_000, "{peak} bytes");
    let finished = both.daemon.stop();
    for span in &finished.spans {
        assert!(
            span.target() == "/after" || span.exchange().status.is_none(),
            "{span}"
        );
    }
}

#[test]
fn a_connection_that_was_open_before_is_joined_at_its_next_head() {
    let (mut server, mut client) = (Puppet::start(), Puppet::start());
    let port = server.listen();
    let (at_client, _) = client.connect(port);
    let at_server = server.accept();
    // A body that reads like requests, and is going on when the daemon comes.
    client.write(
        at_client,
        "POST /before HTTP/1.1\r\nHost: h\r\nContent-Length: 2800\r\n\r\n",
    );
    client.write(at_client, GET.repeat(50));
    server.read_head(at_server);
    server.read(at_server, 50 * GET.len());
    let pids = format!("{},{}", server.pid(), client.pid());
    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids)]);
    let mut both = Dialogue {
        daemon,
        server,
        client,
        at_server,
        at_client,
        port,
    };
    let rest = 2800 - 50 * GET.len();
    both.client.write(at_client, "y".repeat(rest));
    both.server_reads(rest);
    both.response(OK);
    both.client_reads(2);
    both.still_works();
    both.expect(&[
        "Client GET /after 200, request 0 B, response 5 B",
        "Server GET /after 200, request 0 B, response 5 B",
    ]);
}
