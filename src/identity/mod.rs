//! Who calls. A credential that comes with a request (an access token of an issuer, or a key) becomes a [`Caller`]: the owner of
//! what it makes, with its scopes, for as long as the credential is valid. docs/AUTHORIZATION.md says what is checked.

mod access;
mod access_file;
mod caller;
mod claims;
mod denied;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gate;
mod issuer;
mod jwks;
mod key_set;
mod owner;
mod scopes;
mod static_key;
mod validity;

pub(crate) use access_file::{AccessFile, read as read_access_file};
pub(crate) use caller::Caller;
pub(crate) use denied::Denied;
pub(crate) use gate::{Gate, Identified};
pub(crate) use owner::{owner_of_key, owner_of_subject};
pub(crate) use scopes::{Needs, Scopes};
pub(crate) use static_key::NewKey;
pub(crate) use validity::Validity;
