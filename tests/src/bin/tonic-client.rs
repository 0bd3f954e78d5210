//! A gRPC client on tonic that tells the truth: `tonic-client PORT [AUTHORITY_CERTIFICATE]`, see
//! `workloads/grpc/shapes.proto`. All calls share one channel, and so one connection.
//!
//! `tonic-client PORT load SECONDS` is another program: unary calls on ten connections, eight at a
//! time on each, counted instead of told.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codegen::tokio_stream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use wirespan_tests::shapes::{Raw, SERVICE, Words, tell};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let port: u16 = arguments.first().context("PORT")?.parse()?;
    let plain = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?;
    let endpoint = match arguments.as_slice() {
        [_, word, seconds] if word == "load" => return load(plain, seconds.parse()?).await,
        [_, authority] => {
            let authority = Certificate::from_pem(std::fs::read(authority)?);
            Endpoint::from_shared(format!("https://localhost:{port}"))?
                .tls_config(ClientTlsConfig::new().ca_certificate(authority))?
        }
        _ => plain,
    };
    let channel = endpoint.connect_lazy();
    println!("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let shape = line.split(' ').next().unwrap_or_default().to_owned();
        let words = Words::of(&line);
        for _ in 0..words.number("repeat", 1) {
            let mut calls = JoinSet::new();
            for _ in 0..words.number("parallel", 1) {
                calls.spawn(one(channel.clone(), shape.clone(), words.clone()));
            }
            while let Some(call) = calls.join_next().await {
                call??;
            }
        }
    }
    drop(channel);
    println!("done");
    Ok(())
}

async fn one(channel: Channel, shape: String, words: Words) -> Result<()> {
    let rpc = match words.text("method") {
        Some(method) => method.to_owned(),
        None => format!("{SERVICE}/{shape}"),
    };
    let many = matches!(&*shape, "ClientStream" | "Bidi");
    let send = if many { words.number("send", 1) } else { 1 };
    let mut responses = 0;
    let deadline = Duration::from_millis(words.number("deadline", 20_000));
    // tonic tells the server the deadline, and leaves it to whoever calls to keep it too.
    let calling = call(channel, &rpc, &shape, &words, send, &mut responses);
    let code = match tokio::time::timeout(deadline, calling).await {
        Ok(ended) => ended.map_or_else(|status| status.code(), |()| Code::Ok),
        Err(_) => Code::DeadlineExceeded,
    };
    tell(&rpc, code, send, responses);
    Ok(())
}

async fn call(
    channel: Channel,
    rpc: &str,
    shape: &str,
    words: &Words,
    send: u64,
    responses: &mut u64,
) -> Result<(), Status> {
    let path = PathAndQuery::try_from(format!("/{rpc}")).expect("names are valid paths");
    let message = match words.text("method") {
        Some(_) => Bytes::new(),
        None => words.message(),
    };
    let mut grpc = Grpc::new(channel);
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(());
    request.set_timeout(Duration::from_millis(words.number("deadline", 20_000)));
    if words.number("meta", 0) > 0 {
        let value = "m".repeat(words.number("meta", 0) as usize);
        let value = value.parse().expect("letters are a valid value");
        request.metadata_mut().insert("x-meta", value);
    }
    let messages = vec![message.clone(); send as usize];
    match shape {
        "Unary" => {
            grpc.unary(request.map(|()| message), path, Raw).await?;
            *responses = 1;
        }
        "ClientStream" => {
            let request = request.map(|()| tokio_stream::iter(messages));
            grpc.client_streaming(request, path, Raw).await?;
            *responses = 1;
        }
        "ServerStream" => {
            let request = request.map(|()| message);
            let replies = grpc.server_streaming(request, path, Raw).await?;
            receive(replies.into_inner(), words, responses).await?;
        }
        _ => {
            let request = request.map(|()| tokio_stream::iter(messages));
            let replies = grpc.streaming(request, path, Raw).await?;
            receive(replies.into_inner(), words, responses).await?;
        }
    }
    Ok(())
}

async fn receive(
    mut replies: Streaming<Bytes>,
    words: &Words,
    responses: &mut u64,
) -> Result<(), Status> {
    while replies.message().await?.is_some() {
        *responses += 1;
        if words.number("cancel", 0) == *responses {
            return Err(Status::cancelled("as told"));
        }
    }
    Ok(())
}

/// Tells the number of calls, and how many that is per second.
async fn load(endpoint: Endpoint, seconds: u64) -> Result<()> {
    const CONNECTIONS: usize = 10;
    const AT_A_TIME: usize = 8;
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let channel = endpoint.connect().await?;
        for _ in 0..AT_A_TIME {
            callers.spawn(call_until(channel.clone(), end));
        }
    }
    let mut calls = 0;
    while let Some(caller) = callers.join_next().await {
        calls += caller??;
    }
    let per_second = calls as f64 / started.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({"calls": calls, "per_second": per_second})
    );
    Ok(())
}

async fn call_until(channel: Channel, end: Instant) -> Result<u64> {
    let mut grpc = Grpc::new(channel);
    let path = PathAndQuery::try_from(format!("/{SERVICE}/Quiet"))?;
    let mut calls = 0;
    while Instant::now() < end {
        grpc.ready().await?;
        let request = Request::new(Bytes::from_static(b"reply=100 "));
        grpc.unary(request, path.clone(), Raw).await?;
        calls += 1;
    }
    Ok(calls)
}
