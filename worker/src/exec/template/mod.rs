//! Command lines with placeholders for a call's arguments.
//!
//! A template is rendered to a list of arguments that goes to the operating
//! system as it is. No shell reads it, so no value needs quoting and none can
//! become a second command.

mod element;
mod render;

use serde_json::value::RawValue;
use taskferry_contract::RawObject;

pub use element::TemplateError;
use element::{Element, Piece, parse_element};
pub use render::RenderError;
use render::Word;

/// One entry of a command as the manifest writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgSource {
    /// A command-line argument; left out when a placeholder in it has no value.
    One(String),
    /// Arguments that are left out together when any placeholder among them
    /// has no value: `["--month", "{month}"]`.
    Group(Vec<String>),
}

/// Which values of an argument may begin with `-` where a program could take them for options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadingDash {
    /// Numbers, since its schema has them.
    Numbers,
    /// Every value.
    Any,
}

/// A parsed command: the program and the templates of its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTemplate {
    program: String,
    groups: Vec<Vec<Element>>,
    /// The arguments that may begin with `-`, by their paths; no others may.
    dashes: Vec<(Vec<String>, LeadingDash)>,
}

impl CommandTemplate {
    /// Parses a command as the manifest writes it.
    ///
    /// # Errors
    ///
    /// Every entry that is wrong, in the order of the command.
    pub fn parse(command: &[ArgSource]) -> Result<Self, Vec<TemplateError>> {
        let Some((program, args)) = command.split_first() else {
            return Err(vec![TemplateError::Empty]);
        };
        let mut errors = Vec::new();
        let program = parse_program(program).unwrap_or_else(|error| {
            errors.push(error);
            String::new()
        });
        let mut groups = Vec::with_capacity(args.len());
        for arg in args {
            let elements = match arg {
                ArgSource::One(text) => std::slice::from_ref(text),
                ArgSource::Group(texts) => texts.as_slice(),
            };
            let mut group = Vec::with_capacity(elements.len());
            for text in elements {
                match parse_element(text) {
                    Ok(element) => group.push(element),
                    Err(error) => errors.push(error),
                }
            }
            groups.push(group);
        }
        if errors.is_empty() {
            let dashes = Vec::new();
            Ok(Self {
                program,
                groups,
                dashes,
            })
        } else {
            Err(errors)
        }
    }

    /// The program as written: a name that PATH resolves, or a path.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The same arguments for another program: a relative path made absolute.
    #[must_use]
    pub fn with_program(self, program: String) -> Self {
        Self { program, ..self }
    }

    /// Lets values of the argument at this path begin with `-`, also where no `--` comes before.
    pub fn allow_dash(&mut self, path: Vec<String>, values: LeadingDash) {
        self.dashes.push((path, values));
    }

    fn leading_dash(&self, path: &[String]) -> Option<LeadingDash> {
        let mut dashes = self.dashes.iter();
        let (_, values) = dashes.find(|(allowed, _)| allowed == path)?;
        Some(*values)
    }

    /// The arguments of which a string may not begin with `-`.
    pub(crate) fn without_dash(&self) -> impl Iterator<Item = &[String]> {
        let mut options_end = false;
        let groups = self.groups.iter().flat_map(move |group| {
            let mut ended = options_end;
            let exposed = group.iter().filter(move |element| {
                ended |= element.ends_options();
                !ended
            });
            // One that is left out with its group ends nothing.
            let always = group.iter().all(|element| element.is_literal());
            options_end |= always && group.iter().any(Element::ends_options);
            exposed.flat_map(Element::first_placeholders)
        });
        groups.filter(|path| self.leading_dash(path) != Some(LeadingDash::Any))
    }

    /// The arguments before the first that has a placeholder, as they are written.
    pub(crate) fn first_literals(&self) -> impl Iterator<Item = &str> {
        let elements = self.groups.iter().flatten();
        elements.map_while(|element| match element.0.as_slice() {
            [Piece::Literal(text)] => Some(text.as_str()),
            _ => None,
        })
    }

    /// The path of every placeholder, in the order of the command.
    pub fn placeholders(&self) -> impl Iterator<Item = &[String]> {
        let pieces = self.groups.iter().flatten().flat_map(|element| &element.0);
        pieces.filter_map(|piece| match piece {
            Piece::Placeholder(path) => Some(path.as_slice()),
            Piece::Literal(_) => None,
        })
    }

