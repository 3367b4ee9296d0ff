//! What a path means: the file of ours that defines what it names, or a path into a crate of others.

use std::rc::Rc;

use crate::sources::{Module, ModuleId, Name, Sources};

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// An item, or a part of one, that this file defines.
    Item { file: Rc<str>, name: String },
    /// A module itself.
    Module(ModuleId),
    /// A path into a crate that is not of this tree; its first segment is the crate.
    Outside(Vec<String>),
    /// A local name, a generic parameter, or something of the prelude.
    Nothing,
}

/// Lookups under way: a `use` whose name is the first segment of its own path means the crate of that name.
type UnderWay = Vec<(ModuleId, String)>;

impl Sources {
    /// What `path` means where it is written in the module `from`.
    pub(crate) fn resolve(&self, from: ModuleId, path: &[String]) -> Found {
        self.resolve_in(from, path, &mut Vec::new())
    }

    fn resolve_in(&self, from: ModuleId, path: &[String], under_way: &mut UnderWay) -> Found {
        let Some((first, rest)) = path.split_first() else {
            return Found::Module(from);
        };
        let module = &self.modules[from];
        match (first.as_str(), module.parent) {
            ("", _) => self.of_crate(rest, under_way),
            ("crate", _) => self.inside(self.first_of(from), rest, under_way),
            ("self", _) => self.inside(from, rest, under_way),
            ("super", Some(parent)) => self.inside(parent, rest, under_way),
            _ => match self.lookup(from, first, !rest.is_empty(), under_way) {
                Some(found) => self.further(found, rest, under_way),
                None => self.of_crate(path, under_way),
            },
        }
    }

    /// A path that begins with the name of a crate.
    fn of_crate(&self, path: &[String], under_way: &mut UnderWay) -> Found {
        let Some((name, rest)) = path.split_first() else {
            return Found::Nothing;
        };
        let is_local = rest.is_empty() && !self.libraries.contains_key(name.as_str());
        if is_local || !name.starts_with(|c: char| c.is_ascii_lowercase()) || is_primitive(name) {
            return Found::Nothing;
        }
        match self.libraries.get(name.as_str()) {
            Some(library) => self.inside(*library, rest, under_way),
            None => Found::Outside(path.to_vec()),
        }
    }

    /// The rest of a path inside a module. A name that is not seen there is what a macro defines there.
    fn inside(&self, module: ModuleId, rest: &[String], under_way: &mut UnderWay) -> Found {
        let Some((name, further)) = rest.split_first() else {
            return Found::Module(module);
        };
        if let ("super", Some(parent)) = (name.as_str(), self.modules[module].parent) {
            return self.inside(parent, further, under_way);
        }
        match self.lookup(module, name, !further.is_empty(), under_way) {
            Some(found) => self.further(found, further, under_way),
            None => self.item(module, name),
        }
    }

    fn further(&self, found: Found, rest: &[String], under_way: &mut UnderWay) -> Found {
        match found {
            Found::Module(module) => self.inside(module, rest, under_way),
            Found::Outside(path) => Found::Outside([&path, rest].concat()),
            found => found,
        }
    }

    /// What a name stands for in a module; `as_module` if more of a path follows.
    fn lookup(
        &self,
        module: ModuleId,
        name: &str,
        as_module: bool,
        under_way: &mut UnderWay,
    ) -> Option<Found> {
        let key = (module, name.to_owned());
        if under_way.contains(&key) {
            return None;
        }
        under_way.push(key);
        let Module { names, globs, .. } = &self.modules[module];
        let meanings = names.get(name).into_iter().flatten();
        let meanings = meanings.map(|meaning| match meaning {
            Name::Defined => self.item(module, name),
            Name::Module(inner) => Found::Module(*inner),
            Name::Imported(path) => self.resolve_in(module, path, under_way),
        });
        let mut meanings: Vec<Found> = meanings.collect();
        meanings.sort_by_key(|found| matches!(found, Found::Module(_)) != as_module);
        let named = meanings.into_iter().find(|found| *found != Found::Nothing);
        let found = named.or_else(|| {
            let opened = |path: &Vec<String>| match self.resolve_in(module, path, under_way) {
                Found::Module(opened) => self.lookup(opened, name, as_module, under_way),
                _ => None,
            };
            globs.iter().find_map(opened)
        });
        under_way.pop();
        found
    }

    fn item(&self, module: ModuleId, name: &str) -> Found {
        Found::Item {
            file: Rc::clone(&self.modules[module].file),
            name: name.to_owned(),
        }
    }

    /// The first module of the crate that `module` is of.
    fn first_of(&self, mut module: ModuleId) -> ModuleId {
        while let Some(parent) = self.modules[module].parent {
            module = parent;
        }
        module
    }
}

fn is_primitive(name: &str) -> bool {
    let numbers = ["u8", "u16", "u32", "u64", "u128", "usize", "f32", "f64"];
    let others = [
        "i8", "i16", "i32", "i64", "i128", "isize", "bool", "char", "str",
    ];
    numbers.contains(&name) || others.contains(&name)
}
