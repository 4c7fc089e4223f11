//! The page: plain data in, one self-contained HTML file out.
//!
//! No script, no font, no picture from elsewhere: the file can be mailed, archived and printed,
//! and opening it tells nobody. Plots are inline SVG, pictures are PNG inside the file. Light and
//! dark follow the reader's setting. Series are told apart by the palette of Okabe and Ito (2008),
//! which colour-blind readers can tell apart, and lines by dashes besides. All text is escaped.
//!
//! Knows no network and no measurement: whoever calls hands in words and numbers.

mod bars;
mod decades;
mod gallery;
mod histogram;
mod layers;
mod lines;
mod picture;
mod plot;
mod radar;
mod rows;
mod scatter;
mod sketches;
mod text;

use std::fmt::Write as _;

pub use bars::{Bar, BarSeries, Bars};
pub use decades::Decades;
pub use gallery::{Gallery, GalleryRow};
pub use histogram::{Group, Histogram};
pub use layers::{Layer, Layers};
pub use lines::{Line, Lines};
pub use picture::{Picture, Pictures};
pub use radar::{Radar, Radars};
pub use rows::{Row, Rows};
pub use scatter::{Across, Cloud, Scatter};
pub use sketches::{Sketch, SketchRow, Sketches};
use text::escape;
pub use text::number;

/// A page that is being written, from top to bottom.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
}

/// One figure that the reader should see first.
#[derive(Clone, Debug)]
pub struct Fact {
    /// What it is.
    pub label: String,
    /// The figure, with its unit.
    pub value: String,
    /// A few words on how it came about; may be empty.
    pub note: String,
}

impl Fact {
    /// A fact out of its three parts.
    pub fn new(
        label: impl Into<String>,
        value: impl Into<String>,
        note: impl Into<String>,
    ) -> Self {
        Self { label: label.into(), value: value.into(), note: note.into() }
    }
}

/// A table. The first column is text, the others stand to the right.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What the table tells.
    pub title: String,
    /// Units, sets, sizes; may be empty.
    pub note: String,
    /// Column heads.
    pub columns: Vec<String>,
    /// Rows of cells, as many as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// How it stands out.
    pub look: Look,
}

/// How a cell stands out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    /// Not at all.
    #[default]
    Plain,
    /// Bold.
    Strong,
    /// As a good value.
    Good,
    /// As a bad value.
    Bad,
    /// As one to look at, without judgement.
    Mark,
}

impl Cell {
    /// A cell that stands out as `look` says.
    pub fn new(text: impl Into<String>, look: Look) -> Self {
        Self { text: text.into(), look }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Look::Plain)
    }
}

impl Page {
    /// An empty page with a title.
    pub fn new(title: impl Into<String>) -> Self {
        let title = title.into();
        let body = format!("<h1>{}</h1>\n", escape(&title));
        Self { title, body }
    }

    /// The paragraph under the title: what was done and what came out.
    pub fn lead(self, text: &str) -> Self {
        self.add(&format!("<p class=\"lead\">{}</p>", escape(text)))
    }

    /// A heading.
    pub fn section(self, heading: &str) -> Self {
        self.add(&format!("<h2>{}</h2>", escape(heading)))
    }

    /// A paragraph.
    pub fn text(self, text: &str) -> Self {
        self.add(&format!("<p>{}</p>", escape(text)))
    }

    /// Words for a terminal, as they are typed.
    pub fn code(self, text: &str) -> Self {
        self.add(&format!("<pre class=\"card\">{}</pre>", escape(text)))
    }

