//! Influence unlearning: one Newton step away from the samples to forget.
//!
//! `w <- w + alpha * k`, `k = (damping * I + 1/m sum_t g_t g_t^T)^-1 v`, with `g_t` the gradients of the losses
//! of `m` retained samples and
//! `v = 1/N sum_forget grad l - N_f / (N N_r) sum_retain grad l`, `N = N_f + N_r`.
//!
//! # How
//! The recursion of WoodFisher, `F_t^-1 = F_(t-1)^-1 - F_(t-1)^-1 g_t g_t^T F_(t-1)^-1 / (m + g_t^T F_(t-1)^-1
//! g_t)` from `I / damping`, ends at exactly this inverse. By the identity of Woodbury its product with one
//! vector is `(v - G^T (m * damping * I + G G^T)^-1 G v) / damping`, `G` the `m` gradients as rows: one system
//! of `m` equations, solved in f64. `G` is never kept whole: as many columns as [`Influence::store_mib`] has room for
//! are, and the gradients are computed again for the next. A pruned network has few columns.
//!
//! # Source
//! `IU` of Jia et al., NeurIPS 2023: 1,000 samples. Izzo et al., *Approximate Data Deletion from Machine
//! Learning Models*, AISTATS 2021. Singh, Alistarh, *WoodFisher*, NeurIPS 2020.
//!
//! # Where we differ
//! - The released recursion keeps one vector that never leaves the direction of the first gradient, so that
//!   `k = v - c * g_0`: the identity in place of the inverse. [`Influence::compat`] gives that, over samples in
//!   their order, one more than it says after the first, as the code counts.
//! - Samples are drawn by the stream `influence/samples`; the code takes the first.
//! - The defaults are not tuned: a damping of 1 keeps the step near `v`, and 0.1 of that is where the released
//!   form forgets a class of a small ResNet-20. The published 1 to 20 belongs to converged networks.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::closed::{Closed, Halt, Slope, above_zero, to_forget};
use super::method::Given;
use crate::base::rng::Stream;
use crate::data::Dataset;
use crate::model::Network;
use crate::sparse::LANES;
use crate::train::{Recipe, TrainError};

/// Columns whose rows are multiplied together: a thousand rows of them take 2 MiB.
const CACHED: usize = 512;

/// Influence unlearning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Influence {
    /// Length of the step, as a share of the Newton step.
    pub alpha: f32,
    /// Retained samples that the curvature is asked of.
    pub samples: usize,
    /// What is added to the curvature in every direction.
    pub damping: f32,
    /// Room for gradients, in MiB. Less takes more passes and gives the same step up to rounding.
    pub store_mib: usize,
    /// The released recursion.
    pub compat: bool,
}

impl Default for Influence {
    fn default() -> Self {
        Self { alpha: 0.1, samples: 1000, damping: 1.0, store_mib: 1024, compat: false }
    }
}

impl Influence {
    /// The steps that this method takes, for plans: it has no rate.
    pub fn recipe(&self, seed: u64) -> Recipe {
        Recipe { epochs: 1, batch: LANES, frozen_norm: true, seed, ..Recipe::default() }
    }

    /// Columns of the gradients of `samples` samples that are kept at once.
    fn columns(&self, samples: usize, weights: usize) -> usize {
        let room = (self.store_mib as u64).saturating_mul(1 << 20) / (4 * samples.max(1) as u64);
        usize::try_from(room).unwrap_or(usize::MAX).clamp(1, weights.max(1))
    }

    /// Bytes of gradients and of the system of equations, with `retain` samples to draw from.
    pub fn kept_bytes(&self, network: &Network, retain: usize) -> u64 {
        let (weights, samples) = (network.values.len(), self.samples.min(retain));
        let vectors = 3 * 8 * weights as u64;
        match self.compat {
            true => vectors,
            false => {
                let columns = self.columns(samples, weights) as u64;
                vectors + 4 * samples as u64 * columns + 2 * 8 * (samples as u64).pow(2)
            }
        }
    }
}

