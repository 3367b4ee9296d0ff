//! The public keys of an issuer (RFC 7517), and the tokens that were verified with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::identity::caller::Caller;

/// The most keys of one issuer.
const MOST_KEYS: usize = 100;
/// The shortest modulus of an RSA key, bytes (NIST SP 800-131A).
const SHORTEST_RSA: usize = 256;
/// What the verified tokens that are remembered for a key set may take, bytes; and what one takes beside its scopes.
const TOKENS_KEPT: usize = 16 << 20;
const TOKEN: usize = 512;

/// The SHA-256 of a token.
pub(super) type TokenDigest = [u8; 32];

/// A key that signatures are checked with.
#[derive(Clone)]
pub(super) struct PublicKey {
    id: Option<String>,
    /// What its set says that it is for; `None` for all that it fits.
    algorithm: Option<Algorithm>,
    fits: &'static [Algorithm],
    jwk: Jwk,
    pub(super) key: DecodingKey,
    /// Cancelled once the issuer has the key no more.
    pub(super) gone: CancellationToken,
}

/// The keys of an issuer at one time.
#[derive(Default)]
pub(super) struct KeySet {
    keys: Vec<PublicKey>,
    verified: Mutex<Verified>,
}

/// Who brought tokens that were verified.
#[derive(Default)]
struct Verified {
    callers: HashMap<TokenDigest, Arc<Caller>>,
    /// What they take, bytes, somewhat.
    bytes: usize,
}

/// Which key a token is signed with, as far as its header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) algorithm: Algorithm,
}

impl KeySet {
    /// Reads a key set. Keys that are not for this are left out; there may be none.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let Document { keys } = serde_json::from_slice(text)
            .map_err(|error| format!("it is no key set, an object with a list of keys: {error}"))?;
        if keys.len() > MOST_KEYS {
            return Err(format!("it has {} keys, more than {MOST_KEYS}", keys.len()));
        }
        let mut read: Vec<PublicKey> = Vec::new();
        for key in keys {
            let key = PublicKey::of(key);
            // Some issuers publish a key twice.
            read.extend(key.filter(|key| read.iter().all(|other| other.jwk != key.jwk)));
        }
        Ok(Self {
            keys: read,
            verified: Mutex::default(),
        })
    }

    /// The key of a token. `None` if there is none, or if the token does not say which of several it is.
    pub(super) fn find(&self, wanted: Wanted<'_>) -> Option<&PublicKey> {
        let mut fitting = self.keys.iter().filter(|key| {
            key.suits(wanted.algorithm) && (wanted.id.is_none() || key.id.as_deref() == wanted.id)
        });
        let first = fitting.next()?;
        fitting.next().is_none().then_some(first)
    }

    /// The same keys, with which nothing was verified or opened yet.
    pub(super) fn renewed(&self) -> Self {
        let fresh = |key: &PublicKey| PublicKey {
            gone: CancellationToken::new(),
            ..key.clone()
        };
        Self {
            keys: self.keys.iter().map(fresh).collect(),
            verified: Mutex::default(),
        }
    }

    /// Takes over the marks of the keys that `before` has too, and marks those that are gone.
    pub(super) fn replace(&mut self, before: &Self) {
        for old in &before.keys {
            match self.keys.iter_mut().find(|key| key.jwk == old.jwk) {
                Some(key) => key.gone = old.gone.clone(),
                None => old.gone.cancel(),
            }
        }
    }

    /// Marks all keys as gone.
    pub(super) fn revoke(&self) {
        self.keys.iter().for_each(|key| key.gone.cancel());
    }

    /// Whether it is known already that it has no key.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether it has the same keys.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let jwks =
            |set: &Self| -> Vec<Jwk> { set.keys.iter().map(|key| key.jwk.clone()).collect() };
        jwks(self) == jwks(other)
    }

    /// Who brought this token before, while it is valid.
    pub(super) fn remembered(&self, token: &TokenDigest) -> Option<Arc<Caller>> {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = verified.callers.get(token)?;
        (!caller.validity.is_over()).then(|| Arc::clone(caller))
    }

    /// Remembers who brought a token that was verified. When there are too many, all are verified once more.
    pub(super) fn remember(&self, token: TokenDigest, caller: Arc<Caller>) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = TOKEN + caller.scopes.bytes();
        if verified.bytes + bytes > TOKENS_KEPT {
            *verified = Verified::default();
        }
        if verified.callers.insert(token, caller).is_none() {
            verified.bytes += bytes;
        }
    }
}

