//! What a TLS object takes over from the socket that carries it.

use wirespan_common::record::OBJECT_BIT;

use crate::records::Recorder;
use crate::{CLIENT, OK, SERVER, WALL_NS, attribute, spans_of};

const CARRIER: u64 = 7;
const OBJECT: u64 = OBJECT_BIT | 1;
const WITHIN: u64 = OBJECT_BIT | 2;
const NAMELESS: &str = "GET /a HTTP/1.0\r\n\r\n";

/// A ClientHello (RFC 8446, 4.1.2) with nothing in it but a server name (RFC 6066, 3).
fn client_hello(name: &str) -> Vec<u8> {
    fn with_len<const WIDTH: usize>(bytes: &[u8]) -> Vec<u8> {
        let len = bytes.len().to_be_bytes();
        [&len[len.len() - WIDTH..], bytes].concat()
    }
    let names = [&[0][..], &with_len::<2>(name.as_bytes())].concat();
    let extension = with_len::<2>(&with_len::<2>(&names));
    let extensions = with_len::<2>(&[&[0, 0][..], &extension].concat());
    let fixed = [&[3, 3][..], &[0; 32], &[0], &[0, 2, 0x13, 1], &[1, 0]].concat();
    let handshake = with_len::<3>(&[fixed, extensions].concat());
    let message = [&[1][..], &handshake].concat();
    [&[22, 3, 1][..], &with_len::<2>(&message)].concat()
}

fn recorded() -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shop");
    recorder
}

#[test]
fn a_client_that_names_no_host_asked_whom_its_handshake_named() {
    let mut recorder = recorded();
    recorder
        .open_tcp(CARRIER, CLIENT, SERVER)
        .write(CARRIER, client_hello("shop.example"))
        .read(CARRIER, b"\x16\x03\x03\x00\x7a")
        .open_on(CARRIER, OBJECT, CLIENT, SERVER)
        .write(OBJECT, NAMELESS)
        .read(OBJECT, OK);
    let spans = spans_of(&mut recorder);
    assert_eq!(spans.len(), 1);
    let told = |name| attribute(&spans[0], name);
    assert_eq!(told("server.address").as_deref(), Some("shop.example"));
    let url = "https://shop.example:8080/a";
    assert_eq!(told("url.full").as_deref(), Some(url));
}

#[test]
fn whom_a_relay_named_before_the_handshake_is_the_client_of_what_follows() {
    let mut recorder = recorded();
    recorder
        .open_tcp(CARRIER, SERVER, CLIENT)
        .read(CARRIER, "PROXY TCP4 192.0.2.9 10.0.0.1 49153 443\r\n")
        .read(CARRIER, client_hello("shop.example"))
        .open_on(CARRIER, OBJECT, SERVER, CLIENT)
        .read(OBJECT, NAMELESS)
        .write(OBJECT, OK);
    let spans = spans_of(&mut recorder);
    assert_eq!(spans.len(), 1);
    let told = |name| attribute(&spans[0], name);
    assert_eq!(told("client.address").as_deref(), Some("192.0.2.9"));
    assert_eq!(told("network.peer.address").as_deref(), Some("10.0.0.2"));
}

#[test]
fn what_is_encrypted_within_a_tunnel_has_its_end_for_a_server() {
    let mut recorder = recorded();
    recorder
        .open_tcp(CARRIER, CLIENT, SERVER)
        .write(
            CARRIER,
            "CONNECT origin:8443 HTTP/1.1\r\nHost: origin:8443\r\n\r\n",
        )
        .read(CARRIER, "HTTP/1.1 200 OK\r\n\r\n")
        .write(CARRIER, client_hello("shop.example"))
        .open_on(CARRIER, OBJECT, CLIENT, SERVER)
        .write(OBJECT, NAMELESS)
        .read(OBJECT, OK);
    let spans = spans_of(&mut recorder);
    assert_eq!(spans.len(), 2);
    let told = |name| attribute(&spans[1], name);
    let url = "https://shop.example:8443/a";
    assert_eq!(told("url.full").as_deref(), Some(url));
    assert_eq!(told("network.peer.address").as_deref(), Some("10.0.0.1"));
}

