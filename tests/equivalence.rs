//! Keeps the gate honest at every number of samples: a leak of the margin passes in at most 5 of 100
//! draws however few samples there are and wherever the leak sits, and a model that truly forgot
//! passes in at least 80 of 100 with 200 samples.
//!
//! The draws are of probabilities as networks give them: most near 1, some near 0, the rest between,
//! and the two models agreeing on which samples are hard. `cargo test --test equivalence --
//! --nocapture` prints the rates, beside those of Welch's t, which lets leaks pass that few samples do
//! not show.
//!
//! No rate is given an allowance for chance: seeds are fixed. What 1,000 draws tell is known to 1.4
//! points; the cell that comes nearest here (`Away`, 1,000 and 1,000 samples, where the bound comes to
//! the width of t) passed 431 leaks of 10,000.

use rayon::prelude::*;
use unlearn::base::rng::Stream;
use unlearn::evaluate::{Equivalence, Evidence, Pairs, Verdict};

const DRAWS: u64 = 1000;
const SIZES: [usize; 5] = [5, 20, 50, 200, 1000];

/// How a candidate answers samples that it should have forgotten.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leak {
    /// As it answers samples that it never saw.
    None,
    /// Each sample a little better.
    All,
    /// Some of all samples as if known by heart.
    Some,
    /// Only samples that nobody knows, and those by heart: the leak is in one sample of eight or so.
    Hard,
    /// Some of all samples wrongly: forgotten too well.
    Away,
}

/// A world of people's samples.
#[derive(Clone, Copy, Debug, PartialEq)]
struct World {
    name: &'static str,
    /// How far two trainings on the same data lie apart, in logits.
    noise: f64,
}

/// A candidate that went on from the ancestor.
const REPAIR: World = World { name: "repair", noise: 0.4 };
/// A candidate that was trained anew.
const REPLAY: World = World { name: "replay", noise: 0.8 };
/// A candidate that is the ancestor but for a drift, and for the leak: few samples show no spread.
const STILL: World = World { name: "still", noise: 0.0 };

/// What the candidate learnt besides, of all samples alike, in logits.
const DRIFT: f64 = 0.15;

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The logit of a probability: a mixture of Beta(12, 1), Beta(1, 1) and Beta(1, 5).
fn skill(stream: &mut Stream) -> f64 {
    let (which, draw) = (stream.unit(), stream.between(1e-6, 1.0 - 1e-6));
    let share = match which {
        _ if which < 0.60 => draw.powf(1.0 / 12.0),
        _ if which < 0.85 => draw,
        _ => 1.0 - draw.powf(1.0 / 5.0),
    };
    (share / (1.0 - share)).ln()
}

/// A sample as candidate and ancestor answer it, without a leak.
fn sample(world: World, stream: &mut Stream) -> (f64, f64) {
    let skill = skill(stream);
    let mut answer = |drift| logistic(skill + drift + world.noise * stream.normal());
    (answer(DRIFT), answer(0.0))
}

/// What a leak of `strength` makes of the candidate's answer.
fn leaked(leak: Leak, strength: f64, candidate: f64, stream: &mut Stream) -> f64 {
    let hit = stream.unit() < strength;
    let heart = 1.0 - 0.02 * stream.unit();
    match leak {
        Leak::None => candidate,
        Leak::All => candidate + strength * (1.0 - candidate),
        Leak::Some if hit => heart.max(candidate),
        Leak::Hard if hit && candidate < 0.2 => heart,
        Leak::Away if hit => candidate * 0.02,
        _ => candidate,
    }
}

/// The strength at which a leak moves the mean by `margin`. The shift is proportional to it.
fn strength(world: World, leak: Leak, margin: f64) -> f64 {
    if leak == Leak::None {
        return 0.0;
    }
    let mut stream = Stream::new(1, "equivalence/strength");
    let draws = 200_000;
    let mut shift = 0.0;
    for _ in 0..draws {
        let candidate = sample(world, &mut stream).0;
        shift += (leaked(leak, 1.0, candidate, &mut stream) - candidate).abs();
    }
    let strength = margin * f64::from(draws) / shift;
    assert!(strength < 1.0, "{leak:?} cannot move the mean by {margin}: {strength}");
    strength
}

struct Draw {
    trained: (Vec<f64>, Vec<f64>),
    held: (Vec<f64>, Vec<f64>),
}

fn draw(world: World, leak: (Leak, f64), (n, m): (usize, usize), seed: u64) -> Draw {
    let mut stream = Stream::new(seed, &format!("equivalence/{}/{:?}/{n}/{m}", world.name, leak.0));
    let mut side = |samples: usize, leak: (Leak, f64)| -> (Vec<f64>, Vec<f64>) {
        let one = |_| {
            let (candidate, ancestor) = sample(world, &mut stream);
            (leaked(leak.0, leak.1, candidate, &mut stream), ancestor)
        };
        (0..samples).map(one).unzip()
    };
    let trained = side(n, leak);
    Draw { trained, held: side(m, (Leak::None, 0.0)) }
}

