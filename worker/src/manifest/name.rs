//! Names of tools and queues.

use super::table::TableReader;

const LONGEST_NAME: usize = 64;

/// A name of a tool or a queue: it stands in Redis keys and in HTTP headers.
pub(super) fn check_name(reader: &mut TableReader<'_, '_>, key: &'static str, name: &str) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(allowed) {
        reader.problem(
            key,
            format!("{name:?} is no valid name: write 1 to {LONGEST_NAME} of A-Z a-z 0-9 _ . -"),
        );
    }
}
