//! Rows of stacked bars over one horizontal axis.

use super::plot::{Axis, COLOURS, Frame, Sign, legend};
use super::text::{MAX_NAME, escape, shorten};

/// A chart of rows: one a layer, say, and in each row one bar or several end to end.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// What the chart tells.
    pub title: String,
    /// What is counted and what the words at the right are; may be empty.
    pub note: String,
    /// Name of the horizontal axis, with its unit.
    pub axis: String,
    /// Names of the parts, from left to right.
    pub parts: Vec<String>,
    /// The rows, from top to bottom.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// How long each part is, on the axis. What is not finite or below 0 is left out.
    pub parts: Vec<f64>,
    /// A few words at its right end; may be empty.
    pub said: String,
}

const ROW: f64 = 24.0;
/// Width of a letter, about.
const LETTER: f64 = 6.8;

impl Rows {
    pub(super) fn html(&self) -> String {
        let sums = self.rows.iter().map(|row| lengths(row).map(|(_, length)| length).sum::<f64>());
        let most = sums.fold(0.0, f64::max);
        let axis = Axis::covering([0.0, if most > 0.0 { most } else { 1.0 }], 5);
        let widest = |of: fn(&Row) -> &str| {
            let longest = self.rows.iter().map(|row| of(row).chars().count()).max();
            LETTER * longest.unwrap_or(0).min(MAX_NAME) as f64
        };
        let height = ROW * self.rows.len() as f64 + 52.0;
        let mut frame = Frame::sized(&self.title, height, 14.0 + widest(|row| &row.name));
        frame.right -= 12.0 + widest(|row| &row.said);
        frame.top = 4.0;
        for &tick in &axis.ticks {
            let x = frame.x(&axis, tick);
            frame.put(format!(
                "<path class=\"grid\" d=\"M{x:.1} {:.1}V{:.1}\"/>",
                frame.top, frame.bottom
            ));
        }
        for (at, row) in self.rows.iter().enumerate() {
            let middle = frame.top + ROW * (at as f64 + 0.5);
            self.draw(&mut frame, &axis, row, middle);
        }
        frame.horizontal(&axis, &self.axis);
        legend(self.parts.iter().map(String::as_str), Sign::Box) + &frame.html()
    }

    fn draw(&self, frame: &mut Frame, axis: &Axis, row: &Row, middle: f64) {
        let name = |part: usize| self.parts.get(part).map_or("", String::as_str);
        frame.put(format!(
            "<g><title>{}</title><text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text><text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
            escape(&row.name),
            frame.left - 8.0,
            middle + 4.0,
            escape(&shorten(&row.name)),
            frame.right + 10.0,
            middle + 4.0,
            escape(&row.said),
        ));
        let mut from = 0.0;
        for (part, length) in lengths(row) {
            let (start, end) = (frame.x(axis, from), frame.x(axis, from + length));
            from += length;
            // What is there must show, however little of it there is.
            let wide = if length > 0.0 { (end - start).max(1.0) } else { 0.0 };
            frame.put(format!(
                "<rect class=\"f{}\" x=\"{start:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" \
                 height=\"14\"><title>{}</title></rect>",
                part % COLOURS,
                middle - 7.0,
                escape(&format!("{} {}: {}", row.name, name(part), row.said)),
            ));
        }
    }
}

/// The parts that can be drawn, each with its place in the legend.
fn lengths(row: &Row) -> impl Iterator<Item = (usize, f64)> + '_ {
    let parts = row.parts.iter().copied().enumerate();
    parts.filter(|(_, length)| length.is_finite() && *length >= 0.0)
}
