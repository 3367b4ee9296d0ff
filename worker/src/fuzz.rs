//! Fuzz targets: what must hold of any bytes. `scripts/fuzz` runs them for long, the tests below for a moment.

use std::path::Path;

use serde_json::value::RawValue;
use taskferry_contract::{ToolChecks, ToolDefinition};

use crate::exec::lines::{ASK_LINE_BYTES, LINE_BYTES, LineSplitter, OutputLine};
use crate::exec::stderr::StderrLine;
use crate::exec::template::{ArgSource, CommandTemplate};
use crate::exec_tool::definition;
use crate::manifest::Manifest;

/// Standard error of a command: it does not matter in which pieces it comes, and no line takes more memory than it may. The
/// first byte says how large the pieces are, the second how often the rest comes.
///
/// # Panics
///
/// If that is not so.
pub fn stderr(data: &[u8]) {
    let [size, times, said @ ..] = data else {
        return;
    };
    // So that lines become long enough to be cut.
    let times = if *times < 128 {
        1
    } else {
        usize::from(*times) * 2
    };
    let said = said.repeat(times.min(1 + 3 * ASK_LINE_BYTES / said.len().max(1)));
    let whole = split(std::iter::once(said.as_slice()));
    let pieces = split(said.chunks(usize::from(*size) + 1));
    assert!(
        whole == pieces,
        "{:?}",
        whole.iter().zip(&pieces).find(|(one, other)| one != other)
    );
    for line in whole {
        // A byte that is not UTF-8 becomes three.
        let most = if line.text.starts_with("::ask ") {
            ASK_LINE_BYTES
        } else {
            2 * LINE_BYTES
        };
        assert!(line.text.len() <= 3 * most, "{} bytes", line.text.len());
        hold_line(line.text);
    }
}

fn split<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<OutputLine> {
    let mut lines = Vec::new();
    let mut splitter = LineSplitter::default();
    pieces.for_each(|piece| splitter.push(piece, |line| lines.push(line)));
    lines.extend(splitter.finish());
    lines
}

fn hold_line(text: String) {
    match StderrLine::parse(text.clone()) {
        StderrLine::Progress(line) => {
            assert!(line.progress.is_finite() && line.total.is_none_or(f64::is_finite));
        }
        StderrLine::Ask(line) => assert!(line.key.chars().count() <= 64),
        StderrLine::Plain(plain) => assert_eq!(plain, text),
        StderrLine::Message(_) | StderrLine::Log(..) => assert!(text.starts_with("::")),
    }
}

/// A command as the manifest has it, an argument a line, those of a group with tabs between, and on the last line the
/// arguments of a call: no value becomes an option, or several arguments.
///
/// # Panics
///
/// If one does.
pub fn template(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some((command, arguments)) = text.rsplit_once('\n') else {
        return;
    };
    let source: Vec<ArgSource> = command.split('\n').map(argument).collect();
    let Ok(template) = CommandTemplate::parse(&source) else {
        return;
    };
    let Ok(arguments) = serde_json::from_str::<&RawValue>(arguments) else {
        return;
    };
    let Ok(words) = template.render(arguments) else {
        return;
    };
    let written: Vec<&str> = command.split(['\n', '\t']).skip(1).collect();
    assert!(
        words.len() <= written.len(),
        "more arguments than the manifest has"
    );
    let end = words
        .iter()
        .position(|word| word == "--")
        .unwrap_or(words.len());
    let may_be_option = written
        .iter()
        .any(|text| without_placeholders(text).starts_with('-'));
    for (at, word) in words.iter().enumerate() {
        assert!(!word.contains('\0'), "{word:?}");
        assert!(
            !word.starts_with('-') || may_be_option || at > end,
            "{word:?} is an option"
        );
    }
}

/// What the manifest says after the placeholders that an argument begins with.
fn without_placeholders(text: &str) -> &str {
    match text.strip_prefix('{') {
        Some(name) if !name.starts_with('{') => {
            let (_, rest) = name.split_once('}').unwrap_or_default();
            without_placeholders(rest)
        }
        _ => text,
    }
}

fn argument(line: &str) -> ArgSource {
    match line.split_once('\t') {
        None => ArgSource::One(line.to_owned()),
        Some(_) => ArgSource::Group(line.split('\t').map(str::to_owned).collect()),
    }
}

/// A manifest: it is read, or refused with its problems; a tool that is read can be registered.
///
/// # Panics
///
/// If its definition does not read back, or is refused by those who list it.
pub fn manifest(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let manifest = match Manifest::parse(&text, Path::new("/nowhere")) {
        Ok(manifest) => manifest,
        Err(told) => return assert!(!told.to_string().is_empty()),
    };
    assert!(
        !manifest.tools.is_empty(),
        "a manifest without a tool is taken"
    );
    for tool in manifest.tools {
        let definition = definition(&tool).expect("its names were read");
        let written = serde_json::to_string(&definition).expect("a definition can be written");
        let read: ToolDefinition = serde_json::from_str(&written).expect("it reads back");
        assert!(ToolChecks::of(&read).is_ok(), "front ends refuse {written}");
    }
}

#[cfg(test)]
mod tests {
    taskferry_testing::fuzz_tests! { stderr, template, manifest }
}
