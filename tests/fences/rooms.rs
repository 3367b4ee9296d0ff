//! The house keeps its rules.

use std::path::Path;

use crate::check::breaches;
use crate::packages::metadata;
use crate::rules::{ROOMS, Rooms};
use crate::sources::Crate;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The libraries and programs of every package.
pub(crate) fn crates() -> Vec<Crate> {
    let metadata = metadata();
    let targets = metadata
        .workspace_packages()
        .into_iter()
        .flat_map(|package| &package.targets)
        .filter(|target| target.is_lib() || target.is_bin());
    let one = |target: &cargo_metadata::Target| Crate {
        name: target.name.clone(),
        root: target
            .src_path
            .strip_prefix(root())
            .expect("it is in the tree")
            .to_string(),
    };
    targets.map(one).collect()
}

#[test]
fn every_arrow_runs_down_and_no_files_go_in_a_circle() {
    let found = breaches(root(), &crates(), &Rooms::read(ROOMS));
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_table_of_rooms_names_what_is_there() {
    assert_eq!(Rooms::read(ROOMS).unknown(), Vec::<&str>::new());
}
