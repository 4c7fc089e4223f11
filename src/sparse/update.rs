//! One pass over packed weights: momentum, weight decay and the three forms of l1.
//!
//! ```text
//! g = gradient + decay * w (+ gamma * sign(w - centre))     subgradient form
//! m = momentum * m + g
//! w = w - rate * m
//! w = centre + soft(w - centre, rate * gamma / (1 - momentum))   proximal form
//! soft(v, t) = sign(v) * max(|v| - t, 0)
//! ```
//!
//! A gradient that stays moves a weight by `rate / (1 - momentum)` times itself a step, so the soft
//! threshold is that long too: all forms settle where `gradient + decay * w = -gamma * sign`.
//! `centre` is 0, or the base model's weight. A weight that does not exist has no entry here, so
//! neither decay nor momentum can bring it back.

use rayon::prelude::*;

use super::LANES;
use super::lanes::{Isa, Lanes, Task};

/// The l1 term of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum L1<'a> {
    /// None.
    Off,
    /// `gamma * sign(w)` joins the gradient (0 at exactly 0), as in the paper.
    Subgradient {
        /// Strength.
        gamma: f32,
    },
    /// Soft threshold after the step: weights become exactly 0.
    Proximal {
        /// Strength.
        gamma: f32,
    },
    /// Soft threshold of the difference to `base`: weights return exactly to the base's.
    TowardsBase {
        /// Strength.
        gamma: f32,
        /// The base model's weights, in the same order.
        base: &'a [f32],
    },
}

/// The numbers of one optimiser step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<'a> {
    /// Learning rate.
    pub rate: f32,
    /// Share of the old momentum that stays.
    pub momentum: f32,
    /// Weight decay.
    pub decay: f32,
    /// The l1 term.
    pub l1: L1<'a>,
}

/// What an update saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UpdateStatistics {
    /// The sum of `|w - centre|` after the step.
    pub l1_norm: f64,
    /// Weights that are exactly `centre` after the step.
    pub at_centre: usize,
}

/// Entries in a unit of work.
const UNIT: usize = 1 << 14;

/// Steps every weight of `values`, with its `gradient` and `momentum`.
///
/// # Panics
/// If the slices differ in length.
pub fn update(
    isa: Isa,
    step: Step<'_>,
    values: &mut [f32],
    momentum: &mut [f32],
    gradient: &[f32],
) -> UpdateStatistics {
    assert_eq!(values.len(), gradient.len(), "one gradient a weight");
    assert_eq!(values.len(), momentum.len(), "one momentum a weight");
    if let L1::TowardsBase { base, .. } = step.l1 {
        assert_eq!(values.len(), base.len(), "one base value a weight");
    }
    let units = values.par_chunks_mut(UNIT).zip(momentum.par_chunks_mut(UNIT));
    let parts: Vec<UpdateStatistics> = units
        .zip(gradient.par_chunks(UNIT))
        .enumerate()
        .map(|(unit, ((values, momentum), gradient))| {
            let mut step = step;
            if let L1::TowardsBase { gamma, base } = step.l1 {
                step.l1 = L1::TowardsBase { gamma, base: &base[unit * UNIT..][..values.len()] };
            }
            isa.run(Unit { step, values, momentum, gradient })
        })
        .collect();
    parts.iter().fold(UpdateStatistics::default(), |all, part| UpdateStatistics {
        l1_norm: all.l1_norm + part.l1_norm,
        at_centre: all.at_centre + part.at_centre,
    })
}

struct Unit<'a> {
    step: Step<'a>,
    values: &'a mut [f32],
    momentum: &'a mut [f32],
    gradient: &'a [f32],
}

/// `sign(value) * max(|value| - threshold, 0)`.
#[inline(always)]
fn soft(value: f32, threshold: f32) -> f32 {
    let size = value.abs() - threshold;
    if size > 0.0 { size.copysign(value) } else { 0.0 }
}

/// 1, -1, or 0 at exactly 0; without a branch, so that lanes need none.
#[inline(always)]
fn sign(value: f32) -> f32 {
    let above = if value > 0.0 { 1.0 } else { 0.0 };
    let below = if value < 0.0 { 1.0 } else { 0.0 };
    above - below
}

/// Vectors whose sizes a lane sums in `f32` before they join a sum in `f64`: few enough to lose
/// nothing that counts, and a conversion for each weight would cost as much as the step.
const SPAN: usize = 32;

