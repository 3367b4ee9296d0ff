//! Who is counted, so that nobody takes all of something.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::model::names::Owner;

/// Who is counted: a caller by its name, or, where callers have none, all that comes from an address. No owner's name begins
/// as an address does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A caller with a name.
    Owner(&'a Owner),
    /// Whoever calls from this address.
    Address(&'a str),
}

impl<'a> Holder<'a> {
    /// The holder who is `owner`, at `address` if that is known. `None` if neither says anything.
    #[must_use]
    pub fn of(owner: &'a Owner, address: Option<&'a str>) -> Option<Self> {
        if owner.is_anonymous() {
            address.map(Self::Address)
        } else {
            Some(Self::Owner(owner))
        }
    }
}

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(owner) => owner.fmt(f),
            // The asterisk cannot be part of an owner's name.
            Self::Address(address) => write!(f, "*{address}"),
        }
    }
}

/// How many sessions there may be; 0 for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionLimits {
    /// Of one holder.
    pub of_holder: u64,
    /// In all.
    pub in_all: u64,
}

/// Whether there is room for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionRoom {
    /// There is.
    Free,
    /// Its holder has as many as it may have.
    HolderIsFull,
    /// There are as many as there may be.
    AllAreTaken,
}

/// What a request costs its caller, in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateCost {
    /// How many a caller may make in a second, on all front ends together, and so many at once.
    pub each_second: NonZeroU32,
    /// For how many this one counts.
    pub cost: NonZeroU32,
    /// Whether it has happened already, so that it counts also if there is no room for it.
    pub owed: bool,
}

/// When a request may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateReply {
    /// Now.
    Now,
    /// After this.
    After(Duration),
}
