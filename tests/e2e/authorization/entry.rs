//! Who is let in, and what the others are told.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use taskferry_client::{Method, StatusCode};
use taskferry_testing::redis;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::authorization::issuer::{Issuer, RESOURCE, Signer, now};
use crate::authorization::{Guarded, KEY};
use crate::client::{Answer, Legacy, get, http};

const METADATA: &str = "https://tasks.example.com/.well-known/oauth-protected-resource/mcp";

async fn ask(guarded: &Guarded, authorization: &[&str]) -> Answer {
    let mut headers = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "server/discover"),
    ];
    headers.extend(authorization.iter().map(|value| ("authorization", *value)));
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": { "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    } } });
    http(
        Method::POST,
        guarded.endpoint(),
        &headers,
        Some(message.to_string()),
    )
    .await
}

fn challenge(answer: &Answer) -> &str {
    let value = answer.headers.get("www-authenticate");
    value.map_or("", |value| value.to_str().unwrap())
}

/// A token as good as any but for a change.
fn changed(issuer: &Issuer, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = issuer.claims("alice", "");
    change(&mut claims);
    issuer.signer.sign(&claims)
}

fn with(issuer: &Issuer, claim: &str, value: Value) -> String {
    changed(issuer, |claims| claims[claim] = value)
}

fn without(issuer: &Issuer, claim: &str) -> String {
    changed(issuer, |claims| {
        claims.as_object_mut().unwrap().remove(claim);
    })
}

/// Tokens whose claims are no good, with why.
fn wrong_claims(issuer: &Issuer) -> Vec<(String, &'static str)> {
    let set = |claim, value| with(issuer, claim, value);
    vec![
        (set("exp", json!(now() - 60)), "has expired"),
        (set("nbf", json!(now() + 60)), "not valid yet"),
        (set("aud", json!("https://other.example")), "another server"),
        (set("aud", json!(format!("{RESOURCE}/"))), "another server"),
        (
            set("iss", json!("https://other.example")),
            "an issuer that is not known",
        ),
        (set("iss", json!([issuer.name])), "no iss"),
        (set("sub", json!("")), "no sub"),
        (without(issuer, "exp"), "no exp"),
        (without(issuer, "nbf"), "no nbf"),
        (without(issuer, "aud"), "no aud"),
        (without(issuer, "sub"), "no sub"),
        (without(issuer, "iss"), "no iss"),
    ]
}

/// Tokens that are not signed as they must be, with why.
fn wrong_signatures(issuer: &Issuer) -> Vec<(String, &'static str)> {
    let claims = issuer.claims("alice", "");
    let header = |algorithm| {
        let mut header = Header::new(algorithm);
        header.kid = Some("first".to_owned());
        header
    };
    // The public key as the secret of a symmetric algorithm.
    let public = issuer.signer.published().to_string();
    let secret = EncodingKey::from_secret(public.as_bytes()).unwrap();
    let symmetric = encode(&header(Algorithm::HS256), &claims, &secret).unwrap();
    let mut critical = header(Algorithm::ES256);
    critical.crit = Some(vec!["exp".to_owned()]);
    let critical = encode(&critical, &claims, &issuer.signer.key).unwrap();
    let good = issuer.token("alice", "");
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (_, body) = head.split_once('.').unwrap();
    // {"alg":"none","typ":"JWT"}
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.");
    let other = issuer.token("bob", "");
    let (_, of_other) = other.rsplit_once('.').unwrap();
    assert_ne!(signature, of_other);
    vec![
        (
            Signer::new("first").sign(&claims),
            "signature of the token does not fit",
        ),
        (symmetric, "an algorithm that its issuer may not use"),
        (unsigned, "neither a key nor a signed JWT"),
        (format!("{head}.{of_other}"), "does not fit"),
        (head.to_owned(), "neither a key nor a signed JWT"),
        (critical, "crit"),
        ("a".repeat(9000), "longer than 8 KiB"),
        ("tfk_unknown".to_owned(), "key is not known"),
    ]
}

