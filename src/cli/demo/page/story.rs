//! One story on the page: what was measured, and what it says.

use super::super::super::report::{
    Bar, BarSeries, Bars, Cell, Group, Histogram, Line, Lines, Look, Page, Table, number,
};
use super::super::Chapter;
use super::words::{Reading, figures};
use crate::base::units::{Bytes, Seconds};

/// Adds the story to the page.
pub(super) fn section(page: Page, heading: &str, what: &str, chapter: &Chapter) -> Page {
    let read = Reading::new(chapter);
    let mut page = page
        .section(heading)
        .text(what)
        .table(&table(chapter, &read))
        .text(&read.verdict())
        .text(&format!(
            "How to read it: none of the four figures is better when higher. A model that truly \
             forgot {} behaves as {} does, which was trained without {}; a higher UA or MIA than \
             that would only make {} stand out in another way. The average gap is the mean \
             distance to it over the four figures, in percentage points.",
            chapter.who,
            read.yardstick(),
            chapter.who,
            chapter.who
        ))
        .bars(&bars(chapter));
    if let Some(nearest) = read.nearest() {
        page = page.histogram(&confidences(chapter, nearest));
    }
    page.lines(&learning(chapter))
}

/// A model's name with its part in the story.
fn role(chapter: &Chapter, row: usize) -> String {
    let name = &chapter.rows[row].name;
    match row {
        _ if row + 1 == chapter.rows.len() => format!("{name} (the yardstick)"),
        _ if row < chapter.before => format!("{name} (never saw {})", chapter.who),
        _ if row == chapter.before => format!("{name} (still knows {})", chapter.who),
        _ => name.clone(),
    }
}

fn table(chapter: &Chapter, read: &Reading) -> Table {
    let nearest = read.nearest();
    let rows = chapter.rows.iter().enumerate().map(|(at, row)| {
        let yardstick = at + 1 == chapter.rows.len();
        let look = if yardstick { Look::Mark } else { Look::Plain };
        let report = &row.judged.measured.report;
        let percent = figures(report)
            .map(|metric| metric.map_or("–".into(), |metric| number(metric.value, 1)));
        let gap = if Some(at) == nearest { Look::Good } else { look };
        let seconds = read.seconds(at).map_or("–".into(), |s| Seconds(s).to_string());
        let mut cells = vec![Cell::new(role(chapter, at), look)];
        cells.extend(percent.map(|text| Cell::new(text, look)));
        cells.push(Cell::new(read.points(at), gap));
        cells.push(Cell::new(seconds, look));
        cells.push(Cell::new(Bytes(row.judged.bytes).to_string(), look));
        cells
    });
    let [forget, retain, test] = chapter.sizes;
    Table {
        title: format!("What is left of {}", chapter.who),
        note: format!(
            "{forget} samples to forget, {retain} kept, {test} to test on. Green: the smallest gap \
             of those that forget. Yellow: the model to compare with."
        ),
        columns: ["", "UA %", "RA %", "TA %", "MIA %", "gap", "time", "file"]
            .map(String::from)
            .to_vec(),
        rows: rows.collect(),
    }
}

fn bars(chapter: &Chapter) -> Bars {
    let series = chapter.rows.iter().map(|row| BarSeries {
        name: row.name.clone(),
        bars: figures(&row.judged.measured.report)
            .map(|metric| {
                metric.map(|metric| Bar { value: metric.value, interval: metric.interval95 })
            })
            .to_vec(),
    });
    Bars {
        title: "The same figures with their 95 % intervals".into(),
        note: "The last bar of each group is the yardstick. Whiskers: Wilson’s interval over the \
               choice of samples; another seed of training moves a figure, too."
            .into(),
        axis: "percent".into(),
        groups: ["UA, forgotten samples", "RA, kept samples", "TA, test set", "MIA-efficacy"]
            .map(String::from)
            .to_vec(),
        series: series.collect(),
    }
}

/// How sure the models are of the forgotten samples.
fn confidences(chapter: &Chapter, nearest: usize) -> Histogram {
    let group = |when: &str, row: usize| Group {
        name: format!("{when}: {}", chapter.rows[row].name),
        values: chapter.rows[row].judged.measured.forget_confidences.clone(),
    };
    Histogram {
        title: format!("How sure the models are of what {} wrote", chapter.who),
        note: format!(
            "Probability of the true sign, over the samples to forget. A model that knows {} is sure \
             of nearly all; one that never did has a tail to the left. After forgetting, the shape \
             should be that of the yardstick.",
            chapter.who
        ),
        x: "probability of the true sign".into(),
        range: [0.0, 1.0],
        bins: 10,
        groups: vec![
            group("before", chapter.before),
            group("after", nearest),
            group("yardstick", chapter.rows.len() - 1),
        ],
    }
}

/// Training loss over the epochs of every model that learnt here.
fn learning(chapter: &Chapter) -> Lines {
    let learnt = chapter.rows.iter().zip(&chapter.learnt).filter(|(_, epochs)| !epochs.is_empty());
    let series = learnt.map(|(row, epochs)| Line {
        name: row.name.clone(),
        points: epochs.iter().map(|report| (report.epoch as f64, report.loss)).collect(),
    });
    Lines {
        title: "Learning, epoch by epoch".into(),
        note: "Mean cross-entropy on what the model is trained on, without the l1 term.".into(),
        x: "epoch".into(),
        y: "loss, nats".into(),
        series: series.collect(),
    }
}
