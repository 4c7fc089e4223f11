//! How long opening a data set takes: `cargo bench --bench loading -- PATH [TIMES]` opens PATH as
//! often as told (5) and prints one line of JSON: seconds of every time, and what was read.
//!
//! `benches/peers/loading.py` runs it beside other programs.

use std::path::Path;
use std::process::ExitCode;

use unlearn::base::clock::Stopwatch;
use unlearn::data::{Reading, open};

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let Some(path) = words.next() else {
        eprintln!("no PATH was given: nothing is measured");
        return ExitCode::SUCCESS;
    };
    let times: usize = words.next().and_then(|times| times.parse().ok()).unwrap_or(5);
    let (mut seconds, mut told) = (Vec::new(), String::new());
    for _ in 0..times {
        let start = Stopwatch::start();
        let splits = match open(Path::new(&path), &Reading::default()) {
            Ok(splits) => splits,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
        seconds.push(start.seconds());
        let samples = splits.train.len() + splits.test.len();
        told = format!("\"kind\":\"{}\",\"samples\":{samples}", splits.kind);
    }
    println!("{{\"seconds\":{seconds:?},{told}}}");
    ExitCode::SUCCESS
}
