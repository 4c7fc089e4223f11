//! What a receipt says, field by field, in the order of its bytes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ReceiptError;
use super::hex::Hex;
use super::words::{
    Evidence, Fate, Guarantee, Lapse, MeasuredOn, Policy, Power, Ppm, Probe, Rollback, Verdict,
    Weights,
};

/// The version of receipts that this program writes and reads.
pub const VERSION: u32 = 1;

/// One erasure, of one subject or of several whose requests were repaired together.
///
/// Moments are seconds since 1970 in UTC by the device's clock. Models are named by their logical ids.
/// Nothing here depends on who was erased, except the commitments. See [`Receipt::check`] for what a
/// receipt may not say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The version of this layout: [`VERSION`].
    pub version: u32,
    /// The place in the ledger of the home, from 1, without gaps.
    pub sequence: u64,
    /// The BLAKE3 digest of the file of the receipt before; none before the first.
    pub previous: Option<Hex<32>>,
    /// The device: random bytes made when its home was.
    pub device: Hex<16>,
    /// The program that erased.
    pub software: Software,
    /// The network, by its name.
    pub family: String,
    /// What was asked for, at least one request.
    pub requests: Vec<Request>,
    /// When samples and keys were destroyed.
    pub policy: Policy,
    /// Whether the model that held the subject went on serving until it was repaired.
    pub served_until_repaired: bool,
    /// When the repair went from state to state.
    pub times: Times,
    /// How sure it is that what was destroyed stays so.
    pub evidence: Evidence,
    /// What would notice that the whole home was put back; not told by programs that knew of nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// The models before and after.
    pub models: Models,
    /// What the new model was made from, and what became of the old.
    pub lineage: Lineage,
    /// How the influence on the weights was removed.
    pub method: Method,
    /// What was measured before the new model was let serve.
    pub gate: Gate,
    /// What was destroyed.
    pub destroyed: Vec<Destroyed>,
    /// What this receipt does not cover, one thing a line; there is always something.
    pub not_covered: Vec<String>,
    /// Energy that the repair took, in millijoules; none where no sensor measured it.
    pub millijoules: Option<u64>,
    /// What that is the energy of, idling included, such as `module (VDD_IN)`; none where none was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_covers: Option<String>,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Software {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Software {
    /// This one.
    pub fn this() -> Self {
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        Self { name: name.into(), version: version.into() }
    }
}

/// One subject's request, and what became of it at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Random bytes that name it.
    pub id: Hex<16>,
    /// The commitment to the subject: [`super::commit`].
    pub subject: Hex<32>,
    /// When it was received.
    pub received: u64,
    /// When it had to be done, where there was such a limit.
    pub deadline: Option<u64>,
    /// When every model that held the subject had stopped serving.
    pub stopped: u64,
    /// When the subject's samples and key had been destroyed.
    pub shredded: u64,
}

/// When the repair went from state to state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// When the new weights were there; none where nothing had to be learnt anew.
    pub unlearnt: Option<u64>,
    /// When the gate had measured; none where it did not.
    pub gated: Option<u64>,
    /// When the new model was let serve for good.
    pub committed: u64,
    /// Whether the clock was seen to go backwards meanwhile: then no order can be read from moments, and
    /// none is demanded of them.
    pub clock_went_backwards: bool,
}

/// The models before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// The one that served when the first request came; zeros where none did.
    pub parent: Hex<32>,
    /// The one that serves now; zeros where none may, as the base itself knew the subject.
    pub child: Hex<32>,
    /// The digest of the child's masks; zeros where there is no child.
    pub mask: Hex<32>,
    /// The type of the child's weights, as they are served.
    pub weights: Weights,
}

/// What the new model was made from, and what became of the old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// The root of the commitments to the samples that were kept and trained on.
    pub retained_root: Hex<32>,
    /// How many they are.
    pub retained_samples: u64,
    /// How many samples of the subjects were destroyed that had been for training.
    pub destroyed_training: u64,
    /// How many were that had been held out.
    pub destroyed_holdout: u64,
    /// Models that held a subject, with what became of each; the parent too, if it did.
    pub earlier: Vec<EarlierModel>,
    /// How many more there were, all destroyed, for which the list has no room.
    pub earlier_unlisted: u64,
}

/// A model that held a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierModel {
    /// Its logical id.
    pub id: Hex<32>,
    /// What became of it.
    pub fate: Fate,
}

