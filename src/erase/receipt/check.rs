//! What a receipt may not say: too much, the unreadable, what cannot be true together.

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::ReceiptError;
use super::fields::{Accuracy, Gate, Lineage, Method, Receipt, Request, VERSION};
use super::limits::{
    LEAST_SAMPLES, MAX_DEPTH, MAX_DESTROYED, MAX_EARLIER, MAX_MEASURED, MAX_NAME, MAX_NOT_COVERED,
    MAX_REQUESTS, MAX_SETTINGS, MAX_TEXT,
};
use super::words::{Guarantee, Policy, Ppm, Verdict};

type Checked = Result<(), ReceiptError>;

fn contradiction(rule: &'static str) -> ReceiptError {
    ReceiptError::Contradiction { rule }
}

/// Refuses a rule that is broken.
fn holds(kept: bool, rule: &'static str) -> Checked {
    if kept { Ok(()) } else { Err(contradiction(rule)) }
}

fn at_most(what: &'static str, found: usize, most: usize) -> Checked {
    if found <= most { Ok(()) } else { Err(ReceiptError::TooMuch { what, found, most }) }
}

/// Refuses what a terminal would not show as it is: control characters, and those that turn the
/// direction of writing or have no width.
pub(super) fn shows(field: &'static str, text: &str, most: usize) -> Checked {
    let hidden = |c: char| {
        let format = ['\u{ad}', '\u{61c}', '\u{feff}'];
        let ranges = ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{206f}'];
        c.is_control() || format.contains(&c) || ranges.iter().any(|range| range.contains(&c))
    };
    let wrong = |rule| Err(ReceiptError::Text { field, rule });
    match text {
        "" => wrong("is empty"),
        text if text.len() > most => wrong("is longer than a receipt allows"),
        text if text.contains(hidden) => wrong("holds characters that cannot be seen"),
        _ => Ok(()),
    }
}

impl Receipt {
    /// Holds the receipt against its limits and against itself. It is held on both sides: a device signs
    /// no receipt that fails, a reader takes none.
    ///
    /// # Errors
    /// More of something than [`super::limits`] allow, a text that cannot be shown, or fields that cannot
    /// be true together.
    pub fn check(&self) -> Result<(), ReceiptError> {
        if self.version != VERSION {
            let found = self.version.into();
            return Err(ReceiptError::Version { found, known: VERSION });
        }
        holds(self.sequence >= 1, "sequence numbers begin at 1")?;
        let first = self.sequence == 1;
        holds(first == self.previous.is_none(), "the first receipt, and no other, follows none")?;
        shows("software.name", &self.software.name, MAX_NAME)?;
        shows("software.version", &self.software.version, MAX_NAME)?;
        shows("family", &self.family, MAX_NAME)?;
        if let Some(covers) = &self.energy_covers {
            shows("energy_covers", covers, MAX_TEXT)?;
        }
        self.check_requests()?;
        self.requests.iter().try_for_each(|request| self.check_times(request))?;
        self.check_models()?;
        check_lineage(&self.lineage)?;
        check_method(&self.method)?;
        check_gate(&self.gate)?;
        let measured = self.gate.verdict != Verdict::NotMeasured;
        let gated = self.times.gated.is_some();
        holds(measured == gated, "a gate has a time if, and only if, it measured")?;
        at_most("things that were destroyed", self.destroyed.len(), MAX_DESTROYED)?;
        holds(!self.destroyed.is_empty(), "an erasure destroys something")?;
        for gone in &self.destroyed {
            shows("destroyed.what", &gone.what, MAX_TEXT)?;
            shows("destroyed.how", &gone.how, MAX_TEXT)?;
        }
        at_most("things that are not covered", self.not_covered.len(), MAX_NOT_COVERED)?;
        holds(!self.not_covered.is_empty(), "there is always something that is not covered")?;
        self.not_covered.iter().try_for_each(|text| shows("not_covered", text, MAX_TEXT))
    }

    fn check_requests(&self) -> Checked {
        at_most("requests", self.requests.len(), MAX_REQUESTS)?;
        holds(!self.requests.is_empty(), "it is about no request")?;
        let ids: BTreeSet<_> = self.requests.iter().map(|request| request.id).collect();
        let subjects: BTreeSet<_> = self.requests.iter().map(|request| request.subject).collect();
        let distinct = ids.len() == self.requests.len() && subjects.len() == self.requests.len();
        holds(distinct, "two requests have one id or one commitment")
    }

