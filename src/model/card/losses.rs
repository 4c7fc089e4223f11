//! Losses that the device still computes, while the next batch is laid out.

use std::collections::VecDeque;

use super::memory::Places;
use crate::sparse::Loss;
use crate::sparse::cuda::{CudaError, Fetched, Machine};

/// What stands for a loss after a failure.
pub(super) const NO_LOSS: Loss = Loss { sum: f64::NAN, correct: 0 };

/// Copies that are under way at once.
const WAITING: usize = 8;
/// Sums that nobody asked for yet.
const KEPT: usize = 64;

/// What was asked for, by ticket. Tickets rise; pieces of a batch have one ticket, and their losses are added
/// up in order.
#[derive(Default)]
pub(super) struct Losses {
    waiting: VecDeque<Waiting>,
    known: VecDeque<(u64, Loss)>,
    /// What came last, whose memory every copy uses again.
    bytes: Vec<u8>,
}

struct Waiting {
    ticket: u64,
    samples: usize,
    fetched: Fetched,
}

/// Bytes of the losses, then of what was named rightly: one copy.
pub(super) fn bytes(places: &Places, samples: usize) -> usize {
    (places.right.0 - places.losses.0) as usize + 4 * samples
}

/// The loss that these bytes of `samples` samples say.
pub(super) fn read(bytes: &[u8], samples: usize) -> Loss {
    let (losses, right) = bytes.split_at(bytes.len() - 4 * samples);
    let losses = losses.as_chunks::<8>().0.iter().take(samples);
    let right = right.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    let sum = losses.map(|bytes| f64::from_le_bytes(*bytes)).sum();
    Loss { sum, correct: right.sum::<u32>() as usize }
}

impl Losses {
    /// Asks for the losses that what was launched last writes.
    pub fn ask(
        &mut self,
        machine: &mut dyn Machine,
        places: &Places,
        samples: usize,
        ticket: u64,
    ) -> Result<(), CudaError> {
        if self.waiting.len() == WAITING {
            self.hear(machine, places)?;
        }
        let fetched = machine.fetch(places.losses, bytes(places, samples))?;
        self.waiting.push_back(Waiting { ticket, samples, fetched });
        Ok(())
    }

    /// Waits for the oldest.
    fn hear(&mut self, machine: &mut dyn Machine, places: &Places) -> Result<(), CudaError> {
        let Some(Waiting { ticket, samples, fetched }) = self.waiting.pop_front() else {
            return Ok(());
        };
        self.bytes.resize(bytes(places, samples), 0);
        machine.collect(fetched, &mut self.bytes)?;
        let loss = read(&self.bytes, samples);
        match self.known.back_mut() {
            Some((last, sum)) if *last == ticket => {
                sum.sum += loss.sum;
                sum.correct += loss.correct;
            }
            _ => {
                if self.known.len() == KEPT {
                    self.known.pop_front();
                }
                self.known.push_back((ticket, loss));
            }
        }
        Ok(())
    }

    /// Waits for the loss of a ticket; those of earlier ones are forgotten. `None` of one that was not asked
    /// for, or forgotten.
    pub fn take(
        &mut self,
        machine: &mut dyn Machine,
        places: &Places,
        ticket: u64,
    ) -> Result<Option<Loss>, CudaError> {
        while self.waiting.front().is_some_and(|waiting| waiting.ticket <= ticket) {
            self.hear(machine, places)?;
        }
        while self.known.front().is_some_and(|(known, _)| *known < ticket) {
            self.known.pop_front();
        }
        let found = self.known.front().is_some_and(|(known, _)| *known == ticket);
        Ok(found.then(|| self.known.pop_front()).flatten().map(|(_, loss)| loss))
    }

    /// Forgets everything, and gives back what holds copies.
    pub fn drain(&mut self, machine: &mut dyn Machine) {
        for Waiting { fetched, .. } in self.waiting.drain(..) {
            machine.abandon(fetched);
        }
        self.known.clear();
    }
}
