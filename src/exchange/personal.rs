//! Whether a model is personal data, so that giving it out is giving out people.
//!
//! What was made for one device's people must not leave by accident: an overlay or an effective
//! model carries what it learnt of them, and a checkpoint's momentum carries their last gradients.

use std::fmt;

use crate::format::{Kind, ModelFile, Provenance};

/// The fact that counts people: named subjects among the training samples.
pub const SUBJECTS: &str = "subjects";
/// What the momentum of a checkpoint is called.
const MOMENTUM: &str = "momentum/";

/// Why a model is personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Personal {
    /// Its maker declares that people of this site are in it.
    Enrolled,
    /// A tensor lies over one of a base: an overlay.
    Overlay {
        /// The first such tensor.
        tensor: String,
    },
    /// It is the state of an unfinished run.
    Checkpoint,
    /// Its training data named people, and nobody declared whose it is.
    Subjects {
        /// How many, as the file tells it.
        told: String,
    },
}

impl fmt::Display for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enrolled => {
                f.write_str("its provenance is `enrolled`: people of this site are in it")
            }
            Self::Overlay { tensor } => write!(
                f,
                "tensor `{tensor}` lies over a base: it is what one device learnt of its people"
            ),
            Self::Checkpoint => f.write_str(
                "it is a checkpoint: its momentum tells of the last samples it learnt from",
            ),
            Self::Subjects { told } => write!(
                f,
                "it learnt from the samples of {told} named subjects, and nobody declared them a population"
            ),
        }
    }
}

/// Why `file` is personal data; `None` if nothing in it says so.
pub fn personal(file: &ModelFile) -> Option<Personal> {
    let facts = file.facts();
    if facts.provenance == Provenance::Enrolled {
        return Some(Personal::Enrolled);
    }
    if let Some(tensor) = file.tensors().find(|tensor| tensor.kind() == Kind::OfBase) {
        return Some(Personal::Overlay { tensor: tensor.name().to_owned() });
    }
    if file.tensors().any(|tensor| tensor.name().starts_with(MOMENTUM)) {
        return Some(Personal::Checkpoint);
    }
    // A count that cannot be read may be of anybody.
    let told = facts.get(SUBJECTS).filter(|told| told.parse::<u64>() != Ok(0));
    match told {
        Some(told) if facts.provenance == Provenance::Undeclared => {
            Some(Personal::Subjects { told: told.to_owned() })
        }
        _ => None,
    }
}
