//! What a line on a command's standard error says.

use taskferry_contract::LogLevel;

use super::lines::ASK_LINE_BYTES;
use crate::sdk::ask::{AskRequest, WrittenQuestion, check_key};

/// One line of standard error.
#[derive(Debug, Clone, PartialEq)]
pub enum StderrLine {
    /// `::progress 40/100 text`
    Progress(ProgressLine),
    /// `::message text`: the new status message of the task.
    Message(String),
    /// `::log LEVEL text`
    Log(LogLevel, String),
    /// `::ask KEY WHAT {params}`, well-formed or not: a question to the client.
    Ask(AskLine),
    /// Anything else, a malformed or unknown `::` line too.
    Plain(String),
}

/// How far the work has come. The numbers are finite.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgressLine {
    /// The work done so far.
    pub progress: f64,
    /// The whole work in the same unit, if it is known.
    pub total: Option<f64>,
    /// What is being done, for people.
    pub message: Option<String>,
}

/// A question to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskLine {
    /// The key under which its answer is stored.
    pub key: String,
    /// What is asked, or why that cannot be.
    pub request: Result<AskRequest, String>,
}

impl StderrLine {
    /// Reads one line without its line end. Never fails: what is not
    /// understood is [`StderrLine::Plain`], unchanged.
    #[must_use]
    pub fn parse(line: String) -> Self {
        parse_directive(&line).unwrap_or(Self::Plain(line))
    }
}

fn parse_directive(line: &str) -> Option<StderrLine> {
    let (word, rest) = first_word(line.strip_prefix("::")?);
    match word {
        "progress" => parse_progress(rest).map(StderrLine::Progress),
        "message" => (!rest.is_empty()).then(|| StderrLine::Message(rest.to_owned())),
        "log" => {
            let (level, text) = first_word(rest);
            level
                .parse()
                .ok()
                .map(|level| StderrLine::Log(level, text.to_owned()))
        }
        "ask" => Some(StderrLine::Ask(parse_ask(rest, line.len()))),
        _ => None,
    }
}

fn parse_ask(text: &str, length: usize) -> AskLine {
    let (key, question) = first_word(text);
    let (what, params) = first_word(question);
    // A line that was cut may lack a whole character.
    let request = if length > ASK_LINE_BYTES - char::MAX.len_utf8() {
        let most = ASK_LINE_BYTES / 1024;
        Err(format!("the line is longer than {most} KiB"))
    } else if what.is_empty() {
        Err("write ::ask KEY WHAT {params}, on one line".to_owned())
    } else {
        let key = check_key(key).map_err(|error| error.to_string());
        key.and_then(|()| {
            AskRequest::read(WrittenQuestion {
                kind_or_method: what,
                params,
            })
        })
    };
    AskLine {
        key: key.chars().take(64).collect(),
        request,
    }
}

fn parse_progress(text: &str) -> Option<ProgressLine> {
    let (numbers, message) = first_word(text);
    let (progress, total) = match numbers.split_once('/') {
        Some((progress, total)) => (finite(progress)?, Some(finite(total)?)),
        None => (finite(numbers)?, None),
    };
    let message = (!message.is_empty()).then(|| message.to_owned());
    Some(ProgressLine {
        progress,
        total,
        message,
    })
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The first word, and the rest without blank ends.
fn first_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> StderrLine {
        StderrLine::parse(line.to_owned())
    }

    fn progress(progress: f64, total: Option<f64>, message: Option<&str>) -> StderrLine {
        let message = message.map(str::to_owned);
        StderrLine::Progress(ProgressLine {
            progress,
            total,
            message,
        })
    }

    #[test]
    fn reads_progress() {
        assert_eq!(
            parse("::progress 40/100 reading the file"),
            progress(40.0, Some(100.0), Some("reading the file"))
        );
        assert_eq!(parse("::progress 40"), progress(40.0, None, None));
        assert_eq!(parse("::progress 0.5/1 "), progress(0.5, Some(1.0), None));
        assert_eq!(
            parse("::progress\t3 \u{20ac} done "),
            progress(3.0, None, Some("\u{20ac} done"))
        );
    }

    #[test]
    fn reads_messages_and_logs() {
        assert_eq!(
            parse("::message almost there"),
            StderrLine::Message("almost there".into())
        );
        for level in LogLevel::ALL {
            let line = parse(&format!("::log {level} some text"));
            assert_eq!(line, StderrLine::Log(level, "some text".into()));
        }
        assert_eq!(
            parse("::log info"),
            StderrLine::Log(LogLevel::Info, String::new())
        );
    }

    #[test]
    fn reads_questions_and_says_what_is_wrong_with_them() {
        let ask = |text: &str| match parse(text) {
            StderrLine::Ask(ask) => ask,
            other => panic!("{other:?}"),
        };
        let sampling = r#"{"messages":[],"maxTokens":1}"#;
        let asked = ask(&format!("::ask a.b-1  sampling {sampling} "));
        assert_eq!(asked.key, "a.b-1");
        assert_eq!(
            asked.request,
            AskRequest::read(WrittenQuestion {
                kind_or_method: "sampling",
                params: sampling
            })
        );
        assert_eq!(ask("::ask r roots").request, Ok(AskRequest::roots()));
        let long = format!("::ask k sampling {}", "x".repeat(ASK_LINE_BYTES));
        for (line, key, wrong) in [
            ("::ask", "", "write ::ask KEY WHAT"),
            ("::ask k", "k", "write ::ask KEY WHAT"),
            (
                r#"::ask {"method":"roots/list"}"#,
                r#"{"method":"roots/list"}"#,
                "write ::ask",
            ),
            ("::ask k! roots", "k!", "cannot be the key"),
            (
                "::ask k root",
                "k",
                "is not a question: write elicitation, sampling or roots",
            ),
            ("::ask k roots {", "k", "not valid JSON"),
            (&long, "k", "longer than 64 KiB"),
        ] {
            let asked = ask(line);
            assert_eq!(asked.key, key);
            let refused = asked.request.unwrap_err();
            assert!(refused.contains(wrong), "{refused}");
        }
    }

    #[test]
    fn everything_else_is_a_plain_line() {
        for line in [
            "",
            "hello",
            "::",
            "::other 1",
            " ::message indented",
            ":: message x",
            "::messages x",
            "::message",
            "::progress",
            "::progress 40%",
            "::progress 1/2/3",
            "::progress nan",
            "::progress 1/inf",
            "::progress 1e999",
            "::log warn text",
            "::log INFO text",
            "::log",
        ] {
            assert_eq!(parse(line), StderrLine::Plain(line.to_owned()), "{line:?}");
        }
    }
}
