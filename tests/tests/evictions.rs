//! A kernel side with room for few connections: those that it forgot and that speak again are the
//! same, and what is open on them is no error.

use wirespan_tests::daemon::Daemon;
use wirespan_tests::puppet::Puppet;
use wirespan_tests::wire::Wire;

/// The kernel's LRU tables give way early: they hand out elements to processors in batches.
const ROOM: &str = "64";
const OTHERS: usize = 300;

#[test]
fn an_exchange_that_is_open_while_its_connection_is_forgotten_goes_on() {
    let mut server = Puppet::start();
    let port = server.listen();
    let daemon = Daemon::start(&[
        ("BEYLA_TARGET_PID", &server.pid().to_string()),
        ("WIRESPAN_CONNECTIONS_MAX", ROOM),
    ]);
    let mut slow = Wire::connect(port);
    let slow_there = server.accept();
    let ask = |wire: &mut Wire, server: &mut Puppet, there: usize, path: &str| {
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        server.read_head(there);
    };
    let answer = |wire: &mut Wire, server: &mut Puppet, there: usize| {
        server.write(there, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(wire.answer(false).status, 200);
    };
    ask(&mut slow, &mut server, slow_there, "/quick");
    answer(&mut slow, &mut server, slow_there);
    ask(&mut slow, &mut server, slow_there, "/slow");
    // They stay open, so that each takes room.
    let mut others = Vec::new();
    for number in 0..OTHERS {
        let mut wire = Wire::connect(port);
        let there = server.accept();
        ask(&mut wire, &mut server, there, &format!("/other/{number}"));
        answer(&mut wire, &mut server, there);
        others.push(wire);
    }
    answer(&mut slow, &mut server, slow_there);
    ask(&mut slow, &mut server, slow_there, "/after");
    answer(&mut slow, &mut server, slow_there);
    daemon.wait_for_count(OTHERS + 3);
    let finished = daemon.stop();
    for path in ["/quick", "/slow", "/after"] {
        let spans: Vec<_> = finished
            .spans
            .iter()
            .filter(|span| span.target() == path)
            .collect();
        assert_eq!(spans.len(), 1, "{path}\n{}", finished.story());
        assert_eq!(spans[0].exchange().status, Some(200), "{}", spans[0]);
        assert_eq!(spans[0].get("error.type"), None, "{}", spans[0]);
    }
    assert_eq!(finished.spans.len(), OTHERS + 3, "{}", finished.lost());
}
