//! Lines over a common horizontal axis.

use std::fmt::Write as _;

use super::plot::{Axis, COLOURS, DASHES, Frame, Sign, legend};
use super::text::{brief, escape};

/// A chart of lines: what happened epoch by epoch, or as a setting grew.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// What the chart tells.
    pub title: String,
    /// Sets, sizes, settings; may be empty.
    pub note: String,
    /// Name of the horizontal axis, with its unit.
    pub x: String,
    /// Name of the vertical axis, with its unit.
    pub y: String,
    /// The lines.
    pub series: Vec<Line>,
}

/// One line.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Name in the legend.
    pub name: String,
    /// Points `(x, y)` from left to right. A point that is not finite leaves a gap.
    pub points: Vec<(f64, f64)>,
}

/// Lines of more points than this show no marks at them.
const MARKED: usize = 40;

impl Lines {
    pub(super) fn html(&self) -> String {
        let points = || self.series.iter().flat_map(|line| &line.points);
        let mut x = Axis::covering(points().map(|point| point.0), 8);
        // The horizontal axis ends where the data ends.
        let ends = points().map(|point| point.0).filter(|x| x.is_finite());
        let (low, high) =
            ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        if high > low {
            (x.low, x.high) = (low, high);
            x.ticks.retain(|&tick| (low..=high).contains(&tick));
        }
        let y = Axis::covering(points().map(|point| point.1), 5);
        let mut frame = Frame::new(&self.title);
        frame.vertical(&y, &self.y);
        frame.horizontal(&x, &self.x);
        for (at, line) in self.series.iter().enumerate() {
            draw(&mut frame, &x, &y, line, at % COLOURS);
        }
        legend(self.series.iter().map(|line| &line.name[..]), Sign::Line) + &frame.html()
    }
}

fn draw(frame: &mut Frame, x: &Axis, y: &Axis, line: &Line, colour: usize) {
    let (mut path, mut marks, mut pen) = (String::new(), String::new(), 'M');
    for &(at, value) in &line.points {
        if !(at.is_finite() && value.is_finite()) {
            pen = 'M';
            continue;
        }
        let (px, py) = (frame.x(x, at), frame.y(y, value));
        let _ = write!(path, "{pen}{px:.1} {py:.1}");
        pen = 'L';
        if line.points.len() <= MARKED {
            let said = escape(&format!("{}: {} at {}", line.name, brief(value), brief(at)));
            let _ = write!(
                marks,
                "<circle class=\"f{colour}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\">\
                 <title>{said}</title></circle>"
            );
        }
    }
    frame.put(format!(
        "<path class=\"line k{colour}\" stroke-dasharray=\"{}\" d=\"{path}\"/>{marks}",
        DASHES[colour]
    ));
}
