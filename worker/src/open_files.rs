//! For how many commands a limit of open files has room.

/// What a running command has open in its worker: three pipes, a socket to its supervisor, and a file descriptor that
/// becomes readable at the end of that.
const OF_A_COMMAND: u64 = 5;
/// What a worker has open besides: standard streams, its loops and signals, connections that all shards share, and what a
/// command that just starts needs for a moment.
const BESIDES: u64 = 40;
/// Connections for each shard.
const OF_A_SHARD: u64 = 2;

/// How many commands may run at once under this limit; at least one, since the reserve is an estimate.
pub(crate) fn commands_in(files: u64, shards: usize) -> usize {
    let besides = OF_A_SHARD.saturating_mul(shards as u64) + BESIDES;
    let commands = files.saturating_sub(besides) / OF_A_COMMAND;
    usize::try_from(commands).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_comes_before_the_commands() {
        assert_eq!(commands_in(1024, 1), 196);
        assert_eq!(commands_in(64, 1), 4);
        assert_eq!(commands_in(64, 4), 3);
        assert_eq!(commands_in(10, 1), 1);
        assert!(commands_in(u64::MAX, 1024) > 1024);
    }
}
