//! Steps whose units are claimed by whichever thread is free.
//!
//! A prediction is over in a millisecond and has some twenty steps: threads that sleep between steps
//! spend longer waking up than working. So the other threads are called once a prediction, and wait
//! for the next step awake. The caller never waits for a thread that has not come: it claims every
//! unit that nobody else has, and waits only for those that others are in the middle of. A pool that
//! is busy elsewhere costs time, never an answer.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Looks at a changing value before the processor is offered to somebody else.
const LOOKS: usize = 4_000;

/// How far the work is.
struct Progress<'a> {
    /// Units of each step.
    units: &'a [usize],
    /// The step at hand, in the upper half, and the first unit of it that nobody has claimed. They
    /// are one number so that no claim can mix two steps.
    claims: AtomicU64,
    /// Units of the step at hand that are done.
    done: AtomicUsize,
}

impl Progress<'_> {
    fn at(claims: u64) -> (usize, usize) {
        // Both halves are counts that were `usize` before.
        ((claims >> 32) as usize, (claims & u64::from(u32::MAX)) as usize)
    }

    /// Claims a unit of the step at hand, or says which step has none left.
    fn claim(&self) -> Result<(usize, usize), usize> {
        let mut claims = self.claims.load(Ordering::Acquire);
        loop {
            let (step, unit) = Self::at(claims);
            if self.units.get(step).is_none_or(|&units| unit >= units) {
                return Err(step);
            }
            let next = claims + 1;
            let order = (Ordering::AcqRel, Ordering::Acquire);
            match self.claims.compare_exchange_weak(claims, next, order.0, order.1) {
                Ok(_) => return Ok((step, unit)),
                Err(seen) => claims = seen,
            }
        }
    }

    /// Claims and does units until the last step is over.
    fn help(&self, work: &(impl Fn(usize, usize) + Sync)) {
        let mut looks = 0;
        loop {
            match self.claim() {
                Ok((step, unit)) => {
                    let _done = Done(&self.done);
                    work(step, unit);
                    looks = 0;
                }
                Err(step) if step >= self.units.len() => return,
                Err(_) => wait(&mut looks),
            }
        }
    }

    /// Leads through all steps.
    fn lead(&self, work: &(impl Fn(usize, usize) + Sync)) {
        for (step, &units) in self.units.iter().enumerate() {
            while let Ok((step, unit)) = self.claim() {
                let _done = Done(&self.done);
                work(step, unit);
            }
            let mut looks = 0;
            while self.done.load(Ordering::Acquire) < units {
                wait(&mut looks);
            }
            // Every claimed unit is done, so nobody touches these until the next step is published.
            self.done.store(0, Ordering::Relaxed);
            self.claims.store(((step as u64) + 1) << 32, Ordering::Release);
        }
    }
}

/// Counts a claimed unit when it ends, be it by a panic: the leader waits for it.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// Ends the work for everybody where a unit panics, so that nobody waits for it for ever.
struct Over<'a>(&'a Progress<'a>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.claims.store((self.0.units.len() as u64) << 32, Ordering::Release);
    }
}

fn wait(looks: &mut usize) {
    *looks += 1;
    if looks.is_multiple_of(LOOKS) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

/// Does `work(step, unit)` for each unit of each step: all units of a step before any of the next,
/// on up to `threads` threads, the caller's among them.
///
/// # Panics
/// If a step has more units than 32 bits count.
pub(super) fn run(threads: usize, units: &[usize], work: impl Fn(usize, usize) + Sync) {
    assert!(units.iter().all(|&units| u32::try_from(units).is_ok()), "too many units");
    if threads < 2 {
        for (step, &units) in units.iter().enumerate() {
            (0..units).for_each(|unit| work(step, unit));
        }
        return;
    }
    let progress = Progress { units, claims: AtomicU64::new(0), done: AtomicUsize::new(0) };
    rayon::in_place_scope(|scope| {
        let _over = Over(&progress);
        for _ in 1..threads {
            scope.spawn(|_| progress.help(&work));
        }
        progress.lead(&work);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_done_once_and_no_step_begins_before_the_last_has_ended() {
        let units = [1, 7, 0, 300, 2];
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for _ in 0..50 {
                let counts: Vec<AtomicUsize> = units.iter().map(|_| AtomicUsize::new(0)).collect();
                pool.install(|| {
                    run(threads, &units, |step, _| {
                        for (before, &all) in counts[..step].iter().zip(&units) {
                            assert_eq!(before.load(Ordering::Relaxed), all);
                        }
                        counts[step].fetch_add(1, Ordering::Relaxed);
                    });
                });
                let counts: Vec<usize> = counts.into_iter().map(AtomicUsize::into_inner).collect();
                assert_eq!(counts, units);
            }
        }
    }
}
