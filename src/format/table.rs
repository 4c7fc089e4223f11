//! The tensor table: every record held against the others and against the sections.

use super::error::FormatError;
use super::limits::{MAX_TENSORS, payload_start};
use super::record::{RECORD, RawRecord, Record, name_hash};
use super::types::{Kind, Section, SectionKind};
use crate::base::bytes::{Reader, ShortRead};

const HEAD: usize = 8;

/// A checked table.
///
/// Names differ, order numbers are `0..len`, each payload lies inside its section where the rule
/// puts it, and a mask that is another tensor's is that of a tensor with a mask of its own.
#[derive(Debug)]
pub(crate) struct Table {
    /// In the order of the file: by hash of the name.
    records: Vec<Record>,
    /// Where in `records` the tensor of each order number is.
    order: Vec<u32>,
}

/// Gives each payload its place, tensor by tensor in arena order.
#[derive(Default)]
pub(crate) struct Placer {
    pub(crate) masks: u64,
    pub(crate) packed: u64,
    pub(crate) dense: u64,
}

impl Placer {
    /// Where the values and the mask of the next tensor start, in their sections.
    pub(crate) fn place(&mut self, record: &Record) -> Option<(u64, u64)> {
        let dense = record.kind == Kind::Dense;
        let values_end = if dense { &mut self.dense } else { &mut self.packed };
        let values_at = next(values_end, record.values_len())?;
        let mask_at = next(&mut self.masks, record.mask_len())?;
        Some((values_at, mask_at))
    }
}

/// A payload without bytes has no place, and its offset is 0.
fn next(end: &mut u64, len: u64) -> Option<u64> {
    if len == 0 {
        return Some(0);
    }
    let start = payload_start(*end, len)?;
    *end = start.checked_add(len)?;
    Some(start)
}

impl Table {
    /// Holds the table in `bytes`, which is the section at `at`, against all `sections`.
    pub(crate) fn check(bytes: &[u8], at: u64, sections: &[Section]) -> Result<Self, FormatError> {
        let short = |_: ShortRead| claim(at, "the length of the table", bytes.len() as u64, 8);
        let mut reader = Reader::new(bytes);
        let count = reader.u32().map_err(short)?;
        let names = reader.u32().map_err(short)?;
        if count > MAX_TENSORS {
            let (section, what) = (SectionKind::TABLE, "the number of tensors");
            let (claimed, most) = (count.into(), MAX_TENSORS.into());
            return Err(FormatError::TooMuch { section, offset: at, what, claimed, most });
        }
        let expected = HEAD as u64 + u64::from(count) * RECORD as u64 + u64::from(names);
        if bytes.len() as u64 != expected {
            return Err(claim(at, "the length of the table", bytes.len() as u64, expected));
        }
        // From here on the counts are backed by bytes.
        let records = read_records(bytes, at, count as usize)?;
        let order = read_order(&records, at)?;
        let table = Self { records, order };
        table.check_places(at, sections)?;
        table.check_masks(at)?;
        Ok(table)
    }

    /// Tensors in arena order.
    pub(crate) fn in_order(&self) -> impl ExactSizeIterator<Item = &Record> {
        self.order.iter().map(|&i| &self.records[i as usize])
    }

    /// The tensor with this order number.
    pub(crate) fn of_order(&self, order: u32) -> Option<&Record> {
        self.order.get(order as usize).map(|&i| &self.records[i as usize])
    }

    /// The tensor of this name, by binary search.
    pub(crate) fn find(&self, name: &str) -> Option<&Record> {
        let key = (name_hash(name), name);
        let found = self.records.binary_search_by(|r| (name_hash(&r.name), &*r.name).cmp(&key));
        found.ok().map(|i| &self.records[i])
    }

