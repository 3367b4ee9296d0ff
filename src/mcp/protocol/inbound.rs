//! What a transport hands over with a message: who sent it, and what its client says outside of the body.

use std::net::IpAddr;

use crate::identity::Caller;

/// Where a message comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inbound<'a> {
    pub(crate) caller: &'a Caller,
    /// The address that it comes from, as far as that is known; of IPv6, the network.
    pub(crate) address: Option<IpAddr>,
    pub(crate) facts: &'a Facts<'a>,
}

/// What a client says outside of the body. HTTP has headers for it. A transport that carries one client alone, as a pipe does,
/// knows the session by itself and leaves out the rest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts<'a> {
    /// The revision of the protocol that the client speaks.
    pub(crate) revision: Stated<'a>,
    /// The legacy session that the message belongs to, by its id.
    pub(crate) session: Stated<'a>,
    /// The id of the last event that the client got of the stream that it wants to go on with; empty for none.
    pub(crate) last_event: Stated<'a>,
    /// The parts of the body that headers repeat. `None` if the transport has no headers: then nothing is compared.
    pub(crate) repeated: Option<Repeated<'a>>,
}

/// What is said of a modern request a second time, for whoever forwards it without reading its body (2026-07-28, Streamable
/// HTTP, Request Metadata).
#[derive(Debug, Clone, Default)]
pub(crate) struct Repeated<'a> {
    /// The method.
    pub(crate) method: Stated<'a>,
    /// The name of the tool, or the id of the task.
    pub(crate) name: Stated<'a>,
    /// Arguments of a tool, under the names that the tool's definition gives them for this.
    pub(crate) parameters: Vec<(&'a str, Stated<'a>)>,
}

impl<'a> Repeated<'a> {
    /// An argument, by the name that is repeated under, in any case of letters.
    pub(crate) fn parameter(&self, name: &str) -> Stated<'a> {
        let named = |(given, _): &&(&str, Stated<'a>)| given.eq_ignore_ascii_case(name);
        let found = self.parameters.iter().find(named);
        found.map_or(Stated::Absent, |(_, stated)| *stated)
    }
}

/// A text that a client is to say once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Stated<'a> {
    /// It does not.
    #[default]
    Absent,
    /// It does.
    Once(&'a str),
    /// It does, in characters outside ASCII.
    Unreadable,
    /// It does so several times. This is the first, if that can be read.
    Several(Option<&'a str>),
}

impl<'a> Stated<'a> {
    /// Of all that a client said, each `None` if it cannot be read.
    pub(crate) fn of(said: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut said = said.into_iter();
        match (said.next(), said.next()) {
            (None, _) => Self::Absent,
            (Some(Some(text)), None) => Self::Once(text),
            (Some(None), None) => Self::Unreadable,
            (Some(first), Some(_)) => Self::Several(first),
        }
    }

    /// What was said first, if that can be read.
    pub(crate) fn first(self) -> Option<&'a str> {
        match self {
            Self::Once(text) | Self::Several(Some(text)) => Some(text),
            Self::Absent | Self::Unreadable | Self::Several(None) => None,
        }
    }
}
