//! The program `taskferry`.

use std::process::ExitCode;

/// Its threads pass what they allocate from one to another, at every request: the system's allocator spends a fifth of a
/// poll on that, and keeps more after a burst.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    taskferry::run().await
}
