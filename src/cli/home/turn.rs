//! Whose turn it is: who has a home tells its worker, through the pipe that is the worker's standard input, that
//! somebody waits for an answer. The worker then pauses between two batches.

use std::io::{Read, Write};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

const COMES: u8 = b'+';
const GOES: u8 = b'-';

/// Tells `worker` that somebody waits.
pub(super) fn comes(worker: Option<&mut Child>) {
    tell(worker, COMES);
}

/// Tells `worker` that one who waited has got an answer.
pub(super) fn goes(worker: Option<&mut Child>) {
    tell(worker, GOES);
}

fn tell(worker: Option<&mut Child>, word: u8) {
    if let Some(pipe) = worker.and_then(|worker| worker.stdin.as_mut()) {
        // A worker that has ended needs no telling.
        let _ = pipe.write_all(&[word]);
    }
}

/// Those who wait, as a worker knows of them.
#[derive(Default)]
pub(super) struct Waiting {
    count: AtomicI64,
    gone: AtomicBool,
}

impl Waiting {
    /// Whether somebody waits.
    pub(super) fn somebody(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Whether whoever has the home is gone: nobody will take in what the worker comes to.
    pub(super) fn ends(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    fn hear(&self, word: u8) {
        let by = match word {
            COMES => 1,
            // One who came before this worker did was not told of.
            GOES if self.somebody() => -1,
            _ => 0,
        };
        self.count.fetch_add(by, Ordering::Relaxed);
    }
}

/// Listens on standard input, in a thread of its own.
pub(super) fn listen() -> Arc<Waiting> {
    let waiting = Arc::new(Waiting::default());
    let theirs = waiting.clone();
    std::thread::spawn(move || {
        for word in std::io::stdin().lock().bytes().map_while(Result::ok) {
            theirs.hear(word);
        }
        theirs.gone.store(true, Ordering::Relaxed);
    });
    waiting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_counted_and_one_from_before_is_not() {
        let waiting = Waiting::default();
        for (word, somebody) in
            [(GOES, false), (COMES, true), (COMES, true), (GOES, true), (b'?', true), (GOES, false)]
        {
            waiting.hear(word);
            assert_eq!(waiting.somebody(), somebody);
        }
    }
}
