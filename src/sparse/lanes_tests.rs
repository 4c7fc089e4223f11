//! Every instruction set does what the portable one does, operation by operation.

use super::LANES;
use super::lanes::{Isa, Lanes, Task};

/// Every operation of the trait, on values that show what differs.
struct All([[f32; LANES]; 3]);

impl Task for All {
    type Out = (Vec<[f32; LANES]>, f32);

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let [a, b, c] = [L::of(&self.0[0]), L::of(&self.0[1]), L::of(&self.0[2])];
        let all = [L::splat(3.5), L::fma(a, b, c), L::add(a, b), L::sub(a, b), L::relu(a)];
        let mut all: Vec<_> = all.map(L::array).into();
        let mut opened = [0.0; LANES];
        L::to(&mut opened, L::open(a, b));
        all.push(opened);
        (all, L::sum(c))
    }
}

#[test]
fn every_instruction_set_gives_the_portable_ones_values() {
    // Halves and small numbers: no product rounds, so one rounding equals two.
    let at = |lane: usize, step: f32| (lane as f32 - 7.0) * step;
    let a = std::array::from_fn(|lane| at(lane, 0.5));
    let b = std::array::from_fn(|lane| at((lane * 5) % LANES, 0.25));
    let c = std::array::from_fn(|lane| at((lane * 3) % LANES, 1e-3));
    let portable = Isa::named("portable").unwrap();
    let expected = portable.run(All([a, b, c]));
    for isa in Isa::available() {
        let (found, sum) = isa.run(All([a, b, c]));
        assert_eq!(sum, expected.1, "{isa:?}: sum");
        for (operation, (found, expected)) in found.iter().zip(&expected.0).enumerate() {
            for (x, y) in found.iter().zip(expected) {
                assert!((x - y).abs() <= 1e-6, "{isa:?}: operation {operation}: {x} {y}");
            }
        }
    }
}

#[test]
fn a_nan_passes_the_rectifier_of_every_instruction_set() {
    for isa in Isa::available() {
        let (found, _) = isa.run(All([[f32::NAN; LANES], [1.0; LANES], [0.0; LANES]]));
        assert!(found[4].iter().all(|value| value.is_nan()), "{isa:?}");
    }
}
