//! What a request to the API server needs: where it is, whom it is trusted by, who asks. Read anew
//! from its files for each connection, as tokens and certificates are replaced while they are used.
//! It connects to nobody, and no secret of it can be printed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use http::{HeaderValue, Uri};
use rustls::ClientConfig;

use super::kubeconfig;
use super::tls::{self, ClientIdentity, Trust};
use crate::config::ApiReach;
use crate::visible::Visible;

/// Where Kubernetes puts what a pod's service account is known by.
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Bytes of a file that are read; certificates of a hundred authorities are less.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a request needs.
pub struct Access {
    /// Scheme and authority, and a path if the API has one before its own.
    pub base: Uri,
    /// `Authorization`, if a token is shown.
    pub authorization: Option<HeaderValue>,
    /// How TLS is spoken.
    pub tls: ClientConfig,
    /// What the certificate has to be for, if not for the host of `base`.
    pub server_name: Option<String>,
    /// In which the asking pod is; only a service account has one.
    pub namespace: Option<String>,
    /// What its user has to be warned of.
    pub warning: Option<&'static str>,
}

/// Why nobody can be asked: in a sentence without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAccess(pub String);

/// What is in the files, as they are now.
pub struct Means {
    pub base: String,
    pub token: Option<Vec<u8>>,
    pub trust: Trust,
    pub identity: Option<ClientIdentity>,
    pub server_name: Option<String>,
    pub namespace: Option<String>,
}

impl Access {
    /// Reads what `reach` names; the service account's files are in `account`.
    ///
    /// # Errors
    /// Something is missing, can't be read, or is refused.
    pub fn read(reach: &ApiReach, account: &Path) -> Result<Self, NoAccess> {
        match reach {
            ApiReach::File(path) => kubeconfig::means(path)?,
            ApiReach::ServiceAccount { host, port } => of_account(host, port, account)?,
        }
        .access()
    }
}

fn of_account(host: &str, port: &str, account: &Path) -> Result<Means, NoAccess> {
    let host = match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    let namespace = read(&account.join("namespace")).ok();
    let namespace = namespace.and_then(|it| String::from_utf8(it).ok());
    Ok(Means {
        base: format!("https://{host}:{port}"),
        token: Some(read(&account.join("token"))?),
        trust: Trust::Authorities(read(&account.join("ca.crt"))?),
        identity: None,
        server_name: None,
        namespace: namespace.map(|it| it.trim().to_owned()),
    })
}

impl Means {
    fn access(self) -> Result<Access, NoAccess> {
        let no_url = || NoAccess("the server's address is no URL of HTTP".to_owned());
        let base: Uri = self
            .base
            .trim_end_matches('/')
            .parse()
            .map_err(|_| no_url())?;
        let is_plain = match (base.scheme_str(), base.host()) {
            (Some("https"), Some(_)) => false,
            (Some("http"), Some(_)) => true,
            _ => return Err(no_url()),
        };
        if is_plain && self.token.is_some() && !is_loopback(base.host().unwrap_or_default()) {
            return Err(NoAccess(
                "a token would travel in the clear: the server's address begins with http:".into(),
            ));
        }
        let warning = matches!(self.trust, Trust::Anybody).then_some(
            "insecure-skip-tls-verify: whoever answers is taken for the API server, and gets the \
             token",
        );
        let authorization = self.token.map(|token| {
            let header = [b"Bearer ", token.trim_ascii()].concat();
            let header = HeaderValue::from_bytes(&header);
            let mut header = header.map_err(|_| NoAccess("the token is none".to_owned()))?;
            header.set_sensitive(true);
            Ok(header)
        });
        Ok(Access {
            base,
            authorization: authorization.transpose()?,
            tls: tls::client_config(self.trust, self.identity)?,
            server_name: self.server_name,
            namespace: self.namespace,
            warning,
        })
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|it| it.is_loopback())
}

/// A small file that has something in it.
pub fn read(path: &Path) -> Result<Vec<u8>, NoAccess> {
    let mut bytes = Vec::new();
    let file = File::open(path);
    let read = file.and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    match read {
        Ok(0) => Err(unusable(path, "it is empty")),
        Ok(_) => Ok(bytes),
        Err(error) => Err(unusable(path, error)),
    }
}

/// A file that is of no use.
pub fn unusable(path: &Path, why: impl std::fmt::Display) -> NoAccess {
    NoAccess(format!("{}: {why}", Visible(path.display())))
}
