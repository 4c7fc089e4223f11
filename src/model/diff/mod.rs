//! What changed between two models: words, masks, and how far the weights moved.
//!
//! Works on two files that were read, A and B; writes nothing and knows no terminal. A difference
//! is always B minus A.
//!
//! # Two ways to compare weights
//! Where masks differ, a distance can mean two things, and both are given:
//! - [`Compared::both`]: over the entries that exist in A and in B.
//! - [`Compared::union`]: over the entries that exist in A or in B. One that is missing counts as
//!   0, which is what it is to the network's output.
//!
//! # Determinism
//! Sums are `f64`, in ascending position, tensor after tensor in the order of A's description, on
//! one thread. Equal files give equal figures.

mod distance;
mod magnitudes;
mod tensors;
#[cfg(test)]
mod tests;
mod weights;
mod words;

use super::file::Artifact;
use super::parameters::ParamKind;
use crate::format::{Dtype, Kind, ModelFile, SectionKind};

pub use distance::{Compared, Distance};
pub use magnitudes::Magnitudes;
pub use weights::{LayerDistance, WeightDistance};
pub use words::{Change, ClassChange, DescriptionChange};

/// One of the two models: its file, and the network that was read from it.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The file, opened.
    pub file: &'a ModelFile,
    /// What [`super::file::read`] made of it.
    pub artifact: &'a Artifact,
}

/// All that differs between two models.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Whether the two files are equal byte by byte.
    pub same_file: bool,
    /// Whether they mean the same, that is, have one logical id: another spelling of a mask or
    /// another signature changes the file but not the model.
    pub same_model: bool,
    /// What differs between the descriptions.
    pub description: DescriptionChange,
    /// What differs between the classes.
    pub classes: ClassChange,
    /// Parameters of the feature extraction that differ.
    pub features: Vec<Change>,
    /// Facts that differ.
    pub facts: Vec<Change>,
    /// Names of sections that differ and that nothing else here tells about: calibration,
    /// signatures, the anchor set, and those that this version does not know.
    pub sections: Vec<String>,
    /// Every tensor of either, A's first, in the order of its description: parameters, running
    /// statistics, momentum.
    pub tensors: Vec<TensorDifference>,
    /// The entries of parameters that moved most, the furthest first. Of equal distance the one
    /// that comes first in the tensors.
    pub moved: Vec<Moved>,
    /// How far the entries of parameters moved, by powers of ten.
    pub magnitudes: Magnitudes,
}

/// What a tensor is to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Learnt by gradient.
    Parameter {
        /// What it does.
        kind: ParamKind,
        /// Whether the description of either model lets it be pruned.
        prunable: bool,
    },
    /// A running statistic of a batch norm.
    Buffer,
    /// The momentum of a checkpoint.
    Momentum,
}

/// A tensor as one of the files has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Its dimensions, as if every entry existed.
    pub shape: Vec<usize>,
    /// How many entries exist.
    pub existing: usize,
    /// How a value is stored.
    pub dtype: Dtype,
    /// How its mask is stored.
    pub kind: Kind,
}

/// What differs in one tensor.
#[derive(Clone, Debug)]
pub struct TensorDifference {
    /// Its name in both.
    pub name: String,
    /// What it is.
    pub part: Part,
    /// As A has it; `None` where A does not.
    pub a: Option<Form>,
    /// As B has it; `None` where B does not.
    pub b: Option<Form>,
    /// Masks and values; `None` where it is in one model only, or the shapes differ.
    pub compared: Option<Compared>,
}

/// An entry of a tensor, before and after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// Index into [`Difference::tensors`].
    pub tensor: usize,
    /// Flat position in the tensor, row-major.
    pub position: usize,
    /// Its value in A; `None` where it does not exist there.
    pub a: Option<f32>,
    /// Its value in B; `None` where it does not exist there.
    pub b: Option<f32>,
}

impl Moved {
    /// B minus A, where missing is 0.
    pub fn by(&self) -> f64 {
        f64::from(self.b.unwrap_or(0.0)) - f64::from(self.a.unwrap_or(0.0))
    }
}

impl Difference {
    /// What changed from `a` to `b`, with the `most` entries that moved most.
    ///
    /// Takes one pass over the entries of each tensor; beside what is returned, memory for twice
    /// `most` entries.
    pub fn between(a: Side<'_>, b: Side<'_>, most: usize) -> Self {
        let compared = tensors::compare(a, b, most);
        let [left, right] = [a, b].map(|side| &side.artifact.meaning);
        Self {
            same_file: a.file.sections() == b.file.sections(),
            same_model: a.file.logical_id() == b.file.logical_id(),
            description: DescriptionChange::between(
                &a.artifact.network.description,
                &b.artifact.network.description,
            ),
            classes: ClassChange::between(&left.classes, &right.classes),
            features: words::features(left.features.as_ref(), right.features.as_ref()),
            facts: words::facts(&a.artifact.facts, &b.artifact.facts),
            sections: sections(a.file, b.file),
            tensors: compared.tensors,
            moved: compared.moved,
            magnitudes: compared.magnitudes,
        }
    }

    /// Masks and values of all tensors for which `which` holds and which both models have in one
    /// shape.
    pub fn total(&self, which: impl Fn(&TensorDifference) -> bool) -> Compared {
        let tensors = self.tensors.iter().filter(|tensor| which(tensor));
        tensors
            .filter_map(|tensor| tensor.compared.as_ref())
            .fold(Compared::default(), Compared::and)
    }

    /// An entry as a person names it: `layer1.0.conv1.weight[3,1,0,2]`.
    ///
    /// # Panics
    /// If `entry` is not of this difference.
    pub fn name_of(&self, entry: &Moved) -> String {
        let tensor = &self.tensors[entry.tensor];
        let shape = tensor.a.as_ref().or(tensor.b.as_ref()).map_or(&[][..], |form| &form.shape);
        let index: Vec<String> =
            coordinates(entry.position, shape).iter().map(usize::to_string).collect();
        format!("{}[{}]", tensor.name, index.join(","))
    }
}

impl TensorDifference {
    /// Whether it is learnt.
    pub fn is_parameter(&self) -> bool {
        matches!(self.part, Part::Parameter { .. })
    }

    /// Whether pruning may remove entries of it.
    pub fn is_prunable(&self) -> bool {
        matches!(self.part, Part::Parameter { prunable: true, .. })
    }
}

/// The index in each dimension of `shape` of a flat, row-major position.
fn coordinates(position: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = position;
    let mut index: Vec<usize> = Vec::with_capacity(shape.len());
    for &size in shape.iter().rev() {
        index.push(rest % size.max(1));
        rest /= size.max(1);
    }
    index.reverse();
    index
}

/// Sections that differ, without those that are compared part by part.
fn sections(a: &ModelFile, b: &ModelFile) -> Vec<String> {
    const TOLD: [SectionKind; 7] = [
        SectionKind::TABLE,
        SectionKind::DESCRIPTION,
        SectionKind::CLASSES,
        SectionKind::FACTS,
        SectionKind::MASKS,
        SectionKind::PACKED,
        SectionKind::DENSE,
    ];
    let digest = |file: &ModelFile, kind| {
        file.sections().iter().find(|section| section.kind == kind).map(|section| section.digest)
    };
    let mut kinds: Vec<SectionKind> =
        a.sections().iter().chain(b.sections()).map(|section| section.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.retain(|kind| !TOLD.contains(kind) && digest(a, *kind) != digest(b, *kind));
    kinds.iter().map(ToString::to_string).collect()
}
