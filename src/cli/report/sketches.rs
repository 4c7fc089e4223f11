//! Small curves in rows and columns.

use std::fmt::Write as _;

use super::plot::{COLOURS, Sign, legend};
use super::text::{brief, escape};

/// Curves in a grid, all on the same axes: a row a class, say, and a column a sample.
#[derive(Clone, Debug, Default)]
pub struct Sketches {
    /// What the curves are.
    pub title: String,
    /// What both axes are, with their units, and how the samples were chosen.
    pub note: String,
    /// Names of the curves of a sketch; may be empty where each has but one. From the seventh on,
    /// curves are dashed and colours begin again.
    pub curves: Vec<String>,
    /// Ends of the vertical axis.
    pub range: [f64; 2],
    /// Ends of the horizontal axis.
    pub span: [f64; 2],
    /// Whether values stand as bars on 0; else a line joins them.
    pub bars: bool,
    /// The rows.
    pub rows: Vec<SketchRow>,
}

/// One row of sketches.
#[derive(Clone, Debug, Default)]
pub struct SketchRow {
    /// Its name.
    pub name: String,
    /// Its sketches.
    pub sketches: Vec<Sketch>,
}

/// One sketch.
#[derive(Clone, Debug, Default)]
pub struct Sketch {
    /// The words under it.
    pub caption: String,
    /// Curves, each of values at even distances over the whole span.
    pub curves: Vec<Vec<f64>>,
}

const WIDTH: f64 = 180.0;
const HEIGHT: f64 = 104.0;
/// Where values are drawn; the rest is for the ends of the axes.
const TOP: f64 = 6.0;
const BOTTOM: f64 = 84.0;
const LEFT: f64 = 42.0;
const RIGHT: f64 = 174.0;
/// Where the ends of the horizontal axis are written.
const END: f64 = 99.0;

impl Sketches {
    pub(super) fn html(&self) -> String {
        let mut html = legend(self.curves.iter().map(String::as_str), Sign::Box);
        html += "<table class=\"gallery sketches\"><tbody>";
        for row in &self.rows {
            let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(&row.name));
            for sketch in &row.sketches {
                let caption = escape(&sketch.caption);
                let svg = self.svg(sketch);
                let _ = write!(html, "<td>{svg}<small>{caption}</small></td>");
            }
            html.push_str("</tr>\n");
        }
        html + "</tbody></table>"
    }

    fn svg(&self, sketch: &Sketch) -> String {
        let ([low, high], [first, last]) = (self.range, self.span);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\
             <path class=\"thin axis\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <text x=\"{:.1}\" y=\"{BOTTOM}\" text-anchor=\"end\">{}</text>\
             <text x=\"{LEFT}\" y=\"{END:.1}\">{}</text>\
             <text x=\"{RIGHT}\" y=\"{END:.1}\" text-anchor=\"end\">{}</text>",
            escape(&sketch.caption),
            LEFT - 4.0,
            TOP + 8.0,
            brief(high),
            LEFT - 4.0,
            brief(low),
            brief(first),
            brief(last),
        );
        for (at, values) in sketch.curves.iter().enumerate() {
            let path = if self.bars { self.stems(values) } else { self.line(values) };
            let colour = at % COLOURS;
            // Colours begin again after the last.
            let dashes = if at < COLOURS { "" } else { "3 2" };
            let _ = write!(
                svg,
                "<path class=\"thin k{colour}\" stroke-dasharray=\"{dashes}\" d=\"{path}\"/>"
            );
        }
        svg + "</svg>"
    }

    fn x(&self, at: usize, of: usize) -> f64 {
        let share = if of < 2 { 0.5 } else { at as f64 / (of - 1) as f64 };
        LEFT + (RIGHT - LEFT) * share
    }

    fn y(&self, value: f64) -> f64 {
        let [low, high] = self.range;
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0)
    }

    fn line(&self, values: &[f64]) -> String {
        let (mut path, mut pen) = (String::new(), 'M');
        for (at, &value) in values.iter().enumerate() {
            if !value.is_finite() {
                pen = 'M';
                continue;
            }
            let _ = write!(path, "{pen}{:.1} {:.1}", self.x(at, values.len()), self.y(value));
            pen = 'L';
        }
        path
    }

    fn stems(&self, values: &[f64]) -> String {
        let mut path = String::new();
        for (at, &value) in values.iter().enumerate().filter(|(_, v)| v.is_finite() && **v != 0.0) {
            let x = self.x(at, values.len());
            let _ = write!(path, "M{x:.1} {:.1}V{:.1}", self.y(0.0), self.y(value));
        }
        path
    }
}
