//! Counts spans that it is sent, as cheaply as it can: for benchmarks. It keeps nothing, and it
//! refuses nothing that looks like OTLP.
//!
//! `otlp-sink [ADDRESS]` listens on ADDRESS (default 127.0.0.1:4318) for OTLP/gRPC and
//! OTLP/HTTP in protobuf, gzip or plain. `GET /count` answers `spans N`; on SIGTERM or SIGINT it
//! prints that line and ends.

use std::convert::Infallible;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use bytes::{Buf, Bytes};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use prost::encoding::decode_varint;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::body::Body;

static SPANS: AtomicU64 = AtomicU64::new(0);

/// Large enough that no sender of spans waits for permission to send.
const WINDOW_BYTES: u32 = 16 * 1024 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:4318".into());
    let listener = TcpListener::bind(&address)
        .await
        .with_context(|| address.clone())?;
    println!("listening on {}", listener.local_addr()?);
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    tokio::select! {
        () = serve(listener) => {}
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    println!("spans {}", SPANS.load(Ordering::Relaxed));
    Ok(())
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder
                .http2()
                .initial_stream_window_size(WINDOW_BYTES)
                .initial_connection_window_size(WINDOW_BYTES)
                .max_frame_size(1024 * 1024);
            let _ = builder
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    if head.method == Method::GET {
        let text = format!("spans {}\n", SPANS.load(Ordering::Relaxed));
        return Ok(Response::new(Body::new(Full::from(text))));
    }
    let is = |text: &HeaderValue, kind: &str| text.as_bytes().starts_with(kind.as_bytes());
    let grpc = head
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|text| is(text, "application/grpc"));
    let counted = match body.collect().await {
        Ok(body) if grpc => count_in_message(body.to_bytes()),
        Ok(body) => {
            let gzip = head
                .headers
                .get(CONTENT_ENCODING)
                .is_some_and(|text| is(text, "gzip"));
            count_in_body(&body.to_bytes(), gzip)
        }
        Err(error) => Err(error.into()),
    };
    let ok = counted.is_ok();
    match counted {
        Ok(spans) => {
            SPANS.fetch_add(spans, Ordering::Relaxed);
        }
        Err(error) => eprintln!("otlp-sink: {error:#}"),
    }
    Ok(if grpc {
        grpc_answer(ok)
    } else {
        http_answer(ok)
    })
}

fn http_answer(ok: bool) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if !ok {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    let media_type = HeaderValue::from_static("application/x-protobuf");
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// An empty message, or the code for an invalid argument.
fn grpc_answer(ok: bool) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert(
        "grpc-status",
        HeaderValue::from_static(if ok { "0" } else { "3" }),
    );
    let message = Full::new(Bytes::from_static(&[0; 5]));
    let body = message.with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    let media_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// One length-prefixed gRPC message: a flag for compression, four bytes of length, the message.
fn count_in_message(mut body: Bytes) -> Result<u64> {
    anyhow::ensure!(body.len() >= 5, "gRPC message without a prefix");
    let gzip = body.get_u8() == 1;
    body.advance(4);
    count_in_body(&body, gzip)
}

fn count_in_body(body: &[u8], gzip: bool) -> Result<u64> {
    if !gzip {
        return count(body, REQUEST_TO_SPANS);
    }
    let mut content = Vec::new();
    flate2::read::GzDecoder::new(body)
        .read_to_end(&mut content)
        .context("gzip")?;
    count(&content, REQUEST_TO_SPANS)
}

/// Field numbers on the way from a request to its spans: `resource_spans`, `scope_spans`, `spans`.
const REQUEST_TO_SPANS: &[u64] = &[1, 2, 2];

/// How many messages there are at the end of a path of field numbers. Whatever is not on the path
/// is stepped over.
fn count(mut message: &[u8], path: &[u64]) -> Result<u64> {
    let [number, rest @ ..] = path else {
        return Ok(1);
    };
    let mut found = 0;
    while !message.is_empty() {
        let key = decode_varint(&mut message)?;
        let len = match key & 7 {
            0 => {
                decode_varint(&mut message)?;
                0
            }
            1 => 8,
            2 => usize::try_from(decode_varint(&mut message)?)?,
            5 => 4,
            other => anyhow::bail!("wire type {other}"),
        };
        let field = message
            .get(..len)
            .context("a field ends behind its message")?;
        if key >> 3 == *number && key & 7 == 2 {
            found += count(field, rest)?;
        }
        message = &message[len..];
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message;

    use super::*;

    fn request() -> Vec<u8> {
        let span = Span {
            name: "x".repeat(300),
            flags: 7,
            end_time_unix_nano: 8,
            ..Span::default()
        };
        let scope = |spans| ScopeSpans {
            spans: vec![span.clone(); spans],
            ..ScopeSpans::default()
        };
        let resource = ResourceSpans {
            scope_spans: vec![scope(3), scope(0), scope(2)],
            schema_url: "somewhere".into(),
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest {
            resource_spans: vec![resource; 4],
        }
        .encode_to_vec()
    }

    #[test]
    fn spans_are_counted_across_resources_and_scopes() {
        assert_eq!(count_in_body(&request(), false).unwrap(), 20);
        assert_eq!(count_in_body(&[], false).unwrap(), 0);
    }

    #[test]
    fn a_request_cut_anywhere_counts_no_span_that_is_not_whole() {
        let request = request();
        for len in 0..request.len() {
            let whole = (len * 4 / request.len()) as u64 * 5;
            let counted = count_in_body(&request[..len], false);
            assert!(counted.is_err() || counted.unwrap() == whole, "{len}");
        }
    }
}
