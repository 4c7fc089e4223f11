//! The difference as one page: how far each layer moved, what became of its mask, how far entries
//! moved.

use super::{Compared, Model, dimensions, entry, figure};
use crate::base::units::Bytes;
use crate::cli::report::{Cell, Decades, Fact, Page, Row, Rows, Table, number};
use crate::model::ParamKind;
use crate::model::diff::{self, Change, Difference, Magnitudes, Part, TensorDifference};

/// The most entries that the page lists, however many the text does.
const LISTED: usize = 50;

/// The page as HTML.
pub(super) fn html(compared: &Compared) -> String {
    let Compared { a, b, difference } = compared;
    let [left, right] = [a, b].map(|model| {
        let name = model.path.file_name().unwrap_or(model.path.as_os_str());
        name.to_string_lossy().into_owned()
    });
    let verdict = match (difference.same_file, difference.same_model) {
        (true, _) => "The two files are equal, byte by byte.",
        (_, true) => "The same model in other bytes: only spelling or signatures differ.",
        _ => {
            "Every difference is B minus A. “In both” are the entries that exist in A and in B; \
             “union” are those that exist in either, a missing one counting as 0, as it does to \
             the network."
        }
    };
    let page = Page::new(format!("What changed from {left} to {right}"))
        .lead(&format!("A is {}; B is {}. {verdict}", told(a), told(b)))
        .facts(&facts(difference))
        .section("Layer by layer")
        .rows(&distances(difference))
        .rows(&masks(difference))
        .section("Entry by entry")
        .decades(&magnitudes(difference))
        .table(&moved(difference))
        .section("Tensor by tensor")
        .table(&tensors(difference));
    let (version, [a, b]) = (env!("CARGO_PKG_VERSION"), [a, b].map(|model| model.artifact.id));
    words(page, difference).footer(&format!("unlearn {version}, A {a}, B {b}.")).html()
}

fn told(model: &Model) -> String {
    let name = &model.artifact.network.description.name;
    format!("{} ({name}, {})", model.path.display(), Bytes(model.artifact.bytes))
}

fn count(entries: u64) -> String {
    number(entries as f64, 0)
}

fn percent(share: f64) -> String {
    format!("{} %", number(100.0 * share, 2))
}

fn facts(difference: &Difference) -> Vec<Fact> {
    let all = difference.total(TensorDifference::is_parameter);
    let prunable = difference.total(TensorDifference::is_prunable);
    let relative = all.union.relative();
    vec![
        Fact::new(
            "Weights moved by",
            relative.map_or_else(|| "–".into(), percent),
            "l2 of B − A, of the l2 of A; all parameters, union",
        ),
        Fact::new(
            "Masks overlap",
            percent(prunable.jaccard()),
            format!(
                "of prunable entries in either; {} left, {} came",
                count(prunable.left),
                count(prunable.came)
            ),
        ),
        Fact::new(
            "Changed",
            count(all.changed()),
            format!("of {} in both", count(all.both.entries)),
        ),
        Fact::new("Cosine", figure(all.union.cosine()), "1: the same direction; union"),
    ]
}

/// The weight tensors that both models have, with what differs.
fn layers(difference: &Difference) -> impl Iterator<Item = (&str, &diff::Compared)> {
    let is_weight = |tensor: &&TensorDifference| {
        matches!(tensor.part, Part::Parameter { kind: ParamKind::Weight, .. })
    };
    let weights = difference.tensors.iter().filter(is_weight);
    weights.filter_map(|tensor| Some((tensor.name.as_str(), tensor.compared.as_ref()?)))
}

fn distances(difference: &Difference) -> Rows {
    let row = |(name, compared): (&str, &diff::Compared)| {
        let relative = compared.union.relative();
        let parts = relative.map(|relative| 100.0 * relative).into_iter().collect();
        Row { name: name.into(), parts, said: relative.map_or_else(|| "–".into(), percent) }
    };
    Rows {
        title: "How far each layer moved".into(),
        note: "Length of B − A over length of A (l2), union. Weights of convolutions and linear \
               layers."
            .into(),
        axis: "relative distance, % of the length of A".into(),
        parts: Vec::new(),
        rows: layers(difference).map(row).collect(),
    }
}

fn masks(difference: &Difference) -> Rows {
    let row = |(name, compared): (&str, &diff::Compared)| {
        let share = |entries: u64| 100.0 * entries as f64 / compared.union.entries.max(1) as f64;
        let parts = vec![share(compared.both.entries), share(compared.left), share(compared.came)];
        Row { name: name.into(), parts, said: mask(compared) }
    };
    Rows {
        title: "What became of the masks".into(),
        note: "Entries that exist in A or in B. At the right: how many left (−) and came (+)."
            .into(),
        axis: "share of the entries that exist in either, %".into(),
        parts: ["in both", "left: only in A", "came: only in B"].map(String::from).to_vec(),
        rows: layers(difference).map(row).collect(),
    }
}

