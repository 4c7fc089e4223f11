//! What all plots share: the frame, the ticks, the legend.

use std::fmt::Write as _;

use super::text::{escape, number};

/// Width of every plot, in the units of its view box.
pub(super) const WIDTH: f64 = 720.0;
/// Dashes by series, so that lines differ without colour.
pub(super) const DASHES: [&str; 6] = ["", "7 5", "2 5", "10 4 2 4", "4 3", "1 4"];
/// How many colours there are; series beyond begin again.
pub(super) const COLOURS: usize = 6;

/// One axis: what it spans and where its ticks are.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<f64>,
    decimals: usize,
    /// Whether values are logarithms of what the ticks say.
    powers: bool,
    /// Words for the ticks 0, 1, 2 and so on; none where ticks are numbers.
    names: Vec<String>,
}

impl Axis {
    /// An axis that covers all finite of `values`, with about `count` ticks at round numbers and
    /// ends that are ticks.
    pub fn covering(values: impl IntoIterator<Item = f64>, count: usize) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= 1e-9 * high.abs().max(1e-3) {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let step = round_step((high - low) / count.max(1) as f64);
        let (first, last) = ((low / step).floor() as i64, (high / step - 1e-9).ceil() as i64);
        let ticks: Vec<f64> = (first..=last).map(|tick| tick as f64 * step).collect();
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let (low, high) = (first as f64 * step, last as f64 * step);
        Self { low, high, ticks, decimals, powers: false, names: Vec::new() }
    }

    /// An axis with the place of each name at 0, 1, 2 and so on, and half a step around.
    pub fn named(names: &[String]) -> Self {
        let count = names.len().max(1) as f64;
        let ticks = (0..names.len()).map(|at| at as f64).collect();
        Self {
            low: -0.5,
            high: count - 0.5,
            ticks,
            decimals: 0,
            powers: false,
            names: names.to_vec(),
        }
    }

    /// An axis of logarithms to the base ten, with a tick at each power from `low` to `high`.
    pub fn powers(low: i32, high: i32) -> Self {
        let ticks = (low..=high).map(f64::from).collect();
        let (low, high) = (f64::from(low), f64::from(high));
        Self { low, high, ticks, decimals: 0, powers: true, names: Vec::new() }
    }

    /// Where `value` lies, 0 at the low end and 1 at the high one.
    pub fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// A tick as it is written.
    pub fn label(&self, tick: f64) -> String {
        if !self.names.is_empty() {
            // Ticks of names are whole numbers from 0.
            return self.names.get(tick as usize).cloned().unwrap_or_default();
        }
        if !self.powers {
            return number(tick, self.decimals);
        }
        const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
        let raised = |c: char| c.to_digit(10).map_or('⁻', |digit| RAISED[digit as usize]);
        let power: String = format!("{tick:.0}").chars().map(raised).collect();
        format!("10{power}")
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| step <= factor * power * 1.000_001);
    factor.unwrap_or(10.0) * power
}

/// The rectangle that data is drawn in, and the SVG around it.
pub(super) struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    height: f64,
    pub svg: String,
}

impl Frame {
    /// A frame of the usual height with room for the two axes; `label` is read to those who
    /// cannot see the plot.
    pub fn new(label: &str) -> Self {
        Self::sized(label, 326.0, 52.0)
    }

    /// A frame of another height and left margin.
    pub fn sized(label: &str, height: f64, left: f64) -> Self {
        let svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
            escape(label)
        );
        Self { left, right: WIDTH - 12.0, top: 32.0, bottom: height - 44.0, height, svg }
    }

    /// Says at length, to those who cannot see the plot, what is in it.
    pub fn describe(&mut self, title: &str, description: &str) {
        let (title, description) = (escape(title), escape(description));
        self.put(format!("<title>{title}</title><desc>{description}</desc>"));
    }

    /// The horizontal place of `value` on `axis`.
    pub fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + (self.right - self.left) * axis.share(value)
    }

    /// The vertical place of `value` on `axis`.
    pub fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * axis.share(value)
    }

    /// Grid lines and ticks of the vertical axis, and its name above it.
    pub fn vertical(&mut self, axis: &Axis, name: &str) {
        let (left, right) = (self.left, self.right);
        for &tick in &axis.ticks {
            let y = self.y(axis, tick);
            let class = if tick == 0.0 { "axis" } else { "grid" };
            self.put(format!(
                "<path class=\"{class}\" d=\"M{left:.1} {y:.1}H{right:.1}\"/><text x=\"{:.1}\" \
                 y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 8.0,
                y + 4.0,
                axis.label(tick)
            ));
        }
        self.put(format!("<text class=\"name\" x=\"2\" y=\"13\">{}</text>", escape(name)));
    }

    /// Ticks of the horizontal axis, and its name below it.
    pub fn horizontal(&mut self, axis: &Axis, name: &str) {
        let (left, right, bottom) = (self.left, self.right, self.bottom);
        self.put(format!("<path class=\"axis\" d=\"M{left:.1} {bottom:.1}H{right:.1}\"/>"));
        for &tick in &axis.ticks {
            let x = self.x(axis, tick);
            self.put(format!(
                "<path class=\"axis\" d=\"M{x:.1} {bottom:.1}v5\"/><text x=\"{x:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\">{}</text>",
                bottom + 19.0,
                escape(&axis.label(tick))
            ));
        }
        let (x, y) = ((left + right) / 2.0, self.height - 6.0);
        let name = escape(name);
        self.put(format!(
            "<text class=\"name\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{name}</text>"
        ));
    }

    /// Adds markup.
    pub fn put(&mut self, markup: impl AsRef<str>) {
        self.svg.push_str(markup.as_ref());
    }

    /// The finished SVG.
    pub fn html(self) -> String {
        self.svg + "</svg>"
    }
}

