//! What every way of an erasure ends with, in seconds: stopped, decided, shredded, told and tidied up.
//!
//! Two parts count. Durable writes: journal, keyring, device keys, receipt, each with a sync; one as large
//! as the keyring is timed, and they are counted. And the compaction of the index, which grows with what is
//! kept and not with what goes: seconds a byte of records as the last one here took. Before the first, the
//! index is taken to be read and written once.

use super::error::HomeError;
use super::home::Home;
use super::slot;
use crate::base::clock::Stopwatch;
use crate::vault::Key;

/// Durable writes of an erasure: stop, its mark, decision and its keys; two rotations, each of a key, the
/// keyring and a removal; the records gone, in two phases; four notes, a receipt, an empty journal.
const WRITES: f64 = 18.0;
/// Durable writes with which a compaction begins and ends, however small the index is.
const TIDYING: f64 = 6.0;
/// How often a small write is timed; a large one once.
const TIMED: usize = 2;
/// Bytes of the piece by which the speed of writing is measured, where that is not known.
const PIECE: usize = 1 << 20;

impl Home {
    /// Seconds of what every way ends with; `scan` are those of going once through the index.
    pub(super) fn settling_seconds(&mut self, scan: f64) -> Result<f64, HomeError> {
        let keyring = self.state.encode()?.len() + 48 * self.keyring.people().count();
        let write = self.time_writing(keyring, TIMED)?;
        let records = self.store()?.count()?.bytes as f64;
        let compacting = match self.state.compacting {
            0.0 if records > 0.0 => {
                let piece = self.time_writing(PIECE, 1)?;
                scan + (piece - write).max(0.0) * records / PIECE as f64
            }
            known => known * records,
        };
        Ok(WRITES * write + TIDYING * write + compacting)
    }

    /// Seconds of writing so many bytes, durably, the mean of `times`. Nothing where the disk refuses.
    fn time_writing(&mut self, bytes: usize, times: usize) -> Result<f64, HomeError> {
        // Whatever lies in this folder without a key is swept.
        let path = self.folder.join("slots").join("measure.work");
        let (key, noise) = (Key::fresh()?, vec![0; bytes]);
        let watch = Stopwatch::start();
        for _ in 0..times {
            if slot::write(self.disk.as_mut(), &path, &key, &noise).is_err() {
                return Ok(0.0);
            }
        }
        let seconds = watch.seconds() / times as f64;
        self.disk.remove(&path)?;
        Ok(seconds)
    }

    /// Gives freed pages of the index back to the disk, and notes how long that took.
    pub(super) fn compact_timed(&mut self) -> Result<(), HomeError> {
        let records = self.store()?.count()?.bytes;
        let watch = Stopwatch::start();
        self.compact()?;
        if records > 0 {
            // Kept with the next state: it only foretells.
            self.state.compacting = watch.seconds() / records as f64;
        }
        Ok(())
    }
}
