//! What a batch norm does with one plane: sums over it and passes through it.
//!
//! Knows no channel and no batch: whoever calls picks planes and puts their sums together.

use super::blocked::{Blocked, LANES};
use super::lanes::{Isa, Lanes, Task};

/// A plane that is read, and where its places lie.
pub(super) type Plane<'a> = (&'a [f32], Blocked);
/// A plane that is written.
pub(super) type PlaneMut<'a> = (&'a mut [f32], Blocked);

/// `places`, each as one long row where none has a halo between its rows.
#[inline(always)]
fn joined<const N: usize>(places: [Blocked; N]) -> [Blocked; N] {
    if places.iter().any(|p| p.halo != [0, 0]) {
        return places;
    }
    places.map(|p| Blocked { height: 1, width: p.height * p.width, ..p })
}

#[inline(always)]
pub(super) fn row(plane: &[f32], places: Blocked, row: usize) -> &[[f32; LANES]] {
    plane[places.interior(row)].as_chunks::<LANES>().0
}

#[inline(always)]
pub(super) fn row_mut(plane: &mut [f32], places: Blocked, row: usize) -> &mut [[f32; LANES]] {
    plane[places.interior(row)].as_chunks_mut::<LANES>().0
}

/// The sum of lanes that hold samples.
pub(super) fn live(lanes: &[f32; LANES], used: usize) -> f64 {
    lanes.iter().take(used).map(|lane| f64::from(*lane)).sum()
}

/// Sums over a plane of `x - centre` and of its square, by lane.
struct Spread<'a> {
    x: Plane<'a>,
    centre: f32,
}

impl Task for Spread<'_> {
    type Out = [[f32; LANES]; 2];

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let centre = L::splat(self.centre);
        let mut sums = [L::splat(0.0); 2];
        let [places] = joined([self.x.1]);
        for y in 0..places.height {
            for x in row(self.x.0, places, y) {
                let away = L::sub(L::of(x), centre);
                sums = [L::add(sums[0], away), L::fma(away, away, sums[1])];
            }
        }
        [L::array(sums[0]), L::array(sums[1])]
    }
}

/// Mean and spread of values seen so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    pub count: f64,
    pub mean: f64,
    /// The sum of squared distances from the mean.
    pub spread: f64,
}

impl Moments {
    /// Those of a plane's samples.
    pub fn of(isa: Isa, x: Plane<'_>, used: usize) -> Self {
        let count = (used * x.1.height * x.1.width) as f64;
        let centre = x.0.get(x.1.at(0, 0, 0)).copied().unwrap_or_default();
        let sums = isa.run(Spread { x, centre });
        let [first, second] = sums.map(|lanes| live(&lanes, used));
        let spread = (second - first * first / count).max(0.0);
        Self { count, mean: f64::from(centre) + first / count, spread }
    }

    /// Those of both.
    pub fn with(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        let spread = self.spread + other.spread + apart * apart * self.count * other.count / count;
        Self { count, mean: self.mean + apart * other.count / count, spread }
    }
}

/// What a channel's values are multiplied by, and what is added then.
#[derive(Clone, Copy)]
pub(super) struct Affine {
    pub slope: f32,
    pub start: f32,
}

/// `y = x * slope + start (+ addend)`, then the rectifier if there is one.
pub(super) struct Forward<'a> {
    pub x: Plane<'a>,
    pub addend: Option<Plane<'a>>,
    pub y: PlaneMut<'a>,
    pub affine: Affine,
    pub relu: bool,
}

impl Forward<'_> {
    #[inline(always)]
    fn each<L: Lanes, const ADD: bool, const RELU: bool>(self, addend: Plane<'_>) {
        let (slope, start) = (L::splat(self.affine.slope), L::splat(self.affine.start));
        for line in 0..self.x.1.height {
            let (x, more) = (row(self.x.0, self.x.1, line), row(addend.0, addend.1, line));
            let y = row_mut(self.y.0, self.y.1, line);
            for ((x, more), y) in x.iter().zip(more).zip(y) {
                let mut value = L::fma(L::of(x), slope, start);
                if ADD {
                    value = L::add(value, L::of(more));
                }
                L::to(y, if RELU { L::relu(value) } else { value });
            }
        }
    }
}

impl Task for Forward<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let x = self.x;
        match (self.addend, self.relu) {
            (None, false) => self.each::<L, false, false>(x),
            (None, true) => self.each::<L, false, true>(x),
            (Some(addend), false) => self.each::<L, true, false>(addend),
            (Some(addend), true) => self.each::<L, true, true>(addend),
        }
    }
}

