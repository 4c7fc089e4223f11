//! The descriptions that come with the program: the files of `models/`, compiled in.

/// Name and text of each, in alphabetical order.
const BUILTIN: [(&str, &str); 6] = [
    ("cnn16", include_str!("../../models/cnn16.toml")),
    ("cnn28", include_str!("../../models/cnn28.toml")),
    ("mlp", include_str!("../../models/mlp.toml")),
    ("resnet18", include_str!("../../models/resnet18.toml")),
    ("resnet20", include_str!("../../models/resnet20.toml")),
    ("vgg16-bn", include_str!("../../models/vgg16-bn.toml")),
];

/// The text of the description called `name`; `None` if the program brings no such one.
pub fn builtin(name: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The names that [`builtin`] knows, in alphabetical order.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(name, _)| *name)
}
