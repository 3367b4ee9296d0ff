//! Why a credential is not taken.

/// Why nobody is known by what a request brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denied {
    /// There is no credential.
    Missing,
    /// It cannot be read as one: why.
    Malformed(&'static str),
    /// It is not valid: why, in words without quotes.
    Invalid(&'static str),
    /// Its issuer's keys are not known yet.
    NoKeys,
}
