//! What becomes of what is open when a token or a key ends, and how keys change.

use std::time::Duration;

use serde_json::json;
use taskferry_client::StatusCode;
use taskferry_testing::eventually;

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
        let end = async { while stream.next_or_end().await.is_some() {} };
        let ended = tokio::time::timeout(SOON, end).await;
        assert!(ended.is_ok(), "the stream goes on: {what}");
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
    let end = async { while stream.next_or_end().await.is_some() {} };
    tokio::time::timeout(SOON, end).await.unwrap();
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
    let without = format!(
        "resource = '{RESOURCE}'\n{}",
        key_entry("other", "tfk_other")
    );
    std::fs::write(&guarded.file, without).unwrap();
    eventually(SOON, "a key is taken away", async || {
        !is_let_in(&guarded, KEY).await
    })
    .await;
    assert!(!is_let_in(&guarded, &token).await);
    assert!(is_let_in(&guarded, "tfk_other").await);
    let end = async { while stream.next_or_end().await.is_some() {} };
    tokio::time::timeout(SOON, end).await.unwrap();
}
