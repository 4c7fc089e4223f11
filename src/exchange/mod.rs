//! Other people's model files: safetensors and ONNX, in and out.
//!
//! Owns what stands in those files and how it becomes a network of ours, and the other way round.
//! Must not know data, training or the terminal. Imports base, format, model.
//!
//! Foreign files are read into memory, not mapped: they are other people's, who may write into them
//! in place, and a mapped page that changes after it was checked is no longer what was checked.
//! [`MAX_FILE`] bounds the copy.
//!
//! Pickles (`.pt`, `.pth`) are programs. They are refused, never opened.

mod error;
mod export;
mod fit;
mod names;
pub mod onnx;
mod own;
mod personal;
mod safetensors;
mod state;

use std::path::Path;

pub use error::{ExchangeError, ExchangeFault, Misfit};
pub use export::safetensors as export_safetensors;
pub use fit::Choice;
pub use names::Names;
pub use personal::{Personal, SUBJECTS, personal};
pub use state::import as import_safetensors;

use crate::format::{Dtype, Facts, Features};
use crate::model::Network;

/// The longest foreign file that is read, in bytes.
pub const MAX_FILE: u64 = 4 << 30;

/// What a foreign file says, as far as it goes.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network, weights widened or narrowed to `f32`.
    pub network: Network,
    /// Class names, if the file tells them.
    pub classes: Option<Vec<String>>,
    /// How samples become inputs, if the file tells it.
    pub features: Option<Features>,
    /// How it came about, if this program wrote the file.
    pub facts: Option<Facts>,
    /// The element type that the weights had before this program exported them.
    pub dtype: Option<Dtype>,
    /// The logical id of the model that this program exported, in hexadecimal; a claim.
    pub id: Option<String>,
    /// What a person should know: what was left out, narrowed or taken over.
    pub notes: Vec<String>,
}

/// The kinds of foreign file that are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Named tensors without a structure.
    Safetensors,
    /// Structure and tensors.
    Onnx,
}

/// Endings of files that are Python pickles, or may be.
const PICKLES: [&str; 6] = ["pt", "pth", "ckpt", "bin", "pkl", "tar"];

impl Foreign {
    /// The kind that the ending of `path` says.
    ///
    /// # Errors
    /// If it is a pickle, or no ending that is known.
    pub fn of(path: &Path) -> Result<Self, ExchangeFault> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match ending.as_str() {
            "safetensors" => Ok(Self::Safetensors),
            "onnx" => Ok(Self::Onnx),
            known if PICKLES.contains(&known) => Err(ExchangeFault::Pickle),
            _ => Err(ExchangeFault::Ending),
        }
    }

    /// Its name in facts and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Onnx => "onnx",
        }
    }
}
