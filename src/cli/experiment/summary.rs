//! Over seeds: mean, sample standard deviation, and the gap of means to the retrained model.

use super::line::Line;
use super::world::World;

/// A mean over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mean {
    pub mean: f64,
    /// The sample standard deviation, `sqrt(sum (x - mean)^2 / (n - 1))`; nothing for one seed.
    pub deviation: Option<f64>,
}

impl Mean {
    /// Of at least one value. Sums in the order of the values.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let deviation = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        Some(Self { mean, deviation })
    }

    /// `97.32±0.21`, or `97.32` for one seed.
    pub(super) fn told(&self, decimals: usize) -> String {
        match self.deviation {
            Some(deviation) => format!("{:.decimals$}±{deviation:.decimals$}", self.mean),
            None => format!("{:.decimals$}", self.mean),
        }
    }
}

/// A method under a mask, over all seeds.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    pub mask: usize,
    /// One a seed, failed ones too.
    pub lines: Vec<&'a Line>,
    /// Of UA, RA, TA and MIA-efficacy.
    pub figures: Option<[Mean; 4]>,
    /// Of the differences between means to the retrained model's: the paper's gaps.
    pub gaps: Option<[f64; 4]>,
    /// Their mean: the paper's disparity.
    pub disparity: Option<f64>,
    /// Of the average gaps seed by seed.
    pub average: Option<Mean>,
    /// Of seconds.
    pub rte: Option<Mean>,
}

/// A row of the paper's table.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub label: String,
    /// One a mask, in the order of the experiment.
    pub groups: Vec<Group<'a>>,
}

/// The table of a pair and a scenario.
#[derive(Clone, Debug)]
pub(super) struct Summary<'a> {
    pub pair: usize,
    pub scenario: usize,
    pub rows: Vec<Row<'a>>,
}

/// One table for each pair of model and data, and scenario.
pub(super) fn summaries<'a>(world: &World<'_>, lines: &'a [Line]) -> Vec<Summary<'a>> {
    let mut all = Vec::new();
    for pair in 0..world.pairs.len() {
        for scenario in 0..world.experiment.scenarios.len() {
            let here: Vec<&Line> = lines
                .iter()
                .filter(|line| line.cell.trial.pair == pair && line.cell.trial.scenario == scenario)
                .collect();
            all.push(Summary { pair, scenario, rows: rows(world, &here) });
        }
    }
    all
}

fn rows<'a>(world: &World<'_>, lines: &[&'a Line]) -> Vec<Row<'a>> {
    let mut labels: Vec<&str> = Vec::new();
    for line in lines {
        if !labels.contains(&line.label.as_str()) {
            labels.push(&line.label);
        }
    }
    let under = |mask: usize, label: &str| -> Vec<&'a Line> {
        let of = |line: &&&'a Line| line.cell.trial.mask == mask && line.label == label;
        lines.iter().filter(of).copied().collect()
    };
    let masks = 0..world.experiment.masks.len();
    let yardsticks: Vec<Option<[Mean; 4]>> =
        masks.clone().map(|mask| means(&under(mask, super::line::RETRAIN))).collect();
    let row = |label: &&str| Row {
        label: label.to_string(),
        groups: masks
            .clone()
            .map(|mask| group(mask, under(mask, label), yardsticks[mask]))
            .collect(),
    };
    labels.iter().map(row).collect()
}

/// Means of the four figures, over the seeds that have them.
fn means(lines: &[&Line]) -> Option<[Mean; 4]> {
    let all: Vec<[f64; 4]> = lines.iter().filter_map(|line| line.figures()).collect();
    let of = |which: usize| Mean::of(&all.iter().map(|four| four[which]).collect::<Vec<_>>());
    Some([of(0)?, of(1)?, of(2)?, of(3)?])
}

fn group<'a>(mask: usize, lines: Vec<&'a Line>, yardstick: Option<[Mean; 4]>) -> Group<'a> {
    let figures = means(&lines);
    let is_yardstick = lines.first().is_some_and(|line| line.label == super::line::RETRAIN);
    let gaps = match (&figures, &yardstick) {
        (Some(these), Some(those)) if !is_yardstick => {
            Some([0, 1, 2, 3].map(|which: usize| (these[which].mean - those[which].mean).abs()))
        }
        _ => None,
    };
    let disparity = gaps.map(|gaps| gaps.iter().sum::<f64>() / 4.0);
    let average: Vec<f64> = lines.iter().filter_map(|line| line.gap?.average).collect();
    let rte: Vec<f64> = lines.iter().filter_map(|line| line.rte).collect();
    let (average, rte) = (Mean::of(&average), Mean::of(&rte));
    Group { mask, lines, figures, gaps, disparity, average, rte }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_tells_its_sample_deviation_and_one_value_none() {
        let mean = Mean::of(&[1.0, 2.0, 4.0]).unwrap();
        assert!((mean.mean - 7.0 / 3.0).abs() < 1e-12);
        assert!((mean.deviation.unwrap() - (7.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(mean.told(2), "2.33±1.53");
        assert_eq!(Mean::of(&[5.0]).unwrap().told(1), "5.0");
        assert_eq!(Mean::of(&[]), None);
    }
}
