//! Through which every request comes: who calls.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::identity::access::{Access, WELL_KNOWN, split};
use crate::identity::access_file::{self, AccessFile};
use crate::identity::caller::Caller;
use crate::identity::claims::Unverified;
use crate::identity::denied::Denied;
use crate::identity::issuer::{Issuer, Miss, UNKNOWN_ISSUER};
use crate::identity::key_set::TokenDigest;
use crate::identity::static_key::{self, PREFIX};

/// How often the access file is read again, and how often it is looked which issuer's keys are due.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who calls, found by what comes with a request.
#[derive(Debug)]
pub(crate) struct Gate {
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// No credential is asked for: everyone is this caller.
    Open(Arc<Caller>),
    /// As an access file says.
    Guarded {
        path: PathBuf,
        access: ArcSwap<Access>,
    },
}

/// What was found.
pub(crate) enum Identified {
    /// This caller.
    Known(Arc<Caller>),
    /// Nobody.
    Denied(Denied),
    /// That is known once the keys of an issuer were read.
    Later(Pin<Box<dyn Future<Output = Result<Arc<Caller>, Denied>> + Send>>),
}

impl Gate {
    /// Everyone is `caller`.
    pub(crate) fn open(caller: Caller) -> Self {
        Self {
            way: Way::Open(Arc::new(caller)),
        }
    }

    /// As the access file at `path` says, which was read just now.
    ///
    /// # Errors
    ///
    /// If the keys of an issuer can never be read.
    pub(crate) fn guarded(path: &Path, file: AccessFile) -> Result<Self, String> {
        Ok(Self {
            way: Way::Guarded {
                path: path.to_owned(),
                access: ArcSwap::from_pointee(Access::new(file, None)?),
            },
        })
    }

    /// Whether callers are told apart.
    pub(crate) fn tells_apart(&self) -> bool {
        matches!(self.way, Way::Guarded { .. })
    }

    fn access(&self) -> Option<Arc<Access>> {
        match &self.way {
            Way::Open(_) => None,
            Way::Guarded { access, .. } => Some(access.load_full()),
        }
    }

    /// Who brings these `Authorization` headers; `None` stands for one that cannot be read.
    pub(crate) fn identify<'a>(
        &self,
        headers: impl IntoIterator<Item = Option<&'a str>>,
    ) -> Identified {
        let access = match &self.way {
            Way::Open(caller) => return Identified::Known(Arc::clone(caller)),
            Way::Guarded { access, .. } => access.load(),
        };
        match bearer(headers) {
            Ok(credential) if credential.starts_with(PREFIX) => of_key(&access, credential),
            Ok(credential) => of_token(&access, credential),
            Err(denied) => Identified::Denied(denied),
        }
    }

    /// What `WWW-Authenticate` says to a client whose request was denied. `None` if a credential would not help.
    pub(crate) fn challenge(&self, denied: &Denied) -> Option<String> {
        let access = self.access()?;
        let error = match denied {
            Denied::Missing => String::new(),
            Denied::Malformed(why) => {
                format!(", error=\"invalid_request\", error_description=\"{why}\"")
            }
            Denied::Invalid(why) => {
                format!(", error=\"invalid_token\", error_description=\"{why}\"")
            }
            Denied::NoKeys => return None,
        };
        let scopes = access.first_scopes();
        let scopes = if scopes.is_empty() {
            scopes
        } else {
            format!(", scope=\"{scopes}\"")
        };
        let url = &access.metadata_url;
        Some(format!("Bearer resource_metadata=\"{url}\"{error}{scopes}"))
    }

    /// The same for one that needs all of these scopes.
    pub(crate) fn scope_challenge(&self, needed: &[String]) -> Option<String> {
        let url = &self.access()?.metadata_url;
        let scopes = needed.join(" ");
        Some(format!(
            "Bearer error=\"insufficient_scope\", scope=\"{scopes}\", resource_metadata=\"{url}\", error_description=\"the token lacks some of these scopes\""
        ))
    }

    /// The metadata of the resource, if they are at `path`. `None` also if no credential is asked for.
    pub(crate) fn metadata(
        &self,
        path: &str,
        endpoint: &str,
        scopes_of_tools: impl Iterator<Item = String>,
    ) -> Option<String> {
        let access = self.access()?;
        let rest = path.strip_prefix(WELL_KNOWN)?.trim_end_matches('/');
        let (_, resource) = split(&access.file.resource);
        let known = ["", endpoint, resource.trim_end_matches('/')];
        known
            .contains(&rest)
            .then(|| access.metadata(scopes_of_tools))
    }

    /// Keeps the access file and the keys of its issuers up to date until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let Way::Guarded { path, access } = &self.way else {
            return stop.cancelled().await;
        };
        let mut ticks = tokio::time::interval(LOOK_AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut reading, mut told) = (JoinSet::new(), None);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
                Some(_done) = reading.join_next() => continue,
            }
            let text = tokio::fs::read_to_string(path).await.ok();
            let outcome = match &text {
                Some(text) if *text == access.load().file.text => Ok(()),
                text => reload(path, access, text.as_deref()),
            };
            let problems = outcome.err().map(|problems| problems.join("; "));
            // What is wrong is told once, and tried again: what it names may be there by then.
            if let Some(problems) = problems.as_ref().filter(|_| problems != told) {
                tracing::error!(file = %path.display(), problems, "the access file cannot be used; the last one that could be goes on");
            }
            told = problems;
            for issuer in &access.load().issuers {
                let issuer = Arc::clone(issuer);
                reading.spawn(async move { issuer.keep().await });
            }
        }
    }
}

