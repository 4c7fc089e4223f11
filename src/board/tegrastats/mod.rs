//! Logs of `tegrastats`: figures that were taken on a board, read anywhere.
//!
//! For live figures [`super::Sensors`] reads the same sensors itself; nothing starts `tegrastats`.

mod line;

pub use line::{Busy, Line, LoggedRail, Used};

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::error::BoardError;
use super::sysroot::{self, label};

/// Bytes of the longest log that is read: two days at a line a second.
const MOST: usize = 64 << 20;
/// Figures, and unknown words, that are told apart at most.
const MOST_NAMES: usize = 128;
/// Characters of a wrong line that are told.
const SHOWN: usize = 60;

/// What a figure is of, in the order in which figures are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Watts of a rail.
    Rail,
    /// Degrees Celsius of a zone.
    Zone,
    /// The share of time that something worked, 0 to 1.
    Load,
    /// Hertz; of a unit with several clocks, their mean.
    Clock,
    /// Bytes in use.
    Memory,
}

/// One figure over all lines that tell it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What it is of.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Lines that tell it.
    pub lines: usize,
    /// The least.
    pub min: f64,
    /// The mean over the lines.
    pub mean: f64,
    /// The most.
    pub max: f64,
    /// For a rail of a log with times: mean watts by seconds, as if lines were spread evenly. Times are
    /// whole seconds, so that single lines cannot be weighed.
    pub joules: Option<f64>,
}

/// What a log says as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Log {
    /// Lines that were read.
    pub lines: usize,
    /// Seconds from the first time to the last, where lines bear times and the clock was not set back.
    pub seconds: Option<u64>,
    /// Bytes of memory that there are.
    pub memory: Option<u64>,
    /// Figures by kind, each in the order in which the log first tells it.
    pub figures: Vec<Figure>,
    /// Words that are not known, with how often they were met.
    pub unknown: BTreeMap<String, usize>,
}

impl Log {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`BoardError::Read`], [`BoardError::TooLong`], and as [`Log::parse`].
    pub fn open(path: &Path) -> Result<Self, BoardError> {
        Self::parse(&sysroot::read(path, MOST)?, &path.display().to_string())
    }

    /// Reads a log; `name` is what errors call it. Empty lines are passed over; so is a last line that was
    /// cut off before anything in it could be known.
    ///
    /// # Errors
    /// [`BoardError::Log`] for a line with nothing of `tegrastats`, and for a log without lines.
    pub fn parse(text: &str, name: &str) -> Result<Self, BoardError> {
        let mut log = Self::default();
        let mut times: Option<(u64, u64)> = None;
        let whole = text.ends_with('\n');
        let mut lines =
            text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()).peekable();
        while let Some((at, text)) = lines.next() {
            let Some(line) = Line::parse(text) else {
                if !whole && lines.peek().is_none() && log.lines > 0 {
                    break;
                }
                return Err(wrong(name, at + 1, text));
            };
            if let Some(at) = line.at {
                times = Some((times.map_or(at, |(first, _)| first), at));
            }
            log.add(&line);
        }
        if log.lines == 0 {
            return Err(wrong(name, 1, ""));
        }
        log.seconds = times.and_then(|(first, last)| last.checked_sub(first)).filter(|&s| s > 0);
        log.figures.sort_by_key(|figure| figure.kind);
        for figure in log.figures.iter_mut().filter(|figure| figure.kind == Kind::Rail) {
            figure.joules = log.seconds.map(|seconds| figure.mean * seconds as f64);
        }
        Ok(log)
    }

    fn add(&mut self, line: &Line) {
        self.lines += 1;
        for rail in &line.rails {
            self.tell(Kind::Rail, &rail.name, rail.watts);
        }
        for (name, celsius) in &line.zones {
            self.tell(Kind::Zone, name, *celsius);
        }
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let on: Vec<&Busy> = line.cores.iter().flatten().collect();
        let loads: Vec<f64> = on.iter().filter_map(|core| core.load).collect();
        let clocks: Vec<f64> = on.iter().flat_map(|core| &core.hertz).map(|&h| h as f64).collect();
        if !loads.is_empty() {
            self.tell(Kind::Load, "CPU", mean(loads));
        }
        if !clocks.is_empty() {
            self.tell(Kind::Clock, "CPU", mean(clocks));
        }
        for (name, unit) in [("GPU", &line.gpu), ("EMC", &line.emc)] {
            let Some(Busy { load, hertz }) = unit else { continue };
            if let Some(load) = load {
                self.tell(Kind::Load, name, *load);
            }
            if !hertz.is_empty() {
                self.tell(Kind::Clock, name, mean(hertz.iter().map(|&h| h as f64).collect()));
            }
        }
        if let Some(Used { used, total }) = line.memory {
            self.tell(Kind::Memory, "RAM", used as f64);
            self.memory = Some(total);
        }
        if let Some(Used { used, .. }) = line.swap {
            self.tell(Kind::Memory, "SWAP", used as f64);
        }
        for word in &line.unknown {
            self.count(word);
        }
    }

    fn tell(&mut self, kind: Kind, name: &str, value: f64) {
        let known = self.figures.iter_mut().find(|f| f.kind == kind && f.name == name);
        if let Some(figure) = known {
            figure.lines += 1;
            figure.min = figure.min.min(value);
            figure.max = figure.max.max(value);
            figure.mean += (value - figure.mean) / figure.lines as f64;
        } else if self.figures.len() < MOST_NAMES {
            let (min, mean, max) = (value, value, value);
            let name = name.to_string();
            self.figures.push(Figure { kind, name, lines: 1, min, mean, max, joules: None });
        } else {
            self.count(name);
        }
    }

    /// Counts an unknown word; behind the first many, all as one.
    fn count(&mut self, word: &str) {
        let full = self.unknown.len() >= MOST_NAMES && !self.unknown.contains_key(word);
        *self.unknown.entry(if full { "others" } else { word }.to_string()).or_default() += 1;
    }
}

fn wrong(name: &str, line: usize, text: &str) -> BoardError {
    let found = label(&text.chars().take(SHOWN).collect::<String>());
    BoardError::Log { name: name.into(), line, found }
}

#[cfg(test)]
mod tests;
