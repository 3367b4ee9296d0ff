//! An issuer of tokens, and its keys as far as they are known.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::identity::caller::Caller;
use crate::identity::claims::{TokenRules, UNFIT_SIGNATURE, Unfit, Unverified};
use crate::identity::denied::Denied;
use crate::identity::jwks::{FETCH_TIMEOUT, KeySource, Reader};
use crate::identity::key_set::{KeySet, TokenDigest};
use crate::identity::scopes::ScopeRules;

/// How often the keys are read again; a file more often, since that costs little.
const REFRESH: Duration = Duration::from_secs(300);
const REFRESH_FILE: Duration = Duration::from_secs(2);
/// When they are tried again that could not be read.
const AGAIN: Duration = Duration::from_secs(5);
/// The pause between two reads for tokens whose keys are not known.
const THROTTLE: Duration = Duration::from_secs(5);
/// For how long keys are used that cannot be read again.
const STALE: Duration = Duration::from_secs(86_400);
/// So many requests may wait for the keys of an issuer.
const WAITING: usize = 64;

/// What is said of a token of nobody who is known.
pub(super) const UNKNOWN_ISSUER: Denied =
    Denied::Invalid("the token is of an issuer that is not known here");

/// What the access file says of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IssuerConfig {
    pub(super) rules: TokenRules,
    pub(super) source: KeySource,
}

/// An issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) config: IssuerConfig,
    scopes: Arc<ScopeRules>,
    reader: Reader,
    keys: ArcSwapOption<KeySet>,
    times: Mutex<Times>,
    /// Held by who reads the keys.
    reading: tokio::sync::Mutex<()>,
    /// How many may wait for that.
    waiting: Semaphore,
    /// The access file has it no more, or another in its place.
    retired: CancellationToken,
}

/// When its keys were read.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    tried: Option<Instant>,
    read: Option<Instant>,
}

/// Why a token did not make a caller.
#[derive(Debug)]
pub(super) enum Miss {
    /// It is not valid.
    Denied(Denied),
    /// Its key is not known, or none is.
    UnknownKey,
    /// The key that it names is not the one that it was signed with.
    OtherKey,
}

impl Issuer {
    /// `before` is the same issuer as it was used until now.
    pub(super) fn new(
        config: IssuerConfig,
        scopes: Arc<ScopeRules>,
        before: Option<&Self>,
    ) -> Result<Self, String> {
        let reader = Reader::new(&config.source)?;
        let before = before.filter(|before| before.config.source == config.source);
        let keys = before.and_then(|before| before.keys.load_full());
        let times = before.map(Self::times).unwrap_or_default();
        Ok(Self {
            config,
            scopes,
            reader,
            keys: ArcSwapOption::new(keys.map(|keys| Arc::new(keys.renewed()))),
            times: Mutex::new(times),
            reading: tokio::sync::Mutex::default(),
            waiting: Semaphore::new(WAITING),
            retired: CancellationToken::new(),
        })
    }

    /// Whether nothing would change by making it anew.
    pub(super) fn is_as(&self, config: &IssuerConfig, scopes: &ScopeRules) -> bool {
        self.config == *config && *self.scopes == *scopes
    }

    /// Ends all that its tokens opened, also those that are verified right now: it is used no more.
    pub(super) fn retire(&self) {
        self.retired.cancel();
        if let Some(keys) = self.keys.load().as_ref() {
            keys.revoke();
        }
    }

    /// Who brought a token that was verified before: to be asked first, as it costs no reading of the token.
    pub(super) fn remembered(&self, digest: &TokenDigest) -> Option<Arc<Caller>> {
        self.keys.load().as_ref()?.remembered(digest)
    }

