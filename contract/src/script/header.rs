//! What the header of a transition's file says: for people, and for clients in other languages.

/// A section for each heading of the comment at the top of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// What the transition does.
    pub(crate) summary: String,
    /// The keys, in order.
    pub(crate) keys: String,
    /// The arguments, in order.
    pub(crate) argv: String,
    /// Every reply, a line each.
    pub(crate) replies: String,
}

/// The headings of the sections. What stands under another one is for those who read the file itself.
const HEADINGS: [&str; 5] = ["KEYS", "ARGV", "Replies", "Effects", "Raises"];

impl Header {
    /// Reads the comment with which a file begins.
    pub(crate) fn of(file: &str) -> Self {
        let lines = file.lines().map_while(|line| line.strip_prefix("--"));
        let mut sections: Vec<(&str, Vec<&str>)> = vec![("", Vec::new())];
        for line in lines.map(str::trim) {
            let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
            if HEADINGS.contains(&first) {
                sections.push((first, vec![rest.trim()]));
            } else if let Some((_, section)) = sections.last_mut() {
                section.push(line);
            }
        }
        let find = |heading: &str, between: &str| {
            let section = sections.iter().find(|(name, _)| *name == heading);
            let lines = section.map(|(_, lines)| lines.join(between));
            lines.unwrap_or_default().trim().to_owned()
        };
        Self {
            summary: find("", " "),
            keys: find("KEYS", " "),
            argv: find("ARGV", " "),
            replies: find("Replies", "\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_go_on_until_the_next_heading() {
        let file = "-- name: what it\n-- does.\n-- KEYS  a, b\n-- ARGV  c · d\n--       · e\n-- Replies\n--   OK   well\n--   GONE   not\n-- Effects  x\nlocal a = 1\n-- KEYS z";
        let header = Header::of(file);
        assert_eq!(
            header,
            Header {
                summary: "name: what it does.".to_owned(),
                keys: "a, b".to_owned(),
                argv: "c · d · e".to_owned(),
                replies: "OK   well\nGONE   not".to_owned(),
            }
        );
        assert_eq!(Header::of("return 1"), Header::default());
    }
}
