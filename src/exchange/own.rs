//! What this program writes beside the tensors, so that nothing is lost on the way back.

use super::error::ExchangeFault;
use crate::format::{ClassesAndFeatures, Dtype, Entry, Facts, Features, Provenance};

/// The logical id of the model, in hexadecimal.
pub(super) const ID: &str = "unlearn.logical_id";
/// The network description.
pub(super) const DESCRIPTION: &str = "unlearn.description";
/// Class names, as a JSON list.
pub(super) const CLASSES: &str = "unlearn.classes";
/// How samples become inputs, as a JSON pair of the kind and a list of its settings.
const FEATURES: &str = "unlearn.features";
/// Facts, as a JSON list of pairs.
const FACTS: &str = "unlearn.facts";
/// Whose data the model was made from, in one word.
const PROVENANCE: &str = "unlearn.provenance";
/// The element type of weights in the model file.
pub(super) const DTYPE: &str = "unlearn.dtype";
/// The share of prunable weights that do not exist.
pub(super) const SPARSITY: &str = "unlearn.sparsity";

/// Keys and texts in order.
type Pairs = Vec<(String, String)>;

/// What a file says of itself, if this program wrote it.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    pub description: Option<String>,
    pub classes: Option<Vec<String>>,
    pub features: Option<Features>,
    pub facts: Option<Facts>,
    pub dtype: Option<Dtype>,
    pub id: Option<String>,
}

impl Own {
    /// Reads what `get` finds by key.
    pub(super) fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, ExchangeFault> {
        let json =
            |key, what: serde_json::Error| ExchangeFault::Metadata { key, what: what.to_string() };
        let classes = get(CLASSES).map(serde_json::from_str::<Vec<String>>).transpose();
        let features = get(FEATURES).map(serde_json::from_str::<(String, Pairs)>).transpose();
        let features = features.map_err(|error| json(FEATURES, error))?.map(|(kind, settings)| {
            let entry = |(key, value)| Entry::new(key, value);
            Features { kind, parameters: settings.into_iter().map(entry).collect() }
        });
        let pairs = get(FACTS).map(serde_json::from_str::<Pairs>).transpose();
        let facts = pairs.map_err(|error| json(FACTS, error))?.map(|pairs| {
            let provenance = get(PROVENANCE).and_then(provenance).unwrap_or_default();
            let facts = Facts::new(provenance);
            pairs.into_iter().fold(facts, |facts, (key, value)| facts.with(key, value))
        });
        Ok(Self {
            description: get(DESCRIPTION).map(str::to_owned),
            classes: classes.map_err(|error| json(CLASSES, error))?,
            features,
            facts,
            dtype: get(DTYPE).and_then(dtype),
            id: get(ID).map(str::to_owned),
        })
    }
}

/// The word for a provenance.
fn word(provenance: Provenance) -> &'static str {
    match provenance {
        Provenance::Undeclared => "undeclared",
        Provenance::Population => "population",
        Provenance::Enrolled => "enrolled",
    }
}

fn provenance(text: &str) -> Option<Provenance> {
    [Provenance::Undeclared, Provenance::Population, Provenance::Enrolled]
        .into_iter()
        .find(|known| word(*known) == text)
}

fn dtype(text: &str) -> Option<Dtype> {
    [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Int8].into_iter().find(|d| d.to_string() == text)
}

/// Pairs of keys and texts about `facts`.
pub(super) fn facts(facts: &Facts) -> [(&'static str, String); 2] {
    let pairs: Vec<(&str, &str)> =
        facts.entries().iter().map(|entry| (&*entry.key, &*entry.value)).collect();
    let text = serde_json::to_string(&pairs).unwrap_or_default();
    [(PROVENANCE, word(facts.provenance).to_owned()), (FACTS, text)]
}

/// Pairs of keys and texts about classes and features.
pub(super) fn meaning(meaning: &ClassesAndFeatures) -> Vec<(&'static str, String)> {
    let mut pairs = vec![(CLASSES, serde_json::to_string(&meaning.classes).unwrap_or_default())];
    if let Some(Features { kind, parameters }) = &meaning.features {
        let settings: Vec<(&str, &str)> =
            parameters.iter().map(|entry| (&*entry.key, &*entry.value)).collect();
        pairs.push((FEATURES, serde_json::to_string(&(kind, settings)).unwrap_or_default()));
    }
    pairs
}