impl Unit<'_> {
    /// Steps all weights of the unit, towards zero or towards `base`.
    #[inline(always)]
    fn each(
        self,
        base: Option<&[f32]>,
        pull: impl Fn(f32) -> f32 + Copy,
        shrink: impl Fn(f32) -> f32 + Copy,
    ) -> UpdateStatistics {
        let span = SPAN * LANES;
        let mut all = UpdateStatistics::default();
        let spans = self.values.chunks_mut(span).zip(self.momentum.chunks_mut(span));
        for (place, ((values, kept), gradient)) in spans.zip(self.gradient.chunks(span)).enumerate()
        {
            let base = base.map(|base| &base[place * span..][..values.len()]);
            let seen = Span { step: self.step, values, kept, gradient, base }.run(pull, shrink);
            all.l1_norm += seen.l1_norm;
            all.at_centre += seen.at_centre;
        }
        all
    }
}

/// Weights that are stepped between two additions in `f64`.
struct Span<'a> {
    step: Step<'a>,
    values: &'a mut [f32],
    kept: &'a mut [f32],
    gradient: &'a [f32],
    base: Option<&'a [f32]>,
}

impl Span<'_> {
    #[inline(always)]
    fn run(self, pull: impl Fn(f32) -> f32, shrink: impl Fn(f32) -> f32) -> UpdateStatistics {
        let Step { rate, momentum, decay, .. } = self.step;
        let step = |w: &mut f32, kept: &mut f32, gradient: f32, centre: f32| {
            let g = gradient + decay * *w + pull(*w - centre);
            let m = momentum * *kept + g;
            let away = shrink(*w - rate * m - centre);
            *kept = m;
            *w = if away == 0.0 { centre } else { centre + away };
            (away.abs(), u32::from(away == 0.0))
        };
        // A sum for each lane, so that no addition waits for the one before; arrays of sixteen, so
        // that the compiler knows every length and makes vectors of them.
        let (mut sizes, mut at_centre) = ([0.0f32; LANES], [0u32; LANES]);
        let (values, last_values) = self.values.as_chunks_mut::<LANES>();
        let (kept, last_kept) = self.kept.as_chunks_mut::<LANES>();
        let (gradient, last_gradient) = self.gradient.as_chunks::<LANES>();
        let centres = |at: usize| self.base.map_or([0.0; LANES], |base| lanes_at(base, at));
        for (i, ((w, m), g)) in values.iter_mut().zip(kept).zip(gradient).enumerate() {
            let centre = centres(i * LANES);
            for lane in 0..LANES {
                let (size, at) = step(&mut w[lane], &mut m[lane], g[lane], centre[lane]);
                sizes[lane] += size;
                at_centre[lane] += at;
            }
        }
        let centre = centres(self.gradient.len() - last_gradient.len());
        let last = last_values.iter_mut().zip(last_kept).zip(last_gradient);
        for (lane, ((w, m), g)) in last.enumerate() {
            let (size, at) = step(w, m, *g, centre[lane]);
            sizes[lane] += size;
            at_centre[lane] += at;
        }
        UpdateStatistics {
            l1_norm: sizes.iter().map(|&size| f64::from(size)).sum(),
            at_centre: at_centre.iter().map(|&at| at as usize).sum(),
        }
    }
}

/// Sixteen values from `at` on; zeros past the last.
#[inline(always)]
fn lanes_at(values: &[f32], at: usize) -> [f32; LANES] {
    let values = &values[at..];
    values.first_chunk().copied().unwrap_or_else(|| {
        let mut lanes = [0.0; LANES];
        lanes[..values.len()].copy_from_slice(values);
        lanes
    })
}

