//! Who may read a file with a secret in it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Where containers have their secrets. Every user of a container may read them there: there is one.
const OF_A_CONTAINER: &str = "/run/secrets";

/// Whether every user of this machine may read a file. Not so if that cannot be found out: then the file cannot be read either.
pub fn everybody_may_read(path: &Path) -> bool {
    const OTHERS_READ: u32 = 0o004;
    let mode = std::fs::metadata(path).map(|file| file.permissions().mode());
    mode.is_ok_and(|mode| mode & OTHERS_READ != 0) && !path.starts_with(OF_A_CONTAINER)
}
