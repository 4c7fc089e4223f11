//! What is in a model file: layers, density by parameters and by operations, bytes, facts.

use std::path::Path;

use serde_json::{Value, json};

use crate::base::units::Bytes;
use crate::cli::anchor;
use crate::cli::fault::Fault;
use crate::cli::setting::{self, Out};
use crate::cli::table::Table;
use crate::format::{ModelFile, Provenance, Section};
use crate::model::file::{self, Artifact};
use crate::model::{Description, Node, Op, ParamKind};

/// One weight tensor of the network, or an attention.
struct Layer {
    name: String,
    shape: String,
    existing: usize,
    all: usize,
    macs: u64,
    dense_macs: u64,
    bytes: u64,
    kind: String,
    dtype: String,
}

pub(super) fn run(path: &Path, out: &Out) -> Result<(), Fault> {
    let wrong = |source| Fault::Format { path: path.to_path_buf(), source };
    let file = ModelFile::open(path).map_err(wrong)?;
    file.verify().map_err(wrong)?;
    let artifact = file::read(&file, path)?;
    let layers = layers(&file, &artifact);
    let totals = Totals::of(&layers, &file, &artifact);
    out.result(
        &text(path, &artifact, &layers, &totals),
        &value(path, &file, &artifact, &layers, &totals),
    )
}

/// Sums over the layers, and sizes of the whole.
struct Totals {
    existing: u64,
    all: u64,
    macs: u64,
    dense_macs: u64,
    file_bytes: u64,
    f32_bytes: u64,
    sparsity: f64,
}

impl Totals {
    fn of(layers: &[Layer], file: &ModelFile, artifact: &Artifact) -> Self {
        let total = |of: fn(&Layer) -> u64| layers.iter().map(of).sum::<u64>();
        Self {
            existing: total(|l| l.existing as u64),
            all: total(|l| l.all as u64),
            macs: total(|l| l.macs),
            dense_macs: total(|l| l.dense_macs),
            file_bytes: file.len_bytes(),
            f32_bytes: f32_bytes(file),
            sparsity: 100.0 * artifact.network.sparsity(),
        }
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / (whole as f64).max(1.0)
}

fn text(path: &Path, artifact: &Artifact, layers: &[Layer], totals: &Totals) -> String {
    let mut table = Table::new([
        "layer",
        "shape",
        "weights",
        "of",
        "density",
        "MACs",
        "MAC density",
        "MAC share",
        "stored as",
        "bytes",
    ]);
    for layer in layers {
        table.row(vec![
            layer.name.clone(),
            layer.shape.clone(),
            layer.existing.to_string(),
            layer.all.to_string(),
            format!("{:.2} %", percent(layer.existing as u64, layer.all as u64)),
            layer.macs.to_string(),
            format!("{:.2} %", percent(layer.macs, layer.dense_macs)),
            format!("{:.1} %", percent(layer.macs, totals.macs)),
            format!("{} {}", layer.kind, layer.dtype),
            layer.bytes.to_string(),
        ]);
    }
    let Totals { existing, all, macs, dense_macs, file_bytes, f32_bytes, sparsity } = totals;
    format!(
        "{}: {}, {} classes, id {}\n\n{table}\n\
         {existing} of {all} weights in these layers exist ({:.2} %), {sparsity:.2} % of the prunable ones are gone\n\
         {macs} of {dense_macs} MACs a sample ({:.2} %)\n\
         file {}, as f32 in safetensors {} ({:.1} times as much)\n\
         provenance {}; anchor set: {}\n\n{}",
        path.display(),
        artifact.network.description.name,
        artifact.meaning.classes.len(),
        artifact.id,
        percent(*existing, *all),
        percent(*macs, *dense_macs),
        Bytes(*file_bytes),
        Bytes(*f32_bytes),
        *f32_bytes as f64 / *file_bytes as f64,
        provenance(artifact),
        anchor::told(artifact.anchor.as_ref()),
        facts_text(artifact),
    )
}

/// Whose data the model was made from, in the word of `--provenance`.
fn provenance(artifact: &Artifact) -> &'static str {
    match artifact.facts.provenance {
        Provenance::Undeclared => "undeclared",
        Provenance::Population => "population",
        Provenance::Enrolled => "enrolled",
    }
}

