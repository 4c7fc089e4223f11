//! What a person reads.

use serde_json::Value;

use super::super::table::Table;
use crate::base::units::{Bytes, Seconds};

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("-")
}

fn count(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

fn seconds(value: &Value, key: &str) -> Seconds {
    Seconds(value.get(key).and_then(Value::as_f64).unwrap_or(0.0))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn short(id: &str) -> String {
    id.chars().take(16).collect()
}

fn plural(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

pub(super) fn ingested(value: &Value) -> String {
    format!(
        "{} taken in, {} of them held out; {} passed over; {} enrolled\n",
        plural(count(value, "samples"), "sample"),
        count(value, "held"),
        plural(count(value, "duplicates"), "duplicate"),
        plural(count(value, "enrolled"), "subject"),
    )
}

pub(super) fn adapted(value: &Value) -> String {
    format!(
        "adapted to {} in {}: model {} answers now, {}\n",
        plural(count(value, "people"), "subject"),
        seconds(value, "seconds"),
        short(word(value, "id")),
        Bytes(count(value, "bytes")),
    ) + &energy(value)
}

/// A line about energy, where some was measured.
fn energy(value: &Value) -> String {
    value["joules"]
        .as_f64()
        .map_or(String::new(), |joules| format!("energy {joules:.1} J, idling included\n"))
}

pub(super) fn predicted(value: &Value) -> String {
    let mut table = Table::new(["label", "probability"]);
    for answer in list(value, "answers") {
        let probability = answer.get("probability").and_then(Value::as_f64).unwrap_or(0.0);
        table.row(vec![word(answer, "label").into(), format!("{probability:.3}")]);
    }
    format!("model {}\n{table}", short(word(value, "model")))
}

pub(super) fn plan(value: &Value) -> String {
    let plan = &value["plan"];
    let measured = list(plan, "ways").iter().any(|way| way["joules"].is_number());
    let mut table = Table::new(["way", "learning", "in all", "memory", "energy", "possible"]);
    for way in list(plan, "ways") {
        let taken = way["choice"] == plan["choice"];
        let possible = match way["obstacle"].as_str() {
            Some(why) => format!("no: {why}"),
            None if taken => "taken".into(),
            None => "yes".into(),
        };
        let parts = ["seconds", "judging", "settling"].map(|part| seconds(way, part).0);
        let in_all = Seconds(parts.iter().sum());
        let cost = |text: String| if count(way, "bytes") == 0 { "-".into() } else { text };
        table.row(vec![
            word(way, "choice").into(),
            cost(seconds(way, "seconds").to_string()),
            in_all.to_string(),
            cost(Bytes(count(way, "bytes")).to_string()),
            match way["joules"].as_f64() {
                Some(joules) => format!("{joules:.1} J"),
                None if measured => "-".into(),
                None => "not measured".into(),
            },
            possible,
        ]);
    }
    let base = if plan["base_holds"] == true { " and the base" } else { "" };
    format!(
        "would erase {}; known to {}{base}\nclean ancestor {}\n{table}nothing was changed\n",
        plural(count(plan, "samples"), "sample"),
        plural(list(plan, "models").len() as u64, "model"),
        short(word(plan, "ancestor")),
    )
}

pub(super) fn erased(value: &Value) -> String {
    let mut text = String::new();
    for ticket in list(value, "tickets") {
        text += &format!(
            "{}: request {}\n  keep this, it alone shows whom the receipt is about: {}\n",
            word(ticket, "subject"),
            word(ticket, "request"),
            word(ticket, "nonce"),
        );
    }
    match value.get("erased").filter(|erased| !erased.is_null()) {
        Some(erased) => {
            text += &format!("answered no more after {}\n", seconds(value, "stopped_seconds"));
            text + &one(erased)
        }
        None => text + "noted; `unlearn resume` carries it out, `unlearn cancel` takes it back\n",
    }
}

fn one(erased: &Value) -> String {
    let mut text = format!(
        "erased: {} gone, by {}, guarantee {}; learnt for {}\n",
        plural(count(erased, "samples"), "sample"),
        word(erased, "choice"),
        word(erased, "guarantee"),
        seconds(erased, "seconds"),
    );
    text += &energy(erased);
    for failure in list(erased, "failures") {
        text += &format!("on the way: {}\n", failure.as_str().unwrap_or_default());
    }
    text += &match erased["model"].as_str() {
        Some(model) => format!("model {} answers now\n", short(model)),
        None => "no model may answer now: install a base in a new home\n".into(),
    };
    text + &format!("receipt {}\n", count(erased, "receipt"))
}

pub(super) fn resumed(value: &Value) -> String {
    let mut text = String::new();
    if let Some(done) = value.get("adapted").filter(|done| !done.is_null()) {
        text += &adapted(done);
    }
    for erased in list(value, "erased") {
        text += &one(erased);
    }
    if text.is_empty() { "nothing was under way\n".into() } else { text }
}

pub(super) fn status(value: &Value) -> String {
    let base = &value["base"];
    let mut text = format!(
        "{}: device {}\nbase {} ({}{})\nanswers now: {}\nreceipts {}, signed by {}\nkeys: generation {}, evidence level {}\nput back as a whole, it is noticed by: {}{}\n",
        word(value, "home"),
        word(value, "device"),
        short(word(base, "id")),
        word(base, "provenance"),
        if base["sealed"] == true { ", sealed" } else { "" },
        value["served"].as_str().map_or("nobody".into(), short),
        count(value, "receipts"),
        word(value, "key"),
        count(value, "generation"),
        word(value, "evidence_level"),
        word(value, "rollback_cover"),
        value["witness"].as_str().map(|path| format!(" ({path})")).unwrap_or_default(),
    );
    if let Some(job) = value.get("under_way").filter(|job| !job.is_null()) {
        text += &match job["adaptation"] == true {
            true => "under way: an adaptation\n".into(),
            false => format!(
                "under way: {}, next to {}\n",
                plural(count(job, "requests"), "request to erase"),
                word(job, "next"),
            ),
        };
    }
    let mut models = Table::new(["model", "adaptations", "bytes", "guarantee", "answers"]);
    for model in list(value, "models") {
        models.row(vec![
            short(word(model, "id")),
            count(model, "steps").to_string(),
            Bytes(count(model, "bytes")).to_string(),
            word(model, "guarantee").into(),
            if model["served"] == true { "yes" } else { "" }.into(),
        ]);
    }
    if !list(value, "models").is_empty() {
        text += &format!("\n{models}");
    }
    let mut people = Table::new(["subject", "samples", "held out", "bytes"]);
    for person in list(value, "subjects") {
        people.row(vec![
            word(person, "name").into(),
            count(person, "samples").to_string(),
            count(person, "held_out").to_string(),
            Bytes(count(person, "bytes")).to_string(),
        ]);
    }
    match list(value, "subjects") {
        _ if value["subjects"].is_null() => {
            text + "\nwho is here can be said again when the run is over\n"
        }
        [] => text + "\nnobody was taken in yet\n",
        _ => text + &format!("\n{people}"),
    }
}

pub(super) fn collected(value: &Value) -> String {
    let mut table = Table::new(["what", "where", "bytes"]);
    for one in list(value, "kept") {
        let bytes = Bytes(count(one, "bytes")).to_string();
        table.row(vec![word(one, "what").into(), word(one, "place").into(), bytes]);
    }
    let removed = list(value, "removed").len() as u64;
    format!(
        "{} removed, {} given back\n\n{table}",
        plural(removed, "file"),
        Bytes(count(value, "freed"))
    )
}
