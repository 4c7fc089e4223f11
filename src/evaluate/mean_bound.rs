//! One-sided confidence bounds for a mean of which nothing is known but its range.
//!
//! Student's t takes the spread that it saw for the spread that there is. A leak that sits in one
//! sample of ten is not seen at all by five samples in 59 of 100 draws; they then agree with each
//! other, and t reports a narrow interval around the wrong place. [`upper`] adds the one observation
//! that was not made and would hurt most, a value at the end of the range, and weighs all of them at
//! random: the bound is a quantile of that mean. It is never narrower than what so few samples can
//! say, and with many it comes to the width of t.
//!
//! # Source
//! Gaffke, *Three test statistics for a nonparametric one-sided hypothesis on the mean of a
//! nonnegative variable*, Mathematical Methods of Statistics 14, 2005; as a confidence bound,
//! Learned-Miller and Thomas, arXiv:1905.06208. For two-valued data it is the bound of Clopper and
//! Pearson. That it holds for every distribution is proved for two-valued ones and conjectured for
//! all others: no counterexample is known, and `tests/equivalence.rs` looks for one on each kind of
//! leak that it plants.
//!
//! # Where we differ
//! The source draws the weights; we compute the quantile itself, so that there is no seed. With
//! weights from exponential draws `E_i`, `P(mean >= t) = P(sum E_i (x_i - t) >= 0)`, an integral of
//! the characteristic function along a line through its saddle point, where the trapezoidal rule
//! converges geometrically.

/// Step of the trapezoidal rule in `v`, where `y = sinh(v) / sigma`. The error falls as
/// `exp(-2 pi d / step)` with `d`, about 0.5 or more, the distance to the nearest pole.
const STEP: f64 = 0.2;

/// Where the sum ends at the latest: `v = 21`. Two values fall as `exp(-2 v)`, more of them faster.
const MOST_STEPS: u32 = 105;

/// Upper bound for the mean of a distribution on `[-1, 1]`: it lies above the mean in a share of at
/// least `1 - alpha` of all draws of `values`. Deterministic, and the same in any order of `values`
/// up to rounding. Cost: some ten passes of about twenty complex products a value.
///
/// # Panics
/// If `values` is empty, a value lies outside `[-1, 1]`, or `alpha` outside `(0, 0.36)`: up to `1/e`
/// the bound surely lies above the sample's mean.
pub fn upper(values: &[f64], alpha: f64) -> f64 {
    assert!(!values.is_empty(), "a bound needs a sample");
    assert!(alpha > 0.0 && alpha < 0.36, "alpha is {alpha}, expected above 0 and below 0.36");
    assert!(values.iter().all(|v| (-1.0..=1.0).contains(v)), "values lie in [-1, 1]");
    // The observation that was not made, first.
    let all: Vec<f64> = std::iter::once(1.0).chain(values.iter().copied()).collect();
    let count = all.len() as f64;
    let mean = all.iter().sum::<f64>() / count;
    let variance = all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    if variance == 0.0 {
        return 1.0;
    }
    // Random weights spread the mean by this much.
    let spread = (variance / (count + 1.0)).sqrt();
    let (mut low, mut high) = (mean, 1.0);
    let mut at = (mean + 1.7 * spread).min(0.5 * (mean + 1.0));
    let mut last: Option<(f64, f64)> = None;
    let goal = alpha.ln();
    for _ in 0..100 {
        let miss = tail(&all, at).ln() - goal;
        if miss > 0.0 {
            low = at
        } else {
            high = at
        }
        // The logarithm of the tail is concave: secants close in fast; a bisection where one leaves.
        let step = last.map(|(then, was)| at - miss * (at - then) / (miss - was));
        last = Some((at, miss));
        let next = step.filter(|next| *next > low && *next < high).unwrap_or(0.5 * (low + high));
        if (next - at).abs() < 1e-9 || miss == 0.0 {
            break;
        }
        at = next;
    }
    // Rounded outwards by what the search leaves open.
    (at + 2e-9).min(1.0)
}

/// Lower bound for the mean, as [`upper`] is the upper one.
///
/// # Panics
/// As [`upper`].
pub fn lower(values: &[f64], alpha: f64) -> f64 {
    let mirrored: Vec<f64> = values.iter().map(|v| -v).collect();
    -upper(&mirrored, alpha)
}

