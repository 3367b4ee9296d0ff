//! Tokens: what they say, and whether that is true (RFC 9068, RFC 8725).

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde::Deserialize;

use crate::identity::caller::Caller;
use crate::identity::denied::Denied;
use crate::identity::key_set::{PublicKey, Wanted};
use crate::identity::owner::owner_of_subject;
use crate::identity::scopes::{ScopeRules, Scopes};
use crate::identity::validity::{Validity, now};

/// How much the clocks of an issuer and of this server may differ.
pub(super) const LEEWAY: Duration = Duration::from_secs(30);
/// The longest token, bytes.
pub(super) const LONGEST: usize = 8 << 10;

/// The most scopes of a token.
const MOST_SCOPES: usize = 100;

/// A token that was read, and not verified.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    text: &'a str,
    header: Header,
    pub(super) issuer: String,
}

/// How the tokens of an issuer are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenRules {
    pub(super) issuer: String,
    /// What they must be made for.
    pub(super) audience: String,
    pub(super) algorithms: Vec<Algorithm>,
    /// Whether they must have `nbf`; if not, they must have `iat`.
    pub(super) requires_nbf: bool,
    /// Whether a subject that uses several clients is several owners.
    pub(super) per_client: bool,
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    exp: Option<f64>,
    #[serde(default)]
    iat: Option<f64>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    scope: Option<ScopeClaim>,
    #[serde(default)]
    scp: Option<ScopeClaim>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ScopeClaim {
    Text(String),
    List(Vec<String>),
}

impl ScopeClaim {
    fn scopes(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => text.split(' ').filter(|scope| !scope.is_empty()).collect(),
            Self::List(list) => list.iter().map(String::as_str).collect(),
        }
    }
}

impl<'a> Unverified<'a> {
    /// Reads a token.
    pub(super) fn read(text: &'a str) -> Result<Self, Denied> {
        if text.len() > LONGEST {
            return Err(Denied::Invalid("the token is longer than 8 KiB"));
        }
        let no_token = |_unreadable| Denied::Invalid("this is neither a key nor a signed JWT");
        let header = decode_header(text).map_err(no_token)?;
        let typ = header.typ.as_deref().map(str::to_ascii_lowercase);
        let of_access = ["jwt", "at+jwt", "application/at+jwt"];
        if typ.is_some_and(|typ| !of_access.contains(&typ.as_str())) {
            return Err(Denied::Invalid(
                "the typ of the token is not that of an access token",
            ));
        }
        if header.crit.is_some() {
            return Err(Denied::Invalid(
                "the token has crit, which is not known here",
            ));
        }
        let Issuer { iss } = insecure_decode_claims(text)
            .map_err(|_unreadable| Denied::Invalid("the token has no iss, or cannot be read"))?;
        Ok(Self {
            text,
            header,
            issuer: iss,
        })
    }

    /// The key that it says it is signed with.
    pub(super) fn wanted(&self, rules: &TokenRules) -> Result<Wanted<'_>, Denied> {
        if !rules.algorithms.contains(&self.header.alg) {
            return Err(Denied::Invalid(
                "the token is signed with an algorithm that its issuer may not use here",
            ));
        }
        Ok(Wanted {
            id: self.header.kid.as_deref(),
            algorithm: self.header.alg,
        })
    }

    /// Verifies it with a key of its issuer.
    pub(super) fn verify(
        &self,
        key: &PublicKey,
        rules: &TokenRules,
        scope_rules: &Arc<ScopeRules>,
    ) -> Result<Caller, Unfit> {
        let mut validation = Validation::new(self.header.alg);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&rules.issuer]);
        validation.set_audience(&[&rules.audience]);
        let mut required = vec!["iss", "sub", "aud", "exp"];
        if rules.requires_nbf {
            required.push("nbf");
        }
        validation.set_required_spec_claims(&required);
        match decode::<Claims>(self.text, &key.key, &validation) {
            Ok(token) => Ok(token.claims.caller(key, rules, scope_rules)?),
            Err(error) => Err(match error.kind() {
                ErrorKind::InvalidSignature => Unfit::Signature,
                kind => Unfit::Denied(Denied::Invalid(why(kind))),
            }),
        }
    }
}

impl Claims {
    fn caller(
        &self,
        key: &PublicKey,
        rules: &TokenRules,
        scope_rules: &Arc<ScopeRules>,
    ) -> Result<Caller, Denied> {
        if !rules.requires_nbf {
            let iat = self
                .iat
                .ok_or(Denied::Invalid("the token has neither nbf nor iat"))?;
            let iat = Duration::try_from_secs_f64(iat).unwrap_or(Duration::MAX);
            if iat > now() + LEEWAY {
                return Err(Denied::Invalid("the token is not valid yet (iat)"));
            }
        }
        if self.iss != rules.issuer || self.sub.is_empty() {
            return Err(Denied::Invalid("the token has no sub, or another iss"));
        }
        let client = self.client_id.as_deref().or(self.azp.as_deref());
        if rules.per_client && client.is_none() {
            return Err(Denied::Invalid("the token says no client_id, nor azp"));
        }
        let granted = [&self.scope, &self.scp].into_iter().flatten();
        let granted: Vec<&str> = granted.flat_map(ScopeClaim::scopes).collect();
        if granted.len() > MOST_SCOPES {
            return Err(Denied::Invalid("the token has more than 100 scopes"));
        }
        let until = self.exp.map(Duration::try_from_secs_f64);
        let until = until.and_then(Result::ok).unwrap_or(Duration::MAX);
        let left = until.saturating_add(LEEWAY).saturating_sub(now());
        // What was just checked counts whole seconds.
        if left.is_zero() {
            return Err(Denied::Invalid(why(&ErrorKind::ExpiredSignature)));
        }
        Ok(Caller {
            owner: owner_of_subject(
                &rules.issuer,
                &self.sub,
                client.filter(|_| rules.per_client),
            ),
            scopes: Scopes::of(granted, scope_rules),
            validity: Validity::of(Some(left), key.gone.clone()),
        })
    }
}

/// Why a token was not verified.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It does not hold.
    Denied(Denied),
    /// The key is not the one that it was signed with.
    Signature,
}

impl From<Denied> for Unfit {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

/// What is said of a token whose signature does not fit.
pub(super) const UNFIT_SIGNATURE: Denied =
    Denied::Invalid("the signature of the token does not fit");

/// Why a token does not hold, for its client.
fn why(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet (nbf)",
        ErrorKind::InvalidAudience => "the token was made for another server (aud)",
        ErrorKind::InvalidIssuer => "the token is of another issuer",
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "exp" => "the token has no exp",
            "nbf" => "the token has no nbf",
            "aud" => "the token has no aud",
            "sub" => "the token has no sub",
            _ => "the token has no iss",
        },
        _ => "the token cannot be read",
    }
}
