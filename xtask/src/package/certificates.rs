//! Whom an image trusts for TLS to receivers: Mozilla's list, as the workspace's lock file pins it,
//! where programs look for it.

use pem::{EncodeConfig, LineEnding, Pem};

/// Where Debian has it.
pub const PATH: &str = "etc/ssl/certs/ca-certificates.crt";

/// In PEM form (RFC 7468).
pub fn bundle() -> String {
    let certificates = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let certificates: Vec<_> = certificates
        .map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref()))
        .collect();
    let form = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_many_config(&certificates, form)
}