impl Draw {
    fn judge(&self, test: Equivalence) -> Evidence {
        let pairs = |side: &'static str| {
            let (candidate, ancestor) = if side == "trained" { &self.trained } else { &self.held };
            Pairs { candidate, ancestor }
        };
        test.of_confidences(pairs("trained"), pairs("held")).unwrap()
    }

    /// Whether Welch's t, in two one-sided tests, would let it pass.
    fn welch(&self, test: Equivalence) -> bool {
        let moments = |(candidate, ancestor): &(Vec<f64>, Vec<f64>)| {
            let n = candidate.len() as f64;
            let of: Vec<f64> = candidate.iter().zip(ancestor).map(|(c, a)| c - a).collect();
            let mean = of.iter().sum::<f64>() / n;
            let square = of.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0) / n;
            (mean, square, n - 1.0)
        };
        let ((m1, v1, f1), (m2, v2, f2)) = (moments(&self.trained), moments(&self.held));
        let (error, freedom) =
            ((v1 + v2).sqrt(), (v1 + v2).powi(2) / (v1 * v1 / f1 + v2 * v2 / f2));
        let estimate = m1 - m2;
        // The nearer end of the margin decides.
        let nearer = test.margin - estimate.abs();
        student_above(nearer / error, freedom) <= test.alpha
    }
}

/// `P(T > t)` of Student's t, by Simpson's rule in the angle whose tangent is `t / sqrt(freedom)`.
fn student_above(t: f64, freedom: f64) -> f64 {
    let area = |from: f64, to: f64| {
        let (pieces, width) = (200, (to - from) / 200.0);
        let height = |k: u32| (from + width * f64::from(k)).cos().max(0.0).powf(freedom - 1.0);
        let inner = |k: u32| if k % 2 == 1 { 4.0 } else { 2.0 };
        let sum: f64 = (1..pieces).map(|k| inner(k) * height(k)).sum();
        (sum + height(0) + height(pieces)) * width / 3.0
    };
    let (angle, quarter) = ((t / freedom.sqrt()).atan(), std::f64::consts::FRAC_PI_2);
    area(angle, quarter) / (2.0 * area(0.0, quarter))
}

/// Of 1,000 draws, how many passed, failed, and would have passed Welch's t; the mean of the stated
/// power; the standard deviation of a trained sample's difference.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    passed: u64,
    failed: u64,
    welch: u64,
    power: f64,
}

fn rates(world: World, leak: (Leak, f64), sizes: (usize, usize)) -> Rates {
    let test = Equivalence::default();
    let one = |seed| {
        let draw = draw(world, leak, sizes, seed);
        let evidence = draw.judge(test);
        Rates {
            passed: u64::from(evidence.verdict == Verdict::Passed),
            failed: u64::from(evidence.verdict == Verdict::Failed),
            welch: u64::from(draw.welch(test)),
            power: evidence.power.unwrap_or(0.0) / DRAWS as f64,
        }
    };
    (0..DRAWS).into_par_iter().map(one).reduce(Rates::default, |a, b| Rates {
        passed: a.passed + b.passed,
        failed: a.failed + b.failed,
        welch: a.welch + b.welch,
        power: a.power + b.power,
    })
}

/// `m` as vaults hold samples out, a quarter of the trained ones, and as many as there are.
fn held(n: usize) -> [usize; 2] {
    [n.div_ceil(4).max(2), n]
}

/// The cells of the table of leaks. With 1,000 samples the shape of a leak matters no longer.
fn leaks() -> Vec<(World, Leak, usize)> {
    let mut cells = Vec::new();
    for (world, leak) in [
        (REPAIR, Leak::All),
        (REPAIR, Leak::Some),
        (REPAIR, Leak::Hard),
        (REPAIR, Leak::Away),
        (REPLAY, Leak::Hard),
        (REPLAY, Leak::Away),
        (STILL, Leak::Hard),
    ] {
        let large = world == REPAIR && matches!(leak, Leak::Hard | Leak::Away);
        let sizes = SIZES.iter().filter(|&&n| n < 1000 || large);
        cells.extend(sizes.map(|&n| (world, leak, n)));
    }
    cells
}

