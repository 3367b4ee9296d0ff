//! Why a command did not start, as the process saw it that tried: with its rights, which may not be the worker's.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folders;

/// Why a command did not start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum StartFault {
    /// This folder may not be entered.
    Closed { folder: PathBuf, errno: Option<i32> },
    /// The folder to run in is none.
    NoFolder,
    /// The system refused, as this error says.
    Refused { errno: Option<i32>, text: String },
    /// Its limits or its sandbox could not be had.
    Unconfined(String),
}

impl StartFault {
    /// What an error of starting means. `path` is where programs are searched.
    pub(super) fn of(error: &io::Error, cwd: &Path, program: &OsStr, path: Option<&OsStr>) -> Self {
        let errno = error.raw_os_error();
        let program = program.to_string_lossy();
        if let Some(folder) = folders::closed_on_the_way(cwd, &program, path) {
            Self::Closed { folder, errno }
        } else if cwd.is_dir() {
            let text = error.to_string();
            Self::Refused { errno, text }
        } else {
            Self::NoFolder
        }
    }
}

/// The error that another process met.
pub(super) fn error_of(errno: Option<i32>, text: String) -> io::Error {
    match errno {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(text),
    }
}
