//! The operations of the reference, as differentiable graphs of candle's tensors.

use candle_core::{D, DType, Device, Result, Tensor};

/// A window that slides over height and width.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
}

/// `(x - mean[c]) / std[c]` in the type `kind`.
pub(super) fn normalise(x: &Tensor, mean: &[f32], std: &[f32], kind: DType) -> Result<Tensor> {
    let channels = |values: &[f32]| {
        Tensor::from_slice(values, (1, values.len(), 1, 1), x.device())?.to_dtype(kind)
    };
    x.to_dtype(kind)?.broadcast_sub(&channels(mean)?)?.broadcast_div(&channels(std)?)
}

/// The windows of `x` as `[batch, C, kh * kw, rows * columns]`, and `[rows, columns]`.
fn windows(x: &Tensor, window: Window) -> Result<(Tensor, [usize; 2])> {
    let Window { kernel, stride, padding } = window;
    let x = x.pad_with_zeros(2, padding[0], padding[0])?;
    let x = x.pad_with_zeros(3, padding[1], padding[1])?.contiguous()?;
    let (batch, channels, height, width) = x.dims4()?;
    let rows = (height - kernel[0]) / stride[0] + 1;
    let columns = (width - kernel[1]) / stride[1] + 1;
    let mut places = Vec::with_capacity(kernel[0] * kernel[1] * rows * columns);
    for (down, right) in pairs(kernel[0], kernel[1]) {
        for (row, column) in pairs(rows, columns) {
            let (y, x) = (row * stride[0] + down, column * stride[1] + right);
            places.push((y * width + x) as u32);
        }
    }
    let places = Tensor::new(places, &Device::Cpu)?;
    let taken = x.reshape((batch, channels, height * width))?.index_select(&places, 2)?;
    let taken = taken.reshape((batch, channels, kernel[0] * kernel[1], rows * columns))?;
    Ok((taken, [rows, columns]))
}

fn pairs(first: usize, second: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..first).flat_map(move |a| (0..second).map(move |b| (a, b)))
}

/// Convolution as a matrix product with the gathered windows, group by group.
pub(super) fn conv(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: Window,
    groups: usize,
) -> Result<Tensor> {
    let (taken, [rows, columns]) = windows(x, window)?;
    let (batch, channels, area, places) = taken.dims4()?;
    let (filters, depth) = (weight.dim(0)? / groups, channels / groups * area);
    let mut parts = Vec::with_capacity(groups);
    for group in 0..groups {
        let seen = taken.narrow(1, group * channels / groups, channels / groups)?.contiguous()?;
        let seen = seen.reshape((batch, depth, places))?.transpose(0, 1)?.contiguous()?;
        let seen = seen.reshape((depth, batch * places))?;
        let kernels = weight.narrow(0, group * filters, filters)?.contiguous()?;
        let product = kernels.reshape((filters, depth))?.matmul(&seen)?;
        parts.push(product.reshape((filters, batch, places))?.transpose(0, 1)?.contiguous()?);
    }
    let out = Tensor::cat(&parts, 1)?.reshape((batch, filters * groups, rows, columns))?;
    match bias {
        None => Ok(out),
        Some(bias) => out.broadcast_add(&bias.reshape((1, filters * groups, 1, 1))?),
    }
}

/// `W x + b` over the flattened sample, as `[batch, outputs, 1, 1]`.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let out = x.flatten_from(1)?.matmul(&weight.t()?)?;
    let out = match bias {
        None => out,
        Some(bias) => out.broadcast_add(bias)?,
    };
    out.unsqueeze(D::Minus1)?.unsqueeze(D::Minus1)
}

/// `max(x, 0)` with gradient 0 at 0: the product with a constant that is 1 where `x > 0`.
pub(super) fn relu(x: &Tensor) -> Result<Tensor> {
    let open = x.detach().gt(0f64)?.to_dtype(x.dtype())?;
    x * open
}

/// Largest value of each window. Of equal largest values the first in row-major order takes the
/// whole gradient, as in PyTorch.
///
/// Padded places are zeros like others; far below every value they are not chosen.
pub(super) fn max_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    let (taken, [rows, columns]) = windows(x, window)?;
    let (batch, channels, _, _) = taken.dims4()?;
    let inside = windows(&x.ones_like()?.detach(), window)?.0;
    let outside = (inside - 1.0)?.affine(f64::from(f32::MAX), 0.0)?;
    let largest = (taken.detach() + outside)?.argmax_keepdim(2)?.contiguous()?;
    taken.contiguous()?.gather(&largest, 2)?.reshape((batch, channels, rows, columns))
}

