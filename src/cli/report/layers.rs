//! How much of each layer is left.

use super::plot::{Frame, WIDTH};
use super::text::{MAX_NAME, escape, number, shorten};

/// Density by layer, one bar a layer.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// What the chart tells.
    pub title: String,
    /// Which weights are counted; may be empty.
    pub note: String,
    /// The layers, from input to output.
    pub layers: Vec<Layer>,
}

/// One layer.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Weights that exist.
    pub kept: u64,
    /// Weights that a dense layer of this shape has.
    pub all: u64,
}

const ROW: f64 = 24.0;

impl Layers {
    pub(super) fn html(&self) -> String {
        let longest = self.layers.iter().map(|layer| layer.name.chars().count()).max();
        let left = 14.0 + 6.8 * longest.unwrap_or(0).min(MAX_NAME) as f64;
        let height = ROW * self.layers.len() as f64 + 8.0;
        let mut frame = Frame::sized(&self.title, height, left);
        let full = WIDTH - left - 210.0;
        for (at, layer) in self.layers.iter().enumerate() {
            let share = layer.kept as f64 / layer.all.max(1) as f64;
            let middle = ROW * (at as f64 + 0.5) + 4.0;
            let top = middle - 7.0;
            // What exists must show, however little of it there is.
            let wide = if layer.kept > 0 { (full * share.min(1.0)).max(1.0) } else { 0.0 };
            frame.put(format!(
                "<g><title>{}</title><text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>\
                 <rect class=\"rest\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{full:.1}\" \
                 height=\"14\" rx=\"2\"/><rect class=\"f0\" x=\"{left:.1}\" y=\"{top:.1}\" \
                 width=\"{wide:.1}\" height=\"14\" rx=\"2\"/>",
                escape(&layer.name),
                left - 8.0,
                middle + 4.0,
                escape(&shorten(&layer.name)),
            ));
            frame.put(format!(
                "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{} %</text>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{} of {}</text></g>",
                left + full + 58.0,
                middle + 4.0,
                number(100.0 * share, 1),
                left + full + 70.0,
                middle + 4.0,
                number(layer.kept as f64, 0),
                number(layer.all as f64, 0),
            ));
        }
        frame.html()
    }
}
