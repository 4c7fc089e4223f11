//! From scores to figures: how well an attack tells members from others.

use serde::{Deserialize, Serialize};

use super::{EvaluateError, finite, matrix, shaped};
use crate::base::rng::Stream;

/// Draws behind an interval.
const DRAWS: usize = 1000;
/// Samples that are told by number.
const EXPOSED: usize = 10;

/// From which score on a sample is called a member.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Threshold {
    /// From this on, for every target.
    Fixed(f64),
    /// For each target from the score that has the best balanced accuracy over all other targets but
    /// its partner; of several the highest.
    Learnt,
}

/// A share, and the interval that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The share, 0 to 1.
    pub value: f64,
    /// Its 95 % interval over the choice of samples: see [`judge`].
    pub interval95: [f64; 2],
}

/// A sample, and how often the attack was right about it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exposed {
    /// The sample's column, from 0.
    pub sample: usize,
    /// The share of targets whose membership of it was told rightly: a coin's is 0.5.
    pub right: f64,
}

/// What an attack comes to over its targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Targets.
    pub targets: usize,
    /// Samples that were asked about.
    pub samples: usize,
    /// The fewest non-members of a target: what a false positive rate can be told from.
    pub non_members: usize,
    /// Area under the curve of true over false positive rate; ties count half. A coin's is 0.5.
    pub auc: Figure,
    /// The mean of the rates at which members and non-members are told rightly. A coin's is 0.5.
    pub balanced_accuracy: Figure,
    /// From which score on a sample was called a member for that.
    pub threshold: Threshold,
    /// The highest true positive rate of any threshold whose false positive rate is at most 1 %.
    /// `None` where a target has fewer than 100 non-members: the rate cannot be told.
    pub tpr_at_1_percent: Option<Figure>,
    /// The same for 0.1 % and 1,000 non-members.
    pub tpr_at_01_percent: Option<Figure>,
    /// Smallest, lower quartile, median, upper quartile and largest of the samples' shares of targets
    /// that were told rightly.
    pub right_quartiles: [f64; 5],
    /// The samples that were told rightly most often, at most ten; of equals the first.
    pub most_exposed: Vec<Exposed>,
}

/// Judges `scores` of an attack on some targets against the truth, both `[targets x samples]`,
/// row-major; a higher score speaks for a member.
///
/// Each figure is computed for each target over its samples, and averaged over targets: within a
/// target no sample's membership bears on another's score. Intervals are percentile intervals of 1,000
/// draws of as many samples with replacement, each with its whole column, from the stream
/// `evaluate/bootstrap` of `seed` (Efron, *Bootstrap Methods*, Annals of Statistics 7, 1979): they are
/// over the choice of samples. Models are taken as given, and so are learnt thresholds. Deterministic.
/// Time: 1,000 passes over the matrix.
///
/// # Errors
/// If a matrix has another size, a score is not finite, a target has no members or no others, or a
/// threshold is to be learnt of fewer than four targets.
pub fn judge(
    targets: usize,
    scores: &[f64],
    members: &[bool],
    threshold: Threshold,
    seed: u64,
) -> Result<Figures, EvaluateError> {
    let samples = members.len() / targets.max(1);
    shaped("memberships", members.len(), targets, samples)?;
    matrix("scores", scores, targets, samples, finite)?;
    let mut non_members = samples;
    for of in members.chunks_exact(samples) {
        let inside = of.iter().filter(|&&member| member).count();
        if inside == 0 || inside == samples {
            return Err(EvaluateError::OneClass { samples });
        }
        non_members = non_members.min(samples - inside);
    }
    let bars = bars(targets, samples, scores, members, threshold)?;
    let rows = scores.chunks_exact(samples).zip(members.chunks_exact(samples));
    let rows: Vec<Row> =
        rows.zip(&bars).map(|((scores, members), &bar)| Row::new(scores, members, bar)).collect();

    let whole = vec![1; samples];
    let found = mean_of(&rows, &whole).ok_or(EvaluateError::OneClass { samples })?;
    let ends = intervals(&rows, samples, seed);
    let figure = |which: usize| Figure {
        value: found[which],
        // The estimate lies in its interval even where draws are skewed.
        interval95: [ends[which][0].min(found[which]), ends[which][1].max(found[which])],
    };
    let told = |which: usize, needed: usize| (non_members >= needed).then(|| figure(which));
    let right = right_shares(&rows, samples);
    Ok(Figures {
        targets,
        samples,
        non_members,
        auc: figure(0),
        balanced_accuracy: figure(1),
        threshold,
        tpr_at_1_percent: told(2, 100),
        tpr_at_01_percent: told(3, 1000),
        right_quartiles: quartiles(&right),
        most_exposed: most(&right),
    })
}

/// AUC, balanced accuracy, and true positive rates at 1 % and 0.1 % false positives.
type Four = [f64; 4];

/// A sample's score among those of its target.
#[derive(Clone, Copy)]
struct Place {
    sample: usize,
    member: bool,
    /// Whether the next score, in falling order, is another.
    ends: bool,
    /// Whether the attack calls it a member.
    called: bool,
}

/// One target's samples in falling order of their scores.
struct Row(Vec<Place>);

impl Row {
    fn new(scores: &[f64], members: &[bool], bar: f64) -> Self {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let place = |at: usize| {
            let sample = order[at];
            let next = order.get(at + 1).map(|&next| scores[next]);
            let ends = next != Some(scores[sample]);
            Place { sample, member: members[sample], ends, called: scores[sample] >= bar }
        };
        Self((0..order.len()).map(place).collect())
    }

