//! Counts over powers of ten.

use std::fmt::Write as _;

use super::plot::{Axis, COLOURS, Frame, Sign, legend};
use super::text::number;

/// How many values of some groups lie in each part of each power of ten.
#[derive(Clone, Debug, Default)]
pub struct Decades {
    /// What the chart tells.
    pub title: String,
    /// What is counted; may be empty.
    pub note: String,
    /// Name of the horizontal axis, with its unit; its scale is logarithmic.
    pub x: String,
    /// Name of the vertical axis.
    pub y: String,
    /// The power of ten at which the first bin begins.
    pub first: i32,
    /// Bins of one power of ten.
    pub bins: usize,
    /// Names of the groups, each with its counts; the legend adds their sum.
    pub groups: Vec<(String, Vec<u64>)>,
}

impl Decades {
    pub(super) fn html(&self) -> String {
        let bins = self.bins.max(1);
        let filled = || {
            let counts = self.groups.iter().flat_map(|(_, counts)| counts.iter().enumerate());
            counts.filter(|(_, count)| **count > 0).map(|(bin, _)| bin / bins)
        };
        // Whole powers of ten, from the first that holds something to the last.
        let (from, to) = (filled().min().unwrap_or(0), filled().max().map_or(1, |last| last + 1));
        let x = Axis::powers(self.first + from as i32, self.first + to as i32);
        let counts = self.groups.iter().flat_map(|(_, counts)| counts.iter());
        let y = Axis::covering(counts.map(|&count| count as f64).chain([0.0]), 4);
        let mut frame = Frame::sized(&self.title, 326.0, 72.0);
        frame.vertical(&y, &self.y);
        for (at, (_, counts)) in self.groups.iter().enumerate() {
            let mut path = format!("M{:.1} {:.1}", frame.left, frame.bottom);
            for bin in from * bins..to * bins {
                let count = counts.get(bin).copied().unwrap_or(0) as f64;
                let end = f64::from(self.first) + (bin + 1) as f64 / bins as f64;
                let _ = write!(path, "V{:.1}H{:.1}", frame.y(&y, count), frame.x(&x, end));
            }
            let colour = at % COLOURS;
            frame.put(format!(
                "<path class=\"area f{colour} k{colour}\" d=\"{path}V{:.1}Z\"/>",
                frame.bottom
            ));
        }
        frame.horizontal(&x, &self.x);
        let named = |(name, counts): &(String, Vec<u64>)| {
            format!("{name} ({})", number(counts.iter().sum::<u64>() as f64, 0))
        };
        let names: Vec<String> = self.groups.iter().map(named).collect();
        legend(names.iter().map(String::as_str), Sign::Box) + &frame.html()
    }
}
