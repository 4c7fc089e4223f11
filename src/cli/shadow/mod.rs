//! `unlearn shadow`: per-example attacks by shadow models, as independent jobs and a merge.
//!
//! A job trains the shadow models that are its own, one after another, and leaves one file a model. A
//! file is named after the digest of all that it depends on, so that whoever begins again finds what is
//! done, and what other settings made is never taken for it. The merge reads the files alone: how jobs
//! were spread, and in which order they ended, leaves no trace in them.

mod job;
mod merge;
mod record;
mod settings;
#[cfg(test)]
mod tests;
mod work;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::device::{self, Wanted};
use super::fault::Fault;
use super::setting::{Common, Out, complain, told};
use crate::base::disk::{Disk, FileDisk};

use job::Job;
use record::{Files, Record};
use work::Work;

/// Attack what a method forgot sample by sample: U-LiRA and RMIA with shadow models.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: unlearn shadow benches/experiments/shadow-made.toml --job 1/8\n         unlearn shadow benches/experiments/shadow-made.toml --merge\n         unlearn shadow benches/experiments/shadow-made.toml --job 1/8 --device cuda\n\nWithout --job the job is taken from the environment: SLURM_ARRAY_TASK_ID with SLURM_ARRAY_TASK_COUNT, JOB_COMPLETION_INDEX (Kubernetes) with JOB_COMPLETIONS, PBS_ARRAY_INDEX, SGE_TASK_ID with SGE_TASK_FIRST, SGE_TASK_LAST, PARALLEL_SEQ (GNU parallel). Those that tell no count need --jobs. Without any of them one process trains all shadow models.\n\nA job that was killed is begun again with the same words: what was finished is not trained again. All jobs of a folder compute on one kind of device: the others' results would be rounded otherwise."
)]
pub(super) struct Args {
    /// The settings, TOML
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Train the shadow models of job I of N, I from 1
    #[arg(long, value_name = "I/N", value_parser = Job::parse, conflicts_with = "merge")]
    job: Option<Job>,
    /// The number of jobs, where the batch system does not tell it
    #[arg(long, value_name = "N", conflicts_with_all = ["job", "merge"])]
    jobs: Option<usize>,
    /// Read what all jobs left, and judge
    #[arg(long)]
    merge: bool,
    /// The folder of results, which all jobs share [default: FILE without its ending, and .shadow]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// What to compute on, where the settings have no `plan`; PRECISION is f32, tf32, f16 or bf16. On a CUDA
    /// device batches go in the largest pieces that its memory has room for, and results say so [default: cpu]
    #[arg(long, value_name = device::HELP, value_parser = Wanted::parse, conflicts_with = "merge", help_heading = "Device")]
    device: Option<Wanted>,
    #[command(flatten)]
    pub common: Common,
}

pub(super) fn run(args: &Args, out: &Out) -> Result<(), Fault> {
    let settings = settings::read(&args.file)?;
    let folder = args.out.clone().unwrap_or_else(|| args.file.with_extension("shadow"));
    let job = match args.merge {
        true => None,
        false => Some(Job::of(args.job, args.jobs, &|name| std::env::var(name).ok())?),
    };
    let work = Work::open(settings)?;
    let files = Files { folder: folder.clone(), digest: work.digest };
    match job {
        None => merge::run(&work, &files, out),
        Some(job) => {
            let work = work.on(args.device)?;
            make(&folder)?;
            train(&work, &files, job, out)
        }
    }
}

/// Makes the folder of results, in which other jobs may be at work already.
fn make(folder: &Path) -> Result<(), Fault> {
    if !folder.is_dir() {
        FileDisk.make_folder(folder)?;
    }
    Ok(())
}

/// Refuses to go on where this job's own results were computed otherwise: no merge would take both.
fn same_plan(work: &Work, record: &Record) -> Result<(), Fault> {
    let now = work.compute.name();
    match record.plan == now {
        true => Ok(()),
        false => Err(Fault::Usage(format!(
            "shadow model {} was computed on {}, and this job computes on {now}: their rounding differs; compute on what it was computed on, with --device or `plan` in the settings, or name another --out",
            record.shadow, record.plan
        ))),
    }
}

/// Trains what is the job's own and not there yet.
fn train(work: &Work, files: &Files, job: Job, out: &Out) -> Result<(), Fault> {
    let models = work.settings.shadow_models;
    let (mut trained, mut found, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    for model in (0..models).filter(|&model| job.owns(model)) {
        let Some(lock) = files.lock(model)? else {
            elsewhere.push(model);
            continue;
        };
        match files.read(model, work) {
            Ok(Some(record)) => {
                same_plan(work, &record)?;
                found.push(model);
            }
            absent => {
                if let Err(fault) = absent {
                    complain(&format!("unlearn: {fault}: training it again"));
                }
                files.write(model, &work.shadow(model)?)?;
                trained.push(model);
            }
        }
        files.unlock(model, lock)?;
    }
    let (index, count) = (job.index + 1, job.count);
    let plan = work.compute.name();
    let mut text = format!(
        "job {index} of {count}, {plan}: {} shadow models trained, {} were there\n",
        trained.len(),
        found.len()
    );
    if !elsewhere.is_empty() {
        text += &format!("left to another process that is at work on them: {elsewhere:?}\n");
    }
    text +=
        &format!("results in {}, {models} in all: --merge judges them\n", files.folder.display());
    let value = json!({
        "command": "shadow", "job": index, "jobs": count, "shadow_models": models,
        "settings_digest": files.digest.to_string(), "folder": told(&files.folder),
        "plan": plan, "trained": trained, "found": found, "elsewhere": elsewhere,
    });
    out.result(&text, &value)
}
