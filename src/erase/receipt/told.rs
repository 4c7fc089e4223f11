//! A receipt as a person reads it, and as a script does.

use std::fmt::Display;

use serde_json::{Value, json};

use super::fields::{Accuracy, Estimate, Gate, Lineage, Method, Receipt, Request};
use super::hex::Hex;
use super::key_change::VerifiedKeyChange;
use super::signed::{Claimed, Verified};
use super::words::{Lapse, Verdict};
use crate::base::clock::Utc;
use crate::base::hash::Digest;

/// Where values begin, and how wide they may be before they go on in the next line.
const INDENT: usize = 24;
const WIDTH: usize = 76;

/// On whose word a receipt is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A signature was checked, and held.
    Signed,
    /// Nothing was checked but the spelling.
    Unchecked,
}

/// Lines of labels and values, in sections.
struct Page(String);

impl Page {
    fn section(&mut self, title: &str) {
        self.0 += &format!("\n{title}\n");
    }

    fn line(&mut self, label: &str, value: impl Display) {
        self.wrap(format!("  {label:<width$}", width = INDENT - 2), INDENT, &value.to_string());
    }

    /// A line of its own in a list.
    fn item(&mut self, text: &str) {
        self.wrap("  - ".into(), 4, text);
    }

    /// Goes on with the words of `value` where `line` ends, and in the next lines at `indent`.
    fn wrap(&mut self, mut line: String, indent: usize, value: &str) {
        let (mut used, width) = (0, INDENT + WIDTH - indent);
        for word in value.split_whitespace() {
            let length = word.chars().count();
            if used > 0 && used + 1 + length > width {
                self.0 += &format!("{}\n", line.trim_end());
                (line, used) = (" ".repeat(indent), 0);
            }
            let gap = if used > 0 { " " } else { "" };
            line += &format!("{gap}{word}");
            used += gap.len() + length;
        }
        self.0 += &format!("{}\n", line.trim_end());
    }
}

/// The receipt as a page of text for a terminal, on the word of the key that signed it.
pub fn told(verified: &Verified) -> String {
    page(verified.receipt(), "holds", &verified.key().to_string(), verified.hash())
}

/// What a file claims, as [`told`] tells it, with the warning that nobody checked who signed it.
pub fn told_claim(claimed: &Claimed) -> String {
    let signature = "NOT CHECKED: give the device's key to check it";
    let key = format!("the one with id {}, as the file says", claimed.key_id());
    page(claimed.receipt(), signature, &key, claimed.hash())
}

/// A change of keys in one line.
pub fn told_key_change(verified: &VerifiedKeyChange) -> String {
    let (change, new) = (verified.change(), verified.new_key());
    format!(
        "change of keys after receipt {}, {}, device {}\n  from  {}\n  to    {new}\n",
        change.after,
        Utc(change.at),
        change.device,
        verified.old(),
    )
}

fn page(receipt: &Receipt, signature: &str, key: &str, hash: Digest) -> String {
    let mut page = Page(format!("Erasure receipt {}\n", receipt.sequence));
    page.line("signature", signature);
    page.line("key", key);
    page.line("device", receipt.device);
    page.line("this file", hash);
    let first = || "none: this is the first".to_string();
    page.line("file before", receipt.previous.map_or_else(first, |hash| hash.to_string()));
    page.line("program", format!("{} {}", receipt.software.name, receipt.software.version));
    page.line("network", &receipt.family);
    for (index, request) in receipt.requests.iter().enumerate() {
        let of = receipt.requests.len();
        page.section(&format!("Request {} of {of}", index + 1));
        tell_request(&mut page, receipt, request);
    }
    page.section("Repair");
    tell_repair(&mut page, receipt);
    page.section("Models");
    page.line("before", receipt.models.parent);
    match receipt.models.child {
        Hex([0, rest @ ..]) if rest == [0; 31] => {
            page.line("serves now", "none: the base itself knew the subject");
        }
        child => page.line("serves now", child),
    }
    page.line("its masks", receipt.models.mask);
    page.line("its weights", receipt.models.weights);
    tell_lineage(&mut page, &receipt.lineage);
    page.section("Gate");
    tell_gate(&mut page, &receipt.gate);
    page.section("Destroyed");
    receipt.destroyed.iter().for_each(|gone| page.item(&format!("{}: {}", gone.what, gone.how)));
    page.section("Not covered");
    receipt.not_covered.iter().for_each(|text| page.item(text));
    page.0
}

fn tell_request(page: &mut Page, receipt: &Receipt, request: &Request) {
    let since = |moment: u64| match moment.checked_sub(request.received) {
        Some(passed) => format!("{}, after {}", Utc(moment), span(passed)),
        None => format!("{}, by a clock that went backwards", Utc(moment)),
    };
    page.line("id", request.id);
    page.line("subject's commitment", request.subject);
    page.line("received", Utc(request.received));
    page.line("stopped serving", since(request.stopped));
    page.line("shredded", since(request.shredded));
    page.line("committed", since(receipt.times.committed));
    page.line(
        "deadline",
        request.deadline.map_or("none".into(), |due| {
            let late = receipt.times.committed.checked_sub(due).filter(|&late| late > 0);
            let kept = late.map_or("kept".into(), |late| format!("MISSED by {}", span(late)));
            format!("{}, {kept}", Utc(due))
        }),
    );
}

