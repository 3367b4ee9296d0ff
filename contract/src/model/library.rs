//! The version of the library of functions by which workers in other languages call the transitions.

use std::fmt;
use std::str::FromStr;

use crate::model::version::{CONTRACT_VERSION, ContractVersion};

/// What the names of all such libraries begin with; the contract's major follows.
pub(crate) const LIBRARY_PREFIX: &str = "taskferry_";

/// Which library it is. Of two, the greater one is newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryVersion {
    /// The version of the contract that it keeps to.
    pub contract: ContractVersion,
    /// The release of Taskferry that it came with.
    pub release: String,
    /// The SHA-1 of what its functions are, in hexadecimal digits.
    pub digest: String,
}

/// Not what a version looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be like: contract 3.0, release 0.1.0, 40 hexadecimal digits")]
pub struct UnknownLibrary;

/// Which library an installation takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// An older one, or one that does not say what it is.
    Older,
    /// Also another one of the same release.
    Same,
    /// Also a newer one.
    Any,
}

/// What became of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// It was not there, and now is.
    New,
    /// It took the place of another one, which is named if it said its version.
    Replaced(Option<LibraryVersion>),
    /// One is there that was not to be replaced: this one, or one as new, or a newer one.
    Kept(LibraryVersion),
    /// Another library has functions of these names. Nothing changed.
    NamesTaken {
        /// The library's name.
        by: String,
    },
    /// The user may not run this command. Nothing changed.
    Forbidden(&'static str),
    /// This Redis has no functions.
    Unsupported,
}

/// What a Redis has of such libraries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Libraries {
    /// These, or none.
    Seen {
        /// That of this program's major, if it is there; its version, if it says one.
        own: Option<Option<LibraryVersion>>,
        /// The names of those of other majors.
        others: Vec<String>,
    },
    /// The user may not see them.
    Hidden,
    /// This Redis has no functions.
    Unsupported,
}

impl LibraryVersion {
    /// That of this release.
    pub(crate) fn own(digest: String) -> Self {
        Self {
            contract: CONTRACT_VERSION,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            digest,
        }
    }

    /// Whether it is newer than another: what it keeps to, then what it came with. Of two of one release neither is.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let order = |version: &Self| (version.contract, numbers(&version.release));
        order(self) > order(other)
    }
}

/// The numbers of a release; what is none counts as 0.
fn numbers(release: &str) -> Vec<u64> {
    let parts = release.split(['.', '-', '+']);
    parts.map(|part| part.parse().unwrap_or(0)).collect()
}

impl fmt::Display for LibraryVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            contract,
            release,
            digest,
        } = self;
        write!(f, "contract {contract}, release {release}, {digest}")
    }
}

impl FromStr for LibraryVersion {
    type Err = UnknownLibrary;

    fn from_str(text: &str) -> Result<Self, UnknownLibrary> {
        let mut parts = text.split(", ");
        let mut next = |word: &str| parts.next()?.strip_prefix(word).map(str::to_owned);
        let contract = next("contract ").and_then(|contract| {
            let (major, minor) = contract.split_once('.')?;
            Some(ContractVersion {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
            })
        });
        let (release, digest) = (next("release "), next(""));
        match (contract, release, digest) {
            (Some(contract), Some(release), Some(digest)) if digest.len() == 40 => Ok(Self {
                contract,
                release,
                digest,
            }),
            _ => Err(UnknownLibrary),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(minor: u16, release: &str) -> LibraryVersion {
        LibraryVersion {
            contract: ContractVersion { major: 3, minor },
            release: release.to_owned(),
            digest: "0".repeat(40),
        }
    }

    #[test]
    fn a_version_is_read_as_it_is_written() {
        let own = LibraryVersion::own("a".repeat(40));
        assert_eq!(own.to_string().parse(), Ok(own));
        for text in [
            "",
            "contract 3, release 1, x",
            "contract 3.0, release 1.0",
            "claim: starts",
        ] {
            assert_eq!(
                text.parse::<LibraryVersion>(),
                Err(UnknownLibrary),
                "{text}"
            );
        }
    }

    #[test]
    fn the_contract_counts_before_the_release() {
        for (newer, older) in [
            (version(1, "0.1.0"), version(0, "9.0.0")),
            (version(0, "0.10.0"), version(0, "0.9.9")),
        ] {
            assert!(newer.is_newer_than(&older) && !older.is_newer_than(&newer));
        }
        let (one, other) = (version(0, "0.1.0"), version(0, "0.1.0"));
        assert!(!one.is_newer_than(&other));
    }
}
