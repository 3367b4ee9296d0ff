//! What the house allows: its rooms, and what of other crates a room may not know.

/// A part of a package.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: &'static str,
    /// What the paths of its files begin with.
    files: &'static str,
    /// The rooms that it may take from.
    takes: Vec<&'static str>,
}

impl Room {
    /// Whether it may take from another.
    pub(crate) fn may_take_from(&self, other: &Self) -> bool {
        self.name == other.name || self.takes.iter().any(|name| is_inside(other.name, name))
    }
}

/// All rooms.
#[derive(Debug)]
pub(crate) struct Rooms(Vec<Room>);

/// The rooms of this tree.
pub(crate) const ROOMS: &str = include_str!("rooms.txt");

impl Rooms {
    /// Reads a table.
    pub(crate) fn read(table: &'static str) -> Self {
        let rows = table
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let room = |row: &'static str| {
            let mut words = row.split_whitespace();
            Room {
                name: words.next().expect("a name"),
                files: words.next().expect("a path"),
                takes: words.collect(),
            }
        };
        Self(rows.map(room).collect())
    }

    /// The room of a file.
    pub(crate) fn of(&self, file: &str) -> Option<&Room> {
        let rooms = self.0.iter().filter(|room| file.starts_with(room.files));
        rooms.max_by_key(|room| room.files.len())
    }

    /// The paths of the rows that hold none of these files.
    pub(crate) fn empty<'a>(
        &'a self,
        files: impl Iterator<Item = &'a str> + Clone,
    ) -> impl Iterator<Item = &'static str> {
        let paths = self.0.iter().map(|room| room.files);
        paths.filter(move |path| !files.clone().any(|file| file.starts_with(path)))
    }

    /// Names that a row takes from and that no row has.
    pub(crate) fn unknown(&self) -> Vec<&'static str> {
        let is_known = |name: &&str| self.0.iter().any(|room| room.name == *name);
        let names = self.0.iter().flat_map(|room| room.takes.iter().copied());
        names.filter(|name| !is_known(name)).collect()
    }
}

/// Whether a path of segments is another, or inside it.
pub(crate) fn is_inside(path: &str, outer: &str) -> bool {
    let rest = path.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What the files below a path may not name of other crates.
#[derive(Debug)]
pub(crate) struct Ban {
    pub(crate) files: &'static str,
    /// What the paths begin with.
    pub(crate) paths: &'static [&'static str],
}

/// What speaks HTTP.
const HTTP: &[&str] = &[
    "axum",
    "http",
    "http_body",
    "http_body_util",
    "hyper",
    "hyper_util",
    "tower",
];

/// What reads a clock, waits, or reaches out of the process.
const OUTSIDE: &[&str] = &[
    "deadpool_redis",
    "redis",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
    "tokio",
    "tokio_util",
];

/// Only a transport knows HTTP, and the model knows nothing but itself.
pub(crate) const BANS: [Ban; 3] = [
    Ban {
        files: "src/mcp/",
        paths: HTTP,
    },
    Ban {
        files: "src/bridge/",
        paths: HTTP,
    },
    Ban {
        files: "contract/src/model/",
        paths: OUTSIDE,
    },
];