    /// Who brings a token, by the keys that are known.
    pub(super) fn caller(
        &self,
        token: &Unverified<'_>,
        digest: TokenDigest,
    ) -> Result<Arc<Caller>, Miss> {
        let rules = &self.config.rules;
        let wanted = token.wanted(rules).map_err(Miss::Denied)?;
        let keys = self.keys.load();
        let keys = keys.as_ref().ok_or(Miss::UnknownKey)?;
        let key = keys.find(wanted).ok_or(Miss::UnknownKey)?;
        let caller = match token.verify(key, rules, &self.scopes) {
            Ok(caller) => Arc::new(caller),
            // Another key may have come in its place.
            Err(Unfit::Signature) => return Err(Miss::OtherKey),
            Err(Unfit::Denied(denied)) => return Err(Miss::Denied(denied)),
        };
        keys.remember(digest, Arc::clone(&caller));
        Ok(caller)
    }

    /// The same once the keys were read again, unless they were read a moment ago.
    pub(super) async fn caller_with_new_keys(
        &self,
        token: &Unverified<'_>,
        digest: TokenDigest,
    ) -> Result<Arc<Caller>, Denied> {
        let Ok(_waits) = self.waiting.try_acquire() else {
            return Err(Denied::NoKeys);
        };
        let reading = tokio::time::timeout(FETCH_TIMEOUT, self.reading.lock()).await;
        if let Ok(reading) = reading {
            let pause = if self.reader.is_file() {
                Duration::ZERO
            } else {
                THROTTLE
            };
            let tried = self.times().tried;
            if tried.is_none_or(|tried| tried.elapsed() >= pause) {
                self.read().await;
            }
            drop(reading);
        }
        if self.retired.is_cancelled() {
            return Err(UNKNOWN_ISSUER);
        }
        match self.caller(token, digest) {
            Ok(caller) => Ok(caller),
            Err(Miss::Denied(denied)) => Err(denied),
            Err(Miss::OtherKey) => Err(UNFIT_SIGNATURE),
            Err(Miss::UnknownKey) if self.keys.load().is_none() => Err(Denied::NoKeys),
            Err(Miss::UnknownKey) => Err(Denied::Invalid(
                "the issuer of the token has no key that the token names, or several",
            )),
        }
    }

    /// Reads the keys if it is time to.
    pub(super) async fn keep(&self) {
        let Times { tried, read } = self.times();
        if read.is_some_and(|read| read.elapsed() >= STALE)
            && let Some(stale) = self.keys.swap(None)
        {
            stale.revoke();
            tracing::error!(issuer = %self.config.rules.issuer, "the keys of an issuer could not be read for a day: none of its tokens is taken any more");
        }
        let pause = match (self.reader.is_file(), tried == read) {
            (true, _) => REFRESH_FILE,
            (false, true) => REFRESH,
            (false, false) => AGAIN,
        };
        if tried.is_none_or(|tried| tried.elapsed() >= pause)
            && let Ok(_reading) = self.reading.try_lock()
        {
            self.read().await;
        }
    }

    fn times(&self) -> Times {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self) {
        let began = Instant::now();
        let read = self.reader.read().await;
        let read = read.and_then(|text| KeySet::parse(&text));
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let was_well = times.tried == times.read;
        times.tried = Some(began);
        match read {
            Ok(keys) => {
                times.read = Some(began);
                self.take(keys);
            }
            Err(error) if was_well => {
                tracing::warn!(issuer = %self.config.rules.issuer, error, "the keys of an issuer cannot be read; it is tried again");
            }
            Err(error) => tracing::debug!(issuer = %self.config.rules.issuer, error, "not yet"),
        }
    }

    fn take(&self, mut keys: KeySet) {
        if keys.is_empty() {
            tracing::warn!(issuer = %self.config.rules.issuer, "the key set of an issuer has no public key that signatures can be checked with: none of its tokens is taken");
        }
        let before = self.keys.load_full();
        if let Some(before) = &before {
            if keys.is_same(before) {
                return;
            }
            keys.replace(before);
        }
        tracing::info!(issuer = %self.config.rules.issuer, ?keys, "the keys of an issuer are known");
        let keys = Arc::new(keys);
        self.keys.store(Some(Arc::clone(&keys)));
        // It may have been retired just now, and those keys were not there to be marked.
        if self.retired.is_cancelled() {
            keys.revoke();
        }
    }
}
