//! Defends the promise of a compact file, overhead included.

mod common;

use common::model::*;
use unlearn::base::rng::Stream;
use unlearn::format::*;

/// The convolutions of a network in the shape of the CIFAR ResNets, by name. `skip` tells whether
/// a change of width has a convolution of its own beside it.
fn convolutions(stem: usize, stages: &[(usize, usize)], skip: bool) -> Vec<(String, [usize; 4])> {
    let mut convs = vec![("conv1".to_string(), [stem, 3, 3, 3])];
    let mut inputs = stem;
    for (stage, &(width, blocks)) in (1..).zip(stages) {
        for block in 0..blocks {
            let at = format!("layer{stage}.{block}");
            convs.push((format!("{at}.conv1"), [width, inputs, 3, 3]));
            convs.push((format!("{at}.conv2"), [width, width, 3, 3]));
            if inputs != width && skip {
                convs.push((format!("{at}.shortcut.0"), [width, inputs, 1, 1]));
            }
            inputs = width;
        }
    }
    convs
}

/// These convolutions with 95 % of their weights removed, their batch norms, and a head.
fn network(convs: Vec<(String, [usize; 4])>, head: [usize; 2]) -> Vec<Owned> {
    let mut stream = Stream::new(5, "resnet");
    let mut tensors = Vec::new();
    for (name, shape) in convs {
        let mask = random_mask(&mut stream, shape.iter().product(), 0.05);
        let weight = format!("{name}.weight");
        tensors.push(Owned::random(&mut stream, &weight, &shape, Dtype::F16, Some(mask)));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            let name = format!("{name}.norm.{part}");
            let mut vector = Owned::random(&mut stream, &name, &shape[..1], Dtype::F32, None);
            if part.starts_with("running") {
                vector.role = Role::Buffer;
            }
            tensors.push(vector);
        }
    }
    tensors.push(Owned::random(&mut stream, "linear.weight", &head, Dtype::F16, None));
    tensors.push(Owned::random(&mut stream, "linear.bias", &head[..1], Dtype::F32, None));
    tensors
}

fn shrinks(name: &str, tensors: &[Owned], at_least: f64) {
    let description = "conv filters=16 kernel=3x3\n".repeat(300);
    let bytes = draft(&description, tensors).classes(classes()).facts(facts()).encode().unwrap();
    let file = ModelFile::from_bytes(bytes).unwrap();
    file.verify().unwrap();
    let dense: usize =
        file.tensors().filter(|t| t.role() == Role::Parameter).map(|t| t.numel() * 4).sum();
    let factor = dense as f64 / file.len_bytes() as f64;
    println!("{name}: {dense} B as dense f32, {} B as .esm, 1/{factor:.2}", file.len_bytes());
    for section in file.sections() {
        println!("  {:20} at {:8}, {:8} B", section.kind.to_string(), section.offset, section.len);
    }
    assert!(factor >= at_least, "{name} shrinks to 1/{factor:.2}, 1/{at_least} is promised");
}

#[test]
fn resnet_20_at_95_percent_is_a_twelfth_of_its_dense_size_or_less() {
    let convs = convolutions(16, &[(16, 3), (32, 3), (64, 3)], false);
    shrinks("ResNet-20", &network(convs, [10, 64]), 12.0);
}

#[test]
fn resnet_18_at_95_percent_is_a_sixteenth_of_its_dense_size_or_less() {
    let convs = convolutions(64, &[(64, 2), (128, 2), (256, 2), (512, 2)], true);
    shrinks("ResNet-18", &network(convs, [10, 512]), 16.0);
}
