//! `unlearn methods`: what there is, and what it needs.

use serde_json::json;

use super::fault::Fault;
use super::setting::{Common, Out};
use super::table::Table;
use crate::unlearn::METHODS;

/// List the methods of forgetting.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: unlearn methods --json")]
pub(super) struct Args {
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(_: &Args, out: &Out) -> Result<(), Fault> {
    let mut table = Table::new(["method", "forget data", "retain data", "passes", "what it does"]);
    let word = |needs: bool| if needs { "needed" } else { "not read" }.to_string();
    for method in &METHODS {
        table.row(vec![
            method.name.into(),
            word(method.needs_forget),
            word(method.needs_retain),
            method.cost.into(),
            method.summary.into(),
        ]);
    }
    let list: Vec<_> = METHODS
        .iter()
        .map(|m| {
            json!({ "name": m.name, "summary": m.summary, "needs_forget_data": m.needs_forget,
                    "needs_retain_data": m.needs_retain, "passes": m.cost })
        })
        .collect();
    let text = format!(
        "{table}\npasses: over each set with the defaults, forward and backward if not said otherwise\n"
    );
    out.result(&text, &json!({ "command": "methods", "methods": list }))
}
