//! What attention does with one window of one head: copies in and out, probabilities of a few queries,
//! sums over keys, and their gradients.
//!
//! Rows of a window are `[token][channel]`, where sums run over channels, or `[channel][token]`, where
//! they run over tokens: each loop reads straight on. Every entry is sixteen samples.

use super::attention::{Place, Scratch};
use super::blocked::{Blocked, LANES};
use super::gelu::exp;
use super::lanes::Lanes;
use super::windows::Window;

/// A head's attention within a window.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    /// Channels of the head.
    pub depth: usize,
    /// Places of a window.
    pub tokens: usize,
    /// What products of queries and keys are multiplied by.
    pub scale: f32,
    /// One summand a relative position.
    pub bias: Option<&'a [f32]>,
}

/// What a window holds of one head. All but `across` are `[token][channel]`.
pub(super) struct Heads {
    pub q: Vec<Place>,
    pub k: Vec<Place>,
    pub v: Vec<Place>,
    /// `[channel][token]`: values forward, keys backward.
    pub across: Vec<Place>,
    pub dy: Vec<Place>,
    /// The gradient of the queries; forward, the output.
    pub dq: Vec<Place>,
    pub dk: Vec<Place>,
    pub dv: Vec<Place>,
}

impl Heads {
    /// How many arrays there are.
    pub const ARRAYS: usize = 8;

    pub fn new(depth: usize, tokens: usize) -> Self {
        let zeros = || vec![[0.0; LANES]; depth * tokens];
        Self {
            q: zeros(),
            k: zeros(),
            v: zeros(),
            across: zeros(),
            dy: zeros(),
            dq: zeros(),
            dk: zeros(),
            dv: zeros(),
        }
    }
}

/// Copies the places of `window` from the channels behind `start` of a block: as many as `to` has.
#[inline(always)]
pub(super) fn gather<L: Lanes>(
    (from, places): (&[f32], Blocked),
    start: usize,
    window: &Window<'_>,
    to: &mut [Place],
    across: bool,
) {
    let tokens = window.places.len();
    let depth = to.len() / tokens;
    for channel in 0..depth {
        let plane = &from[(start + channel) * places.plane()..][..places.plane()];
        let plane = plane.as_chunks::<LANES>().0;
        for (token, &[y, x]) in window.places.iter().enumerate() {
            let at = if across { channel * tokens + token } else { token * depth + channel };
            to[at] = plane[places.at(0, y, x) / LANES];
        }
    }
}

/// Writes `[token][channel]` to the planes of a head.
#[inline(always)]
pub(super) fn scatter<L: Lanes>(
    from: &[Place],
    window: &Window<'_>,
    (to, places): (&mut [f32], Blocked),
    accumulate: bool,
) {
    let depth = from.len() / window.places.len();
    for (channel, plane) in to.chunks_exact_mut(places.plane()).enumerate() {
        let plane = plane.as_chunks_mut::<LANES>().0;
        for (token, &[y, x]) in window.places.iter().enumerate() {
            let (from, to) =
                (&from[token * depth + channel], &mut plane[places.at(0, y, x) / LANES]);
            let before = if accumulate { L::of(to) } else { L::splat(0.0) };
            L::to(to, L::add(before, L::of(from)));
        }
    }
}

/// Products of `N` rows of `a` from `t` on with every row of `b`: `to[i, u] = a[t + i] · b[u]`.
#[inline(always)]
fn products<L: Lanes, const N: usize>(
    pair: &Pair<'_>,
    [a, b]: [&[Place]; 2],
    t: usize,
    to: &mut [Place],
) {
    let (depth, tokens) = (pair.depth, pair.tokens);
    let a = &a[t * depth..][..N * depth];
    for (u, b) in b.chunks_exact(depth).enumerate() {
        let mut sums = [L::splat(0.0); N];
        for (channel, b) in b.iter().enumerate() {
            let b = L::of(b);
            for i in 0..N {
                sums[i] = L::fma(L::of(&a[i * depth + channel]), b, sums[i]);
            }
        }
        for i in 0..N {
            L::to(&mut to[i * tokens + u], sums[i]);
        }
    }
}

/// The probabilities of `N` queries from `t` on: `p[i, u]`.
#[inline(always)]
pub(super) fn probabilities<L: Lanes, const N: usize>(
    pair: &Pair<'_>,
    window: &Window<'_>,
    q: &[Place],
    k: &[Place],
    t: usize,
    p: &mut [Place],
) {
    products::<L, N>(pair, [q, k], t, p);
    for (i, row) in p.chunks_exact_mut(pair.tokens).take(N).enumerate() {
        for (u, score) in row.iter_mut().enumerate() {
            let bias = pair.bias.map_or(0.0, |bias| bias[window.relation(t + i, u)]);
            let scored = L::fma(L::of(score), L::splat(pair.scale), L::splat(bias));
            L::to(score, scored);
            if !window.joined(t + i, u) {
                *score = [f32::NEG_INFINITY; LANES];
            }
        }
        softmax(row);
    }
}

