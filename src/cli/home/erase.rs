//! `unlearn erase`: a person goes.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::device::HomeDeviceArgs;
use super::super::fault::Fault;
use super::super::machine::{BudgetArgs, EnergyArgs};
use super::super::setting::{Common, Out};
use super::call::{Call, Erasure};
use super::{Where, tell};
use crate::base::disk::{Disk, FileDisk, replace};
use crate::base::units::Bytes;
use crate::erase::receipt::{Nonce, Policy};
use crate::erase::{Choice, HomeError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PolicyArg {
    /// Samples and keys go before anything is learnt
    ShredFirst,
    /// The repair is measured on their samples before these go
    AuditFirst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum MethodArg {
    /// The same adaptations again, without them
    ExactReplay,
    /// Fine-tuning over what is retained, pulled back to the base
    L1Sparse,
    /// Back to the newest model that never knew them
    Reset,
}

/// Erase people: samples, keys, and their influence on the weights.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn erase --home home --subject anna --deadline 600\n\nWhat knows them answers no more from the first moment on; the newest model that never knew them does. Cut short at any instant, it goes on with `unlearn resume`. Each subject gets a ticket: keep it, nobody else can show later whom the receipt is about."
)]
pub(in super::super) struct Args {
    #[command(flatten)]
    place: Where,
    /// Whom to erase; several with commas, in one repair
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',', required = true)]
    subject: Vec<String>,
    /// What comes first
    #[arg(long, value_enum, default_value_t = PolicyArg::ShredFirst)]
    policy: PolicyArg,
    /// How, where the planner is not to choose the strongest guarantee that fits
    #[arg(long, value_enum)]
    method: Option<MethodArg>,
    /// Seconds from now by which it must be done, if need be by a reset
    #[arg(long, value_name = "SECONDS")]
    deadline: Option<u64>,
    /// Say what it would take, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only note it: `unlearn cancel` takes it back, `unlearn resume` carries it out
    #[arg(long, conflicts_with = "dry_run")]
    later: bool,
    /// Let the model that knows them answer until it is repaired; the receipt says so
    #[arg(long)]
    serve_until_repaired: bool,
    /// The base is `enrolled`, but does not know them
    #[arg(long)]
    not_in_base: bool,
    /// What opens the subject's commitment in the receipt, 64 hexadecimal digits [default: drawn]
    #[arg(long, value_name = "HEX")]
    nonce: Option<String>,
    /// Percentage points of accuracy that may be lost on what is retained
    /// [default: 5]. A resume holds to it too
    #[arg(long, value_name = "POINTS")]
    max_drop: Option<f64>,
    /// Percentage points that each person who stays may lose for sure, by the lower end of the 95 %
    /// interval on what they held out [default: 20]
    #[arg(long, value_name = "POINTS")]
    max_worst_drop: Option<f64>,
    /// Bytes of memory that the repair may take
    #[arg(long, value_name = "LIMIT", value_parser = Bytes::parse)]
    memory: Option<Bytes>,
    #[command(flatten)]
    energy: EnergyArgs,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Write the tickets to this file too, before anything else is done
    #[arg(long, value_name = "FILE")]
    ticket: Option<PathBuf>,
    #[command(flatten)]
    device: HomeDeviceArgs,
    #[command(flatten)]
    pub common: Common,
}

pub(in super::super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let device = args.device.open()?;
    if let Some(path) = &args.ticket {
        fit_for_ticket(path)?;
    }
    let how = Erasure {
        subjects: args.subject.clone(),
        policy: match args.policy {
            PolicyArg::ShredFirst => Policy::ShredFirst,
            PolicyArg::AuditFirst => Policy::AuditFirst,
        },
        method: args.method.map(|method| match method {
            MethodArg::ExactReplay => Choice::ExactReplay,
            MethodArg::L1Sparse => Choice::L1Sparse,
            MethodArg::Reset => Choice::Reset,
        }),
        deadline: args.deadline,
        serve_until_repaired: args.serve_until_repaired,
        not_in_base: args.not_in_base,
        dry_run: args.dry_run,
        later: args.later,
        nonces: args.nonce.iter().cloned().collect(),
        memory: args.memory.map(|bytes| bytes.0),
        joules: args.energy.max_joules,
        max_drop: args.max_drop,
        max_worst_drop: args.max_worst_drop,
    };
    let asked_for = how.method.map(Choice::name);
    let how = match &args.ticket {
        Some(path) if !args.dry_run => with_ticket(how, path)?,
        _ => how,
    };
    let asked = super::ask_within(
        &args.place.home,
        Call::Erase(how),
        Some(&args.budget),
        Some(device),
        out,
    );
    if let Some(path) = args.ticket.as_deref().filter(|_| !args.dry_run) {
        match &asked {
            Ok(value) => write_ticket(path, &value["tickets"])?,
            // What was refused for its words was not taken in; anything else may have been.
            Err(fault) if fault.code() == 2 => FileDisk.remove(path)?,
            Err(_) => {}
        }
    }
    let value = asked?;
    let mut text = if args.dry_run { tell::plan(&value) } else { tell::erased(&value) };
    let taken = value["erased"]["choice"].as_str();
    let failed = value["erased"]["failures"].as_array().is_some_and(|all| !all.is_empty());
    if let (Some(asked), Some(taken), false) = (asked_for, taken, failed)
        && asked != taken
    {
        text += &format!(
            "{asked} was asked for and was not possible, or not needed: `--dry-run` says why\n"
        );
    }
    out.result(&text, &value)
}

/// Refuses a file that is there, or cannot be written.
fn fit_for_ticket(path: &Path) -> Result<(), Fault> {
    if path.exists() {
        return Err(Fault::Usage(format!(
            "{} is there already, perhaps somebody's ticket: name another --ticket",
            path.display()
        )));
    }
    super::super::setting::check_output(path)
}

/// Writes the tickets before anything is asked for, so that no loss of power takes them: the home does not
/// keep what opens a commitment.
fn with_ticket(how: Erasure, path: &Path) -> Result<Erasure, Fault> {
    let mut nonces = how.nonces.clone();
    if nonces.is_empty() {
        for _ in &how.subjects {
            nonces.push(Nonce::draw().map_err(HomeError::from)?.reveal());
        }
    }
    let ticket = |(subject, nonce)| json!({ "subject": subject, "nonce": nonce });
    let tickets: Vec<Value> = how.subjects.iter().zip(&nonces).map(ticket).collect();
    write_ticket(path, &json!(tickets))?;
    Ok(Erasure { nonces, ..how })
}

fn write_ticket(path: &Path, tickets: &Value) -> Result<(), Fault> {
    let text = serde_json::to_vec_pretty(tickets).unwrap_or_default();
    Ok(replace(&mut FileDisk, path, &text)?)
}
