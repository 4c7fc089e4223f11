//! The Gaussian error linear unit, and the exponential that it and the softmax of attention share.
//!
//! Plain arithmetic without branches, so that sixteen lanes go through it as one vector, and without
//! the system's mathematical library.

use std::f32::consts::{LOG2_E, SQRT_2};

use super::blocked::Blocked;
use super::lanes::Isa;
use super::pointwise::each_place;

/// Below, `exp` is 0: the result would not be a normal number.
const LEAST: f32 = -87.0;
/// Added to a number of few digits, it leaves the nearest whole one in the last bits.
const ROUND: f32 = 12_582_912.0;
/// `1 / sqrt(2 * pi)`.
const DENSITY: f32 = 0.398_942_3;

/// `e^x` for `x` from -87 to 0, within 2.5e-7 of it; 0 below, NaN of NaN.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`: the series of `e^r` to the seventh power, then `n` goes
/// into the exponent.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let shifted = x * LOG2_E + ROUND;
    let whole = shifted - ROUND;
    // ln 2 in two parts, the first of few digits: its product with `n` is exact.
    let r = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    let mut sum = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + factor;
    }
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < LEAST { 0.0 } else { sum * power }
}

/// The normal distribution up to `x`, and its density at `x`.
///
/// Abramowitz and Stegun, *Handbook of Mathematical Functions*, 1964, 7.1.26: within 1.5e-7.
#[inline(always)]
fn normal(x: f32) -> [f32; 2] {
    let bell = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 / SQRT_2 * x.abs());
    let mut sum = 1.061_405_4;
    for factor in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6, 0.0] {
        sum = sum * t + factor;
    }
    let tail = 0.5 * sum * bell;
    [if x < 0.0 { tail } else { 1.0 - tail }, DENSITY * bell]
}

/// `y = x * P(X <= x)` for a standard normal `X` (Hendrycks and Gimpel, *Gaussian Error Linear Units*,
/// 2016): the form with the error function, not the one with the hyperbolic tangent.
pub fn gelu(isa: Isa, x: (&[f32], Blocked), y: (&mut [f32], Blocked)) {
    each_place(isa, [x, x], y, |_, x, _| x * normal(x)[0]);
}

/// `dx = dy * (P(X <= x) + x * p(x))`, or `dx +=` it if `accumulate`.
pub fn gelu_backward(
    isa: Isa,
    x: (&[f32], Blocked),
    dy: (&[f32], Blocked),
    dx: (&mut [f32], Blocked),
    accumulate: bool,
) {
    let slope = |x: f32| {
        let [below, density] = normal(x);
        below + x * density
    };
    if accumulate {
        each_place(isa, [x, dy], dx, |dx, x, dy| dx + dy * slope(x));
    } else {
        each_place(isa, [x, dy], dx, |_, x, dy| dy * slope(x));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_within_two_steps_of_f32() {
        for step in 0..=8700 {
            let x = -(step as f32) / 100.0;
            let expected = f64::from(x).exp();
            let off = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(off < 2.5e-7, "exp({x}) is off by {off:.1e}");
        }
        assert_eq!((exp(0.0), exp(-88.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert!(exp(f32::NAN).is_nan());
    }

    /// The series of the normal distribution's integral from 0, in f64.
    fn below(x: f64) -> f64 {
        let (mut term, mut sum) = (x, 0.0);
        for n in 0..200 {
            sum += term / f64::from(2 * n + 1);
            term *= -x * x / 2.0 / f64::from(n + 1);
        }
        0.5 + sum / (2.0 * std::f64::consts::PI).sqrt()
    }

    #[test]
    fn the_normal_distribution_is_that_of_its_series() {
        for step in -500..=500 {
            let x = step as f32 / 100.0;
            let [found, density] = normal(x);
            let off = (f64::from(found) - below(f64::from(x))).abs();
            assert!(off < 3e-7, "normal({x}) is off by {off:.1e}");
            let h = 1e-5;
            let slope = (below(f64::from(x) + h) - below(f64::from(x) - h)) / (2.0 * h);
            assert!((f64::from(density) - slope).abs() < 3e-7, "density({x})");
        }
        assert_eq!((normal(20.0)[0], normal(-20.0)[0]), (1.0, 0.0));
        assert!(normal(f32::NAN)[0].is_nan());
    }
}