#[tokio::test]
async fn good_tokens_and_keys_are_let_in_and_all_others_are_told_why_not() {
    let guarded = Guarded::start("[scopes]\ncall = ['run']", "", &[]).await;
    let issuer = &guarded.issuer;
    let in_list = with(issuer, "aud", json!(["https://other.example", RESOURCE]));
    let just_expired = with(issuer, "exp", json!(now() - 10));
    for good in [
        issuer.token("alice", ""),
        in_list,
        just_expired,
        KEY.to_owned(),
    ] {
        let answer = ask(&guarded, &[&format!("Bearer {good}")]).await;
        assert_eq!(answer.status, StatusCode::OK, "{good}: {}", answer.text);
    }
    let wrong = wrong_claims(issuer).into_iter();
    for (bad, why) in wrong.chain(wrong_signatures(issuer)) {
        let answer = ask(&guarded, &[&format!("Bearer {bad}")]).await;
        assert_eq!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{why}: {}",
            answer.text
        );
        assert!(answer.text.contains(why), "{why}: {}", answer.text);
        let challenge = challenge(&answer);
        let begin = format!("Bearer resource_metadata=\"{METADATA}\", error=\"invalid_token\"");
        assert!(challenge.starts_with(&begin), "{challenge}");
        assert!(
            challenge.contains(why) && challenge.ends_with("scope=\"run\""),
            "{challenge}"
        );
    }
}

#[tokio::test]
async fn a_credential_that_is_missing_or_cannot_be_read_is_told() {
    let guarded = Guarded::start("[scopes]\ncall = ['run']", "", &[]).await;
    for missing in [&[][..], &["Basic abc"]] {
        let answer = ask(&guarded, missing).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let expected = format!("Bearer resource_metadata=\"{METADATA}\", scope=\"run\"");
        assert_eq!(challenge(&answer), expected);
    }
    for malformed in [
        &["Bearer "][..],
        &["Bearer a\"b"],
        &["Bearer tfk_a", "Bearer tfk_b"],
    ] {
        let answer = ask(&guarded, malformed).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{malformed:?}");
        assert!(challenge(&answer).contains("error=\"invalid_request\""));
    }
    // A token in the address is none.
    let in_address = format!("{}?access_token={KEY}", guarded.endpoint());
    let answer = get(&in_address).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn whoever_is_not_known_is_refused_before_its_body_is_read() {
    let guarded = Guarded::start("", "", &[]).await;
    let address = guarded.replica.origin.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{{"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = connection.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}

#[tokio::test]
async fn clients_find_where_to_get_a_token_and_probes_need_none() {
    let scoped = "[[tool]]\nname = \"scoped\"\ndescription = \"d\"\ncommand = [\"true\"]\nscopes = [\"render\"]\ntask_scopes = [\"read\"]\n";
    let guarded = Guarded::start("[scopes]\ncall = ['run']", scoped, &[]).await;
    let origin = &guarded.replica.origin;
    for path in ["", "/mcp", "/mcp/"] {
        let found = get(&format!(
            "{origin}/.well-known/oauth-protected-resource{path}"
        ))
        .await;
        assert_eq!(found.status, StatusCode::OK, "{path}: {}", found.text);
        assert_eq!(
            found.body,
            json!({
                "resource": RESOURCE,
                "authorization_servers": [guarded.issuer.name],
                "bearer_methods_supported": ["header"],
                "scopes_supported": ["read", "render", "run"],
            })
        );
    }
    let elsewhere = get(&format!(
        "{origin}/.well-known/oauth-protected-resource/other"
    ))
    .await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
    for probe in ["healthz", "readyz"] {
        let answer = get(&format!("{origin}/{probe}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_caller_is_one_over_both_eras_and_is_told_of_its_tasks_alone() {
    let guarded = Guarded::start("", "", &[]).await;
    let [alice, bob] = ["alice", "bob"].map(|subject| guarded.issuer.token(subject, ""));
    let session = Legacy::open_by(guarded.endpoint(), &alice).await;
    let id = session
        .start("echo", json!({ "text": "mine" }), 60_000)
        .await;
    let again = guarded.issuer.token("alice", "any other");
    let task = guarded.modern(&again).until(&id, "completed").await;
    assert_eq!(task["result"]["content"][0]["text"], "mine");
    let list = |session: Legacy| async move {
        let listed = session.request("tasks/list", json!({})).await;
        listed.result()["tasks"].as_array().unwrap().len()
    };
    assert_eq!(list(session.clone()).await, 1);
    assert_eq!(
        list(Legacy::open_by(guarded.endpoint(), &bob).await).await,
        0
    );
    // What Redis has of a caller is a digest.
    let owner: String = redis::cmd("HGET")
        .arg(format!("tf:{{0}}:task:{id}"))
        .arg("owner")
        .query_async(&mut guarded.server.raw().await)
        .await
        .unwrap();
    assert!(owner.starts_with("u_") && owner.len() == 24, "{owner}");
}
