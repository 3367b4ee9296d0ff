//! How many files, connections among them, this process may have open.

use taskferry_process::raise_open_files;

/// What a front end has open besides its requests: Redis connections, the listener, the log.
const BESIDES: u64 = 128;

/// Raises the limit to what the system allows; says so if `max_requests` (0 for no limit) still do not fit.
pub(super) fn allow_most(max_requests: u64) {
    let Some(files) = raise_open_files() else {
        return;
    };
    if max_requests == 0 || files < max_requests.saturating_add(BESIDES) {
        tracing::warn!(
            files,
            max_requests,
            "the limit of open files is lower than max_requests needs: raise it (ulimit -n, LimitNOFILE) or set max_requests below it"
        );
    }
}
