//! The numbers of a tensor, wherever an ONNX file keeps them.

use std::collections::BTreeMap;

use half::{bf16, f16};

use super::message::Tensor;
use super::wire::{Field, Wire};
use crate::base::disk::DiskError;
use crate::exchange::error::ExchangeFault;
use crate::exchange::state::{each, finite};

const FLOAT: i64 = 1;
const INT32: i64 = 6;
const INT64: i64 = 7;
const FLOAT16: i64 = 10;
const DOUBLE: i64 = 11;
const BFLOAT16: i64 = 16;
/// Types of weights.
const KNOWN: &str = "FLOAT, FLOAT16, BFLOAT16 and DOUBLE";
/// The most whole numbers of a tensor: they are sides, axes and places, not weights.
const MOST_WHOLE: usize = 1024;

/// Gives the whole bytes of a file beside the model, by the name that the model uses.
pub type Beside<'a> = dyn Fn(&str) -> Result<Vec<u8>, DiskError> + 'a;

/// Files beside the model, each read once.
pub(super) struct Files<'a> {
    beside: &'a Beside<'a>,
    read: BTreeMap<String, Vec<u8>>,
}

impl<'a> Files<'a> {
    pub(super) fn new(beside: &'a Beside<'a>) -> Self {
        Self { beside, read: BTreeMap::new() }
    }

    /// The bytes that `tensor` keeps in another file.
    fn bytes(&mut self, tensor: &Tensor<'_>, len: Option<usize>) -> Result<&[u8], ExchangeFault> {
        let key = |key| tensor.external.get(key).copied();
        let location = key("location").unwrap_or_default();
        let wrong = |what: String| ExchangeFault::External {
            tensor: tensor.name.to_owned(),
            location: location.to_owned(),
            what,
        };
        let number = |word, default: Option<usize>| match key(word) {
            None => Ok(default),
            Some(text) => match text.parse::<usize>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(wrong(format!("its {word} `{text}` is no number"))),
            },
        };
        let begin = number("offset", Some(0))?.unwrap_or(0);
        let len = number("length", len)?.ok_or_else(|| wrong("it has no length".into()))?;
        // A name, no path: what lies elsewhere is not part of the model.
        if location.is_empty() || location.contains(['/', '\\']) || location.starts_with('.') {
            return Err(wrong("only a file in the folder of the model is read".into()));
        }
        if !self.read.contains_key(location) {
            let bytes = (self.beside)(location).map_err(|source| ExchangeFault::ExternalDisk {
                tensor: tensor.name.to_owned(),
                source,
            })?;
            self.read.insert(location.to_owned(), bytes);
        }
        let have = self.read.get(location).map_or(&[][..], Vec::as_slice);
        begin.checked_add(len).and_then(|end| have.get(begin..end)).ok_or_else(|| {
            wrong(format!("it claims {len} bytes at {begin}, the file has {}", have.len()))
        })
    }
}

