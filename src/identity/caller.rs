//! A caller that is known.

use taskferry_contract::Owner;

use crate::identity::scopes::Scopes;
use crate::identity::validity::Validity;

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Whose tasks these are.
    pub(crate) owner: Owner,
    /// What it may do.
    pub(crate) scopes: Scopes,
    /// For how long it is known.
    pub(crate) validity: Validity,
}

impl Caller {
    /// A caller without a credential, where none is asked for: it may do everything.
    pub(crate) fn unchecked(owner: Owner) -> Self {
        Self {
            owner,
            scopes: Scopes::all(),
            validity: Validity::forever(),
        }
    }
}
