//! An engine that is made from a model file: on a CUDA device without the processor having a weight of it.

use std::path::Path;

use super::describe::Description;
use super::device::Device;
use super::engine::Engine;
use super::file::{self, FileError};
use super::network::Network;
use super::outline::Outline;
use crate::format::ModelFile;
use crate::sparse::cuda::{CudaError, Tier};

/// Why there is no engine for a file.
#[derive(Debug, thiserror::Error)]
pub enum FileEngineError {
    /// The file is not a network.
    #[error(transparent)]
    File(#[from] FileError),
    /// The device failed, or read other bytes than were verified.
    #[error(transparent)]
    Cuda(#[from] CudaError),
}

/// An engine that evaluates the network of a model file.
///
/// On a CUDA device masks, weights and statistics go from the file's sections to where the engine reads them, decoded
/// by kernels: the processor expands none. What comes out is, byte for byte, what an [`Engine::evaluating`] for the
/// network that was read from the file gives.
pub struct FileEngine {
    /// On a device an outline, whose weights are not here: it leaves this file to nobody.
    network: Network,
    engine: Engine,
    tier: Option<Tier>,
}

impl FileEngine {
    /// An engine for batches of up to `batch` samples on `device`, which reads the file by `first` or the next tier that
    /// it can; `path` is for error messages. Whoever asks has had the file verified ([`ModelFile::verify`]): a device
    /// holds masks and values against the rules of the format, and not against the digests.
    ///
    /// # Panics
    /// If `batch` is 0.
    ///
    /// # Errors
    /// If the tensors are not those of the description, or the device has no room, or fails.
    pub fn open(
        file: &ModelFile,
        path: &Path,
        batch: usize,
        device: Device,
        first: Tier,
    ) -> Result<Self, FileEngineError> {
        let Device::Cuda { ordinal, precision, .. } = device else {
            let network = file::read(file, path)?.network;
            let engine = Engine::evaluating(&network, batch, device);
            return Ok(Self { network, engine, tier: None });
        };
        let outline = Outline::of(file, path)?;
        let on = (ordinal, (precision, device.sparse_below()));
        let (engine, tier) = Engine::of_file(&outline, batch, on, (file, first))?;
        if tier == Tier::Staged {
            // The device has its own: what the map holds besides would be there twice.
            file.release_pages();
        }
        Ok(Self { network: outline.network, engine, tier: Some(tier) })
    }

    /// What the network computes.
    pub fn description(&self) -> &Description {
        &self.network.description
    }

    /// How the device read the file; none on the processor, which decodes it itself.
    pub fn tier(&self) -> Option<Tier> {
        self.tier
    }

    /// Takes in a batch, as [`Engine::load`] does.
    ///
    /// # Panics
    /// As there.
    pub fn load(&mut self, samples: usize, fill: impl Fn(usize, &mut [f32]) + Sync) {
        self.engine.load(&self.network, samples, fill);
    }

    /// Runs the loaded batch forward.
    pub fn forward(&mut self) {
        self.engine.forward(&mut self.network);
    }

    /// Appends the softmax probabilities of the batch, row-major `[samples, classes]`, to `out`.
    pub fn probabilities(&mut self, out: &mut Vec<f32>) {
        self.engine.probabilities(out);
    }

    /// The logits of the batch, row-major `[samples, classes]`.
    pub fn logits(&mut self) -> Vec<f32> {
        self.engine.logits()
    }

    /// Whether all went well so far.
    ///
    /// # Errors
    /// What failed first on the device.
    pub fn trouble(&self) -> Result<(), CudaError> {
        self.engine.trouble()
    }
}