/// Mean of each window.
pub(super) fn avg_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    let (taken, [rows, columns]) = windows(x, window)?;
    let (batch, channels, _, _) = taken.dims4()?;
    taken.mean(2)?.reshape((batch, channels, rows, columns))
}

/// Rows and columns `stride` apart, with as many zero channels before as behind.
pub(super) fn pad_shortcut(x: &Tensor, stride: [usize; 2], channels: usize) -> Result<Tensor> {
    let one = Window { kernel: [1; 2], stride, padding: [0; 2] };
    let (taken, [rows, columns]) = windows(x, one)?;
    let (batch, given, _, _) = taken.dims4()?;
    let more = (channels - given) / 2;
    taken.reshape((batch, given, rows, columns))?.pad_with_zeros(1, more, more)
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + shift`, both over the channels of each place.
pub(super) fn layer_norm(x: &Tensor, [scale, shift]: [&Tensor; 2], epsilon: f32) -> Result<Tensor> {
    let away = x.broadcast_sub(&x.mean_keepdim(1)?)?;
    let deviation = (away.sqr()?.mean_keepdim(1)? + f64::from(epsilon))?.sqrt()?;
    let channels = |values: &Tensor| values.reshape((1, values.elem_count(), 1, 1));
    away.broadcast_div(&deviation)?
        .broadcast_mul(&channels(scale)?)?
        .broadcast_add(&channels(shift)?)
}

/// `x * (1 + erf(x / sqrt(2))) / 2`.
pub(super) fn gelu(x: &Tensor) -> Result<Tensor> {
    x * ((x * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)?.affine(0.5, 0.0)?
}

/// Attention of `heads` among all places, or within windows of a side and a shift.
///
/// As eight dimensions: queries, keys or values, heads and channels of the heads, then rows and columns of
/// windows, and of places within.
pub(super) fn attention(
    x: &Tensor,
    heads: usize,
    window: Option<(usize, usize)>,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let depth = channels / 3 / heads;
    let ([down, right], shift) = match window {
        Some((side, shift)) => ([side; 2], shift),
        None => ([height, width], 0),
    };
    let [rows, columns] = [height / down, width / right];
    let turn = |x: &Tensor, by: i32| x.roll(by, 2)?.roll(by, 3);
    let x = turn(x, -(shift as i32))?.contiguous()?;
    let parts = x.reshape(vec![batch, 3, heads, depth, rows, down, columns, right])?;
    let parts = parts.permute(vec![1, 0, 4, 6, 2, 5, 7, 3])?.contiguous()?;
    let (windows, tokens) = (rows * columns, down * right);
    let parts = parts.reshape((3, batch * windows * heads, tokens, depth))?;
    let part = |which: usize| parts.narrow(0, which, 1)?.squeeze(0)?.contiguous();
    let (q, k, v) = (part(0)?, part(1)?, part(2)?);
    let mut scores = q.matmul(&k.t()?.contiguous()?)?.affine(1.0 / (depth as f64).sqrt(), 0.0)?;
    scores = scores.reshape((batch, windows, heads, tokens, tokens))?;
    if let Some(bias) = bias {
        scores = scores.broadcast_add(&relative(bias, heads, [down, right])?)?;
    }
    let apart = apart([height, width], [down, right], shift, x.dtype())?;
    let scores = scores.broadcast_add(&apart)?;
    let largest = scores.detach().max_keepdim(4)?;
    let weights = scores.broadcast_sub(&largest)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(4)?)?;
    let out = weights.reshape((batch * windows * heads, tokens, tokens))?.matmul(&v)?;
    let out = out.reshape(vec![batch, rows, columns, heads, down, right, depth])?;
    let out = out.permute(vec![0, 3, 6, 1, 4, 2, 5])?.contiguous()?;
    turn(&out.reshape((batch, channels / 3, height, width))?, shift as i32)
}

/// The table of relative positions as `[heads, T, T]`, by how far the query is below and right of the key.
fn relative(bias: &Tensor, heads: usize, [down, right]: [usize; 2]) -> Result<Tensor> {
    let mut entries = Vec::new();
    for (ty, tx) in pairs(down, right) {
        for (uy, ux) in pairs(down, right) {
            let (y, x) = (ty + down - 1 - uy, tx + right - 1 - ux);
            entries.push((y * (2 * right - 1) + x) as u32);
        }
    }
    let entries = Tensor::new(entries, &Device::Cpu)?;
    let table = bias.reshape((heads, (2 * down - 1) * (2 * right - 1)))?;
    table.index_select(&entries, 1)?.reshape((heads, down * right, down * right))
}

/// `[windows, 1, T, T]`: 0 where two places attend to each other, far below all scores where only one of
/// them came round the edge.
fn apart(
    [height, width]: [usize; 2],
    [down, right]: [usize; 2],
    shift: usize,
    kind: DType,
) -> Result<Tensor> {
    let mut values = Vec::new();
    for (top, left) in pairs(height / down, width / right) {
        let round = |y: usize, x: usize| {
            [top * down + y + shift >= height, left * right + x + shift >= width]
        };
        for (ty, tx) in pairs(down, right) {
            for (uy, ux) in pairs(down, right) {
                let joined = shift == 0 || round(ty, tx) == round(uy, ux);
                values.push(if joined { 0.0f32 } else { -1e9 });
            }
        }
    }
    let windows = height / down * (width / right);
    let tokens = down * right;
    Tensor::from_vec(values, (windows, 1, tokens, tokens), &Device::Cpu)?.to_dtype(kind)
}

/// The places of each square as channels: down its columns, then right.
pub(super) fn space_to_depth(x: &Tensor, side: usize) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let (rows, columns) = (height / side, width / side);
    let parts = x.reshape(vec![batch, channels, rows, side, columns, side])?;
    let parts = parts.permute(vec![0, 5, 3, 1, 2, 4])?.contiguous()?;
    parts.reshape((batch, channels * side * side, rows, columns))
}

/// Mean and biased variance of each channel, `[C]` each.
pub(super) fn statistics(x: &Tensor) -> Result<[Tensor; 2]> {
    let mean = x.mean_keepdim((0, 2, 3))?;
    let variance = x.broadcast_sub(&mean)?.sqr()?.mean_keepdim((0, 2, 3))?;
    Ok([mean.flatten_all()?, variance.flatten_all()?])
}

/// The running statistics after a batch: `(1 - momentum) * running + momentum * batch`, the variance
/// of the batch made unbiased first (`n / (n - 1)`).
pub(super) fn moved(
    running: [&Tensor; 2],
    batch: &[Tensor; 2],
    x: &Tensor,
    momentum: f32,
) -> Result<[Tensor; 2]> {
    let values = (x.elem_count() / x.dim(1)?) as f64;
    let momentum = f64::from(momentum);
    let step = |old: &Tensor, new: &Tensor, scale: f64| {
        (old * (1.0 - momentum))?.add(&(new.detach().to_dtype(old.dtype())? * (momentum * scale))?)
    };
    Ok([step(running[0], &batch[0], 1.0)?, step(running[1], &batch[1], values / (values - 1.0))?])
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + shift`, channel by channel.
pub(super) fn scale_and_shift(
    x: &Tensor,
    [mean, variance]: [&Tensor; 2],
    [scale, shift]: [&Tensor; 2],
    epsilon: f32,
) -> Result<Tensor> {
    let spread =
        |values: &Tensor| values.to_dtype(x.dtype())?.reshape((1, values.elem_count(), 1, 1));
    let deviation = (spread(variance)? + f64::from(epsilon))?.sqrt()?;
    x.broadcast_sub(&spread(mean)?)?
        .broadcast_div(&deviation)?
        .broadcast_mul(&spread(scale)?)?
        .broadcast_add(&spread(shift)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    #[test]
    fn the_gradient_of_relu_at_zero_is_zero() {
        let x = Var::new(&[-1f32, 0.0, 2.0], &Device::Cpu).unwrap();
        let y = relu(&x).unwrap();
        assert_eq!(y.to_vec1::<f32>().unwrap(), [0.0, 0.0, 2.0]);
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&x).unwrap().to_vec1::<f32>().unwrap(), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_first_of_equal_largest_values_takes_the_whole_gradient() {
        let x = Var::new(&[[[[1f32, 3.0, 3.0], [3.0, 0.0, 0.0]]]], &Device::Cpu).unwrap();
        let window = Window { kernel: [2; 2], stride: [1; 2], padding: [0; 2] };
        let y = max_pool(&x, window).unwrap();
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [3.0, 3.0]);
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(&x).unwrap().flatten_all().unwrap();
        assert_eq!(gradient.to_vec1::<f32>().unwrap(), [0.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
