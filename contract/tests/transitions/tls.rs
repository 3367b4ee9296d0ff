//! Redis over TLS: with everything that a store does, and what it fails of.

use std::process::Command;

use redis::Value;
use taskferry_contract::{Login, Password, RedisSettings, Shards, Store, TlsFiles};
use taskferry_testing::{
    Authority, Certificate, Process, ServerOptions, TestServer, eventually, free_port,
    server_speaks_tls,
};

use crate::rig::{Rig, SOON};
use crate::rings::Listener;
use crate::samples::patient;

const HERE: &str = "127.0.0.1";

/// How a Redis that speaks TLS on `port`, too, is started.
fn options(authority: &Authority, own: &Certificate, port: u16, clients: &str) -> ServerOptions {
    ServerOptions {
        arguments: authority.redis_arguments(own, port, clients),
        ..ServerOptions::default()
    }
}

/// Settings for TLS, with what `authority` vouches for.
fn settings(port: u16, authority: &Authority, own: Option<&Certificate>) -> RedisSettings {
    let mut settings = patient(&format!("rediss://{HERE}:{port}/0"));
    settings.access.tls = TlsFiles {
        ca: Some(authority.ca()),
        cert: own.map(|own| own.cert.clone()),
        key: own.map(|own| own.key.clone()),
    };
    settings
}

#[tokio::test]
async fn all_connections_speak_tls_and_show_their_certificate() {
    if !server_speaks_tls() {
        return;
    }
    let authority = Authority::default();
    let (port, theirs) = (free_port(), authority.issue(&[HERE]));
    let options = options(&authority, &theirs, port, "yes");
    let mut rig = Rig::on(options, Shards::default()).await;
    let own = authority.issue(&["worker"]);
    let store = Store::new(&settings(port, &authority, Some(&own))).unwrap();
    rig.uses(&store);

    let hold = rig.running().await;
    let _listener = Listener::at(rig.store.front_end_bell(&"f1".parse().unwrap())).await;
    let place = format!("laddr={HERE}:{port} ");
    eventually(
        SOON,
        "what is shared, exclusive and subscribed is there",
        async || {
            let list: String = rig.raw("CLIENT", "LIST").await;
            let (tls, plain): (Vec<&str>, Vec<&str>) =
                list.lines().partition(|line| line.contains(&place));
            // The test's own has none.
            let alone = plain.len() == 1;
            alone && tls.len() >= 3 && tls.iter().any(|line| line.contains("cmd=subscribe"))
        },
    )
    .await;
    rig.finish(&hold).await;
}

/// What a store with these settings fails of, in one sentence.
async fn told(settings: &RedisSettings) -> String {
    let error = Store::new(settings).unwrap().now_ms().await.unwrap_err();
    let sentence = error.sentence();
    assert!(!sentence.contains('\n'), "{sentence}");
    assert!(error.may_pass(), "{error:?}");
    sentence
}

