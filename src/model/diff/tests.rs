use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::format::{ClassesAndFeatures, Facts, Provenance};
use crate::model::file::{encode, read};
use crate::model::{Description, Network, builtin};
use crate::sparse::Mask;

/// A model that was written and read again.
struct Model {
    file: ModelFile,
    artifact: Artifact,
}

impl Model {
    fn of(network: &Network, facts: &Facts, momentum: Option<&[f32]>) -> Self {
        Self::named(network, &names(10), facts, momentum)
    }

    fn named(
        network: &Network,
        classes: &[String],
        facts: &Facts,
        momentum: Option<&[f32]>,
    ) -> Self {
        let meaning = ClassesAndFeatures::plain(classes.to_vec());
        let bytes = encode(network, &meaning, facts, Dtype::F32, momentum, None).unwrap();
        let file = ModelFile::from_bytes(bytes).unwrap();
        let artifact = read(&file, Path::new("test.esm")).unwrap();
        Self { file, artifact }
    }

    fn side(&self) -> Side<'_> {
        Side { file: &self.file, artifact: &self.artifact }
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|label| format!("class {label}")).collect()
}

fn facts() -> Facts {
    Facts::new(Provenance::Undeclared).with("seed", "1").with("epochs", "3")
}

fn network() -> Network {
    let text = builtin("cnn16").unwrap();
    Network::new(Arc::new(Description::parse(text, "cnn16", 10).unwrap()), 7)
}

/// Index of the parameter of this name.
fn at(network: &Network, name: &str) -> usize {
    network.parameters.iter().position(|p| p.name == name).unwrap()
}

fn between(a: &Network, b: &Network) -> Difference {
    let (a, b) = (Model::of(a, &facts(), None), Model::of(b, &facts(), None));
    Difference::between(a.side(), b.side(), 4)
}

fn tensor<'d>(difference: &'d Difference, name: &str) -> &'d Compared {
    let found = difference.tensors.iter().find(|tensor| tensor.name == name).unwrap();
    found.compared.as_ref().unwrap()
}

#[test]
fn a_model_does_not_differ_from_itself() {
    let network = network();
    let difference = between(&network, &network);
    assert!(difference.same_file && difference.same_model && difference.moved.is_empty());
    assert!(difference.description.same_text && difference.description.same_structure);
    assert!(difference.classes.is_same() && difference.facts.is_empty());
    let all = difference.total(|_| true);
    assert!(all.is_same() && all.changed() == 0);
    assert_eq!((all.both.l2(), all.both.l1, all.jaccard()), (0.0, 0.0, 1.0));
    assert_eq!((all.union.relative(), all.union.cosine()), (Some(0.0), Some(1.0)));
}

#[test]
fn planted_moves_are_found_with_their_place_and_size() {
    let before = network();
    let mut after = before.clone();
    let conv2 = at(&before, "conv2.weight");
    // conv2.weight is [32, 16, 3, 3]: 3,1,0,2 is 3·144 + 1·9 + 0·3 + 2.
    let planted = [(443, 0.5f32), (0, -2.0), (4607, 0.25)];
    for (position, by) in planted {
        after.values[before.parameters[conv2].range.start + position] += by;
    }
    let by = planted.map(|(position, _)| {
        let at = before.parameters[conv2].range.start + position;
        f64::from(after.values[at]) - f64::from(before.values[at])
    });
    let difference = between(&before, &after);
    let told: Vec<_> = difference.moved.iter().map(|m| (difference.name_of(m), m.by())).collect();
    let expected = [
        ("conv2.weight[0,0,0,0]".to_string(), by[1]),
        ("conv2.weight[3,1,0,2]".to_string(), by[0]),
        ("conv2.weight[31,15,2,2]".to_string(), by[2]),
    ];
    assert_eq!(told, expected);
    let conv2 = tensor(&difference, "conv2.weight");
    assert_eq!((conv2.changed(), conv2.equal, conv2.left, conv2.came), (3, 4605, 0, 0));
    assert_eq!(conv2.both.largest, Some(difference.moved[0]));
    assert_eq!(conv2.both.l1, by[1].abs() + by[0] + by[2]);
    let l2 = by.iter().map(|by| by * by).sum::<f64>().sqrt();
    assert!((conv2.both.l2() - l2).abs() < 1e-12 && conv2.both == conv2.union);
    assert_eq!(difference.total(TensorDifference::is_parameter).changed(), 3);
    assert_eq!(difference.magnitudes.changed.iter().sum::<u64>(), 3);
    assert!(tensor(&difference, "conv1.weight").is_same());
}

#[test]
fn what_left_and_what_came_is_told_apart_from_what_moved() {
    let full = network();
    let conv1 = at(&full, "conv1.weight");
    let masked = |keep: &dyn Fn(usize) -> bool| {
        let mut network = full.clone();
        let mut masks = network.masks();
        masks[conv1] = Mask::from_fn(masks[conv1].len(), keep);
        network.set_masks(masks);
        network
    };
    // Of 144 entries, A has the first 100, B all but the first 30: 70 in both.
    let (a, b) = (masked(&|p| p < 100), masked(&|p| p >= 30));
    let difference = between(&a, &b);
    let found = tensor(&difference, "conv1.weight");
    assert_eq!((found.both.entries, found.left, found.came), (70, 30, 44));
    assert_eq!((found.union.entries, found.equal, found.both.l2()), (144, 70, 0.0));
    assert!((found.jaccard() - 70.0 / 144.0).abs() < 1e-15);
    let dense = full.dense(conv1);
    let gone = dense[..30].iter().chain(&dense[100..]).map(|&v| f64::from(v).abs());
    assert!((found.union.l1 - gone.sum::<f64>()).abs() < 1e-9);
    assert!(difference.moved.iter().all(|m| m.a.is_some() != m.b.is_some()));
    let Magnitudes { changed, left, came } = &difference.magnitudes;
    assert_eq!([changed, left, came].map(|bins| bins.iter().sum::<u64>()), [0, 30, 44]);
    assert_eq!(difference.total(TensorDifference::is_prunable).left, 30);
}

