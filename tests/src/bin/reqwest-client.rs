//! A reqwest client over rustls that tells the truth: each line of standard input is a request,
//! METHOD URL BODY_BYTES; each answer becomes a line of JSON. One after the other, over pooled
//! connections; `TRUSTED` names the certificate to trust.

use anyhow::{Context as _, Result};
use reqwest::{Certificate, Client, Method, Url};
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::main]
async fn main() -> Result<()> {
    let ring = rustls::crypto::ring::default_provider();
    ring.install_default().ok().context("a second provider")?;
    let trusted = std::fs::read(std::env::var("TRUSTED").context("TRUSTED")?)?;
    let client = Client::builder()
        .tls_certs_only([Certificate::from_pem(&trusted)?])
        .http1_only()
        .build()?;
    println!("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let mut words = line.split(' ');
        let mut word = || words.next().context("METHOD URL BODY_BYTES");
        let (method, url, size) = (word()?, word()?.parse::<Url>()?, word()?.parse::<usize>()?);
        let mut request = client.request(Method::from_bytes(method.as_bytes())?, url.clone());
        if size > 0 {
            request = request.body(vec![b'y'; size]);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let received = response.bytes().await?.len();
        let query = url
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let target = format!("{}{query}", url.path());
        println!(
            "{}",
            serde_json::json!({
                "method": method,
                "target": target,
                "status": status,
                "request_body": size,
                "response_body": received,
            })
        );
    }
    Ok(())
}
