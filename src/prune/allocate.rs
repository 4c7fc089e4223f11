//! How many weights each tensor keeps, and in which groups they are counted.

use std::fmt;

use super::PruneError;
use crate::model::{Network, Parameter};
use serde::{Deserialize, Serialize};

/// How the weights that stay are shared out over tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocation {
    /// The highest scores of all tensors together stay. Keeps early layers dense.
    Global,
    /// Each tensor keeps the same share.
    Uniform,
    /// Each tensor keeps a share in proportion to (sum of dimensions) / (product of dimensions),
    /// at most all of it: the Erdős-Rényi kernel rule.
    Erk,
    /// Of each group of weights that stand one behind another along the input dimension, so many stay.
    Pattern(Pattern),
}

impl Allocation {
    /// Its name in commands and files.
    pub fn name(self) -> String {
        match self {
            Self::Global => "global".into(),
            Self::Uniform => "uniform".into(),
            Self::Erk => "erk".into(),
            Self::Pattern(pattern) => pattern.to_string(),
        }
    }

    /// The share of weights that goes, where that is not a choice.
    pub fn sparsity(self) -> Option<f64> {
        match self {
            Self::Pattern(Pattern { n, m }) => Some(1.0 - f64::from(n) / f64::from(m)),
            _ => None,
        }
    }
}

/// N:M: of `m` neighbours along the input dimension, at most `n` exist.
///
/// A weight `[outputs, inputs, kh, kw]` has one group for each output, place in the kernel, and `m`
/// consecutive inputs: the order in which a matrix unit with N:M support sums. A tensor whose inputs
/// do not divide by `m`, as those of a first layer, stays as it is.
///
/// # Source
/// Mishra et al., *Accelerating Sparse Deep Neural Networks*, 2021, and its tool, which leaves such
/// tensors dense as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    n: u8,
    m: u8,
}

impl Pattern {
    /// `n` of `m`.
    ///
    /// # Errors
    /// If `m` is not 2, 4, 8 or 16, or `n` is not from 1 up to, but not including, `m`.
    pub fn new(n: u8, m: u8) -> Result<Self, PruneError> {
        match [2, 4, 8, 16].contains(&m) && (1..m).contains(&n) {
            true => Ok(Self { n, m }),
            false => Err(PruneError::Pattern { found: format!("{n}:{m}") }),
        }
    }

    /// Reads `2:4`.
    ///
    /// # Errors
    /// As [`Pattern::new`], and if it is no such text.
    pub fn parse(text: &str) -> Result<Self, PruneError> {
        let numbers = text.split_once(':').map(|(n, m)| (n.parse(), m.parse()));
        match numbers {
            Some((Ok(n), Ok(m))) => Self::new(n, m),
            _ => Err(PruneError::Pattern { found: text.into() }),
        }
    }

    /// How many of a group may exist.
    pub fn n(self) -> usize {
        self.n.into()
    }

    /// How many weights a group has.
    pub fn m(self) -> usize {
        self.m.into()
    }

    /// Whether it can be laid over a tensor.
    pub fn fits(self, parameter: &Parameter) -> bool {
        parameter.prunable
            && parameter.shape.len() > 1
            && parameter.shape[1].is_multiple_of(self.m())
    }

    /// The group of the weight at `position` of a tensor of this shape. Groups count from 0; the weights
    /// of one need not be neighbours in the tensor.
    pub fn group(self, shape: &[usize], position: usize) -> usize {
        let inner: usize = shape[2..].iter().product();
        let (input, place) = (position / inner % shape[1], position % inner);
        let output = position / inner / shape[1];
        (output * (shape[1] / self.m()) + input / self.m()) * inner + place
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.n, self.m)
    }
}

impl TryFrom<String> for Pattern {
    type Error = PruneError;
    fn try_from(text: String) -> Result<Self, PruneError> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

/// How many weights each parameter keeps: `None` where the scores of all decide, or nothing is
/// removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Weights that stay, over all prunable tensors.
    pub total: usize,
    /// Weights that stay in each parameter, in the network's order.
    pub each: Vec<Option<usize>>,
}

