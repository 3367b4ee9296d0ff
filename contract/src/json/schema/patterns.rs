//! What a pattern costs, as far as its text tells: it may be read in another way than the library reads it, but for a higher
//! price alone.

mod read;
mod states;

use read::{Node, Read};

/// What it takes to hold a text to a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PatternCost {
    /// How many characters and sets it has, one for each time that it may be repeated.
    pub(super) places: u64,
    /// How many characters of a text it looks at, from the first one on; `None` if that has no bound.
    pub(super) reach: Option<u64>,
    /// Whether the search may be at any of very many combinations of its places: then none is remembered for the next time.
    pub(super) explodes: bool,
    /// Whether it is tried in more than one way.
    pub(super) goes_back: GoesBack,
}

/// How often a pattern is tried at a place of a text, which is for its looks around and its repetitions of what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GoesBack {
    /// Once.
    Never,
    /// As often as the library lets it, each time for a look at a few characters.
    ForLittle,
    /// The same, for a look at all that follows.
    ForAll,
}

/// Of a pattern that is not understood, so many places are few: they have no more combinations than can be remembered.
const FEW: u64 = 8;
/// A look at no more characters than this is short.
const SHORT_LOOK: u64 = 64;

/// What a pattern costs: of one that begins with looks ahead, what each of these costs, and the rest.
pub(super) fn costs(pattern: &str) -> Vec<PatternCost> {
    let (looks, rest) = leading_looks(pattern);
    // Of alternatives only the first begins with them.
    let has_alternatives = matches!(read::read(rest).node, Node::OneOf(_));
    let rest = format!("^{rest}");
    let anchored = looks.iter().map(|look| format!("^(?:{look})"));
    let parts: Vec<PatternCost> = anchored.chain([rest]).map(|part| cost(&part)).collect();
    let is_plain = |part: &PatternCost| part.goes_back == GoesBack::Never;
    if looks.is_empty() || has_alternatives || !parts.iter().all(is_plain) {
        return vec![cost(pattern)];
    }
    parts
}

fn cost(pattern: &str) -> PatternCost {
    let Read {
        node,
        looks,
        repeats,
        is_understood,
    } = read::read(pattern);
    let places = node.places().saturating_add(looks.places).max(1);
    // Anywhere else the search begins anew with each character.
    let is_anchored = pattern.starts_with('^') && !matches!(node, Node::OneOf(_));
    let is_short = |longest: u64| longest <= SHORT_LOOK;
    let goes_back = match looks.longest {
        Some(0) if !repeats && looks.count == 0 => GoesBack::Never,
        Some(longest) if is_short(longest) && !repeats && is_anchored => GoesBack::ForLittle,
        _ => GoesBack::ForAll,
    };
    let explodes = if is_understood {
        states::are_too_many(&node, is_anchored)
    } else {
        places > FEW
    };
    let is_bounded = is_anchored && is_understood && goes_back == GoesBack::Never;
    PatternCost {
        places,
        reach: node.reach().filter(|_| is_bounded),
        explodes,
        goes_back,
    }
}

/// The looks ahead with which a pattern begins, and what follows them.
fn leading_looks(pattern: &str) -> (Vec<&str>, &str) {
    let mut looks = Vec::new();
    let Some(mut rest) = pattern.strip_prefix('^') else {
        return (looks, pattern);
    };
    while let Some(look) = rest
        .strip_prefix("(?=")
        .or_else(|| rest.strip_prefix("(?!"))
    {
        let Some(end) = closing(look) else {
            break;
        };
        let (inside, after) = look.split_at(end);
        looks.push(inside);
        rest = after.strip_prefix(')').unwrap_or(after);
    }
    (looks, rest)
}

