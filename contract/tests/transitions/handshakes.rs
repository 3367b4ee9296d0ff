//! Connections that Redis refuses: the cause is told, and they are had again soon after it has gone.

use std::collections::BTreeSet;
use std::time::Duration;

use taskferry_contract::{Error, Outcome, RedisSettings, Store};
use taskferry_testing::{TestServer, eventually};

use crate::rig::Rig;

/// How soon calls must succeed again: the doorbell's five seconds must not be what helps.
const SOON: Duration = Duration::from_secs(4);
const USER: &str = "app";

async fn acl(rig: &mut Rig, rules: &[&str]) {
    rig.raw::<String>("ACL", (&["SETUSER", USER][..], rules))
        .await;
}

async fn hang_up(rig: &mut Rig) {
    rig.raw::<i64>("CLIENT", ("KILL", "USER", USER)).await;
}

/// A store as a user of its own, and with another database than the first.
async fn as_user(rig: &mut Rig) -> Store {
    acl(rig, &["on", ">one", "~*", "&*", "+@all"]).await;
    let url = format!("redis://{USER}:one@127.0.0.1:{}/3", rig.server.port());
    let store = Store::new(&RedisSettings::new(&url)).unwrap();
    store.ready().await.unwrap();
    store
}

/// The error of a call once the wire was cut: the first may tell of that alone.
async fn refusal(store: &Store) -> Error {
    let mut told = None;
    eventually(SOON, "the connection is refused", async || {
        told = store.now_ms().await.err();
        matches!(told, Some(Error::Refused { .. }))
    })
    .await;
    told.unwrap()
}

async fn heals(store: &Store) {
    eventually(SOON, "it is let in again", async || {
        let several = [(); 3].map(|()| Box::pin(store.ready()));
        let outcomes = futures_util::future::join_all(several).await;
        outcomes.iter().all(Result::is_ok)
    })
    .await;
    store.connections().blocking().await.unwrap();
}

#[tokio::test]
async fn a_password_that_was_wrong_for_a_while_is_tried_again() {
    let mut rig = Rig::new().await;
    let store = as_user(&mut rig).await;
    acl(&mut rig, &["resetpass", ">two"]).await;
    hang_up(&mut rig).await;
    let error = refusal(&store).await;
    assert!(error.to_string().contains("AUTH: WRONGPASS"), "{error}");
    assert!(error.may_pass() && !error.is_transient(), "{error:?}");
    let exclusive = store.connections().blocking().await.unwrap_err();
    assert!(exclusive.may_pass(), "{exclusive:?}");
    acl(&mut rig, &["resetpass", ">one"]).await;
    heals(&store).await;
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_database_that_the_user_may_not_select_for_a_while_is_tried_again() {
    let mut rig = Rig::new().await;
    let store = as_user(&mut rig).await;
    acl(&mut rig, &["-select"]).await;
    hang_up(&mut rig).await;
    let error = refusal(&store).await;
    assert!(error.to_string().contains("SELECT: NOPERM"), "{error}");
    assert!(error.may_pass(), "{error:?}");
    acl(&mut rig, &["+select"]).await;
    heals(&store).await;
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_server_that_takes_no_more_clients_is_tried_again() {
    for path in ["0", "3"] {
        let mut rig = Rig::new().await;
        rig.raw::<String>("CONFIG", ("SET", "maxclients", "1"))
            .await;
        let url = format!("redis://127.0.0.1:{}/{path}", rig.server.port());
        let store = Store::new(&RedisSettings::new(&url)).unwrap();
        let error = refusal(&store).await;
        assert!(
            error.to_string().contains("max number of clients"),
            "{error}"
        );
        assert!(
            error.is_transient(),
            "it says nothing of this client: {error:?}"
        );
        rig.raw::<String>("CONFIG", ("SET", "maxclients", "1000"))
            .await;
        heals(&store).await;
        rig.leaves_jobs();
    }
}

#[tokio::test]
async fn a_password_that_is_lacking_and_a_database_that_is_not_there_are_told() {
    let server = TestServer::start().await;
    let mut raw = server.raw().await;
    let mut set = redis::cmd("CONFIG");
    set.arg(&["SET", "requirepass", "secret"]);
    set.query_async::<String>(&mut raw).await.unwrap();
    for (place, told) in [
        ("127.0.0.1", "NOAUTH"),
        (":wrong@127.0.0.1", "AUTH: WRONGPASS"),
    ] {
        let url = format!("redis://{place}:{}/0", server.port());
        let store = Store::new(&RedisSettings::new(&url)).unwrap();
        let error = store.now_ms().await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        assert!(!error.is_transient(), "{error:?}");
    }
    let url = format!("redis://:secret@127.0.0.1:{}/99", server.port());
    let store = Store::new(&RedisSettings::new(&url)).unwrap();
    let error = store.now_ms().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("SELECT: ERR DB index is out of range"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_takes_no_further_client_keeps_those_that_it_has() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let large = Outcome::Completed {
        result: format!(r#"{{"text":"{}"}}"#, "x".repeat(100 << 10)),
        is_error: false,
        message: None,
    };
    rig.store.finish(&hold, &large).await.unwrap();
    let id = hold.claimed.id;
    let store = Store::new(&RedisSettings::new(&rig.server.url())).unwrap();
    store.view(id).await.unwrap();
    let shared = clients(&mut rig).await;
    rig.raw::<String>("CONFIG", ("SET", "maxclients", "1"))
        .await;
    for _ in 0..3 {
        for error in [
            store.view_with_outcome(id).await.err(),
            store.connections().blocking().await.err(),
        ] {
            let error = error.expect("there is no connection for it");
            assert!(error.is_transient(), "{error:?}");
        }
        store.view(id).await.unwrap();
    }
    assert_eq!(clients(&mut rig).await, shared, "the shared one is kept");
    rig.raw::<String>("CONFIG", ("SET", "maxclients", "1000"))
        .await;
    store.view_with_outcome(id).await.unwrap().unwrap();
}

/// The ids of all connections to the server.
async fn clients(rig: &mut Rig) -> BTreeSet<String> {
    let list: String = rig.raw("CLIENT", "LIST").await;
    let ids = list
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("id="));
    ids.map(ToOwned::to_owned).collect()
}