    /// The command-line arguments for one call, without the program. `arguments` is a JSON object; anything else has no
    /// values.
    ///
    /// # Errors
    ///
    /// When a value has a NUL character, or is not Unicode, or begins with `-` where it must not.
    pub fn render(&self, arguments: &RawValue) -> Result<Vec<String>, RenderError> {
        let arguments = RawObject::parse(arguments.get()).unwrap_or_default();
        let mut rendered = Vec::with_capacity(self.groups.len());
        let mut options_end = false;
        for group in &self.groups {
            let words: Option<Vec<Word<'_>>> = group
                .iter()
                .map(|element| element.render(&arguments).transpose())
                .collect::<Option<Result<_, _>>>()
                .transpose()?;
            for (element, word) in group.iter().zip(words.into_iter().flatten()) {
                if !options_end {
                    self.refuse_option(&word)?;
                }
                options_end |= element.ends_options();
                rendered.push(word.text);
            }
        }
        Ok(rendered)
    }

    fn refuse_option(&self, word: &Word<'_>) -> Result<(), RenderError> {
        let Some(value) = word.first.as_ref().filter(|_| word.text.starts_with('-')) else {
            return Ok(());
        };
        match self.leading_dash(value.path) {
            Some(LeadingDash::Any) => Ok(()),
            Some(LeadingDash::Numbers) if value.is_number => Ok(()),
            _ => Err(RenderError::option(value)),
        }
    }
}

