//! The sources of the workspace's crates, read into modules: which names stand in each, and which paths are written in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use syn::{Attribute, Ident, Item, ItemMod, UseTree, Visibility};

use crate::mentions::{self, Mention};

/// A crate: its name, as paths of others begin with it, and its first file.
#[derive(Debug, Clone)]
pub(crate) struct Crate {
    pub(crate) name: String,
    /// As a path from the root of the tree.
    pub(crate) root: String,
}

/// The place of a module in [`Sources::modules`].
pub(crate) type ModuleId = usize;

/// What a name of a module stands for.
#[derive(Debug)]
pub(crate) enum Name {
    /// An item that the module itself defines.
    Defined,
    /// A module inside it.
    Module(ModuleId),
    /// What a `use` brought in.
    Imported(Vec<String>),
}

/// A module: a file, or a part of one.
#[derive(Debug)]
pub(crate) struct Module {
    /// The file, as a path from the root of the tree.
    pub(crate) file: Rc<str>,
    pub(crate) parent: Option<ModuleId>,
    /// A name may stand for a module and for an item, or be imported twice.
    pub(crate) names: BTreeMap<String, Vec<Name>>,
    /// What `use …::*` opens.
    pub(crate) globs: Vec<Vec<String>>,
    /// Every path that is written in it, tests included.
    pub(crate) mentions: Vec<Mention>,
}

/// All modules of all crates.
#[derive(Debug)]
pub(crate) struct Sources {
    /// The root of the tree.
    root: PathBuf,
    pub(crate) modules: Vec<Module>,
    /// The first module of each crate that is a library, by the crate's name.
    pub(crate) libraries: BTreeMap<String, ModuleId>,
}

/// Where the items of a module are read.
#[derive(Clone)]
struct Place {
    module: ModuleId,
    /// Where the files of the modules that it declares stand.
    folder: PathBuf,
    is_test: bool,
}

impl Sources {
    /// Reads the crates of the tree at `root`.
    pub(crate) fn read(root: &Path, crates: &[Crate]) -> Self {
        let mut sources = Self {
            root: root.to_owned(),
            modules: Vec::new(),
            libraries: BTreeMap::new(),
        };
        for one in crates {
            let first = sources.modules.len();
            let file = root.join(&one.root);
            let folder = file.parent().expect("a file has a folder").to_owned();
            sources.read_file(&file, folder, None, false);
            if one.root.ends_with("lib.rs") {
                sources.libraries.insert(one.name.clone(), first);
            }
        }
        sources
    }

    fn read_file(
        &mut self,
        file: &Path,
        folder: PathBuf,
        parent: Option<ModuleId>,
        is_test: bool,
    ) -> ModuleId {
        let text = std::fs::read_to_string(file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let short = file.strip_prefix(&self.root).expect("it is in the tree");
        let module = self.add(short.display().to_string().into(), parent);
        let place = Place {
            module,
            folder,
            is_test: is_test || parsed.attrs.iter().any(is_for_tests),
        };
        self.read_items(&parsed.items, &place);
        module
    }

    fn add(&mut self, file: Rc<str>, parent: Option<ModuleId>) -> ModuleId {
        self.modules.push(Module {
            file,
            parent,
            names: BTreeMap::new(),
            globs: Vec::new(),
            mentions: Vec::new(),
        });
        self.modules.len() - 1
    }

    fn read_items(&mut self, items: &[Item], place: &Place) {
        for item in items {
            let is_test = place.is_test || attributes(item).iter().any(is_for_tests);
            let place = Place {
                is_test,
                ..place.clone()
            };
            if let Item::Mod(inner) = item {
                self.read_module(inner, &place);
                continue;
            }
            let found = mentions::of_item(item, is_test);
            let module = &mut self.modules[place.module];
            if let Some(name) = defined(item) {
                let names = module.names.entry(name.to_string()).or_default();
                names.push(Name::Defined);
            }
            for (name, path) in found.imports {
                let names = module.names.entry(name).or_default();
                names.push(Name::Imported(path));
            }
            module.globs.extend(found.globs);
            module.mentions.extend(found.mentions);
        }
    }

    fn read_module(&mut self, inner: &ItemMod, place: &Place) {
        let name = inner.ident.to_string();
        let file = Rc::clone(&self.modules[place.module].file);
        let id = if let Some((_, items)) = &inner.content {
            let id = self.add(file, Some(place.module));
            let place = Place {
                module: id,
                folder: place.folder.join(&name),
                is_test: place.is_test,
            };
            self.read_items(items, &place);
            id
        } else {
            let (file, folder) = file_of(&self.root, &file, inner, &place.folder);
            self.read_file(&file, folder, Some(place.module), place.is_test)
        };
        let names = self.modules[place.module].names.entry(name).or_default();
        names.push(Name::Module(id));
    }
}

/// The file of a module that is declared in `declared_in`, and the folder of those that it declares in turn.
fn file_of(root: &Path, declared_in: &str, inner: &ItemMod, folder: &Path) -> (PathBuf, PathBuf) {
    let name = inner.ident.to_string();
    if let Some(path) = inner.attrs.iter().find_map(given_path) {
        let beside = root.join(declared_in);
        let file = beside.parent().expect("a file has a folder").join(path);
        let folder = file.parent().expect("a file has a folder").to_owned();
        return (file, folder);
    }
    let inside = folder.join(&name);
    let flat = folder.join(format!("{name}.rs"));
    if flat.is_file() {
        (flat, inside)
    } else {
        (inside.join("mod.rs"), inside)
    }
}

/// The path of `#[path = "…"]`.
fn given_path(attribute: &Attribute) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    match &pair.value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(path),
            ..
        }) if pair.path.is_ident("path") => Some(path.value()),
        _ => None,
    }
}

/// Whether it is `#[cfg(test)]`, or `#[cfg(all(test, …))]`.
fn is_for_tests(attribute: &Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else {
        return false;
    };
    let text = list.tokens.to_string();
    list.path.is_ident("cfg")
        && !text.contains("not")
        && text
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| word == "test")
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn defined(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        _ => None,
    }
}

/// Whether a `use` makes its names known to others.
pub(crate) fn is_export(visibility: &Visibility) -> bool {
    !matches!(visibility, Visibility::Inherited)
}

/// Every name that a `use` brings in, with its path; the name is `*` for all of a module.
pub(crate) fn flattened(tree: &UseTree, before: &[String]) -> Vec<(String, Vec<String>)> {
    let with = |name: &Ident| [before, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(path) => flattened(&path.tree, &with(&path.ident)),
        UseTree::Name(name) if name.ident == "self" => {
            let module = before.last().cloned().unwrap_or_default();
            vec![(module, before.to_vec())]
        }
        UseTree::Name(name) => vec![(name.ident.to_string(), with(&name.ident))],
        UseTree::Rename(rename) if rename.ident == "self" => {
            vec![(rename.rename.to_string(), before.to_vec())]
        }
        UseTree::Rename(rename) => vec![(rename.rename.to_string(), with(&rename.ident))],
        UseTree::Glob(_) => vec![("*".to_owned(), before.to_vec())],
        UseTree::Group(group) => {
            let trees = group.items.iter();
            trees.flat_map(|tree| flattened(tree, before)).collect()
        }
    }
}
