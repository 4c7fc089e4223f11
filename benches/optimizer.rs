//! The optimiser's pass against the memory it runs over: `cargo bench --bench optimizer -- [MEGABYTES]`.
//!
//! Every vector is MEGABYTES long (256), many times the last cache, so all of it comes from memory.
//! Beside the pass runs the triad `a = b + s * c`, over the same pool of threads in units of the same
//! size, in turn. What counts is what the memory moves: 20 bytes a weight for the pass (weight, momentum and
//! gradient in, weight and momentum out; 4 more for a base), and 16 for the triad, because a store to a
//! line that is not in cache reads it first. Counted as the program sees it the triad moves 12, and
//! the last column stands above what is given here by a third. Medians of rounds;
//! `RAYON_NUM_THREADS` sets the threads. Ends with an error where a form is below 70 % of the triad.

use std::process::ExitCode;

use rayon::prelude::*;
use unlearn::base::clock::Stopwatch;
use unlearn::base::rng::Stream;
use unlearn::sparse::{Isa, L1, Step, update};

const ROUNDS: usize = 9;
/// Values that a thread takes at a time, as many as the pass takes.
const UNIT: usize = 1 << 14;
/// The least share of the triad's bandwidth.
const BAR: f64 = 0.7;
/// Bytes that the triad moves for each value.
const TRIAD_BYTES: f64 = 16.0;

fn numbers(len: usize, name: &str, size: f32) -> Vec<f32> {
    let mut values = vec![0.0; len];
    values.par_chunks_mut(UNIT).enumerate().for_each(|(unit, values)| {
        let mut stream = Stream::new(unit as u64, name);
        values.fill_with(|| (stream.unit() as f32 - 0.5) * size);
    });
    values
}

fn triad(a: &mut [f32], b: &[f32], c: &[f32]) {
    let units = a.par_chunks_mut(UNIT).zip(b.par_chunks(UNIT).zip(c.par_chunks(UNIT)));
    units.for_each(|(a, (b, c))| {
        for (a, (b, c)) in a.iter_mut().zip(b.iter().zip(c)) {
            *a = *b + 3.0 * *c;
        }
    });
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let word = std::env::args().skip(1).find(|word| !word.starts_with("--"));
    let Ok(megabytes) = word.as_deref().unwrap_or("256").parse::<usize>() else {
        eprintln!("MEGABYTES is a whole number");
        return ExitCode::FAILURE;
    };
    let len = megabytes.max(1) * 1_000_000 / size_of::<f32>();
    let gradient = numbers(len, "bench/gradient", 1e-3);
    let base = numbers(len, "bench/base", 1.0);
    let (mut values, mut momentum) = (base.clone(), gradient.clone());
    let forms = [
        ("no l1", L1::Off),
        ("subgradient", L1::Subgradient { gamma: 1e-4 }),
        ("proximal", L1::Proximal { gamma: 1e-4 }),
        ("towards base", L1::TowardsBase { gamma: 1e-4, base: &base }),
    ];
    let mut seconds = vec![Vec::new(); forms.len() + 1];
    for round in 0..=ROUNDS {
        for (form, (_, l1)) in forms.iter().enumerate() {
            let step = Step { rate: 0.01, momentum: 0.9, decay: 5e-4, l1: *l1 };
            let watch = Stopwatch::start();
            std::hint::black_box(update(Isa::best(), step, &mut values, &mut momentum, &gradient));
            seconds[form].push(watch.seconds());
        }
        let watch = Stopwatch::start();
        triad(&mut momentum, &base, &gradient);
        std::hint::black_box(&momentum);
        seconds[forms.len()].push(watch.seconds());
        if round == 0 {
            // The first round pays for pages that the others find.
            seconds.iter_mut().for_each(Vec::clear);
        }
    }
    let mut medians = seconds.into_iter().map(median);
    let passes: Vec<f64> = medians.by_ref().take(forms.len()).collect();
    let triad = medians.next().unwrap_or(f64::NAN);
    let speed = |bytes: f64, seconds: f64| bytes * len as f64 / seconds / 1e9;
    let threads = rayon::current_num_threads();
    println!("{len} weights, {megabytes} MB a vector, {threads} threads, {}", Isa::best().name());
    println!("\n| pass | bytes a weight | ms | GB/s | of the triad % |\n|---|---|---|---|---|");
    let told = |name: &str, bytes: f64, seconds: f64| {
        let share = speed(bytes, seconds) / speed(TRIAD_BYTES, triad);
        let (ms, speed) = (1e3 * seconds, speed(bytes, seconds));
        println!("| {name} | {bytes} | {ms:.1} | {speed:.1} | {:.0} |", 100.0 * share);
        share
    };
    told("triad", TRIAD_BYTES, triad);
    let mut least = f64::INFINITY;
    for ((name, l1), seconds) in forms.iter().zip(passes) {
        let bytes = if matches!(l1, L1::TowardsBase { .. }) { 24.0 } else { 20.0 };
        least = least.min(told(name, bytes, seconds));
    }
    println!("\nThe slowest form reaches {:.0} % of the triad; the bar is 70 %.", 100.0 * least);
    if least < BAR { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
