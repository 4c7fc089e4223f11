//! Distributions over one another, each told in percent of its own group.

use std::fmt::Write as _;

use super::plot::{Axis, COLOURS, Frame, Sign, legend};
use super::text::number;

/// How the values of some groups are distributed: the confidence of members and non-members.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// What the chart tells.
    pub title: String,
    /// Sets, sizes; may be empty.
    pub note: String,
    /// Name of the horizontal axis, with its unit.
    pub x: String,
    /// Ends of the horizontal axis.
    pub range: [f64; 2],
    /// Intervals of equal width between them.
    pub bins: usize,
    /// The groups.
    pub groups: Vec<Group>,
}

/// One group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Name in the legend; its size is added.
    pub name: String,
    /// Its values. What lies outside the range, or is not finite, is left out of the plot.
    pub values: Vec<f64>,
}

impl Histogram {
    pub(super) fn html(&self) -> String {
        let shares: Vec<Vec<f64>> = self.groups.iter().map(|group| self.shares(group)).collect();
        let y = Axis::covering(shares.iter().flatten().copied().chain([0.0]), 4);
        let x = Axis::covering(self.range, 5);
        let mut frame = Frame::new(&self.title);
        frame.vertical(&y, "share of the group, %");
        for (at, shares) in shares.iter().enumerate() {
            let steps = self.outline(&frame, &x, &y, shares);
            let colour = at % COLOURS;
            frame.put(format!("<path class=\"area f{colour} k{colour}\" d=\"{steps}\"/>"));
        }
        frame.horizontal(&x, &self.x);
        let named = |group: &Group| {
            format!("{} ({} samples)", group.name, number(group.values.len() as f64, 0))
        };
        let names: Vec<String> = self.groups.iter().map(named).collect();
        legend(names.iter().map(|name| &name[..]), Sign::Box) + &frame.html()
    }

    /// Percent of the group's values in each bin; the last bin holds its upper end.
    fn shares(&self, group: &Group) -> Vec<f64> {
        let bins = self.bins.max(1);
        let [low, high] = self.range;
        let mut counts = vec![0usize; bins];
        for value in group.values.iter().filter(|value| (low..=high).contains(value)) {
            let bin = ((value - low) / (high - low) * bins as f64) as usize;
            counts[bin.min(bins - 1)] += 1;
        }
        let all = group.values.len().max(1) as f64;
        counts.into_iter().map(|count| 100.0 * count as f64 / all).collect()
    }

    fn outline(&self, frame: &Frame, x: &Axis, y: &Axis, shares: &[f64]) -> String {
        let [low, high] = self.range;
        let edge = |bin: usize| low + (high - low) * bin as f64 / shares.len() as f64;
        let mut path = format!("M{:.1} {:.1}", frame.x(x, low), frame.bottom);
        for (bin, &share) in shares.iter().enumerate() {
            let _ = write!(path, "V{:.1}H{:.1}", frame.y(y, share), frame.x(x, edge(bin + 1)));
        }
        let _ = write!(path, "V{:.1}Z", frame.bottom);
        path
    }
}
