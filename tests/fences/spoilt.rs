//! The checker itself: in a copy of the sources, files that break each rule are found, and nothing else is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::check::{Breach, breaches};
use crate::rooms::{crates, root};
use crate::rules::{ROOMS, Rooms};
use crate::sources::Crate;

/// A copy of the sources.
struct Copy {
    folder: tempfile::TempDir,
    crates: Vec<Crate>,
    before: BTreeSet<Breach>,
}

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let crates = crates();
        for one in &crates {
            let inside = Path::new(&one.root).parent().expect("a folder of sources");
            copy(&root().join(inside), &folder.path().join(inside));
        }
        let before = breaches(folder.path(), &crates, &Rooms::read(ROOMS));
        Self {
            folder,
            crates,
            before,
        }
    }

    /// Adds a file, and declares it as a module in the one that is named first.
    fn add(&self, declared_in: &str, name: &str, text: &str) {
        let parent: PathBuf = self.folder.path().join(declared_in);
        let mut declaring = std::fs::read_to_string(&parent).expect(declared_in);
        declaring.push_str(&format!("\nmod {name};\n"));
        std::fs::write(&parent, declaring).expect(declared_in);
        let file = parent.with_file_name(format!("{name}.rs"));
        std::fs::write(file, text).expect("a new file");
    }

    /// What is found now, beside what was found before.
    fn found(&self) -> BTreeSet<String> {
        self.found_with(ROOMS)
    }

    /// The same with another table of rooms.
    fn found_with(&self, table: &'static str) -> BTreeSet<String> {
        let now = breaches(self.folder.path(), &self.crates, &Rooms::read(table));
        let new = now.difference(&self.before);
        new.map(ToString::to_string).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let copied = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &copied);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            std::fs::copy(&path, &copied).expect("a copy");
        }
    }
}

#[test]
fn an_arrow_that_runs_up_is_seen_however_it_is_written() {
    let copy = Copy::new();
    let ways = [
        "use crate::mcp::Thing;",
        "pub(crate) use crate::mcp::Thing;",
        "use super::super::mcp::Thing;",
        "fn f() { crate::mcp::Thing::new(); }",
        "fn f(_: &[crate::mcp::Thing]) {}",
        "fn f() { use crate::mcp::Thing; }",
        "fn f() { println!(\"{}\", (1, crate::mcp::Thing)); }",
        "use crate::mcp as other; fn f(_: other::Thing) {}",
        "#[derive(Deserialize)] struct S { #[serde(with = \"crate::mcp::Thing\")] a: u8 }",
    ];
    let mut expected = BTreeSet::new();
    for (way, name) in ways.into_iter().zip('a'..) {
        copy.add("src/bridge/mod.rs", &format!("spoilt_{name}"), way);
        expected.insert(format!(
            "src/bridge/spoilt_{name}.rs takes from src/mcp/mod.rs (Thing in line 1): bridge may not take from mcp"
        ));
    }
    let climbs = "src/bridge/spoilt_c.rs:1 has super::super; crate:: says where it leads";
    expected.insert(climbs.to_owned());
    assert_eq!(copy.found(), expected);
}

#[test]
fn each_kind_of_breach_is_told_by_file_and_line() {
    let copy = Copy::new();
    let cases = [
        (
            "src/mcp/modern/mod.rs",
            "use crate::mcp::legacy::Thing;",
            "src/mcp/modern/spoilt.rs takes from src/mcp/legacy/mod.rs (Thing in line 1): mcp::modern may not take from mcp::legacy",
        ),
        (
            "src/mcp/wait/mod.rs",
            "use taskferry_contract::Store;",
            "src/mcp/wait/spoilt.rs takes from contract/src/store/mod.rs (Store in line 1): mcp::wait may not take from contract::store",
        ),
        (
            "src/cli/mod.rs",
            "fn f(_: taskferry_contract::ReviveReply) {}",
            "src/cli/spoilt.rs takes from contract/src/store/operate/revive.rs (ReviveReply in line 1): cli may not take from contract::store",
        ),
        (
            "process/src/lib.rs",
            "use taskferry_worker::Builder;",
            "process/src/spoilt.rs takes from worker/src/worker/builder.rs (Builder in line 1): process may not take from worker",
        ),
        (
            "src/mcp/protocol/mod.rs",
            "\nuse axum::http::StatusCode;",
            "src/mcp/protocol/spoilt.rs:2 names axum::http::StatusCode",
        ),
        (
            "src/bridge/mod.rs",
            "fn f(_: hyper::Version) {}",
            "src/bridge/spoilt.rs:1 names hyper::Version",
        ),
        (
            "contract/src/model/mod.rs",
            "use redis::Value;",
            "contract/src/model/spoilt.rs:1 names redis::Value",
        ),
        (
            "contract/src/model/tool/mod.rs",
            "fn f() -> bool { let t = std::time::Instant::now(); t.elapsed().is_zero() }",
            "contract/src/model/tool/spoilt.rs:1 names std::time::Instant::now",
        ),
        (
            "contract/src/json/mod.rs",
            "use crate::Store;",
            "contract/src/json/spoilt.rs takes from contract/src/store/mod.rs (Store in line 1): contract::json may not take from contract::store",
        ),
        (
            "src/main.rs",
            "",
            "src/spoilt.rs is in no room of tests/fences/rooms.txt",
        ),
    ];
    for (declared_in, text, _) in cases {
        copy.add(declared_in, "spoilt", text);
    }
    let expected = cases.map(|(_, _, told)| told.to_owned());
    assert_eq!(copy.found(), BTreeSet::from(expected));
}

#[test]
fn two_files_that_need_each_other_are_a_circle() {
    let copy = Copy::new();
    let add = |name, text| copy.add("src/bridge/mod.rs", name, text);
    add(
        "spoilt_a",
        "use super::spoilt_b::Two; pub(crate) struct One(Two);",
    );
    add(
        "spoilt_b",
        "pub(crate) struct Two(Option<Box<super::spoilt_a::One>>);",
    );
    // What a file passes on, or only its tests need, makes no circle.
    add(
        "passing_a",
        "use super::passing_b::Two; pub(crate) struct One(Two);",
    );
    add(
        "passing_b",
        "pub(crate) use super::passing_a::One; pub(crate) struct Two;",
    );
    add(
        "tested_a",
        "use super::tested_b::Two; pub(crate) struct One(Two);",
    );
    add(
        "tested_b",
        "pub(crate) struct Two; #[cfg(test)] mod tests { use crate::bridge::tested_a::One; }",
    );
    let circle = "a circle of files: src/bridge/spoilt_a.rs, src/bridge/spoilt_b.rs";
    assert_eq!(copy.found(), BTreeSet::from([circle.to_owned()]));
}

#[test]
fn a_row_of_the_rooms_for_what_is_not_there_is_told() {
    let table = concat!(
        include_str!("rooms.txt"),
        "bridge::gone src/bridge/gone/ process\n",
        "bridge::moved src/bridge/moved.rs unheard_of\n",
    );
    let told = |path: &str| format!("tests/fences/rooms.txt has {path}, where no file is");
    let expected = ["src/bridge/gone/", "src/bridge/moved.rs"].map(told);
    assert_eq!(Copy::new().found_with(table), BTreeSet::from(expected));
    assert_eq!(Rooms::read(table).unknown(), ["unheard_of"]);
}