fn value(
    path: &Path,
    file: &ModelFile,
    artifact: &Artifact,
    layers: &[Layer],
    totals: &Totals,
) -> Value {
    let layer = |l: &Layer| {
        json!({ "name": l.name, "shape": l.shape, "weights": l.existing, "weights_dense": l.all,
            "density_percent": percent(l.existing as u64, l.all as u64), "macs": l.macs,
            "macs_dense": l.dense_macs, "bytes": l.bytes, "kind": l.kind, "dtype": l.dtype })
    };
    let section = |s: &Section| json!({ "name": s.kind.to_string(), "offset": s.offset, "bytes": s.len, "blake3": s.digest.to_string() });
    let facts: serde_json::Map<String, Value> =
        artifact.facts.entries().iter().map(|e| (e.key.clone(), json!(e.value))).collect();
    json!({
        "command": "inspect", "file": setting::told(path), "id": artifact.id.to_string(),
        "model": artifact.network.description.name, "classes": artifact.meaning.classes,
        "file_bytes": totals.file_bytes, "safetensors_f32_bytes": totals.f32_bytes,
        "weights": totals.existing, "weights_dense": totals.all,
        "sparsity_percent": totals.sparsity, "sparsity_of": "prunable weights",
        "macs": totals.macs, "macs_dense": totals.dense_macs,
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        "sections": file.sections().iter().map(section).collect::<Vec<_>>(), "facts": facts,
        "provenance": provenance(artifact), "anchor": anchor::value(artifact.anchor.as_ref()),
    })
}

fn layers(file: &ModelFile, artifact: &Artifact) -> Vec<Layer> {
    let network = &artifact.network;
    let dense = network.description.macs();
    let weights = network.parameters.iter().filter(|p| p.kind == ParamKind::Weight);
    let mut layers: Vec<(usize, Layer)> = weights
        .map(|p| {
            let all = p.mask.len();
            // Every weight of a layer is applied at the same number of places.
            let places = dense[p.node] / (all as u64).max(1);
            let tensor = file.tensor(&p.name);
            let shape: Vec<String> = p.shape.iter().map(usize::to_string).collect();
            let layer = Layer {
                name: p.name.clone(),
                shape: shape.join("x"),
                existing: p.mask.existing(),
                all,
                macs: places * p.mask.existing() as u64,
                dense_macs: dense[p.node],
                bytes: tensor.as_ref().map_or(0, |t| t.stored_bytes()),
                kind: tensor.as_ref().map_or_else(String::new, |t| t.kind().to_string()),
                dtype: tensor.as_ref().map_or_else(String::new, |t| t.dtype().to_string()),
            };
            (p.node, layer)
        })
        .collect();
    layers.extend(attentions(&network.description, &dense));
    layers.sort_by_key(|(node, _)| *node);
    layers.into_iter().map(|(_, layer)| layer).collect()
}

/// Attentions multiply activations with each other: they cost, and have no weights.
fn attentions(description: &Description, macs: &[u64]) -> Vec<(usize, Layer)> {
    let nodes = description.nodes.iter().zip(macs).enumerate();
    let attentions = nodes.filter(|(_, (node, _))| matches!(node.op, Op::Attention { .. }));
    let layer = |(index, (node, macs)): (usize, (&Node, &u64))| {
        let none = String::new;
        let layer = Layer {
            name: node.name.clone(),
            shape: none(),
            existing: 0,
            all: 0,
            macs: *macs,
            dense_macs: *macs,
            bytes: 0,
            kind: none(),
            dtype: none(),
        };
        (index, layer)
    };
    attentions.map(layer).collect()
}

/// Bytes of a safetensors file with the same tensors, dense and in `f32`.
fn f32_bytes(file: &ModelFile) -> u64 {
    let (mut values, mut header) = (0u64, 2u64);
    for tensor in file.tensors().filter(|t| !t.name().starts_with("momentum/")) {
        let end = values + 4 * tensor.numel() as u64;
        let shape: Vec<String> = tensor.shape().iter().map(usize::to_string).collect();
        let entry = format!(
            "\"{}\":{{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[{values},{end}]}},",
            tensor.name(),
            shape.join(",")
        );
        header += entry.len() as u64;
        values = end;
    }
    8 + header.next_multiple_of(8) + values
}

fn facts_text(artifact: &Artifact) -> String {
    let entries = artifact.facts.entries();
    let width = entries.iter().map(|entry| entry.key.len()).max().unwrap_or(0);
    entries.iter().map(|entry| format!("{:width$}  {}\n", entry.key, entry.value)).collect()
}
