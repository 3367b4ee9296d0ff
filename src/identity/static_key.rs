//! Keys without an issuer. The access file has the digest of each, never the key.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use tokio_util::sync::CancellationToken;

use crate::identity::caller::Caller;
use crate::identity::owner::owner_of_key;
use crate::identity::scopes::Scopes;
use crate::identity::validity::{Validity, now};

/// What every key begins with, so that a key that leaked is found for what it is.
pub(super) const PREFIX: &str = "tfk_";

/// A key that was made just now.
#[derive(Debug)]
pub(crate) struct NewKey(SecretString);

impl NewKey {
    /// Makes a key of 256 random bits. A digest of so many needs no salt, and no slow hash: nobody can guess through it.
    pub(crate) fn random() -> Self {
        let bits: [u8; 32] = rand::random();
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits)).into())
    }

    /// The key itself, to be shown once.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What the access file has of it: the SHA-256, hexadecimal.
    pub(crate) fn digest(&self) -> String {
        let digest = Sha256::digest(self.expose());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A key of the access file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StaticKey {
    pub(super) name: String,
    pub(super) sha256: [u8; 32],
    /// As in the file.
    pub(super) scopes: Vec<String>,
    /// After the epoch; `None` for never.
    pub(super) expires: Option<Duration>,
}

/// A key in use.
#[derive(Debug)]
pub(super) struct ActiveKey {
    pub(super) key: StaticKey,
    pub(super) caller: Arc<Caller>,
    pub(super) revoked: CancellationToken,
}

impl ActiveKey {
    pub(super) fn new(key: StaticKey, scopes: Scopes) -> Self {
        let revoked = CancellationToken::new();
        let left = key.expires.map(|at| at.saturating_sub(now()));
        Self {
            caller: Arc::new(Caller {
                owner: owner_of_key(&key.name),
                scopes,
                validity: Validity::of(left, revoked.clone()),
            }),
            revoked,
            key,
        }
    }
}

/// The key that `given` is. All are compared, each in a time that does not depend on what differs.
pub(super) fn find<'a>(keys: &'a [Arc<ActiveKey>], given: &str) -> Option<&'a Arc<ActiveKey>> {
    let digest: [u8; 32] = Sha256::digest(given).into();
    let mut found = 0_u64;
    for (at, key) in (1_u64..).zip(keys) {
        let same: Choice = key.key.sha256.ct_eq(&digest);
        found.conditional_assign(&at, same);
    }
    let at = usize::try_from(found.checked_sub(1)?).ok()?;
    keys.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active(name: &str, new: &NewKey) -> Arc<ActiveKey> {
        let key = StaticKey {
            name: name.to_owned(),
            sha256: Sha256::digest(new.expose()).into(),
            scopes: Vec::new(),
            expires: None,
        };
        Arc::new(ActiveKey::new(key, Scopes::all()))
    }

    #[test]
    fn a_key_is_found_by_itself_alone() {
        let made = [NewKey::random(), NewKey::random()];
        let keys = [active("one", &made[0]), active("two", &made[1])];
        for (new, name) in made.iter().zip(["one", "two"]) {
            assert_eq!(find(&keys, new.expose()).unwrap().key.name, name);
            assert!(find(&keys, &new.digest()).is_none());
        }
        assert!(find(&keys, NewKey::random().expose()).is_none());
        assert!(find(&keys, "").is_none());
        assert!(find(&[], made[0].expose()).is_none());
    }

    #[test]
    fn a_new_key_does_not_show_itself() {
        let new = NewKey::random();
        assert!(!format!("{new:?}").contains(new.expose()));
        assert!(new.expose().starts_with(PREFIX));
        assert_eq!(new.digest().len(), 64);
    }
}