/// A tunnel that was made over TLS; the object that it was made on, and one that may be in it.
fn tunnel_over_tls(recorder: &mut Recorder, bound: bool) {
    recorder
        .open_tcp(CARRIER, CLIENT, SERVER)
        .write(CARRIER, client_hello("proxy.example"));
    if bound {
        recorder.open_on(CARRIER, OBJECT, CLIENT, SERVER);
    }
    recorder
        .write(
            OBJECT,
            "CONNECT origin:8443 HTTP/1.1\r\nHost: origin:8443\r\n\r\n",
        )
        .read(OBJECT, "HTTP/1.1 200 OK\r\n\r\n");
}

#[test]
fn what_is_encrypted_within_what_is_encrypted_has_the_tunnels_end_for_a_server() {
    let mut recorder = recorded();
    tunnel_over_tls(&mut recorder, true);
    recorder
        .write(OBJECT, client_hello("shop.example"))
        .open_on(OBJECT, WITHIN, CLIENT, SERVER)
        .write(WITHIN, NAMELESS)
        .read(WITHIN, OK);
    let spans = spans_of(&mut recorder);
    assert_eq!(spans.len(), 2);
    let of_tunnel = attribute(&spans[0], "http.request.method");
    assert_eq!(of_tunnel.as_deref(), Some("CONNECT"));
    let told = |name| attribute(&spans[1], name);
    let url = "https://shop.example:8443/a";
    assert_eq!(told("url.full").as_deref(), Some(url));
    assert_eq!(told("network.peer.address").as_deref(), Some("10.0.0.1"));
}

#[test]
fn whom_the_tunnels_handshake_named_is_nobody_within_it() {
    let mut recorder = recorded();
    tunnel_over_tls(&mut recorder, true);
    recorder
        .write(OBJECT, b"\x16\x03\x01\0\x06\x01\0\0\x02\x03\x03")
        .open_on(OBJECT, WITHIN, CLIENT, SERVER)
        .write(WITHIN, NAMELESS)
        .read(WITHIN, OK);
    let spans = spans_of(&mut recorder);
    let told = attribute(&spans[1], "url.full");
    assert_eq!(told.as_deref(), Some("https://origin:8443/a"));
}

#[test]
fn what_is_in_the_clear_within_a_tunnel_over_tls_is_not_https() {
    for bound in [true, false] {
        let mut recorder = recorded();
        tunnel_over_tls(&mut recorder, bound);
        recorder.write(OBJECT, NAMELESS).read(OBJECT, OK);
        if !bound {
            recorder.open_on(CARRIER, OBJECT, CLIENT, SERVER);
        }
        let spans = spans_of(&mut recorder);
        assert_eq!(spans.len(), 2);
        let told = |name| attribute(&spans[1], name);
        let url = "http://origin:8443/a";
        assert_eq!(told("url.full").as_deref(), Some(url), "{bound}");
        assert_eq!(told("network.peer.address").as_deref(), Some("10.0.0.1"));
    }
}

#[test]
fn a_server_knows_its_address_better_than_its_client() {
    let mut recorder = recorded();
    recorder
        .open_tcp(CARRIER, SERVER, CLIENT)
        .read(CARRIER, client_hello("shop.example"))
        .open_on(CARRIER, OBJECT, SERVER, CLIENT)
        .read(OBJECT, NAMELESS)
        .write(OBJECT, OK);
    let spans = spans_of(&mut recorder);
    assert_eq!(spans.len(), 1);
    let told = attribute(&spans[0], "server.address");
    assert_eq!(told.as_deref(), Some("10.0.0.1"));
}

#[test]
fn an_answer_that_is_heard_before_its_socket_is_known_waits_for_the_addresses() {
    let mut recorder = recorded();
    recorder
        .open_tcp(CARRIER, SERVER, CLIENT)
        .read(OBJECT, NAMELESS)
        .write(OBJECT, OK)
        .open_on(CARRIER, OBJECT, SERVER, CLIENT);
    let spans = spans_of(&mut recorder);
    assert_eq!(spans.len(), 1);
    let told = attribute(&spans[0], "server.address");
    assert_eq!(told.as_deref(), Some("10.0.0.1"));
}

#[test]
fn an_answer_whose_socket_is_never_known_is_told_without_addresses() {
    let mut recorder = recorded();
    recorder.read(OBJECT, NAMELESS).write(OBJECT, OK);
    let spans = spans_of(&mut recorder);
    assert_eq!(spans.len(), 1);
    assert_eq!(attribute(&spans[0], "server.address"), None);
    let told = attribute(&spans[0], "url.scheme");
    assert_eq!(told.as_deref(), Some("https"));
}
