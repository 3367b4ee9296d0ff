//! `report_log` and `set_session_level`: lines for the client that wants them.

use std::time::Duration;

use taskferry_contract::{LogLevel, Owner, Refused, Session, SessionId};

use crate::rig::Rig;

fn line(level: LogLevel, text: &str) -> (LogLevel, String) {
    (level, text.to_owned())
}

#[tokio::test]
async fn lines_are_read_back_in_order_from_any_place() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    let first = [
        line(LogLevel::Info, "one"),
        line(LogLevel::Error, "two\nlines"),
    ];
    assert_eq!(rig.store.report_log(&hold, &first).await.unwrap(), Ok(()));
    let none = rig.store.report_log(&hold, &[]).await.unwrap();
    assert_eq!(none, Ok(()), "nothing is nothing");
    let second = [line(LogLevel::Debug, "three")];
    assert_eq!(rig.store.report_log(&hold, &second).await.unwrap(), Ok(()));
    let all = rig.store.log_lines(id, None, 10).await.unwrap();
    let read: Vec<_> = all
        .iter()
        .map(|line| (line.level, line.text.clone()))
        .collect();
    assert_eq!(read, [&first[..], &second[..]].concat());
    let rest = rig
        .store
        .log_lines(id, Some(&all[0].place), 1)
        .await
        .unwrap();
    assert_eq!(rest, all[1..2]);
    let record: i64 = rig.raw("PEXPIRETIME", rig.store.keys().record(id)).await;
    let log: i64 = rig.raw("PEXPIRETIME", rig.store.keys().log(id)).await;
    assert_eq!(record, log, "the log lives as long as the record");
    rig.finish(&hold).await;
}

#[tokio::test]
async fn an_attempt_whose_word_no_longer_counts_logs_nothing() {
    let mut rig = Rig::new().await;
    let text = [line(LogLevel::Info, "late")];
    let stale = rig.running().await;
    let second = rig.crash(&stale).await;
    let refused = rig.store.report_log(&stale, &text).await.unwrap();
    assert_eq!(refused, Err(Refused::LeaseLost));
    rig.finish(&second).await;
    let refused = rig.store.report_log(&second, &text).await.unwrap();
    assert_eq!(refused, Err(Refused::AlreadyTerminal));
    let cancelled = rig.running().await;
    rig.store
        .cancel(cancelled.claimed.id, &rig.owner, "x")
        .await
        .unwrap();
    let refused = rig.store.report_log(&cancelled, &text).await.unwrap();
    assert_eq!(refused, Err(Refused::Cancelled));
    let gone = rig.running().await;
    rig.expire(gone.claimed.id).await;
    let refused = rig.store.report_log(&gone, &text).await.unwrap();
    assert_eq!(refused, Err(Refused::Gone));
    rig.finish(&gone).await;
    for hold in [&stale, &cancelled, &gone] {
        let lines = rig
            .store
            .log_lines(hold.claimed.id, None, 10)
            .await
            .unwrap();
        assert_eq!(lines, []);
    }
}

#[tokio::test]
async fn a_session_remembers_its_level_and_one_that_ended_is_not_revived() {
    let rig = Rig::new().await;
    let session = Session {
        revision: "2025-11-25".to_owned(),
        owner: Owner::anonymous(),
        capabilities: "{}".to_owned(),
        client: "test".to_owned(),
        log_level: None,
    };
    let id = SessionId::random();
    let opened = rig
        .store
        .open_session(id, &session, Duration::from_secs(60));
    opened.await.unwrap();
    assert!(
        rig.store
            .set_session_level(id, LogLevel::Warning)
            .await
            .unwrap()
    );
    let read = rig.store.session(id).await.unwrap().unwrap();
    assert_eq!(read.log_level, Some(LogLevel::Warning));
    let unknown = SessionId::random();
    assert!(
        !rig.store
            .set_session_level(unknown, LogLevel::Debug)
            .await
            .unwrap()
    );
    assert_eq!(rig.store.session(unknown).await.unwrap(), None);
}
