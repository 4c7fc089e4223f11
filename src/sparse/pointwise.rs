//! Additions and rectifiers, place by place.

use rayon::prelude::*;

use super::blocked::Blocked;
use super::lanes::{Isa, Lanes, Task};

/// Applies `f(to, a, b)` to the interior of every plane.
pub(super) fn each_place(
    isa: Isa,
    [a, b]: [(&[f32], Blocked); 2],
    (to, to_places): (&mut [f32], Blocked),
    f: impl Fn(f32, f32, f32) -> f32 + Copy + Sync,
) {
    to.par_chunks_exact_mut(to_places.plane()).enumerate().for_each(|(plane, to)| {
        let a = (&a.0[plane * a.1.plane()..][..a.1.plane()], a.1);
        let b = (&b.0[plane * b.1.plane()..][..b.1.plane()], b.1);
        isa.run(Plane { a, b, to: (to, to_places), f });
    });
}

/// Writes the interior of one plane: `to = f(to, a, b)`.
pub(super) struct Plane<'a, F> {
    pub a: (&'a [f32], Blocked),
    pub b: (&'a [f32], Blocked),
    pub to: (&'a mut [f32], Blocked),
    pub f: F,
}

impl<F: Fn(f32, f32, f32) -> f32> Task for Plane<'_, F> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for row in 0..self.to.1.height {
            let a = &self.a.0[self.a.1.interior(row)];
            let b = &self.b.0[self.b.1.interior(row)];
            let to = &mut self.to.0[self.to.1.interior(row)];
            for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
                *to = (self.f)(*to, *a, *b);
            }
        }
    }
}

#[inline(always)]
fn rectified(value: f32) -> f32 {
    if value < 0.0 { 0.0 } else { value }
}

/// `y = a + b`, then `max(y, 0)` if `rectify`.
pub fn add(
    isa: Isa,
    a: (&[f32], Blocked),
    b: (&[f32], Blocked),
    y: (&mut [f32], Blocked),
    rectify: bool,
) {
    if rectify {
        each_place(isa, [a, b], y, |_, a, b| rectified(a + b));
    } else {
        each_place(isa, [a, b], y, |_, a, b| a + b);
    }
}

/// `y = max(x, 0)`.
pub fn relu(isa: Isa, x: (&[f32], Blocked), y: (&mut [f32], Blocked)) {
    each_place(isa, [x, x], y, |_, x, _| rectified(x));
}

/// Closes the gradient, in place, where `y` is not above zero.
pub fn relu_backward(isa: Isa, y: (&[f32], Blocked), dy: (&mut [f32], Blocked)) {
    each_place(isa, [y, y], dy, |dy, y, _| if y > 0.0 { dy } else { 0.0 });
}

/// `to = from`, or `to += from` if `accumulate`.
pub fn copy_or_add(isa: Isa, from: (&[f32], Blocked), to: (&mut [f32], Blocked), accumulate: bool) {
    if accumulate {
        each_place(isa, [from, from], to, |to, from, _| to + from);
    } else {
        each_place(isa, [from, from], to, |_, from, _| from);
    }
}
