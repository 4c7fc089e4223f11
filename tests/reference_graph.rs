//! The reference graph gives PyTorch's numbers: on a small network with every kind of operation,
//! and, where the files are there, on a ResNet-20 that the authors' own code trained.

#[path = "common/pytorch.rs"]
mod pytorch;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use pytorch::{DECAY, GAMMA, MOMENTUM, RATE, STEPS, Tiny, assert_gradients, assert_near, largest};
use unlearn::model::{Description, Mode, Reference, ReferenceError, builtin};

type Tensors = BTreeMap<String, Tensor>;

fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
    flat.to_vec1().unwrap()
}

fn in_f64(tensors: Tensors) -> Tensors {
    tensors.into_iter().map(|(n, tensor)| (n, tensor.to_dtype(DType::F64).unwrap())).collect()
}

fn start(tiny: &Tiny) -> (Tensors, Tensors, Tensors) {
    (tiny.group("param/"), tiny.group("buffer/"), tiny.group("mask/"))
}

#[test]
fn logits_loss_and_statistics_are_those_of_pytorch() {
    let tiny = Tiny::load();
    let (parameters, buffers, masks) = start(&tiny);
    let network = Reference::new(&tiny.network, &parameters, &buffers, &masks).unwrap();
    let (samples, labels) = tiny.batch(0);

    let served = network.forward(&samples, Mode::Evaluate).unwrap();
    assert_near("eval logits", &values(&served.logits), &tiny.values("eval/logits"), 1e-5);
    for (name, buffer) in &served.buffers {
        assert_eq!(values(buffer), values(&buffers[name]), "{name} moved in evaluation");
    }

    let trained = network.gradients(&samples, &labels, Mode::Train).unwrap();
    assert_near("train logits", &values(&trained.logits), &tiny.values("train/logits"), 1e-5);
    assert_near("loss", &values(&trained.loss), &tiny.values("train/loss"), 1e-6);
    for (name, buffer) in &trained.buffers {
        let expected = tiny.values(&format!("train/buffer/{name}"));
        assert_near(name, &values(buffer), &expected, 1e-6 * largest(&expected));
    }
}

#[test]
fn gradients_are_those_of_pytorch_and_nothing_under_a_mask() {
    let tiny = Tiny::load();
    let (parameters, buffers, masks) = start(&tiny);
    let (samples, labels) = tiny.batch(0);
    let single = Reference::new(&tiny.network, &parameters, &buffers, &masks).unwrap();
    let found = single.gradients(&samples, &labels, Mode::Train).unwrap().by_name;
    let by_name: BTreeMap<_, _> = found.iter().map(|(n, g)| (n.clone(), values(g))).collect();
    assert_gradients(&tiny, &by_name, 1e-4);
    for (name, mask) in &masks {
        let outside = values(mask).into_iter().zip(&by_name[name]).filter(|(kept, _)| *kept == 0.0);
        assert!(outside.into_iter().all(|(_, gradient)| *gradient == 0.0), "{name}");
    }

    let (parameters, buffers) = (in_f64(parameters), in_f64(buffers));
    let exact = Reference::new(&tiny.network, &parameters, &buffers, &masks).unwrap();
    let found = exact.gradients(&samples, &labels, Mode::Train).unwrap().by_name;
    let by_name = found.iter().map(|(n, g)| (n.clone(), values(g))).collect();
    assert_gradients(&tiny, &by_name, 1e-6);
}

#[test]
fn three_steps_of_sgd_with_l1_end_where_pytorch_ends() {
    let tiny = Tiny::load();
    let (mut parameters, mut buffers, masks) = start(&tiny);
    let mut momentum: Tensors = Tensors::new();
    for step in 0..STEPS {
        let (samples, labels) = tiny.batch(step);
        let network = Reference::new(&tiny.network, &parameters, &buffers, &masks).unwrap();
        let found = network.gradients(&samples, &labels, Mode::Train).unwrap();
        let loss = values(&found.loss);
        assert_near("loss", &loss, &tiny.values("after/losses")[step..=step], 1e-5);
        buffers = found.buffers;
        for (name, parameter) in &mut parameters {
            let l1 = (parameter.sign().unwrap() * GAMMA).unwrap();
            let decay = (&*parameter * DECAY).unwrap();
            let slope = ((&found.by_name[name] + l1).unwrap() + decay).unwrap();
            let speed = match momentum.get(name) {
                Some(before) => ((before * MOMENTUM).unwrap() + slope).unwrap(),
                None => slope,
            };
            *parameter = (&*parameter - (&speed * RATE).unwrap()).unwrap();
            momentum.insert(name.clone(), speed);
        }
    }
    for (group, found) in [("param", parameters), ("buffer", buffers)] {
        for (name, tensor) in found {
            let expected = tiny.values(&format!("after/{group}/{name}"));
            assert_near(&name, &values(&tensor), &expected, 1e-5 * largest(&expected));
        }
    }
}