    fn check_places(&self, at: u64, sections: &[Section]) -> Result<(), FormatError> {
        let mut placer = Placer::default();
        for record in self.in_order() {
            let fault = |what, claimed, expected| FormatError::TensorClaim {
                tensor: record.name.to_string(),
                offset: at,
                what,
                claimed,
                expected,
            };
            let overflow = || fault("the end of its payload", u64::MAX, u64::MAX - 1);
            let (values_at, mask_at) = placer.place(record).ok_or_else(overflow)?;
            if record.values_at != values_at {
                return Err(fault("the offset of its values", record.values_at, values_at));
            }
            if record.mask_at != mask_at {
                return Err(fault("the offset of its mask", record.mask_at, mask_at));
            }
        }
        let ends = [
            (SectionKind::MASKS, placer.masks),
            (SectionKind::PACKED, placer.packed),
            (SectionKind::DENSE, placer.dense),
        ];
        for (section, expected) in ends {
            let found = sections.iter().find(|s| s.kind == section);
            let claimed = found.map_or(0, |s| s.len);
            if claimed != expected {
                let (offset, what) = (found.map_or(at, |s| s.offset), "length");
                return Err(FormatError::Claim { section, offset, what, claimed, expected });
            }
        }
        Ok(())
    }

    fn check_masks(&self, at: u64) -> Result<(), FormatError> {
        for record in &self.records {
            let Kind::SameAs { order } = record.kind else { continue };
            let rule = |rule| {
                Err(FormatError::TensorRule { tensor: record.name.to_string(), offset: at, rule })
            };
            let Some(other) = self.of_order(order) else {
                return rule("its mask is that of a tensor that is not there");
            };
            if matches!(other.kind, Kind::SameAs { .. } | Kind::OfBase | Kind::Dense) {
                return rule(
                    "its mask is that of a tensor that has no mask of its own in this file",
                );
            }
            if (other.numel, other.nnz) != (record.numel, record.nnz) {
                return rule("its mask is that of a tensor of another size");
            }
        }
        Ok(())
    }
}

fn claim(offset: u64, what: &'static str, claimed: u64, expected: u64) -> FormatError {
    FormatError::Claim { section: SectionKind::TABLE, offset, what, claimed, expected }
}

/// Reads `count` records, which `bytes` has, and their names, which follow without gap.
fn read_records(bytes: &[u8], at: u64, count: usize) -> Result<Vec<Record>, FormatError> {
    let (table, names) = bytes.split_at(HEAD + count * RECORD);
    let mut names = Reader::new(names);
    let mut records: Vec<Record> = Vec::with_capacity(count);
    for (i, bytes) in table[HEAD..].chunks_exact(RECORD).enumerate() {
        let offset = at + (HEAD + i * RECORD) as u64;
        let short = |e: ShortRead| claim(offset, "the end of a name", e.offset + e.wanted, e.end);
        let raw = RawRecord::read(&mut Reader::new(bytes)).map_err(short)?;
        let expected = names.position() as u64;
        if u64::from(raw.name_at) != expected {
            return Err(claim(offset, "the offset of a name", raw.name_at.into(), expected));
        }
        let name = names.take(raw.name_len.into()).map_err(short)?;
        let record = raw.check(name, offset)?;
        if let Some(before) = records.last() {
            check_sorted(before, &record, offset)?;
        }
        records.push(record);
    }
    if names.remaining() != 0 {
        return Err(claim(at, "the number of bytes after the names", names.remaining() as u64, 0));
    }
    Ok(records)
}

fn check_sorted(before: &Record, record: &Record, offset: u64) -> Result<(), FormatError> {
    let (hash, hash_before) = (name_hash(&record.name), name_hash(&before.name));
    match (hash_before, &before.name).cmp(&(hash, &record.name)) {
        std::cmp::Ordering::Less => Ok(()),
        std::cmp::Ordering::Equal => Err(FormatError::Duplicate {
            section: SectionKind::TABLE,
            name: record.name.to_string(),
        }),
        std::cmp::Ordering::Greater => {
            Err(claim(offset, "the hash of a name, which must ascend,", hash, hash_before))
        }
    }
}

/// Where the tensor of each order number is; the numbers must be `0..len`, each once.
fn read_order(records: &[Record], at: u64) -> Result<Vec<u32>, FormatError> {
    const NONE: u32 = u32::MAX;
    let mut order = vec![NONE; records.len()];
    for (record, i) in records.iter().zip(0u32..) {
        match order.get_mut(record.order as usize) {
            Some(place) if *place == NONE => *place = i,
            _ => {
                let (tensor, claimed) = (record.name.to_string(), record.order.into());
                let what = "its order number, which must be below the count and its own,";
                let expected = order.iter().position(|i| *i == NONE).unwrap_or(0) as u64;
                return Err(FormatError::TensorClaim {
                    tensor,
                    offset: at,
                    what,
                    claimed,
                    expected,
                });
            }
        }
    }
    Ok(order)
}
