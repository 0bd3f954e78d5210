//! The OTLP exporter's settings, by the rules of the OpenTelemetry specification ("OpenTelemetry
//! Protocol Exporter", "Environment Variable Specification"). It opens no connection.

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Uri};

use super::names::Setting;
use super::settings::{Given, Settings};
use super::{ConfigError, MetricsConfig, OtlpConfig, OtlpProtocol, values};

/// What `OTEL_TRACES_EXPORTER` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exporters {
    otlp: Otlp,
    /// Spans on standard output.
    pub console: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Otlp {
    /// Not named: where an endpoint is set.
    IfEndpoint,
    /// Named: to the specification's default endpoint if none is set.
    Wanted,
    /// Others were named, or none.
    Unwanted,
}

impl Exporters {
    pub fn named_in(settings: &Settings) -> Result<Self, ConfigError> {
        let Some(given) = settings.of(Setting::TracesExporter) else {
            return Ok(Self {
                otlp: Otlp::IfEndpoint,
                console: false,
            });
        };
        given.parse(
            |text| {
                let mut exporters = Self {
                    otlp: Otlp::Unwanted,
                    console: false,
                };
                let mut none = false;
                for name in values::items(text) {
                    match name {
                        "otlp" => exporters.otlp = Otlp::Wanted,
                        "console" => exporters.console = true,
                        "none" => none = true,
                        _ => return None,
                    }
                }
                let any = exporters.otlp == Otlp::Wanted || exporters.console;
                (none != any).then_some(exporters)
            },
            "otlp, console, both with a comma between them, or none",
        )
    }
}

/// Where spans go; `None` if nowhere.
pub(super) fn config(
    settings: &Settings,
    exporters: Exporters,
    warnings: &mut Vec<String>,
) -> Result<Option<OtlpConfig>, ConfigError> {
    // Checked even where nothing is sent: a wrong value is wrong before there is an endpoint.
    let protocol = settings
        .first_of([Setting::TracesProtocol, Setting::Protocol])
        .map(|given| given.parse(protocol, PROTOCOLS))
        .transpose()?;
    let default = Given {
        source: "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
        text: String::new(),
    };
    let general = settings.of(Setting::Endpoint);
    let (given, as_is) = match (settings.of(Setting::TracesEndpoint), general) {
        _ if exporters.otlp == Otlp::Unwanted => {
            if let Some(given) = settings.first_of([Setting::TracesEndpoint, Setting::Endpoint]) {
                warnings.push(format!(
                    "{} is ignored because OTEL_TRACES_EXPORTER does not name otlp",
                    given.source
                ));
            }
            return Ok(None);
        }
        (Some(traces), _) => (traces, true),
        (None, Some(general)) => (general, false),
        (None, None) if exporters.otlp == Otlp::Wanted => (&default, false),
        (None, None) => return Ok(None),
    };

    let insecure = settings
        .first_of([Setting::TracesInsecure, Setting::Insecure])
        .map_or(Ok(false), |given| {
            given.parse(values::boolean, values::BOOLEAN)
        })?;
    let (endpoint, protocol) = endpoint(given, as_is, protocol, insecure)?;

    Ok(Some(OtlpConfig {
        endpoint,
        protocol,
        headers: headers(settings.first_of([Setting::TracesHeaders, Setting::Headers]))?,
        timeout: timeout(settings.first_of([Setting::TracesTimeout, Setting::Timeout]))?,
        gzip: settings
            .first_of([Setting::TracesCompression, Setting::Compression])
            .map_or(Ok(false), |given| given.parse(gzip, "gzip or none"))?,
        certificate: settings
            .first_of([Setting::TracesCertificate, Setting::Certificate])
            .map(pem_file)
            .transpose()?,
        client_identity: client_identity(
            settings.first_of([Setting::TracesClientCertificate, Setting::ClientCertificate]),
            settings.first_of([Setting::TracesClientKey, Setting::ClientKey]),
        )?,
        batch_spans_max: settings.of(Setting::BatchMaxSize).map_or(
            Ok(BATCH_SPANS_DEFAULT),
            |given| {
                given.parse(
                    |text| values::count(text, BATCH_SPANS_MAX),
                    "a number of spans from 1 to 65536",
                )
            },
        )?,
        batch_age_max: batch_age_max(settings)?,
    }))
}

