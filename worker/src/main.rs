//! `taskferry-worker`: runs the tools of a manifest.

use std::process::ExitCode;

use taskferry_worker::cli::Program;

fn main() -> ExitCode {
    Program::of_manifest(env!("CARGO_BIN_NAME"), env!("CARGO_PKG_VERSION")).main(|worker| worker)
}
