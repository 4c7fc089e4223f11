//! The values of an array: samples into a [`Gather`], piece by piece, and short columns as texts.

use crate::data::error::DataError;
use crate::data::room::{Element, Gather};

use super::error::TableError;
use super::layout::Arrangement;
use super::npy::Kind;
use super::store::Array;

/// Bytes that are read at once, where a sample is not larger.
const PIECE: usize = 1 << 20;

/// A kind of number that values of samples may become.
pub(super) trait Narrow: Element {
    /// Replaces what is in `out` by the numbers of `kind` in `bytes`. Gives the place of the first
    /// that has no finite counterpart, and its text.
    fn narrow(kind: Kind, bytes: &[u8], out: &mut Vec<Self>) -> Result<(), (usize, String)>;
}

impl Narrow for u8 {
    fn narrow(_: Kind, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), (usize, String)> {
        out.clear();
        out.extend_from_slice(bytes);
        Ok(())
    }
}

impl Narrow for f32 {
    fn narrow(kind: Kind, bytes: &[u8], out: &mut Vec<f32>) -> Result<(), (usize, String)> {
        out.clear();
        // Every number becomes the nearest float there is.
        match kind {
            Kind::Bool | Kind::U8 => out.extend(bytes.iter().map(|&byte| f32::from(byte))),
            Kind::I8 => out.extend(bytes.iter().map(|&byte| f32::from(byte as i8))),
            Kind::U16 => out.extend(each(bytes).map(|b| f32::from(u16::from_le_bytes(b)))),
            Kind::I16 => out.extend(each(bytes).map(|b| f32::from(i16::from_le_bytes(b)))),
            Kind::U32 => out.extend(each(bytes).map(|b| u32::from_le_bytes(b) as f32)),
            Kind::I32 => out.extend(each(bytes).map(|b| i32::from_le_bytes(b) as f32)),
            Kind::U64 => out.extend(each(bytes).map(|b| u64::from_le_bytes(b) as f32)),
            Kind::I64 => out.extend(each(bytes).map(|b| i64::from_le_bytes(b) as f32)),
            Kind::F16 => out.extend(each(bytes).map(|b| half::f16::from_le_bytes(b).to_f32())),
            Kind::F32 => out.extend(each(bytes).map(f32::from_le_bytes)),
            Kind::F64 => out.extend(each(bytes).map(|b| f64::from_le_bytes(b) as f32)),
            // Texts are refused before their contents are looked at.
            Kind::Bytes(_) | Kind::Text(_) => {}
        }
        let Some(at) = out.iter().position(|value| !value.is_finite()) else { return Ok(()) };
        let wide = each(bytes).nth(at).map(f64::from_le_bytes).filter(|_| kind == Kind::F64);
        Err((at, wide.map_or_else(|| out[at].to_string(), |value| value.to_string())))
    }
}

fn each<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// Streams all samples of `array`: sample `i` into `test` where `is_test[i]`, else into `train`. An
/// empty `is_test` sends all to `train`.
pub(super) fn stream<T: Narrow>(
    mut array: Array<'_>,
    arrangement: Arrangement,
    is_test: &[bool],
    train: &mut Gather<T>,
    test: &mut Gather<T>,
) -> Result<(), DataError> {
    let samples = array.header.shape.first().map_or(0, |&samples| samples as usize);
    let kind = array.header.kind;
    let len: usize = arrangement.shape.iter().product();
    let at_once = (PIECE / (len * kind.size()).max(1)).max(1);
    let (mut bytes, mut values, mut sample) = (Vec::new(), Vec::new(), Vec::new());
    for first in (0..samples).step_by(at_once) {
        let count = at_once.min(samples - first);
        array.read(count * len * kind.size(), &mut bytes)?;
        T::narrow(kind, &bytes, &mut values).map_err(|(at, found)| {
            let place = index(&array.header.shape, first * len + at);
            array.value(place, found, "a finite number that a 32-bit float can hold")
        })?;
        for (number, values) in (first..).zip(values.chunks_exact(len)) {
            arrangement.turn(values, &mut sample);
            let gather = if is_test.get(number) == Some(&true) { &mut *test } else { &mut *train };
            gather.push(&sample)?;
        }
    }
    array.end()
}

