//! What differs in descriptions, classes, features and facts.

use std::collections::BTreeMap;

use crate::format::{Entry, Facts, Features};
use crate::model::Description;

/// A named text that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub key: String,
    /// Its value in A; `None` where A has none.
    pub a: Option<String>,
    /// Its value in B; `None` where B has none.
    pub b: Option<String>,
}

/// What differs between two descriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescriptionChange {
    /// Whether the texts are equal.
    pub same_text: bool,
    /// Whether they describe the same network: the same operations with the same attributes under
    /// the same names, and the same normalisation of the input. Comments and the network's own
    /// name do not count.
    pub same_structure: bool,
    /// Operations that only A has.
    pub only_a: Vec<String>,
    /// Operations that only B has.
    pub only_b: Vec<String>,
    /// Operations that both have and that differ in attributes, inputs or shape.
    pub changed: Vec<String>,
}

/// What differs between two lists of classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassChange {
    /// Names that only A has.
    pub gone: Vec<String>,
    /// Names that only B has.
    pub added: Vec<String>,
    /// Labels under which A and B have different names that the other does not have.
    pub renamed: Vec<(String, String)>,
    /// Names that both have, under different labels: `(name, label in A, label in B)`.
    pub moved: Vec<(String, usize, usize)>,
}

impl DescriptionChange {
    pub(super) fn between(a: &Description, b: &Description) -> Self {
        let same_text = a.source == b.source && a.classes == b.classes;
        let of = |from: &Description, other: &Description| -> Vec<String> {
            let unknown = |name: &str| other.nodes.iter().all(|node| node.name != name);
            let names = from.nodes.iter().map(|node| node.name.clone());
            names.filter(|name| unknown(name)).collect()
        };
        // Inputs are compared by name: an operation more above must not change all below it.
        let inputs = |from: &Description, node: usize| -> Vec<String> {
            from.nodes[node].inputs.iter().map(|&at| from.nodes[at].name.clone()).collect()
        };
        let mut changed = Vec::new();
        for (at, node) in a.nodes.iter().enumerate() {
            let other = b.nodes.iter().position(|other| other.name == node.name);
            let Some((to, other)) = other.map(|to| (to, &b.nodes[to])) else { continue };
            let normalises = at == 0 && (&a.mean, &a.std) != (&b.mean, &b.std);
            if (&node.op, node.shape, node.prunable) != (&other.op, other.shape, other.prunable)
                || inputs(a, at) != inputs(b, to)
                || normalises
            {
                changed.push(node.name.clone());
            }
        }
        let same_structure = a.nodes == b.nodes && (&a.mean, &a.std) == (&b.mean, &b.std);
        Self { same_text, same_structure, only_a: of(a, b), only_b: of(b, a), changed }
    }
}

impl ClassChange {
    pub(super) fn between(a: &[String], b: &[String]) -> Self {
        let [in_a, in_b] = [a, b].map(|names| names.iter().zip(0..).collect::<BTreeMap<_, _>>());
        let is_renamed = |label: usize| match (a.get(label), b.get(label)) {
            (Some(old), Some(new)) => !in_b.contains_key(old) && !in_a.contains_key(new),
            _ => false,
        };
        let only = |names: &[String], other: &BTreeMap<&String, usize>| -> Vec<String> {
            let named = names.iter().enumerate();
            named
                .filter(|(label, name)| !other.contains_key(name) && !is_renamed(*label))
                .map(|(_, name)| name.clone())
                .collect()
        };
        let renamed = (0..a.len().min(b.len())).filter(|&label| is_renamed(label));
        let moved = a.iter().enumerate().filter_map(|(label, name)| {
            let to = *in_b.get(name)?;
            (to != label).then(|| (name.clone(), label, to))
        });
        Self {
            gone: only(a, &in_b),
            added: only(b, &in_a),
            renamed: renamed.map(|label| (a[label].clone(), b[label].clone())).collect(),
            moved: moved.collect(),
        }
    }

    /// Whether names and order are the same.
    pub fn is_same(&self) -> bool {
        *self == Self::default()
    }
}

/// Facts that differ; the provenance is told as one of them.
pub(super) fn facts(a: &Facts, b: &Facts) -> Vec<Change> {
    let [mine, other] = [a, b].map(|facts| {
        let provenance = Entry::new("provenance", format!("{:?}", facts.provenance).to_lowercase());
        [&[provenance], facts.entries()].concat()
    });
    changes(&mine, &other)
}

/// What differs between two feature extractions; its kind is told as one of the parameters.
pub(super) fn features(a: Option<&Features>, b: Option<&Features>) -> Vec<Change> {
    let entries = |features: &Features| {
        [&[Entry::new("kind", &*features.kind)], &features.parameters[..]].concat()
    };
    let [mine, other] = [a, b].map(|features| features.map(entries).unwrap_or_default());
    changes(&mine, &other)
}

/// Keys in A's order, then those that only B has.
fn changes(a: &[Entry], b: &[Entry]) -> Vec<Change> {
    let value = |entries: &[Entry], key: &str| {
        entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.clone())
    };
    let new = b.iter().filter(|entry| value(a, &entry.key).is_none());
    let all = a.iter().chain(new).map(|entry| Change {
        key: entry.key.clone(),
        a: value(a, &entry.key),
        b: value(b, &entry.key),
    });
    all.filter(|change| change.a != change.b).collect()
}
