//! Whether what a run would export is taken: a real export of nothing to each receiver, with the
//! run's headers, certificates and time-outs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::check::Check;
use crate::config::{Config, MetricsConfig, OtlpConfig, OtlpProtocol, PrinterFormat};
use crate::export::{ExportConfig, Exporters, Reached};
use crate::health::Health;

/// What is left to the receiver's own time-out, which is told, before it is not waited for any
/// longer.
const BEYOND: Duration = Duration::from_secs(1);

/// Asks each of them.
///
/// # Errors
/// There are no threads to be had.
pub fn checks(config: &Config) -> anyhow::Result<Vec<Check>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start a runtime")?;
    let mut checks = Vec::new();
    let metrics = config.metrics.as_ref().map(as_of_spans);
    for (check, otlp) in [
        ("receiver", config.traces.otlp.as_ref()),
        ("receiver of metrics", metrics.as_ref()),
    ] {
        if let Some(otlp) = otlp {
            checks.push(runtime.block_on(receiver(check, otlp)));
        }
    }
    if config.traces.is_silent() {
        checks.push(Check::warn(
            "receiver",
            "no setting says where spans go",
            "set OTEL_EXPORTER_OTLP_ENDPOINT as a run would have it",
        ));
    }
    runtime.shutdown_timeout(Duration::ZERO);
    Ok(checks)
}

async fn receiver(check: &'static str, otlp: &OtlpConfig) -> Check {
    let export = ExportConfig::new(Some(otlp.clone()), PrinterFormat::Disabled);
    let exporters = match Exporters::start(export, &Arc::new(Health::default())) {
        Ok((_, exporters)) => exporters,
        Err(error) => {
            return Check::fail(
                check,
                error.to_string(),
                "correct the setting that it names",
            );
        }
    };
    let Some(reach) = exporters.reach() else {
        return Check::fail(check, "there is none", "set OTEL_EXPORTER_OTLP_ENDPOINT");
    };
    let endpoint = reach.endpoint();
    let protocol = match otlp.protocol {
        OtlpProtocol::Grpc => "grpc",
        OtlpProtocol::HttpProtobuf => "http/protobuf",
        OtlpProtocol::HttpJson => "http/json",
    };
    match reach.look(otlp.timeout + BEYOND).await {
        Reached::Takes => Check::pass(check, format!("{endpoint} takes exports by {protocol}")),
        Reached::Unknown => Check::fail(
            check,
            format!("{endpoint} gives no answer ({protocol})"),
            "see whether it listens there, and whether anything between drops what is sent",
        ),
        Reached::Fails(why) => Check::fail(
            check,
            format!("{endpoint} takes no exports by {protocol}: {why}"),
            "see whether it listens there, for this protocol, and takes these headers and \
             certificates",
        ),
    }
}

/// An empty request is the same for spans and metrics.
fn as_of_spans(metrics: &MetricsConfig) -> OtlpConfig {
    OtlpConfig {
        endpoint: metrics.endpoint.clone(),
        protocol: OtlpProtocol::HttpProtobuf,
        headers: metrics.headers.clone(),
        timeout: metrics.timeout,
        gzip: false,
        certificate: metrics.certificate.clone(),
        client_identity: metrics.client_identity.clone(),
        batch_spans_max: 1,
        batch_age_max: Duration::ZERO,
    }
}
