//! How the front calls: over HTTP with reqwest, or over gRPC with tonic.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tonic::transport::{Channel, Endpoint};

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
        if let Ok(file) = std::env::var("TRUSTED") {
            let trusted = reqwest::Certificate::from_pem(&std::fs::read(file)?)?;
            builder = builder.tls_certs_only([trusted]);
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
        let endpoint = Endpoint::from_shared(back.to_owned())?;
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
