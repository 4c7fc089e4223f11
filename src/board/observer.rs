//! Somebody who reads the sensors while work goes on: energy, heat, throttling.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;

use super::profile::Scope;
use super::sensors::{Counter, EnergyCounter, Sample, Sensors, Watts};
use crate::base::clock::Stopwatch;

/// Time between two readings.
const EVERY: Duration = Duration::from_millis(100);
/// Seconds for which a reading is as good as a new one: whoever asks after every small batch is not to keep the
/// bus of the sensors busy.
const FRESH: f64 = 0.02;
/// The longest time between two readings over which power is taken to have gone in a straight line.
const LONGEST_GAP: f64 = 2.0;

/// What the sensors say at one moment, as far as they answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Power of the whole, in watts, by the rails that the board's profile names.
    pub watts: Option<Watts>,
    /// Counters of energy; they are asked where `watts` is not there.
    pub counters: Vec<EnergyCounter>,
    /// The hottest zone, in degrees Celsius.
    pub hottest: Option<f64>,
    /// Counters of throttling.
    pub throttle: Vec<Counter>,
    /// Names of what is held back against heat.
    pub held: Vec<String>,
}

impl Reading {
    /// What its energy is the energy of; `None` where there is none.
    fn covers(&self) -> Option<String> {
        match (&self.watts, &self.counters[..]) {
            (Some(watts), _) => {
                let scope = match watts.scope {
                    Scope::Module => "module",
                    Scope::Board => "board",
                };
                Some(format!("{scope} ({})", watts.of.join(" + ")))
            }
            (None, []) => None,
            (None, counters) => {
                let names: Vec<&str> = counters.iter().map(|one| &*one.name).collect();
                Some(format!("processor ({})", names.join(" + ")))
            }
        }
    }
}

impl From<&Sample> for Reading {
    fn from(sample: &Sample) -> Self {
        Self {
            watts: sample.total.clone(),
            counters: sample.energy.clone(),
            hottest: sample.hottest().map(|zone| zone.celsius),
            throttle: sample.throttle.clone(),
            held: sample.held().map(|cooling| cooling.name.clone()).collect(),
        }
    }
}

/// Something that reads sensors.
pub trait Sense: Send {
    /// Reads them now.
    fn read(&mut self) -> Reading;
}

impl Sense for Sensors {
    fn read(&mut self) -> Reading {
        Reading::from(&self.sample())
    }
}

/// What was seen since an observer began.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Seen {
    /// Seconds from the beginning to the last reading, which is what the energy is the energy of.
    pub seconds: f64,
    /// Readings.
    pub readings: u64,
    /// Energy of all that [`Seen::energy_covers`], idling included, in joules: power summed by the trapezoidal
    /// rule, or the difference of counters. Absent where no sensor answered, or one did not answer throughout:
    /// a part is never taken for the whole.
    pub joules: Option<f64>,
    /// What the energy is the energy of, such as `module (VDD_IN)`.
    pub energy_covers: Option<String>,
    /// The highest temperature of any zone, in degrees Celsius.
    pub hottest_celsius: Option<f64>,
    /// Counters of throttling that rose meanwhile, and by how much.
    pub throttled: Vec<Counter>,
    /// Names of what was held back against heat at some reading.
    pub held_back: Vec<String>,
}

impl Seen {
    /// Whether the machine was as fast as it is throughout, as far as it tells.
    pub fn free(&self) -> bool {
        self.throttled.is_empty() && self.held_back.is_empty()
    }
}

/// Energy, as far as it is known without a gap.
#[derive(Default)]
struct Meter {
    joules: f64,
    last: Option<(f64, Reading)>,
    broken: bool,
}

impl Meter {
    fn add(&mut self, at: f64, now: &Reading) {
        let known = now.watts.is_some() || !now.counters.is_empty();
        let passed = match &self.last {
            _ if !known => None,
            None => Some(0.0),
            Some((then, before)) => match (&before.watts, &now.watts) {
                (Some(_), Some(_)) if at - then > LONGEST_GAP => None,
                (Some(a), Some(b)) => Some((at - then) * f64::midpoint(a.watts, b.watts)),
                (None, None) if before.counters.len() == now.counters.len() => {
                    let pairs = now.counters.iter().zip(&before.counters);
                    pairs.map(|(now, before)| now.joules_since(before)).sum()
                }
                _ => None,
            },
        };
        match passed {
            Some(passed) => self.joules += passed,
            None => self.broken = true,
        }
        self.last = Some((at, now.clone()));
    }

    fn joules(&self) -> Option<f64> {
        (!self.broken && self.last.is_some()).then_some(self.joules)
    }
}

