//! Files that lie: taken apart, changed, and joined with every digest right again.

use unlearn::base::hash::Digest;
use unlearn::format::*;

use super::model::everything;

/// A file taken apart by the letter of `FORMAT.md`, without the code under test.
#[derive(Clone)]
pub struct Parts(pub Vec<(u32, u32, Vec<u8>)>);

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

pub fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl Parts {
    pub fn of(file: &[u8]) -> Self {
        let entries = file[64..].chunks(64).take(half(file, 20) as usize);
        let part = |e: &[u8]| {
            let (start, len) = (word(e, 8) as usize, word(e, 16) as usize);
            (half(e, 0), half(e, 4), file[start..start + len].to_vec())
        };
        Self(entries.map(part).collect())
    }

    pub fn section(&mut self, kind: SectionKind) -> &mut Vec<u8> {
        &mut self.0.iter_mut().find(|(k, ..)| *k == kind.0).unwrap().2
    }

    /// Where the record of a tensor is in the table.
    pub fn record(&mut self, name: &str) -> &mut [u8] {
        let table = self.section(SectionKind::TABLE);
        let count = half(table, 0) as usize;
        let names = 8 + count * 104;
        let at = (0..count).map(|i| 8 + i * 104).find(|&at| {
            let start = names + half(table, at + 8) as usize;
            &table[start..start + table[at + 12] as usize] == name.as_bytes()
        });
        let at = at.unwrap();
        &mut table[at..at + 104]
    }

    /// The file again, every digest of it right.
    pub fn join(&self) -> Vec<u8> {
        let mut file = vec![0; 64 + self.0.len() * 64];
        for (i, (kind, flags, bytes)) in self.0.iter().enumerate() {
            let align = if bytes.len() >= 65536 { 4096 } else { 64 };
            file.resize(file.len().next_multiple_of(align), 0);
            let (entry, start) = (64 + i * 64, file.len() as u64);
            file.extend(bytes);
            file[entry..entry + 4].copy_from_slice(&kind.to_le_bytes());
            file[entry + 4..entry + 8].copy_from_slice(&flags.to_le_bytes());
            file[entry + 8..entry + 16].copy_from_slice(&start.to_le_bytes());
            file[entry + 16..entry + 24].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
            file[entry + 32..entry + 64].copy_from_slice(&Digest::of(bytes).0);
        }
        file[..8].copy_from_slice(&[0x89, 0x45, 0x53, 0x4d, 0x0d, 0x0a, 0x1a, 0x0a]);
        file[8] = 1;
        file[20..24].copy_from_slice(&(self.0.len() as u32).to_le_bytes());
        let len = file.len() as u64;
        file[24..32].copy_from_slice(&len.to_le_bytes());
        seal(file)
    }
}

/// Makes the digest of preamble and directory right again.
pub fn seal(mut file: Vec<u8>) -> Vec<u8> {
    let directory = 64 + half(&file, 20) as usize * 64;
    let parts = [&file[..32], &file[64..directory.min(file.len())]];
    let digest = Digest::of_parts("unlearn esm header, version 1", &parts);
    file[32..64].copy_from_slice(&digest.0);
    file
}

/// Everything a careful reader does.
pub fn read_all(bytes: Vec<u8>) -> Result<(), FormatError> {
    let file = ModelFile::from_bytes(bytes)?;
    file.verify()?;
    for tensor in file.tensors() {
        match tensor.read() {
            Err(FormatError::NeedsBase { .. }) => {}
            other => drop(other?),
        }
    }
    Ok(())
}

pub fn lie(change: impl FnOnce(&mut Parts)) -> String {
    let mut parts = Parts::of(&everything());
    change(&mut parts);
    read_all(parts.join()).expect_err("the lie was believed").to_string()
}

pub fn told(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "`{error}` does not say `{word}`");
    }
}

pub fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

pub fn shorten(bytes: &mut Vec<u8>) {
    bytes.pop();
}

/// Changes the directory or the preamble, and makes their digest right.
pub fn header_lie(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut file = everything();
    change(&mut file);
    read_all(seal(file)).expect_err("the lie was believed").to_string()
}
