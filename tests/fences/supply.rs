//! What the binaries are made of: crates in several versions, crates that were yanked, and the bill of materials.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::camino::Utf8Path;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use serde_json::Value;

use crate::packages::{deny, metadata};
use crate::rooms::root;

/// The versions of a list in deny.toml, each as `name@version`.
fn listed() -> Vec<(String, String)> {
    let deny = deny();
    let rows = deny["bans"]["skip"].as_array().expect("a list");
    let one = |row: &toml::Value| {
        assert!(row["reason"].is_str(), "{row} has no reason");
        let spec = row["crate"].as_str().expect("a crate");
        let (name, version) = spec.split_once('@').expect("a version");
        (name.to_owned(), version.to_owned())
    };
    rows.iter().map(one).collect()
}

/// Whether a version is one of those that a shorter one stands for.
fn is_of(version: &str, short: &str) -> bool {
    let rest = version.strip_prefix(short);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[test]
fn no_crate_comes_in_several_versions_without_a_reason() {
    let metadata = metadata();
    let mut versions: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    for package in &metadata.packages {
        versions
            .entry(package.name.as_str())
            .or_default()
            .push(package);
    }
    let mut listed: BTreeSet<(String, String)> = listed().into_iter().collect();
    let mut strange = Vec::new();
    for (name, mut packages) in versions {
        packages.sort_by(|one, other| one.version.cmp(&other.version));
        let newest = packages.pop();
        for older in packages {
            let version = older.version.to_string();
            let row = listed
                .iter()
                .find(|(of, short)| of == name && is_of(&version, short))
                .cloned();
            match row {
                Some(row) => drop(listed.remove(&row)),
                None => strange.push(format!(
                    "{name} {version} beside {}",
                    newest.expect("one").version
                )),
            }
        }
    }
    assert!(
        strange.is_empty(),
        "deny.toml does not say why: {strange:?}"
    );
    assert!(
        listed.is_empty(),
        "not needed in deny.toml any more: {listed:?}"
    );
}

/// The file of Cargo's index cache for a crate, beside the sources that it was unpacked to.
fn cached_index(package: &Package) -> Option<PathBuf> {
    let name = package.name.to_lowercase();
    let sources = package.manifest_path.parent().and_then(Utf8Path::parent)?;
    let index = sources
        .parent()?
        .with_file_name("index")
        .join(sources.file_name()?);
    let short = name.get(..1)?;
    let folder = match name.len() {
        1 => "1".to_owned(),
        2 => "2".to_owned(),
        3 => format!("3/{short}"),
        _ => format!("{}/{}", name.get(..2)?, name.get(2..4)?),
    };
    Some(index.join(".cache").join(folder).join(name).into())
}

/// Whether the index has a version as yanked. `None` if it does not know it.
fn is_yanked(index: &[u8], version: &str) -> Option<bool> {
    let rows = index.split(|byte| *byte == 0);
    let rows = rows.filter_map(|row| serde_json::from_slice::<Value>(row).ok());
    let mut found = rows.filter(|row| row["vers"] == version);
    found.next()?["yanked"].as_bool()
}

#[test]
fn no_crate_was_yanked() {
    let mut known = 0;
    for package in metadata()
        .packages
        .iter()
        .filter(|package| package.source.is_some())
    {
        let index = cached_index(package).and_then(|file| std::fs::read(file).ok());
        let version = package.version.to_string();
        // Of a crate that was brought here without the index nothing is known.
        let Some(is_yanked) = index.and_then(|index| is_yanked(&index, &version)) else {
            continue;
        };
        assert!(
            !is_yanked,
            "{} {version} was yanked: cargo update -p {}",
            package.name, package.name
        );
        known += 1;
    }
    println!("of {known} crates the index is known");
}

#[test]
fn the_index_is_read_as_cargo_writes_it() {
    let index = b"\x03\x02\0\0\0etag: x\x001.0.0\0{\"vers\":\"1.0.0\",\"yanked\":true}\x001.0.1\0{\"vers\":\"1.0.1\",\"yanked\":false}\0";
    assert_eq!(is_yanked(index, "1.0.0"), Some(true));
    assert_eq!(is_yanked(index, "1.0.1"), Some(false));
    assert_eq!(is_yanked(index, "1.0.2"), None);
    let metadata = metadata();
    let package = |name: &str| {
        metadata
            .packages
            .iter()
            .find(|it| it.name == name)
            .expect("it is used")
    };
    let file = |name: &str| cached_index(package(name)).expect("a place");
    assert!(file("serde_json").ends_with(".cache/se/rd/serde_json"));
    assert!(file("syn").ends_with(".cache/3/s/syn"));
}

/// The crates that are linked into the binaries on this platform.
fn linked(metadata: &Metadata) -> BTreeSet<&PackageId> {
    let nodes = &metadata.resolve.as_ref().expect("a resolved graph").nodes;
    let nodes: BTreeMap<_, _> = nodes.iter().map(|node| (&node.id, node)).collect();
    let binaries = metadata.packages.iter();
    let binaries = binaries
        .filter(|package| ["taskferry", "taskferry-worker"].contains(&package.name.as_str()));
    let mut todo: Vec<&PackageId> = binaries.map(|package| &package.id).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if found.insert(id) {
            let normal = nodes[id].deps.iter().filter(|dependency| {
                let mut kinds = dependency.dep_kinds.iter();
                kinds.any(|kind| kind.kind == DependencyKind::Normal)
            });
            todo.extend(normal.map(|dependency| &dependency.pkg));
        }
    }
    found
}

