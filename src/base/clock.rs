//! Time that passes, and the time of day. Results hold durations only; the date is for receipts,
//! and is no better than the clock of the machine.

use std::fmt;
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

/// Lets `duration` pass.
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Seconds since 1970 in UTC, as the machine believes: it may have no clock that outlives its power, and
/// somebody may have set it. 0 before 1970.
#[allow(clippy::disallowed_types)]
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A moment, in seconds since 1970 in UTC, told as `2026-11-25 22:38:46 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utc(pub u64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: u64 = 86_400;
        // Hinnant, chrono-compatible low-level date algorithms, `civil_from_days`: years begin in March,
        // so that the leap day is their last. 719,468 days lie before 1970.
        let days = self.0 / DAY + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let second = self.0 % DAY;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::Utc;

    #[test]
    fn moments_are_told_as_dates() {
        // From `date -u -d @SECONDS`.
        for (seconds, told) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (1_795_646_326, "2026-11-25 22:38:46 UTC"),
        ] {
            assert_eq!(Utc(seconds).to_string(), told);
        }
        // No date is too far off to be told.
        assert!(Utc(u64::MAX).to_string().ends_with(" UTC"));
    }
}
