//! A service that calls another one for each request that it serves, in the shape that the path
//! names, and the service that is called. What is called for the sake of a request carries its id,
//! the first segment of the path.
//!
//! ```text
//! links-tokio front PORT BACK [CERT KEY]   BACK is the base of URLs, such as http://127.0.0.1:81
//! links-tokio back PORT [CERT KEY]
//! links-tokio grpc-front PORT BACK [CERT KEY]         the same over gRPC
//! links-tokio grpc-back PORT [CERT KEY]
//! links-tokio grpc-drive BASE SHAPE CALLS AT_ONCE
//! ```
//!
//! They serve HTTP/1 and HTTP/2, by prior knowledge or ALPN. The front's client is set by its
//! environment: HTTP2=1 asks over HTTP/2, GRPC=1 over gRPC, MAX_IDLE is its bound, TRUSTED names
//! the certificate to trust. GIVE_UP gives up every so many calls after some time, which may be
//! before they are sent. CURRENT_THREAD=1 is the other scheduler.

mod client;
mod grpc;
mod http;
mod shape;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

fn main() -> Result<()> {
    let mut builder = match setting("CURRENT_THREAD") {
        0 => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.worker_threads(4).enable_all().build()?;
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    runtime.block_on(run(&arguments))
}

async fn run(arguments: &[String]) -> Result<()> {
    let provider = rustls::crypto::ring::default_provider();
    provider.install_default().ok().context("it is the first")?;
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match *words {
        ["front", port, back, ref tls @ ..] => http::front(port, back, tls).await,
        ["back", port, ref tls @ ..] => http::back(port, tls).await,
        ["grpc-front", port, back, ref tls @ ..] => grpc::front(port, back, tls).await,
        ["grpc-back", port, ref tls @ ..] => grpc::back(port, tls).await,
        ["grpc-drive", front, shape, calls, at_once] => {
            grpc::drive(front, shape, calls.parse()?, at_once.parse()?).await
        }
        _ => bail!("see the program's source"),
    }
}

/// A number in the environment.
fn setting(name: &str) -> u64 {
    let told = std::env::var(name).ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(0)
}

async fn nap(most: Duration) {
    let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    tokio::time::sleep(Duration::from_micros(fastrand::u64(0..most))).await;
}
