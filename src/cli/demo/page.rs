//! The page that shows the two stories.

use super::super::fault::Fault;
use super::super::report::Page;
use super::Chapter;
use super::cast::Cast;

/// The page as HTML.
pub(super) fn write(
    _cast: &Cast,
    _first: &Chapter,
    _second: &Chapter,
    _seconds: f64,
) -> Result<String, Fault> {
    Ok(Page::new("unlearn").html())
}