/// Where the daemon's own metrics go; `None` unless an endpoint for metrics is set: whoever sends
/// spans somewhere may have nothing there that takes metrics.
pub(super) fn metrics(settings: &Settings) -> Result<Option<MetricsConfig>, ConfigError> {
    let interval = settings
        .of(Setting::MetricExportInterval)
        .map_or(Ok(INTERVAL_DEFAULT), |given| {
            given.parse(values::milliseconds, values::MILLISECONDS)
        })?;
    let Some(given) = settings.of(Setting::MetricsEndpoint) else {
        return Ok(None);
    };
    let (endpoint, _) = endpoint(given, true, Some(OtlpProtocol::HttpProtobuf), false)?;
    Ok(Some(MetricsConfig {
        endpoint,
        headers: headers(settings.of(Setting::Headers))?,
        timeout: timeout(settings.of(Setting::Timeout))?,
        certificate: settings
            .of(Setting::Certificate)
            .map(pem_file)
            .transpose()?,
        client_identity: client_identity(
            settings.of(Setting::ClientCertificate),
            settings.of(Setting::ClientKey),
        )?,
        interval,
    }))
}

/// The specification's.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(60);
/// The specification's.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// As an SDK's: larger requests cost memory on both sides.
const BATCH_SPANS_DEFAULT: usize = 512;
const BATCH_SPANS_MAX: usize = 65_536;
/// Shorter than an SDK's 5 s: whoever tries the agent out looks for the span at once.
const BATCH_AGE_DEFAULT: Duration = Duration::from_secs(1);

const PROTOCOLS: &str = "grpc, http/protobuf or http/json";

fn protocol(text: &str) -> Option<OtlpProtocol> {
    match text {
        "grpc" => Some(OtlpProtocol::Grpc),
        "http/protobuf" => Some(OtlpProtocol::HttpProtobuf),
        "http/json" => Some(OtlpProtocol::HttpJson),
        _ => None,
    }
}

/// As Beyla guesses it, by the last digits of the port, so that 14317 is gRPC too.
fn protocol_of_port(port: Option<u16>) -> OtlpProtocol {
    match port.map(|port| port % 10_000) {
        Some(4317) => OtlpProtocol::Grpc,
        _ => OtlpProtocol::HttpProtobuf,
    }
}

/// The endpoint as [`OtlpConfig`] wants it. An empty text stands for the specification's default.
fn endpoint(
    given: &Given,
    as_is: bool,
    protocol: Option<OtlpProtocol>,
    insecure: bool,
) -> Result<(String, OtlpProtocol), ConfigError> {
    let text = match (given.text.trim(), protocol) {
        ("", Some(OtlpProtocol::Grpc)) => "http://localhost:4317",
        ("", _) => "http://localhost:4318",
        (text, _) => text,
    };
    let text = &with_brackets(text);
    let refused = || match given.text.contains('@') {
        // There may be a password before it.
        true => ConfigError::invalid_secret(&given.source, URL),
        false => ConfigError::invalid(&given.source, &given.text, URL),
    };
    let uri: Uri = text.parse().map_err(|_| refused())?;
    let authority = uri
        .authority()
        .filter(|whole| is_sound(whole))
        .ok_or_else(refused)?;
    let protocol = protocol.unwrap_or_else(|| protocol_of_port(authority.port_u16()));
    let scheme = match (uri.scheme_str(), protocol) {
        (Some(scheme @ ("http" | "https")), _) => scheme,
        // The specification lets gRPC leave the scheme out, and then OTEL_EXPORTER_OTLP_INSECURE
        // decides.
        (None, OtlpProtocol::Grpc) if insecure => "http",
        (None, OtlpProtocol::Grpc) => "https",
        _ => return Err(refused()),
    };
    let endpoint = match (protocol, as_is) {
        (OtlpProtocol::Grpc, _) => format!("{scheme}://{authority}"),
        (_, true) => {
            let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
            format!("{scheme}://{authority}{path}")
        }
        (_, false) => {
            let base = uri.path().trim_end_matches('/');
            format!("{scheme}://{authority}{base}/v1/traces")
        }
    };
    Ok((endpoint, protocol))
}

