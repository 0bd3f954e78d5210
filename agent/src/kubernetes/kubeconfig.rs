//! A kubeconfig: of its current context the cluster and the user. What would have a program run, or
//! a plugin of kubectl's, is refused with its name, and no word of the file is repeated.
//!
//! Source: Kubernetes, "kubeconfig (v1)" of its configuration reference.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::access::{Means, NoAccess, read, unusable};
use super::tls::{ClientIdentity, Trust};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    current_context: String,
    clusters: Vec<NamedCluster>,
    contexts: Vec<NamedContext>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    exec: Option<Value>,
    auth_provider: Option<Value>,
    username: Option<Value>,
    #[serde(rename = "as")]
    acts_as: Option<Value>,
}

/// What the file says, and those that it names.
pub fn means(path: &Path) -> Result<Means, NoAccess> {
    let text = read(path)?;
    let file: File = serde_yaml_ng::from_slice(&text).map_err(|error| {
        // What the error says may hold what stands there.
        let place = error.location().map_or_else(String::new, |it| {
            format!(" (line {}, column {})", it.line(), it.column())
        });
        unusable(path, format!("it is no kubeconfig{place}"))
    })?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    of(file, folder).map_err(|NoAccess(why)| unusable(path, why))
}

fn of(file: File, folder: &Path) -> Result<Means, NoAccess> {
    let (cluster, user) = current(file)?;
    refuse(&cluster, &user)?;
    let at = |named: Option<PathBuf>, data: Option<String>, what: &str| match (data, named) {
        (Some(data), _) => {
            let decoded = STANDARD.decode(data.trim());
            let decoded = decoded.map_err(|_| NoAccess(format!("{what} is no base64")));
            decoded.map(Some)
        }
        (None, Some(named)) => read(&folder.join(named)).map(Some),
        (None, None) => Ok(None),
    };
    let authorities = at(
        cluster.certificate_authority,
        cluster.certificate_authority_data,
        "certificate-authority-data",
    )?;
    let certificates = at(
        user.client_certificate,
        user.client_certificate_data,
        "client-certificate-data",
    )?;
    let key = at(user.client_key, user.client_key_data, "client-key-data")?;
    let identity = match (certificates, key) {
        (Some(certificates), Some(key)) => Some(ClientIdentity { certificates, key }),
        (None, None) => None,
        _ => {
            return Err(NoAccess(
                "of client certificate and key one is missing".into(),
            ));
        }
    };
    let token = match (user.token_file, user.token) {
        (Some(named), _) => Some(read(&folder.join(named))?),
        (None, token) => token.map(String::into_bytes),
    };
    Ok(Means {
        base: cluster.server,
        token,
        trust: match authorities {
            _ if cluster.insecure_skip_tls_verify => Trust::Anybody,
            Some(authorities) => Trust::Authorities(authorities),
            None => Trust::Machine,
        },
        identity,
        server_name: cluster.tls_server_name,
        namespace: None,
    })
}

/// Of the current context.
fn current(file: File) -> Result<(Cluster, User), NoAccess> {
    let missing = |what: &str| NoAccess(format!("its current context has no {what}"));
    let mut contexts = file.contexts.into_iter();
    let context = contexts.find(|it| it.name == file.current_context);
    let context = context.ok_or_else(|| NoAccess("its current context is not in it".into()))?;
    let Context { cluster, user } = context.context;
    let mut clusters = file.clusters.into_iter();
    let cluster = clusters.find(|it| it.name == cluster);
    let cluster = cluster.ok_or_else(|| missing("cluster"))?.cluster;
    let mut users = file.users.into_iter();
    match users.find(|it| it.name == user) {
        Some(named) => Ok((cluster, named.user)),
        None if user.is_empty() => Ok((cluster, User::default())),
        None => Err(missing("user")),
    }
}

/// What wirespan does not do, and would have to.
fn refuse(cluster: &Cluster, user: &User) -> Result<(), NoAccess> {
    let refused = [
        (user.exec.is_some(), "exec: it would have a program run"),
        (
            user.auth_provider.is_some(),
            "auth-provider: it takes a plugin of kubectl's",
        ),
        (
            user.username.is_some(),
            "username: Kubernetes takes no passwords any longer",
        ),
        (user.acts_as.is_some(), "as: wirespan acts as nobody else"),
        (
            cluster.proxy_url.is_some(),
            "proxy-url: wirespan asks directly",
        ),
    ];
    let why = refused.into_iter().find(|(is_there, _)| *is_there);
    why.map_or(Ok(()), |(_, why)| {
        let rest = "a token or a client certificate has to stand there instead";
        Err(NoAccess(format!("{why}; {rest}")))
    })
}