    /// Holds the moments of one request, and of the repair, against the order of the policy.
    fn check_times(&self, request: &Request) -> Checked {
        let times = &self.times;
        if times.clock_went_backwards {
            return Ok(());
        }
        let mut order = vec![request.received];
        // Where the model served on, it stopped when the other took its place.
        order.extend((!self.served_until_repaired).then_some(request.stopped));
        // Audit-first shreds after the gate, or as soon as another request ends the repair.
        order.extend((self.policy == Policy::ShredFirst).then_some(request.shredded));
        order.extend([times.unlearnt, times.gated].into_iter().flatten());
        order.push(times.committed);
        holds(order.is_sorted(), "its moments are not in the order of its policy")?;
        let within = |moment| (request.received..=times.committed).contains(moment);
        let both = within(&request.stopped) && within(&request.shredded);
        holds(both, "something was stopped or shredded before the request or after the end")
    }

    fn check_models(&self) -> Checked {
        let same = self.models.parent == self.models.child;
        let untouched = self.method.guarantee == Guarantee::NeverLearnt;
        holds(!same || untouched, "the model that was to forget is the one that serves")?;
        let serves = |id| id == self.models.child;
        let back = self.lineage.earlier.iter().any(|model| serves(model.id));
        holds(!back, "a model that held the subject is the one that serves")
    }
}

fn check_lineage(lineage: &Lineage) -> Checked {
    at_most("earlier models", lineage.earlier.len(), MAX_EARLIER)?;
    let ids: BTreeSet<_> = lineage.earlier.iter().map(|model| model.id).collect();
    holds(ids.len() == lineage.earlier.len(), "an earlier model is listed twice")
}

fn check_method(method: &Method) -> Checked {
    shows("method.name", &method.name, MAX_NAME)?;
    shows("method.on_whose_word", &method.on_whose_word, MAX_TEXT)?;
    if !method.settings.is_object() {
        return Err(ReceiptError::Settings { rule: "they are no JSON object" });
    }
    check_failed(method)?;
    check_value(&method.settings, MAX_DEPTH)?;
    at_most("bytes of settings", method.settings.to_string().len(), MAX_SETTINGS)
}

fn check_failed(method: &Method) -> Checked {
    at_most("ways that failed", method.failed_before.len(), MAX_MEASURED)?;
    let mut names = method.failed_before.iter().map(|failed| &failed.name);
    names.try_for_each(|name| shows("method.failed_before", name, MAX_NAME))
}

fn check_value(value: &Value, depth: usize) -> Checked {
    let wrong = |rule| Err(ReceiptError::Settings { rule });
    if depth == 0 {
        return wrong("they are nested too deep");
    }
    match value {
        Value::Number(number) if number.is_f64() => {
            wrong("a number is no integer; give it as text, as `settings` does")
        }
        Value::String(text) if !text.is_empty() => shows("method.settings", text, MAX_SETTINGS),
        Value::Array(values) => values.iter().try_for_each(|value| check_value(value, depth - 1)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
            shows("method.settings", key, MAX_NAME)?;
            check_value(value, depth - 1)
        }),
        _ => Ok(()),
    }
}

fn check_gate(gate: &Gate) -> Checked {
    at_most("accuracies", gate.accuracies.len(), MAX_MEASURED)?;
    at_most("probes", gate.probes.len(), MAX_MEASURED)?;
    holds(gate.confidence <= Ppm::WHOLE, "a confidence is above 100 %")?;
    let measured = gate.verdict != Verdict::NotMeasured;
    let figures = !gate.accuracies.is_empty() || !gate.probes.is_empty();
    let figures = figures || gate.worst_off.is_some();
    holds(measured || !figures, "a gate that measured nothing has figures")?;
    let passed = gate.verdict == Verdict::Passed;
    holds(!passed || !gate.accuracies.is_empty(), "a gate passed that measured no accuracy")?;
    let failed = |verdict| verdict == Verdict::Failed;
    let some = gate.accuracies.iter().any(|accuracy| failed(accuracy.verdict));
    let any = some || gate.probes.iter().any(|probe| failed(probe.verdict));
    let any = any || gate.worst_off.as_ref().is_some_and(|worst| failed(worst.verdict));
    let bounded = gate.worst_off.iter().all(|worst| worst.limit <= Ppm::WHOLE);
    holds(bounded, "a limit is above 100 %")?;
    holds(!(passed && any), "a gate passed of which a part failed")?;
    let whole = |probe: &super::fields::Probed| probe.margin <= Ppm::WHOLE;
    holds(gate.probes.iter().all(whole), "a margin is above 100 %")?;
    gate.accuracies.iter().try_for_each(check_accuracy)
}

fn check_accuracy(accuracy: &Accuracy) -> Checked {
    holds(accuracy.samples >= LEAST_SAMPLES, "an accuracy is told over too few samples")?;
    holds(accuracy.limit <= Ppm::WHOLE, "a limit is above 100 %")?;
    for estimate in accuracy.before.iter().chain([&accuracy.after]) {
        let order = [estimate.low, estimate.share, estimate.high, Ppm::WHOLE];
        holds(order.is_sorted(), "an interval does not hold its share")?;
    }
    Ok(())
}