fn reload(path: &Path, access: &ArcSwap<Access>, text: Option<&str>) -> Result<(), Vec<String>> {
    let text = text.ok_or_else(|| vec!["it cannot be read".to_owned()])?;
    let folder = path.parent().unwrap_or(path);
    let file = access_file::read(text, folder)?;
    let before = access.load_full();
    let after = Access::new(file, Some(&before)).map_err(|problem| vec![problem])?;
    let after = Arc::new(after);
    access.store(Arc::clone(&after));
    before.end_what_is_not_in(&after);
    tracing::info!(file = %path.display(), issuers = after.issuers.len(), keys = after.keys.len(), "the access file was read again");
    Ok(())
}

/// The one credential (RFC 6750, 2.1).
pub(super) fn bearer<'a>(
    headers: impl IntoIterator<Item = Option<&'a str>>,
) -> Result<&'a str, Denied> {
    let mut headers = headers.into_iter();
    let header = match (headers.next(), headers.next()) {
        (None, _) => return Err(Denied::Missing),
        (Some(Some(header)), None) => header,
        (Some(_), Some(_)) => return Err(Denied::Malformed("Authorization is there twice")),
        (Some(None), None) => return Err(Denied::Malformed("Authorization cannot be read")),
    };
    let (scheme, credential) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Denied::Missing);
    }
    let credential = credential.trim_matches(' ');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if credential.is_empty() || !credential.bytes().all(fits) {
        return Err(Denied::Malformed(
            "Authorization must be Bearer, a space and a token",
        ));
    }
    Ok(credential)
}

fn of_key(access: &Access, credential: &str) -> Identified {
    match static_key::find(&access.keys, credential) {
        Some(key) if !key.caller.validity.is_over() => Identified::Known(Arc::clone(&key.caller)),
        Some(_) => Identified::Denied(Denied::Invalid("the key has expired")),
        None => Identified::Denied(Denied::Invalid("the key is not known")),
    }
}

fn of_token(access: &Access, credential: &str) -> Identified {
    let digest: TokenDigest = Sha256::digest(credential).into();
    let mut issuers = access.issuers.iter();
    if let Some(caller) = issuers.find_map(|issuer| issuer.remembered(&digest)) {
        return Identified::Known(caller);
    }
    let token = match Unverified::read(credential) {
        Ok(token) => token,
        Err(denied) => return Identified::Denied(denied),
    };
    let of_token = |issuer: &&Arc<Issuer>| issuer.config.rules.issuer == token.issuer;
    let Some(issuer) = access.issuers.iter().find(of_token) else {
        return Identified::Denied(UNKNOWN_ISSUER);
    };
    match issuer.caller(&token, digest) {
        Ok(caller) => Identified::Known(caller),
        Err(Miss::Denied(denied)) => Identified::Denied(denied),
        Err(Miss::UnknownKey | Miss::OtherKey) => {
            let (issuer, credential) = (Arc::clone(issuer), credential.to_owned());
            Identified::Later(Box::pin(async move {
                let token = Unverified::read(&credential)?;
                issuer.caller_with_new_keys(&token, digest).await
            }))
        }
    }
}

impl std::fmt::Debug for Identified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(caller) => f.debug_tuple("Known").field(&caller.owner).finish(),
            Self::Denied(denied) => f.debug_tuple("Denied").field(denied).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bearer_credential_is_taken_and_nothing_like_it() {
        for taken in ["Bearer abc.def", "bearer  abc.def ", "BEARER abc.def"] {
            assert_eq!(bearer([Some(taken)]), Ok("abc.def"), "{taken}");
        }
        for missing in ["", "Basic abc", "Bearerabc", "Negotiate"] {
            assert_eq!(bearer([Some(missing)]), Err(Denied::Missing), "{missing}");
        }
        assert_eq!(bearer([]), Err(Denied::Missing));
        for wrong in [
            vec![Some("Bearer ")],
            vec![Some("Bearer a b")],
            vec![Some("Bearer a\"b")],
            vec![None],
            vec![Some("Bearer a"), Some("Bearer a")],
            vec![Some("Basic a"), Some("Bearer a")],
        ] {
            let denied = bearer(wrong.clone()).unwrap_err();
            assert!(matches!(denied, Denied::Malformed(_)), "{wrong:?}");
        }
    }
}
