//! The descriptions that come with the program: the files of `models/`, compiled in.

/// Name and text of each, in alphabetical order.
const BUILTIN: [(&str, &str); 19] = [
    ("cnn16", include_str!("../../models/cnn16.toml")),
    ("cnn28", include_str!("../../models/cnn28.toml")),
    ("har-cnn", include_str!("../../models/har-cnn.toml")),
    ("intent-mlp", include_str!("../../models/intent-mlp.toml")),
    ("kws-cnn", include_str!("../../models/kws-cnn.toml")),
    ("kws-dscnn", include_str!("../../models/kws-dscnn.toml")),
    ("mlp", include_str!("../../models/mlp.toml")),
    ("resnet18", include_str!("../../models/resnet18.toml")),
    ("resnet18-imagenet", include_str!("../../models/resnet18-imagenet.toml")),
    ("resnet20", include_str!("../../models/resnet20.toml")),
    ("resnet44", include_str!("../../models/resnet44.toml")),
    ("resnet50", include_str!("../../models/resnet50.toml")),
    ("resnet50-imagenet", include_str!("../../models/resnet50-imagenet.toml")),
    ("resnet56", include_str!("../../models/resnet56.toml")),
    ("swin-t", include_str!("../../models/swin-t.toml")),
    ("vgg16-bn", include_str!("../../models/vgg16-bn.toml")),
    ("vgg16-bn-imagenet", include_str!("../../models/vgg16-bn-imagenet.toml")),
    ("vgg16-bn-lth", include_str!("../../models/vgg16-bn-lth.toml")),
    ("vit-tiny", include_str!("../../models/vit-tiny.toml")),
];

/// The text of the description called `name`; `None` if the program brings no such one.
pub fn builtin(name: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The names that [`builtin`] knows, in alphabetical order.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(name, _)| *name)
}
