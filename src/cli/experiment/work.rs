//! Steps on threads: each when what it needs is there, as many at once as was asked for and as fit
//! into memory.
//!
//! What a step makes depends on its settings and on what it needs, never on when it runs: any number
//! of steps at once gives the same results.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Memory that steps share.
#[derive(Debug)]
pub(super) struct Budget {
    limit: Option<u64>,
    used: Mutex<u64>,
    freed: Condvar,
}

/// Memory that a step may take, until it is dropped.
pub(super) struct Permit<'a>(&'a Budget, u64);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *hold(&self.0.used) -= self.1;
        self.0.freed.notify_all();
    }
}

impl Budget {
    /// `limit` bytes for all steps that run at once; without one there is no end to it.
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { limit, used: Mutex::new(0), freed: Condvar::new() }
    }

    /// Waits until `bytes` are free, or nobody else has any: whether a step alone fits is not asked
    /// here.
    pub(super) fn take(&self, bytes: u64) -> Permit<'_> {
        let limit = self.limit.unwrap_or(u64::MAX);
        let mut used = hold(&self.used);
        while *used > 0 && used.saturating_add(bytes) > limit {
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
        Permit(self, bytes)
    }
}

fn hold<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in a step ends the scope, and with it the process.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

struct State<T, E> {
    begun: Vec<bool>,
    made: Vec<Option<Arc<T>>>,
    fault: Option<E>,
}

/// Runs `needs.len()` steps, `jobs` at once. Step `i` begins when all of `needs[i]`, which are lower
/// numbers, have been made, and gets what they made. Of those that could begin the lowest does.
///
/// # Errors
/// The first that a step met; steps under way are ended, no other is begun.
pub(super) fn work<T: Send + Sync, E: Send>(
    needs: &[&[usize]],
    jobs: usize,
    perform: impl Fn(usize, &[Arc<T>]) -> Result<T, E> + Sync,
) -> Result<Vec<Arc<T>>, E> {
    let count = needs.len();
    let state =
        Mutex::new(State { begun: vec![false; count], made: vec![None; count], fault: None });
    let changed = Condvar::new();
    let worker = || {
        let mut now = hold(&state);
        loop {
            if now.fault.is_some() || now.begun.iter().all(|&begun| begun) {
                return;
            }
            let ready = |&step: &usize| {
                !now.begun[step] && needs[step].iter().all(|&need| now.made[need].is_some())
            };
            let Some(step) = (0..count).find(ready) else {
                now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            now.begun[step] = true;
            let given: Vec<Arc<T>> =
                needs[step].iter().filter_map(|&need| now.made[need].clone()).collect();
            drop(now);
            let result = perform(step, &given);
            now = hold(&state);
            match result {
                Ok(made) => now.made[step] = Some(Arc::new(made)),
                Err(fault) => now.fault = now.fault.take().or(Some(fault)),
            }
            changed.notify_all();
        }
    };
    std::thread::scope(|scope| {
        (1..jobs).for_each(|_| drop(scope.spawn(worker)));
        worker();
    });
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.fault {
        Some(fault) => Err(fault),
        None => Ok(state.made.into_iter().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn each_step_gets_what_it_needs_however_many_run_at_once() {
        let needs: [&[usize]; 6] = [&[], &[0], &[0], &[1, 2], &[], &[3, 4]];
        for jobs in [1, 2, 7] {
            let made = work::<u64, ()>(&needs, jobs, |step, given| {
                Ok(step as u64 + given.iter().map(|made| **made).sum::<u64>())
            });
            let made: Vec<u64> = made.unwrap().iter().map(|made| **made).collect();
            assert_eq!(made, [0, 1, 2, 6, 4, 15], "{jobs} jobs");
        }
        let failed =
            work::<u64, usize>(&needs, 2, |step, _| if step == 3 { Err(3) } else { Ok(0) });
        assert_eq!(failed.err(), Some(3));
    }

    #[test]
    fn steps_at_once_stay_within_memory_and_a_large_one_runs_alone() {
        let budget = Budget::new(Some(100));
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let needs: [&[usize]; 8] = [&[]; 8];
        let sizes = [60, 30, 500, 50, 50, 100, 10, 70];
        work::<(), ()>(&needs, 4, |step, _| {
            let permit = budget.take(sizes[step]);
            let at_once = now.fetch_add(sizes[step], Ordering::SeqCst) + sizes[step];
            assert!(at_once <= 100 || at_once == 500, "{at_once}");
            most.fetch_max(at_once, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(3));
            now.fetch_sub(sizes[step], Ordering::SeqCst);
            drop(permit);
            Ok(())
        })
        .unwrap();
        assert_eq!(most.load(Ordering::SeqCst), 500);
        assert_eq!(*hold(&budget.used), 0);
    }
}
