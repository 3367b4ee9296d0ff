//! Which file takes what from which, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::mentions::How;
use crate::resolve::Found;
use crate::sources::Sources;

/// A name that one file takes from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Taken {
    pub(crate) line: usize,
    pub(crate) name: String,
    /// Whether it is only made known again, by `pub use`.
    pub(crate) is_export: bool,
}

/// A path into a crate of others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outside {
    pub(crate) file: Rc<str>,
    pub(crate) line: usize,
    pub(crate) path: String,
}

/// What the files of a tree take, their tests aside.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) files: BTreeSet<Rc<str>>,
    /// The file of the module that declares each.
    pub(crate) declared_in: BTreeMap<Rc<str>, Rc<str>>,
    /// From the file that takes to the one that defines.
    pub(crate) arrows: BTreeMap<(Rc<str>, Rc<str>), BTreeSet<Taken>>,
    pub(crate) outside: BTreeSet<Outside>,
}

impl Graph {
    /// Resolves every path of the sources.
    pub(crate) fn of(sources: &Sources) -> Self {
        let mut graph = Self::default();
        for (id, module) in sources.modules.iter().enumerate() {
            graph.files.insert(Rc::clone(&module.file));
            let parent = module.parent.map(|parent| &sources.modules[parent].file);
            if let Some(parent) = parent.filter(|parent| **parent != module.file) {
                let own = Rc::clone(&module.file);
                graph.declared_in.insert(own, Rc::clone(parent));
            }
            for mention in module.mentions.iter().filter(|one| !one.is_test) {
                match sources.resolve(id, &mention.path) {
                    Found::Item { file, name } if file != module.file => {
                        let taken = Taken {
                            line: mention.line,
                            name,
                            is_export: mention.how == How::Export,
                        };
                        let arrow = (Rc::clone(&module.file), file);
                        graph.arrows.entry(arrow).or_default().insert(taken);
                    }
                    Found::Outside(path) => {
                        graph.outside.insert(Outside {
                            file: Rc::clone(&module.file),
                            line: mention.line,
                            path: path.join("::"),
                        });
                    }
                    Found::Item { .. } | Found::Module(_) | Found::Nothing => {}
                }
            }
        }
        graph
    }

    /// The files that `file` needs. What it only makes known again it does not need; and what it takes from the module that
    /// declares it belongs to both of them.
    fn needed(&self, file: &Rc<str>) -> Vec<&Rc<str>> {
        let first = (Rc::clone(file), Rc::from(""));
        self.arrows
            .range(first..)
            .take_while(|((from, _), _)| from == file)
            .filter(|((_, to), _)| self.declared_in.get(file) != Some(to))
            .filter(|(_, taken)| taken.iter().any(|one| !one.is_export))
            .map(|((_, to), _)| to)
            .collect()
    }

    /// All files that `file` needs, also by way of others.
    fn reached(&self, file: &Rc<str>) -> BTreeSet<Rc<str>> {
        let mut reached = BTreeSet::new();
        let mut next = vec![file];
        while let Some(file) = next.pop() {
            for needed in self.needed(file) {
                if reached.insert(Rc::clone(needed)) {
                    next.push(needed);
                }
            }
        }
        reached
    }

    /// The circles: sets of files each of which needs every other.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<Rc<str>>> {
        let reached: BTreeMap<&Rc<str>, BTreeSet<Rc<str>>> = self
            .files
            .iter()
            .map(|file| (file, self.reached(file)))
            .collect();
        let mut circles = BTreeSet::new();
        for (file, reaches) in &reached {
            if reaches.contains(*file) {
                let back = |other: &&Rc<str>| reached[*other].contains(*file);
                circles.insert(reaches.iter().filter(back).cloned().collect());
            }
        }
        circles.into_iter().collect()
    }
}
