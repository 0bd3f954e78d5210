//! What is written by hand says the same as the generated types.

use bytes::BytesMut;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use wirespan::export::otlp::{bring_together, json, protobuf};
use wirespan::span::Span;

use crate::sample::{failed_client_span, request_of, resource, server_span};

/// Two services taking turns, plain and odd spans.
fn spans() -> Vec<Span> {
    let (shop, cart) = (resource("shop"), resource("cart"));
    let mut spans = Vec::new();
    for number in 0..50 {
        spans.push(server_span(&shop, number));
        spans.push(server_span(&cart, number));
    }
    spans.push(failed_client_span(&cart));
    spans
}

#[test]
fn protobuf_is_read_as_the_generated_types_would_write_it() {
    let spans = spans();
    let mut spans: Vec<&Span> = spans.iter().collect();
    bring_together(&mut spans);
    let mut bytes = BytesMut::new();
    protobuf::encode(&spans, &mut bytes);
    let expected = request_of(&spans);
    assert_eq!(expected.resource_spans.len(), 2);
    assert_eq!(
        ExportTraceServiceRequest::decode(bytes.clone()).unwrap(),
        expected
    );
    assert_eq!(
        bytes.len(),
        expected.encoded_len(),
        "nothing is written that need not be"
    );
}

#[test]
fn json_is_read_as_the_generated_types_would_write_it() {
    let spans = spans();
    let mut spans: Vec<&Span> = spans.iter().collect();
    bring_together(&mut spans);
    for write in [json::write, json::write_indented] {
        let mut text = Vec::new();
        write(&spans, &mut text);
        let read: ExportTraceServiceRequest = serde_json::from_slice(&text).unwrap();
        assert_eq!(read, request_of(&spans));
    }
}

#[test]
fn json_is_what_the_collector_writes() {
    let mut span = server_span(&resource("shop"), 5);
    span.resource = std::sync::Arc::new(wirespan::span::Resource {
        attributes: vec![("service.name".into(), wirespan::span::Value::Static("shop"))],
    });
    span.attributes
        .retain(|(name, _)| ["url.path", "server.port"].contains(name));
    let mut text = Vec::new();
    json::write(&[&span], &mut text);
    let schema = "https://opentelemetry.io/schemas/1.45.0";
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        r#"{"resourceSpans":[{"resource":{"attributes":"#,
        r#"[{"key":"service.name","value":{"stringValue":"shop"}}]},"#,
        r#""scopeSpans":[{"scope":{"name":"wirespan","version":""#,
        version,
        r#""},"spans":[{"traceId":"07070707070707070000000000000005","#,
        r#""spanId":"0000000000000006","parentSpanId":"","flags":257,"name":"GET","kind":2,"#,
        r#""startTimeUnixNano":"1795000000123461789","endTimeUnixNano":"1795000000124696356","#,
        r#""attributes":[{"key":"url.path","value":{"stringValue":"/catalogue/items/5"}},"#,
        r#"{"key":"server.port","value":{"intValue":"8080"}}],"status":{}}],"#,
        r#""schemaUrl":""#,
        schema,
        r#""}],"schemaUrl":""#,
        schema,
        r#""}]}"#,
    ];
    assert_eq!(String::from_utf8(text).unwrap(), expected.concat());
}
