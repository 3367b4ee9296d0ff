//! How texts from elsewhere, times and tables are shown.

/// A text from elsewhere, on one line: what would move a terminal's cursor, or turn its text around, is shown escaped.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Separators of lines, and marks that order text or have no width.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// JSON for a terminal as well as for machines: control characters that JSON may hold as they are become escapes of its own.
pub(super) fn json_line(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && (c.is_control() || is_invisible(c)) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The longest cell of a table, characters; the last of a row may be longer.
const CELL: usize = 80;
const LAST_CELL: usize = 200;

/// A cell as it is shown: plain, and no longer than `most`; `--json` has all of it.
fn cell(text: &str, most: usize) -> String {
    // What is longer by far is not even read to its end.
    let start: String = text.chars().take(most + 1).collect();
    let mut shown = plain(&start);
    if shown.chars().count() > most {
        shown = shown.chars().take(most - 1).collect();
        shown.push('…');
    }
    shown
}

/// A moment as people and machines read it.
pub(super) fn moment(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(chrono::DateTime::from_timestamp_millis)
        .map_or_else(
            || format!("{ms} ms"),
            |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        )
}

/// A span of time in the largest unit that shows it.
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..=999 => format!("{ms} ms"),
        1_000..=599_999 => format!("{} s", ms / 1_000),
        600_000..=35_999_999 => format!("{} min", ms / 60_000),
        36_000_000..=863_999_999 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

/// Lines of columns, each as wide as its widest cell. Cells may hold any text: they are shown plain, and cut.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>) -> Vec<String> {
    let head = head.iter().map(|cell| (*cell).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head)
        .chain(rows)
        .map(|row| {
            let last = row.len().saturating_sub(1);
            let most = |at| if at == last { LAST_CELL } else { CELL };
            let cells = row.iter().enumerate();
            cells.map(|(at, text)| cell(text, most(at))).collect()
        })
        .collect();
    let columns = all.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = all.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    all.into_iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let room = width.saturating_sub(cell.chars().count());
                format!("{cell}{}", " ".repeat(room))
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_moves_the_cursor() {
        let rows = vec![vec![
            "long name".to_owned(),
            "a\nb\u{1b}[2J\u{202e}x".to_owned(),
        ]];
        let lines = table(&["TOOL", "REASON"], rows);
        let escaped = r"long name  a\nb\u{1b}[2J\u{202e}x";
        assert_eq!(lines, ["TOOL       REASON", escaped]);
    }

    #[test]
    fn cells_of_any_length_are_cut() {
        let long = |c: &str| c.repeat(70_000);
        let rows = vec![vec![long("ä"), "2".to_owned(), long("\u{1b}")]];
        let lines = table(&["A", "B", "C"], rows);
        let first = format!("{}…  2  ", "ä".repeat(CELL - 1));
        assert!(lines[1].starts_with(&first), "{}", lines[1]);
        assert!(lines[1].ends_with('…'), "{}", lines[1]);
        assert!(lines[1].chars().count() < CELL + LAST_CELL + 10);
        assert!(!lines[1].contains('\u{1b}'));
    }

    #[test]
    fn json_stays_json_and_moves_no_cursor() {
        let value = serde_json::json!({ "reason": "\u{9b}2J\u{1b}\u{202e}\u{7f} ä" });
        let line = json_line(&value.to_string());
        assert!(
            line.chars().all(|c| !c.is_control() && c != '\u{202e}'),
            "{line}"
        );
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn times_are_shown_in_units_people_use() {
        assert_eq!(moment(1_795_405_088_549), "2026-11-23T03:38:08Z");
        let spans = [5, 12_000, 900_000, 40_000_000, 900_000_000].map(span);
        assert_eq!(spans, ["5 ms", "12 s", "15 min", "11 h", "10 d"]);
    }
}
