//! Durations of one thing done many times.

use crate::base::clock::Stopwatch;

/// Seconds of each repetition, ascending; at least one.
pub(super) struct Timings(Vec<f64>);

impl Timings {
    /// Does `work` `warm_up` times, then `repetitions` times under the watch, which stands still while
    /// `between` does what there is to do before each.
    ///
    /// # Errors
    /// The first of `between`'s or `work`'s.
    pub(super) fn of<E>(
        warm_up: usize,
        repetitions: usize,
        mut between: impl FnMut() -> Result<(), E>,
        mut work: impl FnMut() -> Result<(), E>,
    ) -> Result<Self, E> {
        for _ in 0..warm_up {
            between()?;
            work()?;
        }
        let mut seconds = Vec::with_capacity(repetitions);
        for _ in 0..repetitions.max(1) {
            between()?;
            let watch = Stopwatch::start();
            work()?;
            seconds.push(watch.seconds());
        }
        Ok(Self::from(seconds))
    }

    /// The duration that at least a share `share` of the repetitions did not exceed (nearest rank).
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }

    /// The middle one, or the mean of the two in the middle.
    pub(super) fn median(&self) -> f64 {
        let (low, high) = ((self.0.len() - 1) / 2, self.0.len() / 2);
        f64::midpoint(self.0[low], self.0[high])
    }

    pub(super) fn min(&self) -> f64 {
        self.0[0]
    }

    pub(super) fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

impl From<Vec<f64>> for Timings {
    /// # Panics
    /// If there is no duration.
    fn from(mut seconds: Vec<f64>) -> Self {
        assert!(!seconds.is_empty(), "at least one repetition");
        seconds.sort_by(f64::total_cmp);
        Self(seconds)
    }
}

/// Milliseconds as a person reads them.
pub(super) fn told(seconds: f64) -> String {
    format!("{:.3} ms", seconds * 1e3)
}

/// Whole nanoseconds.
pub(super) fn nanoseconds(seconds: f64) -> u64 {
    // A duration is never negative, and centuries fit 64 bits.
    (seconds * 1e9).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank_and_the_median_is_the_middle() {
        let all = Timings::from((1..=100).rev().map(f64::from).collect::<Vec<_>>());
        assert_eq!(
            [all.quantile(0.95), all.quantile(0.99), all.quantile(1.0)],
            [95.0, 99.0, 100.0]
        );
        assert_eq!([all.median(), all.min(), all.max()], [50.5, 1.0, 100.0]);
        let three = Timings::from(vec![3.0, 1.0, 2.0]);
        assert_eq!([three.median(), three.quantile(0.99)], [2.0, 3.0]);
    }

    #[test]
    fn warm_up_runs_are_not_counted_and_a_failure_ends_the_work() {
        let mut runs = 0;
        let go = || Ok::<(), &str>(());
        let done = Timings::of(2, 5, go, || {
            runs += 1;
            Ok(())
        });
        assert_eq!((done.unwrap().count(), runs), (5, 7));
        assert!(Timings::of(0, 5, go, || Err("no")).is_err());
        assert!(Timings::of(0, 5, || Err("no"), go).is_err());
    }
}