#[test]
fn a_leak_of_the_margin_passes_in_at_most_five_of_a_hundred_draws_at_every_size() {
    let margin = Equivalence::default().margin;
    println!("\nof {DRAWS} draws with a leak of {margin}:");
    println!(" world  leak      n     m   pass   fail   Welch would pass");
    let mut worst_of_welch = 0;
    let mut last = (None, 0.0);
    for (world, leak, n) in leaks() {
        if last.0 != Some((world, leak)) {
            last = (Some((world, leak)), strength(world, leak, margin));
        }
        let strength = last.1;
        for m in held(n) {
            let Rates { passed, failed, welch, .. } = rates(world, (leak, strength), (n, m));
            let name = format!("{leak:?}");
            println!("{:>6}  {name:4}  {n:5} {m:5}  {passed:5}  {failed:5}  {welch:5}", world.name);
            assert!(passed <= DRAWS / 20, "{passed} leaks passed");
            assert!(n > 20 || passed == 0, "so few samples show nothing");
            worst_of_welch = worst_of_welch.max(welch);
        }
    }
    // Why the bound is not Student's: more than half of such leaks would pass.
    assert!(worst_of_welch > DRAWS / 2, "{worst_of_welch}");
}

#[test]
fn a_true_replay_passes_in_eighty_of_a_hundred_draws_with_200_samples() {
    println!("\nof {DRAWS} draws without a leak:");
    println!(" world      n     m   pass   fail   Welch would pass   mean of stated power");
    for world in [REPAIR, REPLAY] {
        let sizes = SIZES.iter().filter(|&&n| n < 1000 || world == REPLAY);
        for (n, m) in sizes.flat_map(|&n| held(n).map(|m| (n, m))) {
            let Rates { passed, failed, welch, power } = rates(world, (Leak::None, 0.0), (n, m));
            println!(
                "{:>6}  {n:5} {m:5}  {passed:5}  {failed:5}  {welch:5}  {power:.3}",
                world.name
            );
            assert!(n < 200 || passed >= DRAWS * 4 / 5, "{passed} passed");
            assert!(n > 20 || passed == 0, "so few samples show nothing");
            assert!(failed <= DRAWS / 100, "{failed} were called leaks");
            let share = passed as f64 / DRAWS as f64;
            assert!((power - share).abs() < 0.05, "stated power {power}, passed {share}");
        }
    }
}

#[test]
fn a_leak_of_two_and_a_half_margins_fails() {
    let leak = 2.5 * Equivalence::default().margin;
    println!("\nof {DRAWS} draws with a leak of {leak}:");
    println!(" world  leak      n     m   pass   fail");
    for (world, kind, (n, m), least) in [
        (REPAIR, Leak::Some, (20, 20), 300),
        (REPAIR, Leak::Some, (50, 13), 600),
        (REPLAY, Leak::Away, (50, 50), 950),
        (REPLAY, Leak::Some, (200, 50), 990),
    ] {
        let strength = strength(world, kind, leak);
        let Rates { passed, failed, .. } = rates(world, (kind, strength), (n, m));
        let name = format!("{kind:?}");
        println!("{:>6}  {name:4}  {n:5} {m:5}  {passed:5}  {failed:5}", world.name);
        assert!(passed == 0 && failed >= least, "{passed} passed, {failed} failed");
    }
}

#[test]
fn the_same_rule_on_wrong_answers_is_as_honest() {
    let test = Equivalence::default();
    // Whoever answers a sample with less than one half answers it wrongly, as with two classes.
    let wrong = |of: &[f64]| of.iter().map(|&share| share < 0.5).collect::<Vec<bool>>();
    let passed = |world, hits: f64, (n, m): (usize, usize)| {
        let one = |seed: &u64| {
            let Draw { mut trained, held } = draw(world, (Leak::None, 0.0), (n, m), *seed);
            let mut stream = Stream::new(*seed, "equivalence/errors");
            for share in &mut trained.0 {
                *share = if *share < 0.5 && stream.unit() < hits { 1.0 } else { *share };
            }
            let [tc, ta, hc, ha] = [&trained.0, &trained.1, &held.0, &held.1].map(|of| wrong(of));
            let trained = Pairs { candidate: &tc, ancestor: &ta };
            let held = Pairs { candidate: &hc, ancestor: &ha };
            let evidence = test.of_errors(trained, held).unwrap();
            evidence.difference.verdict == Verdict::Passed
        };
        (0..DRAWS).into_par_iter().filter(one).count() as u64
    };
    println!("\nof {DRAWS} draws, wrong answers:  n     m   leaks passed   true replays passed");
    for (n, m) in [(20, 5), (50, 50), (200, 50), (200, 200)] {
        // A leak of the margin: this share of wrong answers becomes right.
        let mut stream = Stream::new(1, "equivalence/strength");
        let all = 200_000;
        let missed = (0..all).filter(|_| sample(REPAIR, &mut stream).0 < 0.5).count();
        let hits = test.margin * f64::from(all) / missed as f64;
        let (leaks, replays) = (passed(REPAIR, hits, (n, m)), passed(REPAIR, 0.0, (n, m)));
        println!("                         {n:6} {m:5}  {leaks:6}  {replays:6}");
        assert!(leaks <= DRAWS / 20, "{leaks} leaks passed");
        assert!((n, m) != (200, 200) || replays >= DRAWS * 4 / 5, "{replays} passed");
    }
}
