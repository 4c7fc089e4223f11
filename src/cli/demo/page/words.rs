//! What a chapter's figures say, in sentences.
//!
//! Nothing here knows which method ought to win.

use super::super::super::report::number;
use super::super::Chapter;
use crate::base::units::Seconds;
use crate::evaluate::{Metric, Report};

/// Below this share of the gap closed, what happened is not called forgetting.
const ENOUGH: f64 = 0.5;
/// Times that differ by less than this factor are not told apart: each is one run.
const SAME_TIME: f64 = 1.1;
/// Up to this accuracy on its own shadow samples, an attack is close to a coin.
const COIN: f64 = 0.6;

/// A chapter, read.
pub(super) struct Reading<'c> {
    chapter: &'c Chapter,
    /// Average gap of each row to the last; not a number where a figure is missing.
    pub gaps: Vec<f64>,
}

impl<'c> Reading<'c> {
    pub(super) fn new(chapter: &'c Chapter) -> Self {
        let gaps = (0..chapter.rows.len()).map(|at| {
            let last = &chapter.rows[chapter.rows.len() - 1].judged.measured.report;
            chapter.rows[at].judged.measured.report.gap(last).average.unwrap_or(f64::NAN)
        });
        Self { gaps: gaps.collect(), chapter }
    }