#[tokio::test]
async fn what_tls_fails_of_is_told_in_one_sentence() {
    if !server_speaks_tls() {
        return;
    }
    let (authority, other) = (Authority::default(), Authority::default());
    let own = authority.issue(&["worker"]);
    let start = async |theirs: &Certificate| {
        let port = free_port();
        let options = options(&authority, theirs, port, "yes");
        (TestServer::start_with(options).await, port)
    };
    let (server, port) = start(&authority.issue(&[HERE])).await;
    let (_expired, expired) = start(&authority.issue_expired(&[HERE])).await;
    let (_named, named) = start(&authority.issue(&["redis.test"])).await;
    let known = |port| settings(port, &authority, Some(&own));
    let mut untrusted = known(port);
    untrusted.access.tls.ca = Some(other.ca());
    let mut by_system = known(port);
    by_system.access.tls.ca = None;
    let stranger = settings(port, &authority, Some(&other.issue(&["worker"])));
    let plain = RedisSettings::new(&format!("redis://{HERE}:{port}/0"));
    for (settings, parts) in [
        (untrusted, ["nobody who is trusted", "redis_ca_file"]),
        (by_system, ["nobody who is trusted", "redis_ca_file"]),
        (known(expired), ["has expired", "renew"]),
        (known(named), ["redis.test", "not for 127.0.0.1"]),
        (
            settings(port, &authority, None),
            ["without a certificate", "redis_cert_file"],
        ),
        (stranger, ["does not accept", "redis_cert_file"]),
        (known(server.port()), ["TLS", "redis_url"]),
        (plain, ["a port with TLS", "rediss"]),
    ] {
        let told = told(&settings).await;
        for part in parts {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    let store = Store::new(&known(port)).unwrap();
    store.now_ms().await.unwrap();
    let error = Store::new(&known(expired)).unwrap().now_ms().await;
    let error = error.unwrap_err();
    assert!(!error.is_transient(), "somebody must renew it: {error:?}");
}

#[tokio::test]
async fn a_new_password_in_the_file_is_found_once_the_old_one_is_refused() {
    if !server_speaks_tls() {
        return;
    }
    let mut rig = Rig::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "one\n").unwrap();
    let user = ["SETUSER", "app", "on", ">one", "~*", "&*", "+@all"];
    rig.raw::<String>("ACL", &user[..]).await;
    let mut settings = patient(&rig.server.url());
    settings.access.login = Login {
        username: Some("app".to_owned()),
        password: Some(Password::InFile(file.clone())),
    };
    let store = Store::new(&settings).unwrap();
    store.now_ms().await.unwrap();
    let _exclusive = store.connections().blocking().await.unwrap();

    rig.raw::<String>("ACL", &["SETUSER", "app", "resetpass", ">two"][..])
        .await;
    std::fs::write(&file, "two").unwrap();
    rig.raw::<i64>("CLIENT", &["KILL", "USER", "app"][..]).await;
    eventually(SOON, "it is let in with the new one", async || {
        store.now_ms().await.is_ok() && store.connections().blocking().await.is_ok()
    })
    .await;
    std::fs::remove_file(&file).unwrap();
    store.now_ms().await.unwrap();
    let error = Store::new(&settings).unwrap().now_ms().await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("redis_password_file: "), "{error}");
}

/// A sentinel that speaks TLS alone, and asks for a password.
fn sentinel(authority: &Authority, own: &Certificate, primary: u16) -> (Process, u16) {
    let (port, folder) = (free_port(), own.cert.parent().unwrap());
    let arguments = authority.redis_arguments(own, port, "no");
    let mut lines: Vec<String> = arguments
        .chunks(2)
        .map(|pair| format!("{} {}", pair[0].trim_start_matches("--"), pair[1]))
        .collect();
    lines.extend([
        "port 0".to_owned(),
        "tls-replication yes".to_owned(),
        format!("bind {HERE}"),
        "requirepass two".to_owned(),
        format!("sentinel monitor main {HERE} {primary} 1"),
        "sentinel auth-pass main one".to_owned(),
    ]);
    let path = folder.join("sentinel.conf");
    std::fs::write(&path, lines.join("\n")).unwrap();
    let mut command = Command::new("redis-server");
    command.arg(&path).arg("--sentinel").current_dir(folder);
    (Process::start("sentinel", command), port)
}

#[tokio::test]
async fn sentinels_are_asked_over_tls_with_a_password_of_their_own() {
    if !server_speaks_tls() {
        return;
    }
    let authority = Authority::default();
    let (port, own) = (free_port(), authority.issue(&[HERE]));
    let options = options(&authority, &own, port, "no");
    let server = TestServer::start_with(options).await;
    let mut require = redis::cmd("CONFIG");
    require.arg(&["SET", "requirepass", "one"]);
    let mut raw = server.raw().await;
    require.query_async::<Value>(&mut raw).await.unwrap();
    let (_sentinel, place) = sentinel(&authority, &own, port);
    let mut settings = patient(&format!("rediss+sentinel://:one@{HERE}:{place}/main/0"));
    settings.access.tls.ca = Some(authority.ca());
    let store = |settings: &RedisSettings| Store::new(settings).unwrap();

    eventually(SOON, "the sentinel says who it wants", async || {
        let error = store(&settings).now_ms().await.unwrap_err();
        error.to_string().contains("NOAUTH")
    })
    .await;
    settings.access.sentinel_login.password = Some(Password::Given("one".into()));
    let error = store(&settings).now_ms().await.unwrap_err().to_string();
    assert!(error.contains("WRONGPASS"), "{error}");
    settings.access.sentinel_login.password = Some(Password::Given("two".into()));
    store(&settings).now_ms().await.unwrap();
}