/// `P(sum E_i (x_i - at) >= 0)` with independent standard exponential `E_i`.
///
/// `at` lies above the mean of `x`, and `x[0]`, the largest, above `at`.
///
/// The integral of `M(z) / z` with `M(z) = prod 1 / (1 - z a_i)`. The path `z = s + bend y² + i y`
/// leaves the saddle point `s` as the steepest one does: on a straight line a single large `a_i`
/// makes the integrand turn round and round while it falls slowly.
fn tail(x: &[f64], at: f64) -> f64 {
    let mut a: Vec<f64> = x.iter().map(|x| x - at).collect();
    // Factors of 1 and summands of 0, so that no lane stays empty.
    a.resize(a.len().next_multiple_of(LANES), 0.0);
    let saddle = saddle(&a);
    // The transform as what it is at the saddle and how it changes from there.
    let b: Vec<f64> = a.iter().map(|a| a / (1.0 - saddle * a)).collect();
    let (middle, _, log) = product(&a, saddle, 0.0);
    let middle = -(middle.ln() + log);
    let squares: f64 = b.iter().map(|b| b * b).sum();
    let bend = b.iter().map(|b| b.powi(3)).sum::<f64>() / (3.0 * squares);
    let sigma = squares.sqrt();
    let mut sum = 0.0;
    for k in 0..MOST_STEPS {
        let v = STEP * f64::from(k);
        let y = v.sinh() / sigma;
        let x = bend * y * y;
        let (re, im, log) = product(&b, x, y);
        // dz/dy / (i product z), of which the real part counts.
        let (re, im) = (re * (saddle + x) - im * y, re * y + im * (saddle + x));
        let (up, across) = (1.0, -2.0 * bend * y);
        let scale = (-log).exp() * v.cosh() / (re * re + im * im);
        let term = (up * re + across * im) * scale;
        let size = (re.abs() + im.abs()) * (up + across.abs()) * scale;
        sum += if k == 0 { 0.5 * term } else { term };
        if size < 1e-13 * sum.abs() {
            break;
        }
    }
    (middle.exp() * STEP * sum / (std::f64::consts::PI * sigma)).clamp(f64::MIN_POSITIVE, 1.0)
}

/// Where `sum -ln(1 - s a_i)` is least, inside `(0, 1 / a[0])`, to a few hundredths of the width
/// there: the path may begin beside it. Never so near to 0 that the pole there is felt.
fn saddle(a: &[f64]) -> f64 {
    let end = 1.0 / a[0];
    let (mut low, mut high) = (0.0, end);
    let (mut s, mut bend) = (0.0, 0.0);
    for _ in 0..60 {
        let slope;
        (slope, bend) = slopes(a, s);
        if slope < 0.0 {
            low = s
        } else {
            high = s
        }
        let newton = s - slope / bend;
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        let near = (next - s).abs() * bend.sqrt() < 0.02;
        s = next;
        if near {
            break;
        }
    }
    s.max(0.5 / bend.sqrt()).min(0.5 * (s + end))
}

/// Sums that do not wait for each other.
const LANES: usize = 4;

/// First and second derivative of `sum -ln(1 - s a_i)`.
fn slopes(a: &[f64], s: f64) -> (f64, f64) {
    let (mut slope, mut bend) = ([0.0; LANES], [0.0; LANES]);
    for some in a.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            let b = some[lane] / (1.0 - s * some[lane]);
            slope[lane] += b;
            bend[lane] += b * b;
        }
    }
    (slope.iter().sum(), bend.iter().sum())
}

/// `prod (1 - (x + i y) b_k)` as real part, imaginary part and the logarithm of a common factor.
fn product(b: &[f64], x: f64, y: f64) -> (f64, f64, f64) {
    let (mut re, mut im, mut log) = ([1.0f64; LANES], [0.0f64; LANES], 0.0);
    // Eight factors of at most 1e19 in each lane stay far below the largest number.
    for some in b.chunks(8 * LANES) {
        for each in some.as_chunks::<LANES>().0 {
            for lane in 0..LANES {
                let (along, turn) = (1.0 - x * each[lane], y * each[lane]);
                (re[lane], im[lane]) =
                    (re[lane] * along + im[lane] * turn, im[lane] * along - re[lane] * turn);
            }
        }
        for lane in 0..LANES {
            let size = re[lane].hypot(im[lane]);
            re[lane] /= size;
            im[lane] /= size;
            log += size.ln();
        }
    }
    let (re, im) =
        re.iter().zip(&im).fold((1.0, 0.0), |(r, i), (re, im)| (r * re - i * im, r * im + i * re));
    (re, im, log)
}

#[cfg(test)]
mod tests;
