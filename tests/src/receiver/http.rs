//! The HTTP side of the receiver: `POST /v1/traces` in protobuf or JSON, gzip or plain, and
//! `POST /v1/metrics` in protobuf.

use std::io::Read;

use ::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use ::http::{HeaderMap, Method, Request, Response, StatusCode};
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::{Refusal, State};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

pub(super) async fn answer(request: Request<Incoming>, state: &State) -> Response<Full<Bytes>> {
    let is_metrics = request.uri().path() == "/v1/metrics";
    if request.method() != Method::POST || !is_metrics && request.uri().path() != "/v1/traces" {
        return plain(StatusCode::NOT_FOUND, "only POST /v1/traces or /v1/metrics");
    }
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return plain(StatusCode::BAD_REQUEST, "the body did not end");
    };
    let json = head
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|text| text == JSON);
    let body = match unpack(&head.headers, &body.to_bytes()) {
        Ok(body) => body,
        Err(error) => return plain(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    };
    if is_metrics {
        return match ExportMetricsServiceRequest::decode(&*body) {
            Ok(metrics) => {
                state.take_metrics(metrics);
                // An empty answer is an empty message.
                plain(StatusCode::OK, "")
            }
            Err(error) => plain(StatusCode::BAD_REQUEST, &error.to_string()),
        };
    }
    let content = match decode(&head.headers, &body, json) {
        Ok(content) => content,
        Err(error) => return plain(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    };
    match state.take(content, head.headers).await {
        Ok(answer) => {
            let (media_type, body) = if json {
                (JSON, serde_json::to_vec(&answer).unwrap_or_default())
            } else {
                (PROTOBUF, answer.encode_to_vec())
            };
            let mut response = Response::new(Full::from(body));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, media_type.parse().expect("a constant"));
            response
        }
        Err(Refusal::Http {
            status,
            retry_after,
        }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = plain(status, "refused by the test");
            if let Some(text) = retry_after.and_then(|text| text.parse().ok()) {
                response.headers_mut().insert(RETRY_AFTER, text);
            }
            response
        }
        Err(Refusal::Grpc { .. } | Refusal::Partial { .. }) => plain(
            StatusCode::NOT_IMPLEMENTED,
            "the test ordered an answer of another protocol",
        ),
    }
}

fn unpack(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    match headers.get(CONTENT_ENCODING) {
        Some(coding) if coding == "gzip" => {
            flate2::read::GzDecoder::new(body)
                .read_to_end(&mut unpacked)
                .context("gzip")?;
        }
        _ => unpacked.extend_from_slice(body),
    }
    Ok(unpacked)
}

fn decode(headers: &HeaderMap, body: &[u8], json: bool) -> Result<ExportTraceServiceRequest> {
    if json {
        return serde_json::from_slice(body).context("JSON");
    }
    anyhow::ensure!(
        headers
            .get(CONTENT_TYPE)
            .is_some_and(|text| text == PROTOBUF),
        "content type is neither {JSON} nor {PROTOBUF}"
    );
    ExportTraceServiceRequest::decode(body).context("protobuf")
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text.to_owned()));
    *response.status_mut() = status;
    response
}
