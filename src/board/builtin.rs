//! The profiles that come with the program: the files of `boards/`, compiled in.

/// Slug and text of each, in alphabetical order.
const BUILTIN: [(&str, &str); 3] = [
    ("generic-aarch64", include_str!("../../boards/generic-aarch64/board.toml")),
    ("generic-x86-64", include_str!("../../boards/generic-x86-64/board.toml")),
    ("sim", include_str!("../../boards/sim/board.toml")),
];

/// The text of the profile called `slug`; `None` if the program brings no such one.
pub fn builtin(slug: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|(known, _)| *known == slug).map(|(_, text)| *text)
}

/// The slugs that [`builtin`] knows, in alphabetical order.
pub fn builtin_slugs() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(slug, _)| *slug)
}