impl Closed for Influence {
    fn check(&self) -> Result<(), TrainError> {
        above_zero("alpha", self.alpha)?;
        above_zero("damping", self.damping)?;
        // The system of equations has the square of it as entries.
        if self.samples == 0 || self.samples > 20_000 {
            let found = self.samples.to_string();
            return Err(TrainError::Recipe { field: "samples", found, expected: "1 to 20000" });
        }
        Ok(())
    }

    fn passes(&self) -> usize {
        3
    }

    fn moved(&self, slope: &mut Slope<'_>, given: Given<'_>, seed: u64) -> Result<Vec<f32>, Halt> {
        let forget = to_forget(given)?;
        let direction = direction(slope, forget, given.retain)?;
        let step = if self.compat {
            self.released(slope, given.retain, direction)?
        } else {
            let mut drawn = Stream::new(seed, "influence/samples").permutation(given.retain.len());
            drawn.truncate(self.samples);
            self.solved(slope, given.retain, &drawn, &direction)?
        };
        let moved = slope.network.values.iter().zip(step);
        Ok(moved.map(|(w, k)| (f64::from(*w) + f64::from(self.alpha) * k) as f32).collect())
    }
}

/// `v`: the mean gradient over what is forgotten less that over what is kept, both by the share of the
/// former in all.
fn direction(slope: &mut Slope<'_>, forget: &Dataset, retain: &Dataset) -> Result<Vec<f64>, Halt> {
    let mut sum = slope.zeros();
    let (gone, kept) = (forget.len() as f64, retain.len() as f64);
    slope.pass();
    slope.add_all(forget, 1.0 / (gone + kept), &mut sum)?;
    slope.pass();
    slope.add_all(retain, -gone / ((gone + kept) * kept), &mut sum)?;
    Ok(sum.into_iter().map(f64::from).collect())
}

impl Influence {
    /// The recursion as it was released.
    fn released(
        &self,
        slope: &mut Slope<'_>,
        retain: &Dataset,
        mut k: Vec<f64>,
    ) -> Result<Vec<f64>, Halt> {
        slope.pass();
        let count = self.samples as f64;
        let last = (self.samples + 2).min(retain.len());
        let mut gradient = slope.zeros();
        slope.of_one(retain, 0, last, &mut gradient)?;
        let mut first: Vec<f64> = gradient.iter().map(|&g| g.into()).collect();
        for index in 1..last {
            slope.of_one(retain, index, last, &mut gradient)?;
            let along = dot(&first, &gradient);
            let share = dot(&k, &gradient) / (count + along);
            k.iter_mut().zip(&first).for_each(|(k, o)| *k -= share * o);
            let share = along / (count + along);
            first.iter_mut().for_each(|o| *o -= share * *o);
        }
        Ok(k)
    }

    /// The inverse of the damped curvature times `v`.
    fn solved(
        &self,
        slope: &mut Slope<'_>,
        retain: &Dataset,
        drawn: &[usize],
        v: &[f64],
    ) -> Result<Vec<f64>, Halt> {
        let (rows, weights) = (drawn.len(), v.len());
        let columns = self.columns(rows, weights);
        let mut part = Part { rows: vec![0.0; rows * columns.min(weights)], width: 0 };
        let (mut gram, mut right) = (vec![0.0f64; rows * rows], vec![0.0f64; rows]);
        let starts: Vec<usize> = (0..weights).step_by(columns).collect();
        for &start in &starts {
            part.take(slope, retain, drawn, start..(start + columns).min(weights))?;
            part.add_products(&mut gram, &v[start..], &mut right);
        }
        let damping = f64::from(self.damping);
        (0..rows).for_each(|row| gram[row * rows + row] += rows as f64 * damping);
        solve(&mut gram, &mut right);
        let mut step = v.to_vec();
        for &start in &starts {
            let range = start..(start + columns).min(weights);
            if starts.len() > 1 {
                part.take(slope, retain, drawn, range.clone())?;
            }
            part.subtract(&right, &mut step[range]);
        }
        step.iter_mut().for_each(|k| *k /= damping);
        Ok(step)
    }
}

