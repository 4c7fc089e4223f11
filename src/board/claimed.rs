//! What a `board.toml` claims, before it is checked.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::Deserialize;

use super::error::BoardError;
use super::profile::{
    Capability, Cpu, Gpu, Keys, Limits, Memory, Power, Profile, Scope, Software, Storage, Tier,
    Total,
};
use crate::base::units::Bytes;

/// Bytes of the longest profile that is read.
pub(super) const MOST: usize = 64 << 10;

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
}

pub(super) fn parse(text: &str, name: &str) -> Result<Profile, BoardError> {
    if text.len() > MOST {
        return Err(BoardError::TooLong { path: name.into(), most: MOST });
    }
    let claimed: Claimed = toml::from_str(text).map_err(|error| BoardError::Syntax {
        name: name.into(),
        message: error.to_string().trim_end().to_string(),
    })?;
    Checker { name }.profile(claimed)
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
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if claimed.slug.is_empty() || !claimed.slug.chars().all(plain) {
            return Err(self.wrong("slug", &claimed.slug, "small letters, digits and `-`"));
        }
        for module in &claimed.matches.modules {
            if !super::module::is_module(module) {
                let expected = "a module's number, such as `p3767-0005`";
                return Err(self.wrong("match.modules", module, expected));
            }
        }
        Ok(Profile {
            gpu: claimed.gpu.map(|gpu| self.gpu(gpu)).transpose()?,
            memory: claimed.memory.map(|memory| self.memory(&memory)).transpose()?,
            power: self.power(claimed.power)?,
            keys: self.keys(claimed.keys)?,
            limits: self.limits(&claimed.limits)?,
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

    fn gpu(&self, claimed: ClaimedGpu) -> Result<Gpu, BoardError> {
        let ClaimedGpu { architecture, compute_capability: text, cores, tensor_cores, usable } =
            claimed;
        let numbers = text.split_once('.').and_then(|(major, minor)| {
            Some(Capability { major: major.parse().ok()?, minor: minor.parse().ok()? })
        });
        let wrong = || self.wrong("gpu.compute_capability", &text, "two numbers, such as `8.7`");
        let capability = numbers.ok_or_else(wrong)?;
        Ok(Gpu { architecture, capability, cores, tensor_cores, usable })
    }

    fn memory(&self, claimed: &ClaimedMemory) -> Result<Memory, BoardError> {
        let bytes = self.bytes("memory.size", &claimed.size)?;
        let bandwidth = claimed.bandwidth_gbs;
        if !(bandwidth.is_finite() && bandwidth > 0.0) {
            return Err(self.wrong("memory.bandwidth_gbs", bandwidth, "GB/s above 0"));
        }
        Ok(Memory { bytes, bandwidth })
    }

    fn bytes(&self, field: &str, text: &str) -> Result<u64, BoardError> {
        match Bytes::parse(text) {
            Ok(Bytes(bytes)) if bytes > 0 => Ok(bytes),
            _ => Err(self.wrong(field, text, "a size, such as `4GiB`")),
        }
    }

    fn power(&self, claimed: ClaimedPower) -> Result<Power, BoardError> {
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
            return Err(self.wrong("power.bench_mode", bench, "one of `power.modes`"));
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

    fn limits(&self, claimed: &ClaimedLimits) -> Result<Limits, BoardError> {
        let memory = claimed.memory.as_deref().map(|text| self.bytes("limits.memory", text));
        if let Some(celsius) = claimed.celsius.filter(|at| !(20.0..=120.0).contains(at)) {
            return Err(self.wrong("limits.celsius", celsius, "20 to 120"));
        }
        Ok(Limits { memory: memory.transpose()?, celsius: claimed.celsius })
    }
}