/// The index, one number for each dimension, of the element at `place`.
fn index(shape: &[u64], mut place: usize) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&side| {
            let at = place % side as usize;
            place /= side as usize;
            at
        })
        .collect();
    index.reverse();
    index
}

/// Gives every entry of a column, in order, as a text: a whole number in digits, a text as it is.
pub(super) fn column(mut array: Array<'_>, mut each: impl FnMut(&str)) -> Result<(), DataError> {
    let Some((&entries, rest)) = array.header.shape.split_first() else {
        return Err(array.shape("one entry a sample: (N,)"));
    };
    if rest.iter().any(|&side| side != 1) {
        return Err(array.shape("one entry a sample: (N,)"));
    }
    let kind = array.header.kind;
    if matches!(kind, Kind::F16 | Kind::F32 | Kind::F64) {
        let (file, array) = (array.file(), array.name());
        let (found, expected) = ("floats".to_string(), "whole numbers or texts");
        return Err(TableError::ArrayType { file, array, found, expected }.into());
    }
    let at_once = PIECE / kind.size();
    let mut bytes = Vec::new();
    for first in (0..entries as usize).step_by(at_once) {
        array.read(at_once.min(entries as usize - first) * kind.size(), &mut bytes)?;
        for (at, bytes) in (first..).zip(bytes.chunks_exact(kind.size())) {
            match text(kind, bytes) {
                Some(text) => each(&text),
                None => {
                    let expected = "a text that is not empty and has no control characters";
                    let found = format!("`{}`", bytes.escape_ascii());
                    return Err(array.value(vec![at], found, expected));
                }
            }
        }
    }
    array.end()
}

/// One entry as a text. `None` where it is a text that no name may be.
fn text(kind: Kind, bytes: &[u8]) -> Option<String> {
    let mut wide = [0; 8];
    let number = |wide: [u8; 8]| i128::from(u64::from_le_bytes(wide));
    let text = match kind {
        Kind::Text(_) => each(bytes)
            .map(|b| char::from_u32(u32::from_le_bytes(b)))
            .collect::<Option<String>>()?
            .trim_end_matches('\0')
            .to_string(),
        Kind::Bytes(_) => str::from_utf8(bytes).ok()?.trim_end_matches('\0').to_string(),
        _ => {
            wide[..bytes.len()].copy_from_slice(bytes);
            let signed = matches!(kind, Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64);
            let span = 1i128 << (8 * bytes.len());
            let value = number(wide);
            // The upper half of the unsigned range is the negative numbers of the signed one.
            (if signed && value >= span / 2 { value - span } else { value }).to_string()
        }
    };
    Some(text).filter(|text| !text.is_empty() && !text.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_of_every_width_keep_their_sign() {
        for (kind, bytes, expected) in [
            (Kind::I8, &[0xff][..], "-1"),
            (Kind::U8, &[0xff], "255"),
            (Kind::I16, &[0, 0x80], "-32768"),
            (Kind::I64, &[0xff; 8], "-1"),
            (Kind::U64, &[0xff; 8], "18446744073709551615"),
            (Kind::Bytes(4), b"a b\0", "a b"),
            (Kind::Text(2), &[0xe9, 0, 0, 0, 0, 0, 0, 0], "é"),
        ] {
            assert_eq!(text(kind, bytes).as_deref(), Some(expected), "{kind:?}");
        }
        assert_eq!(text(Kind::Bytes(2), b"\0\0"), None);
        assert_eq!(text(Kind::Text(1), &[0, 0xd8, 0, 0]), None, "half a surrogate pair");
    }

    #[test]
    fn a_place_is_told_by_its_dimensions() {
        assert_eq!(index(&[4, 3, 2], 17), [2, 2, 1]);
    }
}
