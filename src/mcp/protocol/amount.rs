//! How far a job is, in figures for people: "7 of 20".

/// Whole numbers up to here have all their digits; beyond, an exponent is easier to read.
const EXACT: f64 = 1e15;

/// Progress as a tool reported it, and what it counts towards: "7 of 20", "7.5 of 20", "7"; "35 %" of a total of 1. `None`
/// if there is no number. A total that nothing can count towards is left out.
pub(crate) fn amount(progress: Option<&str>, total: Option<&str>) -> Option<String> {
    let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
    let progress = progress.and_then(number)?;
    let total = total.and_then(number).filter(|total| *total > 0.0);
    Some(match total {
        Some(1.0) if progress > 0.0 && progress < 1.0 => format!("{} %", figure(progress * 100.0)),
        Some(total) => format!("{} of {}", figure(progress), figure(total)),
        None => figure(progress),
    })
}

/// A number with as many digits as a person wants to read: of whole numbers all of them, else two behind the point, or of
/// small ones three that count.
fn figure(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 {
        return "0".to_owned();
    }
    if !(1e-6..EXACT).contains(&size) {
        return exponential(number);
    }
    if number.fract() == 0.0 {
        return format!("{number:.0}");
    }
    let places = if size >= 0.1 {
        2
    } else if size >= 0.001 {
        5
    } else {
        8
    };
    let text = format!("{number:.places$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn exponential(number: f64) -> String {
    let text = format!("{number:.2e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits}e{exponent}")
}

/// Whether a text has every figure of an [`amount`] itself, and not as a part of another: "part 7 of 20" has those of "7 of
/// 20", "part 7" lacks the total.
pub(crate) fn has_figures(text: &str, amount: &str) -> bool {
    let part = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    let words = text.split(|c: char| !part(c));
    let mut words: Vec<&str> = words.map(|word| word.trim_matches(['.', ','])).collect();
    let figures = amount.trim_end_matches(" %").split(" of ");
    figures.into_iter().all(|figure| {
        let found = words.iter().position(|word| *word == figure);
        // One figure of the text does not stand for two: "part 20" lacks the total of "20 of 20".
        found.map(|at| words.swap_remove(at)).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_a_person_would_write_them() {
        for (progress, total, text) in [
            ("7", Some("20"), "7 of 20"),
            ("7.0", Some("20.0"), "7 of 20"),
            ("7.5", Some("20"), "7.5 of 20"),
            ("7", None, "7"),
            ("0", Some("20"), "0 of 20"),
            ("-0", Some("20"), "0 of 20"),
            ("25", Some("20"), "25 of 20"),
            ("-3", Some("20"), "-3 of 20"),
            ("0.30000000000000004", Some("2"), "0.3 of 2"),
            ("0.35", Some("1"), "35 %"),
            ("0.12345", Some("1"), "12.35 %"),
            ("0", Some("1"), "0 of 1"),
            ("1", Some("1"), "1 of 1"),
            ("1.999", Some("3"), "2 of 3"),
            ("0.0012", Some("0.05"), "0.0012 of 0.05"),
            (
                "1234567890",
                Some("9007199254740993"),
                "1234567890 of 9.01e15",
            ),
        ] {
            assert_eq!(
                amount(Some(progress), total).as_deref(),
                Some(text),
                "{progress} {total:?}"
            );
        }
    }

    #[test]
    fn hostile_numbers_are_short_or_left_out() {
        assert_eq!(
            amount(Some("1e308"), Some("1e308")).as_deref(),
            Some("1e308 of 1e308")
        );
        assert_eq!(amount(Some("5e-324"), None).as_deref(), Some("4.94e-324"));
        for nothing in ["NaN", "inf", "-inf", "1e999", "", "seven"] {
            assert_eq!(amount(Some(nothing), Some("20")), None, "{nothing}");
            assert_eq!(
                amount(Some("7"), Some(nothing)).as_deref(),
                Some("7"),
                "{nothing}"
            );
        }
        for total in ["0", "-20", "-0"] {
            assert_eq!(
                amount(Some("7"), Some(total)).as_deref(),
                Some("7"),
                "{total}"
            );
        }
        assert_eq!(amount(None, Some("20")), None);
    }

    #[test]
    fn a_text_has_a_figure_only_as_a_whole() {
        for text in ["part 7", "7 of 20", "(7)", "7, then more", "at 7."] {
            assert!(has_figures(text, "7"), "{text}");
        }
        for text in ["part 17", "7.5 of 20", "part seven", ""] {
            assert!(!has_figures(text, "7"), "{text}");
        }
        assert!(has_figures("35 % done", "35 %"));
    }

    #[test]
    fn a_text_has_the_figures_only_with_the_total() {
        for text in ["part 7 of 20", "7/20", "of 20 parts, the 7th is 7"] {
            assert!(has_figures(text, "7 of 20"), "{text}");
        }
        for text in ["reading part 7", "20 parts", "7 of 200"] {
            assert!(!has_figures(text, "7 of 20"), "{text}");
        }
        assert!(has_figures("part 20 of 20", "20 of 20"));
        assert!(!has_figures("part 20", "20 of 20"));
    }
}
