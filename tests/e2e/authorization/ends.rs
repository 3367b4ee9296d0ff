//! What becomes of what is open when a token or a key ends, and how keys change.

use std::time::Duration;

use serde_json::json;
use taskferry_client::StatusCode;
use taskferry_testing::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::authorization::issuer::{RESOURCE, Signer, now};
use crate::authorization::{Guarded, KEY, SOON, access_file, key_entry};
use crate::client::{Legacy, Modern};
use crate::stream::Stream;

/// A token that ends so many seconds from now, leeway and all.
fn ends_in(guarded: &Guarded, seconds: u64) -> String {
    let mut claims = guarded.issuer.claims("alice", "");
    claims["exp"] = json!(now() + seconds - 30);
    guarded.issuer.signer.sign(&claims)
}

/// Reads a stream until it ends, which must be soon.
async fn until_its_end(stream: &mut Stream, what: &str) {
    let end = async { while stream.next_or_end().await.is_some() {} };
    let ended = tokio::time::timeout(SOON, end).await;
    assert!(ended.is_ok(), "the stream goes on: {what}");
}

/// Takes all out of the access file but the key `tfk_other`.
async fn leave_one_key(guarded: &Guarded) {
    let other = key_entry("other", "tfk_other");
    let one = format!("resource = '{RESOURCE}'\n{other}");
    std::fs::write(&guarded.file, one).unwrap();
    eventually(SOON, "a key is taken away", async || {
        !is_let_in(guarded, KEY).await
    })
    .await;
}

async fn is_let_in(guarded: &Guarded, credential: &str) -> bool {
    let client = guarded.modern(credential);
    let answer = client.request("tools/list", json!({})).await;
    answer.status == StatusCode::OK
}

