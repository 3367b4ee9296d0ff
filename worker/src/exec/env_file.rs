//! Files of environment variables: `NAME=value` lines, as systemd and containers have them.
//!
//! What such a file says is secret. An error names the file and the line, and shows nothing of what stands there.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::environment::Environment;

/// The largest file that is read, bytes.
const LARGEST: u64 = 1 << 20;

/// Why a file of variables cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the env_file `{}` {fault}", path.display())]
pub struct EnvFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: EnvFileFault,
}

/// What is wrong with a file of variables.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvFileFault {
    /// The operating system does not let it be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It is a folder, a pipe or a device.
    #[error("is no file")]
    NoFile,
    /// It is larger than such a file can be.
    #[error("is larger than 1MiB")]
    TooLarge,
    /// A line of it cannot be read.
    #[error("cannot be used: line {number} {wrong}")]
    Line {
        /// The line, from 1.
        number: usize,
        /// What is wrong with it, and what would be right.
        wrong: &'static str,
    },
}

/// The variables of these files; of a name that comes again, the last counts.
pub(crate) fn read_all(paths: &[PathBuf]) -> Result<Environment, EnvFileError> {
    let mut all = Environment::default();
    for path in paths {
        let variables = read(path).map_err(|fault| EnvFileError {
            path: path.clone(),
            fault,
        })?;
        for (name, value) in variables {
            all.set(name, value);
        }
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<(OsString, OsString)>, EnvFileFault> {
    // Before it is opened: a pipe would wait for who writes to it.
    let metadata = path.metadata().map_err(EnvFileFault::Unreadable)?;
    if !metadata.is_file() {
        return Err(EnvFileFault::NoFile);
    }
    let file = File::open(path).map_err(EnvFileFault::Unreadable)?;
    let mut bytes = Vec::new();
    let length = file.take(LARGEST + 1).read_to_end(&mut bytes);
    let length = length.map_err(EnvFileFault::Unreadable)?;
    if u64::try_from(length).is_ok_and(|length| length > LARGEST) {
        return Err(EnvFileFault::TooLarge);
    }
    parse(&bytes)
}

/// Reads the text of such a file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<(OsString, OsString)>, EnvFileFault> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let number = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            let wrong = "is not UTF-8";
            return Err(EnvFileFault::Line { number, wrong });
        }
    };
    let mut lines = Lines {
        rest: text,
        number: 1,
    };
    let mut variables = Vec::new();
    while !lines.rest.is_empty() {
        let number = lines.number;
        let read = lines.variable();
        let variable = read.map_err(|wrong| EnvFileFault::Line { number, wrong })?;
        variables.extend(variable.map(|(name, value)| (name.into(), value.into())));
    }
    Ok(variables)
}

/// What is still to be read.
struct Lines<'a> {
    rest: &'a str,
    /// The line that it begins with.
    number: usize,
}

