//! The container: a header in JSON, and the values of named tensors behind it.
//!
//! The layout is Hugging Face's: eight bytes, little-endian, that say how long the header is; the
//! header; the values, without gaps. Parsing borrows. The crate of that name is not used: it adds
//! offsets that a file claims without a check (a panic where overflow is checked), names no tensor
//! when a place is wrong, and gives tensors and metadata in the order of a hash map.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::error::ExchangeFault;

/// The longest header that is read, in bytes. That of ResNet-50 has 40,000.
const MAX_HEADER: u64 = 16 << 20;
/// The most tensors of a file.
const MAX_TENSORS: usize = 65_536;
/// The most dimensions of a tensor.
const MAX_RANK: usize = 8;
const METADATA: &str = "__metadata__";
const LENGTH: usize = 8;

/// A tensor as the file holds it, its place held against the file.
#[derive(Clone, Debug)]
pub(super) struct View<'a> {
    pub dtype: String,
    pub shape: Vec<usize>,
    pub bytes: &'a [u8],
}

/// A file whose every claim was held against its bytes.
#[derive(Debug)]
pub(super) struct Container<'a> {
    pub tensors: BTreeMap<String, View<'a>>,
    pub metadata: BTreeMap<String, String>,
}

/// A tensor as the header claims it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

#[derive(Debug, Default)]
struct UncheckedHeader {
    tensors: BTreeMap<String, UncheckedTensor>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for UncheckedHeader {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(HeaderVisitor)
    }
}

/// Refuses a name that is there twice, which a map would swallow.
struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = UncheckedHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UncheckedHeader, A::Error> {
        let mut header = UncheckedHeader::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                header.metadata = map.next_value()?;
            } else if header.tensors.len() == MAX_TENSORS {
                return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors")));
            } else if let Entry::Vacant(place) = header.tensors.entry(name) {
                place.insert(map.next_value()?);
            } else {
                return Err(A::Error::custom("a tensor is there twice"));
            }
        }
        Ok(header)
    }
}

impl<'a> Container<'a> {
    /// Reads and checks the header in `bytes`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, ExchangeFault> {
        let damaged = |offset, what| Err(ExchangeFault::Safetensors { offset, what });
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else {
            return damaged(0, format!("the file has {} bytes, not even a length", bytes.len()));
        };
        let claimed = u64::from_le_bytes(*length);
        let have = rest.len() as u64;
        if claimed > have.min(MAX_HEADER) {
            let most = MAX_HEADER.min(have);
            return damaged(0, format!("the header claims {claimed} bytes, at most {most} can be"));
        }
        // Not above the length of `rest`, which is in memory.
        let (header, values) = rest.split_at(claimed as usize);
        let header: UncheckedHeader = match serde_json::from_slice(header) {
            Ok(header) => header,
            Err(error) => return damaged(offset_of(header, &error), error.to_string()),
        };
        Self::check(header, values)
    }

    fn check(header: UncheckedHeader, values: &'a [u8]) -> Result<Self, ExchangeFault> {
        let mut tensors = BTreeMap::new();
        let mut places = Vec::new();
        for (name, claimed) in header.tensors {
            places.push((claimed.data_offsets, name.clone()));
            let view = claimed.check(&name, values)?;
            tensors.insert(name, view);
        }
        places.sort();
        let mut end = 0;
        for ([begin, stop], tensor) in places {
            if begin != end {
                let rule = "its values overlap another tensor's, or leave a gap before them";
                let (shape, have) = (Vec::new(), values.len() as u64);
                return Err(ExchangeFault::Place { tensor, rule, shape, begin, end: stop, have });
            }
            end = stop;
        }
        if end != values.len() as u64 {
            let what = format!("{} bytes follow the last tensor", values.len() as u64 - end);
            return Err(ExchangeFault::Safetensors { offset: end, what });
        }
        Ok(Self { tensors, metadata: header.metadata })
    }
}

impl UncheckedTensor {
    fn check<'a>(self, name: &str, values: &'a [u8]) -> Result<View<'a>, ExchangeFault> {
        let [begin, end] = self.data_offsets;
        let place = |rule| ExchangeFault::Place {
            tensor: name.to_owned(),
            rule,
            shape: self.shape.clone(),
            begin,
            end,
            have: values.len() as u64,
        };
        if self.shape.len() > MAX_RANK {
            return Err(place("it has more than 8 dimensions"));
        }
        let range = usize::try_from(begin).ok().zip(usize::try_from(end).ok());
        let Some(bytes) = range.and_then(|(begin, end)| values.get(begin..end)) else {
            return Err(place("its values lie outside the file"));
        };
        let count = self.shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side));
        // A type of unknown size is told by name where the tensor is asked for.
        let fits = match size_of(&self.dtype) {
            Some(size) => count.and_then(|count| count.checked_mul(size)) == Some(end - begin),
            None => true,
        };
        if !fits {
            return Err(place("shape and type do not make as many bytes as it has"));
        }
        let shape: Option<Vec<usize>> =
            self.shape.iter().map(|&side| usize::try_from(side).ok()).collect();
        let Some(shape) = shape else { return Err(place("a side is too long")) };
        Ok(View { dtype: self.dtype, shape, bytes })
    }
}

/// Bytes of one value.
fn size_of(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "BOOL" | "U8" | "I8" => 1,
        "F16" | "BF16" | "I16" | "U16" => 2,
        "F32" | "I32" | "U32" => 4,
        "F64" | "I64" | "U64" => 8,
        _ => return None,
    })
}

/// Where in the file the JSON reader stopped.
fn offset_of(header: &[u8], error: &serde_json::Error) -> u64 {
    let lines = header.split_inclusive(|&byte| byte == b'\n');
    let before: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    (LENGTH + before + error.column().saturating_sub(1)) as u64
}

/// Values on their way into a file.
#[derive(Clone, Debug)]
pub(super) enum Values {
    /// Type `F32`.
    F32(Vec<f32>),
    /// Type `U8`.
    U8(Vec<u8>),
}

/// The bytes of a safetensors file: `tensors` (name, shape, values) and `metadata` in their order.
/// Equal arguments give equal bytes.
pub(super) fn write(
    tensors: &[(String, Vec<usize>, Values)],
    metadata: &[(&str, String)],
) -> Vec<u8> {
    let mut header = Map::new();
    let facts: Map<String, Value> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    if !facts.is_empty() {
        header.insert(METADATA.into(), Value::Object(facts));
    }
    let mut values = Vec::new();
    for (name, shape, payload) in tensors {
        let begin = values.len();
        let dtype = match payload {
            Values::F32(payload) => {
                values.extend(payload.iter().flat_map(|value| value.to_le_bytes()));
                "F32"
            }
            Values::U8(payload) => {
                values.extend_from_slice(payload);
                "U8"
            }
        };
        let entry =
            json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, values.len()] });
        header.insert(name.clone(), entry);
    }
    let mut text = Value::Object(header).to_string();
    // Readers map the values as they are: they begin on a multiple of eight.
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(LENGTH) - text.len()));
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes.extend(values);
    bytes
}