impl PublicKey {
    /// `None` for a key that is not for signatures, too weak, symmetric, or published with its private part.
    fn of(text: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Private {
            #[serde(default)]
            d: Option<IgnoredAny>,
        }
        let jwk: Jwk = serde_json::from_str(text.get()).ok()?;
        let private: Private = serde_json::from_str(text.get()).ok()?;
        let verifies = |of: &Vec<KeyOperations>| of.contains(&KeyOperations::Verify);
        if private.d.is_some() || !jwk.common.key_operations.as_ref().is_none_or(verifies) {
            return None;
        }
        let is_for_signatures = |of: &PublicKeyUse| *of == PublicKeyUse::Signature;
        if !jwk
            .common
            .public_key_use
            .as_ref()
            .is_none_or(is_for_signatures)
        {
            return None;
        }
        let fits: &'static [Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RSA,
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            _ => return None,
        };
        let algorithm = match jwk.common.key_algorithm {
            None => None,
            Some(named) => Some(Algorithm::try_from(named).ok()?),
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        if let jsonwebtoken::DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind()
            && n.iter().skip_while(|byte| **byte == 0).count() < SHORTEST_RSA
        {
            return None;
        }
        Some(Self {
            id: jwk.common.key_id.clone(),
            algorithm,
            fits,
            jwk,
            key,
            gone: CancellationToken::new(),
        })
    }

    fn suits(&self, algorithm: Algorithm) -> bool {
        self.fits.contains(&algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids = self.keys.iter().map(|key| &key.id);
        f.debug_list().entries(ids).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const EC_X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const EC_Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    fn ec(id: Option<&str>) -> Value {
        let mut key = json!({"kty": "EC", "crv": "P-256", "x": EC_X, "y": EC_Y});
        if let Some(id) = id {
            key["kid"] = json!(id);
        }
        key
    }

    fn set(keys: Vec<Value>) -> Result<KeySet, String> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn wanted(id: Option<&str>) -> Wanted<'_> {
        Wanted {
            id,
            algorithm: Algorithm::ES256,
        }
    }

    #[test]
    fn a_key_is_found_by_its_id_or_as_the_only_one() {
        let one = set(vec![ec(Some("a"))]).unwrap();
        assert!(one.find(wanted(Some("a"))).is_some());
        assert!(one.find(wanted(None)).is_some());
        assert!(one.find(wanted(Some("b"))).is_none());
        let two = set(vec![ec(Some("a")), ec(Some("b"))]).unwrap();
        assert!(two.find(wanted(Some("b"))).is_some());
        assert!(two.find(wanted(None)).is_none());
        // The same one twice is one.
        let twice = set(vec![ec(Some("a")), ec(Some("a"))]).unwrap();
        assert!(twice.find(wanted(Some("a"))).is_some());
    }

    #[test]
    fn a_key_serves_the_algorithm_that_it_is_for() {
        let mut key = ec(Some("a"));
        key["alg"] = json!("ES384");
        let other = set(vec![key]).unwrap();
        assert!(other.find(wanted(Some("a"))).is_none());
        let rsa = Wanted {
            id: Some("a"),
            algorithm: Algorithm::RS256,
        };
        let one = set(vec![ec(Some("a"))]).unwrap();
        assert!(one.find(rsa).is_none());
    }

    #[test]
    fn weak_symmetric_and_other_keys_are_left_out() {
        let short = "AQAB".repeat(32);
        let with = |name, value: Value| {
            let mut key = ec(None);
            key[name] = value;
            key
        };
        let for_encryption = with("use", json!("enc"));
        for key in [
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "RSA", "n": short, "e": "AQAB"}),
            json!({"kty": "new"}),
            json!(7),
            for_encryption,
            with("key_ops", json!(["encrypt"])),
            with("d", json!("c2VjcmV0")),
        ] {
            assert!(set(vec![key.clone()]).unwrap().is_empty(), "{key}");
            assert_eq!(set(vec![key, ec(None)]).unwrap().keys.len(), 1);
        }
        assert!(
            set(vec![ec(None); MOST_KEYS + 1])
                .unwrap_err()
                .contains("101")
        );
        assert!(KeySet::parse(b"[]").unwrap_err().contains("no key set"));
    }

    #[test]
    fn keys_that_go_are_marked_and_those_that_stay_are_not() {
        let before = set(vec![ec(Some("a")), ec(Some("b"))]).unwrap();
        let mut after = set(vec![ec(Some("b")), ec(Some("c"))]).unwrap();
        after.replace(&before);
        assert!(!after.is_same(&before));
        let gone = |set: &KeySet, id| set.find(wanted(Some(id))).unwrap().gone.is_cancelled();
        assert!(gone(&before, "a"));
        assert!(!gone(&before, "b"));
        after.revoke();
        // The mark is the same one.
        assert!(gone(&before, "b"));
    }
}