    pub(super) fn name(&self, row: usize) -> &'c str {
        &self.chapter.rows[row].name
    }

    pub(super) fn report(&self, row: usize) -> &'c Report {
        &self.chapter.rows[row].judged.measured.report
    }

    pub(super) fn seconds(&self, row: usize) -> Option<f64> {
        self.report(row).rte.as_ref().map(|rte| rte.value)
    }

    pub(super) fn exact_seconds(&self) -> Option<Seconds> {
        self.seconds(self.last()).map(Seconds)
    }

    pub(super) fn yardstick(&self) -> &'c str {
        self.name(self.last())
    }

    fn last(&self) -> usize {
        self.chapter.rows.len() - 1
    }

    /// A row's average gap, as it is written.
    pub(super) fn points(&self, row: usize) -> String {
        number(self.gaps[row], 1)
    }

    /// The rows that forget, nearest to the yardstick first.
    fn ranked(&self) -> Vec<usize> {
        let mut rows: Vec<usize> = (self.chapter.before + 1..self.last()).collect();
        rows.retain(|&row| self.gaps[row].is_finite());
        rows.sort_by(|&a, &b| self.gaps[a].total_cmp(&self.gaps[b]));
        rows
    }

    /// The row that forgets and is nearest to the yardstick.
    pub(super) fn nearest(&self) -> Option<usize> {
        self.ranked().first().copied()
    }

    /// What the figures say: who is nearest, how sure that is, what it cost.
    pub(super) fn verdict(&self) -> String {
        let ranked = self.ranked();
        let Some(&nearest) = ranked.first() else {
            return "No method was measured in full: nothing can be said.".into();
        };
        let mut said = vec![self.distance(nearest)];
        said.extend(self.rivals(&ranked));
        said.push(self.within(nearest));
        said.extend(self.unsure(&ranked));
        said.extend(self.cost(nearest));
        said.extend(self.speed(&ranked));
        said.join(" ")
    }

    fn distance(&self, nearest: usize) -> String {
        let (name, who) = (self.name(nearest), &self.chapter.who);
        let (before, after) = (self.gaps[self.chapter.before], self.gaps[nearest]);
        let closed = 1.0 - after / before;
        if before.is_nan() || after >= before {
            return format!(
                "No method comes nearer to {} than the model that still knows {who}: nothing was \
                 forgotten. The best of them, {name}, has an average gap of {} points.",
                self.yardstick(),
                self.points(nearest)
            );
        }
        let verdict = match closed {
            c if c < ENOUGH => format!(" That is not forgetting yet: {who} is still known."),
            _ => String::new(),
        };
        format!(
            "Nearest to {} is {name}. Its average gap is {} points, that of the model that still \
             knows {who} is {}: {} % of the gap is closed.{verdict}",
            self.yardstick(),
            self.points(nearest),
            self.points(self.chapter.before),
            number(100.0 * closed, 0)
        )
    }

    fn rivals(&self, ranked: &[usize]) -> Vec<String> {
        let mut said = Vec::new();
        let l1 = |&&row: &&usize| self.name(row).starts_with("l1");
        if let Some(&best) = ranked.iter().find(l1).filter(|&&row| row != ranked[0]) {
            said.push(format!(
                "{}, the method that this program is built around, does not win here: {} points.",
                self.name(best),
                self.points(best)
            ));
        }
        let told = said.len();
        let rest = ranked.iter().skip(1).filter(|&row| told == 0 || !l1(&row));
        let rest: Vec<String> =
            rest.map(|&row| format!("{} {}", self.name(row), self.points(row))).collect();
        if !rest.is_empty() {
            said.push(format!("For comparison: {}.", rest.join(", ")));
        }
        said
    }

    /// How many figures lie in the yardstick's intervals.
    fn within(&self, nearest: usize) -> String {
        let (mine, exact) = (figures(self.report(nearest)), figures(self.report(self.last())));
        let pairs = mine.iter().zip(&exact).filter_map(|(mine, exact)| Some(((*mine)?, (*exact)?)));
        let (mut inside, mut all) = (0, 0);
        for (mine, exact) in pairs {
            let within =
                exact.interval95.is_some_and(|[low, high]| (low..=high).contains(&mine.value));
            inside += usize::from(within);
            all += 1;
        }
        format!(
            "Of the {all} figures of {}, {inside} lie within the 95 % intervals of {}.",
            self.name(nearest),
            self.yardstick()
        )
    }

    /// Whether one run of so few samples shows which of the first two is better.
    fn unsure(&self, ranked: &[usize]) -> Option<String> {
        let [first, second, ..] = ranked else { return None };
        let apart = |of: fn(&Report) -> &Option<Metric>| {
            let ends = |row: usize| of(self.report(row)).as_ref()?.interval95;
            let ([a, b], [c, d]) = (ends(*first)?, ends(*second)?);
            Some(b < c || d < a)
        };
        let told = apart(|r| &r.ua)? || apart(|r| &r.mia_efficacy)?;
        (!told).then(|| {
            format!(
                "The intervals of {} and {} overlap in UA and in MIA: {} samples in one run do not \
                 show which of the two forgets better.",
                self.name(*first),
                self.name(*second),
                self.chapter.sizes[0]
            )
        })
    }

    fn cost(&self, nearest: usize) -> Option<String> {
        let accuracy = |row: usize| Some(number(self.report(row).ta.as_ref()?.value, 1));
        let (before, after) = (accuracy(self.chapter.before)?, accuracy(nearest)?);
        let moved = match before == after {
            true => format!("left accuracy on the test set at {after} %"),
            false => format!("moved accuracy on the test set from {before} to {after} %"),
        };
        let exact = accuracy(self.last())?;
        Some(format!("Forgetting {moved}; {} has {exact} %.", self.yardstick()))
    }

    fn speed(&self, ranked: &[usize]) -> Option<String> {
        let timed = ranked.iter().filter_map(|&row| Some((row, self.seconds(row)?)));
        let mut timed: Vec<(usize, f64)> = timed.collect();
        timed.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (_, least) = *timed.first()?;
        let exact = self.seconds(self.last())?;
        let near = timed.iter().filter(|(_, seconds)| *seconds <= least * SAME_TIME);
        let names: Vec<&str> = near.map(|&(row, _)| self.name(row)).collect();
        let (names, yardstick) = (names.join(" and "), self.yardstick());
        let (least, took) = (Seconds(least), Seconds(exact));
        if exact <= least.0 {
            return Some(format!(
                "The yardstick itself was fastest: {yardstick} took {took}, {names} {least}. Where \
                 the data is this small, it is the better choice."
            ));
        }
        let times = number(exact / least.0, 1);
        Some(format!(
            "Fastest: {names} with {least}; {yardstick} took {took}, {times} times as long."
        ))
    }

    /// What the attack's own accuracy says about MIA.
    pub(super) fn attack(&self) -> String {
        let told = self.chapter.rows.iter().map(|row| row.judged.measured.membership);
        let all: Vec<f64> = told.map(|found| found.shadow_accuracy).collect();
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        let high = all.iter().copied().fold(0.0, f64::max);
        let verdict = match high {
            h if h <= COIN => {
                "That is close to a coin (50 %): it finds hardly any single member, and MIA tells \
                 little more than how confident the model is."
            }
            _ => "A coin has 50 %: an attack near that tells little, so read MIA beside UA.",
        };
        format!(
            "Story of {}: on the samples it learnt from, the attack told members from non-members \
             in {} to {} % of cases, depending on the model. {verdict}",
            self.chapter.who,
            number(100.0 * low, 1),
            number(100.0 * high, 1)
        )
    }
}

/// UA, RA, TA, MIA-efficacy.
pub(super) fn figures(report: &Report) -> [Option<&Metric>; 4] {
    [&report.ua, &report.ra, &report.ta, &report.mia_efficacy].map(Option::as_ref)
}
