//! Where a pass of a layer reads the weights that exist only, and where it is laid out dense for the multipliers.
//!
//! A pure function of precision, compute capability, shape, batch and how many weights exist: equal plans give
//! equal bytes. What a sparse pass takes is counted, not measured: its loads from shared memory, of which a
//! multiprocessor does 32 a clock, over the products of the same pass laid out dense. Of a convolution of
//! ResNet-18 of which 5 to 50 weights in 100 exist that is 1.5 to 1.3 times the share that exists, for the gradient of
//! its weights 2.6 to 1.8 times; it is more where fewer exist, where a plane does not fill a tile, and for 1 by 1. Below which share it is faster follows from rates that are published, and is not measured either.

use std::fmt;

use super::machine::Capability;
use super::precision::Precision;

/// In thousandths, the share of a dense pass's products below which the loads of a sparse pass are faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SparseBelow {
    /// Of the forward pass.
    pub forward: u32,
    /// Of the gradient of the input.
    pub input_gradient: u32,
    /// Of the gradient of the weights.
    pub weight_gradient: u32,
}

impl SparseBelow {
    /// No pass is sparse.
    pub const NEVER: Self = Self { forward: 0, input_gradient: 0, weight_gradient: 0 };
    /// Every pass is that has a tile.
    pub const ALWAYS: Self =
        Self { forward: u32::MAX, input_gradient: u32::MAX, weight_gradient: u32::MAX };

    /// What is predicted for a device.
    ///
    /// Sparse passes do a quarter of the f32 rate of multiprocessors with 128 lanes, a half of those with 64
    /// (before 8.0). Plain f32 is taken to reach 0.7 of the rate: shares of 0.36 and 0.71. TF32 on 8.x has four
    /// times the rate of f32 and is taken to reach 0.55 of it: 0.113, where 8 weights in 100 exist. Halves have
    /// twice that. The gradient of weights may take a quarter more, because the dense one gathers both sides.
    /// From 9.0 on the multipliers are too far ahead.
    pub fn predicted(precision: Precision, capability: Capability) -> Self {
        let below = match (precision, capability) {
            (Precision::F32, [..8, _]) => 710,
            (Precision::F32, _) => 360,
            (Precision::Tf32, [8, _]) => 113,
            (Precision::F16 | Precision::Bf16, [8, _]) => 62,
            _ => 0,
        };
        Self { forward: below, input_gradient: below, weight_gradient: below * 5 / 4 }
    }

    /// One number for all passes, or those of forward, input gradient and weight gradient: `0.113`,
    /// `0.1,0.1,0.2`, `0` (never), `inf` (always).
    pub fn named(text: &str) -> Option<Self> {
        let share = |text: &str| {
            let share: f64 = text.parse().ok()?;
            // Saturates: what is larger than all counts is always.
            (share >= 0.0).then_some((share * 1000.0).round() as u32)
        };
        let shares: Vec<u32> = text.split(',').map(share).collect::<Option<_>>()?;
        let (forward, input_gradient, weight_gradient) = match shares[..] {
            [all] => (all, all, all),
            [forward, input, weight] => (forward, input, weight),
            _ => return None,
        };
        Some(Self { forward, input_gradient, weight_gradient })
    }

    /// Forward, input gradient, weight gradient.
    pub(super) fn passes(self) -> [u32; 3] {
        [self.forward, self.input_gradient, self.weight_gradient]
    }
}

impl fmt::Display for SparseBelow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |share: u32| match share {
            u32::MAX => "inf".to_string(),
            share => (f64::from(share) / 1000.0).to_string(),
        };
        let [forward, input, weight] = self.passes().map(name);
        if forward == input && input == weight {
            return f.write_str(&forward);
        }
        write!(f, "{forward},{input},{weight}")
    }
}

/// Whether a pass that takes `loads` loads is sparse, where a dense one has `products`.
pub(super) fn takes(below: u32, loads: u64, products: u64) -> bool {
    below == u32::MAX || u128::from(loads) * 1000 < u128::from(products) * u128::from(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_the_shares_that_are_predicted_for_it() {
        let of = SparseBelow::predicted;
        assert_eq!(of(Precision::F32, [7, 2]).forward, 710);
        for capability in [[8, 0], [8, 7], [9, 0], [11, 0]] {
            assert_eq!(of(Precision::F32, capability).input_gradient, 360);
        }
        let weight_gradient = 141;
        let tf32 = SparseBelow { forward: 113, input_gradient: 113, weight_gradient };
        assert_eq!(of(Precision::Tf32, [8, 7]), tf32);
        assert_eq!(of(Precision::F16, [8, 0]).forward, 62);
        assert_eq!(of(Precision::Bf16, [8, 9]).forward, 62);
        for precision in [Precision::Tf32, Precision::F16, Precision::Bf16] {
            for capability in [[9, 0], [10, 0], [11, 0], [12, 1]] {
                assert_eq!(of(precision, capability), SparseBelow::NEVER);
            }
        }
    }

    #[test]
    fn at_its_threshold_a_pass_is_dense_and_just_below_it_sparse() {
        assert!(takes(113, 112_999, 1_000_000) && !takes(113, 113_000, 1_000_000));
        assert!(!takes(0, 0, 1), "never is never");
        assert!(takes(u32::MAX, u64::MAX, 0), "always is always");
        assert!(takes(710, u64::MAX / 2, u64::MAX) && !takes(490, u64::MAX / 2, u64::MAX));
    }

    #[test]
    fn shares_are_read_as_they_are_written() {
        let three = SparseBelow { forward: 100, input_gradient: 0, weight_gradient: u32::MAX };
        for (text, below) in [
            ("0", SparseBelow::NEVER),
            ("inf", SparseBelow::ALWAYS),
            ("0.1,0,inf", three),
            ("0.113,0.113,0.141", SparseBelow::predicted(Precision::Tf32, [8, 7])),
        ] {
            assert_eq!(SparseBelow::named(text), Some(below), "{text}");
            assert_eq!(below.to_string(), text);
        }
        assert_eq!(SparseBelow::named("0.08,0.08,0.08").unwrap().to_string(), "0.08");
        for wrong in ["", "x", "-0.1", "nan", "0.1,0.2", "0.1,0.2,0.3,0.4", "0.1,", "8%"] {
            assert_eq!(SparseBelow::named(wrong), None, "{wrong}");
        }
    }
}
