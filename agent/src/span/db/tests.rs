//! Operations by hand, and what their spans say.

use std::sync::Arc;

use wirespan_common::record::Open;
use wirespan_protocols::family::db::{DbRequest, DbResponse};

use super::*;
use crate::endpoints::Endpoints;

fn tcp() -> Endpoints {
    let mut open = Open {
        connection: 1,
        family: 2,
        local_port: 40000,
        peer_port: 6379,
        ..Open::default()
    };
    open.local_address[..4].copy_from_slice(&[10, 0, 0, 2]);
    open.peer_address[..4].copy_from_slice(&[10, 0, 0, 1]);
    Endpoints::from_open(&open, b"").expect("a known family")
}

fn get() -> Db {
    Db {
        request: Box::new(DbRequest {
            system: DbSystem::Redis,
            operation: Some("GET".into()),
            namespace: Some("3".into()),
            collection: None,
            procedure: None,
            query_text: Some("GET ?".into()),
            batch_size: None,
            truncated: false,
        }),
        response: Some(DbResponse {
            failed: false,
            status: None,
            truncated: false,
        }),
    }
}

fn described(role: Role, outcome: Outcome, mut db: Db, endpoints: &Endpoints) -> Description {
    let ends = Ends {
        addresses: Some(endpoints),
        ..Ends::default()
    };
    describe(role, outcome, &mut db, ends)
}

fn pairs(description: &Description) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Int(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::List(texts) => texts.join(","),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let pairs = description.attributes.iter();
    pairs
        .map(|(name, value)| format!("{name}={}", text(value)))
        .collect()
}

#[test]
fn a_clients_command_has_every_attribute_and_no_other() {
    let told = described(Role::Client, Outcome::Complete, get(), &tcp());
    assert_eq!((&*told.name, told.status), ("GET", Status::Unset));
    assert_eq!(
        pairs(&told),
        [
            "db.system.name=redis",
            "db.namespace=3",
            "db.operation.name=GET",
            "db.query.text=GET ?",
            "server.address=10.0.0.1",
            "server.port=6379",
            "network.peer.address=10.0.0.1",
            "network.peer.port=6379",
        ]
    );
}

#[test]
fn a_server_tells_its_client_and_itself() {
    let told = described(Role::Server, Outcome::Complete, get(), &tcp());
    let pairs = pairs(&told);
    for wanted in [
        "server.port=40000",
        "client.address=10.0.0.1",
        "network.peer.port=6379",
    ] {
        assert!(
            pairs.iter().any(|pair| pair == wanted),
            "{wanted}: {pairs:?}"
        );
    }
}

#[test]
fn the_databases_own_code_is_the_error() {
    for (status, error) in [(Some("WRONGTYPE"), "WRONGTYPE"), (None, "_OTHER")] {
        for role in [Role::Client, Role::Server] {
            let mut db = get();
            db.response = Some(DbResponse {
                failed: true,
                status: status.map(Cow::Borrowed),
                truncated: false,
            });
            let told = described(role, Outcome::Complete, db, &tcp());
            let pairs = pairs(&told);
            assert_eq!(told.status, Status::Error);
            assert!(pairs.contains(&format!("error.type={error}")), "{pairs:?}");
            let code = pairs
                .iter()
                .any(|pair| pair.starts_with("db.response.status_code="));
            assert_eq!(code, status.is_some());
        }
    }
}

#[test]
fn without_an_answer_the_outcome_is_the_error() {
    for (outcome, error, status) in [
        (
            Outcome::Closed,
            "error.type=connection_closed",
            Status::Error,
        ),
        (
            Outcome::NotObserved,
            "error.type=response_not_observed",
            Status::Unset,
        ),
    ] {
        let db = Db {
            response: None,
            ..get()
        };
        let told = described(Role::Client, outcome, db, &tcp());
        assert_eq!(told.status, status);
        assert!(pairs(&told).iter().any(|pair| pair == error));
    }
}

#[test]
fn a_name_has_a_collection_where_there_is_one_and_else_the_systems() {
    let mut db = get();
    db.request.collection = Some("orders".into());
    db.request.batch_size = Some(3);
    let told = described(Role::Client, Outcome::OneWay, db, &tcp());
    assert_eq!(told.name, "GET orders");
    assert!(pairs(&told).contains(&"db.operation.batch.size=3".to_owned()));
    let mut db = get();
    db.request.operation = None;
    let told = described(Role::Client, Outcome::Complete, db, &tcp());
    assert_eq!(told.name, "redis");
    let unix = Endpoints::Unix {
        path: Some(Arc::from("/run/redis.sock")),
    };
    let told = described(Role::Client, Outcome::Complete, get(), &unix);
    assert!(pairs(&told).contains(&"network.transport=unix".to_owned()));
}
