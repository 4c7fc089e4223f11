//! Somebody who reads the sensors while work goes on: energy, heat, throttling.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;

use crate::base::clock::Stopwatch;

/// Time between two readings.
const EVERY: Duration = Duration::from_millis(100);
/// The longest time between two readings over which power is taken to have gone in a straight line.
const LONGEST_GAP: f64 = 2.0;

/// What the sensors say at one moment, as far as they answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Power of the whole, in watts, by the rails that the board's profile names.
    pub watts: Option<f64>,
    /// The hottest zone, in degrees Celsius.
    pub hottest: Option<f64>,
    /// Counters of throttling, each with its count since the machine started.
    pub throttle: Vec<(String, u64)>,
}

/// Something that reads sensors.
pub trait Sense: Send {
    /// Reads them now.
    fn read(&mut self) -> Reading;
}

/// What was seen since an observer began.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Seen {
    /// Seconds.
    pub seconds: f64,
    /// Readings.
    pub readings: u64,
    /// Energy of the whole, idling included, in joules: power summed by the trapezoidal rule. Absent where
    /// no sensor answered, or one did not answer throughout: a part is never taken for the whole.
    pub joules: Option<f64>,
    /// The highest temperature of any zone, in degrees Celsius.
    pub hottest_celsius: Option<f64>,
    /// Counters of throttling that rose meanwhile, and by how much.
    pub throttled: Vec<(String, u64)>,
}

/// Power over time, as far as it is known without a gap.
#[derive(Default)]
struct Meter {
    joules: f64,
    last: Option<(f64, f64)>,
    broken: bool,
}

impl Meter {
    fn add(&mut self, at: f64, watts: Option<f64>) {
        let Some(watts) = watts else {
            self.broken = true;
            return;
        };
        if let Some((then, before)) = self.last.replace((at, watts)) {
            self.broken |= at - then > LONGEST_GAP;
            self.joules += (at - then) * f64::midpoint(before, watts);
        }
    }

    fn joules(&self) -> Option<f64> {
        (!self.broken && self.last.is_some()).then_some(self.joules)
    }
}

struct Inner {
    sense: Box<dyn Sense>,
    watch: Stopwatch,
    meter: Meter,
    first: Vec<(String, u64)>,
    now: Reading,
    hottest: Option<f64>,
    readings: u64,
    ending: bool,
}

impl Inner {
    fn look(&mut self) {
        let now = self.sense.read();
        self.meter.add(self.watch.seconds(), now.watts);
        if self.readings == 0 {
            self.first.clone_from(&now.throttle);
        }
        self.hottest = match (self.hottest, now.hottest) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        self.now = now;
        self.readings += 1;
    }

    fn seen(&self) -> Seen {
        let rose = |(name, count): &(String, u64)| {
            let before = self.first.iter().find(|(known, _)| known == name)?.1;
            (*count > before).then(|| (name.clone(), count - before))
        };
        Seen {
            seconds: self.watch.seconds(),
            readings: self.readings,
            joules: self.meter.joules(),
            hottest_celsius: self.hottest,
            throttled: self.now.throttle.iter().filter_map(rose).collect(),
        }
    }
}

struct Shared {
    inner: Mutex<Inner>,
    end: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observe(&self) {
        let mut inner = self.lock();
        while !inner.ending {
            inner = match self.end.wait_timeout(inner, EVERY) {
                Ok((inner, _)) => inner,
                Err(poisoned) => poisoned.into_inner().0,
            };
            if !inner.ending {
                inner.look();
            }
        }
    }
}

/// Reads the sensors ten times a second in a thread of its own, until it is dropped. What it reads changes no
/// result: it only watches.
pub struct Observer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Observer {
    /// Begins; the first reading is made at once.
    pub fn start(sense: Box<dyn Sense>) -> Self {
        let mut inner = Inner {
            sense,
            watch: Stopwatch::start(),
            meter: Meter::default(),
            first: Vec::new(),
            now: Reading::default(),
            hottest: None,
            readings: 0,
            ending: false,
        };
        inner.look();
        let shared = Arc::new(Shared { inner: Mutex::new(inner), end: Condvar::new() });
        let theirs = shared.clone();
        // Without a thread only moments are known at which somebody asks.
        let thread = thread::Builder::new().name("sensors".into()).spawn(move || theirs.observe());
        Self { shared, thread: thread.ok() }
    }

    /// The newest reading.
    pub fn reading(&self) -> Reading {
        self.shared.lock().now.clone()
    }

    /// What was seen until now, with a reading made at once.
    pub fn seen(&self) -> Seen {
        let mut inner = self.shared.lock();
        inner.look();
        inner.seen()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.end.notify_all();
        if let Some(thread) = self.thread.take() {
            // It ends at its next look; whether it panicked changes nothing here.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_is_the_trapezoid_under_power_and_unknown_after_a_gap() {
        let mut meter = Meter::default();
        assert_eq!(meter.joules(), None);
        for (at, watts) in [(0.0, 4.0), (0.5, 6.0), (1.5, 6.0)] {
            meter.add(at, Some(watts));
        }
        assert_eq!(meter.joules(), Some(2.5 + 6.0));
        meter.add(1.6, None);
        meter.add(1.7, Some(6.0));
        assert_eq!(meter.joules(), None);
        let mut late = Meter::default();
        late.add(0.0, Some(1.0));
        late.add(LONGEST_GAP + 1.0, Some(1.0));
        assert_eq!(late.joules(), None);
    }

    struct Rising(u64);
    impl Sense for Rising {
        fn read(&mut self) -> Reading {
            self.0 += 1;
            let throttle = vec![("oc1".into(), self.0), ("still".into(), 7)];
            Reading { watts: Some(5.0), hottest: Some(50.0 - self.0 as f64), throttle }
        }
    }

    #[test]
    fn an_observer_keeps_the_hottest_moment_and_what_rose() {
        let observer = Observer::start(Box::new(Rising(0)));
        let seen = observer.seen();
        assert!(seen.readings >= 2 && seen.hottest_celsius == Some(49.0), "{seen:?}");
        assert_eq!(seen.throttled, [("oc1".to_string(), seen.readings - 1)]);
        let joules = seen.joules.unwrap();
        assert!(joules >= 0.0 && joules <= 5.0 * seen.seconds, "{seen:?}");
    }
}