/// Sums over a plane, by lane, of `dy` where the rectifier was open, and of it times `x - centre`.
pub(super) struct Products<'a> {
    pub x: Plane<'a>,
    pub dy: Plane<'a>,
    pub centre: f32,
    /// What decides whether the rectifier was open, if there is one.
    pub open: Option<Affine>,
}

impl Products<'_> {
    #[inline(always)]
    fn each<L: Lanes, const OPEN: bool>(&self, affine: Affine) -> [[f32; LANES]; 2] {
        let centre = L::splat(self.centre);
        let (slope, start) = (L::splat(affine.slope), L::splat(affine.start));
        let mut sums = [L::splat(0.0); 2];
        let [x_places, dy_places] = joined([self.x.1, self.dy.1]);
        for line in 0..x_places.height {
            let (x, dy) = (row(self.x.0, x_places, line), row(self.dy.0, dy_places, line));
            for (x, dy) in x.iter().zip(dy) {
                let (x, mut dy) = (L::of(x), L::of(dy));
                if OPEN {
                    dy = L::open(dy, L::fma(x, slope, start));
                }
                sums = [L::add(sums[0], dy), L::fma(dy, L::sub(x, centre), sums[1])];
            }
        }
        [L::array(sums[0]), L::array(sums[1])]
    }
}

impl Task for Products<'_> {
    type Out = [[f32; LANES]; 2];

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        match self.open {
            Some(affine) => self.each::<L, true>(affine),
            None => self.each::<L, false>(SHUT),
        }
    }
}

/// Stands where no rectifier asks.
const SHUT: Affine = Affine { slope: 0.0, start: 0.0 };

/// As [`Products`], for a rectifier behind an addition: only `y` knows whether it was open. Leaves
/// `dy` closed.
pub(super) struct Closing<'a> {
    pub x: Plane<'a>,
    pub y: Plane<'a>,
    pub dy: PlaneMut<'a>,
    pub centre: f32,
}

impl Task for Closing<'_> {
    type Out = [[f32; LANES]; 2];

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let centre = L::splat(self.centre);
        let mut sums = [L::splat(0.0); 2];
        let [x_places, y_places, dy_places] = joined([self.x.1, self.y.1, self.dy.1]);
        for line in 0..x_places.height {
            let (x, y) = (row(self.x.0, x_places, line), row(self.y.0, y_places, line));
            for ((x, y), to) in x.iter().zip(y).zip(row_mut(self.dy.0, dy_places, line)) {
                let dy = L::open(L::of(to), L::of(y));
                L::to(to, dy);
                sums = [L::add(sums[0], dy), L::fma(dy, L::sub(L::of(x), centre), sums[1])];
            }
        }
        [L::array(sums[0]), L::array(sums[1])]
    }
}

/// `dx (+)= slope * dy + (x * tilt.slope + tilt.start)`, with `dy` where the rectifier was open.
pub(super) struct Backward<'a> {
    pub x: Plane<'a>,
    pub dy: Plane<'a>,
    pub dx: PlaneMut<'a>,
    pub slope: f32,
    pub tilt: Affine,
    pub open: Option<Affine>,
    pub accumulate: bool,
}

impl Backward<'_> {
    #[inline(always)]
    fn each<L: Lanes, const OPEN: bool, const ADD: bool>(self, affine: Affine) {
        let scale = L::splat(self.slope);
        let (tilt, level) = (L::splat(self.tilt.slope), L::splat(self.tilt.start));
        let (slope, start) = (L::splat(affine.slope), L::splat(affine.start));
        for line in 0..self.x.1.height {
            let (x, dy) = (row(self.x.0, self.x.1, line), row(self.dy.0, self.dy.1, line));
            for ((x, dy), dx) in x.iter().zip(dy).zip(row_mut(self.dx.0, self.dx.1, line)) {
                let (x, mut dy) = (L::of(x), L::of(dy));
                if OPEN {
                    dy = L::open(dy, L::fma(x, slope, start));
                }
                let value = L::fma(scale, dy, L::fma(x, tilt, level));
                L::to(dx, if ADD { L::add(L::of(dx), value) } else { value });
            }
        }
    }
}

impl Task for Backward<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        match (self.open, self.accumulate) {
            (None, false) => self.each::<L, false, false>(SHUT),
            (None, true) => self.each::<L, false, true>(SHUT),
            (Some(affine), false) => self.each::<L, true, false>(affine),
            (Some(affine), true) => self.each::<L, true, true>(affine),
        }
    }
}

/// Zeroes the lanes of a plane past the `live` first: no sample is there.
pub(super) fn close_lanes((plane, places): PlaneMut<'_>, live: usize) {
    if live == LANES {
        return;
    }
    for line in 0..places.height {
        for place in row_mut(plane, places, line) {
            place[live..].fill(0.0);
        }
    }
}
