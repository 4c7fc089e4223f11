//! All results together: the figures of each attack on each network.

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::setting::{self, Out};
use super::super::table::Table;
use super::record::{Answers, Files, Record, bools};
use super::settings::{Attacks, TRAINED};
use super::work::Work;
use crate::evaluate::Metric;
use crate::evaluate::per_example::{Figure, Figures, Threshold, Trials, judge};

/// Reads every result, and tells the figures.
///
/// # Errors
/// [`Fault::CheckFailed`] if some are missing, or were computed in different ways.
pub(super) fn run(work: &Work, files: &Files, out: &Out) -> Result<(), Fault> {
    let records = gather(work, files)?;
    let mut table = Table::new([
        "network",
        "attack",
        "AUC",
        "right %",
        "TPR % at FPR 1 %",
        "at 0.1 %",
        "most exposed %",
        "members right %",
        "others right %",
        "test %",
    ]);
    let mut networks = Vec::new();
    // Before forgetting first, then the methods by name.
    let methods = work.settings.methods.keys().map(String::as_str);
    for name in std::iter::once(TRAINED).chain(methods) {
        let of: Vec<&Answers> = records.iter().filter_map(|r| r.answers.get(name)).collect();
        let members: Vec<bool> = records.iter().flat_map(|r| bools(&r.members)).collect();
        let right = Right::of(&of, &members);
        let attacks = attacked(&of, &members, &work.settings.attack, work.settings.seed)?;
        for (attack, figures) in &attacks {
            table.row(row(name, attack, figures, &right));
        }
        let mut told = serde_json::Map::new();
        for (attack, mut figures) in attacks {
            // By their number in the training set, not among those that were asked about.
            figures.most_exposed.iter_mut().for_each(|e| e.sample = work.audited[e.sample]);
            told.insert(attack.into(), json!(figures));
        }
        networks.push(json!({
            "network": name, "method": work.settings.methods.get(name).map(setting::plain),
            "attacks": told, "members_accuracy": right.members,
            "others_accuracy": right.others, "population_accuracy": right.population,
        }));
    }
    let plan = records.first().map_or("", |record| &record.plan);
    out.result(&text(work, &table), &value(work, plan, &networks))
}

/// All results, or what is wrong with them.
fn gather(work: &Work, files: &Files) -> Result<Vec<Record>, Fault> {
    let models = work.settings.shadow_models;
    let (mut records, mut missing) = (Vec::new(), Vec::new());
    for model in 0..models {
        match files.read(model, work)? {
            Some(record) => records.push(record),
            None => missing.push(model.to_string()),
        }
    }
    if !missing.is_empty() {
        return Err(Fault::CheckFailed(format!(
            "{} of {models} shadow models are missing in {}: {}; run their jobs again, number K is of job K mod N + 1",
            missing.len(),
            files.folder.display(),
            missing.join(", ")
        )));
    }
    let first = &records[0].plan;
    match records.iter().find(|record| record.plan != *first) {
        None => Ok(records),
        Some(other) => Err(Fault::CheckFailed(format!(
            "shadow model 0 was computed on {first}, {} on {}: their rounding differs; set `plan` in the settings, or give every job the same --device, and run the jobs again in another folder",
            other.shadow, other.plan
        ))),
    }
}

/// The attacks with their figures.
fn attacked(
    answers: &[&Answers],
    members: &[bool],
    attack: &Attacks,
    seed: u64,
) -> Result<Vec<(&'static str, Figures)>, Fault> {
    let models = answers.len();
    // A softmax in `f32` may round to a little above 1.
    let share = |&p: &f32| f64::from(p).min(1.0);
    let trials = Trials::new(
        models,
        answers.iter().flat_map(|a| &a.logits).copied().collect(),
        answers.iter().flat_map(|a| &a.confidences).map(share).collect(),
        members.to_vec(),
        answers.iter().flat_map(|a| &a.population).map(share).collect(),
    )?;
    let lira = trials.lira(attack.spread)?;
    let rmia = trials.rmia(attack.rmia)?;
    let lira = judge(models, &lira, members, Threshold::Fixed(0.0), seed)?;
    let rmia = judge(models, &rmia, members, Threshold::Learnt, seed)?;
    Ok(vec![("u-lira", lira), ("rmia", rmia)])
}

/// How often the networks answer rightly, over all of them.
struct Right {
    /// Audited samples that a network had learnt.
    members: Metric,
    /// Audited samples that it had not.
    others: Metric,
    population: Metric,
}

impl Right {
    fn of(answers: &[&Answers], members: &[bool]) -> Self {
        let right: Vec<bool> = answers.iter().flat_map(|a| bools(&a.right)).collect();
        let of = |member: bool| {
            let asked = right.iter().zip(members).filter(|(_, m)| **m == member);
            let hits = asked.clone().filter(|(right, _)| **right).count();
            (hits, asked.count())
        };
        let population: Vec<bool> =
            answers.iter().flat_map(|a| bools(&a.population_right)).collect();
        let hits = population.iter().filter(|&&right| right).count();
        let share = |(hits, samples): (usize, usize), of: &str, what: &str| {
            // One network's answers to a sample are not independent of another's.
            Metric { interval95: None, ..Metric::share(hits, samples, of, what) }
        };
        let audited = "share that is answered rightly, over all shadow models";
        Self {
            members: share(of(true), "audited and learnt", audited),
            others: share(of(false), "audited and not learnt", audited),
            population: share((hits, population.len()), "population", audited),
        }
    }
}

fn row(network: &str, attack: &str, figures: &Figures, right: &Right) -> Vec<String> {
    let percent = |figure: &Figure| {
        let [low, high] = figure.interval95.map(|end| 100.0 * end);
        format!("{:.1} ({low:.1}-{high:.1})", 100.0 * figure.value)
    };
    let rate = |figure: &Option<Figure>| figure.as_ref().map_or("-".into(), percent);
    let [low, high] = figures.auc.interval95;
    let accuracy = |metric: &Metric| format!("{:.1}", metric.value);
    vec![
        network.into(),
        attack.into(),
        format!("{:.3} ({low:.3}-{high:.3})", figures.auc.value),
        percent(&figures.balanced_accuracy),
        rate(&figures.tpr_at_1_percent),
        rate(&figures.tpr_at_01_percent),
        format!("{:.0}", 100.0 * figures.right_quartiles[4]),
        accuracy(&right.members),
        accuracy(&right.others),
        accuracy(&right.population),
    ]
}

fn text(work: &Work, table: &Table) -> String {
    let settings = &work.settings;
    format!(
        "{} on {}, {} shadow models, {} samples asked about, a population of {} (seed {})\n\n{table}\
         A member is a sample that a network learnt, and then forgot by the method. A coin has AUC 0.5 and is\n\
         right on 50 %; in brackets the 95 % interval over the choice of samples. -: a target has fewer than 100\n\
         (1 %) or 1,000 (0.1 %) non-members. Most exposed: targets told rightly, of the sample told best.\n",
        settings.model,
        settings.data,
        settings.shadow_models,
        work.audited.len(),
        work.population.len(),
        settings.seed,
    )
}

fn value(work: &Work, plan: &str, networks: &[Value]) -> Value {
    json!({
        "command": "shadow", "settings": setting::plain(&work.settings),
        "settings_digest": work.digest.to_string(), "plan": plan,
        "shadow_models": work.settings.shadow_models, "audited_samples": work.audited.len(),
        "population_samples": work.population.len(), "networks": networks,
    })
}
