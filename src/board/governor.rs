//! Limits that work keeps to: it pauses between batches, and a pause changes no byte of what it makes.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::error::BoardError;
use super::observer::{Observer, Seen, Sense};
use crate::base::clock::{Stopwatch, pause};

/// Degrees that the hottest zone must fall below the limit before work goes on.
const HYSTERESIS: f64 = 5.0;
/// Time between two looks at what makes a pause necessary.
const LOOK: Duration = Duration::from_millis(50);
/// Rests that are shorter than this are saved up: the system's timers are no finer.
const SHORTEST_REST: f64 = 0.02;
/// The longest that others are given way at a stretch: a prediction asked for without end must not stop an
/// erasure.
const LONGEST_YIELD: f64 = 2.0;

/// What work may take of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Degrees Celsius at the hottest zone at which it pauses.
    pub celsius: Option<f64>,
    /// The share of time in which it works at most, above 0 and at most 1.
    pub duty: Option<f64>,
    /// Joules after which it ends, idling included, by the rails of the board's profile.
    pub joules: Option<f64>,
}

/// Whether work goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It does.
    Go,
    /// Its energy is spent: it ends here.
    Spent {
        /// Joules that were taken.
        joules: f64,
    },
    /// The sensor of power stopped answering: what is left of the energy is not known.
    Blind,
}

/// Seconds of pauses, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pauses {
    /// Because it was too hot.
    pub heat: f64,
    /// To keep to the share of time.
    pub duty: f64,
    /// Because somebody waited for a prediction.
    pub giving_way: f64,
}

/// What a run took of the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Taken {
    /// What the sensors saw.
    #[serde(flatten)]
    pub seen: Seen,
    /// Seconds of pauses.
    pub paused_seconds: Pauses,
}

/// Holds work to a [`Budget`].
pub struct Governor {
    observer: Arc<Observer>,
    budget: Budget,
    worked: Stopwatch,
    owed: f64,
    pauses: Pauses,
}

impl Governor {
    /// Begins to watch.
    ///
    /// # Errors
    /// If a number makes no sense, or a limit was asked for that no sensor here can hold.
    pub fn start(sense: Box<dyn Sense>, budget: Budget) -> Result<Self, BoardError> {
        let observer = Arc::new(Observer::start(sense));
        let now = observer.reading();
        let refuse = |limit, why: &str| Err(BoardError::Limit { limit, why: why.into() });
        let Budget { celsius, duty, joules } = budget;
        let outside = |value: Option<f64>, least: f64, most: f64| {
            value.is_some_and(|value| !(least..=most).contains(&value))
        };
        if outside(celsius, 20.0, 120.0) {
            return refuse("temperature", "expected 20 to 120 degrees Celsius");
        }
        if outside(duty, 0.01, 1.0) {
            return refuse("duty", "expected a share of time from 0.01 to 1");
        }
        if outside(joules, f64::MIN_POSITIVE, 1e12) {
            return refuse("energy", "expected joules above 0");
        }
        if celsius.is_some() && now.hottest.is_none() {
            return refuse("temperature", "no sensor of heat answers on this machine");
        }
        if joules.is_some() && observer.seen().joules.is_none() {
            return refuse("energy", "no sensor of power answers on this machine");
        }
        Ok(Self {
            observer,
            budget,
            worked: Stopwatch::start(),
            owed: 0.0,
            pauses: Pauses::default(),
        })
    }

    /// Between two pieces of work: pauses as long as it must. `wanted` says whether somebody waits for the
    /// machine, `ends` whether the work is to end; then no pause is longer than it takes to see it.
    pub fn between(
        &mut self,
        wanted: &mut dyn FnMut() -> bool,
        ends: &mut dyn FnMut() -> bool,
    ) -> Verdict {
        let worked = self.worked.seconds();
        self.give_way(wanted, ends);
        self.cool(ends);
        self.rest(worked, ends);
        self.worked = Stopwatch::start();
        let Some(limit) = self.budget.joules else { return Verdict::Go };
        match self.observer.seen().joules {
            Some(joules) if joules > limit => Verdict::Spent { joules },
            Some(_) => Verdict::Go,
            None => Verdict::Blind,
        }
    }

    /// Who reads the sensors.
    pub fn observer(&self) -> Arc<Observer> {
        self.observer.clone()
    }

    /// What the work took until now.
    pub fn taken(&self) -> Taken {
        Taken { seen: self.observer.seen(), paused_seconds: self.pauses }
    }

    fn give_way(&mut self, wanted: &mut dyn FnMut() -> bool, ends: &mut dyn FnMut() -> bool) {
        let watch = Stopwatch::start();
        while wanted() && watch.seconds() < LONGEST_YIELD && !ends() {
            pause(Duration::from_millis(2));
        }
        self.pauses.giving_way += watch.seconds();
    }

