//! The slots of a Redis Cluster. A Cluster spreads its keys over 16,384 slots by their names, and refuses a call whose keys
//! are in two of them. Of a name with braces only what stands in the braces counts: the hash tag.
//! <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags>

use crate::model::shard::crc16;

/// How many slots there are.
const SLOTS: u16 = 16_384;

/// The slot of a key or channel, from 0 to 16,383.
#[must_use]
pub fn hash_slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) % SLOTS
}

/// What stands between the first opening brace and the next closing one, unless that is nothing.
pub(crate) fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let rest = key.get(open + 1..)?;
    let close = rest.iter().position(|byte| *byte == b'}')?;
    rest.get(..close).filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_that_redis_computes() {
        // As CLUSTER KEYSLOT says.
        for (key, slot) in [
            ("123456789", 12_739),
            ("foo", 12_182),
            ("tf:{foo}:task", 12_182),
            ("foo{}{bar}", 8_363),
        ] {
            assert_eq!(hash_slot(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn the_first_braces_make_the_tag_unless_they_are_empty() {
        for (key, tag) in [
            ("tf:{s:1}:session", Some("s:1")),
            ("a{b}{c}", Some("b")),
            ("a{{b}}", Some("{b")),
            ("a{}{b}", None),
            ("a{b", None),
            ("a", None),
        ] {
            assert_eq!(hash_tag(key.as_bytes()), tag.map(str::as_bytes), "{key}");
        }
    }
}
