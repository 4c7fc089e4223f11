//! The dual problem of the classifier, solved by changing two multipliers at a time.

use super::rows::Rows;
use crate::evaluate::EvaluateError;

/// LIBSVM's stand-in for a curvature that is not positive.
const TAU: f64 = 1e-12;

/// Multipliers, offset and what it took.
pub(super) struct Solution {
    /// One multiplier a sample, in `[0, c]`.
    pub alpha: Vec<f64>,
    /// The decision function is `sum_i alpha_i sign_i k(x_i, x) - rho`.
    pub rho: f64,
    pub steps: u64,
}

/// The multipliers on their way to the optimum.
struct State<'s> {
    signs: &'s [f64],
    c: f64,
    alpha: Vec<f64>,
    /// `-sign_i` times the gradient of sample `i`: how much the objective gains when the sample's
    /// signed multiplier grows.
    pull: Vec<f64>,
    /// Whether the signed multiplier of a sample can still grow, and still fall.
    may_grow: Vec<bool>,
    may_fall: Vec<bool>,
}

/// Solves the problem of [`super::Svc::fit`] over the points of `rows`, labelled `signs` (+1, -1).
pub(super) fn solve(
    rows: &mut Rows<'_>,
    signs: &[f64],
    c: f64,
    tolerance: f64,
) -> Result<Solution, EvaluateError> {
    let samples = signs.len();
    let mut state = State {
        signs,
        c,
        alpha: vec![0.0; samples],
        pull: signs.to_vec(),
        may_grow: signs.iter().map(|&sign| sign > 0.0).collect(),
        may_fall: signs.iter().map(|&sign| sign < 0.0).collect(),
    };
    let limit = 10_000_000.max(100 * samples as u64);
    let mut gap = f64::INFINITY;
    for steps in 0..limit {
        let Some((first, highest)) = state.strongest() else {
            return Ok(state.finish(steps));
        };
        let a = rows.hold(first);
        let (second, lowest) = state.partner(rows.values(a), highest);
        gap = highest - lowest;
        let Some(second) = second.filter(|_| gap >= tolerance) else {
            return Ok(state.finish(steps));
        };
        let b = rows.hold(second);
        state.step(first, rows.values(a), second, rows.values(b));
    }
    Err(EvaluateError::NotConverged { steps: limit, gap, tolerance })
}

impl State<'_> {
    /// The sample that pulls hardest among those that may grow; the last of equals.
    fn strongest(&self) -> Option<(usize, f64)> {
        let mut best = None;
        let mut highest = f64::NEG_INFINITY;
        for (at, (&pull, &may)) in self.pull.iter().zip(&self.may_grow).enumerate() {
            if may && pull >= highest {
                (best, highest) = (Some(at), pull);
            }
        }
        best.map(|at| (at, highest))
    }

    /// The sample whose exchange with `row`'s gains most by second-order information (the last
    /// of equals), and the weakest pull among those that may fall.
    fn partner(&self, row: &[f32], highest: f64) -> (Option<usize>, f64) {
        let mut best = None;
        let (mut most, mut lowest) = (0.0, f64::INFINITY);
        let samples = self.pull.iter().zip(&self.may_fall).zip(row).enumerate();
        for (at, ((&pull, &may), &kernel)) in samples {
            if !may {
                continue;
            }
            lowest = f64::min(lowest, pull);
            let difference = highest - pull;
            if difference > 0.0 {
                let gain = difference * difference / curvature(kernel);
                if gain >= most {
                    (best, most) = (Some(at), gain);
                }
            }
        }
        (best, lowest)
    }

    /// Moves the two multipliers to the optimum of their pair inside `[0, c]`.
    fn step(&mut self, i: usize, row_i: &[f32], j: usize, row_j: &[f32]) {
        let old = (self.alpha[i], self.alpha[j]);
        let delta = (self.pull[i] - self.pull[j]) / curvature(row_i[j]);
        let moved = (old.0 + self.signs[i] * delta, old.1 - self.signs[j] * delta);
        let new = if self.signs[i] == self.signs[j] {
            into_box_of_sum(moved, old.0 + old.1, self.c)
        } else {
            into_box_of_difference(moved, old.0 - old.1, self.c)
        };
        let by_i = self.signs[i] * (new.0 - old.0);
        let by_j = self.signs[j] * (new.1 - old.1);
        for ((pull, &k_i), &k_j) in self.pull.iter_mut().zip(row_i).zip(row_j) {
            *pull -= f64::from(k_i) * by_i + f64::from(k_j) * by_j;
        }
        self.place(i, new.0);
        self.place(j, new.1);
    }

    fn place(&mut self, at: usize, alpha: f64) {
        let (below_c, above_0) = (alpha < self.c, alpha > 0.0);
        self.alpha[at] = alpha;
        let positive = self.signs[at] > 0.0;
        (self.may_grow[at], self.may_fall[at]) =
            if positive { (below_c, above_0) } else { (above_0, below_c) };
    }

    /// The offset is the mean over multipliers strictly inside their box, or else the middle of
    /// what the optimality conditions allow.
    fn finish(self, steps: u64) -> Solution {
        let (mut free, mut sum) = (0usize, 0.0);
        let (mut upper, mut lower) = (f64::INFINITY, f64::NEG_INFINITY);
        for (at, pull) in self.pull.iter().enumerate() {
            match (self.may_grow[at], self.may_fall[at]) {
                (true, true) => {
                    free += 1;
                    sum -= pull;
                }
                (true, false) => upper = upper.min(-pull),
                (false, _) => lower = lower.max(-pull),
            }
        }
        let rho = if free > 0 { sum / free as f64 } else { (upper + lower) / 2.0 };
        Solution { alpha: self.alpha, rho, steps }
    }
}

/// `|phi(a) - phi(b)|^2` for the radial kernel, whose diagonal is 1.
fn curvature(kernel: f32) -> f64 {
    let curvature = 2.0 - 2.0 * f64::from(kernel);
    if curvature > 0.0 { curvature } else { TAU }
}

/// Both in `[0, c]` with `i + j = sum`, as near to `moved` as can be.
fn into_box_of_sum(moved: (f64, f64), sum: f64, c: f64) -> (f64, f64) {
    let (mut i, mut j) = moved;
    if sum > c {
        if i > c {
            (i, j) = (c, sum - c);
        }
        if j > c {
            (i, j) = (sum - c, c);
        }
    } else {
        if j < 0.0 {
            (i, j) = (sum, 0.0);
        }
        if i < 0.0 {
            (i, j) = (0.0, sum);
        }
    }
    (i, j)
}

/// Both in `[0, c]` with `i - j = difference`, as near to `moved` as can be.
fn into_box_of_difference(moved: (f64, f64), difference: f64, c: f64) -> (f64, f64) {
    let (mut i, mut j) = moved;
    if difference > 0.0 {
        if j < 0.0 {
            (i, j) = (difference, 0.0);
        }
        if i > c {
            (i, j) = (c, c - difference);
        }
    } else {
        if i < 0.0 {
            (i, j) = (0.0, -difference);
        }
        if j > c {
            (i, j) = (c + difference, c);
        }
    }
    (i, j)
}
