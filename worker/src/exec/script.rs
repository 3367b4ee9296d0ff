//! The script that a command gives to its interpreter, where the command alone shows which that is.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use super::command::ExecCommand;
use super::template::CommandTemplate;

/// Interpreters whose first argument is a script. `python` stands for `python3.11` too.
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "zsh", "ksh"];
const OTHERS: [&str; 8] = [
    "python", "pypy", "node", "ruby", "perl", "php", "lua", "Rscript",
];

/// Options after which the next argument is code, or names a module.
const CODE: [&str; 5] = ["-c", "-e", "-E", "-m", "-r"];

/// Behind options, of which one may take a value, only a name that ends so is taken for a script.
const ENDINGS: [&str; 10] = [
    "py", "sh", "bash", "js", "mjs", "cjs", "rb", "pl", "php", "lua",
];

/// The script of a command whose program is a known interpreter. `None` if that is not certain.
pub(crate) fn script(template: &CommandTemplate) -> Option<&str> {
    let interpreter = interpreter(template)?;
    let mut has_options = false;
    for argument in template.first_literals() {
        if CODE.contains(&argument) || argument == "-" {
            return None;
        }
        if argument.starts_with('-') {
            has_options = true;
            continue;
        }
        let ending = Path::new(argument).extension().and_then(OsStr::to_str);
        let is_named_so = ending.is_some_and(|ending| ENDINGS.contains(&ending))
            && !argument.contains(char::is_whitespace);
        // node finds `run` as `run.js`.
        let is_certain = is_named_so || !(has_options || interpreter == "node");
        return is_certain.then_some(argument);
    }
    None
}

fn interpreter(template: &CommandTemplate) -> Option<&'static str> {
    let name = Path::new(template.program()).file_name()?.to_str()?;
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let mut known = SHELLS.into_iter().chain(OTHERS);
    known.find(|known| *known == name)
}

/// Says that the script of a command is not there, if that is certain. `path` is what a shell searches too.
pub(crate) fn missing(command: &ExecCommand, path: &OsStr) -> Option<String> {
    let script = script(&command.template)?;
    let is_shell = interpreter(&command.template).is_some_and(|name| SHELLS.contains(&name));
    let mut folders = vec![command.cwd.clone()];
    if is_shell && !script.contains('/') {
        folders.extend(std::env::split_paths(path));
    }
    let is_missing = |folder: &std::path::PathBuf| {
        let looked = command.cwd.join(folder).join(script).metadata();
        looked.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    };
    folders.iter().all(is_missing).then(|| {
        let (program, cwd) = (command.template.program(), command.cwd.display());
        format!("{program} is given `{script}`, and there is no such file in {cwd}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::template::ArgSource;

    fn template(words: &[&str]) -> CommandTemplate {
        let words = words.iter().map(|word| ArgSource::One((*word).to_owned()));
        CommandTemplate::parse(&words.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_script_is_reported_only_where_it_is_certain() {
        for (words, told) in [
            (&["python3", "report.py"][..], Some("report.py")),
            (&["/usr/bin/python3.11", "report"], Some("report")),
            (&["python3", "-u", "report.py", "--json"], Some("report.py")),
            (&["sh", "-eu", "run.sh", "{name}"], Some("run.sh")),
            (&["node", "run.js"], Some("run.js")),
            (&["node", "run"], None),
            (&["python3", "-W", "error"], None),
            (&["python3", "-m", "report.py"], None),
            (&["sh", "-c", "./run.sh"], None),
            (&["sh", "-ec", "exec ./run.sh"], None),
            (&["sh", "{script}.sh"], None),
            (&["bash", "-s"], None),
            (&["python3"], None),
            (&["convert", "picture.py"], None),
        ] {
            assert_eq!(script(&template(words)), told, "{words:?}");
        }
    }
}