/// Some columns of the gradients of samples.
struct Part {
    rows: Vec<f32>,
    width: usize,
}

impl Part {
    fn take(
        &mut self,
        slope: &mut Slope<'_>,
        data: &Dataset,
        drawn: &[usize],
        range: std::ops::Range<usize>,
    ) -> Result<(), Halt> {
        slope.pass();
        self.width = range.len();
        let mut gradient = slope.zeros();
        for (row, &index) in self.rows.chunks_exact_mut(self.width).zip(drawn) {
            slope.of_one(data, index, drawn.len(), &mut gradient)?;
            row.copy_from_slice(&gradient[range.clone()]);
        }
        Ok(())
    }

    /// Adds the products of all pairs of rows, and those of each row with `v`, some columns at a time, so
    /// that all rows of them stay in a cache. A row of results is one thread's, and its sums run in one order.
    fn add_products(&self, gram: &mut [f64], v: &[f64], right: &mut [f64]) {
        let count = right.len();
        for start in (0..self.width).step_by(CACHED) {
            let columns = start..(start + CACHED).min(self.width);
            let row = |index: usize| &self.rows[index * self.width..][columns.clone()];
            gram.par_chunks_exact_mut(count).zip(&mut *right).enumerate().for_each(
                |(i, (sums, right))| {
                    *right += dot(&v[columns.clone()], row(i));
                    for (j, sum) in sums.iter_mut().enumerate().take(i + 1) {
                        *sum += product(row(i), row(j));
                    }
                },
            );
        }
    }

    /// Takes `weights[i]` times row `i` from `step`.
    fn subtract(&self, weights: &[f64], step: &mut [f64]) {
        for (row, weight) in self.rows.chunks_exact(self.width).zip(weights) {
            step.iter_mut().zip(row).for_each(|(k, &g)| *k -= weight * f64::from(g));
        }
    }
}

/// A sum of products in f64, in the order of the values.
fn dot(one: &[f64], other: &[f32]) -> f64 {
    one.iter().zip(other).map(|(a, &b)| a * f64::from(b)).sum()
}

/// A sum of products, in sixteen sums side by side.
fn product(one: &[f32], other: &[f32]) -> f64 {
    let mut sums = [0.0f64; LANES];
    let (ones, others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest = ones.remainder().iter().zip(others.remainder());
    let rest: f64 = rest.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    for (a, b) in ones.zip(others) {
        for lane in 0..LANES {
            sums[lane] += f64::from(a[lane]) * f64::from(b[lane]);
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Solves `matrix x = right` in place, by Cholesky. The matrix is symmetric and, being damped, positive; its
/// lower half is read.
fn solve(matrix: &mut [f64], right: &mut [f64]) {
    let count = right.len();
    for row in 0..count {
        for column in 0..=row {
            let (a, b) = (row * count, column * count);
            let sum: f64 = (0..column).map(|k| matrix[a + k] * matrix[b + k]).sum();
            let left = matrix[a + column] - sum;
            matrix[a + column] =
                if row == column { left.sqrt() } else { left / matrix[b + column] };
        }
    }
    for row in 0..count {
        let sum: f64 = (0..row).map(|k| matrix[row * count + k] * right[k]).sum();
        right[row] = (right[row] - sum) / matrix[row * count + row];
    }
    for row in (0..count).rev() {
        let sum: f64 = (row + 1..count).map(|k| matrix[k * count + row] * right[k]).sum();
        right[row] = (right[row] - sum) / matrix[row * count + row];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_of_equations_is_solved() {
        // 4x + 2y = 10, 2x + 3y = 11: x = 1, y = 3. The upper half is never read.
        let (mut matrix, mut right) = (vec![4.0, f64::NAN, 2.0, 3.0], vec![10.0, 11.0]);
        solve(&mut matrix, &mut right);
        assert!((right[0] - 1.0).abs() < 1e-12 && (right[1] - 3.0).abs() < 1e-12, "{right:?}");
    }
}
