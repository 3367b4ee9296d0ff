//! The parts of a pattern.

use std::iter::Peekable;
use std::str::Chars;

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Something that takes no character.
    Nothing,
    /// A character, or one of several.
    Set(Set),
    /// One after the other.
    Row(Vec<Node>),
    /// One of them.
    OneOf(Vec<Node>),
    /// So many times at least, and at most if that has a bound.
    Repeated(Box<Node>, u64, Option<u64>),
}

/// Some characters: the ASCII ones by bit, and whether any other is among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) ascii: u128,
    pub(super) others: bool,
}

impl Set {
    /// More than any pattern may mean.
    const ALL: Self = Self {
        ascii: u128::MAX,
        others: true,
    };
    const NONE: Self = Self {
        ascii: 0,
        others: false,
    };

    fn of(from: char, to: char) -> Self {
        let bits = (0..128_u8).filter(|byte| (from..=to).contains(&char::from(*byte)));
        Self {
            ascii: bits.fold(0, |all, bit| all | 1 << bit),
            others: !to.is_ascii(),
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            ascii: self.ascii | other.ascii,
            others: self.others || other.others,
        }
    }
}

impl Node {
    /// How many characters and sets it has, as often as they are repeated.
    pub(super) fn places(&self) -> u64 {
        let sum = |all: u64, part: &Self| all.saturating_add(part.places());
        match self {
            Self::Nothing => 0,
            Self::Set(_) => 1,
            Self::Row(parts) | Self::OneOf(parts) => parts.iter().fold(0, sum),
            Self::Repeated(part, least, most) => {
                part.places().saturating_mul(most.unwrap_or(*least).max(1))
            }
        }
    }

    /// How many characters it takes at most; `None` without a bound.
    pub(super) fn reach(&self) -> Option<u64> {
        match self {
            Self::Nothing => Some(0),
            Self::Set(_) => Some(1),
            Self::Row(parts) => parts
                .iter()
                .try_fold(0_u64, |all, part| Some(all.saturating_add(part.reach()?))),
            Self::OneOf(parts) => parts
                .iter()
                .try_fold(0_u64, |most, part| Some(most.max(part.reach()?))),
            Self::Repeated(part, _, most) => {
                most.and_then(|most| Some(part.reach()?.saturating_mul(most)))
            }
        }
    }
}

/// A pattern that was read.
#[derive(Debug)]
pub(super) struct Read {
    /// All of it but for its looks around.
    pub(super) node: Node,
    pub(super) looks: Looks,
    /// Whether it repeats what it found.
    pub(super) repeats: bool,
    /// Whether it says nothing that is not understood here, such as flags.
    pub(super) is_understood: bool,
}

/// The looks around in a pattern.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looks {
    pub(super) count: u64,
    pub(super) places: u64,
    /// At how many characters the longest one looks; `None` without a bound.
    pub(super) longest: Option<u64>,
}

