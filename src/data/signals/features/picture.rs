//! Pictures to one size and number of channels.
//!
//! # Source
//! Grey is the luma of ITU-R BT.601, `0.299 R + 0.587 G + 0.114 B`. A new size comes from a separable
//! triangle as wide as the larger of the two pixels, as Pillow's `BILINEAR` does it.
//!
//! # Where we differ
//! Pillow rounds to whole numbers between the two passes; we round once, at the end.

use crate::data::extraction::Picture;

/// A decoded picture: rows of pixels, each of 1 or 3 interleaved channels.
pub(in crate::data) struct Pixels {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub bytes: Vec<u8>,
}

impl Pixels {
    /// Size and channels.
    pub(in crate::data) fn shape(&self) -> Picture {
        let Self { channels, height, width, .. } = *self;
        Picture { channels, height, width }
    }

    /// The planes `[channels, height, width]` that `wanted` asks for. Grey in three channels is three
    /// equal planes. Where the size is right already, no value changes but by going grey.
    pub(in crate::data) fn planes(&self, wanted: &Picture) -> Vec<u8> {
        let planes = match (self.channels, wanted.channels) {
            (3, 1) => vec![self.bytes.chunks_exact(3).map(luma).collect()],
            (1, 3) => vec![self.bytes.clone(); 3],
            (channels, _) => (0..channels)
                .map(|channel| self.bytes.iter().skip(channel).step_by(channels).copied().collect())
                .collect(),
        };
        if (self.height, self.width) == (wanted.height, wanted.width) {
            return planes.concat();
        }
        let (columns, rows) = (spans(self.width, wanted.width), spans(self.height, wanted.height));
        planes
            .iter()
            .flat_map(|plane: &Vec<u8>| resized(plane, self.width, &columns, &rows))
            .collect()
    }
}

fn luma(pixel: &[u8]) -> u8 {
    let parts = pixel.iter().zip([299, 587, 114]).map(|(&value, part)| u32::from(value) * part);
    // At most 255, since the parts sum to 1000.
    ((parts.sum::<u32>() + 500) / 1000) as u8
}

/// What one new pixel is made of along one side.
struct Span {
    first: usize,
    weights: Vec<f32>,
}

/// For each of `to` new pixels, its share of each of `from` old ones.
fn spans(from: usize, to: usize) -> Vec<Span> {
    let step = from as f64 / to as f64;
    let reach = step.max(1.0);
    let span = |at: usize| {
        let centre = (at as f64 + 0.5) * step;
        let first = (centre - reach).floor().max(0.0) as usize;
        let last = ((centre + reach).ceil() as usize).min(from);
        let height = |old: usize| (1.0 - ((old as f64 + 0.5 - centre) / reach).abs()).max(0.0);
        let sum: f64 = (first..last).map(height).sum();
        Span { first, weights: (first..last).map(|old| (height(old) / sum) as f32).collect() }
    };
    (0..to).map(span).collect()
}

fn resized(plane: &[u8], width: usize, columns: &[Span], rows: &[Span]) -> Vec<u8> {
    let narrow: Vec<f32> = plane
        .chunks_exact(width)
        .flat_map(|row| {
            columns.iter().map(move |span| {
                let old = row[span.first..].iter().zip(&span.weights);
                old.map(|(&value, weight)| f32::from(value) * weight).sum()
            })
        })
        .collect();
    let mut out = Vec::with_capacity(rows.len() * columns.len());
    for span in rows {
        for column in 0..columns.len() {
            let old = narrow[span.first * columns.len() + column..].iter().step_by(columns.len());
            let value: f32 = old.zip(&span.weights).map(|(value, weight)| value * weight).sum();
            out.push(value.round().clamp(0.0, 255.0) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colours(height: usize, width: usize) -> Pixels {
        let bytes = (0..height * width * 3).map(|at| (at * 7 % 251) as u8).collect();
        Pixels { channels: 3, height, width, bytes }
    }

    #[test]
    fn a_picture_of_the_right_size_keeps_every_value() {
        let picture = colours(2, 3);
        let planes = picture.planes(&picture.shape());
        assert_eq!(planes[..6], [0, 21, 42, 63, 84, 105]);
        assert_eq!(planes[6..12], [7, 28, 49, 70, 91, 112]);
        let grey = Pixels { channels: 1, height: 1, width: 2, bytes: vec![9, 200] };
        assert_eq!(grey.planes(&Picture { channels: 3, ..grey.shape() }), [9, 200, 9, 200, 9, 200]);
    }

    #[test]
    fn grey_is_the_luma() {
        let bytes = vec![255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255];
        let picture = Pixels { channels: 3, height: 2, width: 2, bytes };
        let grey = picture.planes(&Picture { channels: 1, ..picture.shape() });
        assert_eq!(grey, [255, 76, 150, 29]);
    }

    #[test]
    fn a_new_size_keeps_even_pictures_and_means() {
        for (height, width) in [(1, 1), (3, 5), (8, 8), (13, 40)] {
            let even = Pixels { channels: 1, height: 8, width: 9, bytes: vec![77; 72] };
            let wanted = Picture { channels: 1, height, width };
            assert_eq!(even.planes(&wanted), vec![77; height * width]);
        }
        let steps = Pixels { channels: 1, height: 1, width: 4, bytes: vec![0, 80, 160, 240] };
        // Two old pixels a new one: shares 3, 3 and 1 of 7 at the edge.
        let half = steps.planes(&Picture { channels: 1, height: 1, width: 2 });
        assert_eq!(half, [57, 183]);
        let double = steps.planes(&Picture { channels: 1, height: 1, width: 8 });
        assert_eq!(double, [0, 20, 60, 100, 140, 180, 220, 240]);
    }
}
