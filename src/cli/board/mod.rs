//! `unlearn board`: what this machine is, what it allows, and what limits it now.
//!
//! The fields of `--json` are stable; what is not known is `null`, and lists may be empty:
//!
//! | field | holds |
//! |---|---|
//! | `slug`, `name`, `tier` | the profile: its name for files and for people; how far it was tried (`hardware`, `fixture`, `spec`) |
//! | `recognised` | `by`: `module`, `processor` (any machine of a kind) or `named` (`--board`); `text` |
//! | `module`, `soc`, `model`, `kernel`, `sysroot` | what the machine says of itself; the root that was looked at |
//! | `l4t` | Jetson Linux: `major`, `revision` |
//! | `warnings` | a list of `kind` and `text` |
//! | `cpu` | `cores` of the profile; `model`, of the machine where the profile has none; `online`, `governor`, `clocks` (`name`, `hertz`, `allowed`, `built`); `isa` that kernels use on the machine that asks |
//! | `gpu` | `architecture`, `compute_capability`, `cores`, `tensor_cores`, `usable` (by its last CUDA release), `used` (by this program, where somebody asks for it), `load` 0 to 1, `hertz` |
//! | `cuda` | of this machine alone: `devices` (`ordinal`, `name`, `compute_capability`, `usable` by this program's kernels, `driver`, `memory_bytes`, `multiprocessors`, `integrated`, `unified_addressing`, `concurrent_managed_access`, `pageable_access`, `host_page_tables`); `why` there are none |
//! | `memory` | `built_bytes`, `bandwidth_gbs`, `total_bytes`, `available_bytes`, `hertz` |
//! | `storage`, `keys`, `software` | `internal`; `rpmb`, `ftpm`, `evidence` (the highest level that can be reached); `l4t`, `cuda`, `glibc` |
//! | `limits` | `memory_bytes`, `celsius`: what a run keeps to unless it is told otherwise |
//! | `power` | `mode`, `modes` (the machine's), `bench_mode` (the profile's); `watts`, `scope`, `of` (rails of the whole); `measured`; `rails` (`name`, `watts`, `over_current`); `energy` (counters: `name`, `microjoules`, `range`) |
//! | `thermal` | `hottest` and `zones` (`name`, `celsius`, `constant`) |
//! | `throttle` | `counters` (`name`, `count` since it was switched on); `cooling` (`name`, `state`: above 0 is held back now) |
//!
//! `--list` gives `boards`, a list of `slug`, `name`, `tier`, `modules`, `soc`. `--import-tegrastats` gives
//! `log`, `lines`, `seconds`, `memory`, `unknown` and `figures` (`kind`, `name`, `lines`, `min`, `mean`, `max`, `joules`),
//! in watts, degrees Celsius, shares of 1, hertz and bytes.

mod cuda;
mod log;
mod page;
mod value;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::fault::Fault;
use super::machine::MachineArgs;
use super::setting::{Common, Out, isa};
use crate::board::{Detected, Sample, Sensors, SysRoot, Tier, catalogue};

/// Show what this machine is, what it allows, and what limits it now: power mode, heat, throttling,
/// clocks, memory, and the power that it takes.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn board\nExample: unlearn board --json\nExample: unlearn board --sysroot boards/jetson-orin-nano-8gb/fixture\nExample: unlearn board --import-tegrastats tegrastats.log\n\nFields of --json: slug name tier recognised module soc model kernel l4t sysroot warnings cpu gpu cuda memory storage keys software limits power thermal throttle. What is not known is null."
)]
pub(super) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
    /// List the boards that the program knows
    #[arg(long, conflicts_with_all = ["sysroot", "board", "import_tegrastats"])]
    list: bool,
    /// Summarise a log that `tegrastats` wrote instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sysroot", "board"])]
    import_tegrastats: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

/// A machine that was looked at.
struct Seen {
    root: SysRoot,
    /// Whether it is the one that the program runs on.
    own: bool,
    found: Detected,
    /// What its CUDA driver says, if it is that one.
    cuda: Option<cuda::Cuda>,
    sample: Sample,
    /// Power modes that it offers.
    modes: Vec<String>,
    /// The instruction set that kernels use on the machine that asks.
    isa: &'static str,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    if args.list {
        return list(out);
    }
    if let Some(path) = &args.import_tegrastats {
        return log::run(path, out);
    }
    let seen = look(&args.machine)?;
    out.result(&page::text(&seen), &value::of(&seen))
}

/// A machine as one JSON object, as `--json` tells it.
pub(super) fn snapshot(machine: &MachineArgs) -> Result<Value, Fault> {
    Ok(value::of(&look(machine)?))
}

fn look(machine: &MachineArgs) -> Result<Seen, Fault> {
    let (root, found) = machine.look()?;
    let own = machine.sysroot.is_none();
    let cuda = own.then(cuda::Cuda::look);
    let found = found.probed(cuda.as_ref().and_then(cuda::Cuda::first));
    let sensors = Sensors::find(&root, &found.profile);
    Ok(Seen {
        sample: sensors.sample(),
        modes: sensors.modes().map(str::to_string).collect(),
        own,
        cuda,
        isa: isa().name(),
        root,
        found,
    })
}

/// The tier in a word, as `--json` has it.
fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Hardware => "hardware",
        Tier::Fixture => "fixture",
        Tier::Spec => "spec",
    }
}

fn list(out: &Out) -> Result<(), Fault> {
    let boards = catalogue();
    let line = |board: &crate::board::Profile| {
        format!("{:<24}  {:<8}  {}\n", board.slug, tier(board.tier), board.name)
    };
    let text: String = boards.iter().map(line).collect();
    let text = format!(
        "{:<24}  {:<8}  name\n{}\n{text}\nhardware: measured on the board itself. fixture: tested on files captured from\none, or made after its documentation. spec: from documentation alone.\n`--board FILE` takes a profile of your own.\n",
        "slug",
        "tier",
        "-".repeat(72)
    );
    let one = |board: &crate::board::Profile| -> Value {
        json!({ "slug": board.slug, "name": board.name, "tier": tier(board.tier),
                "modules": board.modules, "soc": board.soc })
    };
    let list: Vec<Value> = boards.iter().map(one).collect();
    out.result(&text, &json!({ "command": "board", "boards": list }))
}
