//! Every kind of layer against its formula in f64, over shapes that fill no vector.

use super::*;
use crate::base::rng::Stream;

/// A layer to be tried.
#[derive(Debug)]
struct Case {
    shape: ConvShape,
    input: [usize; 3],
    density: f64,
    second: bool,
    relu: bool,
}

fn numbers(stream: &mut Stream, len: usize) -> Vec<f32> {
    (0..len).map(|_| stream.normal() as f32).collect()
}

/// What the formula says, in f64: bias, products, addend, rectifier.
fn expected(case: &Case, x: &[f32], weights: &[f32], bias: &[f32], addend: &[f32]) -> Vec<f64> {
    let ConvShape { filters, kernel: [kh, kw], stride, padding, groups } = case.shape;
    let [channels, height, width] = case.input;
    let [rows, columns] = case.shape.output(case.input);
    let depth = channels / groups;
    let mut out = Vec::new();
    for f in 0..filters {
        for (oy, ox) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
            let mut sum = f64::from(bias[f]);
            for (c, ky, kx) in
                (0..depth).flat_map(|c| (0..kh).flat_map(move |y| (0..kw).map(move |x| (c, y, x))))
            {
                let (y, x_at) = (oy * stride[0] + ky, ox * stride[1] + kx);
                let inside = (padding[0]..height + padding[0]).contains(&y)
                    && (padding[1]..width + padding[1]).contains(&x_at);
                if inside {
                    let channel = f / (filters / groups) * depth + c;
                    let at = (channel * height + y - padding[0]) * width + x_at - padding[1];
                    let weight = weights[((f * depth + c) * kh + ky) * kw + kx];
                    sum += f64::from(weight) * f64::from(x[at]);
                }
            }
            if case.second {
                sum += f64::from(addend[out.len()]);
            }
            out.push(if case.relu { sum.max(0.0) } else { sum });
        }
    }
    out
}

fn identity(channels: usize) -> Work<'static> {
    Work::Affine { scale: vec![1.0; channels], shift: vec![0.0; channels] }
}

/// Runs the layer between two steps that leave values as they are; the addend is made of the sample
/// by a layer of its own.
fn hold(case: &Case, isa: Isa) {
    let mut stream = Stream::new(11, "single");
    let shape = case.shape;
    let weights = shape.weights(case.input[0]);
    let mask = Mask::from_fn(weights, |_| stream.unit() < case.density);
    let values = numbers(&mut stream, mask.existing());
    let bias = numbers(&mut stream, shape.filters);
    let x = numbers(&mut stream, case.input.iter().product());
    let [rows, columns] = shape.output(case.input);
    let output = [shape.filters, rows, columns];
    let other_mask = Mask::from_fn(weights, |i| i.is_multiple_of(3));
    let other = numbers(&mut stream, other_mask.existing());
    let plain = |work, input, shape| Operation { work, input, second: None, relu: false, shape };
    let layer = |mask, values, bias| Work::Layer { shape, mask, values, bias };
    let operations = vec![
        plain(identity(case.input[0]), 0, case.input),
        plain(layer(&other_mask, other.clone(), vec![0.0; shape.filters]), 1, output),
        Operation {
            work: layer(&mask, values.clone(), bias.clone()),
            input: 1,
            second: case.second.then_some(2),
            relu: case.relu,
            shape: output,
        },
        plain(identity(shape.filters), 3, output),
    ];
    let mut single = Single::new(case.input, operations, isa);
    let raw = Case { shape, input: case.input, density: 1.0, second: false, relu: false };
    let none = vec![0.0; shape.filters];
    let addend: Vec<f32> = expected(&raw, &x, &other_mask.spread(&other), &none, &[])
        .into_iter()
        .map(|v| v as f32)
        .collect();
    let truth = expected(case, &x, &mask.spread(&values), &bias, &addend);
    for _ in 0..2 {
        let found = single.run(|out| out.copy_from_slice(&x));
        assert_eq!(found.len(), truth.len());
        for (i, (found, truth)) in found.iter().zip(&truth).enumerate() {
            let terms = (weights / shape.filters) as f64;
            let off = (f64::from(*found) - truth).abs();
            assert!(off <= 1e-6 * (10.0 + terms), "{case:?} {isa:?}: {i} is {found}, not {truth}");
        }
    }
}