    fn cool(&mut self, ends: &mut dyn FnMut() -> bool) {
        let Some(limit) = self.budget.celsius else { return };
        let hotter = |than: f64| self.observer.reading().hottest.is_some_and(|now| now >= than);
        if !hotter(limit) {
            return;
        }
        let watch = Stopwatch::start();
        while hotter(limit - HYSTERESIS) && !ends() {
            pause(LOOK);
        }
        self.pauses.heat += watch.seconds();
    }

    fn rest(&mut self, worked: f64, ends: &mut dyn FnMut() -> bool) {
        let Some(duty) = self.budget.duty else { return };
        self.owed += worked * (1.0 / duty - 1.0);
        if self.owed < SHORTEST_REST {
            return;
        }
        let watch = Stopwatch::start();
        while watch.seconds() < self.owed && !ends() {
            pause(LOOK.min(Duration::from_secs_f64((self.owed - watch.seconds()).max(0.0))));
        }
        self.owed = 0.0;
        self.pauses.duty += watch.seconds();
    }
}

#[cfg(test)]
mod tests {
    use super::super::observer::Reading;
    use super::super::profile::Scope;
    use super::super::sensors::Watts;
    use super::*;

    struct Fixed(Reading);
    impl Sense for Fixed {
        fn read(&mut self) -> Reading {
            self.0.clone()
        }
    }

    fn governor(
        watts: Option<f64>,
        hottest: Option<f64>,
        budget: Budget,
    ) -> Result<Governor, BoardError> {
        let watts = watts.map(|watts| Watts { watts, scope: Scope::Board, of: Vec::new() });
        let reading = Reading { watts, hottest, ..Reading::default() };
        Governor::start(Box::new(Fixed(reading)), budget)
    }

    fn go(governor: &mut Governor) -> Verdict {
        governor.between(&mut || false, &mut || false)
    }

    #[test]
    fn what_no_sensor_can_hold_is_refused_and_so_is_nonsense() {
        let hot = |celsius| Budget { celsius: Some(celsius), ..Budget::default() };
        let joules = |joules| Budget { joules: Some(joules), ..Budget::default() };
        let duty = |duty| Budget { duty: Some(duty), ..Budget::default() };
        assert!(governor(None, None, Budget::default()).is_ok());
        for (watts, hottest, budget, why) in [
            (Some(1.0), None, hot(80.0), "no sensor of heat"),
            (None, Some(40.0), joules(5.0), "no sensor of power"),
            (Some(1.0), Some(40.0), hot(f64::NAN), "20 to 120"),
            (Some(1.0), Some(40.0), joules(0.0), "above 0"),
            (Some(1.0), Some(40.0), duty(1.5), "0.01 to 1"),
        ] {
            let said = governor(watts, hottest, budget).err().unwrap().to_string();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn work_ends_when_its_energy_is_spent() {
        let budget = Budget { joules: Some(50.0), ..Budget::default() };
        let mut governor = governor(Some(1000.0), None, budget).unwrap();
        assert_eq!(go(&mut governor), Verdict::Go);
        pause(Duration::from_millis(120));
        assert!(matches!(go(&mut governor), Verdict::Spent { joules } if joules > 50.0));
    }

    #[test]
    fn a_share_of_time_is_kept_to_and_whoever_waits_is_given_way() {
        let budget = Budget { duty: Some(0.25), ..Budget::default() };
        let mut governor = governor(None, None, budget).unwrap();
        pause(Duration::from_millis(30));
        let mut asked = 0;
        let mut wanted = || {
            asked += 1;
            asked < 4
        };
        assert_eq!(governor.between(&mut wanted, &mut || false), Verdict::Go);
        let Pauses { heat, duty, giving_way } = governor.taken().paused_seconds;
        assert!(heat == 0.0 && duty >= 0.09 && giving_way >= 0.006, "{duty} {giving_way}");
        // Who is told to end does not rest first.
        pause(Duration::from_millis(300));
        let watch = Stopwatch::start();
        governor.between(&mut || true, &mut || true);
        assert!(watch.seconds() < 0.5);
    }

    #[test]
    fn it_waits_until_the_machine_is_cool() {
        let budget = Budget { celsius: Some(80.0), ..Budget::default() };
        let mut cool = governor(None, Some(79.0), budget).unwrap();
        go(&mut cool);
        assert_eq!(cool.taken().paused_seconds.heat, 0.0);
        let mut hot = governor(None, Some(80.0), budget).unwrap();
        let mut looks = 0;
        hot.between(&mut || false, &mut || {
            looks += 1;
            looks > 3
        });
        assert!(hot.taken().paused_seconds.heat >= 0.1, "{:?}", hot.taken());
    }
}
