//! Which job this process is: from its words, or from what a batch system says.

use super::super::fault::Fault;

/// One of some jobs that share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// Which, from 0.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

/// A batch system, by the variables that it sets.
struct System {
    name: &'static str,
    index: &'static str,
    /// The first index, if it is told.
    first: &'static str,
    /// The distance between indices, if it is told.
    step: &'static str,
    /// How many there are, or the last index.
    count: &'static str,
    last: &'static str,
}

/// Where an empty name stands, nothing is told. PBS and parallel tell an index alone.
const SYSTEMS: [System; 5] = [
    System {
        name: "Slurm",
        index: "SLURM_ARRAY_TASK_ID",
        first: "SLURM_ARRAY_TASK_MIN",
        step: "SLURM_ARRAY_TASK_STEP",
        count: "SLURM_ARRAY_TASK_COUNT",
        last: "",
    },
    System {
        name: "Kubernetes",
        index: "JOB_COMPLETION_INDEX",
        first: "",
        step: "",
        count: "JOB_COMPLETIONS",
        last: "",
    },
    System { name: "PBS", index: "PBS_ARRAY_INDEX", first: "", step: "", count: "", last: "" },
    System {
        name: "Grid Engine",
        index: "SGE_TASK_ID",
        first: "SGE_TASK_FIRST",
        step: "SGE_TASK_STEPSIZE",
        count: "",
        last: "SGE_TASK_LAST",
    },
    System {
        name: "GNU parallel",
        index: "PARALLEL_SEQ",
        first: "",
        step: "",
        count: "",
        last: "",
    },
];

impl Job {
    /// Reads `I/N`, `I` from 1 to `N`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let read = || {
            let (index, count) = text.split_once('/')?;
            Some((index.parse::<usize>().ok()?, count.parse::<usize>().ok()?))
        };
        match read() {
            Some((index, count)) if (1..=count).contains(&index) => {
                Ok(Self { index: index - 1, count })
            }
            _ => Err("expected I/N with I from 1 to N, like 3/8".into()),
        }
    }

    /// The job that the words or, without them, the variables name; one of one if nobody names any.
    ///
    /// # Errors
    /// If two batch systems speak, a variable is no number, or nobody tells how many jobs there are.
    pub(super) fn of(
        job: Option<Self>,
        jobs: Option<usize>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Fault> {
        if let Some(job) = job {
            return Ok(job);
        }
        if jobs == Some(0) {
            return Err(Fault::Usage("--jobs is 0: give 1 or more".into()));
        }
        // Grid Engine says `undefined` outside an array.
        let speaks =
            |system: &&System| variable(system.index).is_some_and(|text| text != "undefined");
        let here: Vec<&System> = SYSTEMS.iter().filter(speaks).collect();
        match here[..] {
            [] if jobs.is_some_and(|jobs| jobs > 1) => Err(Fault::Usage(
                "--jobs says how many jobs there are, but no batch system says which this is: give --job I/N".into(),
            )),
            [] => Ok(Self { index: 0, count: 1 }),
            [system] => system.job(jobs, variable),
            _ => {
                let names: Vec<&str> = here.iter().map(|system| system.index).collect();
                Err(Fault::Usage(format!(
                    "{} are all set: say which job this is with --job I/N",
                    names.join(" and ")
                )))
            }
        }
    }

    /// Whether a shadow model is this job's.
    pub(super) fn owns(self, model: usize) -> bool {
        model % self.count == self.index
    }
}

impl System {
    fn job(
        &self,
        jobs: Option<usize>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Job, Fault> {
        let number = |name: &str| -> Result<Option<usize>, Fault> {
            let Some(text) = variable(name).filter(|_| !name.is_empty()) else { return Ok(None) };
            text.parse()
                .map(Some)
                .map_err(|_| Fault::Usage(format!("{name} is `{text}`, no number: give --job I/N")))
        };
        let unknown = |what: String| Fault::Usage(format!("{what}: give --job I/N"));
        let Some(index) = number(self.index)? else {
            return Err(unknown(format!("{} is not set", self.index)));
        };
        let (first, step) = (number(self.first)?, number(self.step)?.unwrap_or(1).max(1));
        let last = number(self.last)?;
        let span = first.zip(last).map(|(first, last)| last.saturating_sub(first) / step + 1);
        let Some(count) = jobs.or(number(self.count)?).or(span).filter(|&count| count > 0) else {
            return Err(Fault::Usage(format!(
                "{} says which job this is ({} is {index}), not how many there are: give --jobs N",
                self.name, self.index
            )));
        };
        // Any run of `count` consecutive indices leaves each remainder once, wherever it begins.
        let index = match first.filter(|_| jobs.is_none()) {
            Some(first) => index.saturating_sub(first) / step,
            None => index % count,
        };
        match index < count {
            true => Ok(Job { index, count }),
            false => Err(unknown(format!(
                "{} says task {index} of {count}: its indices are no plain range",
                self.name
            ))),
        }
    }
}