struct Inner {
    sense: Box<dyn Sense>,
    watch: Stopwatch,
    meter: Meter,
    first: Vec<Counter>,
    held: BTreeSet<String>,
    now: Reading,
    hottest: Option<f64>,
    readings: u64,
    looked: f64,
    ending: bool,
}

impl Inner {
    fn look(&mut self) {
        let now = self.sense.read();
        self.looked = self.watch.seconds();
        self.meter.add(self.looked, &now);
        if self.readings == 0 {
            self.first.clone_from(&now.throttle);
        }
        self.hottest = match (self.hottest, now.hottest) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        self.held.extend(now.held.iter().cloned());
        self.now = now;
        self.readings += 1;
    }

    fn seen(&self) -> Seen {
        let rose = |now: &Counter| {
            let before = self.first.iter().find(|before| before.name == now.name);
            let count = now.count.saturating_sub(before.map_or(0, |before| before.count));
            (count > 0).then(|| Counter { name: now.name.clone(), count })
        };
        Seen {
            seconds: self.looked,
            readings: self.readings,
            joules: self.meter.joules(),
            energy_covers: self.now.covers(),
            hottest_celsius: self.hottest,
            throttled: self.now.throttle.iter().filter_map(rose).collect(),
            held_back: self.held.iter().cloned().collect(),
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
            held: BTreeSet::new(),
            now: Reading::default(),
            hottest: None,
            readings: 0,
            looked: 0.0,
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

    /// What was seen until now, with a reading made at once unless there was one a moment ago.
    pub fn seen(&self) -> Seen {
        let mut inner = self.shared.lock();
        if inner.watch.seconds() - inner.looked > FRESH {
            inner.look();
        }
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
    use crate::base::clock::pause;

    fn at(watts: f64) -> Reading {
        let watts = Watts { watts, scope: Scope::Module, of: vec!["VDD_IN".into()] };
        Reading { watts: Some(watts), ..Reading::default() }
    }

    #[test]
    fn energy_is_the_trapezoid_under_power_and_unknown_after_a_gap() {
        let mut meter = Meter::default();
        assert_eq!(meter.joules(), None);
        for (second, watts) in [(0.0, 4.0), (0.5, 6.0), (1.5, 6.0)] {
            meter.add(second, &at(watts));
        }
        assert_eq!(meter.joules(), Some(2.5 + 6.0));
        meter.add(1.6, &Reading::default());
        meter.add(1.7, &at(6.0));
        assert_eq!(meter.joules(), None);
        let mut late = Meter::default();
        late.add(0.0, &at(1.0));
        late.add(LONGEST_GAP + 1.0, &at(1.0));
        assert_eq!(late.joules(), None);
    }

    #[test]
    fn counters_of_energy_are_told_where_no_rail_is() {
        let count = |microjoules| {
            let counter =
                EnergyCounter { name: "package-0".into(), microjoules, range: 10_000_000 };
            Reading { counters: vec![counter], ..Reading::default() }
        };
        let mut meter = Meter::default();
        // It begins again at its range.
        for (second, count) in
            [(0.0, count(1_000_000)), (5.0, count(9_000_000)), (9.0, count(500_000))]
        {
            meter.add(second, &count);
        }
        assert_eq!(meter.joules(), Some(8.0 + 1.5));
        assert_eq!(count(0).covers().unwrap(), "processor (package-0)");
        assert_eq!(at(1.0).covers().unwrap(), "module (VDD_IN)");
    }

    struct Rising(u64);
    impl Sense for Rising {
        fn read(&mut self) -> Reading {
            self.0 += 1;
            let counter = |name: &str, count| Counter { name: name.into(), count };
            let throttle = vec![counter("oc1", self.0), counter("still", 7)];
            let held = Vec::from_iter((self.0 == 1).then(|| "cpu".into()));
            Reading { hottest: Some(50.0 - self.0 as f64), throttle, held, ..at(5.0) }
        }
    }

    #[test]
    fn an_observer_keeps_the_hottest_moment_and_what_rose() {
        let observer = Observer::start(Box::new(Rising(0)));
        pause(Duration::from_millis(30));
        let seen = observer.seen();
        assert!(seen.readings >= 2 && seen.hottest_celsius == Some(49.0), "{seen:?}");
        assert_eq!(seen.throttled, [Counter { name: "oc1".into(), count: seen.readings - 1 }]);
        assert!(seen.held_back == ["cpu"] && !seen.free());
        let joules = seen.joules.unwrap();
        assert!(joules > 0.0 && joules <= 5.0 * seen.seconds, "{seen:?}");
    }
}
