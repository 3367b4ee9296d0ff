//! State that a client carries for the front end between two requests: signed, so that nobody can change it or make it up,
//! bound to who may bring it back and with which call, and good for a limited time.

#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use taskferry_contract::{CallDigest, Owner, Secrets, Store, TaskId};
use tokio::time::Instant;

use super::BridgeError;

/// How long a sealed state is good.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(3600);
/// The secrets are read again after this long: they may have been rotated, or Redis lost them, and another front end made a
/// new one.
const KEY_FRESH: Duration = Duration::from_secs(2);

/// What a caller carries between two requests.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Carried {
    /// The task that waits, if there is one yet.
    pub(crate) task: Option<TaskId>,
    /// The id by which the caller shares it, if it joined it.
    pub(crate) joined_as: Option<TaskId>,
    /// The answers given so far: key and JSON.
    pub(crate) answers: Vec<(String, String)>,
    /// The place of the job's log line that was sent last.
    pub(crate) log: Option<String>,
}

/// What is sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(default, rename = "holder", skip_serializing_if = "Option::is_none")]
    joined_as: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    answers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    /// Who may bring it back.
    owner: String,
    /// Which call it belongs to.
    call: String,
    /// Until when it is good, ms since the epoch.
    until: u64,
    /// Makes no two states the same.
    nonce: u64,
}

impl State {
    /// What is carried, if this caller may bring it back with this call, and now.
    fn take(self, owner: &Owner, call: &CallDigest, now_ms: u64) -> Result<Carried, Unsealed> {
        if self.until < now_ms {
            return Err(Unsealed::Refused("it expired"));
        }
        if self.owner != owner.as_str() || self.call != call.as_str() {
            return Err(Unsealed::Refused("it belongs to another call"));
        }
        let read = |id: Option<String>| {
            let id = id.map(|id| id.parse()).transpose();
            id.map_err(|_unreadable| Unsealed::Refused("it names no task"))
        };
        Ok(Carried {
            task: read(self.task)?,
            joined_as: read(self.joined_as)?,
            answers: self.answers,
            log: self.log,
        })
    }
}

/// Why a state was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsealed {
    /// It was made up, changed, expired, or belongs to another caller or call.
    #[error("{0}")]
    Refused(&'static str),
    /// The secret cannot be read.
    #[error(transparent)]
    Failed(#[from] BridgeError),
}

/// Seals and opens states with the secret that all front ends share.
#[derive(Debug)]
pub(crate) struct Seal {
    store: Store,
    secrets: ArcSwapOption<(Secrets, Instant)>,
}

impl Seal {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            secrets: ArcSwapOption::empty(),
        }
    }

    /// Seals what `owner` is to bring back with a call.
    pub(crate) async fn seal(
        &self,
        carried: &Carried,
        owner: &Owner,
        call: &CallDigest,
    ) -> Result<String, BridgeError> {
        let state = State {
            task: carried.task.map(|task| task.to_string()),
            joined_as: carried.joined_as.map(|id| id.to_string()),
            answers: carried.answers.clone(),
            log: carried.log.clone(),
            owner: owner.to_string(),
            call: call.as_str().to_owned(),
            until: now_ms().saturating_add(millis(GOOD_FOR)),
            nonce: rand::random(),
        };
        let body = serde_json::to_vec(&state).unwrap_or_default();
        let secrets = self.secrets(KEY_FRESH).await?;
        Ok(sealed(secrets.0.current(), &body))
    }

    /// Opens what `owner` brought back with a call.
    pub(crate) async fn open(
        &self,
        sealed: &str,
        owner: &Owner,
        call: &CallDigest,
    ) -> Result<Carried, Unsealed> {
        let read = parts(sealed);
        let (body, tag) = read.ok_or(Unsealed::Refused("it was not made by this server"))?;
        let by = |secrets: &Secrets| {
            let mut counting = secrets.counting(now_ms());
            counting.any(|secret| genuine(secret, &body, &tag))
        };
        // Another front end may have read a new secret first.
        let is_genuine =
            by(&self.secrets(KEY_FRESH).await?.0) || by(&self.secrets(Duration::ZERO).await?.0);
        let state: Option<State> = is_genuine
            .then(|| serde_json::from_slice(&body).ok())
            .flatten();
        let state = state.ok_or(Unsealed::Refused(
            "it was changed, or not made by this server",
        ))?;
        state.take(owner, call, now_ms())
    }

    async fn secrets(&self, fresh: Duration) -> Result<Arc<(Secrets, Instant)>, BridgeError> {
        let known = self.secrets.load_full();
        if let Some(known) = known.filter(|known| known.1.elapsed() < fresh) {
            return Ok(known);
        }
        let read = Arc::new((self.store.secrets().await?, Instant::now()));
        self.secrets.store(Some(Arc::clone(&read)));
        Ok(read)
    }
}

/// `<body>.<tag>`.
fn sealed(key: &str, body: &[u8]) -> String {
    let tag = sign(key, body).finalize().into_bytes();
    let [body, tag] = [body, &tag].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{body}.{tag}")
}

/// Body and tag of what may be sealed.
fn parts(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (body, tag) = text.split_once('.')?;
    let [body, tag] = [body, tag].map(|part| URL_SAFE_NO_PAD.decode(part));
    Some((body.ok()?, tag.ok()?))
}

/// Whether a body was sealed with this key.
fn genuine(key: &str, body: &[u8], tag: &[u8]) -> bool {
    sign(key, body).verify_slice(tag).is_ok()
}

fn sign(key: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    mac
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_its_callers_for_one_call_and_a_limited_time() {
        let (alice, bob) = (Owner::named("alice").unwrap(), Owner::named("bob").unwrap());
        let state = State {
            task: None,
            joined_as: None,
            answers: vec![("name".to_owned(), "{}".to_owned())],
            log: Some("1-0".to_owned()),
            owner: alice.to_string(),
            call: "a call".to_owned(),
            until: 1_000,
            nonce: 1,
        };
        let same = "a call".into();
        let carried = state.clone().take(&alice, &same, 1_000).unwrap();
        assert_eq!(
            (carried.answers, carried.log),
            (state.answers.clone(), state.log.clone())
        );
        for (owner, call, now, why) in [
            (&alice, "a call", 1_001, "expired"),
            (&bob, "a call", 1_000, "another call"),
            (&alice, "another", 1_000, "another call"),
        ] {
            let refused = state.clone().take(owner, &call.into(), now).unwrap_err();
            assert!(refused.to_string().contains(why), "{refused}");
        }
    }
}
