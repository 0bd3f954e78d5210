//! How the front calls: over HTTP with reqwest, or over gRPC with tonic.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::grpc::Raw;
use crate::setting;

/// Who calls the back.
#[derive(Clone)]
pub enum Client {
    Http(reqwest::Client, String),
    Grpc(Channel),
}

impl Client {
    pub fn new(back: &str) -> Result<Self> {
        if setting("GRPC") != 0 {
            return Self::grpc(back);
        }
        let mut builder = reqwest::Client::builder().no_proxy();
        if let Some(trusted) = trusted()? {
            let trusted = reqwest::Certificate::from_pem(&trusted)?;
            builder = trusts(builder, trusted);
        }
        builder = match (setting("HTTP2"), back.starts_with("https:")) {
            (0, _) => builder.http1_only(),
            (_, false) => builder.http2_prior_knowledge(),
            (_, true) => builder,
        };
        if let idle @ 1.. = setting("MAX_IDLE") {
            builder = builder.pool_max_idle_per_host(usize::try_from(idle)?);
        }
        Ok(Self::Http(builder.build()?, back.to_owned()))
    }

    pub fn grpc(back: &str) -> Result<Self> {
        let mut endpoint = Endpoint::from_shared(back.to_owned())?;
        if back.starts_with("https:")
            && let Some(trusted) = trusted()?
        {
            let trusted = tonic::transport::Certificate::from_pem(trusted);
            endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(trusted))?;
        }
        Ok(Self::Grpc(endpoint.connect_lazy()))
    }

    /// One call for the request with that id.
    pub async fn call(&self, id: &str, what: &str) {
        static CALLS: AtomicU64 = AtomicU64::new(1);
        let number = CALLS.fetch_add(1, Ordering::Relaxed);
        let call = async {
            if let Err(error) = self.send(id, what).await {
                println!("failed {error:#}");
            }
        };
        match setting("GIVE_UP") {
            every @ 1.. if number.is_multiple_of(every) => {
                let patience = Duration::from_micros(fastrand::u64(0..2000));
                let _ = tokio::time::timeout(patience, call).await;
            }
            _ => call.await,
        }
    }

    async fn send(&self, id: &str, what: &str) -> Result<()> {
        match self {
            Self::Http(client, base) => {
                let response = client.get(format!("{base}/{id}/{what}")).send().await?;
                response.error_for_status()?.bytes().await?;
            }
            Self::Grpc(channel) => {
                let mut grpc = tonic::client::Grpc::new(channel.clone());
                grpc.ready().await?;
                let path = format!("/{id}.Links/{what}").parse()?;
                let request = tonic::Request::new(Bytes::from_static(b"in"));
                grpc.unary(request, path, Raw).await?;
            }
        }
        Ok(())
    }
}

/// The certificate to trust, in PEM.
fn trusted() -> Result<Option<Vec<u8>>> {
    let file = std::env::var("TRUSTED").ok();
    Ok(file.map(std::fs::read).transpose()?)
}

#[cfg(not(feature = "oldest"))]
fn trusts(
    builder: reqwest::ClientBuilder,
    trusted: reqwest::Certificate,
) -> reqwest::ClientBuilder {
    builder.tls_certs_only([trusted])
}

#[cfg(feature = "oldest")]
fn trusts(
    builder: reqwest::ClientBuilder,
    trusted: reqwest::Certificate,
) -> reqwest::ClientBuilder {
    builder.add_root_certificate(trusted)
}
