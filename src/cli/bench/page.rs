//! The page of `bench all`.

use serde_json::Value;

use super::super::report::{Bar, BarSeries, Bars, Fact, Look, Page, Table};
use super::all::SPARSITIES;
use super::figures::{Figure, figures, machine, of, rows, voids};
use crate::cli::report::Cell;

/// The page as HTML.
pub(super) fn html(value: &Value) -> String {
    let all = figures(value);
    let board = &value["board"];
    let name = board["name"].as_str().unwrap_or("a machine");
    let lead = "Every row is one command, run as a process of its own, on samples that nobody took. Medians; what was not measured is not here.";
    let mut page = Page::new(format!("unlearn on {name}")).lead(lead).facts(&facts(value));
    let voids = voids(value);
    if !voids.is_empty() {
        page = page.text(voids.trim_end());
    }
    let step = bars(&all, "step", "One step of l1-sparse unlearning", "milliseconds a step", 1e3);
    let prediction = bars(&all, "prediction", "One prediction", "milliseconds a sample", 1e3);
    let memory = bars(&all, "step, memory", "Memory of a step, as planned", "megabytes", 1e-6);
    let page = page
        .section("Learning")
        .bars(&step)
        .bars(&memory)
        .section("Answering")
        .bars(&prediction)
        .section("A person leaves")
        .table(&erasing(value))
        .section("All figures")
        .table(&table(&all));
    let commands = rows(value).iter().filter_map(|row| row["words"].as_str());
    let commands: Vec<String> = commands.map(|words| format!("unlearn {words}")).collect();
    page.section("Commands").code(&commands.join("\n")).footer(machine(value).trim_end()).html()
}

fn facts(value: &Value) -> Vec<Fact> {
    let board = &value["board"];
    let text = |value: &Value| value.as_str().unwrap_or("not known").to_string();
    let results = || rows(value).iter().map(|row| &row["result"]["machine"]);
    let hottest = results().filter_map(|machine| machine["hottest_celsius"].as_f64());
    let hottest = hottest.fold(f64::NEG_INFINITY, f64::max);
    let joules: Option<f64> = results().map(|machine| machine["joules"].as_f64()).sum();
    let covers = results().find_map(|machine| machine["energy_covers"].as_str());
    vec![
        Fact::new("Board", text(&board["slug"]), format!("tier {}", text(&board["tier"]))),
        Fact::new("Power mode", text(&board["power"]["mode"]), "as the machine names it"),
        Fact::new(
            "CPU",
            text(&board["cpu"]["isa"]),
            format!("{} threads, governor {}", value["threads"], text(&board["cpu"]["governor"])),
        ),
        match hottest.is_finite() {
            true => Fact::new("Hottest", format!("{hottest:.1} °C"), "any zone, any row"),
            false => Fact::new("Hottest", "not measured", ""),
        },
        match (joules, covers) {
            (Some(joules), Some(covers)) => Fact::new(
                "Energy",
                format!("{joules:.0} J"),
                format!("{covers}, all rows, idling included"),
            ),
            _ => Fact::new("Energy", "not measured", "no sensor of power answered throughout"),
        },
    ]
}

/// Bars of one figure: a group a network, a bar a sparsity.
fn bars(all: &[Figure], name: &str, title: &str, axis: &str, scale: f64) -> Bars {
    let of_name = || all.iter().filter(|figure| figure.name == name);
    let network =
        |figure: &Figure| of(&figure.words).split(", sparsity").next().unwrap_or("").to_string();
    let mut groups: Vec<String> = Vec::new();
    for figure in of_name() {
        if !groups.contains(&network(figure)) {
            groups.push(network(figure));
        }
    }
    let series = SPARSITIES.map(|sparsity| {
        let ends = format!("sparsity {sparsity}");
        let of_group = |group: &String| {
            let mut figures = of_name();
            let figure = figures.find(|f| network(f) == *group && of(&f.words).ends_with(&ends))?;
            (!figure.void).then_some(Bar { value: figure.value * scale, interval: None })
        };
        BarSeries { name: ends.clone(), bars: groups.iter().map(of_group).collect() }
    });
    let note =
        "sparsity of the prunable weights, the same in every layer; a void row has no bar".into();
    Bars { title: title.into(), note, axis: axis.into(), groups, series: series.to_vec() }
}

fn erasing(value: &Value) -> Table {
    let mut table = Table {
        title: "One of four people of the made population leaves".into(),
        note: "audit-first; seconds from the request to the receipt. UA, MIA-efficacy of the samples of the one who left, RA of the others', TA of the others' test samples, in percent.".into(),
        columns: ["way", "guarantee", "UA", "RA", "TA", "MIA-efficacy", "seconds"].map(String::from).to_vec(),
        rows: Vec::new(),
    };
    let is_erase = |row: &&Value| row["result"]["command"] == "bench erase";
    let ways =
        rows(value).iter().filter(is_erase).filter_map(|row| row["result"]["rows"].as_array());
    for way in ways.flatten() {
        let metric = |name: &str| {
            way["report"][name]["value"].as_f64().map_or("–".into(), |v| format!("{v:.1}"))
        };
        let seconds = way["whole_seconds"].as_f64().filter(|_| way["erased"].is_object());
        table.rows.push(vec![
            way["way"].as_str().unwrap_or_default().into(),
            way["erased"]["guarantee"].as_str().unwrap_or("–").into(),
            metric("ua").into(),
            metric("ra").into(),
            metric("ta").into(),
            metric("mia_efficacy").into(),
            seconds.map_or("–".into(), |s| format!("{s:.2}")).into(),
        ]);
    }
    table
}

fn table(all: &[Figure]) -> Table {
    let row = |figure: &Figure| {
        let void = if figure.void { Cell::new("void", Look::Bad) } else { "".into() };
        vec![figure.name.clone().into(), of(&figure.words).into(), figure.told().into(), void]
    };
    Table {
        title: "Medians".into(),
        note: "prediction, 99 %: of 200 calls".into(),
        columns: ["what", "of", "figure", ""].map(String::from).to_vec(),
        rows: all.iter().map(row).collect(),
    }
}