fn tell_repair(page: &mut Page, receipt: &Receipt) {
    let Method { name, settings, guarantee, on_whose_word, seed, epochs, steps, restarts, .. } =
        &receipt.method;
    let moment = |moment: Option<u64>| moment.map_or("-".into(), |at| Utc(at).to_string());
    page.line("guarantee", format!("{guarantee}: {}", guarantee.meaning()));
    page.line("on whose word", on_whose_word);
    page.line("evidence", format!("{}: {}", receipt.evidence, receipt.evidence.meaning()));
    if let Some(rollback) = receipt.rollback {
        page.line("rollback cover", format!("{rollback}: {}", rollback.meaning()));
    }
    let served = match receipt.served_until_repaired {
        true => "the model that held the subject SERVED ON until it was repaired",
        false => "the model that held the subject was stopped at once",
    };
    page.line("policy", format!("{}; {served}", receipt.policy));
    for failed in &receipt.method.failed_before {
        let at = match failed.at {
            Lapse::Run => "did not come to its end",
            Lapse::Gate => "came to what did not hold",
        };
        page.line("tried before", format!("{}: it {at}", failed.name));
    }
    page.line("method", name);
    if let Some(settings) = settings.as_object() {
        settings.iter().for_each(|(key, value)| page.line("", format!("{key} = {}", bare(value))));
    }
    page.line("effort", format!("{epochs} epochs, {steps} steps, seed {seed}"));
    page.line("restarts", format!("{restarts} after power was lost"));
    page.line("unlearnt", moment(receipt.times.unlearnt));
    page.line("gated", moment(receipt.times.gated));
    if receipt.times.clock_went_backwards {
        page.line("clock", "WENT BACKWARDS meanwhile: moments say nothing of the order");
    }
    // Whole joules are as good as sensors are.
    let covers = receipt.energy_covers.as_deref().unwrap_or("what the device measured");
    let energy = |energy: u64| format!("{}.{:03} J, {covers}", energy / 1000, energy % 1000);
    page.line("energy", receipt.millijoules.map_or("not measured".into(), energy));
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

fn tell_lineage(page: &mut Page, lineage: &Lineage) {
    page.line("trained on", format!("{} samples that were kept", lineage.retained_samples));
    page.line("their root", lineage.retained_root);
    let (training, holdout) = (lineage.destroyed_training, lineage.destroyed_holdout);
    page.line("samples destroyed", format!("{training} for training, {holdout} held out"));
    for model in &lineage.earlier {
        page.line("held the subject", format!("{} ({})", model.id, model.fate));
    }
    if lineage.earlier_unlisted > 0 {
        page.line("", format!("and {} more, all destroyed", lineage.earlier_unlisted));
    }
}

fn tell_gate(page: &mut Page, gate: &Gate) {
    page.line("verdict", gate.verdict);
    if gate.verdict == Verdict::NotMeasured {
        return;
    }
    let share =
        |estimate: &Estimate| format!("{} ({} to {})", estimate.share, estimate.low, estimate.high);
    for Accuracy { on, samples, before, after, limit, verdict } in &gate.accuracies {
        let label = format!("accuracy, {on}");
        page.line(&label, format!("{verdict}, over {samples} samples, limit {limit}"));
        page.line("", format!("before {}", before.as_ref().map_or("not measured".into(), share)));
        page.line("", format!("after  {}", share(after)));
    }
    if let Some(worst) = &gate.worst_off {
        let what = format!("{}, nobody may lose more than {}", worst.verdict, worst.limit);
        page.line("worst-off who stays", what);
    }
    for probed in &gate.probes {
        let what = format!("{}, margin {}, power {}", probed.verdict, probed.margin, probed.power);
        page.line(&format!("{} of the subject", probed.probe), what);
    }
    page.line("intervals", format!("hold the truth in {} of cases", gate.confidence));
}

/// Whole seconds as a person says them.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} days {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A receipt as JSON: all its fields, with what the words mean and how it stands.
pub fn value(receipt: &Receipt, standing: Standing, key: Hex<8>, hash: Digest) -> Value {
    let late =
        |request: &Request| request.deadline.map(|due| receipt.times.committed.saturating_sub(due));
    json!({
        "signature": match standing { Standing::Signed => "holds", Standing::Unchecked => "not checked" },
        "key_id": key.to_string(),
        "hash": hash.to_string(),
        "evidence": receipt.evidence.meaning(),
        "rollback": receipt.rollback.map(super::words::Rollback::meaning),
        "guarantee": receipt.method.guarantee.meaning(),
        "late_seconds": receipt.requests.iter().map(late).collect::<Vec<_>>(),
        "receipt": serde_json::to_value(receipt).unwrap_or_default(),
    })
}
