//! One line of `tegrastats`, of any generation.
//!
//! A line is a list of words: a name and behind it what it tells. Generations differ in which there are and
//! how values are spelt; each is known by its own shape, not by the generation:
//!
//! | | JetPack 4 | 5 and 6 | 7 |
//! |---|---|---|---|
//! | rail | `POM_5V_IN 2022/2022` | `VDD_IN 5520mW/5400mW` | `VIN 5139mW/5139mW/5139mW` |
//! | GPU | `GR3D_FREQ 10%@1300` | `GR3D_FREQ 12%@[1300,1300]` | `GR3D_FREQ @[1000,1000,1000]` on Thor |
//! | temperature | `CPU@40.5C` | `cpu@52.9C` | `cpu@52.9C/52.9C` |
//! | cores | `CPU [23%@2201,off]` | the same | the same, or `CPU [0%,off]@2601` |

use crate::board::sysroot::label;

/// Bytes of the longest line that is read; real ones have a few hundred.
pub(super) const MOST: usize = 8 << 10;
/// Temperatures that are believed: -256 stands for what is switched off.
const CELSIUS: std::ops::RangeInclusive<f64> = -40.0..=150.0;
/// Watts that are believed.
const WATTS: std::ops::RangeInclusive<f64> = -10.0..=2000.0;
/// Bytes of a MB, as tegrastats counts.
const MB: u64 = 1 << 20;
/// Units that are named, without number and `_FREQ`, and of which nothing is kept.
const ENGINES: [&str; 12] =
    ["NVENC", "NVDEC", "NVJPG", "NVDLA", "MSENC", "PVA", "VIC", "OFA", "APE", "SE", "NVCSI", "ISP"];

/// Memory, as a line tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Bytes in use.
    pub used: u64,
    /// Bytes that there are.
    pub total: u64,
}

/// A unit with load and clocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Busy {
    /// The share of time that it worked, 0 to 1.
    pub load: Option<f64>,
    /// Its clocks in hertz; none where it is off, or tells none.
    pub hertz: Vec<u64>,
}

/// A rail, as a line tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedRail {
    /// Its name.
    pub name: String,
    /// Watts now.
    pub watts: f64,
    /// Mean watts since `tegrastats` began.
    pub mean: Option<f64>,
    /// Most watts since `tegrastats` began.
    pub most: Option<f64>,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// Its time in seconds since 1970, by the wall clock of the board and in its own time zone.
    pub at: Option<u64>,
    /// Main memory.
    pub memory: Option<Used>,
    /// Swap.
    pub swap: Option<Used>,
    /// Cores; `None` for one that is off.
    pub cores: Vec<Option<Busy>>,
    /// The GPU.
    pub gpu: Option<Busy>,
    /// The memory controller.
    pub emc: Option<Busy>,
    /// Temperatures by name, in degrees Celsius. What is switched off is left out.
    pub zones: Vec<(String, f64)>,
    /// Rails that are connected.
    pub rails: Vec<LoggedRail>,
    /// Words that are none of these.
    pub unknown: Vec<String>,
}

impl Line {
    /// Reads a line; `None` if nothing in it is of `tegrastats`, or it is longer than any such line.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MOST {
            return None;
        }
        let words = words(text);
        let mut line = Self { at: time(&words), ..Self::default() };
        let mut rest = &words[if line.at.is_some() { 2 } else { 0 }..];
        let mut known = 0;
        while let [word, behind @ ..] = rest {
            let taken = line.take(word, behind);
            if let Some(taken) = taken {
                known += 1;
                rest = &behind[taken.min(behind.len())..];
            } else {
                line.unknown.push(label(word));
                rest = behind;
            }
        }
        (known > 0).then_some(line)
    }

    /// Takes in a word with those behind it that belong to it; how many those were. `None` if it is
    /// unknown.
    fn take(&mut self, word: &str, behind: &[&str]) -> Option<usize> {
        let value = behind.first().copied().unwrap_or_default();
        let engine = word.strip_suffix("_FREQ").unwrap_or(word);
        let engine = engine.trim_end_matches(|c: char| c.is_ascii_digit());
        match word {
            "RAM" => self.memory = Some(used(value)?),
            "SWAP" => self.swap = Some(used(value)?),
            "IRAM" => return used(value.split('(').next()?).map(|_| 1),
            "CPU" | "cpu" if value.starts_with('[') => self.cores = cores(value)?,
            "GR3D_FREQ" | "GR3D" => self.gpu = Some(busy(value)?),
            "GR3D2_FREQ" => self.gpu.get_or_insert_default().hertz.extend(busy(value)?.hertz),
            "EMC_FREQ" | "EMC" => self.emc = Some(busy(value)?),
            "MTS" if value == "fg" => return Some(4),
            _ if word.starts_with('(') => return Some(0),
            _ if word.contains('@') => return self.zone(word),
            _ if ENGINES.contains(&engine)
                && (busy(value).is_some() || number(value).is_some()) => {}
            _ => {
                let rail = rail(word, value)?;
                self.rails.extend(rail.filter(|rail| WATTS.contains(&rail.watts)));
            }
        }
        Some(1)
    }

    /// `tj@52.9C`, or with a second figure `tj@52.9C/61.2C`.
    fn zone(&mut self, word: &str) -> Option<usize> {
        let (name, value) = word.split_once('@')?;
        let celsius = number(value.split('/').next()?.strip_suffix('C')?)?;
        if CELSIUS.contains(&celsius) {
            self.zones.push((label(name), celsius));
        }
        Some(0)
    }
}

