//! A second name for a job, by which a later call finds it instead of queueing another.

use crate::model::ids::SessionId;
use crate::model::names::Owner;
use crate::model::shard::{Shard, Shards};

/// Who made a call, as far as calls of the same caller can be told from those of others.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Whose task it is.
    pub owner: &'a Owner,
    /// The legacy session it came over.
    pub session: Option<SessionId>,
}

impl Scope<'_> {
    /// Whether this caller cannot be told from others: then a key must be as hard to guess as an id.
    #[must_use]
    pub fn is_open(self) -> bool {
        self.owner.is_anonymous() && self.session.is_none()
    }

    /// The asterisk cannot be part of an owner's name, so no session is an owner; nor can the comma that ends it.
    fn name(self) -> String {
        match self.session {
            Some(session) if self.owner.is_anonymous() => format!("*{session}"),
            _ => self.owner.to_string(),
        }
    }
}

/// What makes a call the same call, as a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallDigest(String);

impl CallDigest {
    /// The digest as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for CallDigest {
    fn from(digest: &str) -> Self {
        Self(digest.to_owned())
    }
}

impl From<String> for CallDigest {
    fn from(digest: String) -> Self {
        Self(digest)
    }
}

/// The name of a key that holds a job's id as long as the name stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    name: String,
    call: Option<CallDigest>,
}

impl Alias {
    /// An idempotency key, and a digest of the one call it may be used for. It stands for its job as long as the record
    /// lives.
    #[must_use]
    pub fn key(scope: Scope<'_>, key: &str, call: CallDigest) -> Self {
        Self {
            name: format!("idem:{},{key}", scope.name()),
            call: Some(call),
        }
    }

    /// A digest of what makes calls identical. It stands for its job until that ends. `None` for a caller who cannot be
    /// told from others: such callers do not share.
    #[must_use]
    pub fn identical(scope: Scope<'_>, call: &CallDigest) -> Option<Self> {
        (!scope.is_open()).then(|| Self {
            name: format!("same:{},{}", scope.name(), call.as_str()),
            call: None,
        })
    }

    /// What follows the base of a shard in the name of the Redis key.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The digest of the call that the name may be used for, empty if the name says it already.
    pub(crate) fn call(&self) -> &str {
        self.call.as_ref().map_or("", CallDigest::as_str)
    }

    /// Where the job must be for its alias to be found: on its owner's shard; without an owner, on one that the alias
    /// itself chooses.
    #[must_use]
    pub fn shard(alias: Option<&Self>, owner: &Owner, shards: Shards) -> Shard {
        match alias {
            Some(alias) if owner.is_anonymous() => shards.of_text(&alias.name),
            _ => shards.of(owner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(owner: &Owner, session: Option<SessionId>) -> Scope<'_> {
        Scope { owner, session }
    }

    fn digest() -> CallDigest {
        "d".into()
    }

    #[test]
    fn no_two_callers_share_an_alias() {
        let (short, long) = (Owner::named("a").unwrap(), Owner::named("a:b").unwrap());
        let nobody = Owner::anonymous();
        let session = SessionId::random();
        let names = [
            Alias::key(scope(&short, None), "b:c", digest()).name,
            Alias::key(scope(&long, None), "c", digest()).name,
            Alias::key(scope(&nobody, None), "b:c", digest()).name,
            Alias::key(scope(&nobody, Some(session)), "b:c", digest()).name,
            Alias::key(scope(&nobody, Some(SessionId::random())), "b:c", digest()).name,
        ];
        for (i, name) in names.iter().enumerate() {
            assert!(
                !names.iter().skip(i + 1).any(|other| other == name),
                "{name}"
            );
        }
        // A named owner's sessions are one caller.
        let over_a_session = Alias::key(scope(&short, Some(session)), "b:c", digest());
        assert!(names.contains(&over_a_session.name));
    }

    #[test]
    fn callers_who_cannot_be_told_apart_share_nothing() {
        let nobody = Owner::anonymous();
        assert!(Alias::identical(scope(&nobody, None), &digest()).is_none());
        assert!(Alias::identical(scope(&nobody, Some(SessionId::random())), &digest()).is_some());
    }

    #[test]
    fn an_alias_of_nobody_chooses_the_shard() {
        let (nobody, shards) = (Owner::anonymous(), Shards::new(64).unwrap());
        let at = |key: &str| {
            let alias = Alias::key(scope(&nobody, None), key, digest());
            Alias::shard(Some(&alias), &nobody, shards)
        };
        assert_eq!(at("one"), at("one"));
        let alice = Owner::named("alice").unwrap();
        let alias = Alias::key(scope(&alice, None), "one", digest());
        assert_eq!(
            Alias::shard(Some(&alias), &alice, shards),
            shards.of(&alice)
        );
    }
}
