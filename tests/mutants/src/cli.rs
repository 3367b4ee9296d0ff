//! What can be asked for.

use std::time::Duration;

use clap::Parser;

use crate::mutant::{Kind, Mutant};

/// Changes the code in small ways, one at a time, and says which changes no test notices.
#[derive(Debug, Parser)]
#[command(name = "scripts/mutants")]
pub(crate) struct Options {
    /// Which sample is drawn; the same seed draws the same changes as long as their lines stay as they are.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many changes are tried. A third of them are made to the scripts.
    #[arg(long, default_value_t = 20)]
    pub(crate) sample: usize,
    /// Changes of one kind alone.
    #[arg(long, value_enum)]
    pub(crate) only: Option<Kind>,
    /// Of the sample, those alone whose description holds this text.
    #[arg(long)]
    pub(crate) filter: Option<String>,
    /// Of the sample, one part of several, as in 2/3.
    #[arg(long, value_parser = part)]
    pub(crate) part: Option<(usize, usize)>,
    /// How long building and testing one change may take, in seconds; one that takes longer counts as noticed.
    #[arg(long, default_value_t = 900)]
    timeout: u64,
    /// Says what would be tried, and ends.
    #[arg(long)]
    pub(crate) list: bool,
    /// Trusts that the suites pass on the code as it is.
    #[arg(long)]
    pub(crate) no_baseline: bool,
}

impl Options {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// Whether a change is one of those that were asked for.
    pub(crate) fn wants(&self, mutant: &Mutant) -> bool {
        let named = |text: &String| mutant.to_string().contains(text.as_str());
        self.filter.as_ref().is_none_or(named)
    }
}

fn part(text: &str) -> Result<(usize, usize), String> {
    let parts = text
        .split_once('/')
        .and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    match parts {
        Some((part, of)) if (1..=of).contains(&part) => Ok((part, of)),
        _ => Err("must be a part and how many there are, as 2/3".to_owned()),
    }
}
