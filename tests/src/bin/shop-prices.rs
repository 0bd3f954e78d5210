//! The shop's prices, on tokio: asks for taxes.
//!
//! `shop-prices PORT TAXES`, ports of loopback.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

type Asks = Client<HttpConnector, Empty<Bytes>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().context("PORT")?.parse()?;
    let taxes: u16 = arguments.next().context("TAXES")?.parse()?;
    let client: Asks = Client::builder(TokioExecutor::new()).build_http();
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening");
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let client = client.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(client.clone(), taxes, request));
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is not this program's concern.
            let _ = serving.await;
        });
    }
}

async fn answer(
    client: Asks,
    taxes: u16,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>> {
    let id = request.uri().path().split('/').nth(1).context("no id")?;
    let to: Uri = format!("http://127.0.0.1:{taxes}/{id}/taxes").parse()?;
    let answer = client.get(to).await?;
    let status = answer.status();
    answer.into_body().collect().await?;
    Ok(Response::builder()
        .status(status)
        .body(Full::new(Bytes::from_static(b"priced\n")))?)
}