/// How a series shows in the legend.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// A filled box.
    Box,
    /// A line with the dashes of its series.
    Line,
    /// The mark of its series.
    Mark,
}

/// Kinds of marks; together with as many colours as are not a multiple, thirty look different.
const MARKS: usize = 5;

/// The mark of series `at` around a place: filled, or an outline. `said` is its tooltip.
pub(super) fn mark(at: usize, [x, y]: [f64; 2], size: f64, filled: bool, said: &str) -> String {
    let (s, low) = (size, size * 0.8);
    let shape = match at % MARKS {
        0 => format!(
            "M{:.1} {y:.1}a{s:.1} {s:.1} 0 1 0 {:.1} 0a{s:.1} {s:.1} 0 1 0 {:.1} 0z",
            x - s,
            2.0 * s,
            -2.0 * s
        ),
        1 => format!(
            "M{:.1} {:.1}h{:.1}v{:.1}h{:.1}z",
            x - low,
            y - low,
            2.0 * low,
            2.0 * low,
            -2.0 * low
        ),
        2 => format!("M{x:.1} {:.1}l{s:.1} {:.1}h{:.1}z", y - s, 1.8 * s, -2.0 * s),
        3 => format!("M{x:.1} {:.1}l{s:.1} {s:.1}l-{s:.1} {s:.1}l-{s:.1} -{s:.1}z", y - s),
        _ => format!("M{x:.1} {:.1}l{s:.1} {:.1}h{:.1}z", y + s, -1.8 * s, -2.0 * s),
    };
    let colour = at % COLOURS;
    let class = match filled {
        true => format!("f{colour}"),
        false => format!("hollow k{colour}"),
    };
    let title =
        if said.is_empty() { said.into() } else { format!("<title>{}</title>", escape(said)) };
    format!("<path class=\"{class}\" d=\"{shape}\">{title}</path>")
}

/// The legend over a plot; none for a single series without a name.
pub(super) fn legend<'n>(names: impl IntoIterator<Item = &'n str>, sign: Sign) -> String {
    let mut html = String::new();
    for (at, name) in names.into_iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let colour = at % COLOURS;
        let sign_of = match sign {
            Sign::Mark => mark(at, [11.0, 5.0], 4.5, true, ""),
            Sign::Box => {
                format!("<rect class=\"f{colour}\" x=\"6\" width=\"12\" height=\"10\" rx=\"2\"/>")
            }
            Sign::Line => format!(
                "<path class=\"line k{colour}\" stroke-dasharray=\"{}\" d=\"M1 6H21\"/>",
                DASHES[colour]
            ),
        };
        let _ = write!(
            html,
            "<li><svg viewBox=\"0 0 22 10\" aria-hidden=\"true\">{sign_of}</svg>{}</li>",
            escape(name)
        );
    }
    if html.is_empty() { html } else { format!("<ul class=\"legend\">{html}</ul>") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_data() {
        let labels = |low, high, count| {
            let axis = Axis::covering([low, high], count);
            assert!(axis.low <= low && axis.high >= high);
            axis.ticks.iter().map(|&tick| axis.label(tick)).collect::<Vec<_>>()
        };
        assert_eq!(labels(0.0, 97.3, 5), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(0.0, 1.0, 5), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-3.0, 4.0, 3), ["−5", "0", "5"]);
        assert_eq!(labels(5.0, 5.0, 2), ["4.5", "5.0", "5.5"]);
        assert_eq!(Axis::covering([f64::NAN], 2).ticks, [0.0, 0.5, 1.0]);
        let powers = Axis::powers(-10, 1);
        assert_eq!(powers.label(powers.ticks[0]) + &powers.label(powers.ticks[11]), "10⁻¹⁰10¹");
    }
}
