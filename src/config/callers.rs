//! Who may call, as the settings say.

use std::path::PathBuf;

use taskferry_contract::Owner;
use taskferry_process::settings::{Settings, truth};

use crate::identity::{AccessFile, read_access_file};

/// The owner of every task when one user is meant.
const SINGLE_USER: &str = "local";

/// Who may call.
#[derive(Debug, Clone)]
pub(crate) enum Callers {
    /// Everyone, and all are this owner.
    Everyone(Owner),
    /// Those whom the access file at this path names.
    Known(PathBuf, Box<AccessFile>),
}

/// Takes who may call.
pub(super) fn take_callers(settings: &mut Settings) -> Callers {
    let place = settings.given_as("access_file");
    let single = settings.take("single_user", false, truth);
    let file = settings.take_optional("access_file", |path| {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
        let path = PathBuf::from(path);
        let file = read_access_file(&text, path.parent().unwrap_or(&path))
            .map_err(|problems| format!("cannot be used: {}", problems.join("; ")))?;
        Ok((path, Box::new(file)))
    });
    match file {
        Some(_) if single => {
            settings.refuse(format!(
                "{place}: with single_user all callers are one; leave one of the two out"
            ));
            Callers::Everyone(single_user())
        }
        Some((path, file)) => Callers::Known(path, file),
        None if single => Callers::Everyone(single_user()),
        None => Callers::Everyone(Owner::anonymous()),
    }
}

/// The owner of all tasks where there is one user.
pub(super) fn single_user() -> Owner {
    Owner::named(SINGLE_USER).unwrap_or_default()
}
