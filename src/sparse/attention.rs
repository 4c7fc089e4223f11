//! Attention among the places of a plane, forward and backward (Vaswani et al., *Attention Is All You
//! Need*, 2017).
//!
//! A place is a token. The input's `3 C` channels are queries, keys and values, `C` each; `heads` share
//! them in runs of `D = C / heads` channels. For each sample, head and window:
//!
//! `y[t] = sum over u of p[t, u] * v[u]`, `p[t, ·] = softmax(q[t] · k[·] / sqrt(D) + bias[t, ·])`
//!
//! `bias` is a table of relative positions, where there is one.
//!
//! Sixteen samples go side by side, each lane with a softmax of its own. A unit of work is one head of
//! one block: it copies what a window holds of queries, keys and values into rows in which the loops go
//! straight, and writes its own channels. Keys and values are met in the order of the window's places.
//!
//! The backward pass keeps no probabilities: `T * T` of them for each head and sample would be more than
//! all else that a network keeps. It computes them again from the input, some queries at a time, with the
//! operations of the forward pass, so they are the same to the bit. What a thread needs for that is bounded
//! by one window and one head: [`Attention::thread_bytes`].

use rayon::prelude::*;

use super::attention_rows::{Heads, Pair, attend, descend, gather, probabilities, scatter};
use super::blocked::{Blocked, LANES};
use super::lanes::{Isa, Lanes, Task};
use super::windows::Windows;

pub(super) type Place = [f32; LANES];

/// Queries that go through a window together.
pub(super) const TILE: usize = 4;

/// An attention.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Geometry of the input: three times the channels of the output.
    pub input: Blocked,
    /// Geometry of the output.
    pub output: Blocked,
    /// Heads, a divisor of the output's channels.
    pub heads: usize,
    /// Which places attend to one another.
    pub windows: &'a Windows,
}

/// Gradients that an attention reads and writes.
#[derive(Debug)]
pub struct AttentionGradients<'a> {
    /// The gradient of the output: zero in lanes past the last sample.
    pub dy: (&'a [f32], Blocked),
    /// The gradient of the input.
    pub dx: (&'a mut [f32], Blocked),
    /// Whether the gradient of the input is added to what is there.
    pub accumulate: bool,
    /// The gradient of the bias, `[heads, relations]`, which is added to.
    pub dbias: Option<&'a mut [f32]>,
}

/// What a unit copies and computes.
pub(super) struct Scratch {
    pub heads: Heads,
    /// Probabilities of a tile's queries.
    pub p: Vec<Place>,
    /// Gradients of a tile's scores.
    pub ds: Vec<Place>,
}

impl Attention<'_> {
    /// Channels of a head.
    fn depth(&self) -> usize {
        self.output.channels / self.heads
    }

    /// Bytes that a thread needs while one of the passes runs.
    pub fn thread_bytes(&self) -> usize {
        let tokens = self.windows.tokens();
        (Heads::ARRAYS * self.depth() + 2 * TILE) * tokens * size_of::<Place>()
    }

    /// Bytes of the sums of `blocks` blocks that become the gradient of the bias.
    pub fn scratch_bytes(&self, blocks: usize) -> usize {
        blocks * self.heads * self.windows.relations() * size_of::<f32>()
    }

    fn scratch(&self) -> Scratch {
        let tokens = self.windows.tokens();
        let rows = vec![[0.0; LANES]; TILE * tokens];
        Scratch { heads: Heads::new(self.depth(), tokens), p: rows.clone(), ds: rows }
    }

    fn pair<'b>(&self, head: usize, bias: Option<&'b [f32]>) -> Pair<'b> {
        let relations = self.windows.relations();
        Pair {
            depth: self.depth(),
            tokens: self.windows.tokens(),
            scale: (1.0 / (self.depth() as f64).sqrt()) as f32,
            bias: bias.map(|bias| &bias[head * relations..][..relations]),
        }
    }

    /// `y = attention(x)`; `bias` is row-major `[heads, relations]`.
    ///
    /// # Panics
    /// If geometries do not fit each other.
    pub fn forward(&self, isa: Isa, x: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        assert_eq!(self.input.channels, 3 * self.output.channels, "queries, keys and values");
        let share = self.depth() * self.output.plane();
        let units = y.par_chunks_exact_mut(share).enumerate();
        units.for_each_init(
            || self.scratch(),
            |scratch, (unit, y)| {
                let (block, head) = (unit / self.heads, unit % self.heads);
                let x = &x[block * self.input.block()..][..self.input.block()];
                let pair = self.pair(head, bias);
                isa.run(Forward { of: self, head, pair, x, y, scratch });
            },
        );
    }

    /// The gradients of the input and of the bias. Sums over blocks run in block order.
    ///
    /// # Panics
    /// If geometries do not fit each other.
    pub fn backward(&self, isa: Isa, x: &[f32], bias: Option<&[f32]>, to: AttentionGradients<'_>) {
        let AttentionGradients { dy: (dy, dy_places), dx: (dx, dx_places), accumulate, dbias } = to;
        let learns = dbias.is_some();
        let units = self.units(dx, dx_places);
        let sums: Vec<Vec<f32>> = units
            .into_par_iter()
            .enumerate()
            .map_init(
                || self.scratch(),
                |scratch, (unit, dx)| {
                    let (block, head) = (unit / self.heads, unit % self.heads);
                    let x = &x[block * self.input.block()..][..self.input.block()];
                    let dy = &dy[block * dy_places.block()..][..dy_places.block()];
                    let (dy, dx) = ((dy, dy_places), (dx, dx_places));
                    let pair = self.pair(head, bias);
                    let unit = (head, accumulate, learns);
                    isa.run(Backward { of: self, unit, pair, x, dy, dx, scratch })
                },
            )
            .collect();
        let Some(dbias) = dbias else { return };
        let relations = self.windows.relations();
        for (unit, sums) in sums.iter().enumerate() {
            let own = &mut dbias[unit % self.heads * relations..][..relations];
            own.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
    }

    /// Of each head of each block, the channels of its queries, keys and values.
    fn units<'b>(&self, dx: &'b mut [f32], places: Blocked) -> Vec<[&'b mut [f32]; 3]> {
        let share = self.depth() * places.plane();
        let mut units = Vec::new();
        for block in dx.chunks_exact_mut(places.block()) {
            let (queries, rest) = block.split_at_mut(self.heads * share);
            let (keys, values) = rest.split_at_mut(self.heads * share);
            let shares = [queries, keys, values].map(|part| part.chunks_exact_mut(share));
            let [queries, keys, values] = shares;
            units.extend(queries.zip(keys).zip(values).map(|((q, k), v)| [q, k, v]));
        }
        units
    }

    /// Where the channels of a head begin among queries, keys and values.
    fn starts(&self, head: usize) -> [usize; 3] {
        let own = head * self.depth();
        [own, self.output.channels + own, 2 * self.output.channels + own]
    }
}

