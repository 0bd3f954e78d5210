//! All header blocks of RFC 7541 appendix C.

use super::support::{block, fields, texts};
use wirespan_protocols::http2::hpack::Decoder;

const PATH: (&str, &str) = (":path", "/sample/path");
const GET: (&str, &str) = (":method", "GET");
const HTTP: (&str, &str) = (":scheme", "http");
const HTTPS: (&str, &str) = (":scheme", "https");
const SLASH: (&str, &str) = (":path", "/");
const AUTHORITY: (&str, &str) = (":authority", "www.example.com");
const NO_CACHE: (&str, &str) = ("cache-control", "no-cache");
const PRIVATE: (&str, &str) = ("cache-control", "private");
const LOCATION: (&str, &str) = ("location", "https://www.example.com");
const DATE_21: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
const DATE_22: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
const COOKIE: (&str, &str) = (
    "set-cookie",
    "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
);

/// Sets the table to the 256 bytes of C.5 and C.6.
const RESIZE_256: &str = "3fe101";

#[track_caller]
fn expect(decoder: &mut Decoder, hex: &str, wanted: &[(&str, &str)]) {
    assert_eq!(fields(decoder, &block(hex)), Ok(texts(wanted)));
}

#[test]
fn c_2_every_representation_is_read() {
    let wanted = [("custom-key", "custom-header")];
    let hex = "400a637573746f6d2d6b65790d637573746f6d2d686561646572";
    expect(&mut Decoder::from_start(), hex, &wanted);
    expect(
        &mut Decoder::from_start(),
        "040c2f73616d706c652f70617468",
        &[PATH],
    );
    let hex = "100870617373776f726406736563726574";
    expect(&mut Decoder::from_start(), hex, &[("password", "secret")]);
    expect(&mut Decoder::from_start(), "82", &[GET]);
}

#[test]
fn c_3_and_c_4_requests_share_a_table() {
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let huffman = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    for [first, second, third] in [plain, huffman] {
        let mut decoder = Decoder::from_start();
        expect(&mut decoder, first, &[GET, HTTP, SLASH, AUTHORITY]);
        expect(
            &mut decoder,
            second,
            &[GET, HTTP, SLASH, AUTHORITY, NO_CACHE],
        );
        let custom = ("custom-key", "custom-value");
        let index = (":path", "/index.html");
        expect(&mut decoder, third, &[GET, HTTPS, index, AUTHORITY, custom]);
        assert!(decoder.is_complete());
    }
}

#[test]
fn c_5_and_c_6_responses_evict_from_a_table_of_256_bytes() {
    let plain = [
        concat!(
            "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a3231",
            "20474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d"
        ),
        "4803333037c1c0bf",
        concat!(
            "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a697077",
            "38666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d616765",
            "3d333630303b2076657273696f6e3d31"
        ),
    ];
    let huffman = [
        concat!(
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad17",
            "1863c78f0b97c8e9ae82ae43d3"
        ),
        "4883640effc1c0bf",
        concat!(
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6",
            "c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"
        ),
    ];
    for [first, second, third] in [plain, huffman] {
        let mut decoder = Decoder::from_start();
        let first = format!("{RESIZE_256}{first}");
        let moved = (":status", "302");
        expect(&mut decoder, &first, &[moved, PRIVATE, DATE_21, LOCATION]);
        let temporary = (":status", "307");
        expect(
            &mut decoder,
            second,
            &[temporary, PRIVATE, DATE_21, LOCATION],
        );
        let ok = (":status", "200");
        let gzip = ("content-encoding", "gzip");
        expect(
            &mut decoder,
            third,
            &[ok, PRIVATE, DATE_22, LOCATION, gzip, COOKIE],
        );
    }
}
