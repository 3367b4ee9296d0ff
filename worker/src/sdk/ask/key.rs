//! The keys of questions.

use super::error::{AskError, LONGEST_KEY};

/// Checks the key of a question.
pub(crate) fn check_key(key: &str) -> Result<(), AskError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(allowed) {
        Ok(())
    } else {
        Err(AskError::Key(key.chars().take(LONGEST_KEY).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_word() {
        assert!(check_key("confirm-1.a_b").is_ok());
        for key in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(check_key(key).is_err(), "{key}");
        }
    }
}
