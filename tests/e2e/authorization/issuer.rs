//! An issuer of tokens: it signs, publishes its keys over HTTP, and changes them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What tokens are made for.
pub(super) const RESOURCE: &str = "https://tasks.example.com/mcp";

/// A key that signs.
#[derive(Clone)]
pub(super) struct Signer {
    pub(super) id: String,
    pub(super) key: EncodingKey,
}

impl Signer {
    pub(super) fn new(id: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self {
            id: id.to_owned(),
            key: EncodingKey::from_ec_der(&pair.serialize_der()),
        }
    }

    /// The public key, as a key set has it.
    pub(super) fn published(&self) -> Value {
        let mut key = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        key.common.key_id = Some(self.id.clone());
        serde_json::to_value(key).unwrap()
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_as(Algorithm::ES256, claims)
    }

    pub(super) fn sign_as(&self, algorithm: Algorithm, claims: &Value) -> String {
        let mut header = Header::new(algorithm);
        header.kid = Some(self.id.clone());
        encode(&header, claims, &self.key).unwrap()
    }
}

/// An issuer.
pub(super) struct Issuer {
    pub(super) name: String,
    published: Arc<Published>,
    /// Ends what serves its keys.
    _serves: JoinSet<std::io::Result<()>>,
    pub(super) signer: Signer,
}

#[derive(Default)]
struct Published {
    keys: Mutex<Vec<Value>>,
    reads: AtomicUsize,
    /// How long it takes to answer.
    takes: Mutex<Duration>,
}

impl Issuer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = format!("http://{}", listener.local_addr().unwrap());
        let published = Arc::new(Published::default());
        let router = Router::new()
            .route("/jwks.json", get(key_set))
            .with_state(Arc::clone(&published));
        let mut serves = JoinSet::new();
        serves.spawn(async move { axum::serve(listener, router).await });
        let issuer = Self {
            name,
            published,
            _serves: serves,
            signer: Signer::new("first"),
        };
        issuer.publish(&[&issuer.signer]);
        issuer
    }

    pub(super) fn publish(&self, signers: &[&Signer]) {
        let keys = signers.iter().map(|signer| signer.published());
        *self.published.keys.lock().unwrap() = keys.collect();
    }

    /// Lets it answer so late from now on.
    pub(super) fn answer_after(&self, wait: Duration) {
        *self.published.takes.lock().unwrap() = wait;
    }

    /// How often its keys were read.
    pub(super) fn reads(&self) -> usize {
        self.published.reads.load(Ordering::SeqCst)
    }

    /// Its entry in an access file.
    pub(super) fn entry(&self) -> String {
        let name = &self.name;
        format!(
            "[[issuer]]\nissuer = '{name}'\njwks_url = '{name}/jwks.json'\nalgorithms = ['ES256']\n"
        )
    }

    /// What a good token of `subject` says.
    pub(super) fn claims(&self, subject: &str, scope: &str) -> Value {
        json!({
            "iss": self.name, "sub": subject, "aud": RESOURCE, "scope": scope,
            "nbf": now() - 1, "iat": now() - 1, "exp": now() + 600,
        })
    }

    /// A good token.
    pub(super) fn token(&self, subject: &str, scope: &str) -> String {
        self.signer.sign(&self.claims(subject, scope))
    }
}

async fn key_set(State(published): State<Arc<Published>>) -> String {
    published.reads.fetch_add(1, Ordering::SeqCst);
    let takes = *published.takes.lock().unwrap();
    tokio::time::sleep(takes).await;
    json!({ "keys": *published.keys.lock().unwrap() }).to_string()
}

/// Now, s after the epoch.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
