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

#[inline(always)]
fn soft(value: f32, threshold: f32) -> f32 {
    let size = value.abs() - threshold;
    if size > 0.0 { size.copysign(value) } else { 0.0 }
}

impl Unit<'_> {
    #[inline(always)]
    fn each(
        &mut self,
        centre: impl Fn(usize) -> f32,
        pull: impl Fn(f32) -> f32,
        shrink: impl Fn(f32) -> f32,
    ) -> UpdateStatistics {
        let Step { rate, momentum, decay, .. } = self.step;
        let Self { values, momentum: kept, gradient, .. } = self;
        let (kept, gradient) = (&mut kept[..values.len()], &gradient[..values.len()]);
        let mut one = |i: usize| {
            let (w, c) = (values[i], centre(i));
            let g = gradient[i] + decay * w + pull(w - c);
            let m = momentum * kept[i] + g;
            let away = shrink(w - rate * m - c);
            kept[i] = m;
            values[i] = if away == 0.0 { c } else { c + away };
            (f64::from(away.abs()), u32::from(away == 0.0))
        };
        // A sum for each lane, so that no addition waits for the one before.
        let (mut norms, mut at_centre) = ([0.0; LANES], [0; LANES]);
        let len = gradient.len();
        let whole = len / LANES * LANES;
        for start in (0..whole).step_by(LANES) {
            for lane in 0..LANES {
                let (norm, at) = one(start + lane);
                norms[lane] += norm;
                at_centre[lane] += at;
            }
        }
        for i in whole..len {
            let (norm, at) = one(i);
            norms[i - whole] += norm;
            at_centre[i - whole] += at;
        }
        let at_centre = at_centre.iter().map(|&at| at as usize).sum();
        UpdateStatistics { l1_norm: norms.iter().sum(), at_centre }
    }
}

impl Task for Unit<'_> {
    type Out = UpdateStatistics;

    #[inline(always)]
    fn run<L: Lanes>(mut self) -> UpdateStatistics {
        let reach = self.step.rate / (1.0 - self.step.momentum);
        let sign = |v: f32| {
            if v > 0.0 {
                1.0
            } else if v < 0.0 {
                -1.0
            } else {
                0.0
            }
        };
        match self.step.l1 {
            L1::Off => self.each(|_| 0.0, |_| 0.0, |v| v),
            L1::Subgradient { gamma } => self.each(|_| 0.0, |v| gamma * sign(v), |v| v),
            L1::Proximal { gamma } => self.each(|_| 0.0, |_| 0.0, |v| soft(v, reach * gamma)),
            L1::TowardsBase { gamma, base } => {
                self.each(|i| base[i], |_| 0.0, |v| soft(v, reach * gamma))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