impl Task for Unit<'_> {
    type Out = UpdateStatistics;

    #[inline(always)]
    fn run<L: Lanes>(self) -> UpdateStatistics {
        let reach = self.step.rate / (1.0 - self.step.momentum);
        match self.step.l1 {
            L1::Off => self.each(None, |_| 0.0, |v| v),
            L1::Subgradient { gamma } => self.each(None, |v| gamma * sign(v), |v| v),
            L1::Proximal { gamma } => self.each(None, |_| 0.0, |v| soft(v, reach * gamma)),
            L1::TowardsBase { gamma, base } => {
                self.each(Some(base), |_| 0.0, |v| soft(v, reach * gamma))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Stream;

    fn one(l1: L1<'_>, value: f32, gradient: f32) -> f32 {
        let step = Step { rate: 0.5, momentum: 0.9, decay: 0.0, l1 };
        let (mut values, mut momentum) = ([value], [0.0]);
        update(Isa::best(), step, &mut values, &mut momentum, &[gradient]);
        values[0]
    }

    #[test]
    fn the_proximal_form_gives_exact_zeros_and_the_subgradient_form_does_not() {
        assert_eq!(one(L1::Proximal { gamma: 0.01 }, 0.04, 0.0), 0.0);
        assert_eq!(one(L1::Subgradient { gamma: 0.1 }, 0.04, 0.0), 0.04 - 0.05);
        assert_eq!(one(L1::Subgradient { gamma: 0.1 }, 0.0, 0.0), 0.0);
    }

    /// A step of each weight by the formula, one after another.
    fn by_the_formula(
        step: Step<'_>,
        values: &mut [f32],
        momentum: &mut [f32],
        gradient: &[f32],
    ) -> UpdateStatistics {
        let reach = step.rate / (1.0 - step.momentum);
        let mut seen = UpdateStatistics::default();
        for i in 0..values.len() {
            let (centre, gamma, shrinks) = match step.l1 {
                L1::Off => (0.0, 0.0, false),
                L1::Subgradient { gamma } => (0.0, gamma, false),
                L1::Proximal { gamma } => (0.0, gamma, true),
                L1::TowardsBase { gamma, base } => (base[i], gamma, true),
            };
            let mut g = gradient[i] + step.decay * values[i];
            if !shrinks && values[i] != 0.0 {
                g += gamma * values[i].signum();
            }
            momentum[i] = step.momentum * momentum[i] + g;
            let away = values[i] - step.rate * momentum[i] - centre;
            let threshold = if shrinks { reach * gamma } else { 0.0 };
            let away = away.signum() * (away.abs() - threshold).max(0.0);
            values[i] = centre + away;
            seen.l1_norm += f64::from(away.abs());
            seen.at_centre += usize::from(away == 0.0);
        }
        seen
    }

    #[test]
    fn every_form_does_to_long_vectors_what_the_formula_does_to_each_weight() {
        // Two whole units and a part, which ends neither at a span nor at a vector.
        let len = 2 * UNIT + 5 * SPAN * LANES + 7 * LANES + 5;
        let numbers = |seed: u64, size: f32| -> Vec<f32> {
            let mut stream = Stream::new(seed, "update");
            // Some weights are exactly zero, as a proximal step leaves them.
            (0..len)
                .map(|i| if i % 7 == 0 { 0.0 } else { (stream.unit() as f32 - 0.5) * size })
                .collect()
        };
        let base = numbers(4, 1.0);
        for l1 in [
            L1::Off,
            L1::Subgradient { gamma: 0.01 },
            L1::Proximal { gamma: 0.01 },
            L1::TowardsBase { gamma: 0.01, base: &base },
        ] {
            let step = Step { rate: 0.1, momentum: 0.9, decay: 5e-4, l1 };
            let mut right = (numbers(1, 1.0), numbers(2, 0.1));
            let expected = by_the_formula(step, &mut right.0, &mut right.1, &numbers(3, 0.1));
            for isa in Isa::available() {
                let mut found = (numbers(1, 1.0), numbers(2, 0.1));
                let seen = update(isa, step, &mut found.0, &mut found.1, &numbers(3, 0.1));
                // Nothing here is fused, so every instruction set gives the formula's own bits.
                assert!(found == right, "{l1:?} on {isa:?}");
                assert_eq!(seen.at_centre, expected.at_centre, "{l1:?} on {isa:?}");
                let apart = (seen.l1_norm - expected.l1_norm).abs();
                assert!(apart < 1e-5 * expected.l1_norm, "{l1:?} on {isa:?}: {seen:?}");
            }
        }
    }

    #[test]
    fn the_pull_towards_the_base_ends_exactly_at_the_base() {
        let base = [0.3];
        assert_eq!(one(L1::TowardsBase { gamma: 0.01, base: &base }, 0.31, 0.0), 0.3);
        assert!((one(L1::TowardsBase { gamma: 0.01, base: &base }, 0.5, 0.0) - 0.45).abs() < 1e-6);
    }

    #[test]
    fn the_subgradient_and_the_proximal_form_settle_at_the_same_place_under_momentum() {
        // The loss (w - 1)^2 / 2 under gamma |w| is least at 1 - gamma.
        for l1 in [L1::Subgradient { gamma: 0.5 }, L1::Proximal { gamma: 0.5 }] {
            let step = Step { rate: 0.01, momentum: 0.9, decay: 0.0, l1 };
            let (mut values, mut momentum) = ([1.0], [0.0]);
            for _ in 0..5000 {
                let gradient = [values[0] - 1.0];
                update(Isa::best(), step, &mut values, &mut momentum, &gradient);
            }
            assert!((values[0] - 0.5).abs() < 1e-3, "{l1:?} settles at {}", values[0]);
        }
    }
}
