//! How the factors of a product are rounded before they meet. Sums are f32, whatever the factors.

use super::error::CudaError;
use super::kernel::Kernel;
use super::machine::{Capability, CardFacts};

/// How factors of convolutions and linear layers are multiplied; everything else is f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// As they are, without tensor cores.
    F32,
    /// Rounded to 10 bits after the point.
    Tf32,
    /// IEEE halves: 10 bits, and an exponent of 5: large gradients overflow, small ones vanish.
    F16,
    /// 7 bits, and f32's exponent.
    Bf16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F32, Self::Tf32, Self::F16, Self::Bf16];

    /// `f32`, `tf32`, `f16`, `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// The precision of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }

    /// The least compute capability that has it.
    pub fn needs(self) -> Capability {
        if self == Self::F32 { [7, 2] } else { [8, 0] }
    }

    /// What a device takes if nobody says: TF32 where there is, as it keeps the range of f32, and its
    /// rounding is far below a batch's noise.
    pub fn of_device(facts: &CardFacts) -> Self {
        if facts.capability >= Self::Tf32.needs() { Self::Tf32 } else { Self::F32 }
    }

    /// Refuses a device that does not have it.
    ///
    /// # Errors
    /// [`CudaError::Precision`].
    pub fn fits(self, facts: &CardFacts) -> Result<(), CudaError> {
        if facts.capability >= self.needs() {
            return Ok(());
        }
        Err(CudaError::Precision {
            name: facts.name.clone(),
            precision: self.name(),
            found: facts.capability,
            needed: self.needs(),
        })
    }

    pub(super) fn conv(self) -> Kernel {
        match self {
            Self::F32 => Kernel::ConvF32,
            Self::Tf32 => Kernel::ConvTf32,
            Self::F16 => Kernel::ConvF16,
            Self::Bf16 => Kernel::ConvBf16,
        }
    }

    pub(super) fn weight_gradient(self) -> Kernel {
        match self {
            Self::F32 => Kernel::WeightGradientF32,
            Self::Tf32 => Kernel::WeightGradientTf32,
            Self::F16 => Kernel::WeightGradientF16,
            Self::Bf16 => Kernel::WeightGradientBf16,
        }
    }
}
