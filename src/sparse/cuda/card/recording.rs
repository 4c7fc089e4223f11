//! Launches of a card that are recorded once and run many times.

#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::ptr::null_mut;

use cudarc::driver::sys::{CUgraphExec, CUstreamCaptureMode};

use super::Card;
use crate::sparse::cuda::error::CudaError;
use crate::sparse::cuda::machine::{Address, Machine, Recording};

/// A recording that can be replayed.
pub(super) struct Graph {
    pub(super) ready: CUgraphExec,
    /// The allocations that it works on.
    pub(super) uses: BTreeSet<u64>,
}

/// A recording that has not ended.
#[derive(Default)]
pub(super) struct Capture {
    pub(super) uses: BTreeSet<u64>,
    /// What could not be recorded.
    pub(super) fault: Option<String>,
    /// What is to be given back and forgotten when it has ended.
    pub(super) released: Vec<Address>,
    forgotten: Vec<Recording>,
}

impl Card {
    /// What fails while launches are recorded spoils the recording.
    pub(super) fn noted(&mut self, result: Result<(), CudaError>) -> Result<(), CudaError> {
        if let (Err(error), Some(capture)) = (&result, &mut self.capture) {
            capture.fault.get_or_insert(error.to_string());
        }
        result
    }

    /// See [`Machine::record`].
    pub(super) fn begin(&mut self) -> Result<(), CudaError> {
        self.apart("begin another recording")?;
        // Relaxed: what must not happen meanwhile is refused here, and a recording may go to another thread.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream is the card's, and its context current.
        let code = unsafe { (self.driver.call.cuStreamBeginCapture_v2)(self.stream, mode) };
        match self.done(code, "record") {
            Ok(()) => self.capture = Some(Capture::default()),
            Err(CudaError::Driver { code, .. }) => return Err(CudaError::NoRecording { code }),
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// See [`Machine::recorded`].
    pub(super) fn end(&mut self) -> Result<Recording, CudaError> {
        if self.capture.is_none() {
            self.bind()?;
            let code = "no recording was begun".into();
            return Err(CudaError::NoRecording { code });
        }
        let ready = self.captured();
        // From here on nothing is recorded, whatever became of it.
        let capture = self.capture.take().unwrap_or_default();
        let number = self.next;
        let made = ready.map(|ready| {
            self.next += 1;
            self.graphs.insert(number, Graph { ready, uses: capture.uses });
        });
        capture.forgotten.into_iter().for_each(|recording| self.forget(recording));
        capture.released.into_iter().for_each(|address| self.release(address));
        // What spoilt it says more than what came of that.
        if let Some(code) = capture.fault {
            self.forget(Recording(number));
            return Err(CudaError::NoRecording { code });
        }
        made.map(|()| Recording(number))
    }

    /// See [`Machine::replay`].
    pub(super) fn run(&mut self, recording: Recording) -> Result<(), CudaError> {
        self.apart("replay a recording")?;
        let Some(graph) = self.graphs.get(&recording.0) else {
            let code = "it was forgotten, or memory that it works on was given back".into();
            return Err(CudaError::NoRecording { code });
        };
        // SAFETY: it was made by `captured` in this context, and all memory that it works on is still allocated.
        let code = unsafe { (self.driver.call.cuGraphLaunch)(graph.ready, self.stream) };
        self.done(code, "replay a recording")
    }

    /// See [`Machine::forget`].
    pub(super) fn drop_recording(&mut self, recording: Recording) {
        if let Some(capture) = &mut self.capture {
            capture.forgotten.push(recording);
        } else if let Some(graph) = self.graphs.remove(&recording.0) {
            self.destroy(&graph);
        }
    }

    /// Ends the capture of the stream. What was captured, ready to run.
    fn captured(&self) -> Result<CUgraphExec, CudaError> {
        let refused = |error| match error {
            CudaError::Driver { what, code } => {
                CudaError::NoRecording { code: format!("{code} ({what})") }
            }
            other => other,
        };
        self.bind()?;
        let call = &self.driver.call;
        let (mut graph, mut ready) = (null_mut(), null_mut());
        // SAFETY: `graph` is a place for one handle; the stream is the card's and is being captured.
        let code = unsafe { (call.cuStreamEndCapture)(self.stream, &raw mut graph) };
        let ended = self.done(code, "end a recording").map_err(refused);
        let made = ended.and_then(|()| {
            // SAFETY: `ready` is a place for one handle; the graph was made above.
            let code = unsafe { (call.cuGraphInstantiateWithFlags)(&raw mut ready, graph, 0) };
            self.done(code, "prepare a recording").map_err(refused)
        });
        if !graph.is_null() {
            // SAFETY: the graph was made above and nobody else has it; what is ready needs it no more.
            let _ = unsafe { (call.cuGraphDestroy)(graph) };
        }
        made.map(|()| ready)
    }

    /// Destroys what was recorded, once it does not run.
    fn destroy(&mut self, graph: &Graph) {
        if self.bind().is_ok() && self.settle().is_ok() {
            // SAFETY: it was made by `captured`, is in no list any more, and does not run.
            let _ = unsafe { (self.driver.call.cuGraphExecDestroy)(graph.ready) };
        }
    }
}
