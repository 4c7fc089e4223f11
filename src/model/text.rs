//! What the text of a description claims. Nothing in here is trusted; [`super::check`] makes a
//! [`Description`](super::Description) of it.

use serde::Deserialize;
use toml::Spanned;

/// A description as its text claims it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UncheckedDescription {
    pub name: Spanned<String>,
    /// For people; kept in the source only, but asked for, so that every file tells what it is.
    #[serde(rename = "summary")]
    pub _summary: String,
    pub input: UncheckedInput,
    pub op: Vec<Spanned<UncheckedOp>>,
}

/// The `[input]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UncheckedInput {
    pub shape: Spanned<[usize; 3]>,
    pub mean: Spanned<Vec<f32>>,
    pub std: Spanned<Vec<f32>>,
}

/// One `[[op]]` table: the keys of all kinds together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct UncheckedOp {
    pub name: Spanned<String>,
    pub kind: Spanned<String>,
    pub from: Option<Spanned<Sources>>,
    pub filters: Option<Spanned<usize>>,
    pub kernel: Option<Spanned<OneOrTwo>>,
    pub stride: Option<Spanned<OneOrTwo>>,
    pub padding: Option<Spanned<OneOrTwo>>,
    pub groups: Option<Spanned<usize>>,
    pub bias: Option<Spanned<bool>>,
    pub outputs: Option<Spanned<Outputs>>,
    pub epsilon: Option<Spanned<f32>>,
    pub momentum: Option<Spanned<f32>>,
    pub channels: Option<Spanned<usize>>,
    pub heads: Option<Spanned<usize>>,
    pub window: Option<Spanned<usize>>,
    pub shift: Option<Spanned<usize>>,
    pub side: Option<Spanned<usize>>,
    pub prunable: Option<Spanned<bool>>,
}

/// `from = "a"` or `from = ["a", "b"]`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a name or a list of names")]
pub(super) enum Sources {
    One(String),
    Many(Vec<String>),
}

impl Sources {
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// `kernel = 3` or `kernel = [3, 5]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a whole number from 0 on, or [height, width]")]
pub(super) enum OneOrTwo {
    One(usize),
    Two([usize; 2]),
}

impl OneOrTwo {
    pub fn pair(self) -> [usize; 2] {
        match self {
            Self::One(both) => [both, both],
            Self::Two(pair) => pair,
        }
    }
}

/// `outputs = 10` or `outputs = "classes"`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a whole number or \"classes\"")]
pub(super) enum Outputs {
    Count(usize),
    Word(String),
}

impl UncheckedOp {
    /// The keys that are there beside `name`, `kind` and `from`, each with where its value begins.
    pub fn keys(&self) -> Vec<(&'static str, usize)> {
        fn at<T>(value: &Option<Spanned<T>>) -> Option<usize> {
            value.as_ref().map(|spanned| spanned.span().start)
        }
        [
            ("filters", at(&self.filters)),
            ("kernel", at(&self.kernel)),
            ("stride", at(&self.stride)),
            ("padding", at(&self.padding)),
            ("groups", at(&self.groups)),
            ("bias", at(&self.bias)),
            ("outputs", at(&self.outputs)),
            ("epsilon", at(&self.epsilon)),
            ("momentum", at(&self.momentum)),
            ("channels", at(&self.channels)),
            ("heads", at(&self.heads)),
            ("window", at(&self.window)),
            ("shift", at(&self.shift)),
            ("side", at(&self.side)),
            ("prunable", at(&self.prunable)),
        ]
        .into_iter()
        .filter_map(|(key, at)| Some((key, at?)))
        .collect()
    }
}
