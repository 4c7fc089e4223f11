//! `unlearn methods`: what there is, and what it needs.

use serde_json::json;

use super::fault::Fault;
use super::setting::{Common, Out};
use crate::unlearn::{METHODS, MethodInfo};

/// List the methods of forgetting.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: unlearn methods --json")]
pub(super) struct Args {
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(_: &Args, out: &Out) -> Result<(), Fault> {
    let reads = |method: &MethodInfo| match (method.needs_forget, method.needs_retain) {
        (true, true) => "both",
        (true, false) => "what is forgotten",
        (false, _) => "what is kept",
    };
    let told = |method: &MethodInfo| {
        let MethodInfo { name, summary, cost, .. } = method;
        format!("{name:<16} {summary}\n{:16} reads {}; passes: {cost}\n", "", reads(method))
    };
    let text: String = METHODS.iter().map(told).collect();
    let list: Vec<_> = METHODS
        .iter()
        .map(|m| {
            json!({ "name": m.name, "summary": m.summary, "needs_forget_data": m.needs_forget,
                    "needs_retain_data": m.needs_retain, "passes": m.cost })
        })
        .collect();
    let text = format!(
        "{text}\nPasses are over each set with the defaults, forward and backward if not said otherwise. A field of a\nmethod is set by `unlearn forget --set FIELD=VALUE`; a wrong one lists those that there are.\n"
    );
    out.result(&text, &json!({ "command": "methods", "methods": list }))
}
