//! Shards: the slices of the key space.

use std::fmt;

use crate::model::names::Owner;

/// One slice of the key space: all keys a transition touches carry the same shard as their hash tag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u16);

impl Shard {
    /// The shard of this number, if there can be one.
    pub(crate) fn numbered(number: u16) -> Option<Self> {
        (number < Shards::MAX).then_some(Self(number))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many shards there are: 1 to 1024. The same number for every process on one Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards(u16);

impl Shards {
    /// The most shards that can be configured.
    pub const MAX: u16 = 1024;

    /// `count` shards. `None` if that is 0 or more than [`Self::MAX`].
    #[must_use]
    pub fn new(count: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&count).then_some(Self(count))
    }

    /// How many.
    #[must_use]
    pub fn count(self) -> u16 {
        self.0
    }

    /// Every shard.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.0).map(Shard)
    }

    /// The shard of an owner's tasks: fixed by the name, so that the owner's caps and lists are whole; at random when
    /// callers cannot be told apart.
    #[must_use]
    pub fn of(self, owner: &Owner) -> Shard {
        if self.0 == 1 {
            return Shard(0);
        }
        match owner.as_str() {
            "" => Shard(rand::random_range(0..self.0)),
            name => self.of_text(name),
        }
    }

    /// The shard that a text chooses.
    pub(crate) fn of_text(self, text: &str) -> Shard {
        Shard(crc16(text.as_bytes()) % self.0)
    }
}

impl Default for Shards {
    fn default() -> Self {
        Self(1)
    }
}

/// CRC-16/XMODEM, the checksum Redis Cluster uses for its slots.
pub(crate) fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_always_lands_on_the_same_shard() {
        let shards = Shards::new(16).unwrap();
        let owner = Owner::named("key:alice").unwrap();
        assert_eq!(shards.of(&owner), shards.of(&owner));
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }
}