#[test]
fn layers_of_every_shape_compute_their_formula() {
    let shape = |filters, kernel, stride, padding, groups| ConvShape {
        filters,
        kernel,
        stride,
        padding,
        groups,
    };
    let layers = [
        (shape(6, [3, 3], [1, 1], [1, 1], 1), [5, 4, 4]),
        (shape(9, [3, 3], [1, 1], [1, 1], 1), [3, 8, 8]),
        (shape(5, [3, 3], [1, 1], [1, 1], 1), [4, 16, 16]),
        (shape(5, [3, 3], [1, 1], [1, 1], 1), [2, 32, 32]),
        (shape(3, [3, 3], [1, 1], [1, 1], 1), [2, 19, 23]),
        (shape(6, [3, 3], [2, 2], [1, 1], 1), [5, 9, 7]),
        (shape(6, [3, 3], [2, 2], [1, 1], 1), [2, 32, 32]),
        (shape(4, [1, 1], [2, 2], [0, 0], 1), [5, 8, 8]),
        (shape(4, [1, 1], [1, 1], [0, 0], 1), [5, 7, 7]),
        (shape(4, [1, 1], [1, 1], [0, 0], 1), [5, 2, 2]),
        (shape(4, [5, 5], [1, 1], [2, 2], 1), [3, 7, 7]),
        (shape(4, [5, 5], [1, 1], [4, 4], 1), [3, 14, 14]),
        (shape(4, [5, 5], [2, 2], [2, 2], 2), [4, 20, 33]),
        (shape(4, [7, 7], [2, 2], [3, 3], 1), [3, 41, 37]),
        (shape(4, [7, 7], [1, 1], [3, 3], 1), [3, 9, 9]),
        (shape(4, [3, 3], [3, 3], [0, 0], 1), [3, 20, 20]),
        (shape(4, [2, 2], [3, 3], [1, 1], 1), [3, 8, 8]),
        (shape(6, [3, 3], [1, 1], [1, 1], 3), [6, 6, 6]),
        (shape(8, [3, 3], [1, 1], [1, 1], 8), [8, 32, 10]),
        (shape(8, [3, 3], [1, 1], [1, 1], 8), [8, 10, 32]),
        (shape(8, [3, 1], [1, 1], [1, 0], 8), [8, 5, 6]),
        (shape(8, [1, 7], [1, 2], [0, 3], 1), [3, 1, 128]),
        (shape(8, [1, 5], [1, 1], [0, 2], 1), [3, 1, 40]),
        (shape(8, [8, 10], [4, 2], [2, 4], 1), [1, 40, 64]),
        (shape(4, [3, 3], [1, 1], [1, 1], 1), [3, 1, 1]),
        (shape(4, [3, 3], [2, 2], [1, 1], 1), [3, 2, 2]),
        (shape(10, [4, 5], [1, 1], [0, 0], 1), [7, 4, 5]),
        (shape(10, [1, 1], [1, 1], [0, 0], 1), [70, 1, 1]),
        (shape(10, [16, 16], [1, 1], [0, 0], 1), [2, 16, 16]),
    ];
    for isa in Isa::available() {
        for (shape, input) in layers {
            for (density, second, relu) in
                [(1.0, false, true), (0.3, true, true), (0.05, true, false), (0.0, false, false)]
            {
                hold(&Case { shape, input, density, second, relu }, isa);
            }
        }
    }
}

#[test]
fn copies_for_a_large_kernel_serve_a_smaller_one_of_the_same_stride() {
    let of = |kernel: usize, padding: usize| {
        let shape = ConvShape {
            filters: 1,
            kernel: [kernel; 2],
            stride: [2; 2],
            padding: [padding; 2],
            groups: 1,
        };
        layout::Lowering::of(&shape, [4, 8, 8])
    };
    assert_eq!(of(3, 1).serves(&of(1, 0)), Some([1, 1]));
    assert_eq!(of(5, 2).serves(&of(3, 1)), Some([1, 1]));
    assert_eq!(of(1, 0).serves(&of(3, 1)), None);
}
