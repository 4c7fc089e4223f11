//! What is in a data set: what it was recognised as, counts, values, and what to beware of.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::samples;
use crate::base::disk::{FileDisk, replace};
use crate::base::units::Bytes;
use crate::cli::fault::Fault;
use crate::cli::setting::{self, DataArgs, Out};
use crate::cli::table::Table;
use crate::data::{Channel, Counted, Dataset, Extraction, Grouped, Splits, Survey, Values};
use crate::model::{Description, builtin, builtin_names};

/// Names of a list that the text tells; of the others their number.
const TOLD: usize = 20;

/// A data set with all that was counted.
pub(super) struct Seen<'a> {
    /// What was asked for.
    pub asked: &'a str,
    pub data: &'a Splits,
    pub survey: &'a Survey,
    /// Compiled-in networks that take samples of this shape.
    pub networks: Vec<&'static str>,
}

/// Tells what `source` holds, and writes the page of samples to `picture`.
pub(super) fn run(
    source: &DataArgs,
    features: Option<&str>,
    picture: Option<&Path>,
    out: &Out,
) -> Result<(), Fault> {
    let features = features.map(Extraction::parse).transpose()?;
    if let Some(picture) = picture {
        setting::check_page("--picture", picture)?;
    }
    let data = source.open(features)?;
    let survey = Survey::of(&data)?;
    let networks = networks(&data.train);
    let seen = Seen { asked: &source.data, data: &data, survey: &survey, networks };
    if let Some(picture) = picture {
        let page = samples::page(&seen);
        data.train.trouble()?;
        replace(&mut FileDisk, picture, page.html().as_bytes())?;
    }
    out.result(&seen.text(), &seen.value(picture))
}

fn networks(train: &Dataset) -> Vec<&'static str> {
    let takes = |name: &&str| {
        let text = builtin(name).unwrap_or_default();
        let description = Description::parse(text, name, train.classes.len());
        description.is_ok_and(|description| description.input_shape() == train.shape)
    };
    builtin_names().filter(takes).collect()
}

/// Where the values of a part lie.
fn kept(part: &Dataset) -> &'static str {
    if matches!(part.values, Values::Filed(_)) { "file" } else { "memory" }
}

