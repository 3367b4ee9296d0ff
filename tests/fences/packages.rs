//! The dependency fences of docs/ARCHITECTURE.md and the licences of deny.toml, over `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

pub(crate) fn metadata() -> Metadata {
    MetadataCommand::new()
        .other_options(["--locked".to_owned()])
        .exec()
        .expect("cargo metadata runs")
}

pub(crate) fn deny() -> toml::Table {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml");
    std::fs::read_to_string(path)
        .expect("deny.toml is there")
        .parse()
        .expect("deny.toml is TOML")
}

fn strings(value: &toml::Value) -> BTreeSet<String> {
    let items = value.as_array().expect("a list").iter();
    items
        .map(|item| item.as_str().expect("a string").to_owned())
        .collect()
}

/// The names of what `package` depends on directly, for its own code or also for its tests.
fn dependencies(package: &Package, kinds: &[DependencyKind]) -> BTreeSet<String> {
    let of_kinds = package
        .dependencies
        .iter()
        .filter(|dependency| kinds.contains(&dependency.kind));
    of_kinds.map(|dependency| dependency.name.clone()).collect()
}

/// What each package may depend on, among those of the workspace.
const ALLOWED: &[(&str, &[&str])] = &[
    ("taskferry-client", &[]),
    ("taskferry-contract", &[]),
    ("taskferry-process", &["taskferry-contract"]),
    ("taskferry-housekeeping", &["taskferry-contract"]),
    (
        "taskferry",
        &[
            "taskferry-contract",
            "taskferry-housekeeping",
            "taskferry-process",
        ],
    ),
    (
        "taskferry-worker",
        &[
            "taskferry-contract",
            "taskferry-housekeeping",
            "taskferry-process",
        ],
    ),
    ("taskferry-testing", &["taskferry-contract"]),
    ("taskferry-mutants", &[]),
    (
        "taskferry-chaos",
        &[
            "taskferry-client",
            "taskferry-contract",
            "taskferry-testing",
            "taskferry-worker",
        ],
    ),
    (
        "taskferry-worker-conformance",
        &["taskferry-client", "taskferry-testing", "taskferry-worker"],
    ),
    (
        "taskferry-bench",
        &[
            "taskferry-client",
            "taskferry-contract",
            "taskferry-testing",
            "taskferry-worker",
        ],
    ),
];

#[test]
fn the_arrows_between_packages_run_one_way() {
    let metadata = metadata();
    let own: BTreeMap<String, &Package> = metadata
        .workspace_packages()
        .into_iter()
        .map(|package| (package.name.to_string(), package))
        .collect();
    let names: BTreeSet<String> = own.keys().cloned().collect();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    assert_eq!(
        names,
        allowed.keys().map(|name| (*name).to_owned()).collect(),
        "a package came or went"
    );
    for (name, package) in own {
        let inner: BTreeSet<String> =
            dependencies(package, &[DependencyKind::Normal, DependencyKind::Build])
                .intersection(&names)
                .cloned()
                .collect();
        let allowed: BTreeSet<String> = allowed[name.as_str()]
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        assert!(
            inner.is_subset(&allowed),
            "{name} depends on {inner:?}; only {allowed:?} may be"
        );
    }
}

#[test]
fn banned_crates_stay_behind_their_fence() {
    let metadata = metadata();
    let deny = deny();
    let all = [
        DependencyKind::Normal,
        DependencyKind::Build,
        DependencyKind::Development,
    ];
    for ban in deny["bans"]["deny"].as_array().expect("a list") {
        let name = ban["crate"].as_str().expect("a crate");
        let wrappers = ban.get("wrappers").map(strings).unwrap_or_default();
        let users: BTreeSet<String> = resolved_users(&metadata, name, &all);
        let strangers: Vec<&String> = users.difference(&wrappers).collect();
        assert!(
            strangers.is_empty(),
            "{name} is used by {strangers:?}; only {wrappers:?} may"
        );
    }
}

/// Who really depends on a crate: in the resolved graph, so without optional dependencies that nobody turned on.
fn resolved_users(metadata: &Metadata, name: &str, kinds: &[DependencyKind]) -> BTreeSet<String> {
    let named: BTreeMap<_, _> = metadata
        .packages
        .iter()
        .map(|package| (package.id.clone(), package.name.to_string()))
        .collect();
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let uses = |node: &&cargo_metadata::Node| {
        node.deps.iter().any(|dependency| {
            named[&dependency.pkg] == name
                && dependency
                    .dep_kinds
                    .iter()
                    .any(|kind| kinds.contains(&kind.kind))
        })
    };
    resolve
        .nodes
        .iter()
        .filter(uses)
        .map(|node| named[&node.id].clone())
        .collect()
}

#[test]
fn every_licence_is_allowed() {
    let metadata = metadata();
    let allowed = strings(&deny()["licenses"]["allow"]);
    for package in &metadata.packages {
        let licence = package.license.clone().unwrap_or_default();
        assert!(
            is_allowed(&licence, &allowed),
            "{} {} is under {licence:?}",
            package.name,
            package.version
        );
    }
}

/// An SPDX expression holds if one of its alternatives does; all parts of an alternative must be allowed.
fn is_allowed(licence: &str, allowed: &BTreeSet<String>) -> bool {
    let licence = licence.replace('/', " OR ");
    let flat = licence.replace(['(', ')'], "");
    let part = |text: &str| allowed.contains(text.trim());
    if licence.contains('(') {
        // The one shape in use: (A OR B) AND C.
        return flat
            .split(" AND ")
            .all(|group| group.split(" OR ").any(part));
    }
    flat.split(" OR ")
        .any(|alternative| alternative.split(" AND ").all(part))
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "ISC".to_owned()]);
    for licence in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/Apache-2.0",
        "MIT AND ISC",
        "(GPL-3.0 OR MIT) AND ISC",
    ] {
        assert!(is_allowed(licence, &allowed), "{licence}");
    }
    for licence in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0"] {
        assert!(!is_allowed(licence, &allowed), "{licence}");
    }
}

#[test]
fn everything_comes_from_the_registry_or_this_tree() {
    for package in &metadata().packages {
        let source = package
            .source
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            source.is_empty() || source.starts_with("registry+"),
            "{} comes from {source}",
            package.name
        );
    }
}
