//! Settings of methods that came nearest to retraining, and the run that chose them.
//!
//! `unlearn experiment --tune` writes them; some are shipped (`models/tuned/`), and `unlearn forget
//! --tuned` takes them instead of a method's defaults. A method's own defaults stay those of its paper: what
//! is best depends on network, mask and data, and is never taken unasked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fault::Fault;
use super::setting::{parse_toml, plain, read_toml};
use crate::unlearn::Method;

/// One file a network.
const SHIPPED: [(&str, &str); 2] = [
    ("models/tuned/cnn28.toml", include_str!("../../models/tuned/cnn28.toml")),
    ("models/tuned/har-cnn.toml", include_str!("../../models/tuned/har-cnn.toml")),
];
/// The longest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// A file of settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tuned {
    #[serde(default)]
    pub tuned: Vec<Entry>,
}

/// A method with all its settings, and what they are for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Entry {
    /// The network's name.
    pub model: String,
    /// The kind of scenario: `class`, `random`, `subject`.
    pub scenario: String,
    /// Share of the prunable weights that were gone before.
    pub sparsity: f64,
    pub method: Method,
    pub chosen: Chosen,
}

/// How settings were chosen: by the smallest average gap to retraining on a held-out forget set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Chosen {
    pub experiment: String,
    pub version: String,
    pub data: String,
    /// What stood in for the forget set.
    pub held_out: String,
    pub seed: u64,
    /// Of so many points of a grid.
    pub points: usize,
    /// Percentage points on the held-out set.
    pub average_gap: f64,
}

/// The kind of a scenario: what stands before its `=`.
pub(super) fn kind(scenario: &str) -> &str {
    scenario.split('=').next().unwrap_or(scenario)
}

impl Tuned {
    /// Those of the file at `path`, or those shipped.
    ///
    /// # Errors
    /// If it cannot be read or says what is not understood, with its line.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, Fault> {
        let Some(path) = path else {
            let files: Result<Vec<Self>, _> =
                SHIPPED.iter().map(|(name, text)| parse_toml(text, name)).collect();
            return Ok(Self { tuned: files?.into_iter().flat_map(|file| file.tuned).collect() });
        };
        read_toml(path, MAX_BYTES, "settings are")
    }

    /// The settings of `method` for a network: of those for its name and this kind of scenario, what
    /// was tuned nearest to its sparsity; of equals the first.
    ///
    /// # Errors
    /// If there are none, with those that there are.
    pub(super) fn find(
        &self,
        method: &str,
        (model, sparsity): (&str, f64),
        scenario: &str,
    ) -> Result<&Entry, Fault> {
        let kind = kind(scenario);
        let away = |entry: &&Entry| (entry.sparsity - sparsity).abs();
        let fits = |entry: &&Entry| {
            entry.model == model && entry.scenario == kind && entry.method.name() == method
        };
        let found = self.tuned.iter().filter(fits).min_by(|a, b| away(a).total_cmp(&away(b)));
        found.ok_or_else(|| {
            Fault::Usage(format!(
                "--tuned: nothing was tuned for {method} on {model}, {kind}; there is {}; leave --tuned out, or make some with `unlearn experiment --tune`",
                self.told()
            ))
        })
    }

    /// What there is, in words: methods by network and kind of scenario.
    fn told(&self) -> String {
        let mut all = BTreeMap::<_, BTreeSet<&str>>::new();
        for entry in &self.tuned {
            let of = (entry.model.as_str(), entry.scenario.as_str());
            all.entry(of).or_default().insert(entry.method.name());
        }
        let told = |((model, scenario), methods): (&(&str, &str), &BTreeSet<&str>)| {
            let methods: Vec<&str> = methods.iter().copied().collect();
            format!("{} on {model}, {scenario}", methods.join(", "))
        };
        match all.is_empty() {
            true => "nothing at all".into(),
            false => all.iter().map(told).collect::<Vec<_>>().join("; "),
        }
    }

    /// As a file.
    pub(super) fn text(&self) -> String {
        let text = toml::to_string(&plain(self)).unwrap_or_default();
        format!(
            "# Settings that came nearest to retraining on a held-out forget set, each with the run that chose it:\n\
             # `unlearn forget --tuned=FILE`.\n{text}"
        )
    }
}

impl Entry {
    /// What it is for, in words.
    fn told(&self) -> String {
        format!("{} on {}, {}", self.method.name(), self.model, self.scenario)
    }

    /// What was taken and why, for whoever reads the result.
    pub(super) fn note(&self) -> String {
        let Chosen { experiment, data, held_out, seed, points, average_gap, .. } = &self.chosen;
        format!(
            "settings tuned for {} at {:.4} % sparsity: average gap {average_gap:.2}, the least of {points}, on {data}, {held_out}, seed {seed} ({experiment})",
            self.told(),
            100.0 * self.sparsity
        )
    }

    /// For scripts.
    pub(super) fn value(&self) -> serde_json::Value {
        json!({ "model": self.model, "scenario": self.scenario, "sparsity": self.sparsity,
                "chosen": plain(&self.chosen) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sparsity: f64, alpha: f32) -> Entry {
        let fields = json!({ "influence": { "alpha": alpha } });
        Entry {
            model: "cnn28".into(),
            scenario: "class".into(),
            sparsity,
            method: serde_json::from_value(fields).unwrap(),
            chosen: Chosen {
                experiment: "one".into(),
                version: "0.1.0".into(),
                data: "made".into(),
                held_out: "class=1, held out for class=0".into(),
                seed: 100,
                points: 3,
                average_gap: 1.5,
            },
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_the_nearest_sparsity_is_found() {
        let all = Tuned { tuned: vec![entry(0.0, 0.1), entry(0.95, 2.5)] };
        let read = parse_toml::<Tuned>(&all.text(), "here").unwrap();
        assert_eq!(read, all);
        let found =
            |sparsity| read.find("influence", ("cnn28", sparsity), "class=4").unwrap().sparsity;
        assert_eq!([found(0.3), found(0.9), found(1.0)], [0.0, 0.95, 0.95]);
        for (method, model, scenario) in [
            ("fisher", "cnn28", "class=0"),
            ("influence", "mlp", "class=0"),
            ("influence", "cnn28", "random=0.1"),
        ] {
            let told = read.find(method, (model, 0.5), scenario).unwrap_err().to_string();
            assert_eq!(told.matches("influence on cnn28, class").count(), 1, "{told}");
        }
    }

    #[test]
    fn the_shipped_settings_are_understood() {
        let shipped = Tuned::read(None).unwrap();
        assert!(shipped.tuned.iter().all(|entry| entry.chosen.points > 1));
        assert_eq!(parse_toml::<Tuned>(&shipped.text(), "again").unwrap(), shipped);
    }

    #[test]
    fn a_wrong_word_is_told_with_its_line() {
        let text = Tuned { tuned: vec![entry(0.0, 0.1)] }.text().replace("alpha =", "alpa =");
        let told = parse_toml::<Tuned>(&text, "x.toml").unwrap_err().to_string();
        assert!(
            told.contains("x.toml") && told.contains("line") && told.contains("alpa"),
            "{told}"
        );
    }
}
