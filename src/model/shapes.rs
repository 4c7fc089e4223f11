//! What an operation gives, from what it reads.

use super::describe::{Op, Shape};
use super::fault::DescribeFault;

/// The most channels, features or filters that one operation may have.
pub const MAX_CHANNELS: usize = 65_536;
/// The most values that one operation may give for one sample.
pub const MAX_VALUES: u64 = 1 << 26;
/// The most values that a convolution may read or give for one sample, with the rim that its kernel
/// needs around each plane.
pub const MAX_RIMMED: u64 = (1 << 28) - 1;
/// The most weights that one operation may have.
pub const MAX_WEIGHTS: u64 = 1 << 30;

/// The most places of which each attends to all.
pub const MAX_TOKENS: u64 = 1 << 14;

/// The shape that `op`, called `name`, gives for inputs of shapes `inputs`.
///
/// The attributes and the number of inputs were checked; how they fit together is found here.
pub(super) fn infer(name: &str, op: &Op, inputs: &[Shape]) -> Result<Shape, DescribeFault> {
    let [channels, height, width] = inputs[0];
    let shape = match *op {
        Op::Input | Op::BatchNorm { .. } | Op::Relu => inputs[0],
        Op::LayerNorm { .. } | Op::Gelu | Op::Position => inputs[0],
        Op::Attention { heads, window, .. } => attended(name, inputs[0], heads, window)?,
        Op::SpaceToDepth { side } => squares(name, inputs[0], side)?,
        Op::Add => sum(name, inputs[0], inputs[1])?,
        Op::GlobalAvgPool => [channels, 1, 1],
        Op::Linear { outputs, .. } => [outputs, 1, 1],
        Op::Conv { filters, kernel, stride, padding, groups, .. } => {
            grouped(name, channels, filters, groups)?;
            let padded = [height + 2 * padding[0], width + 2 * padding[1]];
            let [rows, columns] = slide(name, padded, kernel, stride)?;
            [filters, rows, columns]
        }
        Op::MaxPool { kernel, stride, padding } => {
            let padded = [height + 2 * padding[0], width + 2 * padding[1]];
            let [rows, columns] = slide(name, padded, kernel, stride)?;
            [channels, rows, columns]
        }
        Op::AvgPool { kernel, stride } => {
            let [rows, columns] = slide(name, [height, width], kernel, stride)?;
            [channels, rows, columns]
        }
        Op::PadShortcut { stride, channels: wanted } => {
            widened(name, channels, wanted)?;
            [wanted, height.div_ceil(stride[0]), width.div_ceil(stride[1])]
        }
    };
    within(name, "output values a sample", shape.map(|side| side as u128), MAX_VALUES)?;
    if let Op::Conv { kernel, .. } = *op {
        // The engine keeps sixteen samples side by side, with a rim of zeros as wide as a kernel
        // around each plane, and counts places in 32 bits.
        let rim = 2 * kernel[0].max(kernel[1]) as u128;
        for [channels, height, width] in [inputs[0], shape] {
            let sides = [channels as u128, height as u128 + rim, width as u128 + rim];
            within(name, "values a sample with its rim", sides, MAX_RIMMED)?;
        }
    }
    if let Some(weights) = weight_shape(op, inputs[0]) {
        within(name, "weights", weights.iter().map(|&side| side as u128), MAX_WEIGHTS)?;
    }
    Ok(shape)
}

/// The shape of `op`'s weight when it reads `input`; `None` if it has no weight matrix.
pub(super) fn weight_shape(op: &Op, input: Shape) -> Option<Vec<usize>> {
    match *op {
        Op::Conv { filters, kernel, groups, .. } => {
            Some(vec![filters, input[0] / groups, kernel[0], kernel[1]])
        }
        Op::Linear { outputs, .. } => Some(vec![outputs, input.iter().product()]),
        _ => None,
    }
}

/// Queries, keys and values in equal parts, heads that share them, and windows that cut the plane.
fn attended(
    name: &str,
    [channels, height, width]: Shape,
    heads: usize,
    window: Option<usize>,
) -> Result<Shape, DescribeFault> {
    if !channels.is_multiple_of(3 * heads) {
        let expected = format!("a divisor of a third of its {channels} input channels");
        return Err(uneven(name, "heads", heads, expected));
    }
    if let Some(window) = window {
        even(name, "window", window, [height, width])?;
    }
    let [rows, columns] = window.map_or([height, width], |window| [window; 2]);
    let sides = [rows as u128, columns as u128];
    within(name, "places that attend to one another", sides, MAX_TOKENS)?;
    Ok([channels / 3, height, width])
}

fn squares(
    name: &str,
    [channels, height, width]: Shape,
    side: usize,
) -> Result<Shape, DescribeFault> {
    even(name, "side", side, [height, width])?;
    // The side divides a side of the input: no product overflows.
    let wide = channels as u128 * side as u128 * side as u128;
    within(name, "output channels", [wide], MAX_CHANNELS as u64)?;
    Ok([channels * side * side, height / side, width / side])
}

fn even(
    name: &str,
    key: &'static str,
    side: usize,
    [height, width]: [usize; 2],
) -> Result<(), DescribeFault> {
    if height.is_multiple_of(side) && width.is_multiple_of(side) {
        return Ok(());
    }
    let expected = format!("a divisor of both sides of its {height} x {width} input");
    Err(uneven(name, key, side, expected))
}

fn uneven(name: &str, key: &'static str, found: usize, expected: String) -> DescribeFault {
    DescribeFault::BadValue { op: name.into(), key, found: found.to_string(), expected }
}

fn sum(name: &str, left: Shape, right: Shape) -> Result<Shape, DescribeFault> {
    if left == right {
        return Ok(left);
    }
    Err(DescribeFault::ShapesDiffer { op: name.into(), left, right })
}

/// Where a window stands in each direction: `floor((padded - kernel) / stride) + 1`.
fn slide(
    name: &str,
    padded: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
) -> Result<[usize; 2], DescribeFault> {
    if kernel[0] > padded[0] || kernel[1] > padded[1] {
        return Err(DescribeFault::KernelTooLarge { op: name.into(), kernel, padded });
    }
    Ok([(padded[0] - kernel[0]) / stride[0] + 1, (padded[1] - kernel[1]) / stride[1] + 1])
}

fn grouped(
    name: &str,
    channels: usize,
    filters: usize,
    groups: usize,
) -> Result<(), DescribeFault> {
    if channels.is_multiple_of(groups) && filters.is_multiple_of(groups) {
        return Ok(());
    }
    Err(DescribeFault::BadValue {
        op: name.into(),
        key: "groups",
        found: groups.to_string(),
        expected: format!(
            "a divisor of both its {channels} input channels and its {filters} filters"
        ),
    })
}

fn widened(name: &str, channels: usize, wanted: usize) -> Result<(), DescribeFault> {
    if wanted >= channels && (wanted - channels).is_multiple_of(2) {
        return Ok(());
    }
    Err(DescribeFault::BadValue {
        op: name.into(),
        key: "channels",
        found: wanted.to_string(),
        expected: format!("its {channels} input channels and an even number more"),
    })
}

fn within(
    name: &str,
    what: &'static str,
    sides: impl IntoIterator<Item = u128>,
    limit: u64,
) -> Result<(), DescribeFault> {
    // Four sides of at most 2^26 each fit into 128 bits.
    let found = sides.into_iter().product::<u128>();
    if found <= u128::from(limit) {
        return Ok(());
    }
    Err(DescribeFault::TooLarge { op: name.into(), what, found, limit })
}