/// The words of a line; what stands in brackets is one.
fn words(text: &str) -> Vec<&str> {
    let (mut depth, mut from) = (0usize, 0);
    let mut words = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            c if c.is_whitespace() && depth == 0 => {
                words.push(&text[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    words.push(&text[from..]);
    words.retain(|word| !word.is_empty());
    words
}

/// `04-21-2026 15:50:52` before all else, as seconds since 1970.
fn time(words: &[&str]) -> Option<u64> {
    let [date, clock, ..] = words else { return None };
    let three = |text: &str, mark: char| -> Option<[u64; 3]> {
        let parts: Vec<u64> = text.split(mark).map(str::parse).collect::<Result<_, _>>().ok()?;
        parts.try_into().ok()
    };
    let [month, day, year] = three(date, '-')?;
    let [hour, minute, second] = three(clock, ':')?;
    let fits =
        (1..=12).contains(&month) && (1..=31).contains(&day) && (1970..=9999).contains(&year);
    if !fits || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Hinnant, chrono-compatible low-level date algorithms, `days_from_civil`: years begin in March.
    let year = year - u64::from(month <= 2);
    let month = (month + 9) % 12;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days.checked_sub(719_468)?) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// A finite number.
fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

/// `1905/7620MB`.
fn used(text: &str) -> Option<Used> {
    let (text, unit) = match (text.strip_suffix("MB"), text.strip_suffix("kB")) {
        (Some(text), _) => (text, MB),
        (_, Some(text)) => (text, 1 << 10),
        _ => return None,
    };
    let (used, total) = text.split_once('/')?;
    let bytes = |text: &str| text.parse::<u64>().ok()?.checked_mul(unit);
    Some(Used { used: bytes(used)?, total: bytes(total)? })
}

/// `12%@[1300,1300]`, `12%@1300`, `12%`, `@1300`, `off`.
fn busy(text: &str) -> Option<Busy> {
    if text.eq_ignore_ascii_case("off") {
        return Some(Busy::default());
    }
    let (load, clocks) = match text.split_once('@') {
        Some((load, clocks)) => (load, Some(clocks)),
        None => (text, None),
    };
    let load = match load {
        "" => None,
        load => Some(number(load.strip_suffix('%')?)?),
    };
    if load.is_none() && clocks.is_none() {
        return None;
    }
    let mut hertz = Vec::new();
    for clock in clocks.iter().flat_map(|clocks| clocks.trim_matches(['[', ']']).split(',')) {
        let clock = clock.trim();
        if !clock.eq_ignore_ascii_case("off") {
            hertz.push(clock.parse::<u64>().ok()?.checked_mul(1_000_000)?);
        }
    }
    // 0 is a unit that is powered off, not a clock.
    hertz.retain(|&hertz| hertz > 0);
    let share = load.filter(|load| (0.0..=100.0).contains(load)).map(|load| load / 100.0);
    Some(Busy { load: share, hertz })
}

/// `[23%@2201,off]`, or `[0%,off]@2601` with one clock for all.
fn cores(text: &str) -> Option<Vec<Option<Busy>>> {
    let (list, common) = text.strip_prefix('[')?.split_once(']')?;
    let core = |core: &str| match core.trim() {
        off if off.eq_ignore_ascii_case("off") => Some(None),
        core => busy(&format!("{core}{common}")).map(Some),
    };
    list.split(',').map(core).collect()
}

/// `5520mW/5400mW`, `2022/2022`, `5765mW`: `None` if it is no rail, `Some(None)` if it is not connected.
fn rail(name: &str, value: &str) -> Option<Option<LoggedRail>> {
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let told = value.contains('/') || value.ends_with("mW");
    let parts: Vec<&str> = value.split('/').collect();
    if !named || !told || parts.len() > 3 {
        return None;
    }
    let watts = |text: &&str| Some(number(text.strip_suffix("mW").unwrap_or(text))? / 1e3);
    let figures: Vec<f64> = parts.iter().map(watts).collect::<Option<_>>()?;
    let [watts, others @ ..] = &figures[..] else { return None };
    let (mean, most) = (others.first().copied(), others.get(1).copied());
    Some((name != "NC").then(|| LoggedRail { name: label(name), watts: *watts, mean, most }))
}