impl Budget {
    /// The budget that leaves a share `1 - sparsity` of the prunable weights.
    ///
    /// Shares are rounded to whole weights; under [`Allocation::Uniform`] and [`Allocation::Erk`],
    /// tensor by tensor.
    ///
    /// # Errors
    /// If `sparsity` is not in `[0, 1)`, nothing is prunable, or a pattern means another share or fits no
    /// tensor.
    pub fn new(
        network: &Network,
        sparsity: f64,
        allocation: Allocation,
    ) -> Result<Self, PruneError> {
        if !(0.0..1.0).contains(&sparsity) {
            return Err(PruneError::Sparsity { found: sparsity });
        }
        let sizes: Vec<(usize, f64)> =
            network.parameters.iter().map(|p| (p.mask.len(), erk_weight(p))).collect();
        let prunable: Vec<bool> = network.parameters.iter().map(|p| p.prunable).collect();
        let all: usize = (0..sizes.len()).filter(|&i| prunable[i]).map(|i| sizes[i].0).sum();
        if all == 0 {
            return Err(PruneError::NothingPrunable { model: network.description.name.clone() });
        }
        if let Allocation::Pattern(pattern) = allocation {
            return Self::of_pattern(network, sparsity, pattern);
        }
        let total = ((1.0 - sparsity) * all as f64).round() as usize;
        let density = match allocation {
            Allocation::Global => return Ok(Self { total, each: vec![None; sizes.len()] }),
            Allocation::Uniform => vec![1.0 - sparsity; sizes.len()],
            _ => erk(&sizes, &prunable, total as f64),
        };
        let keep = |i: usize| ((density[i] * sizes[i].0 as f64).round() as usize).min(sizes[i].0);
        let each: Vec<_> = (0..sizes.len()).map(|i| prunable[i].then(|| keep(i))).collect();
        Ok(Self { total: each.iter().flatten().sum(), each })
    }

    /// What a pattern leaves: its share of the tensors that it fits, all of the others.
    fn of_pattern(network: &Network, sparsity: f64, pattern: Pattern) -> Result<Self, PruneError> {
        let expected = Allocation::Pattern(pattern).sparsity().unwrap_or(sparsity);
        if (sparsity - expected).abs() > 1e-9 {
            return Err(PruneError::PatternSparsity { pattern, found: sparsity, expected });
        }
        if !network.parameters.iter().any(|parameter| pattern.fits(parameter)) {
            let model = network.description.name.clone();
            return Err(PruneError::PatternFitsNothing { pattern, model });
        }
        let keep = |parameter: &Parameter| match pattern.fits(parameter) {
            true => parameter.mask.len() / pattern.m() * pattern.n(),
            false => parameter.mask.len(),
        };
        let parameters = network.parameters.iter();
        let each: Vec<_> = parameters.map(|p| p.prunable.then(|| keep(p))).collect();
        Ok(Self { total: each.iter().flatten().sum(), each })
    }
}

/// The sum of a tensor's dimensions over their product.
fn erk_weight(parameter: &Parameter) -> f64 {
    let product: usize = parameter.shape.iter().product();
    parameter.shape.iter().sum::<usize>() as f64 / product.max(1) as f64
}

/// Densities `min(1, scale * weight)` that keep `total` weights. Tensors that would exceed 1 stay
/// dense, and the scale is found anew for the others.
fn erk(sizes: &[(usize, f64)], prunable: &[bool], total: f64) -> Vec<f64> {
    let mut dense = vec![false; sizes.len()];
    loop {
        let free: Vec<usize> = (0..sizes.len()).filter(|&i| prunable[i] && !dense[i]).collect();
        let taken: f64 = (0..sizes.len()).filter(|&i| dense[i]).map(|i| sizes[i].0 as f64).sum();
        let weight: f64 = free.iter().map(|&i| sizes[i].0 as f64 * sizes[i].1).sum();
        let scale = if weight > 0.0 { ((total - taken) / weight).max(0.0) } else { 0.0 };
        let full: Vec<usize> = free.into_iter().filter(|&i| scale * sizes[i].1 > 1.0).collect();
        if full.is_empty() {
            return (0..sizes.len())
                .map(|i| if dense[i] { 1.0 } else { scale * sizes[i].1 })
                .collect();
        }
        full.into_iter().for_each(|i| dense[i] = true);
    }
}
