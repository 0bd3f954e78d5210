//! A hyper client that tells the truth: each line of standard input is a request, METHOD URL
//! BODY_BYTES; each answer becomes a line of JSON. One after the other, over pooled connections.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::main]
async fn main() -> Result<()> {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    println!("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let mut words = line.split(' ');
        let mut word = || words.next().context("METHOD URL BODY_BYTES");
        let (method, url, size) = (word()?, word()?.parse::<Uri>()?, word()?.parse::<usize>()?);
        let request = Request::builder()
            .method(method)
            .uri(&url)
            .body(Full::new(Bytes::from(vec![b'y'; size])))?;
        let response = client.request(request).await?;
        let status = response.status().as_u16();
        let received = response.into_body().collect().await?.to_bytes().len();
        println!(
            "{}",
            serde_json::json!({
                "method": method,
                "target": url.path_and_query().map(http::uri::PathAndQuery::as_str),
                "status": status,
                "request_body": size,
                "response_body": received,
            })
        );
    }
    println!("done");
    Ok(())
}
