//! Requests with an id each, many at a time, from this process, which nobody watches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Certificate, Client};

/// Requests that are to be sent.
#[derive(Clone, Debug)]
pub struct Load {
    /// How many.
    pub requests: usize,
    /// How many at a time.
    pub at_once: usize,
    /// Over HTTP/2, by prior knowledge or ALPN.
    pub http2: bool,
    /// The certificate to trust, in PEM.
    pub trusted: Option<Vec<u8>>,
    /// Every so many requests are given up after some milliseconds; 0 is none.
    pub given_up: usize,
}

/// How long a client waits that gives up.
const PATIENCE: Duration = Duration::from_millis(3);

impl Load {
    /// The requests of a row, 50 at a time over HTTP/1.1.
    #[must_use]
    pub fn of_a_row() -> Self {
        Self {
            requests: super::requests(),
            at_once: 50,
            http2: false,
            trusted: None,
            given_up: 0,
        }
    }

    /// Sends them to `base` (scheme and authority) and the target that `target` has for an id, and
    /// returns how many were answered with a success.
    ///
    /// # Panics
    /// One that was not to be given up is not answered.
    #[must_use]
    pub fn send(&self, base: &str, target: impl Fn(&str) -> String + Sync) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(self.all(base, &target))
    }

    async fn all(&self, base: &str, target: &(impl Fn(&str) -> String + Sync)) -> usize {
        let client = self.client();
        let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let worker = async || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.requests {
                    return;
                }
                let url = format!("{base}{}", target(&format!("r{number}")));
                let gives_up = self.given_up != 0 && number % self.given_up == 0;
                if ask(&client, &url, gives_up).await {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let mut workers: Vec<_> = (0..self.at_once).map(|_| Box::pin(worker())).collect();
        std::future::poll_fn(|context| {
            workers.retain_mut(|worker| worker.as_mut().poll(context).is_pending());
            match workers.is_empty() {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
        answered.load(Ordering::Relaxed)
    }

    fn client(&self) -> Client {
        let ring = rustls::crypto::ring::default_provider();
        // Another test may have been first.
        let _ = ring.install_default();
        let mut builder = Client::builder().pool_max_idle_per_host(self.at_once);
        if let Some(trusted) = &self.trusted {
            let trusted = Certificate::from_pem(trusted).expect("a certificate");
            builder = builder.tls_certs_only([trusted]);
        }
        let builder = match (self.http2, self.trusted.is_some()) {
            (true, false) => builder.http2_prior_knowledge(),
            (true, true) => builder,
            (false, _) => builder.http1_only(),
        };
        builder.build().expect("a client")
    }
}

async fn ask(client: &Client, url: &str, gives_up: bool) -> bool {
    let exchange = async {
        let response = client.get(url).send().await?.error_for_status()?;
        response.bytes().await
    };
    if gives_up {
        return matches!(tokio::time::timeout(PATIENCE, exchange).await, Ok(Ok(_)));
    }
    match exchange.await {
        Ok(_) => true,
        Err(error) => panic!("{url}: {error}"),
    }
}
