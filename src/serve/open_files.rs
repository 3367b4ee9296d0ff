//! How many files, connections among them, this process may have open.

use taskferry_process::raise_open_files;

/// What a front end has open besides its connections to clients: those to Redis, the listener, the log.
const BESIDES: usize = 128;

/// Raises the limit of open files to what the system allows. Returns how many connections that leaves of `wanted`
/// (`usize::MAX` for any number), and says so if these are fewer.
pub(super) fn connections_of(wanted: usize) -> usize {
    let files = raise_open_files().and_then(|files| usize::try_from(files).ok());
    let Some(files) = files else { return wanted };
    let left = files.saturating_sub(BESIDES).max(1);
    if left < wanted && wanted < usize::MAX {
        tracing::warn!(
            files,
            max_connections = left,
            "the limit of open files leaves fewer connections than max_connections: raise it (ulimit -n, LimitNOFILE), or set max_connections below it"
        );
    }
    left.min(wanted)
}
