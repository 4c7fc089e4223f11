//! Checked reads of little-endian bytes: no read past the end, no panic, no copy of what is read.

use thiserror::Error;

/// Bytes were asked for that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{wanted} bytes were wanted at offset {offset}, but the bytes end at {end}")]
pub struct ShortRead {
    /// Where the read began, in bytes from the start.
    pub offset: u64,
    /// How many bytes were asked for.
    pub wanted: u64,
    /// Where the bytes end.
    pub end: u64,
}

/// Reads numbers and slices from the front of a slice, and never past its end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `len` bytes, borrowed. After an error the position is as before.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], ShortRead> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..len) else {
            let (offset, wanted) = (self.at as u64, len as u64);
            return Err(ShortRead { offset, wanted, end: self.bytes.len() as u64 });
        };
        self.at += len;
        Ok(taken)
    }

    /// The next `N` bytes, copied.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], ShortRead> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, ShortRead> {
        Ok(self.array::<1>()?[0])
    }

    /// The next two bytes as a number.
    pub fn u16(&mut self) -> Result<u16, ShortRead> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// The next four bytes as a number.
    pub fn u32(&mut self) -> Result<u32, ShortRead> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next eight bytes as a number.
    pub fn u64(&mut self) -> Result<u64, ShortRead> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_little_endian_and_in_order() {
        let mut reader = Reader::new(&[1, 2, 1, 3, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0, 1, 9]);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(0x0102));
        assert_eq!(reader.u32(), Ok(0x0100_0003));
        assert_eq!(reader.u64(), Ok(0x0100_0000_0000_0004));
        assert_eq!((reader.take(1), reader.remaining()), (Ok(&[9][..]), 0));
    }

    #[test]
    fn a_read_past_the_end_is_refused_and_moves_nothing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u32(), Err(ShortRead { offset: 1, wanted: 4, end: 3 }));
        assert_eq!(reader.take(usize::MAX).unwrap_err().wanted, u64::MAX);
        assert_eq!(reader.u16(), Ok(0x0302));
    }
}
