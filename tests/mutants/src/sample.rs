//! Which changes are tried.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::cli::Options;
use crate::mutant::{Kind, Mutant};

/// The sample. Each change has a place of its own that depends on the seed and on the change alone, so that what is written
/// elsewhere hardly changes the sample.
pub(crate) fn draw(all: Vec<Mutant>, options: &Options) -> Vec<Mutant> {
    let of_lua = match options.only {
        Some(Kind::Lua) => options.sample,
        Some(Kind::Rust) => 0,
        None => options.sample / 3,
    };
    let placed = placed(all, options.seed);
    let (lua, rust): (Vec<_>, Vec<_>) = placed
        .into_iter()
        .partition(|mutant| mutant.kind == Kind::Lua);
    let lua = lua.into_iter().take(of_lua);
    let rust = rust.into_iter().take(options.sample.saturating_sub(of_lua));
    let (part, of) = options.part.unwrap_or((1, 1));
    let part = lua.chain(rust).skip(part - 1).step_by(of);
    let mut drawn: Vec<Mutant> = part.filter(|mutant| options.wants(mutant)).collect();
    // One package after the other, so that each is built as seldom as may be.
    drawn.sort_by(|a, b| {
        (package(&a.file), &a.file, a.line).cmp(&(package(&b.file), &b.file, b.line))
    });
    drawn
}

/// Where a package stands in the order: those that others are built on come first.
fn package(file: &str) -> usize {
    let packages = ["contract/lua/", "contract/", "process/", "worker/", "src/"];
    let place = packages
        .iter()
        .position(|package| file.starts_with(package));
    place.unwrap_or(packages.len())
}

/// All of them in the order that the seed gives them.
fn placed(all: Vec<Mutant>, seed: u64) -> Vec<Mutant> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut placed: Vec<(Vec<u8>, Mutant)> = all
        .into_iter()
        .map(|mutant| {
            let identity = mutant.identity();
            // The same line may be there twice.
            let before = seen.entry(identity.clone()).or_default();
            *before += 1;
            let place = Sha256::digest(format!("{seed} {before} {identity}"));
            (place.to_vec(), mutant)
        })
        .collect();
    placed.sort_by(|(a, _), (b, _)| a.cmp(b));
    placed.into_iter().map(|(_, mutant)| mutant).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn mutant(kind: Kind, file: &str, line: usize) -> Mutant {
        Mutant {
            kind,
            file: file.to_owned(),
            line,
            bytes: 0..0,
            replacement: String::new(),
            what: format!("change {line}"),
            context: "x".to_owned(),
        }
    }

    fn all() -> Vec<Mutant> {
        let lua = (0..50).map(|line| mutant(Kind::Lua, "contract/lua/a.lua", line));
        let rust = (0..50).map(|line| mutant(Kind::Rust, "src/a.rs", line));
        lua.chain(rust).collect()
    }

    fn drawn(options: &[&str]) -> Vec<String> {
        let options = Options::parse_from(["mutants"].iter().chain(options));
        let drawn = draw(all(), &options);
        drawn.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_seed_draws_the_same_sample_and_another_seed_another() {
        let options = ["--seed", "2", "--sample", "9"];
        let first = drawn(&options);
        assert_eq!(first, drawn(&options));
        assert_ne!(first, drawn(&["--seed", "3", "--sample", "9"]));
        let lua = first.iter().filter(|one| one.starts_with("contract/lua"));
        assert_eq!((first.len(), lua.count()), (9, 3));
    }

    #[test]
    fn the_parts_of_a_sample_are_the_sample() {
        let mut parts = drawn(&["--sample", "9", "--part", "1/2"]);
        parts.extend(drawn(&["--sample", "9", "--part", "2/2"]));
        let mut whole = drawn(&["--sample", "9"]);
        parts.sort();
        whole.sort();
        assert_eq!(parts, whole);
    }
}
