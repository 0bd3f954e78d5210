//! Which agents of other nodes are asked, where this one is asked, and how they prove to each other
//! that they may. It opens no file: what stands in one is read by who asks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::names::Setting;
use super::settings::Settings;
use super::{ConfigError, Part, fixed, values};

/// How long an answer is waited for where nobody says so.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
/// As long as a parent is waited for that may be known on this node.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// A secret that is shorter can be found by trying.
pub const SECRET_BYTES_MIN: usize = 16;

/// Agents that ask each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskingConfig {
    /// Whom this one connects to: all that each name stands for.
    pub peers: Vec<PeerName>,
    /// Where others connect to; nowhere, if it is not set.
    pub listen: Option<SocketAddr>,
    /// A secret that all of them know.
    pub secret: Option<SecretSource>,
    /// Certificates by which they know each other.
    pub identity: Option<AskingIdentity>,
}

impl AskingConfig {
    /// Whether something stands in a file, which may be replaced.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.identity.is_some() || matches!(self.secret, Some(SecretSource::File(_)))
    }
}

/// Where an agent is found, or several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerName {
    /// A name of DNS, or an address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Where the secret stands.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// It was set itself.
    Text(Box<[u8]>),
    /// In this file, without the line end.
    File(PathBuf),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskingIdentity {
    /// What this agent shows, be it asked or asking.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs the certificates of the others.
    pub authority: PathBuf,
}

/// `None`: nobody is asked, and nothing listens. Streams are made as a run starts; secrets and
/// certificates in files are read again for each.
impl Part for Option<AskingConfig> {
    fn follow(&self, new: &Self) -> (Self, Vec<Setting>) {
        let (Some(old), Some(new)) = (self, new) else {
            let differs = self.is_some() != new.is_some();
            return (self.clone(), fixed([(differs, Setting::Peers)]));
        };
        let differs = [
            (old.peers != new.peers, Setting::Peers),
            (old.listen != new.listen, Setting::PeersListen),
            (old.secret != new.secret, Setting::PeersSecret),
            (old.identity != new.identity, Setting::PeersCertificate),
        ];
        (self.clone(), fixed(differs))
    }
}

/// Whether anybody is to be asked, or may ask.
fn is_on(settings: &Settings) -> bool {
    let on = [Setting::Peers, Setting::PeersListen];
    on.iter().any(|it| settings.text(*it).is_some())
}

/// How long an answer is waited for, in milliseconds, if there may be one.
pub(super) fn timeout(settings: &Settings) -> Result<Option<u32>, ConfigError> {
    let milliseconds = |text: &str| {
        let timeout = values::duration(text)?;
        (!timeout.is_zero() && timeout <= TIMEOUT_MAX).then_some(timeout)
    };
    let given = settings.of(Setting::PeersTimeout);
    let timeout = given
        .map(|given| given.parse(milliseconds, "a duration of at most 10s, such as 1s"))
        .transpose()?;
    // At most ten thousand.
    let ms = timeout.unwrap_or(TIMEOUT_DEFAULT).as_millis() as u32;
    Ok(is_on(settings).then_some(ms.max(1)))
}