/// The parts of a pattern.
pub(super) fn read(pattern: &str) -> Read {
    let mut reader = Reader {
        rest: pattern.chars().peekable(),
        looks: Looks {
            count: 0,
            places: 0,
            longest: Some(0),
        },
        repeats: false,
        is_understood: true,
    };
    let mut read = reader.alternatives();
    // A bracket that closes nothing.
    while reader.rest.next().is_some() {
        reader.is_understood = false;
        read = Node::Row(vec![read, reader.alternatives()]);
    }
    Read {
        node: read,
        looks: reader.looks,
        repeats: reader.repeats,
        is_understood: reader.is_understood,
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    looks: Looks,
    repeats: bool,
    is_understood: bool,
}

impl Reader<'_> {
    /// Up to the bracket that closes them, or the end.
    fn alternatives(&mut self) -> Node {
        let first = self.row();
        if self.rest.peek() != Some(&'|') {
            return first;
        }
        let mut all = vec![first];
        while self.rest.next_if_eq(&'|').is_some() {
            all.push(self.row());
        }
        Node::OneOf(all)
    }

    fn row(&mut self) -> Node {
        let mut all = Vec::new();
        while let Some(next) = self.rest.next_if(|next| !matches!(next, '|' | ')')) {
            let part = match next {
                '(' => self.group(),
                '[' => self.class(),
                '\\' => self.escape(),
                '^' | '$' => Node::Nothing,
                '.' => Node::Set(Set::ALL),
                plain => Node::Set(Set::of(plain, plain)),
            };
            all.push(self.repetition(part));
        }
        Node::Row(all)
    }

    fn group(&mut self) -> Node {
        let mut is_look = false;
        if self.rest.next_if_eq(&'?').is_some() {
            let mut kind = String::new();
            let is_kind = |next: &char| !matches!(next, ':' | '=' | '!' | '>' | ')');
            while let Some(next) = self.rest.next_if(is_kind) {
                kind.push(next);
            }
            // A group without a number has no kind, and one with a name has that.
            let is_plain = kind.is_empty() && self.rest.peek() == Some(&':');
            let is_named = kind.trim_start_matches('P').starts_with('<')
                && kind.len() > 1
                && self.rest.peek() == Some(&'>');
            is_look = matches!(kind.as_str(), "" | "<") && !is_plain;
            self.is_understood &= is_plain || is_named || is_look;
            if !is_named && kind.contains('x') {
                // With that flag some of the rest is a comment: it may be anything.
                return Node::Repeated(Box::new(Node::Set(Set::ALL)), u64::MAX, None);
            }
            self.rest.next_if(|next| *next != ')');
        }
        let inner = self.alternatives();
        self.rest.next_if_eq(&')');
        if is_look {
            return self.note_look(&inner);
        }
        inner
    }

    /// A look around takes nothing of the text.
    fn note_look(&mut self, inner: &Node) -> Node {
        let looks = &mut self.looks;
        looks.count += 1;
        looks.places = looks.places.saturating_add(inner.places());
        let longest = looks.longest.zip(inner.reach());
        looks.longest = longest.map(|(one, other)| one.max(other));
        Node::Nothing
    }

    /// A set of characters.
    fn class(&mut self) -> Node {
        let is_negated = self.rest.next_if_eq(&'^').is_some();
        let mut all = Set::NONE;
        while let Some(next) = self.rest.next_if(|next| *next != ']') {
            let from = match next {
                '\\' => self.escaped(),
                // Some read a set in a set, or what two have in common.
                '[' | '&' | '~' => Err(Set::ALL),
                plain => Ok(plain),
            };
            let set = match from {
                Ok(from) if self.rest.next_if_eq(&'-').is_some() => self.range(from),
                Ok(one) => Set::of(one, one),
                Err(set) => set,
            };
            all = all.with(set);
        }
        self.rest.next_if_eq(&']');
        if is_negated {
            // What has others may have but a few of them.
            all = Set {
                ascii: if all == Set::ALL {
                    u128::MAX
                } else {
                    !all.ascii
                },
                others: true,
            };
        }
        Node::Set(all)
    }

    /// What a set has from a character on, up to the next.
    fn range(&mut self, from: char) -> Set {
        let to = match self.rest.next_if(|next| *next != ']') {
            Some('\\') => self.escaped(),
            Some(plain) => Ok(plain),
            None => Ok('-'),
        };
        match to {
            Ok(to) if to >= from => Set::of(from, to),
            _ => Set::ALL,
        }
    }

    fn escape(&mut self) -> Node {
        match self.rest.peek() {
            Some('b' | 'B' | 'A' | 'z' | 'Z' | 'G') => {
                self.rest.next();
                return Node::Nothing;
            }
            Some('1'..='9' | 'k') => self.repeats = true,
            _ => {}
        }
        Node::Set(
            self.escaped()
                .map_or_else(|set| set, |one| Set::of(one, one)),
        )
    }

    /// A character that is escaped, or the set that an escape stands for.
    fn escaped(&mut self) -> Result<char, Set> {
        let escaped = self.rest.next();
        let of = |ranges: &[(char, char)]| {
            let ranges = ranges.iter().map(|(from, to)| Set::of(*from, *to));
            ranges.fold(Set::NONE, Set::with)
        };
        let (begin, end) = match (escaped, self.rest.peek()) {
            (Some('d'), _) => return Err(of(&[('0', '9')])),
            (Some('w'), _) => return Err(of(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')])),
            (Some('p' | 'P' | 'u' | 'x'), Some('{')) => ('{', '}'),
            (Some('k'), Some('<')) => ('<', '>'),
            (Some(letter), _) if letter.is_ascii_alphanumeric() => return Err(Set::ALL),
            (Some(plain), _) => return Ok(plain),
            (None, _) => return Err(Set::ALL),
        };
        self.rest.next_if_eq(&begin);
        while self.rest.next_if(|next| *next != end).is_some() {}
        self.rest.next_if_eq(&end);
        Err(Set::ALL)
    }

    /// A part with what says how often it stands there.
    fn repetition(&mut self, part: Node) -> Node {
        let (least, most) = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.counted(part),
            _ => return part,
        };
        self.rest.next();
        self.modifier(Node::Repeated(Box::new(part), least, most))
    }

    fn counted(&mut self, part: Node) -> Node {
        let mut rest = self.rest.clone();
        let inside: String = rest
            .by_ref()
            .skip(1)
            .take_while(|next| *next != '}')
            .collect();
        let (least, most) = inside.split_once(',').unwrap_or((&inside, &inside));
        let most = match most.trim() {
            "" => Ok(None),
            most => most.parse().map(Some),
        };
        let (Ok(least), Ok(most)) = (least.trim().parse(), most) else {
            // A bracket that stands for itself.
            return part;
        };
        self.rest = rest;
        self.modifier(Node::Repeated(Box::new(part), least, most))
    }

    /// Passes over what says in which order repetitions are tried; another number multiplies.
    fn modifier(&mut self, repeated: Node) -> Node {
        self.rest.next_if(|next| matches!(next, '?' | '+'));
        match self.rest.peek() {
            Some('*' | '+' | '{') => self.repetition(repeated),
            _ => repeated,
        }
    }
}
