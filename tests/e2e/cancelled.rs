//! Clients that take back a plain call: with `notifications/cancelled`, by way of any replica, or by leaving.

use std::time::Duration;

use serde_json::{Value, json};
use taskferry_testing::eventually;
use tempfile::TempDir;

use crate::client::Legacy;
use crate::crowd::Client;
use crate::fleet::Fleet;
use crate::stream::Stream;

const SOON: Duration = Duration::from_secs(20);

async fn fleet() -> Fleet {
    Fleet::start_with(&["--stream-after", "100ms"], &[]).await
}

/// The params of a long call, whose command says in a folder that it runs.
fn nap(folder: &TempDir) -> Value {
    json!({ "name": "nap", "arguments": { "seconds": 60, "folder": folder.path() } })
}

async fn ends_cancelled(stream: &mut Stream) {
    let end = stream.next().await;
    let message = end["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("cancelled"), "{end:#}");
}

#[tokio::test]
async fn a_legacy_client_cancels_a_plain_call_on_any_replica() {
    let fleet = fleet().await;
    let here = Legacy::open(&fleet.replicas[0].endpoint).await;
    let folder = tempfile::tempdir().unwrap();
    let mut stream = Stream::post(&here, 42, "tools/call", nap(&folder)).await;
    let started = folder.path().join("1");
    eventually(SOON, "the command runs", async || started.exists()).await;
    here.at(&fleet.replicas[1].endpoint).cancel(42).await;
    ends_cancelled(&mut stream).await;
    fleet.check_idle().await;
}

#[tokio::test]
async fn a_cancellation_that_overtakes_its_call_still_cancels_it() {
    let fleet = fleet().await;
    let here = Legacy::open(&fleet.replicas[0].endpoint).await;
    here.at(&fleet.replicas[1].endpoint).cancel(1).await;
    let folder = tempfile::tempdir().unwrap();
    let first = here.request("tools/call", nap(&folder)).await;
    assert!(first.message().contains("cancelled"), "{}", first.text);
    let mut second = Stream::post(&here, 2, "tools/call", nap(&folder)).await;
    let started = folder.path().join("1");
    eventually(SOON, "the next call runs", async || started.exists()).await;
    here.cancel(2).await;
    ends_cancelled(&mut second).await;
    fleet.check_idle().await;
}

/// A call is in Redis for a moment before its replica waits for it: whoever leaves then must be missed too.
#[tokio::test]
async fn a_client_that_leaves_while_its_call_is_being_queued_is_missed() {
    let fleet = fleet().await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = &nap(&folder)["arguments"];
    for n in 0..400 {
        let endpoint = &fleet.replicas[n % 2].endpoint;
        let client = Client::call(endpoint, "nap", arguments.clone()).await;
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..4000))).await;
        drop(client);
    }
    fleet.check_idle().await;
}
