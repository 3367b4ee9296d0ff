//! Which folder keeps a command from starting. The operating system says "permission denied" and not of what.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// A folder that this user may not enter, among those that lead to where a command runs and to its program. `None` if it
/// failed for another reason.
pub(super) fn closed_on_the_way(
    cwd: &Path,
    program: &str,
    path: Option<&OsStr>,
) -> Option<PathBuf> {
    if let Some(closed) = closed_folder(cwd) {
        return Some(closed);
    }
    if program.contains('/') {
        return closed_folder(cwd.join(program).parent()?);
    }
    let places = || path.into_iter().flat_map(std::env::split_paths);
    let places = || places().map(|place| cwd.join(place));
    if places().any(|place| place.join(program).exists()) {
        return None;
    }
    places().find_map(|place| closed_folder(&place))
}

/// The first folder of these, from the root to `folder`, that this user may not enter.
pub(crate) fn closed_folder(folder: &Path) -> Option<PathBuf> {
    let mut down: Vec<&Path> = folder.ancestors().collect();
    down.reverse();
    let closed = down.into_iter().find(|folder| {
        // Whoever may enter a folder can check what is in it.
        let within = folder.join(".").metadata();
        within.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    });
    closed.map(Path::to_path_buf)
}
