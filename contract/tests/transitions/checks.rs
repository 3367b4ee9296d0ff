//! `check_server`: which servers are refused, and what the refusal says; and what a server must allow.

use std::time::Duration;

use taskferry_contract::{Error, FinishReply, FrontEndId, RedisSettings, Role, Store};
use taskferry_testing::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::rig::{LEASE, Rig, SOON};
use crate::samples::asking;

async fn refusal(store: &Store) -> String {
    match store.check_server(Role::Worker, &[]).await.unwrap_err() {
        Error::Unsuitable(text) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_evicts_is_refused() {
    let mut rig = Rig::new().await;
    rig.store.check_server(Role::Worker, &[]).await.unwrap();
    for policy in ["allkeys-lru", "volatile-ttl"] {
        rig.raw::<()>("CONFIG", ("SET", "maxmemory-policy", policy))
            .await;
        let text = refusal(&rig.store).await;
        assert!(
            text.contains(policy) && text.contains("noeviction"),
            "{text}"
        );
    }
    rig.raw::<()>("CONFIG", ("SET", "maxmemory-policy", "noeviction"))
        .await;
    rig.store.check_server(Role::Worker, &[]).await.unwrap();
}

/// Answers INFO as a server of this version does, and everything else with OK.
async fn pretend(listener: TcpListener, version: &str) {
    let info = format!("# Server\r\nredis_version:{version}\r\nmaxmemory_policy:noeviction\r\n");
    let info = format!("${}\r\n{info}\r\n", info.len());
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 4096];
        while let Ok(read @ 1..) = socket.read(&mut buffer).await {
            let sent = String::from_utf8_lossy(&buffer[..read]).into_owned();
            let asked = sent.contains("$4\r\nINFO\r\n");
            let others = sent.matches('*').count() - usize::from(asked);
            let info = if asked { info.as_str() } else { "" };
            let reply = "+OK\r\n".repeat(others) + info;
            socket.write_all(reply.as_bytes()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused() {
    for (version, fits) in [
        ("6.2.14", false),
        ("7.0.0", true),
        ("nonsense", false),
        ("10.1", true),
    ] {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let store = Store::new(&RedisSettings::new(&format!("redis://127.0.0.1:{port}/"))).unwrap();
        let checked = async {
            if fits {
                // It is asked for more than this server can pretend.
                let checked = store.check_server(Role::Worker, &[]).await;
                assert!(!matches!(checked, Err(Error::Unsuitable(_))), "{checked:?}");
            } else {
                let text = refusal(&store).await;
                assert!(text.contains(version) && text.contains("7.0"), "{text}");
            }
        };
        tokio::select! {
            () = pretend(listener, version) => {}
            checked = tokio::time::timeout(Duration::from_secs(10), checked) => checked.unwrap(),
        }
    }
}

/// The rules that docs/REDIS.md gives for a user of its own.
const RULES: &str = "on >pw ~tf:* &tf:* +@all -@admin -@dangerous +info +client|unblock";

#[tokio::test]
async fn a_user_without_dangerous_commands_is_enough() {
    let mut rig = Rig::new().await;
    let mut user = vec!["SETUSER", "taskferry"];
    user.extend(RULES.split(' '));
    rig.raw::<()>("ACL", user).await;
    let url = rig.server.url().replace("://", "://taskferry:pw@");
    rig.uses(&Store::new(&RedisSettings::new(&url)).unwrap());
    rig.store.check_server(Role::Worker, &[]).await.unwrap();
    rig.store.ready().await.unwrap();
    rig.ensure_group().await;

    let hold = rig.running().await;
    let hold = rig.crash(&hold).await;
    rig.store.ask_input(&hold, &[asking("k")]).await.unwrap();
    rig.store.renew_lease(&hold, LEASE).await.unwrap();
    rig.retry(&hold).await;
    rig.store.forward(rig.stream(), 10).await.unwrap();
    let (hold, _) = rig.start().await;
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
    let page = rig.store.list_owned(&rig.owner, None, 10).await.unwrap();
    assert_eq!(page.tasks.len(), 1);
    rig.store.register_tools(&[rig.tool.clone()]).await.unwrap();
    assert_eq!(rig.store.tools().await.unwrap().len(), 1);
    let connection = rig.store.connections().blocking().await.unwrap();
    let unblock = rig.store.connections().unblock(connection.client_id());
    unblock.await.unwrap();
    let bell = rig.store.front_end_bell(&FrontEndId::random());
    let stop = CancellationToken::new();
    let heard = stop.clone();
    let listen = bell.listen(&stop, move |_| heard.cancel());
    tokio::time::timeout(SOON, listen)
        .await
        .expect("it may subscribe");
}

#[tokio::test]
async fn an_address_that_cannot_be_read_is_refused_at_once() {
    assert!(Store::new(&RedisSettings::new("http://127.0.0.1:1")).is_err());
}
