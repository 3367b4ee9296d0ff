//! What came of it.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use serde::Deserialize;

use crate::judge::Verdict;
use crate::mutant::Mutant;
use crate::output::{print, say};

/// Why changes that no test notices are none that a test should notice.
const EXPLAINED: &str = "tests/mutants/explained.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Explanations {
    #[serde(default)]
    survivor: Vec<Explanation>,
}

/// Why a change survives.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Explanation {
    file: String,
    /// What is done, as the report says it.
    change: String,
    /// Words of the line, where a file has the change in several.
    #[serde(default)]
    line: String,
    why: String,
}

impl Explanation {
    fn is_of(&self, mutant: &Mutant) -> bool {
        self.file == mutant.file
            && self.change == mutant.what
            && mutant.context.contains(&self.line)
    }
}

#[derive(Debug)]
pub(crate) struct Report {
    explanations: Vec<Explanation>,
    started: Instant,
    noticed: usize,
    timed_out: usize,
    unbuildable: usize,
    survivors: Vec<(Mutant, String)>,
}

impl Report {
    pub(crate) fn new(root: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(root.join(EXPLAINED)).context(EXPLAINED)?;
        let all: Explanations = toml::from_str(&text).context(EXPLAINED)?;
        Ok(Self {
            explanations: all.survivor,
            started: Instant::now(),
            noticed: 0,
            timed_out: 0,
            unbuildable: 0,
            survivors: Vec::new(),
        })
    }

    /// Notes what became of a change of a file that reads `text`.
    pub(crate) fn note(&mut self, mutant: Mutant, text: &str, verdict: Verdict) {
        let seconds = self.started.elapsed().as_secs();
        let word = match verdict {
            Verdict::Noticed(test) => {
                self.noticed += 1;
                format!("noticed by {test}")
            }
            Verdict::TimedOut => {
                self.timed_out += 1;
                "noticed: it takes too long".to_owned()
            }
            Verdict::DoesNotBuild => {
                self.unbuildable += 1;
                "does not build".to_owned()
            }
            Verdict::Survived => {
                let diff = mutant.diff(text);
                say(&diff);
                self.survivors.push((mutant.clone(), diff));
                "SURVIVED".to_owned()
            }
        };
        say(&format!("{seconds:>5} s  {mutant}\n         {word}"));
    }

    /// Prints the survivors; true if each is explained.
    pub(crate) fn finish(self) -> bool {
        let mut all_explained = true;
        for (mutant, diff) in &self.survivors {
            print(&format!("{mutant}\n{}", diff.trim_end()));
            let why = self.explanations.iter().find(|one| one.is_of(mutant));
            match why {
                Some(explanation) => print(&format!("  explained: {}", explanation.why)),
                None => {
                    all_explained = false;
                    print("  not explained");
                }
            }
            print("");
        }
        print(&format!(
            "{} noticed, {} of them by their time; {} do not build; {} survived",
            self.noticed + self.timed_out,
            self.timed_out,
            self.unbuildable,
            self.survivors.len()
        ));
        all_explained
    }
}
