//! What a `board.toml` claims, before it is checked.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;

use serde::Deserialize;

use super::error::BoardError;
use super::profile::{
    Capability, Cpu, Gpu, Keys, Limits, Memory, Power, Profile, Scope, Software, Storage, Tier,
    Total,
};
use crate::base::units::Bytes;

/// Bytes of the longest profile that is read.
pub(super) const MOST: usize = 64 << 10;
/// Entries of the longest list: modules, modes, rails.
const MOST_ENTRIES: usize = 64;
/// Characters of the longest name.
const LONGEST_NAME: usize = 100;
/// Characters of the longest source.
const LONGEST_SOURCE: usize = 600;
/// Bytes of the largest memory that is believed: 1 PiB.
const MOST_MEMORY: u64 = 1 << 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claimed {
    slug: String,
    name: String,
    tier: Tier,
    #[serde(default, rename = "match")]
    matches: Matches,
    #[serde(default)]
    cpu: Cpu,
    gpu: Option<ClaimedGpu>,
    memory: Option<ClaimedMemory>,
    #[serde(default)]
    power: ClaimedPower,
    #[serde(default)]
    storage: Storage,
    #[serde(default)]
    keys: Keys,
    #[serde(default)]
    software: Software,
    #[serde(default)]
    limits: ClaimedLimits,
    #[serde(default)]
    sources: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Matches {
    #[serde(default)]
    modules: Vec<String>,
    soc: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimedGpu {
    architecture: String,
    compute_capability: String,
    cores: u32,
    tensor_cores: u32,
    usable: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimedMemory {
    size: String,
    #[serde(default)]
    also: Vec<String>,
    bandwidth_gbs: f64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimedPower {
    total_rail: Option<String>,
    sum_rails: Option<Vec<String>>,
    scope: Option<Scope>,
    #[serde(default)]
    modes: Vec<String>,
    bench_mode: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimedLimits {
    memory: Option<String>,
    celsius: Option<f64>,
    #[serde(default)]
    ignore_zones: Vec<String>,
}

pub(super) fn parse(text: &str, name: &str) -> Result<Profile, BoardError> {
    if text.len() > MOST {
        return Err(BoardError::TooLong { path: name.into(), most: MOST });
    }
    let claimed: Claimed = toml::from_str(text).map_err(|error| BoardError::Syntax {
        name: name.into(),
        message: format!("{}{}", place(text, error.span()), shown(error.message(), LONGEST_SOURCE)),
    })?;
    Checker { name }.profile(claimed)
}

/// Line and column at which a fault begins, from 1; nothing where the reader does not tell.
fn place(text: &str, span: Option<Range<usize>>) -> String {
    let before = span.and_then(|span| text.get(..span.start));
    let Some(before) = before else { return String::new() };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: ")
}

/// Holds fields against what they may be.
struct Checker<'a> {
    name: &'a str,
}

impl Checker<'_> {
    fn wrong(&self, field: &str, found: impl Display, expected: impl Display) -> BoardError {
        BoardError::Field {
            name: self.name.into(),
            field: field.into(),
            found: format!("`{found}`"),
            expected: expected.to_string(),
        }
    }

    fn profile(&self, claimed: Claimed) -> Result<Profile, BoardError> {
        self.plain("slug", &claimed.slug)?;
        self.text("name", &claimed.name, LONGEST_NAME)?;
        self.matches(&claimed.matches)?;
        self.cpu(&claimed.cpu)?;
        self.optional("storage.internal", claimed.storage.internal.as_deref())?;
        self.software(&claimed.software)?;
        for (field, source) in &claimed.sources {
            self.text("sources", field, LONGEST_NAME)?;
            self.text(&format!("sources.\"{field}\""), source, LONGEST_SOURCE)?;
        }
        let memory = claimed.memory.map(|memory| self.memory(&memory)).transpose()?;
        Ok(Profile {
            gpu: claimed.gpu.map(|gpu| self.gpu(gpu)).transpose()?,
            power: self.power(claimed.power)?,
            keys: self.keys(claimed.keys)?,
            limits: self.limits(claimed.limits, memory.as_ref())?,
            memory,
            slug: claimed.slug,
            name: claimed.name,
            tier: claimed.tier,
            modules: claimed.matches.modules,
            soc: claimed.matches.soc,
            cpu: claimed.cpu,
            storage: claimed.storage,
            software: claimed.software,
            sources: claimed.sources,
        })
    }

    /// Small letters, digits and `-`: what may stand in a file's name.
    fn plain(&self, field: &str, text: &str) -> Result<(), BoardError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > LONGEST_NAME || !text.chars().all(plain) {
            return Err(self.wrong(
                field,
                shown(text, LONGEST_NAME),
                "small letters, digits and `-`",
            ));
        }
        Ok(())
    }

    /// A line that can be shown: not empty, not long, nothing that steers a terminal.
    fn text(&self, field: &str, text: &str, longest: usize) -> Result<(), BoardError> {
        let length = text.chars().count();
        if length == 0 || length > longest || text.chars().any(char::is_control) {
            let expected = format!("1 to {longest} characters of one line");
            return Err(self.wrong(field, shown(text, LONGEST_NAME), expected));
        }
        Ok(())
    }

    fn optional(&self, field: &str, text: Option<&str>) -> Result<(), BoardError> {
        text.map_or(Ok(()), |text| self.text(field, text, LONGEST_NAME))
    }

    /// A list of names, each once.
    fn list(&self, field: &str, entries: &[String]) -> Result<(), BoardError> {
        if entries.len() > MOST_ENTRIES {
            let expected = format!("at most {MOST_ENTRIES} entries");
            return Err(self.wrong(field, format!("{} entries", entries.len()), expected));
        }
        for (at, entry) in entries.iter().enumerate() {
            self.text(field, entry, LONGEST_NAME)?;
            if entries[..at].contains(entry) {
                return Err(self.wrong(field, shown(entry, LONGEST_NAME), "each entry once"));
            }
        }
        Ok(())
    }

    fn number(&self, field: &str, number: u32, most: u32) -> Result<(), BoardError> {
        if number > most {
            return Err(self.wrong(field, number, format!("at most {most}")));
        }
        Ok(())
    }

    fn matches(&self, matches: &Matches) -> Result<(), BoardError> {
        self.list("match.modules", &matches.modules)?;
        for module in &matches.modules {
            if !super::module::is_module(module) {
                let expected = "a module's number, such as `p3767-0005`";
                return Err(self.wrong("match.modules", shown(module, LONGEST_NAME), expected));
            }
        }
        matches.soc.as_ref().map_or(Ok(()), |soc| self.plain("match.soc", soc))
    }

    fn cpu(&self, cpu: &Cpu) -> Result<(), BoardError> {
        if let Some(cores @ (0 | 4097..)) = cpu.cores {
            return Err(self.wrong("cpu.cores", cores, "1 to 4096"));
        }
        self.optional("cpu.model", cpu.model.as_deref())
    }

    fn software(&self, software: &Software) -> Result<(), BoardError> {
        let l4t = &software.l4t;
        if l4t.len() > MOST_ENTRIES || l4t.windows(2).any(|two| two[0] >= two[1]) {
            let expected = "major numbers of releases, ascending, each once";
            return Err(self.wrong("software.l4t", format!("{l4t:?}"), expected));
        }
        let versions = [("software.cuda", &software.cuda), ("software.glibc", &software.glibc)];
        for (field, version) in versions {
            let Some(text) = version else { continue };
            two_numbers(text).ok_or_else(|| {
                self.wrong(field, shown(text, LONGEST_NAME), "two numbers, such as `12.6`")
            })?;
        }
        Ok(())
    }

    fn gpu(&self, claimed: ClaimedGpu) -> Result<Gpu, BoardError> {
        let ClaimedGpu { architecture, compute_capability: text, cores, tensor_cores, usable } =
            claimed;
        self.text("gpu.architecture", &architecture, LONGEST_NAME)?;
        self.number("gpu.cores", cores, 1_000_000)?;
        self.number("gpu.tensor_cores", tensor_cores, 1_000_000)?;
        let expected = "two numbers, such as `8.7`";
        let wrong = || self.wrong("gpu.compute_capability", shown(&text, LONGEST_NAME), expected);
        let (major, minor) = two_numbers(&text).ok_or_else(wrong)?;
        let capability = Capability { major, minor };
        Ok(Gpu { architecture, capability, cores, tensor_cores, usable })
    }

    fn memory(&self, claimed: &ClaimedMemory) -> Result<Memory, BoardError> {
        let bytes = self.bytes("memory.size", &claimed.size)?;
        self.list("memory.also", &claimed.also)?;
        let also = claimed.also.iter().map(|text| self.bytes("memory.also", text));
        let also = also.collect::<Result<Vec<u64>, _>>()?;
        let ascending = std::iter::once(&bytes).chain(&also).zip(&also).all(|(a, b)| a < b);
        if !ascending {
            let expected = "sizes above `memory.size`, ascending";
            return Err(self.wrong("memory.also", claimed.also.join(", "), expected));
        }
        let bandwidth = claimed.bandwidth_gbs;
        if !(bandwidth > 0.0 && bandwidth <= 1e5) {
            return Err(self.wrong("memory.bandwidth_gbs", bandwidth, "GB/s above 0, to 100000"));
        }
        Ok(Memory { bytes, also, bandwidth })
    }

    fn bytes(&self, field: &str, text: &str) -> Result<u64, BoardError> {
        match Bytes::parse(text) {
            Ok(Bytes(bytes @ 1..=MOST_MEMORY)) => Ok(bytes),
            _ => Err(self.wrong(
                field,
                shown(text, LONGEST_NAME),
                "a size, such as `4GiB`, to 1 PiB",
            )),
        }
    }

    fn power(&self, claimed: ClaimedPower) -> Result<Power, BoardError> {
        self.optional("power.total_rail", claimed.total_rail.as_deref())?;
        self.list("power.sum_rails", claimed.sum_rails.as_deref().unwrap_or_default())?;
        self.list("power.modes", &claimed.modes)?;
        let total = match (claimed.total_rail, claimed.sum_rails) {
            (Some(rail), None) => Total::Rail(rail),
            (None, Some(rails)) if !rails.is_empty() => Total::Sum(rails),
            (None, None) => Total::Unknown,
            (_, rails) => {
                let found = rails.unwrap_or_default().join(", ");
                let expected = "one or more rails, and no `total_rail` beside them";
                return Err(self.wrong("power.sum_rails", found, expected));
            }
        };
        let scope = match (claimed.scope, &total) {
            (Some(scope), _) => scope,
            (None, Total::Unknown) => Scope::Board,
            (None, _) => {
                let expected = "`module` or `board`: what the rails cover";
                return Err(self.wrong("power.scope", "", expected));
            }
        };
        let Some(bench) = &claimed.bench_mode else {
            return Ok(Power { total, scope, modes: claimed.modes, bench_mode: None });
        };
        if !claimed.modes.contains(bench) {
            return Err(self.wrong(
                "power.bench_mode",
                shown(bench, LONGEST_NAME),
                "one of `power.modes`",
            ));
        }
        Ok(Power { total, scope, modes: claimed.modes, bench_mode: claimed.bench_mode })
    }

    fn keys(&self, keys: Keys) -> Result<Keys, BoardError> {
        match keys.evidence {
            Some(level) if !(1..=3).contains(&level) => {
                Err(self.wrong("keys.evidence", level, "an evidence level, 1 to 3"))
            }
            _ => Ok(keys),
        }
    }

    fn limits(&self, claimed: ClaimedLimits, built: Option<&Memory>) -> Result<Limits, BoardError> {
        let ClaimedLimits { memory: text, celsius, ignore_zones } = claimed;
        let memory = text.as_deref().map(|text| self.bytes("limits.memory", text)).transpose()?;
        if let (Some(memory), Some(built)) = (memory, built)
            && memory > built.bytes
        {
            let expected = "no more than `memory.size`";
            return Err(self.wrong("limits.memory", text.unwrap_or_default(), expected));
        }
        if let Some(at) = celsius.filter(|at| !(20.0..=120.0).contains(at)) {
            return Err(self.wrong("limits.celsius", at, "20 to 120"));
        }
        self.list("limits.ignore_zones", &ignore_zones)?;
        Ok(Limits { memory, celsius, ignore_zones })
    }
}

/// Two whole numbers with a dot between.
fn two_numbers(text: &str) -> Option<(u32, u32)> {
    let number = |text: &str| {
        let digits = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let (major, minor) = text.split_once('.')?;
    Some((number(major)?, number(minor)?))
}

/// At most `longest` characters of what a file holds, fit for one line of a terminal.
fn shown(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate() {
        match c {
            _ if at == longest => {
                shown.push('…');
                break;
            }
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}