impl Seen<'_> {
    /// What a value is, in a word.
    pub(super) fn element(&self) -> &'static str {
        let of_bytes = match &self.data.train.values {
            Values::Bytes(_) => true,
            Values::Floats(_) => false,
            Values::Filed(filed) => filed.of_bytes(),
        };
        if of_bytes { "bytes" } else { "floats" }
    }

    /// Names of classes that one part lacks.
    pub(super) fn missing(&self, count: fn(&Counted) -> usize) -> Vec<&str> {
        let classes = self.survey.classes.iter().filter(|class| count(class) == 0);
        classes.map(|class| class.name.as_str()).collect()
    }

    fn text(&self) -> String {
        let Splits { name, kind, extraction, train, test } = self.data;
        let [channels, height, width] = train.shape;
        let mut text = format!("{}: {kind}, called {name}\n\n", self.asked);
        let mut line = |key: &str, words: String| {
            let _ = writeln!(text, "{key:10}  {words}");
        };
        if let Some(extraction) = extraction {
            line("features", extraction.to_string());
        }
        let element = match self.element() {
            "bytes" => "bytes, read as 0 to 1",
            other => other,
        };
        line(
            "sample",
            format!("{channels} x {height} x {width} (channels, height, width), {element}"),
        );
        for (word, part) in [("train", train), ("test", test)] {
            let (samples, bytes) = (part.len(), Bytes(part.value_bytes()));
            line(word, format!("{samples} samples, {bytes} in {}", kept(part)));
        }
        line("digest", format!("{} (of train, as model files state it)", self.survey.digest));
        let groups = self.survey.groups.map(|groups| match groups {
            None => "each sample alone".to_string(),
            Some(Grouped { groups, largest }) => {
                format!("{groups} groups, the largest of {largest}")
            }
        });
        line("groups", format!("train: {}; test: {}", groups[0], groups[1]));
        line(
            "networks",
            match &self.networks[..] {
                [] => "none that is compiled in takes samples of this shape".into(),
                names => format!("compiled in, for samples of this shape: {}", names.join(", ")),
            },
        );
        text += &self.warnings();
        text += &channel_table(&self.survey.channels);
        text += &count_table("class", &self.survey.classes);
        match &self.survey.subjects[..] {
            [] => text + "\nsubjects: nobody is named\n",
            subjects => text + &count_table("subject", subjects),
        }
    }

    /// What one should know before learning from it.
    fn warnings(&self) -> String {
        let mut text = String::new();
        let repeats = self.survey.repeats;
        for (count, words) in [
            (repeats.across, "test samples are equal to a training sample"),
            (repeats.contradicting, "of them have another class there"),
            (repeats.within, "training samples are equal to an earlier one"),
        ] {
            if count > 0 {
                let _ = writeln!(text, "beware      {count} {words}");
            }
        }
        for (part, missing) in [
            ("test", self.missing(|class| class.test)),
            ("train", self.missing(|class| class.train)),
        ] {
            if !missing.is_empty() {
                let more = missing.len().saturating_sub(TOLD);
                let told = missing[..missing.len() - more].join(", ");
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let _ = writeln!(text, "beware      {part} has no sample of {told}{more}");
            }
        }
        text
    }

    fn value(&self, picture: Option<&Path>) -> Value {
        let Splits { name, kind, extraction, train, test } = self.data;
        let setting = |(key, value): (String, String)| {
            (key, serde_json::from_str(&value).unwrap_or(Value::String(value)))
        };
        let extraction = extraction.as_ref().map(|extraction| {
            let settings: Map<String, Value> =
                extraction.settings().into_iter().map(setting).collect();
            json!({ "kind": extraction.kind(), "settings": settings, "text": extraction.to_string() })
        });
        let part = |part: &Dataset, groups: Option<Grouped>| {
            let groups = groups.map(|g| json!({ "groups": g.groups, "largest": g.largest }));
            json!({ "samples": part.len(), "value_bytes": part.value_bytes(), "kept_in": kept(part),
                "groups": groups })
        };
        let counts = |list: &[Counted]| -> Vec<Value> {
            let one = |c: &Counted| json!({ "name": c.name, "train": c.train, "test": c.test });
            list.iter().map(one).collect()
        };
        let channel = |c: &Channel| {
            json!({ "low": setting::plain(&c.low), "high": setting::plain(&c.high),
                "mean": c.mean, "std": c.std })
        };
        let Survey { digest, classes, subjects, groups, channels, repeats } = self.survey;
        json!({
            "command": "inspect", "data": self.asked, "name": name, "kind": kind,
            "extraction": extraction, "shape": train.shape, "element": self.element(),
            "train": part(train, groups[0]), "test": part(test, groups[1]),
            "data_digest": digest.to_string(), "classes": counts(classes),
            "missing_in_test": self.missing(|class| class.test),
            "missing_in_train": self.missing(|class| class.train),
            "subjects": counts(subjects),
            "channels": channels.iter().map(channel).collect::<Vec<_>>(),
            "repeats": { "test_in_train": repeats.across,
                "of_another_class": repeats.contradicting, "within_train": repeats.within },
            "networks": self.networks, "picture": picture.map(setting::told),
        })
    }
}

/// Values of the first channels, to be written into a network description.
fn channel_table(channels: &[Channel]) -> String {
    let mut table = Table::new(["channel", "low", "high", "mean", "std"]);
    for (at, channel) in channels.iter().enumerate().take(TOLD) {
        let Channel { low, high, mean, std } = channel;
        let figure = |value: f64| format!("{value:.6}");
        let [low, high] = [low, high].map(|&value| figure(f64::from(value)));
        table.row(vec![at.to_string(), low, high, figure(*mean), figure(*std)]);
    }
    format!(
        "\n{table}{}Of the training part; `mean` and `std` of [input] in a network description take \
         one number a channel.\n",
        and_more(channels.len())
    )
}

fn count_table(word: &str, counted: &[Counted]) -> String {
    let mut table = Table::new([word, "train", "test"]);
    for Counted { name, train, test } in counted.iter().take(TOLD) {
        table.row(vec![name.clone(), train.to_string(), test.to_string()]);
    }
    format!("\n{table}{}", and_more(counted.len()))
}

fn and_more(all: usize) -> String {
    match all.saturating_sub(TOLD) {
        0 => String::new(),
        more => format!("and {more} more\n"),
    }
}
