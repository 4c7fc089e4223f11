//! Where the values of a set are kept while it is read: in memory, or, beyond a limit, in a file.
//!
//! A loader gives its samples to a [`Gather`] one after another and never asks how many there will
//! be. What is kept in a file ([`Filed`]) is read sample by sample as training asks for it, so that a
//! set may be larger than memory. The file has no name and dies with the set.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::base::scratch::{Scratch, Written};

use super::dataset::Values;
use super::error::DataError;

/// How much of a set may lie in memory, and where the rest may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The most bytes of values that one part of a set may take in memory. Default 1 GiB.
    pub memory: u64,
    /// A folder on whose file system a scratch file takes what is more. Without one, more is refused.
    pub folder: Option<PathBuf>,
}

impl Default for Room {
    fn default() -> Self {
        Self { memory: 1 << 30, folder: None }
    }
}

/// A number that samples are made of.
pub(crate) trait Element: Copy {
    /// Bytes of one in a file.
    const BYTES: usize;
    /// Appends `values`, little-endian.
    fn spell(values: &[Self], out: &mut Vec<u8>);
    /// As the values of a set.
    fn values(all: Vec<Self>) -> Values;
}

impl Element for u8 {
    const BYTES: usize = 1;
    fn spell(values: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(values);
    }
    fn values(all: Vec<Self>) -> Values {
        Values::Bytes(all)
    }
}

impl Element for f32 {
    const BYTES: usize = 4;
    fn spell(values: &[Self], out: &mut Vec<u8>) {
        out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    fn values(all: Vec<Self>) -> Values {
        Values::Floats(all)
    }
}

/// Takes in the values of a part, one sample after another.
pub(crate) struct Gather<T> {
    room: Room,
    held: Vec<T>,
    scratch: Option<Scratch>,
    spelt: Vec<u8>,
}

impl<T: Element> Gather<T> {
    pub(crate) fn new(room: &Room) -> Self {
        Self { room: room.clone(), held: Vec::new(), scratch: None, spelt: Vec::new() }
    }

    /// Appends one sample, or several whole ones.
    pub(crate) fn push(&mut self, values: &[T]) -> Result<(), DataError> {
        if let Some(scratch) = &mut self.scratch {
            self.spelt.clear();
            T::spell(values, &mut self.spelt);
            return Ok(scratch.append(&self.spelt)?);
        }
        self.held.extend_from_slice(values);
        if (self.held.len() * T::BYTES) as u64 <= self.room.memory {
            return Ok(());
        }
        let Some(folder) = &self.room.folder else {
            return Err(DataError::NoRoom { limit: self.room.memory });
        };
        let mut scratch = Scratch::new(folder)?;
        for piece in self.held.chunks(1 << 16) {
            self.spelt.clear();
            T::spell(piece, &mut self.spelt);
            scratch.append(&self.spelt)?;
        }
        self.held = Vec::new();
        self.scratch = Some(scratch);
        Ok(())
    }

    /// All that was taken in.
    pub(crate) fn finish(self) -> Result<Values, DataError> {
        let Some(scratch) = self.scratch else { return Ok(T::values(self.held)) };
        let written = Arc::new(scratch.finish()?);
        let element = if T::BYTES == 1 { Kept::Bytes } else { Kept::Floats };
        Ok(Values::Filed(Filed { written, element, rows: None, fault: Arc::default() }))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Bytes,
    Floats,
}

/// Values in a scratch file. They were checked as they were written.
#[derive(Clone, Debug)]
pub struct Filed {
    written: Arc<Written>,
    element: Kept,
    /// Which samples of the file these are, in order; all of them where there is no list.
    rows: Option<Arc<[u32]>>,
    /// The first failure to read, which [`Filed::trouble`] tells.
    fault: Arc<OnceLock<String>>,
}

impl PartialEq for Filed {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.written, &other.written) && self.rows == other.rows
    }
}

impl Filed {
    /// How many values there are, in samples of `sample_len`.
    pub(super) fn values(&self, sample_len: usize) -> usize {
        match &self.rows {
            Some(rows) => rows.len() * sample_len,
            None => (self.written.len() / self.size()) as usize,
        }
    }

    /// Whether a value is a byte that stands for `byte / 255`.
    pub fn of_bytes(&self) -> bool {
        self.element == Kept::Bytes
    }

    fn size(&self) -> u64 {
        if self.of_bytes() { 1 } else { 4 }
    }

