//! Agents that know each other by certificates, and secrets that change.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use wirespan::asking::PeerEvent;
use wirespan::config::{AskingConfig, AskingIdentity, SecretSource};

use crate::agents::{Agent, SECRET, free_address, with_secret};

/// An authority, and what it signs for an agent.
struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("written");
        Self { directory, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What an agent with these names shows.
    fn sign(&self, names: &[&str]) -> AskingConfig {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        let params = CertificateParams::new(names.clone()).expect("names");
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        let [certificate, key_file] = ["cert", "key"].map(|kind| {
            let name = format!("{}.{kind}.pem", names.join("-"));
            self.path(&name)
        });
        fs::write(&certificate, signed.pem()).expect("written");
        fs::write(&key_file, key.serialize_pem()).expect("written");
        AskingConfig {
            secret: None,
            identity: Some(AskingIdentity {
                certificate,
                key: key_file,
                authority: self.path("ca.pem"),
            }),
            ..with_secret(SECRET)
        }
    }
}

#[test]
fn certificates_of_one_authority_are_enough() {
    let authority = Authority::new();
    let mut first = Agent::new(&[], authority.sign(&["127.0.0.1"]));
    let mut second = Agent::new(&[first.address], authority.sign(&["127.0.0.1", "other"]));
    second.wait_for_streams(1);
    first.knows(1, 7);
    second.asks(1);
    let told = second.told();
    assert!(told == (1, Some(7)) || told == (1, None), "{told:?}");
    second.asks(1);
    assert_eq!(second.told(), (1, Some(7)));
}

#[test]
fn a_certificate_of_another_authority_or_for_another_name_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let agent = Agent::new(&[], ours.sign(&["127.0.0.1"]));
    let stranger = Agent::new(&[agent.address], theirs.sign(&["127.0.0.1"]));
    stranger.wait_for_event(PeerEvent::Handshake);
    agent.wait_for_event(PeerEvent::Handshake);
    let elsewhere = Agent::new(&[], ours.sign(&["elsewhere"]));
    let asking = Agent::new(&[elsewhere.address], ours.sign(&["127.0.0.1"]));
    asking.wait_for_event(PeerEvent::Handshake);
    // Who shows no certificate at all.
    let nobody = Agent::new(&[agent.address], with_secret(SECRET));
    nobody.wait_for_event(PeerEvent::Handshake);
    for it in [&agent, &stranger, &elsewhere, &asking, &nobody] {
        assert_eq!(it.health.asking.streams(), 0);
    }
}

#[test]
fn with_a_secret_beside_certificates_both_are_asked_for() {
    let authority = Authority::new();
    let both = |secret: &str| AskingConfig {
        identity: authority.sign(&["127.0.0.1"]).identity,
        ..with_secret(secret)
    };
    let agent = Agent::new(&[], both(SECRET));
    let other = Agent::new(&[agent.address], both("another horse battery"));
    agent.wait_for_event(PeerEvent::Unproven);
    assert_eq!(other.health.asking.streams(), 0);
    let same = Agent::new(&[agent.address], both(SECRET));
    same.wait_for_streams(1);
}

fn in_file(path: &Path) -> AskingConfig {
    AskingConfig {
        secret: Some(SecretSource::File(path.to_owned())),
        ..with_secret(SECRET)
    }
}

#[test]
fn a_secret_that_is_replaced_in_its_file_is_used_for_the_next_stream() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("secret");
    fs::write(&path, format!("{SECRET}\n")).expect("written");
    let address = free_address();
    let agent = Agent::new(&[address], in_file(&path));
    let first = Agent::start(address, &[], with_secret(SECRET));
    agent.wait_for_streams(1);
    fs::write(&path, "another horse battery\n").expect("written");
    drop(first);
    let second = Agent::start(address, &[], with_secret("another horse battery"));
    second.wait_for_streams(1);
    // What can't be used leaves what was there before.
    fs::write(&path, "short").expect("written");
    drop(second);
    let third = Agent::start(address, &[], with_secret("another horse battery"));
    third.wait_for_streams(1);
    agent.wait_for_streams(1);
}
