//! Whether a command could be started here and now, seen without starting it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::command::ExecCommand;
use super::env_file;
use super::environment::Environment;
use super::error::StartError;
use super::folders;
use super::landlock::lets_read;
use super::script;

/// Where to search for programs if no PATH is set, as `execvp` does.
const PATH: &str = "/bin:/usr/bin";

/// How many bytes of a script's first line Linux reads for the interpreter.
const FIRST_LINE: u64 = 256;

/// Checks the command's folder, its program and, of a script, its interpreter, as starting it would.
///
/// # Errors
///
/// How the start would fail: the first thing that is missing, closed or not executable.
pub(crate) fn check(command: &ExecCommand, inherited: &Environment) -> Result<(), StartError> {
    let (cwd, program) = (&command.cwd, command.template.program());
    let path = search_path(command, inherited);
    let path = path.as_deref();
    if let Some(folder) = folders::closed_on_the_way(cwd, program, path) {
        let source = ErrorKind::PermissionDenied.into();
        return Err(StartError::Closed { folder, source });
    }
    if !cwd.is_dir() {
        let cwd = cwd.clone();
        return Err(StartError::WorkingDirectory { cwd });
    }
    let refused = |source| StartError::from_spawn(program, source);
    let found = find(cwd, program, path.unwrap_or(OsStr::new(PATH))).map_err(refused)?;
    let interpreter = interpreter(&found).map(|interpreter| cwd.join(interpreter));
    if let Some(interpreter) = &interpreter {
        runnable(interpreter).map_err(refused)?;
    }
    let script = script::script(&command.template).map(|script| cwd.join(script));
    let files = [
        Some(found),
        interpreter,
        script.filter(|file| file.exists()),
    ];
    match files
        .into_iter()
        .flatten()
        .find(|file| !lets_read(&command.sandbox, file))
    {
        None => Ok(()),
        Some(file) => Err(StartError::Unconfined {
            reason: format!(
                "`{}` may not be read in its sandbox: name it, or its folder, in sandbox.read",
                file.display()
            ),
        }),
    }
}

fn search_path(command: &ExecCommand, inherited: &Environment) -> Option<OsString> {
    // Files that cannot be used are told of when the manifest is read.
    let from_files = env_file::read_all(&command.env_files).unwrap_or_default();
    let sources = [&command.env, &from_files, inherited];
    let mut paths = sources.into_iter().filter_map(|of| of.get("PATH"));
    paths.next().map(OsStr::to_owned)
}

/// What a start would not notice and the command would end with: its interpreter would not find its script.
pub(crate) fn warning(command: &ExecCommand, inherited: &Environment) -> Option<String> {
    let path = search_path(command, inherited);
    script::missing(command, path.as_deref().unwrap_or(OsStr::new(PATH)))
}

/// The first file of this name that may be run. One that may not be run is passed over while there may be another.
fn find(cwd: &Path, program: &str, path: &OsStr) -> io::Result<PathBuf> {
    let places: Vec<PathBuf> = if program.contains('/') {
        vec![cwd.join(program)]
    } else {
        let folders = std::env::split_paths(path);
        folders.map(|place| cwd.join(place).join(program)).collect()
    };
    let mut refused = io::Error::from(ErrorKind::NotFound);
    for place in places {
        match runnable(&place) {
            Ok(()) => return Ok(place),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn runnable(file: &Path) -> io::Result<()> {
    if !file.metadata()?.is_file() {
        return Err(ErrorKind::PermissionDenied.into());
    }
    Ok(access(file, Access::EXEC_OK)?)
}

/// The interpreter that a script's first line names. `None` for a file that is no script, or cannot be read: it may still
/// run.
fn interpreter(file: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    let opened = File::open(file).ok()?;
    opened.take(FIRST_LINE).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n');
    let line = line.into_iter().next()?.trim_ascii_start();
    let name = line.split(|byte| matches!(byte, b' ' | b'\t')).next()?;
    (!name.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(name)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::manifest::Manifest;

    /// What is said of a command in a folder with these files, each with its mode.
    fn checked(command: &str, rest: &str, files: &[(&str, u32, &str)]) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode, text) in files {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(*mode)).unwrap();
        }
        let text = format!(
            "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['{command}']\n{rest}\nenv.A = 'b'"
        );
        let text = text.replace("FOLDER", folder.path().to_str().unwrap());
        let manifest = Manifest::parse(&text, folder.path()).unwrap();
        let mut inherited = Environment::default();
        inherited.set("PATH", "/usr/bin:/bin");
        check(&manifest.tools[0].command, &inherited).map_err(|error| error.to_string())
    }

    #[test]
    fn what_can_be_started_is_passed() {
        let script = [("run", 0o755, "#!/bin/sh\n")];
        for (command, rest) in [
            ("sh", ""),
            ("/bin/sh", ""),
            ("./run", ""),
            ("FOLDER/run", ""),
            ("run", "env.PATH = 'FOLDER'"),
            ("run", "env.PATH = '.:/bin'"),
        ] {
            assert_eq!(checked(command, rest, &script), Ok(()), "{command} {rest}");
        }
        let spaced = [("run", 0o755, "#! /bin/sh -eu\n")];
        assert_eq!(checked("./run", "", &spaced), Ok(()));
        let earlier = [("sh", 0o644, "not to be run")];
        assert_eq!(checked("sh", "env.PATH = '.:/bin'", &earlier), Ok(()));
    }

    #[test]
    fn what_cannot_be_started_is_reported_as_a_start_would() {
        let plain = [("run", 0o644, "#!/bin/sh\n")];
        let lost = [("run", 0o755, "#!/no/such/shell\n")];
        let windows = [("run", 0o755, "#!/bin/sh\r\n")];
        for (command, rest, files, told) in [
            (
                "no-such-program",
                "",
                &plain,
                "`no-such-program`, or the interpreter it asks for, was not found",
            ),
            ("/no/such/program", "", &plain, "was not found"),
            ("sh", "env.PATH = '/no/such'", &plain, "was not found"),
            ("FOLDER/run", "", &plain, "is not executable"),
            ("run", "env.PATH = 'FOLDER'", &plain, "is not executable"),
            ("/usr", "", &plain, "is not executable"),
            ("./run", "", &lost, "was not found"),
            ("./run", "", &windows, "was not found"),
            ("sh", "cwd = 'no/such'", &plain, "its working directory"),
            ("sh", "cwd = '/bin/sh'", &plain, "its working directory"),
        ] {
            let refused = checked(command, rest, files).unwrap_err();
            assert!(refused.contains(told), "{command} {rest}: {refused}");
        }
    }
}
