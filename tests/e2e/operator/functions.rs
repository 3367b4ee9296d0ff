//! The library of functions for workers in other languages: on the command line, and at the start of a front end.

use serde_json::Value;
use taskferry_contract::CONTRACT_VERSION;
use taskferry_testing::redis;
use taskferry_testing::{ServerOptions, TestServer, eventually};

use super::{SOON, raw, taskferry};
use crate::fleet::Replica;

#[tokio::test]
async fn what_is_printed_is_what_redis_loads() {
    let redis = TestServer::start().await;
    // It needs no Redis.
    let nowhere = "redis://127.0.0.1:1/0";
    let printed = taskferry(nowhere, &["contract", "print"]).await;
    assert_eq!(printed.code, 0, "{}", printed.err);
    let name: String = raw(&redis, &["FUNCTION", "LOAD", &printed.out]).await;
    assert_eq!(name, "taskferry_3");

    let printed = taskferry(nowhere, &["contract", "print", "--eval"]).await;
    let printed: Value = serde_json::from_str(&printed.out).unwrap();
    assert_eq!(printed["library"], "taskferry_3");
    let scripts = printed["scripts"].as_array().unwrap();
    for script in scripts {
        let source = script["source"].as_str().unwrap();
        let sha1: String = raw(&redis, &["SCRIPT", "LOAD", source]).await;
        assert_eq!(script["sha1"], sha1, "{}", script["name"]);
        for described in ["keys", "argv", "replies", "summary"] {
            assert!(script[described].is_string(), "{described} of {script}");
        }
    }
    let claim = scripts.iter().find(|script| script["name"] == "claim");
    let claim = claim.unwrap();
    assert_eq!(claim["function"], "tf3_claim");
    assert_eq!(claim["keys"], "record, queue");
}

#[tokio::test]
async fn it_is_installed_by_an_operator_and_doctor_sees_it() {
    let redis = TestServer::start().await;
    let url = redis.url();
    let line = async || {
        let told = taskferry(&url, &["doctor"]).await.out;
        let at = told.find("functions").unwrap();
        told[at..].to_owned()
    };
    assert!(line().await.contains("taskferry contract install"));
    let install = &["contract", "install"][..];
    for said in ["installed taskferry_3", "taskferry_3 is there already"] {
        let told = taskferry(&url, install).await;
        assert_eq!(told.code, 0, "{}", told.err);
        assert!(told.out.starts_with(said), "{}", told.out);
    }
    assert!(line().await.contains("taskferry_3 is of this release"));

    raw::<String>(&redis, &["FUNCTION", "FLUSH"]).await;
    let other = "#!lua name=other\nredis.register_function('tf3_claim', function() return 1 end)";
    raw::<String>(&redis, &["FUNCTION", "LOAD", other]).await;
    let told = taskferry(&url, install).await;
    assert_eq!(told.code, 1);
    assert!(
        told.err.contains("redis-cli FUNCTION DELETE other"),
        "{}",
        told.err
    );
}

#[tokio::test]
async fn a_front_end_installs_it_if_it_may() {
    let redis = TestServer::start().await;
    let mut replica = Replica::start_unready(&redis.url(), &[]).await;
    let installed = "the library of functions taskferry_3 is installed";
    replica.process.wait_for_line(SOON, installed).await;
    let version: Vec<String> = raw(&redis, &["FCALL", "tf3_version", "0"]).await;
    assert_eq!(
        version[..2],
        ["OK".to_owned(), CONTRACT_VERSION.to_string()]
    );

    // As with a server that has no functions.
    let old = TestServer::start_with(ServerOptions {
        arguments: ["--rename-command", "FUNCTION", ""]
            .map(str::to_owned)
            .to_vec(),
        ..ServerOptions::default()
    })
    .await;
    let mut replica = Replica::start_unready(&old.url(), &[]).await;
    let not = "is not installed, since this Redis has none";
    replica.process.wait_for_line(SOON, not).await;
    replica.ready().await;
    let told = taskferry(&old.url(), &["contract", "install"]).await;
    assert_eq!(told.code, 1);
    assert!(
        told.err.contains("taskferry contract print --eval"),
        "{}",
        told.err
    );

    raw::<String>(&redis, &["FUNCTION", "FLUSH"]).await;
    raw::<String>(&redis, &["ACL", "SETUSER", "default", "-function|load"]).await;
    let mut replica = Replica::start_unready(&redis.url(), &[]).await;
    let not = "this user may not run FUNCTION LOAD";
    replica.process.wait_for_line(SOON, not).await;
    replica.ready().await;
    let told = taskferry(&redis.url(), &["contract", "install"]).await;
    assert_eq!(told.code, 1);
    assert!(told.err.contains("ACL SETUSER"), "{}", told.err);
}

#[tokio::test]
async fn a_redis_that_lost_its_data_has_it_again_at_once() {
    let mut redis = TestServer::start().await;
    let mut replica = Replica::start_unready(&redis.url(), &[]).await;
    let installed = "the library of functions taskferry_3 is installed";
    replica.process.wait_for_line(SOON, installed).await;
    redis.kill9();
    redis.restart().await;
    // Without a new connection it would take a minute.
    eventually(SOON, "the library is there again", async || {
        let mut connection = redis.raw().await;
        let listed = redis::cmd("FUNCTION")
            .arg("LIST")
            .query_async::<redis::Value>(&mut connection)
            .await;
        listed.is_ok_and(|found| format!("{found:?}").contains("taskferry_3"))
    })
    .await;
}
