//! Small pictures in rows and columns.

use std::fmt::Write as _;

use super::picture::Picture;
use super::text::escape;

/// Pictures in a grid: a row a person, say, and a column a class.
#[derive(Clone, Debug, Default)]
pub struct Gallery {
    /// What the pictures are.
    pub title: String,
    /// Whose they are, how they were chosen; may be empty.
    pub note: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<GalleryRow>,
}

/// One row of a gallery.
#[derive(Clone, Debug, Default)]
pub struct GalleryRow {
    /// Its name.
    pub name: String,
    /// Whether it is the one to look at.
    pub marked: bool,
    /// Its pictures, one a column. The caption is what is read to those who cannot see it.
    pub pictures: Vec<Picture>,
}

impl Gallery {
    pub(super) fn html(&self) -> String {
        let mut html = String::from("<table class=\"gallery\"><thead><tr><td></td>");
        for column in &self.columns {
            let _ = write!(html, "<th scope=\"col\">{}</th>", escape(column));
        }
        html.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            let class = if row.marked { " class=\"mark\"" } else { "" };
            let _ = write!(html, "<tr{class}><th scope=\"row\">{}</th>", escape(&row.name));
            for picture in &row.pictures {
                let said = escape(&picture.caption);
                let (source, [_, height, width]) = (picture.source(), picture.shape);
                let _ = write!(
                    html,
                    "<td><img alt=\"{said}\" width=\"{width}\" height=\"{height}\" \
                     src=\"{source}\"></td>"
                );
            }
            html.push_str("</tr>\n");
        }
        html + "</tbody></table>"
    }
}
