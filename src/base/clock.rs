//! Time that passes, and the time of day. Results hold durations only; the date is for receipts,
//! and is no better than the clock of the machine.

#[allow(clippy::disallowed_types)]
use std::time::{Duration, Instant, SystemTime};

/// A watch that was started.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts a watch.
    #[allow(clippy::disallowed_methods)]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What has passed since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// What has passed since the start, in seconds.
    pub fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

/// Seconds since 1970 in UTC, as the machine believes: it may have no clock that outlives its power, and
/// somebody may have set it. 0 before 1970.
#[allow(clippy::disallowed_types)]
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
