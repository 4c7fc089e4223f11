//! Sound to a log-mel spectrogram.
//!
//! # Source
//! Young et al., *The HTK Book* (version 3.4), section 5.4: `mel(f) = 2595 log10(1 + f / 700)`, and
//! triangles of height 1 whose corners are even on that scale.
//!
//! # Where we differ
//! Power, where HTK takes magnitudes by default; no pre-emphasis; the window is a periodic Hann.
//!
//! All sums run in `f64` and in one stated order, and the transform is compiled without variants for
//! wider vectors, so that the same machine gives the same bytes whatever its vectors are.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use crate::data::extraction::LogMel;

/// Everything about a [`LogMel`] that does not depend on the sound.
pub(in crate::data) struct Spectrogram {
    settings: LogMel,
    window: Vec<f64>,
    bands: Vec<Band>,
    transform: Arc<dyn RealToComplex<f64>>,
}

/// The part of one triangle that is above 0.
struct Band {
    first: usize,
    weights: Vec<f64>,
}

impl Spectrogram {
    pub(in crate::data) fn new(settings: &LogMel) -> Self {
        let length = settings.window;
        let hann = |n: usize| 0.5 - 0.5 * (2.0 * PI * n as f64 / length as f64).cos();
        let transform = RealFftPlanner::new().plan_fft_forward(length);
        let window = (0..length).map(hann).collect();
        Self { settings: *settings, window, bands: bands(settings), transform }
    }

    /// Samples of sound a second that it is made for.
    pub(in crate::data) fn rate(&self) -> u32 {
        self.settings.rate
    }

    /// The spectrogram `[mels, frames]` of `sound`, row-major, lowest band first.
    ///
    /// With `x` the sound, followed by silence, `w[n] = (1 - cos(2 pi n / window)) / 2` and `F` the
    /// discrete Fourier transform of length `window`, frame `t` of band `m` is
    /// `ln(floor + sum over k of h[m, k] * |F(w * x[t * hop ..][.. window])[k]|^2)`, where `h[m, k]`
    /// is the height of triangle `m` at the frequency `k * rate / window`. Sums run in ascending `k`.
    /// If `normalise`, the mean over the whole spectrogram is taken away and the rest divided by
    /// its standard deviation (of the population); of silence, zeros are left.
    pub(in crate::data) fn of(&self, sound: &[f32]) -> Vec<f32> {
        let LogMel { window, hop, mels, frames, .. } = self.settings;
        let floor = f64::from(self.settings.floor);
        let mut out = vec![floor.ln(); mels * frames];
        let mut windowed = self.transform.make_input_vec();
        let mut spectrum = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        for frame in 0..frames {
            let Some(rest) = sound.get(frame * hop..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            windowed.fill(0.0);
            for (place, (&value, weight)) in
                windowed.iter_mut().zip(rest[..rest.len().min(window)].iter().zip(&self.window))
            {
                *place = f64::from(value) * weight;
            }
            let fits =
                self.transform.process_with_scratch(&mut windowed, &mut spectrum, &mut scratch);
            assert!(fits.is_ok(), "buffers are of the lengths that the transform asked for");
            for (band, row) in self.bands.iter().zip(out.chunks_mut(frames)) {
                let bins = band.weights.iter().zip(&spectrum[band.first..]);
                let power: f64 = bins.map(|(weight, bin)| weight * bin.norm_sqr()).sum();
                row[frame] = (power + floor).ln();
            }
        }
        if self.settings.normalise {
            normalise(&mut out);
        }
        out.into_iter().map(|value| value as f32).collect()
    }
}

fn normalise(values: &mut [f64]) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    // Even values leave nothing but the rounding of their mean.
    let scale = if variance > 1e-20 { 1.0 / variance.sqrt() } else { 0.0 };
    values.iter_mut().for_each(|value| *value = (*value - mean) * scale);
}

fn bands(settings: &LogMel) -> Vec<Band> {
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let hertz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    let (low, high) = (mel(f64::from(settings.low)), mel(f64::from(settings.high)));
    let step = (high - low) / (settings.mels + 1) as f64;
    let corner = |at: usize| hertz(low + step * at as f64);
    let band = |at: usize| {
        let (left, top, right) = (corner(at), corner(at + 1), corner(at + 2));
        let height = |bin: usize| {
            let at = bin as f64 * f64::from(settings.rate) / settings.window as f64;
            ((at - left) / (top - left)).min((right - at) / (right - top)).max(0.0)
        };
        let bins = settings.window / 2 + 1;
        let first = (0..bins).find(|&bin| height(bin) > 0.0).unwrap_or(0);
        let weights = (first..bins).map(height).take_while(|&height| height > 0.0).collect();
        Band { first, weights }
    };
    (0..settings.mels).map(band).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        settings: LogMel,
        sound: Vec<i16>,
        expected: Vec<f32>,
    }

    #[test]
    fn a_spectrogram_is_what_numpy_computes() {
        let text = include_str!("../../../../tests/reference/log_mel.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert!(cases.len() >= 3);
        for Case { settings, sound, expected } in cases {
            let sound: Vec<f32> = sound.iter().map(|&value| f32::from(value) / 32768.0).collect();
            let found = Spectrogram::new(&settings).of(&sound);
            assert_eq!(found.len(), expected.len());
            for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert!((found - expected).abs() < 1e-4, "{at}: {found} and {expected}");
            }
        }
    }

    #[test]
    fn silence_and_no_sound_are_zeros_and_what_is_cut_does_not_count() {
        let settings = LogMel { frames: 5, ..LogMel::default() };
        let spectrogram = Spectrogram::new(&settings);
        assert_eq!(spectrogram.of(&[]), vec![0.0; 200]);
        assert_eq!(spectrogram.of(&[0.0; 4000]), vec![0.0; 200]);
        let sound: Vec<f32> = (0..4000).map(|n| ((n * n) % 97) as f32 / 97.0).collect();
        let used = 4 * settings.hop + settings.window;
        assert_eq!(spectrogram.of(&sound), spectrogram.of(&sound[..used]));
        assert_ne!(spectrogram.of(&sound), spectrogram.of(&sound[..used - 9]));
    }
}
