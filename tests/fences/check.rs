//! What breaks the rules.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use crate::graph::{Graph, Taken};
use crate::rules::{BANS, Rooms, is_inside};
use crate::sources::{Crate, Sources};

/// Something that the rules do not allow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Breach {
    /// A file takes from a room that its own may not take from.
    Room {
        from: Rc<str>,
        to: Rc<str>,
        /// The two rooms.
        rooms: [&'static str; 2],
        taken: BTreeSet<Taken>,
    },
    /// A file names what its floor may not know.
    Outside {
        file: Rc<str>,
        line: usize,
        path: String,
    },
    /// Files each of which needs every other.
    Circle(BTreeSet<Rc<str>>),
    /// A path goes up two modules or more, where `crate::` says where it leads.
    Climbs { file: Rc<str>, line: usize },
    /// A file is in no room.
    Homeless(Rc<str>),
    /// No file is in this row of the table of rooms.
    Empty(&'static str),
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room {
                from,
                to,
                rooms: [own, other],
                taken,
            } => {
                let names: Vec<String> = taken
                    .iter()
                    .map(|one| format!("{} in line {}", one.name, one.line))
                    .collect();
                let names = names.join(", ");
                write!(
                    f,
                    "{from} takes from {to} ({names}): {own} may not take from {other}"
                )
            }
            Self::Outside { file, line, path } => write!(f, "{file}:{line} names {path}"),
            Self::Circle(files) => {
                let files: Vec<&str> = files.iter().map(|file| &**file).collect();
                write!(f, "a circle of files: {}", files.join(", "))
            }
            Self::Climbs { file, line } => {
                write!(
                    f,
                    "{file}:{line} has super::super; crate:: says where it leads"
                )
            }
            Self::Homeless(file) => write!(f, "{file} is in no room of tests/fences/rooms.txt"),
            Self::Empty(path) => {
                write!(f, "tests/fences/rooms.txt has {path}, where no file is")
            }
        }
    }
}

/// Everything that breaks a rule in these crates of the tree at `root`, whose rooms are these.
pub(crate) fn breaches(root: &Path, crates: &[Crate], rooms: &Rooms) -> BTreeSet<Breach> {
    let sources = Sources::read(root, crates);
    let graph = Graph::of(&sources);
    let mut found: BTreeSet<Breach> = graph
        .files
        .iter()
        .filter(|file| rooms.of(file).is_none())
        .map(|file| Breach::Homeless(Rc::clone(file)))
        .collect();
    let files = graph.files.iter().map(|file| &**file);
    found.extend(rooms.empty(files).map(Breach::Empty));
    found.extend(between_rooms(&graph, rooms));
    found.extend(outside(&graph));
    found.extend(graph.circles().into_iter().map(Breach::Circle));
    found.extend(climbing(&sources));
    found
}

fn between_rooms(graph: &Graph, rooms: &Rooms) -> Vec<Breach> {
    let breach = |((from, to), taken): (&(Rc<str>, Rc<str>), &BTreeSet<Taken>)| {
        let (own, other) = (rooms.of(from)?, rooms.of(to)?);
        (!own.may_take_from(other)).then(|| Breach::Room {
            from: Rc::clone(from),
            to: Rc::clone(to),
            rooms: [own.name, other.name],
            taken: taken.clone(),
        })
    };
    graph.arrows.iter().filter_map(breach).collect()
}

fn outside(graph: &Graph) -> impl Iterator<Item = Breach> {
    graph.outside.iter().filter_map(|named| {
        let banned = BANS
            .iter()
            .filter(|ban| named.file.starts_with(ban.files))
            .flat_map(|ban| ban.paths)
            .any(|banned| is_inside(&named.path, banned));
        banned.then(|| Breach::Outside {
            file: Rc::clone(&named.file),
            line: named.line,
            path: named.path.clone(),
        })
    })
}

fn climbing(sources: &Sources) -> BTreeSet<Breach> {
    let mut found = BTreeSet::new();
    for module in &sources.modules {
        for mention in &module.mentions {
            if matches!(&*mention.path, [first, second, ..] if first == "super" && second == "super")
            {
                found.insert(Breach::Climbs {
                    file: Rc::clone(&module.file),
                    line: mention.line,
                });
            }
        }
    }
    found
}
