//! Values as bytes: f32, f16, bf16, and int8 with one scale an output channel.

use half::{bf16, f16};

use super::types::Dtype;

/// A value that cannot be stored, or must not have been.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ValueFault {
    /// It is not a finite number.
    NotFinite { index: usize, value: f32 },
    /// It is finite, but not in the type.
    Overflow { index: usize, value: f32 },
    /// The scale of a channel is not a positive normal number, or too large for `127 * scale`.
    Scale { channel: usize, scale: f32 },
    /// An int8 value is -128, which stands for nothing.
    Int8 { index: usize },
}

/// Which output channel each stored value belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channels<'a> {
    /// Length of the first dimension; 1 for a scalar.
    pub(crate) channels: usize,
    /// Positions of one channel.
    pub(crate) len: usize,
    /// The flat positions that exist, or all.
    pub(crate) positions: Option<&'a [u32]>,
}

impl Channels<'_> {
    fn of(&self, index: usize) -> usize {
        self.positions.map_or(index, |positions| positions[index] as usize) / self.len
    }
}

/// The bytes of `values`.
pub(crate) fn encode(
    dtype: Dtype,
    values: &[f32],
    channels: Channels<'_>,
) -> Result<Vec<u8>, ValueFault> {
    if let Some(index) = values.iter().position(|v| !v.is_finite()) {
        return Err(ValueFault::NotFinite { index, value: values[index] });
    }
    let overflow = |finite: fn(f32) -> bool| match values.iter().position(|v| !finite(*v)) {
        Some(index) => Err(ValueFault::Overflow { index, value: values[index] }),
        None => Ok(()),
    };
    match dtype {
        Dtype::F32 => Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Dtype::F16 => {
            overflow(|v| f16::from_f32(v).is_finite())?;
            Ok(values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect())
        }
        Dtype::Bf16 => {
            overflow(|v| bf16::from_f32(v).is_finite())?;
            Ok(values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect())
        }
        Dtype::Int8 => encode_int8(values, channels),
    }
}

fn encode_int8(values: &[f32], channels: Channels<'_>) -> Result<Vec<u8>, ValueFault> {
    let mut largest = vec![0f32; channels.channels];
    for (index, value) in values.iter().enumerate() {
        let so_far = &mut largest[channels.of(index)];
        *so_far = so_far.max(value.abs());
    }
    let scales: Vec<f32> = largest.iter().map(|&largest| scale(largest)).collect();
    let mut out: Vec<u8> = scales.iter().flat_map(|s| s.to_le_bytes()).collect();
    for (index, &value) in values.iter().enumerate() {
        let scale = scales[channels.of(index)];
        if !is_scale(scale) {
            return Err(ValueFault::Overflow { index, value });
        }
        // The clamp guards the last place of the division; a scale is never below largest / 127.
        out.push(((value / scale).round().clamp(-127.0, 127.0) as i8).to_le_bytes()[0]);
    }
    Ok(out)
}

/// The scale of a channel: the largest magnitude over 127, rounded up to 17 significant bits.
///
/// A product of 17 bits with 7 is exact in f32, so storing what was read gives the same bytes.
fn scale(largest: f32) -> f32 {
    // Below half of the smallest scale, all values of the channel are stored as 0.
    if largest < f32::MIN_POSITIVE / 2.0 {
        return 1.0;
    }
    let exact = (largest / 127.0).max(f32::MIN_POSITIVE);
    f32::from_bits((exact.to_bits() + 0x7f) & !0x7f)
}

fn is_scale(scale: f32) -> bool {
    scale.is_normal() && scale > 0.0 && (scale * 127.0).is_finite()
}

/// The values that `bytes` hold; `bytes` has the length that type, count and channels give.
pub(crate) fn decode(
    dtype: Dtype,
    bytes: &[u8],
    channels: Channels<'_>,
) -> Result<Vec<f32>, ValueFault> {
    let pairs = bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    let values: Vec<f32> = match dtype {
        Dtype::F32 => singles(bytes).collect(),
        Dtype::F16 => pairs.map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::Bf16 => pairs.map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        Dtype::Int8 => return decode_int8(bytes, channels),
    };
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(ValueFault::NotFinite { index, value: values[index] }),
        None => Ok(values),
    }
}

/// Holds the bytes of a tensor against the rules for values; its positions are not needed.
pub(crate) fn check(dtype: Dtype, bytes: &[u8], channels: usize) -> Result<(), ValueFault> {
    if dtype == Dtype::Int8 {
        return check_int8(bytes, channels).map(drop);
    }
    decode(dtype, bytes, Channels { channels, len: 1, positions: None }).map(drop)
}

fn check_int8(bytes: &[u8], channels: usize) -> Result<(Vec<f32>, &[u8]), ValueFault> {
    let (scales, values) = bytes.split_at(channels * 4);
    let scales: Vec<f32> = singles(scales).collect();
    if let Some(channel) = scales.iter().position(|&scale| !is_scale(scale)) {
        return Err(ValueFault::Scale { channel, scale: scales[channel] });
    }
    match values.iter().position(|&v| v == 0x80) {
        Some(index) => Err(ValueFault::Int8 { index }),
        None => Ok((scales, values)),
    }
}

fn decode_int8(bytes: &[u8], channels: Channels<'_>) -> Result<Vec<f32>, ValueFault> {
    let (scales, values) = check_int8(bytes, channels.channels)?;
    let scaled = |(index, &value): (usize, &u8)| {
        f32::from(i8::from_le_bytes([value])) * scales[channels.of(index)]
    };
    Ok(values.iter().enumerate().map(scaled).collect())
}

fn singles(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Stream;

    #[test]
    fn int8_values_that_were_read_are_stored_as_the_same_bytes() {
        let mut stream = Stream::new(1, "int8");
        for size in [1e-38, 1e-3, 1.0, 1e6, 1e38] {
            let values: Vec<f32> = (0..60).map(|_| (stream.normal() * size / 8.0) as f32).collect();
            let channels = Channels { channels: 3, len: 20, positions: None };
            let bytes = encode(Dtype::Int8, &values, channels).unwrap();
            let read = decode(Dtype::Int8, &bytes, channels).unwrap();
            assert_eq!(encode(Dtype::Int8, &read, channels).unwrap(), bytes, "size {size}");
            let worst = values.iter().zip(&read).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let largest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
            assert!(worst <= (largest / 253.0).max(f32::MIN_POSITIVE), "{worst} of {largest}");
        }
    }
}
