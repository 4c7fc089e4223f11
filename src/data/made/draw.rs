//! From strokes to pixels.
//!
//! Only `+ - * /`, comparisons and `sqrt` are used, which IEEE 754 fixes to the last bit, and the
//! result is rounded to bytes: the same strokes give the same bytes on every machine. No `sin`,
//! `exp` or `powf`, whose last bit depends on the system's mathematics library.

use super::glyphs::Point;

/// Rows and columns of a picture.
pub(super) const SIDE: usize = 16;

/// How strokes become grey values.
pub(super) struct Pen {
    /// Half the width of a stroke, in pixels.
    pub(super) radius: f64,
    /// The grey of a stroke's middle, 0 to 1.
    pub(super) ink: f64,
}

/// Corner cutting (Chaikin, 1974): each round replaces every edge by its middle half; the ends
/// stay.
pub(super) fn smooth(points: &[Point]) -> Vec<Point> {
    let mut curve = points.to_vec();
    if curve.len() < 3 {
        return curve;
    }
    for _ in 0..3 {
        let mut finer = vec![curve[0]];
        for edge in curve.windows(2) {
            finer.push(between(edge[0], edge[1], 0.25));
            finer.push(between(edge[0], edge[1], 0.75));
        }
        finer.push(curve[curve.len() - 1]);
        curve = finer;
    }
    curve
}

/// Draws polylines given in pixels: the grey of each pixel, row by row.
pub(super) fn draw(curves: &[Vec<Point>], pen: &Pen) -> [f64; SIDE * SIDE] {
    let mut nearest = [f64::INFINITY; SIDE * SIDE];
    for edge in curves.iter().flat_map(|curve| curve.windows(2)) {
        for (at, near) in nearest.iter_mut().enumerate() {
            let pixel = [(at % SIDE) as f64 + 0.5, (at / SIDE) as f64 + 0.5];
            *near = near.min(squared_distance(pixel, edge[0], edge[1]));
        }
    }
    // One pixel of soft edge, half inside the stroke and half outside.
    nearest.map(|squared| pen.ink * (pen.radius + 0.5 - squared.sqrt()).clamp(0.0, 1.0))
}

/// Rounds a grey value to a byte.
pub(super) fn byte(grey: f64) -> u8 {
    // Clamped to 0..=255 and rounded: nothing is cut off.
    (grey * 255.0).round().clamp(0.0, 255.0) as u8
}

fn between(from: Point, to: Point, share: f64) -> Point {
    [from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])]
}

fn squared_distance(pixel: Point, from: Point, to: Point) -> f64 {
    let (along, away) = (difference(to, from), difference(pixel, from));
    let length = dot(along, along);
    let share = if length > 0.0 { (dot(away, along) / length).clamp(0.0, 1.0) } else { 0.0 };
    let rest = difference(pixel, between(from, to, share));
    dot(rest, rest)
}

fn difference(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

fn dot(a: Point, b: Point) -> f64 {
    a[0] * b[0] + a[1] * b[1]
}
