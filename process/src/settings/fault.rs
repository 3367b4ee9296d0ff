//! What is wrong with a TOML text, without the text: the line may hold a password.

/// Says where a TOML text is wrong and how, without repeating it.
#[must_use]
pub fn toml_fault(text: &str, error: &toml::de::Error) -> String {
    let message: Vec<&str> = error.message().lines().map(str::trim).collect();
    let message = message.join(", ");
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        None => message,
        Some(before) => {
            let line = before.matches('\n').count() + 1;
            let last = before.rsplit('\n').next().unwrap_or_default();
            let column = last.chars().count() + 1;
            format!("line {line}, column {column}: {message}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_reported_and_the_line_is_not() {
        for (text, place) in [
            ("a = 1\nurl = \"redis://:hunter2@x\" y\n", "line 2, column "),
            ("url = 'hunter2", "line 1, column "),
            ("url = hunter2", "line 1, column "),
            ("url = \"\"\"hunter2\n", "line "),
            ("url = \"\\hunter2\"", "line 1, column "),
            ("hunter2", "line 1, column "),
            ("[a]\n\"hunter2 = 1", "line 2, column "),
            ("url = 12hunter2", "line 1, column "),
            ("url = 2020-13-45Thunter2", "line 1, column "),
            ("x = { p = \"hunter2\"", "line 1, column "),
            ("x = [\"hunter2\" \"hunter2\"]", "line 1, column "),
            ("p = \"hunter2\u{1}\"", "line 1, column "),
            ("p = 'hunter2'\np = 'hunter2'", "line 2, column "),
        ] {
            let error = text.parse::<toml::Table>().unwrap_err();
            let told = toml_fault(text, &error);
            assert!(told.starts_with(place), "{text:?}: {told}");
            assert!(
                !told.contains("hunter2") && !told.contains('\n'),
                "{text:?}: {told}"
            );
            assert!(told.len() > place.len() + 5, "{text:?}: {told}");
        }
    }
}
