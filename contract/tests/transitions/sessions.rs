//! Sessions of the legacy protocol.

use std::time::Duration;

use taskferry_contract::{Owner, Session, SessionId};

use crate::rig::Rig;

const IDLE: Duration = Duration::from_secs(60);

fn session(owner: Owner) -> Session {
    Session {
        revision: "2025-11-25".to_owned(),
        owner,
        capabilities: r#"{"elicitation":{}}"#.to_owned(),
        client: "inspector 1.0".to_owned(),
    }
}

#[tokio::test]
async fn a_session_reads_back_as_it_was_opened() {
    let rig = Rig::new().await;
    for owner in [rig.owner.clone(), Owner::anonymous()] {
        let opened = session(owner);
        let id = rig.store.open_session(&opened, IDLE).await.unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(rig.store.session(id).await.unwrap(), Some(opened));
    }
    let unknown = rig.store.session(SessionId::random()).await.unwrap();
    assert_eq!(unknown, None);
    rig.check_drained().await;
}

#[tokio::test]
async fn a_session_lives_as_long_as_it_is_used_and_ends_for_good() {
    let mut rig = Rig::new().await;
    let id = rig
        .store
        .open_session(&session(rig.owner.clone()), IDLE)
        .await
        .unwrap();
    let key = rig.store.keys().session(id);
    rig.store.touch_session(id, IDLE * 10).await.unwrap();
    let left: u64 = rig.raw("PTTL", &key).await;
    assert!((590_000..=600_000).contains(&left), "{left}");

    assert!(rig.store.end_session(id).await.unwrap());
    assert!(!rig.store.end_session(id).await.unwrap());
    rig.store.touch_session(id, IDLE).await.unwrap();
    assert_eq!(rig.store.session(id).await.unwrap(), None);
    assert_eq!(rig.raw::<i64>("EXISTS", &key).await, 0);
    rig.check_drained().await;
}

#[tokio::test]
async fn a_session_whose_owner_cannot_be_read_is_nobodys() {
    let mut rig = Rig::new().await;
    let id = rig
        .store
        .open_session(&session(rig.owner.clone()), IDLE)
        .await
        .unwrap();
    let key = rig.store.keys().session(id);
    rig.raw::<()>("HSET", (key, "owner", "two words")).await;
    let owner = rig.store.session(id).await.unwrap().unwrap().owner;
    assert!(owner != rig.owner && !owner.is_anonymous() && owner.as_str() != "*");
}