fn parse_program(source: &ArgSource) -> Result<String, TemplateError> {
    let ArgSource::One(text) = source else {
        return Err(TemplateError::ProgramIsGroup);
    };
    let Element(pieces) = parse_element(text)?;
    match pieces.as_slice() {
        [] => Err(TemplateError::Empty),
        [Piece::Literal(program)] => Ok(program.clone()),
        _ => Err(TemplateError::ProgramHasPlaceholder(text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> ArgSource {
        ArgSource::One(text.to_owned())
    }

    fn group(texts: &[&str]) -> ArgSource {
        ArgSource::Group(texts.iter().map(|&text| text.to_owned()).collect())
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn render(args: &[ArgSource], arguments: &str) -> Vec<String> {
        let command = [&[one("program")], args].concat();
        let mut template = CommandTemplate::parse(&command).unwrap();
        template.allow_dash(path("minus"), LeadingDash::Numbers);
        template.render(&raw(arguments)).unwrap()
    }

    fn path(name: &str) -> Vec<String> {
        name.split('.').map(str::to_owned).collect()
    }

    fn first_error(command: &[ArgSource]) -> String {
        CommandTemplate::parse(command).unwrap_err()[0].to_string()
    }

    #[test]
    fn writes_each_kind_of_value() {
        let arguments = r#"{
            "text": "a b; $(rm)", "integer": 7, "fraction": 1.5, "flag": false,
            "list": [1, "x"], "object": {"k": 1, "deep": {"er": "down"}}, "empty": ""
        }"#;
        let args = [
            "{text}",
            "{integer}",
            "{fraction}",
            "{flag}",
            "{list}",
            "{object}",
            "{object.deep.er}",
            "{empty}",
            "--n={integer}/{flag}",
        ];
        assert_eq!(
            render(&args.map(one), arguments),
            [
                "a b; $(rm)",
                "7",
                "1.5",
                "false",
                r#"[1,"x"]"#,
                r#"{"k":1,"deep":{"er":"down"}}"#,
                "down",
                "",
                "--n=7/false",
            ]
        );
    }

    #[test]
    fn a_value_is_the_callers_own_text() {
        let arguments = r#"{
            "large": 123456789012345678901, "precise": 0.10000000000000000555, "written": 1.50E+3,
            "minus": -0, "inner": { "number": 12345678901234567890123 },
            "object": { "z": 1.0, "a": [ 98765432109876543210 , "a  \"b\\" ], "\u0041": "\u00e9" }
        }"#;
        let args = [
            "{large}",
            "{precise}",
            "{written}",
            "{minus}",
            "{inner.number}",
            "{object}",
        ];
        assert_eq!(
            render(&args.map(one), arguments),
            [
                "123456789012345678901",
                "0.10000000000000000555",
                "1.50E+3",
                "-0",
                "12345678901234567890123",
                r#"{"z":1.0,"a":[98765432109876543210,"a  \"b\\"],"\u0041":"\u00e9"}"#,
            ]
        );
    }

    #[test]
    fn drops_an_element_without_a_value() {
        let args = [one("keep"), one("--x={x}"), one("{a.b.c}"), one("{null}")];
        let arguments = r#"{"a": {"b": "not an object"}, "null": null}"#;
        assert_eq!(render(&args, arguments), ["keep"]);
        assert_eq!(render(&args, "null"), ["keep"]);
    }

    #[test]
    fn drops_a_group_as_a_whole() {
        let args = [group(&["--from", "{from}", "--to", "{to}"]), group(&["-v"])];
        assert_eq!(render(&args, r#"{"from": "a"}"#), ["-v"]);
        assert_eq!(
            render(&args, r#"{"from": "a", "to": "b"}"#),
            ["--from", "a", "--to", "b", "-v"]
        );
    }

    #[test]
    fn a_value_is_not_a_template() {
        let arguments = r#"{"x": "{y}", "y": "no"}"#;
        assert_eq!(render(&[one("{x}")], arguments), ["{y}"]);
    }

    #[test]
    fn doubled_braces_are_literal() {
        assert_eq!(
            render(&[one("{{x}}"), one("{{{x}}}"), one("")], r#"{"x": 1}"#),
            ["{x}", "{1}", ""]
        );
    }

    #[test]
    fn a_value_that_a_program_could_take_for_an_option_is_refused() {
        let all = r#"{"a": "-x", "n": -5, "s": "-5", "empty": "", "o": {"i": "--all"}}"#;
        let refused = |args: &[ArgSource]| {
            let command = [&[one("program")], args].concat();
            let mut template = CommandTemplate::parse(&command).unwrap();
            template.allow_dash(path("n"), LeadingDash::Numbers);
            template.allow_dash(path("s"), LeadingDash::Numbers);
            let exposed = template.without_dash().next().map(|path| path.join("."));
            let refused = template.render(&raw(all)).err();
            let refused = refused.map(|error| {
                assert!(error.to_string().contains("begins with `-`"), "{error}");
                error.placeholder
            });
            if args != [one("{n}")] {
                assert_eq!(exposed, refused, "{args:?}");
            }
            refused
        };
        for (args, by) in [
            (&[one("{a}")][..], Some("a")),
            (&[one("{a}.txt")], Some("a")),
            (&[one("{o.i}")], Some("o.i")),
            (&[group(&["--name", "{a}"])], Some("a")),
            (&[one("{a}"), one("--")], Some("a")),
            (&[group(&["--", "{none}"]), one("{a}")], Some("a")),
            (&[one("{n}")], None),
            (&[one("{s}")], Some("s")),
            (&[one("--"), one("{a}")], None),
            (&[group(&["--", "{a}"])], None),
            (&[one("--name={a}")], None),
            (&[one("x{a}")], None),
        ] {
            assert_eq!(refused(args).as_deref(), by, "{args:?}");
        }
        let mut hidden = CommandTemplate::parse(&[one("p"), one("{empty}{a}")]).unwrap();
        let refused = hidden.render(&raw(all)).unwrap_err();
        assert_eq!(refused.placeholder, "a");
        hidden.allow_dash(path("a"), LeadingDash::Any);
        assert_eq!(hidden.render(&raw(all)).unwrap(), ["-x"]);
    }

    #[test]
    fn what_no_command_line_can_carry_is_refused_by_name() {
        let template = CommandTemplate::parse(&[one("p"), one("{a.b}")]).unwrap();
        for (value, told) in [
            (r#""x\u0000y""#, "NUL character"),
            (r#""\ud83d""#, "not Unicode"),
        ] {
            let arguments = raw(&format!(r#"{{"a":{{"b":{value}}}}}"#));
            let error = template.render(&arguments).unwrap_err();
            assert_eq!(error.placeholder, "a.b");
            assert!(error.to_string().contains(told), "{error}");
        }
    }

    #[test]
    fn lists_its_placeholders() {
        let command = [one("p"), one("{a.b}-{c}"), group(&["-d", "{d}"])];
        let template = CommandTemplate::parse(&command).unwrap();
        let paths: Vec<String> = template.placeholders().map(|path| path.join(".")).collect();
        assert_eq!(paths, ["a.b", "c", "d"]);
    }

    #[test]
    fn explains_what_is_wrong() {
        assert!(first_error(&[]).contains("first entry"));
        assert!(first_error(&[one("")]).contains("first entry"));
        assert!(first_error(&[group(&["a"])]).contains("plain string"));
        assert!(first_error(&[one("{shell}")]).contains("must not choose"));
        assert!(first_error(&[one("p"), one("a}b")]).contains("`}}`"));
        assert!(first_error(&[one("p"), one("a{b")]).contains("`{{`"));
        let awk = first_error(&[one("awk"), one("{print $1}")]);
        assert!(
            awk.contains("`{print $1}`") && awk.contains("literal braces"),
            "{awk}"
        );
        assert!(first_error(&[one("p"), one("{a..b}")]).contains("names no argument"));
        assert!(first_error(&[one("p"), one("{}")]).contains("names no argument"));
        assert!(first_error(&[one("p"), one("\0")]).contains("NUL"));
    }

    #[test]
    fn reports_every_wrong_element() {
        let command = [one("{p}"), one("ok"), group(&["{", "}"])];
        assert_eq!(CommandTemplate::parse(&command).unwrap_err().len(), 3);
    }
}
