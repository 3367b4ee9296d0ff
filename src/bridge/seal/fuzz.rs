//! A fuzz target: what a client brings back.

use taskferry_contract::{CallDigest, Owner};

use super::{State, genuine, parts, sealed};

/// What a client brings back as sealed: it is refused unless it was sealed here; what was sealed is read as it is, by its owner
/// with its call, and no other.
///
/// # Panics
///
/// If that is not so.
pub fn seal(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some((body, tag)) = parts(&text) {
        assert!(
            !genuine(&random_key(), &body, &tag),
            "{text} is genuine under any key"
        );
    }
    // With the server's own tag, whatever is inside must do no harm.
    let (alice, bob) = (owner("alice"), owner("bob"));
    let call = CallDigest::from("a call");
    let key = "0123456789abcdef";
    let own = sealed(key, data);
    let (body, tag) = parts(&own).expect("what was sealed has its parts");
    assert!(
        genuine(key, &body, &tag) && body == data,
        "{own} is not what was sealed"
    );
    let Ok(state) = serde_json::from_slice::<State>(&body) else {
        return;
    };
    let until = state.until;
    if let Ok(carried) = state.clone().take(&alice, &call, until) {
        assert!(
            state.clone().take(&bob, &call, until).is_err(),
            "another owner takes it"
        );
        assert!(
            state.clone().take(&alice, &"other".into(), until).is_err(),
            "another call takes it"
        );
        assert_eq!(carried.answers, state.answers);
    }
    if let Some(later) = until.checked_add(1) {
        assert!(
            state.take(&alice, &call, later).is_err(),
            "it never expires"
        );
    }
}

fn owner(name: &str) -> Owner {
    Owner::named(name).expect("it is a name")
}

fn random_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}