/// The softmax of each lane. A NaN makes its lane NaN, so that it is seen.
#[inline(always)]
fn softmax(row: &mut [Place]) {
    let mut most = [f32::NEG_INFINITY; LANES];
    for score in row.iter() {
        for lane in 0..LANES {
            most[lane] = if score[lane] > most[lane] { score[lane] } else { most[lane] };
        }
    }
    let mut total = [0.0; LANES];
    for score in row.iter_mut() {
        for lane in 0..LANES {
            score[lane] = exp(score[lane] - most[lane]);
            total[lane] += score[lane];
        }
    }
    let share = total.map(|total| 1.0 / total);
    for score in row.iter_mut() {
        for lane in 0..LANES {
            score[lane] *= share[lane];
        }
    }
}

/// `to[t + i, channel] = sum over u of p[i, u] * across[channel, u]`.
#[inline(always)]
pub(super) fn attend<L: Lanes, const N: usize>(
    pair: &Pair<'_>,
    p: &[Place],
    across: &[Place],
    t: usize,
    to: &mut [Place],
) {
    let (depth, tokens) = (pair.depth, pair.tokens);
    let p = &p[..N * tokens];
    for (channel, row) in across.chunks_exact(tokens).enumerate() {
        let mut sums = [L::splat(0.0); N];
        for (u, value) in row.iter().enumerate() {
            let value = L::of(value);
            for i in 0..N {
                sums[i] = L::fma(L::of(&p[i * tokens + u]), value, sums[i]);
            }
        }
        for i in 0..N {
            L::to(&mut to[(t + i) * depth + channel], sums[i]);
        }
    }
}

/// `to[u, channel] += sum over i of p[i, u] * from[t + i, channel]`.
#[inline(always)]
fn spread<L: Lanes, const N: usize>(
    pair: &Pair<'_>,
    p: &[Place],
    from: &[Place],
    t: usize,
    to: &mut [Place],
) {
    let (depth, tokens) = (pair.depth, pair.tokens);
    let from = &from[t * depth..][..N * depth];
    for (u, to) in to.chunks_exact_mut(depth).enumerate() {
        let mut weights = [L::splat(0.0); N];
        for i in 0..N {
            weights[i] = L::of(&p[i * tokens + u]);
        }
        for (channel, to) in to.iter_mut().enumerate() {
            let mut sum = L::of(to);
            for i in 0..N {
                sum = L::fma(weights[i], L::of(&from[i * depth + channel]), sum);
            }
            L::to(to, sum);
        }
    }
}

/// The gradients that come by way of `N` queries from `t` on: written to `dq`, added to `dk`, `dv` and
/// `dbias` (where that is not empty).
///
/// With `s` the scores and `dp[u] = dy · v[u]`: `ds[u] = p[u] * (dp[u] - sum of p * dp)`; `dq = scale *
/// sum of ds[u] * k[u]`, `dk[u] += scale * ds[u] * q`, `dv[u] += p[u] * dy`.
#[inline(always)]
pub(super) fn descend<L: Lanes, const N: usize>(
    pair: &Pair<'_>,
    window: &Window<'_>,
    scratch: &mut Scratch,
    t: usize,
    dbias: &mut [f32],
) {
    let Scratch { heads, p, ds } = scratch;
    probabilities::<L, N>(pair, window, &heads.q, &heads.k, t, p);
    products::<L, N>(pair, [&heads.dy, &heads.v], t, ds);
    let rows = p.chunks_exact(pair.tokens).zip(ds.chunks_exact_mut(pair.tokens));
    for (i, (p, ds)) in rows.take(N).enumerate() {
        let mut along = L::splat(0.0);
        for (p, ds) in p.iter().zip(ds.iter()) {
            along = L::fma(L::of(p), L::of(ds), along);
        }
        for (u, (p, ds)) in p.iter().zip(ds.iter_mut()).enumerate() {
            L::to(ds, L::fma(L::sub(L::of(ds), along), L::of(p), L::splat(0.0)));
            if !dbias.is_empty() {
                dbias[window.relation(t + i, u)] += L::sum(L::of(ds));
            }
        }
    }
    spread::<L, N>(pair, p, &heads.dy, t, &mut heads.dv);
    for ds in ds.iter_mut().take(N * pair.tokens) {
        L::to(ds, L::fma(L::of(ds), L::splat(pair.scale), L::splat(0.0)));
    }
    attend::<L, N>(pair, ds, &heads.across, t, &mut heads.dq);
    spread::<L, N>(pair, ds, &heads.q, t, &mut heads.dk);
}