impl<'a> Lines<'a> {
    /// Reads a line, and those over which its quoted value goes on. `None` for a line that says nothing.
    fn variable(&mut self) -> Result<Option<(&'a str, String)>, &'static str> {
        let line = self.line_ahead().trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            self.skip_line();
            return Ok(None);
        }
        let (name, _) = line.split_once('=').ok_or("has no `=`: write NAME=value")?;
        check_name(name)?;
        let begin = self.rest.find('=').map_or(0, |at| at + 1);
        self.rest = self.rest.get(begin..).unwrap_or_default();
        let blanks = self.rest.len() - self.rest.trim_start_matches([' ', '\t']).len();
        self.rest = self.rest.get(blanks..).unwrap_or_default();
        let value = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => self.plain()?,
        };
        if value.contains('\0') {
            return Err("has a NUL character, which no variable can carry");
        }
        Ok(Some((name, value)))
    }

    /// A value without quotes: the rest of the line.
    fn plain(&mut self) -> Result<String, &'static str> {
        let value = self.line_ahead().trim();
        if value.ends_with('\\') {
            return Err("ends with a backslash: put a value of several lines in quotes");
        }
        self.skip_line();
        Ok(value.to_owned())
    }

    /// A value in quotes, which may have several lines.
    fn quoted(&mut self, quote: char) -> Result<String, &'static str> {
        let mut value = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        let end = loop {
            match chars.next() {
                None => return Err("begins a quote that is not closed"),
                Some((at, c)) if c == quote => break at + 1,
                Some((_, '\\')) if quote == '"' => match chars.next() {
                    Some((_, c @ ('"' | '\\' | '$' | '`'))) => value.push(c),
                    Some((_, '\n')) => {}
                    Some((_, c)) => value.extend(['\\', c]),
                    None => return Err("begins a quote that is not closed"),
                },
                Some((_, c)) => value.push(c),
            }
        };
        let read = self.rest.get(..end).unwrap_or_default();
        self.number += read.matches('\n').count();
        self.rest = self.rest.get(end..).unwrap_or_default();
        if !self.line_ahead().trim().is_empty() {
            return Err("goes on after the closing quote");
        }
        self.skip_line();
        Ok(value)
    }

    fn line_ahead(&self) -> &'a str {
        self.rest.split('\n').next().unwrap_or_default()
    }

    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        self.number += 1;
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !name.starts_with(begins) || !name.chars().all(word) {
        return Err(
            "has no valid name before its `=`: A-Z a-z 0-9 _, no digit first, and no space",
        );
    }
    if name.starts_with(Environment::RESERVED_PREFIX) {
        return Err("sets a name that starts with TASKFERRY_, which only the worker sets");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables of a text, as `NAME=value` each.
    fn read_of(text: &str) -> Result<Vec<String>, String> {
        let variables = parse(text.as_bytes()).map_err(|fault| fault.to_string())?;
        let shown = variables.into_iter().map(|(name, value)| {
            let [name, value] = [name, value].map(|text| text.into_string().unwrap());
            format!("{name}={value}")
        });
        Ok(shown.collect())
    }

    #[test]
    fn lines_are_read_as_they_are_described() {
        for (text, expected) in [
            ("", &[][..]),
            ("A=b", &["A=b"]),
            ("A=b\n", &["A=b"]),
            ("\n# A=b\n ; B=c\n\t\nC=d\n", &["C=d"]),
            ("A=b\r\n_b9=c\r\n", &["A=b", "_b9=c"]),
            ("  A= b c \t\n", &["A=b c"]),
            ("A=", &["A="]),
            ("A=\nB=", &["A=", "B="]),
            ("A=b # c", &["A=b # c"]),
            ("A=b=c", &["A=b=c"]),
            ("A=$B ${B} `b`", &["A=$B ${B} `b`"]),
            (r"A=\n\t\x", &[r"A=\n\t\x"]),
            (r#"A=b"c"'d'"#, &[r#"A=b"c"'d'"#]),
            (r#"A=" b # ; ' ""#, &["A= b # ; ' "]),
            (r#"A='b "c" \n $d'"#, &[r#"A=b "c" \n $d"#]),
            (r#"A="\"\\\$\`\n""#, &[r#"A="\$`\n"#]),
            (
                "A=\"b\nc\"\nB='d\ne\n'  \nC=f",
                &["A=b\nc", "B=d\ne\n", "C=f"],
            ),
            ("A=\"b\\\nc\"", &["A=bc"]),
            ("A=''", &["A="]),
            ("A=b\nA=c", &["A=b", "A=c"]),
            ("A=ä", &["A=ä"]),
        ] {
            assert_eq!(read_of(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_file_of_the_guide_is_read() {
        let guide = include_str!("../../../docs/WORKERS.md");
        let (_, block) = guide
            .split_once("```text\n# /etc/taskferry/shop.env")
            .unwrap();
        let (text, _) = block.split_once("```\n").unwrap();
        let read = read_of(&format!("#{text}")).unwrap();
        assert_eq!(
            read[..2],
            [
                "SHOP_TOKEN=5d41402abc4b2a76",
                "SHOP_URL=https://shop.example/v2"
            ]
        );
        let key = read[2]
            .strip_prefix("SHOP_KEY=-----BEGIN PRIVATE KEY-----\n")
            .unwrap();
        assert!(key.ends_with("\n-----END PRIVATE KEY-----"), "{key}");
        assert_eq!(read.len(), 3);
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line_and_without_its_words() {
        for (text, line, wrong) in [
            ("SECRET", 1, "has no `=`"),
            ("A=b\n\nSECRET\n", 3, "has no `=`"),
            ("export SECRET=b", 1, "has no valid name"),
            ("SECRET =b", 1, "has no valid name"),
            ("=SECRET", 1, "has no valid name"),
            ("1SECRET=b", 1, "has no valid name"),
            ("SECR-ET=b", 1, "has no valid name"),
            ("A=b\nTASKFERRY_SECRET=b", 2, "starts with TASKFERRY_"),
            (
                "A=b\nB='SECRET\nC=d\n",
                2,
                "begins a quote that is not closed",
            ),
            ("A=\"SECRET\\", 1, "begins a quote that is not closed"),
            (
                "A='b\nc'\nB=\"SECRET\" # d",
                3,
                "goes on after the closing quote",
            ),
            ("A=SECRET\\\nB=c", 1, "ends with a backslash"),
            ("A=b\nB=SECRET\0", 2, "has a NUL character"),
        ] {
            let told = read_of(text).unwrap_err();
            let expected = format!("cannot be used: line {line} ");
            assert!(told.starts_with(&expected), "{text:?}: {told}");
            assert!(told.contains(wrong), "{text:?}: {told}");
            assert!(!told.contains("SECR"), "{text:?}: {told}");
        }
        let told = parse(b"A=b\nB=\xff\n").unwrap_err().to_string();
        assert_eq!(told, "cannot be used: line 2 is not UTF-8");
    }

    #[test]
    fn files_that_are_none_or_too_large_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        let told = |path: &Path| read_all(&[path.to_owned()]).unwrap_err().to_string();
        assert!(told(&file).ends_with("cannot be read: No such file or directory (os error 2)"));
        assert!(told(folder.path()).ends_with("is no file"));
        let line = "A=b\n".repeat(1 << 18);
        std::fs::write(&file, &line).unwrap();
        assert!(read_all(std::slice::from_ref(&file)).is_ok());
        std::fs::write(&file, line + "\n").unwrap();
        assert!(told(&file).ends_with("is larger than 1MiB"));
    }

    #[test]
    fn of_several_files_the_last_one_counts() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["one", "two"].map(|name| folder.path().join(name));
        std::fs::write(&files[0], "A=1\nB=1").unwrap();
        std::fs::write(&files[1], "B=2\nC=2").unwrap();
        let all = read_all(&files).unwrap();
        let values = ["A", "B", "C"].map(|name| all.get(name).unwrap().to_owned());
        assert_eq!(values, ["1", "2", "2"]);
        // Values are not shown.
        assert!(!format!("{all:?}").contains('2'));
    }
}