/// Where the bracket is closed in which this begins.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut in_set) = (0_usize, false);
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '[' => in_set = true,
            ']' => in_set = false,
            '(' if !in_set => depth += 1,
            ')' if !in_set && depth == 0 => return Some(at),
            ')' if !in_set => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_as_often_as_they_are_repeated_and_a_reach_needs_an_anchor() {
        for (pattern, places, reach) in [
            ("", 1, None),
            ("^$", 1, Some(0)),
            ("^abc$", 3, Some(3)),
            ("abc", 3, None),
            ("^[a-z0-9-]{1,64}$", 64, Some(64)),
            (r"^[^\]x]{3}\p{Lu}\.$", 5, Some(5)),
            ("^a*b+c?$", 3, None),
            ("^(ab|cd){2,5}$", 20, Some(10)),
            ("^(?:ab|c){2}?d$", 7, Some(5)),
            ("^a|b$", 2, None),
            ("[ab]*a[ab]{900}c", 903, None),
            ("^((a{10}){10}){10}$", 1_000, Some(1_000)),
            ("^a{2,}$", 2, None),
            ("^a{x}$", 4, Some(4)),
            ("^a{3}{4}$", 12, Some(12)),
            (r"^(?<year>[0-9]{4})$", 4, Some(4)),
            ("^[a-z]+(?<![.-])$", 2, None),
            (r"^\u{1F600}[)|]$", 2, Some(2)),
            ("^*a", 1, None),
        ] {
            let cost = cost(pattern);
            assert_eq!((cost.places, cost.reach), (places, reach), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_can_be_at_very_many_combinations_of_places_are_known() {
        for plain in [
            "",
            "^[a-z0-9-]{1,64}$",
            "^.{1,5000}$",
            "^[^@]+@[^@]+$",
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            r"^[a-z]{1,63}(\.[a-z]{1,63})*$",
            r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$",
            r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$",
            r"https?://[^\s/$.?#][^\s]*",
            "^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])$",
            "foo.*bar",
            "^(?:red|green|blue|black|white|yellow)$",
        ] {
            assert!(!cost(plain).explodes, "{plain}");
        }
        for exploding in [
            "[ab]*a[ab]{60}c",
            "[ab]*a[ab]{900}c",
            "^[ab]{0,60}a[ab]{60}c",
            r"\d.{50}x",
            "^(a|b)*a(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)$",
            "(?i)abcdefghi",
            "(?=x)[ab]*a[ab]{60}c",
            "(?x) # [\n a{9}",
        ] {
            assert!(cost(exploding).explodes, "{exploding}");
        }
    }

    #[test]
    fn patterns_that_look_around_or_repeat_go_back_unless_they_begin_with_that() {
        use GoesBack::{ForAll, ForLittle, Never};
        for (pattern, goes_back) in [
            ("^(?:a)b?", Never),
            (r"(a)\1", ForAll),
            (r"^(?<n>a)\k<n>$", ForAll),
            ("^(?:(?!b).)*$", ForLittle),
            ("^[a-z]+(?<![.-])$", ForLittle),
            ("a(?!b)", ForAll),
            ("^[ab]*(?=.*c)d", ForAll),
            ("^(?=(?=a).*b)c", ForAll),
            ("^(?!a)b|c", ForAll),
        ] {
            let [cost] = costs(pattern)[..] else {
                panic!("{pattern}: {:?}", costs(pattern));
            };
            assert_eq!(cost.goes_back, goes_back, "{pattern}");
        }
        let password = costs(r"^(?=.*[A-Z])(?=.*\d)(?!.*[)(]).{8,64}$");
        let reaches: Vec<Option<u64>> = password.iter().map(|cost| cost.reach).collect();
        assert_eq!(reaches, [None, None, None, Some(64)]);
        let is_plain = |cost: &PatternCost| cost.goes_back == Never && !cost.explodes;
        assert!(password.iter().all(is_plain), "{password:?}");
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for pattern in [
            "(", ")", "[", "\\", "{", "a{", "a{1", "(?", "(?<", "|||", "*", "[^", "\\p{", "a)b",
            "[z-a]",
        ] {
            assert!(cost(pattern).places >= 1, "{pattern}");
        }
        assert_eq!(cost(&"(".repeat(1_000)).places, 1);
        let large = cost("((a{60000}){60000}){60000}");
        assert_eq!((large.places, large.explodes), (216_000_000_000_000, true));
    }
}
