//! The words of a receipt that have a fixed meaning.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::format::Dtype;

/// When samples and keys were destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Before the model was repaired: received, stopped, shredded, unlearnt, gated, committed.
    ShredFirst,
    /// After the gate, which could measure what was forgotten: received, stopped, unlearnt, gated,
    /// shredded, committed.
    AuditFirst,
}

/// How sure it is that the destroyed bytes cannot come back, by where the key that wraps all others lay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Evidence {
    /// Files were unlinked.
    L0,
    /// Keys were destroyed that lay in files.
    L1,
    /// Keys were destroyed under one of a firmware TPM or OP-TEE that keeps its state on the disk.
    L2,
    /// Keys were destroyed under one of a discrete TPM or of replay-protected memory.
    L3,
}

impl Evidence {
    /// What it means, and what it does not, for whoever reads the receipt.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::L0 => "files unlinked only; their bytes may be on the disk still",
            Self::L1 => {
                "keys destroyed, the device key was a file; an old keyring may survive in flash until \
                 the drive collects it"
            }
            Self::L2 => {
                "keys destroyed, the device key in a firmware TPM or OP-TEE on the same disk; resists \
                 theft of the disk afterwards, not a snapshot from before"
            }
            Self::L3 => {
                "keys destroyed, the device key in a discrete TPM or replay-protected memory; old \
                 keyrings cannot be opened"
            }
        }
    }
}

/// What would notice that the whole home, its keys included, was put back from a copy of before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rollback {
    /// Nothing.
    None,
    /// A file outside the home that knows how far it had come.
    Witness,
    /// The TPM, which has no key of before any more.
    Tpm,
    /// Both.
    TpmAndWitness,
}

impl Rollback {
    /// What it means, and what it does not, for whoever reads the receipt.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::None => "a copy of the whole home from before, put back, would not be noticed",
            Self::Witness => {
                "a copy of the whole home from before is refused, unless its witness is put back too"
            }
            Self::Tpm => {
                "a copy of the whole home from before cannot be opened, unless the TPM's own state is \
                 put back too"
            }
            Self::TpmAndWitness => {
                "a copy of the whole home from before cannot be opened, unless the TPM's own state and \
                 the witness are put back too"
            }
        }
    }
}

/// Where a way of repairing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lapse {
    /// The run did not come to its end: it diverged, was late, or its process died.
    Run,
    /// What it came to did not pass the gate, or could not be read.
    Gate,
}

/// How the weights that serve now are free of the subject. It is that of the worst of their ancestry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// The model that serves was never taught by the subject.
    NeverLearnt,
    /// Training was done anew without the subject, from a point that had not seen them.
    ExactReplay,
    /// The weights had seen the subject and were changed. What is left may have been measured, and is not
    /// proved to be nothing.
    Approximate,
    /// The device went back to the operator's base; what it had learnt from all is gone.
    Reset,
}

impl Guarantee {
    /// What it means, for whoever reads the receipt.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NeverLearnt => "the model that serves never learnt from the subject",
            Self::ExactReplay => "trained anew without the subject, from a point before them",
            Self::Approximate => {
                "weights that knew the subject were changed; nothing proves that nothing is left"
            }
            Self::Reset => "back to the base; all that the device had learnt is gone",
        }
    }
}

/// What a measurement came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Within the limit.
    Passed,
    /// Outside of it.
    Failed,
    /// Too few samples to tell.
    Inconclusive,
    /// Nothing was measured.
    NotMeasured,
}

/// How often a test would notice what it looks for, if it were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// In at least 80 of 100 cases.
    Adequate,
    /// In 50 to 80 of 100.
    Weak,
    /// In fewer than 50 of 100.
    Poor,
    /// Not known.
    Unknown,
}

/// What asks whether a model still knows a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// Unlearning accuracy: its error on the subject's samples.
    Ua,
    /// Membership inference: whether an attack tells the subject's samples from unseen ones.
    Mia,
}

/// Samples that an accuracy was measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MeasuredOn {
    /// The calibrating part of the base's anchor set.
    Calibration,
    /// What the subjects who stay had held out of training, all together.
    Holdouts,
}

/// What became of an earlier model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Its file was removed, and it was never sealed or its key is gone with it.
    Destroyed,
    /// Another took its place before this request, and the key that sealed it was destroyed.
    SupersededKeyDestroyed,
}

/// The type of the weights that serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single.
    Bf16,
    /// Bytes with a scale for each output channel.
    Int8,
}

impl From<Dtype> for Weights {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::Bf16 => Self::Bf16,
            Dtype::Int8 => Self::Int8,
        }
    }
}

/// Each is told as the file spells it.
macro_rules! told_as_spelt {
    ($($word:ty),*) => { $(impl fmt::Display for $word {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.serialize(f)
        }
    })* };
}

told_as_spelt!(
    Policy, Evidence, Guarantee, Verdict, Power, Probe, MeasuredOn, Fate, Weights, Rollback, Lapse
);

/// A share in parts of a million. A receipt holds no floating-point number: each has one spelling, and
/// no reader rounds it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ppm(pub u32);

impl Ppm {
    /// All of it.
    pub const WHOLE: Self = Self(1_000_000);

    /// `share`, from 0 to 1, to the nearest millionth; what lies outside, and what is no number, is
    /// `None`.
    pub fn of(share: f64) -> Option<Self> {
        // Between 0 and a million after the check.
        (0.0..=1.0).contains(&share).then(|| Self((share * 1e6).round() as u32))
    }
}

impl fmt::Display for Ppm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} %", f64::from(self.0) / 1e4)
    }
}