    /// Terms, each with what it means.
    pub fn terms<'t>(self, terms: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let mut html = String::from("<dl class=\"terms\">");
        for (term, meaning) in terms {
            let (term, meaning) = (escape(term), escape(meaning));
            let _ = write!(html, "<dt>{term}</dt><dd>{meaning}</dd>");
        }
        self.add(&(html + "</dl>"))
    }

    /// Key facts, side by side.
    pub fn facts(self, facts: &[Fact]) -> Self {
        let mut html = String::from("<dl class=\"facts\">");
        for Fact { label, value, note } in facts {
            let (label, value) = (escape(label), escape(value));
            let _ = write!(html, "<div><dt>{label}</dt><dd>{value}</dd>");
            if !note.is_empty() {
                let _ = write!(html, "<dd>{}</dd>", escape(note));
            }
            html.push_str("</div>");
        }
        self.add(&(html + "</dl>"))
    }

    /// A table.
    pub fn table(self, table: &Table) -> Self {
        let mut html = String::from("<table><thead><tr>");
        for column in &table.columns {
            let _ = write!(html, "<th scope=\"col\">{}</th>", escape(column));
        }
        html.push_str("</tr></thead><tbody>");
        for row in &table.rows {
            html.push_str("<tr>");
            row.iter().for_each(|cell| html.push_str(&cell.html()));
            html.push_str("</tr>\n");
        }
        self.figure(&table.title, &table.note, &(html + "</tbody></table>"))
    }

    /// A chart of grouped bars with whiskers.
    pub fn bars(self, bars: &Bars) -> Self {
        self.figure(&bars.title, &bars.note, &bars.html())
    }

    /// A chart of lines.
    pub fn lines(self, lines: &Lines) -> Self {
        self.figure(&lines.title, &lines.note, &lines.html())
    }

    /// Points of some series, with their middles.
    pub fn scatter(self, scatter: &Scatter) -> Self {
        self.figure(&scatter.title, &scatter.note, &scatter.html())
    }

    /// Radar charts side by side.
    pub fn radars(self, radars: &Radars) -> Self {
        self.figure(&radars.title, &radars.note, &radars.html())
    }

    /// Distributions of some groups over one another.
    pub fn histogram(self, histogram: &Histogram) -> Self {
        self.figure(&histogram.title, &histogram.note, &histogram.html())
    }

    /// How much of each layer is left.
    pub fn layers(self, layers: &Layers) -> Self {
        self.figure(&layers.title, &layers.note, &layers.html())
    }

    /// Rows of stacked bars.
    pub fn rows(self, rows: &Rows) -> Self {
        self.figure(&rows.title, &rows.note, &rows.html())
    }

    /// Counts over powers of ten.
    pub fn decades(self, decades: &Decades) -> Self {
        self.figure(&decades.title, &decades.note, &decades.html())
    }

    /// A strip of small pictures.
    pub fn pictures(self, pictures: &Pictures) -> Self {
        self.figure(&pictures.title, &pictures.note, &pictures.html())
    }

    /// Small pictures in rows and columns.
    pub fn gallery(self, gallery: &Gallery) -> Self {
        self.figure(&gallery.title, &gallery.note, &gallery.html())
    }

    /// Small curves in rows and columns.
    pub fn sketches(self, sketches: &Sketches) -> Self {
        self.figure(&sketches.title, &sketches.note, &sketches.html())
    }

    /// The last line of the page: version, seed, digest of what was measured.
    pub fn footer(self, text: &str) -> Self {
        self.add(&format!("<footer>{}</footer>", escape(text)))
    }

    /// The whole file. Equal pages give equal bytes.
    pub fn html(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             img-src data:; style-src 'unsafe-inline'\">\n\
             <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{}</main>\n\
             </body>\n</html>\n",
            escape(&self.title),
            include_str!("report/style.css"),
            self.body
        )
    }

    fn add(mut self, html: &str) -> Self {
        self.body.push_str(html);
        self.body.push('\n');
        self
    }

    fn figure(self, title: &str, note: &str, inside: &str) -> Self {
        let (title, note) = (escape(title), escape(note));
        self.add(&format!(
            "<figure><figcaption><b>{title}</b><span>{note}</span></figcaption>\
             <div class=\"card\">{inside}</div></figure>"
        ))
    }
}

impl Cell {
    fn html(&self) -> String {
        let class = match self.look {
            Look::Plain => "",
            Look::Strong => " class=\"strong\"",
            Look::Good => " class=\"good\"",
            Look::Bad => " class=\"bad\"",
            Look::Mark => " class=\"mark\"",
        };
        format!("<td{class}>{}</td>", escape(&self.text))
    }
}

#[cfg(test)]
mod tests;
