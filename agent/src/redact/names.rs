//! SecretNames of parameters whose values are secrets. Letters and digits count, case does not: one
//! entry stands for `access_token`, `access-token`, `accessToken` and `Access.Token`.
//!
//! Two names were weighed. `code` is an OAuth authorization code, which whoever reads it in time
//! can redeem, and also a country's or a product's code; `key` is how Google's APIs take their API
//! key, and also a key of a cache. Both are hidden: a code that is hidden in vain costs a line of a
//! setting (`…_REMOVE`), one that is told in vain costs a key that has to be changed everywhere it
//! was used, and nobody notices when.

/// The keys of the semantic conventions (`url.query`, in the list as of August 2026).
const CONVENTIONS: &[&str] = &[
    "AWSAccessKeyId",
    "Signature",
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "sig",
    "X-Goog-Signature",
];

/// What users of Beyla and OpenTelemetry eBPF Instrumentation have besides
/// (`attributes.sensitive_query_params`).
const BEYLA: &[&str] = &[
    "SecurityToken",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "jwt",
    "session",
    "sid",
    "api_key",
    "client_secret",
    "secret",
    "password",
    "pass",
    "pwd",
    "reset_token",
    "invite_token",
    "verify_token",
    "otp",
    "totp",
    "mfa_code",
    "verification_code",
    "SAMLResponse",
    "assertion",
    "card",
    "cc",
    "pan",
    "cvv",
    "ssn",
    "tax_id",
];

/// Weighed above, or a secret by any reading.
const OURS: &[&str] = &[
    "code",
    "key",
    "auth",
    "passwd",
    "passphrase",
    "user_password",
    "new_password",
    "old_password",
    "authorization",
    "bearer",
    "auth_token",
    "auth_key",
    "bearer_token",
    "session_token",
    "session_id",
    "jsessionid",
    "phpsessid",
    "csrf_token",
    "xsrf_token",
    "csrfmiddlewaretoken",
    "authenticity_token",
    "private_token",
    "personal_access_token",
    "device_code",
    "code_verifier",
    "client_assertion",
    "oauth_token",
    "oauth_token_secret",
    "oauth_signature",
    "oauth_verifier",
    "x-api-key",
    "api_token",
    "api_secret",
    "app_secret",
    "access_key",
    "access_key_id",
    "secret_key",
    "secret_access_key",
    "private_key",
    "shared_key",
    "subscription-key",
    "Ocp-Apim-Subscription-Key",
    "X-Goog-Credential",
    "X-Goog-Api-Key",
    "OSSAccessKeyId",
    "x-oss-signature",
    "temp_url_sig",
    "sas_token",
    "hmac",
    "credentials",
];

/// No name is longer, in letters and digits.
pub const NAME_BYTES_MAX: usize = 32;

/// A set of names, by their length.
#[derive(Clone, Debug)]
pub struct SecretNames {
    by_len: [Vec<Box<[u8]>>; NAME_BYTES_MAX + 1],
}

impl Default for SecretNames {
    fn default() -> Self {
        Self::new([], [])
    }
}

impl SecretNames {
    /// The names above and those of `add`, but not those of `remove`.
    pub fn new<'a>(
        add: impl IntoIterator<Item = &'a str>,
        remove: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut by_len: [Vec<Box<[u8]>>; NAME_BYTES_MAX + 1] = std::array::from_fn(|_| Vec::new());
        let removed: Vec<Vec<u8>> = remove.into_iter().map(squeezed).collect();
        let ours = [CONVENTIONS, BEYLA, OURS].into_iter().flatten().copied();
        for name in ours.chain(add).map(squeezed) {
            let Some(bucket) = by_len.get_mut(name.len()) else {
                continue;
            };
            let is_new = !bucket.iter().any(|known| **known == *name);
            if !name.is_empty() && is_new && !removed.contains(&name) {
                bucket.push(name.into());
            }
        }
        Self { by_len }
    }

    /// Whether this is one, in the form of [`squeeze`].
    pub fn has(&self, name: &[u8]) -> bool {
        self.by_len
            .get(name.len())
            .is_some_and(|bucket| bucket.iter().any(|known| **known == *name))
    }
}

/// What of a byte counts in a name. Bytes beyond ASCII do: no server takes them for others.
pub fn squeeze(byte: u8) -> Option<u8> {
    (byte.is_ascii_alphanumeric() || !byte.is_ascii()).then_some(byte.to_ascii_lowercase())
}

fn squeezed(name: &str) -> Vec<u8> {
    name.bytes()
        .filter_map(squeeze)
        .take(NAME_BYTES_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_cut() {
        for name in [CONVENTIONS, BEYLA, OURS].into_iter().flatten() {
            assert!(name.len() <= NAME_BYTES_MAX, "{name}");
            assert!(SecretNames::default().has(&squeezed(name)), "{name}");
        }
    }

    #[test]
    fn names_are_added_and_removed_however_they_are_written() {
        let names = SecretNames::new(["Shop-Pass"], ["CODE", "x_amz_signature"]);
        assert!(names.has(b"shoppass"));
        assert!(!names.has(b"code"));
        assert!(!names.has(b"xamzsignature"));
        assert!(names.has(b"signature"));
        assert!(!names.has(b""));
    }
}