/// The checksum of each crate in Cargo.lock.
fn checksums() -> BTreeMap<(String, String), String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock is there");
    let lock: toml::Table = lock.parse().expect("it is TOML");
    let packages = lock["package"].as_array().expect("a list").iter();
    let text = |package: &toml::Value, field: &str| {
        let text = package.get(field).and_then(toml::Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    packages
        .map(|it| {
            (
                (text(it, "name"), text(it, "version")),
                text(it, "checksum"),
            )
        })
        .collect()
}

fn output(program: &Path, arguments: &[&str]) -> String {
    let made = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output();
    let made = made.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{}: {said}", program.display());
    String::from_utf8(made.stdout).expect("it prints text")
}

#[test]
fn the_bill_of_materials_has_every_crate_of_the_binaries() {
    let said = output(Path::new("rustc"), &["-vV"]);
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.expect("rustc says its host");
    let options = ["--locked", "--filter-platform", host].map(str::to_owned);
    let metadata = MetadataCommand::new()
        .other_options(options)
        .exec()
        .expect("cargo metadata runs");
    let linked = linked(&metadata);
    let bill: Value =
        serde_json::from_str(&output(&root().join("scripts/sbom"), &[host])).expect("it is JSON");
    assert_eq!(
        (&bill["bomFormat"], &bill["specVersion"]),
        (&"CycloneDX".into(), &"1.6".into())
    );

    let components = bill["components"].as_array().expect("a list");
    assert_eq!(components.len(), linked.len());
    let dependencies = bill["dependencies"].as_array().expect("a list");
    let checksums = checksums();
    for id in linked {
        let package = &metadata[id];
        let version = package.version.to_string();
        let reference = format!("pkg:cargo/{}@{version}", package.name);
        let component = components
            .iter()
            .find(|component| component["purl"] == *reference);
        let component = component.unwrap_or_else(|| panic!("{reference} is not in it"));
        let licence = component["licenses"][0]["expression"]
            .as_str()
            .unwrap_or_default();
        assert_eq!(
            Some(licence.to_owned()),
            package.license.as_ref().map(|it| it.replace('/', " OR "))
        );
        if package.source.is_some() {
            let checksum = &checksums[&(package.name.to_string(), version)];
            assert_eq!(component["hashes"][0]["content"], **checksum, "{reference}");
        }
        assert!(
            dependencies.iter().any(|row| row["ref"] == *reference),
            "{reference} has no row"
        );
    }
}