    /// The figures where sample `i` counts `weights[i]` times; `None` if that leaves no member or no
    /// other.
    fn figures(&self, weights: &[u32]) -> Option<Four> {
        // By membership, and by whether the attack says member.
        let mut counts = [[0u64; 2]; 2];
        for place in &self.0 {
            let weight = u64::from(weights[place.sample]);
            counts[usize::from(place.member)][usize::from(place.called)] += weight;
        }
        let [[passed, caught], [missed, hit]] = counts;
        let (members, others) = (missed + hit, passed + caught);
        if members == 0 || others == 0 {
            return None;
        }
        // Twice the pairs in which the member has the higher score, so that halves stay whole.
        let (mut above, mut pairs) = ([0u64; 2], 0u64);
        let (mut tied, mut rates) = ([0u64; 2], [0.0; 2]);
        for place in &self.0 {
            tied[usize::from(place.member)] += u64::from(weights[place.sample]);
            if !place.ends {
                continue;
            }
            let [others_here, members_here] = tied;
            // Members of higher scores, and half of those of the same, are above these others.
            pairs += others_here * (2 * above[1] + members_here);
            above = [above[0] + others_here, above[1] + members_here];
            tied = [0; 2];
            for (rate, per) in rates.iter_mut().zip([100, 1000]) {
                if above[0] * per <= others {
                    *rate = above[1] as f64 / members as f64;
                }
            }
        }
        let right = hit as f64 / members as f64 + passed as f64 / others as f64;
        let auc = pairs as f64 / (2 * members * others) as f64;
        Some([auc, 0.5 * right, rates[0], rates[1]])
    }
}

/// The mean of the targets' figures; `None` where no target has any.
fn mean_of(rows: &[Row], weights: &[u32]) -> Option<Four> {
    let (mut sums, mut count) = ([0.0; 4], 0);
    for figures in rows.iter().filter_map(|row| row.figures(weights)) {
        sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
        count += 1;
    }
    (count > 0).then(|| sums.map(|sum| sum / f64::from(count)))
}

/// The 2.5 and 97.5 % quantiles of each figure over the draws.
fn intervals(rows: &[Row], samples: usize, seed: u64) -> [[f64; 2]; 4] {
    let mut stream = Stream::new(seed, "evaluate/bootstrap");
    let mut drawn: [Vec<f64>; 4] = Default::default();
    for _ in 0..DRAWS {
        let mut weights = vec![0; samples];
        (0..samples).for_each(|_| weights[stream.index(samples)] += 1);
        let Some(figures) = mean_of(rows, &weights) else { continue };
        drawn.iter_mut().zip(figures).for_each(|(all, figure)| all.push(figure));
    }
    drawn.map(|mut all| {
        all.sort_by(f64::total_cmp);
        let at = |share: f64| all.get((share * all.len() as f64) as usize).copied();
        [at(0.025).unwrap_or(0.0), at(0.975).unwrap_or(1.0)]
    })
}

/// The score from which each target's samples are called members.
fn bars(
    targets: usize,
    samples: usize,
    scores: &[f64],
    members: &[bool],
    threshold: Threshold,
) -> Result<Vec<f64>, EvaluateError> {
    if let Threshold::Fixed(bar) = threshold {
        return Ok(vec![bar; targets]);
    }
    if targets < 4 {
        return Err(EvaluateError::ModelCount { models: targets, least: 4 });
    }
    let learn = |target: usize| {
        let others = (0..scores.len()).filter(|at| at / samples / 2 != target / 2);
        best(others.map(|at| (scores[at], members[at])).collect())
    };
    // Partners leave out the same targets.
    let pairs: Vec<f64> = (0..targets).step_by(2).map(learn).collect();
    Ok((0..targets).map(|target| pairs[target / 2]).collect())
}

/// The threshold with the best balanced accuracy, the highest of several.
fn best(mut all: Vec<(f64, bool)>) -> f64 {
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let members = all.iter().filter(|(_, member)| *member).count() as f64;
    let others = all.len() as f64 - members;
    let (mut inside, mut outside) = (0.0, 0.0);
    let (mut bar, mut most) = (f64::INFINITY, 0.5);
    for (at, &(score, member)) in all.iter().enumerate() {
        if member {
            inside += 1.0
        } else {
            outside += 1.0
        }
        let ends = all.get(at + 1).is_none_or(|next| next.0 != score);
        let accuracy = 0.5 * (inside / members + 1.0 - outside / others);
        if ends && accuracy > most {
            (bar, most) = (score, accuracy);
        }
    }
    bar
}

/// For each sample the share of targets that were told rightly.
fn right_shares(rows: &[Row], samples: usize) -> Vec<f64> {
    let mut right = vec![0usize; samples];
    for place in rows.iter().flat_map(|row| &row.0) {
        right[place.sample] += usize::from(place.called == place.member);
    }
    right.into_iter().map(|count| count as f64 / rows.len() as f64).collect()
}

fn quartiles(shares: &[f64]) -> [f64; 5] {
    let mut sorted = shares.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0.0, 0.25, 0.5, 0.75, 1.0].map(|at| sorted[((sorted.len() - 1) as f64 * at).round() as usize])
}

fn most(shares: &[f64]) -> Vec<Exposed> {
    let exposed = shares.iter().enumerate().map(|(sample, &right)| Exposed { sample, right });
    let mut exposed: Vec<Exposed> = exposed.collect();
    // Stable: the first of equals stays first.
    exposed.sort_by(|a, b| b.right.total_cmp(&a.right));
    exposed.truncate(EXPOSED);
    exposed
}
