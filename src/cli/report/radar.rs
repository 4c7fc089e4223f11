//! Radar charts: some figures of a thing around a point, beside those of a yardstick.

use std::f64::consts::TAU;
use std::fmt::Write as _;

use super::plot::{COLOURS, Sign, legend};
use super::text::{brief, escape};

/// Radar charts over the same spokes.
#[derive(Clone, Debug, Default)]
pub struct Radars {
    /// What the charts tell.
    pub title: String,
    /// What a spoke is and where it ends; may be empty.
    pub note: String,
    /// Names of the spokes with their units, clockwise from the top.
    pub spokes: Vec<String>,
    /// Name of what the dashed outline shows.
    pub yardstick: String,
    /// The charts.
    pub radars: Vec<Radar>,
}

/// One chart.
#[derive(Clone, Debug, Default)]
pub struct Radar {
    /// Its name.
    pub name: String,
    /// Its place among the colours.
    pub colour: usize,
    /// A value for each spoke.
    pub values: Vec<f64>,
    /// The yardstick's value for each spoke.
    pub yardstick: Vec<f64>,
}

/// Wide enough for the names beside the spokes.
const WIDTH: f64 = 344.0;
const HEIGHT: f64 = 216.0;
const RADIUS: f64 = 76.0;

impl Radars {
    pub(super) fn html(&self) -> String {
        let ends: Vec<f64> = (0..self.spokes.len()).map(|spoke| self.end(spoke)).collect();
        let charts: String = self.radars.iter().map(|radar| self.chart(radar, &ends)).collect();
        let names = [self.yardstick.as_str()];
        let sign = legend(names, Sign::Line).replace("line k0", "yardstick");
        format!("{sign}<div class=\"radars\">{charts}</div>")
    }

    /// The value at the end of a spoke: the largest on it.
    fn end(&self, spoke: usize) -> f64 {
        let values = self.radars.iter().flat_map(|radar| {
            [radar.values.get(spoke).copied(), radar.yardstick.get(spoke).copied()]
        });
        let most = values.flatten().filter(|value| value.is_finite()).fold(0.0, f64::max);
        if most > 0.0 { most } else { 1.0 }
    }

    fn chart(&self, radar: &Radar, ends: &[f64]) -> String {
        let place = |spoke: usize, share: f64| {
            let angle = TAU * spoke as f64 / self.spokes.len().max(1) as f64;
            let radius = RADIUS * share;
            [WIDTH / 2.0 + radius * angle.sin(), HEIGHT / 2.0 + 4.0 - radius * angle.cos()]
        };
        let outline = |share: &dyn Fn(usize) -> f64| {
            let mut path = String::new();
            for spoke in 0..self.spokes.len() {
                let [x, y] = place(spoke, share(spoke));
                let _ = write!(path, "{}{x:.1} {y:.1}", if spoke == 0 { 'M' } else { 'L' });
            }
            path + "z"
        };
        let share = |values: &[f64], spoke: usize| {
            let value = values.get(spoke).copied().filter(|value| value.is_finite());
            (value.unwrap_or(0.0) / ends[spoke]).clamp(0.0, 1.0)
        };
        let mut svg = String::new();
        for ring in [0.5, 1.0] {
            let _ =
                write!(svg, "<path class=\"grid\" fill=\"none\" d=\"{}\"/>", outline(&|_| ring));
        }
        for (spoke, name) in self.spokes.iter().enumerate() {
            // Above the top spoke two lines of words stand on its tip.
            let far = if spoke == 0 { 1.22 } else { 1.12 };
            let ([x, y], [tx, ty]) = (place(spoke, 1.0), place(spoke, far));
            let anchor = match tx - WIDTH / 2.0 {
                far if far > 8.0 => "start",
                far if far < -8.0 => "end",
                _ => "middle",
            };
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{:.1} {:.1}L{x:.1} {y:.1}\"/><text class=\"name\" \
                 x=\"{tx:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text><text class=\"value\" \
                 x=\"{tx:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                WIDTH / 2.0,
                HEIGHT / 2.0 + 4.0,
                ty - 2.0,
                escape(name),
                ty + 10.0,
                brief(ends[spoke]),
            );
        }
        let colour = radar.colour % COLOURS;
        let _ = write!(
            svg,
            "<path class=\"shape f{colour} k{colour}\" d=\"{}\"/><path class=\"yardstick\" d=\"{}\"/>",
            outline(&|spoke| share(&radar.values, spoke)),
            outline(&|spoke| share(&radar.yardstick, spoke)),
        );
        let name = escape(&radar.name);
        format!(
            "<figure><figcaption>{name}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             role=\"img\" aria-label=\"{name}\"><title>{name}</title><desc>{}</desc>{svg}</svg></figure>",
            escape(&self.described(radar))
        )
    }

    fn described(&self, radar: &Radar) -> String {
        let told = |values: &[f64], spoke: usize| {
            values.get(spoke).map_or("unknown".into(), |value| brief(*value))
        };
        let spokes = self.spokes.iter().enumerate().map(|(spoke, name)| {
            let (value, yardstick) = (told(&radar.values, spoke), told(&radar.yardstick, spoke));
            format!("{name}: {value}, {}: {yardstick}", self.yardstick)
        });
        spokes.collect::<Vec<_>>().join(". ")
    }
}