impl Tensor<'_> {
    /// Its sides.
    pub(super) fn shape(&self) -> Result<Vec<usize>, ExchangeFault> {
        let side = |&side: &i64| usize::try_from(side).ok();
        let shape: Option<Vec<usize>> = self.dims.iter().map(side).collect();
        shape.ok_or_else(|| self.wrong(format!("a side of {:?} is negative", self.dims)))
    }

    fn count(&self) -> Result<usize, ExchangeFault> {
        let count = self.shape()?.iter().try_fold(1usize, |count, &side| count.checked_mul(side));
        count.ok_or_else(|| self.wrong(format!("its sides {:?} make too many values", self.dims)))
    }

    /// Its values, all finite.
    pub(super) fn floats(&self, files: &mut Files<'_>) -> Result<Vec<f32>, ExchangeFault> {
        let count = self.count()?;
        let size = match self.kind {
            FLOAT => 4,
            DOUBLE => 8,
            FLOAT16 | BFLOAT16 => 2,
            kind => {
                let (tensor, found) = (self.name.to_owned(), kind_name(kind));
                return Err(ExchangeFault::Dtype { tensor, found, known: KNOWN });
            }
        };
        let len = count.checked_mul(size);
        let whole = |bytes: &[u8]| match len == Some(bytes.len()) {
            true => Ok(self.of_bytes(bytes)),
            false => {
                let (have, dims) = (bytes.len(), &self.dims);
                Err(self.wrong(format!(
                    "it has {have} bytes for the sides {dims:?} of {size} bytes each"
                )))
            }
        };
        let values = if self.is_external {
            whole(files.bytes(self, len)?)?
        } else if let Some(raw) = &self.raw {
            whole(raw.bytes)?
        } else {
            self.of_fields()?
        };
        if values.len() != count {
            let (have, dims) = (values.len(), &self.dims);
            return Err(self.wrong(format!("it has {have} values for the sides {dims:?}")));
        }
        finite(self.name, values)
    }

    fn of_bytes(&self, bytes: &[u8]) -> Vec<f32> {
        match self.kind {
            DOUBLE => each(bytes, |b| f64::from_le_bytes(b) as f32),
            FLOAT16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            BFLOAT16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            _ => each(bytes, f32::from_le_bytes),
        }
    }

    /// Values that stand in fields of numbers: `float_data`, `double_data`, or, as bits of halves,
    /// `int32_data`.
    fn of_fields(&self) -> Result<Vec<f32>, ExchangeFault> {
        let mut values = Vec::new();
        for field in self.whole.fields() {
            let field = field?;
            match (field.number, self.kind) {
                (4, FLOAT) => values.extend(packed(field, f32::from_le_bytes)?),
                (10, DOUBLE) => values.extend(packed(field, |b| f64::from_le_bytes(b) as f32)?),
                (5, FLOAT16 | BFLOAT16) => {
                    let mut bits = Vec::new();
                    let most = field.bytes().map_or(1, |message| message.bytes.len());
                    field.ints(&mut bits, most)?;
                    // Halves stand in the lower bits of each number.
                    let half = |bits: i64| match self.kind {
                        FLOAT16 => f16::from_bits(bits as u16).to_f32(),
                        _ => bf16::from_bits(bits as u16).to_f32(),
                    };
                    values.extend(bits.into_iter().map(half));
                }
                (4 | 5 | 7 | 10, _) => {
                    return Err(self.wrong("its values are of another type than it claims".into()));
                }
                _ => {}
            }
        }
        Ok(values)
    }

    /// Its whole numbers.
    pub(super) fn ints(&self) -> Result<Vec<i64>, ExchangeFault> {
        let count = self.count()?;
        if count > MOST_WHOLE || self.is_external || ![INT32, INT64].contains(&self.kind) {
            let found = kind_name(self.kind);
            return Err(self.wrong(format!(
                "whole numbers (INT64, at most {MOST_WHOLE}, in the file) are expected, found {count} of {found}"
            )));
        }
        let mut values = Vec::new();
        match (&self.raw, self.kind) {
            (Some(raw), INT64) => {
                values.extend(raw.bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)));
            }
            (Some(raw), _) => {
                let chunks = raw.bytes.as_chunks().0.iter();
                values.extend(chunks.map(|b| i64::from(i32::from_le_bytes(*b))));
            }
            (None, _) => {
                for field in self.whole.fields() {
                    let field = field?;
                    if [5, 7].contains(&field.number) {
                        field.ints(&mut values, MOST_WHOLE)?;
                    }
                }
            }
        }
        match values.len() == count {
            true => Ok(values),
            false => {
                let (have, dims) = (values.len(), &self.dims);
                Err(self.wrong(format!("it has {have} values for the sides {dims:?}")))
            }
        }
    }

    fn wrong(&self, what: String) -> ExchangeFault {
        ExchangeFault::Tensor { tensor: self.name.to_owned(), what }
    }
}

/// The numbers of `N` bytes each that `field` holds, one or packed.
fn packed<const N: usize>(
    field: Field<'_>,
    of: impl Fn([u8; N]) -> f32,
) -> Result<Vec<f32>, ExchangeFault> {
    let single: &[u8] = match &field.wire {
        Wire::Four(bytes) => bytes,
        Wire::Eight(bytes) => bytes,
        Wire::Varint(_) => &[],
        Wire::Bytes(message) => message.bytes,
    };
    match single.len().is_multiple_of(N) && !matches!(field.wire, Wire::Varint(_)) {
        true => Ok(each(single, of)),
        false => {
            let what = "numbers of a tensor are cut short";
            Err(ExchangeFault::Wire { offset: field.offset, what })
        }
    }
}

fn kind_name(kind: i64) -> String {
    const NAMES: [&str; 17] = [
        "UNDEFINED",
        "FLOAT",
        "UINT8",
        "INT8",
        "UINT16",
        "INT16",
        "INT32",
        "INT64",
        "STRING",
        "BOOL",
        "FLOAT16",
        "DOUBLE",
        "UINT32",
        "UINT64",
        "COMPLEX64",
        "COMPLEX128",
        "BFLOAT16",
    ];
    let known = usize::try_from(kind).ok().and_then(|kind| NAMES.get(kind));
    known.map_or_else(|| format!("type {kind}"), |name| (*name).to_owned())
}