pub(super) fn read(
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<Option<AskingConfig>, ConfigError> {
    if !is_on(settings) {
        let others = [
            Setting::PeersSecret,
            Setting::PeersSecretFile,
            Setting::PeersCertificate,
            Setting::PeersKey,
            Setting::PeersAuthority,
            Setting::PeersTimeout,
        ];
        if let Some(given) = settings.first_of(others) {
            let source = &given.source;
            warnings.push(format!(
                "{source} has no effect without WIRESPAN_PEERS or WIRESPAN_PEERS_LISTEN"
            ));
        }
        return Ok(None);
    }
    let peers = match settings.of(Setting::Peers) {
        None => Vec::new(),
        Some(given) => given.parse(
            names,
            "names or addresses with ports, such as wirespan-peers:4319 or [fd00::1]:4319",
        )?,
    };
    let listen = match settings.of(Setting::PeersListen) {
        None => None,
        Some(given) => Some(given.parse(
            socket,
            "an address with a port, such as 0.0.0.0:4319 or [::]:4319",
        )?),
    };
    let (secret, identity) = (secret(settings)?, identity(settings)?);
    if secret.is_none() && identity.is_none() {
        let [peers, listen] = ["WIRESPAN_PEERS", "WIRESPAN_PEERS_LISTEN"];
        return Err(ConfigError::Incomplete {
            set: if settings.of(Setting::Peers).is_some() {
                peers
            } else {
                listen
            }
            .to_owned(),
            missing: "WIRESPAN_PEERS_SECRET_FILE (or certificates)",
        });
    }
    Ok(Some(AskingConfig {
        peers,
        listen,
        secret,
        identity,
    }))
}

fn secret(settings: &Settings) -> Result<Option<SecretSource>, ConfigError> {
    if let Some(path) = settings.text(Setting::PeersSecretFile) {
        return Ok(Some(SecretSource::File(path.into())));
    }
    let Some(given) = settings.of(Setting::PeersSecret) else {
        return Ok(None);
    };
    let text = given.text.trim().as_bytes();
    if text.len() < SECRET_BYTES_MIN {
        let allowed = "a secret of at least 16 bytes";
        return Err(ConfigError::invalid_secret(&given.source, allowed));
    }
    Ok(Some(SecretSource::Text(text.into())))
}

fn identity(settings: &Settings) -> Result<Option<AskingIdentity>, ConfigError> {
    const PARTS: [(Setting, &str); 3] = [
        (Setting::PeersCertificate, "WIRESPAN_PEERS_CERTIFICATE"),
        (Setting::PeersKey, "WIRESPAN_PEERS_KEY"),
        (Setting::PeersAuthority, "WIRESPAN_PEERS_CA"),
    ];
    let paths = PARTS.map(|(setting, _)| settings.text(setting).map(PathBuf::from));
    if let [Some(certificate), Some(key), Some(authority)] = paths {
        return Ok(Some(AskingIdentity {
            certificate,
            key,
            authority,
        }));
    }
    let name_of = |has: bool| {
        let of = paths
            .iter()
            .zip(PARTS)
            .find(|(path, _)| path.is_some() == has);
        of.map(|(_, (_, name))| name)
    };
    match (name_of(true), name_of(false)) {
        (Some(set), Some(missing)) => Err(ConfigError::Incomplete {
            set: set.to_owned(),
            missing,
        }),
        _ => Ok(None),
    }
}

/// Names with ports, with commas.
fn names(text: &str) -> Option<Vec<PeerName>> {
    let name = |item: &str| {
        if let Ok(address) = item.parse::<SocketAddr>() {
            return Some(PeerName {
                host: address.ip().to_string(),
                port: address.port(),
            });
        }
        let (host, port) = item.rsplit_once(':')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let port = values::port(port).filter(|port| *port != 0)?;
        (!host.is_empty() && host.chars().all(is_name)).then(|| PeerName {
            host: host.to_owned(),
            port,
        })
    };
    let names: Vec<_> = values::items(text).map(name).collect::<Option<_>>()?;
    (!names.is_empty()).then_some(names)
}

/// An address with a port.
fn socket(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let ip: IpAddr = values::listen_address(address)?;
    let port = values::port(port).filter(|port| *port != 0)?;
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_names_or_addresses_with_ports() {
        let told = |text: &str| {
            let names = names(text)?;
            let names: Vec<String> = names.iter().map(PeerName::to_string).collect();
            Some(names.join(" "))
        };
        for (text, expected) in [
            ("a.b-c:1, 10.0.0.1:65535", Some("a.b-c:1 10.0.0.1:65535")),
            ("[fd00::1]:4319", Some("[fd00::1]:4319")),
            ("", None),
            ("a", None),
            ("a:0", None),
            ("a:b", None),
            (":1", None),
            ("fd00::1", None),
            ("http://a:1", None),
        ] {
            assert_eq!(told(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn one_listens_on_an_address_with_a_port() {
        assert_eq!(socket("[::]:4319"), "[::]:4319".parse().ok());
        assert_eq!(socket("localhost:1"), "127.0.0.1:1".parse().ok());
        for text in ["4319", ":4319", "0.0.0.0:0", "name:1", "0.0.0.0"] {
            assert_eq!(socket(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_told() {
        let source = SecretSource::Text(b"correct horse battery"[..].into());
        assert_eq!(format!("{source:?}"), "Text(…)");
    }
}
