//! Additions and rectifiers, place by place.

use rayon::prelude::*;

use super::blocked::{Blocked, LANES};
use super::lanes::{Isa, Lanes, Task};

/// Applies `f(to, a)` to the interior of every plane.
fn each_place(
    isa: Isa,
    (a, a_places): (&[f32], Blocked),
    (to, to_places): (&mut [f32], Blocked),
    f: impl Fn(f32, f32) -> f32 + Copy + Sync,
) {
    to.par_chunks_exact_mut(to_places.plane()).enumerate().for_each(|(plane, to)| {
        let a = &a[plane * a_places.plane()..][..a_places.plane()];
        isa.run(Plane { a: (a, a_places), to: (to, to_places), f });
    });
}

struct Plane<'a, F> {
    a: (&'a [f32], Blocked),
    to: (&'a mut [f32], Blocked),
    f: F,
}

impl<F: Fn(f32, f32) -> f32> Task for Plane<'_, F> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for row in 0..self.to.1.height {
            let a = self.a.0[self.a.1.interior(row)].as_chunks::<LANES>().0;
            let to = self.to.0[self.to.1.interior(row)].as_chunks_mut::<LANES>().0;
            for (a, to) in a.iter().zip(to) {
                for lane in 0..LANES {
                    to[lane] = (self.f)(to[lane], a[lane]);
                }
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
    (a, a_places): (&[f32], Blocked),
    (b, b_places): (&[f32], Blocked),
    (y, y_places): (&mut [f32], Blocked),
    rectify: bool,
) {
    each_place(isa, (a, a_places), (&mut *y, y_places), |_, a| a);
    if rectify {
        each_place(isa, (b, b_places), (y, y_places), |y, b| rectified(y + b));
    } else {
        each_place(isa, (b, b_places), (y, y_places), |y, b| y + b);
    }
}

/// `y = max(x, 0)`.
pub fn relu(isa: Isa, x: (&[f32], Blocked), y: (&mut [f32], Blocked)) {
    each_place(isa, x, y, |_, x| rectified(x));
}

/// Closes the gradient, in place, where `y` is not above zero.
pub fn relu_backward(isa: Isa, y: (&[f32], Blocked), dy: (&mut [f32], Blocked)) {
    each_place(isa, y, dy, |dy, y| if y > 0.0 { dy } else { 0.0 });
}

/// `to = from`, or `to += from` if `accumulate`.
pub fn copy_or_add(isa: Isa, from: (&[f32], Blocked), to: (&mut [f32], Blocked), accumulate: bool) {
    if accumulate {
        each_place(isa, from, to, |to, from| to + from);
    } else {
        each_place(isa, from, to, |_, from| from);
    }
}
