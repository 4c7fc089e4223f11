//! One subject's hand: what stays the same in all that a subject writes.

use crate::base::rng::Stream;

use super::Population;
use super::draw::{Pen, SIDE, byte, draw, smooth};
use super::glyphs::{FORMS, Point};

/// How one subject writes every sign.
pub(super) struct Hand {
    /// The strokes of each class as this subject writes them.
    signs: Vec<Vec<Vec<Point>>>,
    /// Columns a stroke moves to the right for each row it rises.
    slant: f64,
    /// Rows a stroke falls for each column it goes right.
    tilt: f64,
    width: f64,
    height: f64,
    middle: Point,
    radius: f64,
    ink: f64,
    /// The paper: a grey, and how much it grows to the right and downwards.
    paper: [f64; 3],
}

impl Hand {
    /// The hand of the subject called `name`: fixed by `population.seed` and `name` alone, so
    /// that a larger population holds the smaller one.
    pub(super) fn new(population: &Population, name: &str) -> Self {
        let mut stream = Stream::new(population.seed, &format!("made/hand/{name}"));
        let own = population.own_signs.min(FORMS.len());
        let mut is_own = [false; FORMS.len()];
        stream.permutation(FORMS.len())[..own].iter().for_each(|&class| is_own[class] = true);
        let signs = (0..FORMS.len())
            .map(|class| match is_own[class] {
                true => own_sign(&mut stream),
                false => bent_sign(&mut stream, class, population.bend),
            })
            .collect();
        Self {
            signs,
            slant: stream.between(-0.25, 0.35),
            tilt: stream.between(-0.12, 0.12),
            width: stream.between(6.5, 9.0),
            height: stream.between(9.5, 11.5),
            middle: [8.0 + stream.between(-0.8, 0.8), 8.0 + stream.between(-0.8, 0.8)],
            radius: stream.between(0.45, 1.05),
            ink: stream.between(0.6, 0.95),
            paper: [
                stream.between(0.0, 0.15),
                stream.between(-0.1, 0.1),
                stream.between(-0.1, 0.1),
            ],
        }
    }

    /// Writes `class` once more, with the small differences that `stream` gives.
    pub(super) fn write(&self, class: usize, stream: &mut Stream) -> [u8; SIDE * SIDE] {
        let shift = [stream.between(-0.7, 0.7), stream.between(-0.7, 0.7)];
        let size = stream.between(0.92, 1.08);
        let slant = self.slant + stream.between(-0.08, 0.08);
        let mut curves = Vec::new();
        for stroke in &self.signs[class] {
            let jittered: Vec<Point> = stroke
                .iter()
                .map(|&[x, y]| [x + JITTER * bell(stream), y + JITTER * bell(stream)])
                .collect();
            curves.push(
                smooth(&jittered)
                    .into_iter()
                    .map(|[x, y]| {
                        let (x, y) =
                            ((x - 0.5) * self.width * size, (y - 0.5) * self.height * size);
                        [
                            self.middle[0] + shift[0] + x - slant * y,
                            self.middle[1] + shift[1] + y + self.tilt * x,
                        ]
                    })
                    .collect(),
            );
        }
        let pen = Pen {
            radius: self.radius * stream.between(0.85, 1.15),
            ink: self.ink * stream.between(0.9, 1.05),
        };
        self.on_paper(&draw(&curves, &pen), stream)
    }

    fn on_paper(&self, ink: &[f64; SIDE * SIDE], stream: &mut Stream) -> [u8; SIDE * SIDE] {
        std::array::from_fn(|at| {
            let (right, down) = ((at % SIDE) as f64 / 15.0 - 0.5, (at / SIDE) as f64 / 15.0 - 0.5);
            let paper = self.paper[0] + self.paper[1] * right + self.paper[2] * down;
            let grey = ink[at] + paper.max(0.0) * (1.0 - ink[at]) + NOISE * bell(stream);
            byte(grey)
        })
    }
}

/// How far a control point moves from one writing to the next, as a share of the sign's size.
const JITTER: f64 = 0.025;
/// The noise of one pixel.
const NOISE: f64 = 0.05;

/// One of the usual forms, every control point of it moved by about `bend`.
fn bent_sign(stream: &mut Stream, class: usize, bend: f64) -> Vec<Vec<Point>> {
    let form = FORMS[class][stream.index(FORMS[class].len())];
    let mut moved = |&[x, y]: &Point| [x + bend * bell(stream), y + bend * bell(stream)];
    form.iter().map(|stroke| stroke.iter().map(&mut moved).collect()).collect()
}

/// A sign that nobody else uses: two curves of random points.
fn own_sign(stream: &mut Stream) -> Vec<Vec<Point>> {
    let mut point = || [stream.between(0.0, 1.0), stream.between(0.0, 1.0)];
    (0..2).map(|_| (0..4).map(|_| point()).collect()).collect()
}

/// A draw with mean 0 and variance 1, by adding twelve uniform draws (Irwin and Hall): like a
/// normal draw, but without a logarithm, whose last bit differs between systems.
fn bell(stream: &mut Stream) -> f64 {
    (0..12).map(|_| stream.unit()).sum::<f64>() - 6.0
}