/// A URL with brackets around an address of IPv6, where they are missing, as in
/// `http://fd00::7:4318`: `http://$(HOST_IP):4318` becomes that on a node that has no other
/// address. Digits behind the last colon are a port if an address is left without them.
fn with_brackets(text: &str) -> Cow<'_, str> {
    let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + 3));
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    match authority.rsplit_once(':') {
        Some((address, port)) if is_address(address) => {
            Cow::Owned(format!("{scheme}[{address}]:{port}{path}"))
        }
        _ if is_address(authority) => Cow::Owned(format!("{scheme}[{authority}]{path}")),
        _ => Cow::Borrowed(text),
    }
}

const URL: &str = "a URL such as http://collector:4318 or https://collector:4317";

/// Whether there is a host, and nothing after it that is not a port: the `http` crate takes
/// `host:` and `host:70000` for authorities without port.
fn is_sound(authority: &Authority) -> bool {
    let after_user = authority
        .as_str()
        .rsplit_once('@')
        .map_or(authority.as_str(), |(_, rest)| rest);
    !authority.host().is_empty()
        && (after_user == authority.host() || authority.port_u16().is_some_and(|port| port > 0))
}

/// `key=value` pairs with commas between them; values are percent-encoded. Their values are
/// usually secrets, so errors do not show them.
fn headers(given: Option<&Given>) -> Result<Vec<(String, String)>, ConfigError> {
    let Some(given) = given else {
        return Ok(Vec::new());
    };
    values::items(&given.text)
        .enumerate()
        .map(|(index, item)| {
            header(item).ok_or_else(|| {
                ConfigError::invalid_secret(
                    &given.source,
                    format!(
                        "key=value pairs with commas between them and values percent-encoded, \
                         but pair {} is not one",
                        index + 1
                    ),
                )
            })
        })
        .collect()
}

fn header(item: &str) -> Option<(String, String)> {
    let (name, value) = item.split_once('=')?;
    // Lower case, as HTTP/2 and with it gRPC demand.
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    let value = values::percent_decoded(value.trim())?;
    HeaderValue::from_str(&value).ok()?;
    Some((name.as_str().to_owned(), value))
}

fn gzip(text: &str) -> Option<bool> {
    match text {
        "gzip" => Some(true),
        "none" => Some(false),
        _ => None,
    }
}

fn timeout(given: Option<&Given>) -> Result<Duration, ConfigError> {
    given.map_or(Ok(TIMEOUT_DEFAULT), |given| {
        given.parse(values::milliseconds, values::MILLISECONDS)
    })
}

fn client_identity(
    certificate: Option<&Given>,
    key: Option<&Given>,
) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((pem_file(certificate)?, pem_file(key)?))),
        (None, None) => Ok(None),
        (Some(set), None) => Err(ConfigError::Incomplete {
            set: set.source.clone(),
            missing: "OTEL_EXPORTER_OTLP_CLIENT_KEY",
        }),
        (None, Some(set)) => Err(ConfigError::Incomplete {
            set: set.source.clone(),
            missing: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        }),
    }
}

/// A path at which there is a file now; what it holds is the exporter's to judge.
fn pem_file(given: &Given) -> Result<PathBuf, ConfigError> {
    given.parse(
        |text| {
            let path = PathBuf::from(text);
            path.is_file().then_some(path)
        },
        "the path of an existing PEM file",
    )
}

fn batch_age_max(settings: &Settings) -> Result<Duration, ConfigError> {
    if let Some(given) = settings.of(Setting::BatchTimeout) {
        return given.parse(values::duration, values::DURATION);
    }
    settings
        .of(Setting::BatchScheduleDelay)
        .map_or(Ok(BATCH_AGE_DEFAULT), |given| {
            given.parse(values::milliseconds, values::MILLISECONDS)
        })
}
