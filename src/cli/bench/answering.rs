//! What answers in `bench latency`: sample by sample on the processor, a whole batch at once on a device.

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::subject::Samples;
use crate::model::{Device, Engine, Network, Predictor};

/// A network that answers batches of one size.
pub(super) enum Answering {
    /// On the processor.
    Each(Box<Predictor>),
    /// On a CUDA device.
    Whole {
        engine: Box<Engine>,
        network: Box<Network>,
        /// Bytes of the device's memory, by kind.
        bytes: Value,
        total: u64,
    },
}

impl Answering {
    /// Makes `network` ready on `device`, for calls of `batch` samples.
    ///
    /// # Errors
    /// If the device has no room for it, or fails.
    pub(super) fn new(network: &Network, batch: usize, device: Device) -> Result<Self, Fault> {
        if let Device::Cpu(isa) = device {
            return Ok(Self::Each(Box::new(Predictor::new(network, isa))));
        }
        let mut engine = Engine::evaluating(network, batch, device);
        // Who asks again and again does not give weights each time.
        engine.keep(network);
        engine.trouble()?;
        let bytes = Engine::card_bytes(network, engine.plan(), device)?;
        let (total, bytes) = (bytes.total(), json!(bytes));
        let (engine, network) = (Box::new(engine), Box::new(network.clone()));
        Ok(Self::Whole { engine, network, bytes, total })
    }

    /// Appends the probabilities of the first `batch` of `samples` to `out`.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn answer(
        &mut self,
        samples: &Samples,
        batch: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), Fault> {
        match self {
            Self::Each(predictor) => {
                for index in 0..batch {
                    out.extend_from_slice(predictor.predict(|to| samples.read(index, to)));
                }
                Ok(())
            }
            Self::Whole { engine, network, .. } => {
                engine.load(network, batch, |index, to| samples.read(index, to));
                engine.forward(network);
                engine.probabilities(out);
                Ok(engine.trouble()?)
            }
        }
    }

    /// How, in words.
    pub(super) fn way(&self) -> &'static str {
        match self {
            Self::Each(predictor) if predictor.fuses() => "single sample, batch norm folded",
            Self::Each(_) => "single sample in one lane of a batch",
            Self::Whole { .. } => "the batch at once",
        }
    }

    /// Bytes that answering takes, on a CUDA device of its memory.
    pub(super) fn peak_bytes(&self) -> u64 {
        match self {
            Self::Each(predictor) => predictor.peak_bytes(),
            Self::Whole { total, .. } => *total,
        }
    }

    /// Bytes of a CUDA device's memory, by kind.
    pub(super) fn device_bytes(&self) -> &Value {
        match self {
            Self::Each(_) => &Value::Null,
            Self::Whole { bytes, .. } => bytes,
        }
    }
}
