//! Points of some series over a common plane: one a run, and where their middles lie.

use std::fmt::Write as _;

use super::plot::{Axis, COLOURS, DASHES, Frame, Sign, legend, mark};
use super::text::{brief, escape};

/// A chart of points.
#[derive(Clone, Debug, Default)]
pub struct Scatter {
    /// What the chart tells.
    pub title: String,
    /// Sets, sizes, what a point is; may be empty.
    pub note: String,
    /// Name of the horizontal axis, with its unit.
    pub x: String,
    /// Name of the vertical axis, with its unit.
    pub y: String,
    /// What the horizontal axis is.
    pub across: Across,
    /// The series.
    pub clouds: Vec<Cloud>,
}

/// What a horizontal axis is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Across {
    /// Numbers.
    #[default]
    Numbers,
    /// Logarithms to the base ten of positive numbers; others are left out.
    Powers,
    /// Names at 0, 1, 2 and so on. Series stand a little apart there, so that equal points show.
    Names(Vec<String>),
}

/// One series.
#[derive(Clone, Debug, Default)]
pub struct Cloud {
    /// Name in the legend.
    pub name: String,
    /// A point a run, as outlines. What is not finite is left out.
    pub points: Vec<(f64, f64)>,
    /// Middles, filled, in order; joined by a line where there are several.
    pub middles: Vec<(f64, f64)>,
}

/// How far series stand apart over a name.
const APART: f64 = 11.0;

impl Scatter {
    pub(super) fn html(&self) -> String {
        let clouds: Vec<Cloud> = self.clouds.iter().map(|cloud| self.placed(cloud)).collect();
        let all = || clouds.iter().flat_map(|cloud| cloud.points.iter().chain(&cloud.middles));
        let x = match &self.across {
            Across::Names(names) => Axis::named(names),
            Across::Numbers => Axis::covering(all().map(|point| point.0), 8),
            Across::Powers => powers(all().map(|point| point.0)),
        };
        let y = Axis::covering(all().map(|point| point.1), 5);
        let mut frame = Frame::sized(&self.title, 326.0, 58.0);
        frame.describe(&self.title, &self.described(&clouds));
        frame.vertical(&y, &self.y);
        frame.horizontal(&x, &self.x);
        for (at, cloud) in clouds.iter().enumerate() {
            let apart = match self.across {
                Across::Names(_) => APART * (at as f64 - (clouds.len() as f64 - 1.0) / 2.0),
                _ => 0.0,
            };
            self.draw(&mut frame, [&x, &y], cloud, at, apart);
        }
        legend(self.clouds.iter().map(|cloud| &cloud.name[..]), Sign::Mark) + &frame.html()
    }

    /// A series as it lies on the axes, without what cannot.
    fn placed(&self, cloud: &Cloud) -> Cloud {
        let place = |&(x, y): &(f64, f64)| {
            let x = if self.across == Across::Powers { x.log10() } else { x };
            (x.is_finite() && y.is_finite()).then_some((x, y))
        };
        Cloud {
            name: cloud.name.clone(),
            points: cloud.points.iter().filter_map(place).collect(),
            middles: cloud.middles.iter().filter_map(place).collect(),
        }
    }

    /// All that is drawn, in words.
    fn described(&self, clouds: &[Cloud]) -> String {
        let mut text = format!("Across: {}. Up: {}.", self.x, self.y);
        for cloud in clouds.iter().filter(|cloud| !cloud.middles.is_empty()) {
            let middles: Vec<String> = cloud.middles.iter().map(|&(x, y)| self.at(x, y)).collect();
            let _ = write!(text, " {}: {}.", cloud.name, middles.join("; "));
        }
        text
    }

    fn at(&self, x: f64, y: f64) -> String {
        match &self.across {
            Across::Names(names) => {
                // Places of names are whole numbers from 0.
                let name = names.get(x.round() as usize).map_or("", String::as_str);
                format!("{} at {name}", brief(y))
            }
            Across::Numbers => format!("{} at {}", brief(y), brief(x)),
            Across::Powers => format!("{} at {}", brief(y), brief(10f64.powf(x))),
        }
    }

    fn draw(&self, frame: &mut Frame, [x, y]: [&Axis; 2], cloud: &Cloud, at: usize, apart: f64) {
        let place = |&(across, up): &(f64, f64), frame: &Frame| {
            [frame.x(x, across) + apart, frame.y(y, up)]
        };
        let said = |&(across, up): &(f64, f64), what: &str| {
            format!("{}{what}: {}", cloud.name, self.at(across, up))
        };
        if cloud.middles.len() > 1 {
            let mut path = String::new();
            for (index, point) in cloud.middles.iter().enumerate() {
                let [px, py] = place(point, frame);
                let _ = write!(path, "{}{px:.1} {py:.1}", if index == 0 { 'M' } else { 'L' });
            }
            let colour = at % COLOURS;
            frame.put(format!(
                "<path class=\"through k{colour}\" stroke-dasharray=\"{}\" d=\"{path}\"/>",
                escape(DASHES[colour])
            ));
        }
        for point in &cloud.points {
            let markup = mark(at, place(point, frame), 3.4, false, &said(point, ", one seed"));
            frame.put(markup);
        }
        for point in &cloud.middles {
            let markup = mark(at, place(point, frame), 5.0, true, &said(point, ", mean"));
            frame.put(markup);
        }
    }
}

/// Whole powers of ten that cover logarithms.
fn powers(values: impl Iterator<Item = f64>) -> Axis {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
    if low > high {
        return Axis::powers(0, 1);
    }
    // Logarithms of times and sizes: far inside the range of an i32.
    let (low, high) = (low.floor() as i32, high.ceil() as i32);
    Axis::powers(low, high.max(low + 1))
}
