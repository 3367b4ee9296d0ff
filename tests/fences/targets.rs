//! The fuzz targets: each has a program for libFuzzer, a corpus, and a test.

use std::collections::BTreeSet;

use crate::rooms::root;

/// What stands in a folder, without what follows the last dot.
fn names(folder: &str) -> BTreeSet<String> {
    let files = std::fs::read_dir(root().join(folder)).expect("a folder");
    files
        .map(|file| {
            let path = file.expect("a folder can be read").path();
            let stem = path.file_stem().expect("a name");
            stem.to_string_lossy().into_owned()
        })
        .collect()
}

/// The targets that tests run: those of the list in a file.
fn tested(file: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(file)).expect("a file");
    let list = text.split_once("fuzz_tests!").expect("a list").1;
    let list = list.trim_start().trim_start_matches('{');
    let list = list.split('}').next().unwrap_or_default();
    let targets = list.split(',').map(str::trim);
    targets
        .filter(|target| !target.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_fuzz_target_has_a_program_a_corpus_and_a_test() {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = manifest.parse().expect("it is TOML");
    let programs = manifest["bin"].as_array().expect("a list").iter();
    let programs: BTreeSet<String> = programs
        .map(|program| program["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(names("fuzz/fuzz_targets"), programs);
    assert_eq!(names("fuzz/corpus"), programs);
    let files = [
        "src/fuzz.rs",
        "client/src/fuzz.rs",
        "contract/src/fuzz.rs",
        "worker/src/fuzz.rs",
    ];
    let mut tested: BTreeSet<String> = files.into_iter().flat_map(tested).collect();
    // It needs a server, so its test is contract/tests/transitions/fuzzed.rs.
    tested.insert("scripts".to_owned());
    assert_eq!(tested, programs);
}
