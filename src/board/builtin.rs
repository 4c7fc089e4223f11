//! The profiles that come with the program: the files of `boards/`, compiled in.

/// Slug and text of the profile in a folder of `boards/`.
macro_rules! board {
    ($slug:literal) => {
        ($slug, include_str!(concat!("../../boards/", $slug, "/board.toml")))
    };
}

/// Slug and text of each, in alphabetical order.
const BUILTIN: [(&str, &str); 18] = [
    board!("generic-aarch64"),
    board!("generic-x86-64"),
    board!("jetson-agx-orin-32gb"),
    board!("jetson-agx-orin-64gb"),
    board!("jetson-agx-orin-devkit"),
    board!("jetson-agx-xavier"),
    board!("jetson-nano"),
    board!("jetson-nano-2gb"),
    board!("jetson-orin-nano-4gb"),
    board!("jetson-orin-nano-8gb"),
    board!("jetson-orin-nx-16gb"),
    board!("jetson-orin-nx-8gb"),
    board!("jetson-t4000"),
    board!("jetson-t5000"),
    board!("jetson-tx2"),
    board!("jetson-tx2-4gb"),
    board!("jetson-xavier-nx"),
    board!("sim"),
];

/// The text of the profile called `slug`; `None` if the program brings no such one.
pub fn builtin(slug: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|(known, _)| *known == slug).map(|(_, text)| *text)
}

/// The slugs that [`builtin`] knows, in alphabetical order.
pub fn builtin_slugs() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(slug, _)| *slug)
}
