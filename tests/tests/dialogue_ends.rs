//! Conversations written out byte by byte, between two processes that are both watched: how they
//! end, in order and otherwise, and what each role makes of that.

use wirespan_tests::dialogue::{Dialogue, GET, OK};
use wirespan_tests::puppet::Puppet;
use wirespan_tests::spans::{Kind, Seen};

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let mut both = Dialogue::begin();
    both.request("GET /old HTTP/1.0\r\n\r\n");
    both.server
        .write(both.at_server, "HTTP/1.0 200 OK\r\n\r\nas long ");
    both.server.write(both.at_server, "as it lasts");
    both.server.close(both.at_server);
    both.client.read_to_end(both.at_client);
    both.client.close(both.at_client);
    both.expect(&[
        "Client GET /old 200, request 0 B, response 19 B",
        "Server GET /old 200, request 0 B, response 19 B",
    ]);
}

#[test]
fn a_body_without_length_whose_process_exits_may_not_be_whole() {
    let mut both = Dialogue::begin();
    both.request("GET /old HTTP/1.0\r\n\r\n");
    both.server
        .write(both.at_server, "HTTP/1.0 200 OK\r\n\r\nas long as it lasts");
    let server = std::mem::replace(&mut both.server, Puppet::start());
    server.exit();
    both.client.read_to_end(both.at_client);
    both.client.close(both.at_client);
    // Who exits instead of closing may have crashed; the client sees an orderly end.
    both.expect(&[
        "Client GET /old 200, request 0 B, response 19 B",
        "Server GET /old 200, request 0 B, response ? B, error process_exited",
    ]);
}

#[test]
fn a_client_may_end_its_direction_and_still_be_answered() {
    let mut both = Dialogue::begin();
    both.client.write(both.at_client, GET);
    both.client.finish(both.at_client);
    both.server.read_to_end(both.at_server);
    both.server.write(both.at_server, OK);
    both.server.close(both.at_server);
    both.client.read_to_end(both.at_client);
    both.client.close(both.at_client);
    let finished = both.expect(&[
        "Client GET /a 200, request 0 B, response 2 B",
        "Server GET /a 200, request 0 B, response 2 B",
    ]);
    // They know each other, though the end had come when the server first read.
    let [client] = &finished.of_kind(Kind::Client)[..] else {
        panic!("one call")
    };
    let [server] = &finished.of_kind(Kind::Server)[..] else {
        panic!("one request")
    };
    assert_eq!(server.parent_span_id, client.span_id);
}

/// As Java's sockets do. By the time that the peer has done the same, it has gone.
#[test]
fn a_client_that_ends_its_direction_and_closes_has_given_up() {
    let mut both = Dialogue::begin();
    both.request(GET);
    both.client.finish(both.at_client);
    both.client.close(both.at_client);
    both.server.read_to_end(both.at_server);
    both.server.close(both.at_server);
    (both.at_client, _) = both.client.connect(both.port);
    both.at_server = both.server.accept();
    both.still_works();
    let given_up = |span: &&Seen| span.kind == Kind::Client && span.failed;
    let is_told = |spans: &[Seen]| spans.iter().any(|span| given_up(&span));
    let spans = both.daemon.wait_for("what was given up", is_told);
    let after = spans.iter().find(|span| !span.failed).expect("told before");
    let ended = spans.iter().find(given_up).expect("told").end_ns;
    assert!(ended < after.start_ns, "{ended} {}", after.start_ns);
}

#[test]
fn an_answer_may_begin_before_the_request_ended() {
    let mut both = Dialogue::begin();
    both.request("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234");
    both.response("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    both.client_reads(2);
    both.client.write(both.at_client, "56789");
    both.server_reads(10);
    both.still_works();
    both.expect(&[
        "Client POST /early 413, request ? B, response 2 B, error 413",
        "Server POST /early 413, request ? B, response 2 B",
        "Client GET /after 200, request 0 B, response 5 B",
        "Server GET /after 200, request 0 B, response 5 B",
    ]);
}

#[test]
fn a_server_that_closes_without_an_answer_leaves_an_error_and_no_status() {
    let mut both = Dialogue::begin();
    both.request(GET);
    both.server.close(both.at_server);
    both.client.read_to_end(both.at_client);
    both.client.close(both.at_client);
    both.expect(&[
        "Client GET /a no response, request 0 B, response ? B, error connection_closed",
        "Server GET /a no response, request 0 B, response ? B, error connection_closed",
    ]);
}

#[test]
fn a_server_that_closes_within_its_answer_leaves_the_status_and_an_error() {
    let mut both = Dialogue::begin();
    both.request(GET);
    both.server.write(
        both.at_server,
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    );
    both.server.close(both.at_server);
    both.client.read_to_end(both.at_client);
    both.client.close(both.at_client);
    let finished = both.finish_any(2);
    for span in &finished.spans {
        assert_eq!(span.exchange().status, Some(200), "{span}");
        assert_eq!(span.get("error.type"), Some("connection_closed"), "{span}");
        assert!(span.failed, "{span}");
    }
}

#[test]
fn a_reset_is_told_as_one() {
    let mut both = Dialogue::begin();
    both.request(GET);
    both.server.reset(both.at_server);
    both.client.begin(&format!("end {}", both.at_client));
    let finished = both.finish_any(2);
    for span in &finished.spans {
        assert_eq!(span.exchange().status, None, "{span}");
        // The server closed; that this took the form of a reset concerns the client.
        let error = match span.kind {
            Kind::Client => "connection_reset",
            Kind::Server => "connection_closed",
        };
        assert_eq!(span.get("error.type"), Some(error), "{span}");
    }
}

#[test]
fn a_client_that_dies_leaves_a_span_with_an_error_on_both_sides() {
    let mut both = Dialogue::begin();
    both.request("POST /dies HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nsome");
    let client = std::mem::replace(&mut both.client, Puppet::start());
    client.exit();
    both.server.read_to_end(both.at_server);
    both.server.close(both.at_server);
    let finished = both.finish_any(2);
    for span in &finished.spans {
        assert_eq!(span.exchange().status, None, "{span}");
        let error = span.get("error.type").unwrap_or_default();
        assert!(
            ["connection_closed", "process_exited"].contains(&error),
            "{span}"
        );
        assert!(span.failed, "{span}");
    }
}