/// How the influence on the weights was removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Its name, as `unlearn methods` lists it.
    pub name: String,
    /// Its hyper-parameters: an object without floating-point numbers, see [`settings`].
    pub settings: Value,
    /// How the weights that serve are free of the subject.
    pub guarantee: Guarantee,
    /// On whose word the guarantee rests where the device cannot know, as "the operator declares the
    /// base `population`".
    pub on_whose_word: String,
    /// The seed of the repair.
    pub seed: u64,
    /// Passes over the retained samples.
    pub epochs: u64,
    /// Steps of the optimiser.
    pub steps: u64,
    /// How often the repair began or went on again after the power had gone.
    pub restarts: u64,
    /// Ways that were tried before this one and failed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_before: Vec<FailedWay>,
}

/// A way that was tried and failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedWay {
    /// Its name, as that of [`Method`].
    pub name: String,
    /// Where it failed.
    pub at: Lapse,
}

/// `method`'s hyper-parameters for [`Method::settings`]: as JSON, each number with a fraction or an
/// exponent as the text of its shortest decimal form.
///
/// # Errors
/// If it is not spelt as a JSON object.
pub fn settings(method: &impl Serialize) -> Result<Value, ReceiptError> {
    let wrong = || ReceiptError::Settings { rule: "they are no JSON object" };
    // By way of the text: as values, an f32 of 0.1 and an f64 of 0.1 would differ.
    let text = serde_json::to_string(method).map_err(|_| wrong())?;
    let value: Value = serde_json::from_str(&quote_fractions(&text)).map_err(|_| wrong())?;
    if value.is_object() { Ok(value) } else { Err(wrong()) }
}

/// JSON with quotes around every number that is no integer.
fn quote_fractions(json: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(json.len() + 64), json);
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => string_end(rest),
            '-' | '0'..='9' => {
                rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
            }
            _ => Some(first.len_utf8()),
        };
        let (token, after) = rest.split_at(end.unwrap_or(rest.len()));
        let number = first == '-' || first.is_ascii_digit();
        let fraction = number && token.contains(['.', 'e', 'E']);
        if fraction {
            out.extend(["\"", token, "\""])
        } else {
            out.push_str(token)
        }
        rest = after;
    }
    out
}

/// Where the string ends that `text` begins with.
fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    let mut inside = text.char_indices().skip(1);
    let (quote, _) = inside.find(|&(_, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some(quote + 1)
}

/// What was measured before the new model was let serve: over many samples at once, never of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// What it came to as a whole.
    pub verdict: Verdict,
    /// How often the intervals below hold the truth.
    pub confidence: Ppm,
    /// Accuracy on what is kept, before and after.
    pub accuracies: Vec<Accuracy>,
    /// What asked whether the model still knows the subjects, as far as their samples were still there.
    pub probes: Vec<Probed>,
    /// Whether anybody who stays lost too much; a verdict and no figure, as it is of one person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_off: Option<Bounded>,
}

/// A loss that was held against a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounded {
    /// The most that may be lost, as far as the 95 % interval is sure of it.
    pub limit: Ppm,
    /// Whether it held.
    pub verdict: Verdict,
}

/// Accuracy on samples that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Which samples.
    pub on: MeasuredOn,
    /// How many: at least [`super::limits::LEAST_SAMPLES`], as fewer would tell of single ones.
    pub samples: u64,
    /// That of the parent, where it was measured.
    pub before: Option<Estimate>,
    /// That of the child, from the file that is served.
    pub after: Estimate,
    /// The least accuracy that passes.
    pub limit: Ppm,
    /// Whether it passed.
    pub verdict: Verdict,
}

/// A share with its interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The share.
    pub share: Ppm,
    /// Where the interval begins.
    pub low: Ppm,
    /// Where it ends.
    pub high: Ppm,
}

/// What a probe for a subject came to. A verdict and no figure: a score would tell its reader whether
/// somebody had been a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// Which probe.
    pub probe: Probe,
    /// Whether the child does as a model does that never knew the subject.
    pub verdict: Verdict,
    /// By how much it may differ, to either side.
    pub margin: Ppm,
    /// How often it would be noticed if it did.
    pub power: Power,
}

/// Something that was destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destroyed {
    /// What, as "the subject's key".
    pub what: String,
    /// How, as "left out of keyring 8; device key 7 removed".
    pub how: String,
}
