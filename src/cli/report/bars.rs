//! Grouped bars with whiskers.

use super::plot::{Axis, COLOURS, Frame, Sign, legend};
use super::text::{brief, escape};

/// A chart of bars: one group a method, say, and in each group one bar a figure.
#[derive(Clone, Debug, Default)]
pub struct Bars {
    /// What the chart tells.
    pub title: String,
    /// Sets, sizes, what the whiskers are; may be empty.
    pub note: String,
    /// Name of the vertical axis, with its unit.
    pub axis: String,
    /// Names of the groups, from left to right.
    pub groups: Vec<String>,
    /// The bars of each group.
    pub series: Vec<BarSeries>,
}

/// The bars of one colour.
#[derive(Clone, Debug, Default)]
pub struct BarSeries {
    /// Name in the legend.
    pub name: String,
    /// One bar a group; none where nothing was measured.
    pub bars: Vec<Option<Bar>>,
}

/// One bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// How high.
    pub value: f64,
    /// Ends of its whisker.
    pub interval: Option<[f64; 2]>,
}

impl Bars {
    pub(super) fn html(&self) -> String {
        let all = self.series.iter().flat_map(|series| series.bars.iter().flatten());
        let values = all.flat_map(|bar| {
            let [low, high] = bar.interval.unwrap_or([bar.value; 2]);
            [bar.value, low, high]
        });
        let axis = Axis::covering(values.chain([0.0]), 5);
        let mut frame = Frame::new(&self.title);
        frame.vertical(&axis, &self.axis);
        let slot = (frame.right - frame.left) / self.groups.len().max(1) as f64;
        let thick = (slot * 0.8 / self.series.len().max(1) as f64).min(64.0);
        for (at, group) in self.groups.iter().enumerate() {
            let middle = frame.left + slot * (at as f64 + 0.5);
            group_name(&mut frame, group, middle, slot);
            let first = middle - thick * self.series.len() as f64 / 2.0;
            for (which, series) in self.series.iter().enumerate() {
                let bar = series.bars.get(at).copied().flatten();
                let Some(bar) = bar.filter(|bar| bar.value.is_finite()) else { continue };
                let x = first + thick * which as f64;
                let said = format!("{group}, {}: {}", series.name, brief(bar.value));
                draw(&mut frame, &axis, bar, [x, thick], which % COLOURS, &said);
            }
        }
        legend(self.series.iter().map(|series| &series.name[..]), Sign::Box) + &frame.html()
    }
}

fn draw(frame: &mut Frame, axis: &Axis, bar: Bar, [x, thick]: [f64; 2], colour: usize, said: &str) {
    let (zero, end) = (frame.y(axis, 0.0), frame.y(axis, bar.value));
    let (top, high, wide) = (zero.min(end), (zero - end).abs(), thick * 0.86);
    frame.put(format!(
        "<rect class=\"f{colour}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" \
         height=\"{high:.1}\" rx=\"1.5\"><title>{}</title></rect>",
        escape(said)
    ));
    let middle = x + wide / 2.0;
    let mut above = top;
    if let Some([low, high]) = bar.interval.filter(|ends| ends.iter().all(|end| end.is_finite())) {
        let (low, high) = (frame.y(axis, low), frame.y(axis, high));
        let half = (wide * 0.22).min(5.0);
        frame.put(format!(
            "<path class=\"whisker\" d=\"M{middle:.1} {low:.1}V{high:.1}M{:.1} {low:.1}h{:.1}M{:.1} \
             {high:.1}h{:.1}\"/>",
            middle - half,
            2.0 * half,
            middle - half,
            2.0 * half
        ));
        above = above.min(high);
    }
    // Narrower bars would have their numbers run into one another; the tooltip has them.
    if thick >= 24.0 {
        frame.put(format!(
            "<text class=\"value halo\" x=\"{middle:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{}</text>",
            above - 5.0,
            brief(bar.value)
        ));
    }
}

/// The name under a group, on as many as two lines.
fn group_name(frame: &mut Frame, name: &str, middle: f64, room: f64) {
    const CHARACTER: f64 = 6.6;
    let fits = (room / CHARACTER).max(4.0) as usize;
    let (mut lines, mut at) = ([String::new(), String::new()], 0);
    for word in name.split_whitespace() {
        let long = lines[0].chars().count() + 1 + word.chars().count() > fits;
        if at == 0 && long && !lines[0].is_empty() {
            at = 1;
        }
        if !lines[at].is_empty() {
            lines[at].push(' ');
        }
        lines[at].push_str(word);
    }
    for (at, line) in lines.iter().enumerate() {
        let y = frame.bottom + 18.0 + 15.0 * at as f64;
        frame.put(format!(
            "<text class=\"name\" x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>",
            escape(line)
        ));
    }
}
