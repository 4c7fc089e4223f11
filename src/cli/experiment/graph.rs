//! Which steps an experiment is made of, which needs which, and which cells of the table they fill.

use std::collections::BTreeMap;

use super::settings::Experiment;

/// What is to be forgotten by which model: a place in the experiment's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trial {
    pub pair: usize,
    pub seed: u64,
    pub mask: usize,
    pub scenario: usize,
    /// Whether it is the held-out forget set, on which grids are searched.
    pub held_out: bool,
}

/// How a trial forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// From scratch: the yardstick.
    Retrain,
    /// By a method of the list as it stands there.
    Method(usize),
    /// By a method of the list at a point of its grid.
    Candidate(usize, usize),
    /// By a method of the list at the point that was chosen; the step that chose comes second in what
    /// it needs.
    Chosen(usize),
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Trains the dense network.
    Base { pair: usize, seed: u64 },
    /// Prunes it, rewinds it and trains what is left.
    Mask { pair: usize, seed: u64, mask: usize },
    /// Forgets.
    Forget(Trial, How),
    /// Measures the model file that the step it needs has written; `None` is the model before.
    Measure(Trial, Option<How>),
    /// Chooses a point of a method's grid: needs the figures of the retrained model and of each
    /// candidate.
    Choose(Trial, usize),
}

/// One line of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub trial: Trial,
    /// `None` is the model before it forgot.
    pub how: Option<How>,
    /// The step that trained the dense network.
    pub base: usize,
    /// The step that made the model before.
    pub start: usize,
    /// The step that forgot.
    pub forget: Option<usize>,
    /// The step that measured.
    pub measure: usize,
    /// The step that measured the retrained model.
    pub yardstick: usize,
    /// The step that chose the settings.
    pub choice: Option<usize>,
}

/// All steps, each behind those that it needs, and all cells.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    pub steps: Vec<(Step, Vec<usize>)>,
    pub cells: Vec<Cell>,
    known: BTreeMap<Step, usize>,
}

impl Graph {
    /// The graph of `experiment` over `pairs` pairs of model and data.
    pub(super) fn new(experiment: &Experiment, pairs: usize) -> Self {
        let mut graph = Self::default();
        for pair in 0..pairs {
            for &seed in &experiment.seeds {
                for mask in 0..experiment.masks.len() {
                    for scenario in 0..experiment.scenarios.len() {
                        let trial = Trial { pair, seed, mask, scenario, held_out: false };
                        graph.trial(experiment, trial);
                    }
                }
            }
        }
        graph
    }

    fn step(&mut self, step: Step, needs: Vec<usize>) -> usize {
        *self.known.entry(step).or_insert_with(|| {
            self.steps.push((step, needs));
            self.steps.len() - 1
        })
    }

    /// The steps that make the model before, and the dense one behind it.
    fn start(&mut self, experiment: &Experiment, trial: Trial) -> (usize, usize) {
        let Trial { pair, seed, mask, .. } = trial;
        let base = self.step(Step::Base { pair, seed }, Vec::new());
        match experiment.masks[mask].dense() {
            true => (base, base),
            false => (base, self.step(Step::Mask { pair, seed, mask }, vec![base])),
        }
    }

    /// The steps that forget, and that measure it.
    fn forget(&mut self, trial: Trial, how: How, needs: Vec<usize>) -> (usize, usize) {
        let forget = self.step(Step::Forget(trial, how), needs);
        (forget, self.step(Step::Measure(trial, Some(how)), vec![forget]))
    }

    fn trial(&mut self, experiment: &Experiment, trial: Trial) {
        let (base, start) = self.start(experiment, trial);
        let before = self.step(Step::Measure(trial, None), vec![start]);
        let (forget, yardstick) = self.forget(trial, How::Retrain, vec![start]);
        let cell = Cell {
            trial,
            how: None,
            base,
            start,
            forget: None,
            measure: before,
            yardstick,
            choice: None,
        };
        self.cells.push(cell);
        let how = Some(How::Retrain);
        self.cells.push(Cell { how, forget: Some(forget), measure: yardstick, ..cell });
        let scenario = &experiment.scenarios[trial.scenario];
        for (index, entry) in experiment.methods.iter().enumerate() {
            if !entry.is_for(scenario) {
                continue;
            }
            let (how, choice) = match entry.candidates.len() {
                0 => (How::Method(index), None),
                many => (How::Chosen(index), Some(self.choice(experiment, trial, index, many))),
            };
            let needs = [start].into_iter().chain(choice).collect();
            let (forget, measure) = self.forget(trial, how, needs);
            let (how, forget) = (Some(how), Some(forget));
            self.cells.push(Cell { how, forget, measure, choice, ..cell });
        }
    }

    /// The step that chooses: on the held-out set, with the seed for tuning, once for all seeds.
    fn choice(
        &mut self,
        experiment: &Experiment,
        trial: Trial,
        entry: usize,
        many: usize,
    ) -> usize {
        let trial = Trial { seed: experiment.tune_seed, held_out: true, ..trial };
        let (_, start) = self.start(experiment, trial);
        let (_, yardstick) = self.forget(trial, How::Retrain, vec![start]);
        let mut needs = vec![yardstick];
        for point in 0..many {
            needs.push(self.forget(trial, How::Candidate(entry, point), vec![start]).1);
        }
        self.step(Step::Choose(trial, entry), needs)
    }
}