#[tokio::test]
async fn what_waits_when_a_token_ends_is_not_lost() {
    let guarded = Guarded::start(
        "",
        "",
        &["--stream-after", "100ms", "--handle-after", "off"],
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let paced = json!({ "name": "paced", "arguments": { "folder": folder.path() } });
    let short = ends_in(&guarded, 4);
    let legacy = Legacy::open_by(guarded.endpoint(), &short).await;
    let task = legacy
        .start("paced", paced["arguments"].clone(), 60_000)
        .await;
    let mut own_stream = Stream::get(&legacy).await;
    let mut call = Stream::post(&legacy, 7, "tools/call", paced.clone()).await;
    let listen = json!({ "notifications": { "taskIds": [task] } });
    let mut followed = Stream::of(
        guarded
            .modern(&short)
            .open("subscriptions/listen", listen)
            .await,
    );
    let without = Modern::with(guarded.endpoint(), json!({})).by(Some(&short));
    let plain = without.call("nap", json!({ "seconds": 60, "folder": folder.path() }));
    let plain = tokio::time::timeout(SOON, plain).await.unwrap();
    // A call of a client that could not come back for it is given up, and says so.
    assert!(plain.text.contains("token or key ended"), "{}", plain.text);
    for (what, stream) in [
        ("own", &mut own_stream),
        ("followed", &mut followed),
        ("call", &mut call),
    ] {
        until_its_end(stream, what).await;
    }
    assert!(!is_let_in(&guarded, &short).await);

    // With a new token all of it goes on.
    let token = guarded.issuer.token("alice", "");
    let legacy = legacy.by(Some(&token));
    let mut again = Stream::resume(&legacy, &call.last_id()).await;
    (1..=4).for_each(|step| std::fs::write(folder.path().join(step.to_string()), "").unwrap());
    assert_eq!(again.until("result").await["id"], 7);
    guarded.modern(&token).until(&task, "completed").await;
}

#[tokio::test]
async fn keys_of_an_issuer_change_and_one_that_is_not_known_is_asked_for_now_and_then() {
    let guarded = Guarded::start("", "", &[]).await;
    let issuer = &guarded.issuer;
    let old = issuer.token("alice", "");
    assert!(is_let_in(&guarded, &old).await);
    let session = Legacy::open_by(guarded.endpoint(), &old).await;
    let mut stream = Stream::get(&session).await;

    // Tokens with keys that nobody has cost the issuer one read in a while.
    let reads = issuer.reads();
    for attempt in 0..20 {
        let made_up = Signer::new(&format!("made up {attempt}"));
        let token = made_up.sign(&issuer.claims("mallory", ""));
        assert!(!is_let_in(&guarded, &token).await);
    }
    assert!(
        issuer.reads() <= reads + 1,
        "{} reads",
        issuer.reads() - reads
    );

    let next = Signer::new("second");
    issuer.publish(&[&next]);
    let new = next.sign(&issuer.claims("alice", ""));
    eventually(SOON, "the new key is known", async || {
        is_let_in(&guarded, &new).await
    })
    .await;
    assert!(!is_let_in(&guarded, &old).await);
    // What was opened by the old one ends, and goes on by the new one.
    until_its_end(&mut stream, "that of the old key").await;
    let session = session.by(Some(&new));
    let listed = session.request("tools/list", json!({})).await;
    assert_eq!(listed.status, StatusCode::OK);
}

#[tokio::test]
async fn the_access_file_is_read_again_and_a_wrong_one_changes_nothing() {
    let guarded = Guarded::start("", "", &[]).await;
    let session = Legacy::open_by(guarded.endpoint(), KEY).await;
    let mut stream = Stream::get(&session).await;
    std::fs::write(&guarded.file, "resource = 7").unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(is_let_in(&guarded, KEY).await);

    // Another key, whose scopes count from now on.
    let one = access_file(&guarded.issuer, &key_entry("other", "tfk_other"));
    std::fs::write(&guarded.file, one).unwrap();
    eventually(SOON, "a key is added", async || {
        is_let_in(&guarded, "tfk_other").await
    })
    .await;
    assert!(is_let_in(&guarded, KEY).await);

    let token = guarded.issuer.token("alice", "");
    assert!(is_let_in(&guarded, &token).await);
    leave_one_key(&guarded).await;
    assert!(!is_let_in(&guarded, &token).await);
    assert!(is_let_in(&guarded, "tfk_other").await);
    until_its_end(&mut stream, "that of the key").await;
}

/// A POST of a message whose last byte is missing.
async fn unfinished(guarded: &Guarded, credential: &str) -> (TcpStream, u8) {
    let address = guarded.replica.origin.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
    let (last, rest) = body.as_bytes().split_last().unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {credential}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(rest).await.unwrap();
    (connection, *last)
}

#[tokio::test]
async fn a_body_that_comes_after_the_end_of_its_key_begins_nothing() {
    let guarded = Guarded::start("", "", &[]).await;
    let (mut connection, last) = unfinished(&guarded, KEY).await;
    leave_one_key(&guarded).await;
    connection.write_all(&[last]).await.unwrap();
    let mut answer = [0; 12];
    let read = connection.read_exact(&mut answer);
    tokio::time::timeout(SOON, read).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}

#[tokio::test]
async fn an_issuer_that_is_bound_closer_or_has_no_keys_has_none_of_its_streams_left() {
    let guarded = Guarded::start("", "", &[]).await;
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let token = guarded.issuer.token("alice", "");
    let open = async || {
        Stream::of(
            guarded
                .modern(&token)
                .open("subscriptions/listen", listen.clone())
                .await,
        )
    };
    let mut stream = open().await;
    let text = std::fs::read_to_string(&guarded.file).unwrap();
    let closer = text.replace("['ES256']", "['ES384']");
    std::fs::write(&guarded.file, closer).unwrap();
    until_its_end(&mut stream, "that of its token").await;
    assert!(!is_let_in(&guarded, &token).await);
    std::fs::write(&guarded.file, text).unwrap();
    eventually(SOON, "the issuer is as before", async || {
        is_let_in(&guarded, &token).await
    })
    .await;

    // It withdraws its key: whoever asks for another learns of that.
    let mut stream = open().await;
    guarded.issuer.publish(&[]);
    let made_up = Signer::new("made up").sign(&guarded.issuer.claims("mallory", ""));
    eventually(SOON, "the key is known to be gone", async || {
        is_let_in(&guarded, &made_up).await;
        !is_let_in(&guarded, &token).await
    })
    .await;
    until_its_end(&mut stream, "that of its token").await;
}

#[tokio::test]
async fn an_issuer_that_is_taken_away_while_its_keys_are_read_lets_nobody_in() {
    let guarded = Guarded::start("", "", &[]).await;
    let next = Signer::new("second");
    guarded.issuer.publish(&[&next]);
    guarded.issuer.answer_after(Duration::from_millis(3500));
    let token = next.sign(&guarded.issuer.claims("alice", ""));
    // Past the pause between two reads.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let client = guarded.modern(&token);
    let waits = async { client.request("tools/list", json!({})).await.status };
    let taken = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let without = format!("resource = '{RESOURCE}'\n{}", key_entry("tests", KEY));
        std::fs::write(&guarded.file, without).unwrap();
    };
    let (status, ()) = tokio::join!(waits, taken);
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_file_that_could_not_be_used_is_tried_again() {
    let guarded = Guarded::start("", "", &[]).await;
    let ca_file = guarded.file.with_file_name("ca.pem");
    let entry = guarded
        .issuer
        .entry()
        .replace("algorithms", "ca_file = 'ca.pem'\nalgorithms");
    let text = format!(
        "resource = '{RESOURCE}'\n{entry}{}",
        key_entry("other", "tfk_other")
    );
    std::fs::write(&guarded.file, text).unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(is_let_in(&guarded, KEY).await);
    std::fs::write(ca_file, "").unwrap();
    eventually(SOON, "the file is used", async || {
        is_let_in(&guarded, "tfk_other").await
    })
    .await;
    assert!(!is_let_in(&guarded, KEY).await);
}
