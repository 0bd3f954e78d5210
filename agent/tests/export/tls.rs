//! TLS with a certificate authority of one's own, and with a client certificate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use wirespan::config::OtlpConfig;
use wirespan::export::{Exporters, RetryPolicy};
use wirespan::health::{Destination, Health, Loss};
use wirespan_tests::receiver::{Receiver, TlsFiles};

use crate::sample::{PROTOCOLS, SOON, exporting, lost_in_export, otlp, resource, server_spans};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self {
            issuer,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate and its key, in PEM form.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn server_files(&self, client_ca: Option<String>) -> TlsFiles {
        let (chain, key) = self.sign("localhost");
        TlsFiles {
            chain,
            key,
            client_ca,
        }
    }
}

fn over_tls(plain: OtlpConfig, authority: &Authority) -> OtlpConfig {
    OtlpConfig {
        endpoint: plain
            .endpoint
            .replace("http://127.0.0.1", "https://localhost"),
        certificate: Some(authority.file("ca.pem", &authority.pem())),
        ..plain
    }
}

/// How many of ten spans arrive, given that a try lasts a moment only.
async fn deliver(config: OtlpConfig, receiver: &Receiver) -> (usize, Arc<Health>) {
    let health = Arc::new(Health::default());
    let mut config = exporting(config);
    config.retry = RetryPolicy {
        total_max: Duration::from_millis(50),
        ..config.retry
    };
    let (queue, exporters) = Exporters::start(config, &health).unwrap();
    queue.push(server_spans(&resource("shop"), 0..10));
    exporters.drain(SOON).await;
    (receiver.spans().len(), health)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_with_a_certificate_of_the_given_authority_is_trusted() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let receiver = Receiver::start_tls(&authority.server_files(None))
            .await
            .unwrap();
        let config = over_tls(otlp(protocol, receiver.address()), &authority);
        let (arrived, health) = deliver(config, &receiver).await;
        assert_eq!(
            (
                arrived,
                health.spans_exported(Destination::Otlp),
                lost_in_export(&health)
            ),
            (10, 10, 0)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_with_a_certificate_of_another_authority_gets_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    for protocol in PROTOCOLS {
        let receiver = Receiver::start_tls(&other.server_files(None))
            .await
            .unwrap();
        let config = over_tls(otlp(protocol, receiver.address()), &authority);
        let (arrived, health) = deliver(config, &receiver).await;
        assert_eq!(arrived, 0, "{protocol:?}");
        assert_eq!(health.losses(Loss::ExportFailed), 10, "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_is_shown_where_one_is_asked_for() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let files = authority.server_files(Some(clients.pem()));
    let (chain, key) = clients.sign("agent");
    let identity = (
        clients.file("client.pem", &chain),
        clients.file("client.key", &key),
    );
    for protocol in PROTOCOLS {
        let receiver = Receiver::start_tls(&files).await.unwrap();
        let nameless = over_tls(otlp(protocol, receiver.address()), &authority);
        let (arrived, health) = deliver(nameless.clone(), &receiver).await;
        assert_eq!(
            (arrived, health.losses(Loss::ExportFailed)),
            (0, 10),
            "{protocol:?}"
        );

        let named = OtlpConfig {
            client_identity: Some(identity.clone()),
            ..nameless
        };
        let (arrived, health) = deliver(named, &receiver).await;
        assert_eq!(
            (arrived, health.spans_exported(Destination::Otlp)),
            (10, 10),
            "{protocol:?}"
        );
    }
}