/// How a mask changed, in a word: `−39 +2`.
fn mask(compared: &diff::Compared) -> String {
    match (compared.left, compared.came) {
        (0, 0) => "the same".into(),
        (left, came) => format!("−{} +{}", count(left), count(came)),
    }
}

/// A number with a true minus sign.
fn signed(number: String) -> Cell {
    number.replace('-', "−").into()
}

fn magnitudes(difference: &Difference) -> Decades {
    let Magnitudes { changed, left, came } = &difference.magnitudes;
    let mut groups = vec![("in both, |b − a|".to_string(), changed.clone())];
    for (name, counts) in [("left, |a|", left), ("came, |b|", came)] {
        if counts.iter().any(|&count| count > 0) {
            groups.push((name.into(), counts.clone()));
        }
    }
    Decades {
        title: "How far entries moved".into(),
        note: "Entries of all parameters whose difference is not 0; five bins to a power of ten."
            .into(),
        x: "|difference|, in units of the weight, logarithmic".into(),
        y: "entries in a bin".into(),
        first: Magnitudes::FIRST,
        bins: Magnitudes::BINS as usize,
        groups,
    }
}

fn moved(difference: &Difference) -> Table {
    let row = |moved: &diff::Moved| {
        let by = figure(Some(moved.by()));
        let figures = [entry(moved.a), entry(moved.b), by].map(signed);
        std::iter::once(difference.name_of(moved).into()).chain(figures).collect()
    };
    Table {
        title: "The entries that moved most".into(),
        note: "All parameters. – means that the entry does not exist, and counts as 0.".into(),
        columns: ["entry", "A", "B", "B − A"].map(String::from).to_vec(),
        rows: difference.moved.iter().take(LISTED).map(row).collect(),
    }
}

fn tensors(difference: &Difference) -> Table {
    let row = |tensor: &TensorDifference| {
        let form = tensor.a.as_ref().or(tensor.b.as_ref());
        let shape = form.map_or_else(String::new, |form| dimensions(&form.shape));
        let figures = match &tensor.compared {
            Some(found) => [
                count(found.both.entries),
                mask(found),
                count(found.changed()),
                figure(Some(found.union.l2())),
                figure(found.union.relative()),
                figure(found.union.cosine()),
            ],
            None => {
                let why = match (&tensor.a, &tensor.b) {
                    (Some(_), None) => "only in A",
                    (None, _) => "only in B",
                    _ => "other shape",
                };
                [why, "–", "–", "–", "–", "–"].map(String::from)
            }
        };
        let named = [tensor.name.clone(), shape].map(Cell::from);
        named.into_iter().chain(figures.map(signed)).collect()
    };
    Table {
        title: "Every tensor".into(),
        note: "Distances over the union. l2 is the length of B − A, relative is to that of A."
            .into(),
        columns: ["tensor", "shape", "in both", "mask", "changed", "l2", "relative", "cosine"]
            .map(String::from)
            .to_vec(),
        rows: difference.tensors.iter().map(row).collect(),
    }
}

/// What differs in words: description, classes, features and facts.
fn words(page: Page, difference: &Difference) -> Page {
    let description = &difference.description;
    let classes = &difference.classes;
    let renamed = classes.renamed.iter().map(|(a, b)| format!("{a} → {b}"));
    let moved = classes.moved.iter().map(|(name, a, b)| format!("{name}: {a} → {b}"));
    let mut terms: Vec<(String, String)> = Vec::new();
    for (term, names) in [
        ("operations only in A", description.only_a.clone()),
        ("operations only in B", description.only_b.clone()),
        ("operations that differ", description.changed.clone()),
        ("classes only in A", classes.gone.clone()),
        ("classes only in B", classes.added.clone()),
        ("classes renamed", renamed.collect()),
        ("classes under another label", moved.collect()),
        ("other sections that differ", difference.sections.clone()),
    ] {
        if !names.is_empty() {
            terms.push((term.into(), names.join(", ")));
        }
    }
    let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".into());
    for (word, list) in [("feature", &difference.features), ("fact", &difference.facts)] {
        let change = |Change { key, a, b }: &Change| {
            (format!("{word} {key}"), format!("{} → {}", told(a), told(b)))
        };
        terms.extend(list.iter().map(change));
    }
    match terms.is_empty() {
        true => page,
        false => page
            .section("In words")
            .terms(terms.iter().map(|(term, meaning)| (term.as_str(), meaning.as_str()))),
    }
}
