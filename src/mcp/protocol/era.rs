//! The two eras of the protocol.

/// An era of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// Sessions opened by `initialize`.
    Legacy,
    /// Every request stands for itself.
    Modern,
}