#[test]
fn of_equal_distances_the_first_entries_are_kept_however_many_there_are() {
    let before = network();
    let mut after = before.clone();
    let range = before.parameters[at(&before, "bn1.weight")].range.clone();
    let conv4 = before.parameters[at(&before, "conv4.weight")].range.clone();
    after.values[conv4].iter_mut().enumerate().for_each(|(i, v)| *v += 1e-3 * (i % 7) as f32);
    // All scales are 1 before.
    after.values[range].fill(3.0);
    let difference = between(&before, &after);
    let told: Vec<String> = difference.moved.iter().map(|m| difference.name_of(m)).collect();
    assert_eq!(told, ["bn1.weight[0]", "bn1.weight[1]", "bn1.weight[2]", "bn1.weight[3]"]);
    assert_eq!(tensor(&difference, "bn1.weight").both.l2(), (16.0 * 4.0f64).sqrt());
    assert_eq!(tensor(&difference, "bn1.weight").both.relative(), Some(2.0));
    assert_eq!(tensor(&difference, "bn1.weight").both.cosine(), Some(1.0));
}

#[test]
fn facts_and_classes_that_changed_are_named() {
    let network = network();
    let change = |key: &str, a: Option<&str>, b: Option<&str>| Change {
        key: key.into(),
        a: a.map(String::from),
        b: b.map(String::from),
    };
    let (mut old, mut new) = (names(10), names(10));
    // One renamed, one at another label, one gone and one added at labels of others.
    (old[1], new[1]) = ("up".into(), "north".into());
    (old[2], old[3], old[4]) = ("x".into(), "gone".into(), "z".into());
    (new[2], new[3], new[4]) = ("z".into(), "x".into(), "added".into());
    let a = Model::named(&network, &old, &facts(), None);
    let later = Facts::new(Provenance::Enrolled).with("seed", "2").with("method", "l1-sparse");
    let b = Model::named(&network, &new, &later, None);
    let difference = Difference::between(a.side(), b.side(), 0);
    let expected = [
        change("provenance", Some("undeclared"), Some("enrolled")),
        change("seed", Some("1"), Some("2")),
        change("epochs", Some("3"), None),
        change("method", None, Some("l1-sparse")),
    ];
    assert_eq!(difference.facts, expected);
    let classes = &difference.classes;
    assert_eq!(classes.renamed, [("up".to_string(), "north".to_string())]);
    assert_eq!(
        (&classes.gone[..], &classes.added[..]),
        (&["gone".into()][..], &["added".into()][..])
    );
    assert_eq!(classes.moved, [("x".into(), 2, 3), ("z".into(), 4, 2)]);
    assert!(!difference.same_model && difference.total(|_| true).is_same());
}

#[test]
fn networks_of_other_shape_are_compared_where_they_agree() {
    let text = builtin("cnn16").unwrap();
    let other = text.replacen("filters = 64", "filters = 48", 1);
    assert_ne!(text, other);
    let other = Network::new(Arc::new(Description::parse(&other, "other", 10).unwrap()), 7);
    let difference = between(&network(), &other);
    assert!(!difference.description.same_structure);
    assert!(difference.description.changed.contains(&"conv4".to_string()));
    let found = |name: &str| difference.tensors.iter().find(|t| t.name == name).unwrap();
    let shapes = [&found("conv4.weight").a, &found("conv4.weight").b]
        .map(|form| form.as_ref().unwrap().shape.clone());
    assert_eq!(shapes, [vec![64, 32, 3, 3], vec![48, 32, 3, 3]]);
    assert!(found("conv4.weight").compared.is_none());
    assert!(tensor(&difference, "conv3.weight").is_same());
}

#[test]
fn a_comment_changes_the_text_and_not_the_network() {
    let text = format!("# kept\n{}", builtin("cnn16").unwrap());
    let other = Network::new(Arc::new(Description::parse(&text, "other", 10).unwrap()), 7);
    let difference = between(&network(), &other);
    assert!(!difference.description.same_text && difference.description.same_structure);
    assert!(difference.description.changed.is_empty() && !difference.same_model);
}

#[test]
fn the_momentum_of_a_checkpoint_is_a_tensor_of_its_own() {
    let network = network();
    let momentum: Vec<f32> = network.values.iter().map(|value| value / 2.0).collect();
    let a = Model::of(&network, &facts(), None);
    let b = Model::of(&network, &facts(), Some(&momentum));
    let difference = Difference::between(a.side(), b.side(), 3);
    let only_b: Vec<_> = difference.tensors.iter().filter(|tensor| tensor.a.is_none()).collect();
    assert_eq!(only_b.len(), network.parameters.len());
    assert!(only_b.iter().all(|t| t.part == Part::Momentum && t.name.starts_with("momentum/")));
    assert!(difference.moved.is_empty(), "momentum is no weight");
    let itself = Difference::between(b.side(), b.side(), 3);
    assert_eq!(itself.total(|t| t.part == Part::Momentum).equal, network.values.len() as u64);
}