#[test]
fn a_fault_is_told_with_the_layer_it_lies_in() {
    let tiny = Tiny::load();
    let (parameters, buffers, masks) = start(&tiny);
    let network = Reference::new(&tiny.network, &parameters, &buffers, &masks).unwrap();
    let wide = Tensor::zeros((2, 3, 9, 9), DType::F32, &Device::Cpu).unwrap();
    let error = network.forward(&wide, Mode::Evaluate).unwrap_err();
    assert!(matches!(error, ReferenceError::Shape { .. }), "{error}");
    let (samples, _) = tiny.batch(0);
    let labels = Tensor::new(&[0u32, 1, 2, 3, 5], &Device::Cpu).unwrap();
    let message = network.gradients(&samples, &labels, Mode::Train).unwrap_err().to_string();
    assert!(message.starts_with("`loss`: cross-entropy failed: "), "{message}");
    assert!(!message.contains('\n'), "a backtrace: {message}");

    let mut fewer = parameters.clone();
    fewer.remove("grouped.weight");
    let error = Reference::new(&tiny.network, &fewer, &buffers, &masks).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the network needs the tensor `grouped.weight`, which was not given"
    );
    let mut more = masks.clone();
    more.insert("fc.weight".into(), parameters["fc.weight"].clone());
    let error = Reference::new(&tiny.network, &parameters, &buffers, &more).unwrap_err();
    assert!(matches!(error, ReferenceError::Unknown { role: "mask", .. }), "{error}");
}

/// The folder that `variable` names; says so where there is none.
fn folder(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_dir());
    if found.is_none() {
        eprintln!("SKIPPED: {variable} names no folder, the trained ResNet-20 was not compared");
    }
    found
}

/// The first `count` CIFAR records of an xz file, as values between 0 and 1.
fn cifar(path: &Path, count: usize) -> Tensor {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut records = vec![0u8; count * 3073];
    lzma_rust2::XzReader::new(file, false).read_exact(&mut records).unwrap();
    let pixels = records.chunks(3073).flat_map(|record| &record[1..]);
    let pixels: Vec<f32> = pixels.map(|&byte| f32::from(byte) / 255.0).collect();
    Tensor::from_vec(pixels, (count, 3, 32, 32), &Device::Cpu).unwrap()
}

#[test]
fn a_resnet20_of_the_authors_gives_the_logits_it_gave_them() {
    let (Some(reference), Some(data)) = (folder("UNLEARN_REFERENCE"), folder("UNLEARN_DATA"))
    else {
        return;
    };
    let path = reference.join("vectors/s1_dense.safetensors");
    let stored = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let network = Description::parse(builtin("resnet20").unwrap(), "resnet20", 10).unwrap();
    let parameters: Tensors = network
        .parameters()
        .into_iter()
        .map(|p| (p.name.clone(), stored[&p.name].clone()))
        .collect();
    let buffers: Tensors =
        network.buffers().into_iter().map(|b| (b.name.clone(), stored[&b.name].clone())).collect();
    let graph = Reference::new(&network, &parameters, &buffers, &Tensors::new()).unwrap();
    let samples = cifar(&data.join("cifar10/small_test.bin.xz"), 64);
    let found = graph.forward(&samples, Mode::Evaluate).unwrap().logits;
    let expected = Tensor::read_npy(reference.join("vectors/s1_dense_logits64.npy")).unwrap();
    assert_eq!(found.dims(), expected.dims());
    assert_near("logits", &values(&found), &values(&expected), 1e-4);
}
