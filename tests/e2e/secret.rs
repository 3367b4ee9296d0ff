//! The secret of the front ends is rotated: all of them learn of it, and no call that is under way breaks, unless it leaked.

use serde_json::{Value, json};
use taskferry_client::TASKS;
use taskferry_testing::{TestServer, command, eventually};

use crate::client::Modern;
use crate::fleet::Replica;
use crate::tools::define;

const SOON: std::time::Duration = std::time::Duration::from_secs(15);

/// Runs the command, as an operator does.
fn rotate(redis: &TestServer, more: &[&str]) {
    let mut command = command("taskferry");
    command.args(["secret", "rotate", "--redis-url", &redis.url()]);
    let told = command.args(more).output().unwrap();
    assert!(told.status.success(), "{told:?}");
}

fn at(replica: &Replica) -> Modern {
    let capabilities = json!({ "elicitation": {}, "extensions": { TASKS: {} } });
    Modern::with(&replica.endpoint, capabilities)
}

/// What a client is to bring back with its answer.
async fn state(replica: &Replica) -> Value {
    let asked = at(replica).call("asks", json!({})).await;
    let state = asked.result()["requestState"].clone();
    assert!(state.is_string(), "{}", asked.text);
    state
}

/// Whether a front end takes it.
async fn takes(replica: &Replica, state: &Value) -> bool {
    let params = json!({ "name": "asks", "arguments": {}, "requestState": state });
    let answer = at(replica).request("tools/call", params).await;
    answer.body["result"]["resultType"] == "input_required"
}

#[tokio::test]
async fn all_front_ends_learn_of_a_new_secret_and_take_what_the_one_before_signed() {
    let redis = TestServer::start().await;
    let replicas = [
        Replica::start(&redis.url(), &[]).await,
        Replica::start(&redis.url(), &[]).await,
    ];
    let schema = json!({ "type": "object", "properties": { "word": { "type": "string" } } });
    let ask = json!({ "message": "Which?", "requestedSchema": schema });
    let first = json!([{ "key": "word", "method": "elicitation/create", "params": ask }]);
    let tool = json!({ "name": "asks", "input_schema": { "type": "object" }, "ask_first": first });
    define(&redis, &tool).await;
    for replica in &replicas {
        replica.lists("asks").await;
    }
    let [here, elsewhere] = &replicas;
    let old = state(here).await;
    assert!(takes(elsewhere, &old).await);
    rotate(&redis, &[]);
    let new = state(elsewhere).await;
    for replica in &replicas {
        assert!(takes(replica, &old).await && takes(replica, &new).await);
    }
    rotate(&redis, &["--now"]);
    for replica in &replicas {
        eventually(SOON, "it takes neither", async || {
            !takes(replica, &old).await && !takes(replica, &new).await
        })
        .await;
        assert!(takes(replica, &state(here).await).await);
    }
}
