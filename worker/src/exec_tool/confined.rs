//! Whether what bounds a tool can be had here.

use taskferry_process::settings::everybody_may_read;

use crate::exec::{Supervisor, landlock};
use crate::manifest::ExecTool;

/// Why a worker does not start with a tool that it could not bound as its manifest says.
pub(crate) fn refused(tool: &ExecTool) -> Option<String> {
    let command = &tool.command;
    let needs_supervisor = !command.limits.is_empty() || !command.sandbox.is_empty();
    if needs_supervisor && Supervisor::own().is_none() {
        return Some(format!(
            "tool {} has limits or a sandbox, which only a supervisor can see to: let the program call taskferry_worker::supervise_if_told first",
            tool.name
        ));
    }
    let is_missing = command.sandbox.required && !landlock::is_available();
    is_missing.then(|| {
        format!(
            "tool {}: sandbox.required is set, and this system has no Landlock (Linux 5.13, enabled in lsm=)",
            tool.name
        )
    })
}

/// What is said of the files of a tool's secrets that are open to everybody.
pub(crate) fn open_secrets(tool: &ExecTool) -> Vec<String> {
    let files = tool.command.env_files.iter();
    let open = files.filter(|file| everybody_may_read(file));
    let said = open.map(|file| {
        format!(
            "env_file `{}` of {} is secret, and every user of this machine may read the file: chmod o-r",
            file.display(),
            tool.name
        )
    });
    said.collect()
}

/// What is said of a tool that starts all the same.
pub(crate) fn warning(tool: &ExecTool) -> Option<String> {
    let sandbox = &tool.command.sandbox;
    let is_missing = sandbox.bounds_files() && !sandbox.required && !landlock::is_available();
    is_missing.then(|| {
        format!(
            "sandbox.read and sandbox.write of {} bound nothing here: this system has no Landlock (Linux 5.13, enabled in lsm=). Set sandbox.required where the tool must not run so",
            tool.name
        )
    })
}
