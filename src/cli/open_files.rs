//! How many files, connections among them, this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a replica has open besides its requests: Redis connections, the listener, the log.
const BESIDES: u64 = 128;

/// Raises the limit to what the system allows; says so if `max_requests` (0 for no limit) still do not fit.
pub(super) fn allow_most(max_requests: u64) {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::debug!(%error, "the limit of open files cannot be raised");
    }
    let Some(files) = getrlimit(Resource::Nofile).current else {
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