/// One head of one block.
struct Forward<'a> {
    of: &'a Attention<'a>,
    head: usize,
    pair: Pair<'a>,
    x: &'a [f32],
    y: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl Task for Forward<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { of, head, pair, x, y, scratch } = self;
        let Scratch { heads, p, .. } = scratch;
        let [q, k, v] = of.starts(head);
        for window in of.windows.iter() {
            gather::<L>((x, of.input), q, &window, &mut heads.q, false);
            gather::<L>((x, of.input), k, &window, &mut heads.k, false);
            gather::<L>((x, of.input), v, &window, &mut heads.across, true);
            let tiled = pair.tokens - pair.tokens % TILE;
            for t in (0..tiled).step_by(TILE) {
                probabilities::<L, TILE>(&pair, &window, &heads.q, &heads.k, t, p);
                attend::<L, TILE>(&pair, p, &heads.across, t, &mut heads.dq);
            }
            for t in tiled..pair.tokens {
                probabilities::<L, 1>(&pair, &window, &heads.q, &heads.k, t, p);
                attend::<L, 1>(&pair, p, &heads.across, t, &mut heads.dq);
            }
            scatter::<L>(&heads.dq, &window, (y, of.output), false);
        }
    }
}

/// One head of one block, backward. Gives what it adds to the gradient of its bias.
struct Backward<'a> {
    of: &'a Attention<'a>,
    /// The head, whether the gradient of the input is added to, and whether the bias learns.
    unit: (usize, bool, bool),
    pair: Pair<'a>,
    x: &'a [f32],
    dy: (&'a [f32], Blocked),
    dx: ([&'a mut [f32]; 3], Blocked),
    scratch: &'a mut Scratch,
}

impl Task for Backward<'_> {
    type Out = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let Self { of, unit: (head, accumulate, learns), pair, x, dy, dx, scratch } = self;
        let (mut dx, places) = dx;
        let [q, k, v] = of.starts(head);
        let mut dbias = vec![0.0; if learns { of.windows.relations() } else { 0 }];
        for window in of.windows.iter() {
            let heads = &mut scratch.heads;
            gather::<L>((x, of.input), q, &window, &mut heads.q, false);
            gather::<L>((x, of.input), k, &window, &mut heads.k, false);
            gather::<L>((x, of.input), k, &window, &mut heads.across, true);
            gather::<L>((x, of.input), v, &window, &mut heads.v, false);
            gather::<L>(dy, head * pair.depth, &window, &mut heads.dy, false);
            heads.dk.fill([0.0; LANES]);
            heads.dv.fill([0.0; LANES]);
            let tiled = pair.tokens - pair.tokens % TILE;
            for t in (0..tiled).step_by(TILE) {
                descend::<L, TILE>(&pair, &window, scratch, t, &mut dbias);
            }
            for t in tiled..pair.tokens {
                descend::<L, 1>(&pair, &window, scratch, t, &mut dbias);
            }
            let heads = &scratch.heads;
            for (from, to) in [&heads.dq, &heads.dk, &heads.dv].into_iter().zip(&mut dx) {
                scatter::<L>(from, &window, (to, places), accumulate);
            }
        }
        dbias
    }
}
