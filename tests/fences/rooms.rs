//! The house keeps its rules.

use std::collections::BTreeMap;
use std::path::Path;

use crate::check::{Breach, breaches};
use crate::packages::metadata;
use crate::rules::Rooms;
use crate::sources::Crate;
use crate::today;

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
    let mut in_circles: BTreeMap<String, usize> = BTreeMap::new();
    let mut rest = Vec::new();
    for breach in breaches(root(), &crates()) {
        match &breach {
            Breach::Circle(files) => {
                let package = files.first().and_then(|file| file.split('/').next());
                let package = package.expect("a circle has files").to_owned();
                *in_circles.entry(package).or_default() += files.len();
                println!("{breach}");
            }
            Breach::Room { rooms, .. } if today::ROOMS.contains(rooms) => println!("{breach}"),
            _ => rest.push(breach.to_string()),
        }
    }
    for (package, now) in in_circles {
        let before = today::IN_CIRCLES.iter().find(|(name, _)| *name == package);
        if before.is_none_or(|(_, before)| now > *before) {
            rest.push(format!("{package}: {now} files are in circles now"));
        }
    }
    assert!(rest.is_empty(), "{}", rest.join("\n"));
}

#[test]
fn the_table_of_rooms_names_what_is_there() {
    assert_eq!(Rooms::read().unknown(), Vec::<&str>::new());
}
