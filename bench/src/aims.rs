//! What the front end is to stay within, as ratios to the yardsticks of the same round.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::figures::Figures;
use crate::row::Row;
use crate::stats::Spread;

/// On which side of its bound a ratio is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn holds(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most) => ratio <= most,
            Self::AtLeast(least) => ratio >= least,
        }
    }
}

/// An aim: a figure of one row against the same of its yardstick.
struct Aim {
    what: &'static str,
    row: Row,
    yardstick: Row,
    figure: fn(&Figures) -> Option<f64>,
    bound: Bound,
}

const AIMS: [Aim; 4] = [
    Aim {
        what: "poll: CPU of the front end <= 1.5 x bare",
        row: Row::PollModern,
        yardstick: Row::PollBare,
        figure: |figures| figures.server_cpu_us,
        bound: Bound::AtMost(1.5),
    },
    Aim {
        what: "create: CPU of the front end <= 1.6 x bare",
        row: Row::CreateModern,
        yardstick: Row::CreateBare,
        figure: |figures| figures.server_cpu_us,
        bound: Bound::AtMost(1.6),
    },
    Aim {
        what: "lifecycle: rate >= 0.35 x direct",
        row: Row::LifecycleModern,
        yardstick: Row::LifecycleDirect,
        figure: |figures| Some(figures.per_second),
        bound: Bound::AtLeast(0.35),
    },
    Aim {
        what: "alone: p50 of a plain call <= 3 x direct",
        row: Row::AlonePlain,
        yardstick: Row::AloneDirect,
        figure: |figures| Some(figures.p50_ms),
        bound: Bound::AtMost(3.0),
    },
];

/// What became of an aim.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Verdict {
    /// The aim.
    pub(crate) aim: &'static str,
    /// The ratio, round by round.
    pub(crate) ratio: Spread,
    /// Whether the median is where it is to be.
    pub(crate) pass: bool,
}

/// Judges those aims whose rows were measured.
pub(crate) fn judge(figures: &BTreeMap<Row, Vec<Figures>>) -> Vec<Verdict> {
    AIMS.iter()
        .filter_map(|aim| {
            let (row, yardstick) = (figures.get(&aim.row)?, figures.get(&aim.yardstick)?);
            let ratios = row
                .iter()
                .zip(yardstick)
                .filter_map(|(row, yardstick)| Some((aim.figure)(row)? / (aim.figure)(yardstick)?));
            let ratio = Spread::of(ratios)?;
            Some(Verdict {
                aim: aim.what,
                ratio,
                pass: aim.bound.holds(ratio.median),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(cpu: &[f64]) -> Vec<Figures> {
        let figures = |cpu: &f64| Figures {
            server_cpu_us: Some(*cpu),
            ..Figures::default()
        };
        cpu.iter().map(figures).collect()
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let figures = BTreeMap::from([
            (Row::PollModern, rounds(&[30.0, 60.0, 40.0])),
            (Row::PollBare, rounds(&[20.0, 60.0, 20.0])),
        ]);
        let verdicts = judge(&figures);
        let [verdict] = verdicts.as_slice() else {
            panic!("{verdicts:?}");
        };
        let Spread {
            median,
            least,
            most,
        } = verdict.ratio;
        assert_eq!((median, least, most), (1.5, 1.0, 2.0));
        assert!(verdict.pass);
    }

    #[test]
    fn a_bound_holds_up_to_itself() {
        assert!(Bound::AtMost(1.5).holds(1.5) && !Bound::AtMost(1.5).holds(1.51));
        assert!(Bound::AtLeast(0.35).holds(0.35) && !Bound::AtLeast(0.35).holds(0.34));
    }

    #[test]
    fn an_aim_without_figures_is_not_judged() {
        assert!(judge(&BTreeMap::new()).is_empty());
        let figures = BTreeMap::from([
            (Row::PollModern, rounds(&[30.0])),
            (Row::PollBare, rounds(&[0.0])),
        ]);
        assert!(judge(&figures).is_empty());
    }
}
