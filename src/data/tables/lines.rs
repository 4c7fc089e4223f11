//! The lines of a CSV file, as fields, within stated bounds.
//!
//! What separates fields and how quotes work is the business of `csv-core`. We use it rather than `csv`
//! on top of it because it writes into buffers of ours: a field or a line without an end, compressed or
//! not, meets a limit and not the end of memory.

use std::ops::Range;
use std::path::Path;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::data::error::DataError;
use crate::data::packed::Packed;

use super::error::TableError;

/// The most bytes of one line.
const MAX_LINE: usize = 1 << 25;
/// The most columns.
const MAX_COLUMNS: usize = 1 << 20;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;

/// A table that is read line by line.
pub(super) struct Lines {
    packed: Packed,
    reader: Reader,
    /// What was read and not parsed yet is `input[at..]`.
    input: Vec<u8>,
    at: usize,
    /// The fields of the line, without what separates them, one after another.
    fields: Vec<u8>,
    /// Where each field ends in `fields`.
    ends: Vec<usize>,
    /// How many there are.
    count: usize,
    /// The last byte of input that was parsed.
    last: u8,
}

impl Lines {
    /// Opens a table. Its fields are separated by tabs if it is called so, else by commas.
    pub(super) fn open(file: &Path) -> Result<Self, DataError> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let delimiter = if name.contains(".tsv") { b'\t' } else { b',' };
        Ok(Self {
            packed: Packed::open(file)?,
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            input: Vec::new(),
            at: 0,
            fields: vec![0; 1 << 12],
            ends: vec![0; 1 << 8],
            count: 0,
            last: 0,
        })
    }

    /// The file that is read.
    pub(super) fn file(&self) -> &Path {
        self.packed.file()
    }

    /// Goes to the next line that is not empty. `false` at the end of the file.
    pub(super) fn advance(&mut self) -> Result<bool, DataError> {
        let (mut written, mut ended) = (0, 0);
        loop {
            if self.at == self.input.len() {
                self.packed.refill(BUFFER, &mut self.input)?;
                self.at = 0;
            }
            let input = &self.input[self.at..];
            let (fields, ends) = (&mut self.fields[written..], &mut self.ends[ended..]);
            let (result, read, wrote, ends) = self.reader.read_record(input, fields, ends);
            // What only the end of the file ended has no end of its own.
            self.last = read.checked_sub(1).map_or(0, |before| input[before]);
            self.at += read;
            written += wrote;
            ended += ends;
            self.count = ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    let len = self.grown(self.fields.len(), MAX_LINE, "bytes in a line")?;
                    self.fields.resize(len, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    let len = self.grown(self.ends.len(), MAX_COLUMNS, "columns")?;
                    self.ends.resize(len, 0);
                }
                ReadRecordResult::Record => return Ok(true),
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    fn grown(&self, len: usize, limit: usize, what: &'static str) -> Result<usize, DataError> {
        if len < limit {
            return Ok(len * 2);
        }
        let (file, line) = (self.file().to_path_buf(), self.reader.line());
        Err(TableError::TooMany { file, line, what, limit }.into())
    }

    /// How many fields the line has.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// All fields of the line, one after another.
    pub(super) fn all(&self) -> &[u8] {
        &self.fields[..self.count.checked_sub(1).map_or(0, |last| self.ends[last])]
    }

    /// Where field `column` lies in [`Lines::all`].
    pub(super) fn range(&self, column: usize) -> Range<usize> {
        column.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[column]
    }

    /// Field `column` of the line, without spaces around it.
    pub(super) fn field(&self, column: usize) -> &[u8] {
        self.fields[self.range(column)].trim_ascii()
    }

    /// The number of the line, counted from 1: its first where quotes hold several together.
    pub(super) fn line(&self) -> u64 {
        let inside = self.all().iter().filter(|&&byte| byte == b'\n').count() as u64;
        // The reader has counted the end of this line if it has passed over it.
        let passed = u64::from(self.last == b'\n');
        self.reader.line().saturating_sub(inside + passed)
    }
}
