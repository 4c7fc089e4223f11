//! Which kernels a training step takes: layer by layer, pass by pass.

use std::path::Path;

use serde_json::json;

use crate::cli::fault::Fault;
use crate::cli::learn;
use crate::cli::setting::{self, Out};
use crate::cli::table::Table;
use crate::format::ModelFile;
use crate::model::{Mode, Plan, file};
use crate::sparse::{KernelTable, LANES};

pub(super) fn run(path: &Path, out: &Out) -> Result<(), Fault> {
    let wrong = |source| Fault::Format { path: path.to_path_buf(), source };
    let opened = ModelFile::open(path).map_err(wrong)?;
    opened.verify().map_err(wrong)?;
    let network = file::read(&opened, path)?.network;
    let plan = learn::plan(setting::isa());
    let mut table =
        Table::new(["layer", "density", "forward", "input gradient", "weight gradient"]);
    let mut layers = Vec::new();
    // Which kernels are taken depends on shapes and masks, not on the batch.
    for (weight, kernels) in Plan::new(&network, LANES, Mode::Train).kernels() {
        let parameter = &network.parameters[weight];
        let existing = parameter.mask.existing() as f64 / parameter.mask.len().max(1) as f64;
        let input = match kernels.input_gradient.as_str() {
            "" => "-".into(),
            told => told.to_owned(),
        };
        table.row(vec![
            parameter.name.clone(),
            format!("{:.2} %", 100.0 * existing),
            kernels.forward.clone(),
            input,
            kernels.weight_gradient.clone(),
        ]);
        layers.push(json!({ "name": parameter.name, "density_percent": 100.0 * existing,
            "forward": kernels.forward, "input_gradient": kernels.input_gradient,
            "weight_gradient": kernels.weight_gradient }));
    }
    let text = format!(
        "{}: {plan}; passes pack from a reuse of {} on\n\n{table}\npacked RxC*T by N: tiles of R by C places, T of them copied together, lists \
         in chunks of N;\nstreamed: lists of their own, the input where it lies; dense: one list for all rows\n",
        path.display(),
        KernelTable::in_force(),
    );
    let file = setting::told(path);
    let value = json!({ "command": "inspect", "file": file, "plan": plan, "layers": layers });
    out.result(&text, &value)
}
