//! The version of the contract: whether processes of different versions of Taskferry can share one Redis.

use std::fmt;

/// What this binary keeps to. The minor is raised when a key, field or transition is added that others may pass over;
/// the major when one changes its meaning.
pub const CONTRACT_VERSION: ContractVersion = ContractVersion { major: 3, minor: 2 };

/// A version of the contract. Processes work together if the major is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContractVersion {
    /// Processes whose majors differ cannot share a Redis.
    pub major: u16,
    /// A higher minor only adds what older processes may pass over.
    pub minor: u16,
}

impl fmt::Display for ContractVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
