//! Fuzz targets as ordinary tests: each input of the kept corpus, and changes of them that are the same in every run. The long
//! runs, which learn from what the code did, are those of `scripts/fuzz`; what they find comes back here as a file of the
//! corpus.

mod mutate;
pub mod scripts;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mutate::Mutator;

/// How many changed inputs are tried.
const CHANGED: u32 = 20_000;
/// No more are tried after this long.
const LONG_ENOUGH: Duration = Duration::from_millis(1_000);

/// Makes a test of each of these targets, which are functions of the module above.
#[macro_export]
macro_rules! fuzz_tests {
    ($($target:ident),+ $(,)?) => {
        $(
            #[test]
            fn $target() {
                $crate::fuzz::replay(stringify!($target), super::$target);
            }
        )+
    };
}

/// Calls a target with its corpus and with changes of that.
///
/// # Panics
///
/// If the target does, or if there is no corpus. The input that made it panic is printed first.
pub fn replay(name: &str, mut target: impl FnMut(&[u8])) {
    let corpus = corpus(name);
    for (file, input) in &corpus {
        hold(&mut target, input, &file.display().to_string());
    }
    let inputs: Vec<Vec<u8>> = corpus.into_iter().map(|(_, input)| input).collect();
    let mut mutator = Mutator::new(name, &inputs);
    let start = Instant::now();
    for count in 0..CHANGED {
        if start.elapsed() > LONG_ENOUGH {
            break;
        }
        hold(
            &mut target,
            &mutator.next_input(),
            &format!("change {count}"),
        );
    }
}

fn hold(target: &mut impl FnMut(&[u8]), input: &[u8], which: &str) {
    let Err(panicked) = catch_unwind(AssertUnwindSafe(|| target(input))) else {
        return;
    };
    eprintln!(
        "{which} is an input that breaks it:\n{}",
        input.escape_ascii()
    );
    resume_unwind(panicked);
}

/// The files of a target's corpus, in the order of their names.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(name);
    let files = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", folder.display()));
    let mut inputs: Vec<(PathBuf, Vec<u8>)> = files
        .map(|file| {
            let path = file.expect("a folder can be read").path();
            let input = std::fs::read(&path).expect("a file of the corpus can be read");
            (path, input)
        })
        .collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs.sort();
    inputs
}