    /// The samples at `indices`, as a view of the same file.
    pub(super) fn subset(&self, indices: &[usize]) -> Self {
        let row = |&index: &usize| match &self.rows {
            Some(rows) => rows[index],
            // A set has at most 2^24 samples.
            None => index as u32,
        };
        Self { rows: Some(indices.iter().map(row).collect()), ..self.clone() }
    }

    /// The bytes of sample `index` as they lie in the file. Zeros where they cannot be read, which
    /// [`Filed::trouble`] then tells.
    pub(super) fn raw(&self, index: usize, sample_len: usize) -> Vec<u8> {
        let row = self.rows.as_ref().map_or(index, |rows| rows[index] as usize);
        let len = sample_len as u64 * self.size();
        let mut bytes = vec![0; len as usize];
        if let Err(fault) = self.written.read(row as u64 * len, &mut bytes) {
            bytes.fill(0);
            let _ = self.fault.set(fault.to_string());
        }
        bytes
    }

    /// Sample `index` as floats.
    pub(super) fn read(&self, index: usize, out: &mut [f32]) {
        let bytes = self.raw(index, out.len());
        match self.element {
            Kept::Bytes => {
                for (to, from) in out.iter_mut().zip(bytes) {
                    *to = f32::from(from) / 255.0;
                }
            }
            Kept::Floats => {
                for (to, from) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *to = f32::from_le_bytes(*from);
                }
            }
        }
    }

    /// All values, in memory.
    pub(super) fn held(&self, samples: usize, sample_len: usize) -> Result<Values, DataError> {
        let raw = (0..samples).flat_map(|index| self.raw(index, sample_len));
        let values = match self.element {
            Kept::Bytes => Values::Bytes(raw.collect()),
            Kept::Floats => {
                let bytes: Vec<u8> = raw.collect();
                let words = bytes.as_chunks::<4>().0;
                Values::Floats(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
            }
        };
        self.trouble().map(|()| values)
    }

    /// An error if any sample could not be read since the set was opened.
    pub(super) fn trouble(&self) -> Result<(), DataError> {
        match self.fault.get() {
            None => Ok(()),
            Some(fault) => Err(DataError::Lost { fault: fault.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    /// `values` in samples of 5, in memory and in a file.
    fn both<T: Element>(values: &[T]) -> [Dataset; 2] {
        let set = |values: Values| Dataset {
            shape: [1, 1, 5],
            values,
            labels: vec![0; 40],
            classes: vec!["a".into()],
            subjects: Vec::new(),
            subject_names: Vec::new(),
            groups: Vec::new(),
        };
        let small = Room { memory: 17, folder: Some("/tmp".into()) };
        [Room::default(), small].map(|room| {
            let mut gather = Gather::new(&room);
            values.chunks(5).for_each(|sample| gather.push(sample).unwrap());
            set(gather.finish().unwrap())
        })
    }

    #[test]
    fn a_set_in_a_file_is_the_set_in_memory() {
        let bytes: Vec<u8> = (0..200).collect();
        let floats: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) * 0.37 - 9.0).collect();
        for [held, filed] in [both(&bytes), both(&floats)] {
            assert!(matches!(filed.values, Values::Filed(_)), "it fits in 17 bytes");
            filed.check().unwrap();
            assert_eq!(held.digest(), filed.digest());
            assert_eq!(held, filed.held().unwrap());
            let part = [7, 3, 39, 3];
            let (held, filed) = (held.subset(&part), filed.subset(&part).subset(&[0, 1, 2, 3]));
            filed.check().unwrap();
            assert_eq!(held.digest(), filed.digest());
            let (mut a, mut b) = ([0.0; 5], [1.0; 5]);
            for index in 0..4 {
                held.read(index, &mut a);
                filed.read(index, &mut b);
                assert_eq!(a, b);
            }
            filed.trouble().unwrap();
        }
    }

    #[test]
    fn a_sample_that_cannot_be_read_is_told() {
        let [_, filed] = both(&[1u8; 200]);
        let Values::Filed(filed) = filed.values else { unreachable!() };
        filed.trouble().unwrap();
        assert!(matches!(filed.held(41, 5), Err(DataError::Lost { .. })));
        assert!(matches!(filed.trouble(), Err(DataError::Lost { .. })));
    }

    #[test]
    fn more_than_fits_needs_a_folder() {
        let mut gather = Gather::new(&Room { memory: 10, folder: None });
        gather.push(&[0u8; 10]).unwrap();
        assert!(matches!(gather.push(&[0u8; 1]), Err(DataError::NoRoom { limit: 10 })));
    }
}
