//! How two agents prove to each other that they know the same secret, without telling it.
//!
//! TLS alone keeps a stream from those who listen; without certificates it says nothing about who
//! is at its other end, who may also be in the middle of two streams. So each end computes HMAC-
//! SHA-256 (RFC 2104), by the secret, of its role and of 32 bytes that TLS exports (RFC 8446, 7.5)
//! and that no two streams have in common: a channel binding as in RFC 9266. Who is in the middle
//! has two streams, and can make neither proof of the other. Roles keep a proof from being sent
//! back. The one that connects proves first, so that a stranger who connects gets nothing by which
//! secrets could be tried; a stranger who is connected to gets that, which is why secrets have to
//! be long enough not to be found by trying.

use ring::hmac;

use super::frame::SecretProof;

/// What TLS exports is for this and nothing else (RFC 5705, 4).
pub const EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL wirespan asking 1";

/// What TLS exports of one stream.
pub type Exported = [u8; 32];

/// Which end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The one that connected.
    Connecting,
    /// The one that was connected to.
    Accepting,
}

impl StreamEnd {
    /// The end at the other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Connecting => Self::Accepting,
            Self::Accepting => Self::Connecting,
        }
    }

    const fn role(self) -> &'static [u8] {
        match self {
            Self::Connecting => b"connecting",
            Self::Accepting => b"accepting",
        }
    }
}

/// A secret that is ready for use.
#[derive(Clone, Debug)]
pub struct SecretKey(hmac::Key);

impl SecretKey {
    /// Of these bytes.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// That this end of a stream knows it.
    #[must_use]
    pub fn prove(&self, end: StreamEnd, exported: &Exported) -> SecretProof {
        let tag = hmac::sign(&self.0, &message(end, exported));
        let mut proof = SecretProof::default();
        proof.copy_from_slice(tag.as_ref());
        proof
    }

    /// Whether that is proven, in a time that does not depend on the proof.
    #[must_use]
    pub fn is_proven(&self, end: StreamEnd, exported: &Exported, proof: &SecretProof) -> bool {
        hmac::verify(&self.0, &message(end, exported), proof).is_ok()
    }
}

fn message(end: StreamEnd, exported: &Exported) -> Vec<u8> {
    [end.role(), exported].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_one_end_of_one_stream_and_one_secret() {
        let secret = SecretKey::new(b"correct horse battery");
        let end = StreamEnd::Connecting;
        let proof = secret.prove(end, &[1; 32]);
        assert!(secret.is_proven(end, &[1; 32], &proof));
        assert!(
            !secret.is_proven(end.other(), &[1; 32], &proof),
            "sent back"
        );
        assert!(!secret.is_proven(end, &[2; 32], &proof), "another stream");
        let other = SecretKey::new(b"correct horse batterz");
        assert!(!other.is_proven(end, &[1; 32], &proof));
    }
}
