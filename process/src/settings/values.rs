//! What values look like: each reader says what it wants.

use std::fmt;
use std::path::PathBuf;

/// Reads `true` or `false`.
///
/// # Errors
///
/// What it should look like.
pub fn truth(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_neither| "must be true or false".to_owned())
}

/// Reads the name of a file.
///
/// # Errors
///
/// If it is empty.
pub fn file_name(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("must be the name of a file".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// Gives a reader's value on if it is from `low` to `high`, both included; else says so, as in `must be from 1s to 600s`.
pub fn within<T: PartialOrd + fmt::Debug>(low: T, high: T) -> impl FnOnce(T) -> Result<T, String> {
    move |value| {
        if (&low..=&high).contains(&&value) {
            Ok(value)
        } else {
            Err(format!("must be from {low:?} to {high:?}"))
        }
    }
}
