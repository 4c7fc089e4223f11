//! Which layers of a network learn.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::TrainError;
use crate::model::{Description, Op};

/// Which layers of a network learn. The others keep every byte: no step, momentum, decay or l1 term
/// reaches them, and their batch norms take running statistics as constants and keep them.
///
/// A layer is a convolution or a linear layer, with its bias, and with the batch norm that reads
/// straight from it. Layers count in the description's order, the last being the last. A batch norm
/// that reads from anything else (an addition, a pool, the sample) learns under [`Trained::All`]
/// alone.
///
/// Memory and time are saved with the layers: the backward pass ends at the first that learns, and
/// activations below it are dropped as soon as they were read forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trained {
    /// All of them.
    #[default]
    All,
    /// The last this many; all, if there are no more than that.
    Last(usize),
    /// The last linear layer.
    Head,
}

/// What [`Trained::parse`] takes.
const WORDS: &str = "head, last=K with K of 1 or more, or all";

impl Trained {
    /// Reads `head`, `last=K` or `all`.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] if it is none of them, or K is 0 or no number.
    pub fn parse(text: &str) -> Result<Self, TrainError> {
        let last = || text.strip_prefix("last=")?.parse().ok().filter(|&layers| layers > 0);
        let refused =
            || TrainError::Recipe { field: "trained", found: text.into(), expected: WORDS };
        match text {
            "all" => Ok(Self::All),
            "head" => Ok(Self::Head),
            _ => last().map(Self::Last).ok_or_else(refused),
        }
    }

    /// Whether this is [`Trained::All`].
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// Refuses what trains nothing in any network.
    pub(super) fn check(self) -> Result<(), TrainError> {
        let (field, found) = ("trained", self.to_string());
        match self {
            Self::Last(0) => Err(TrainError::Recipe { field, found, expected: WORDS }),
            _ => Ok(()),
        }
    }

    /// Refuses what trains nothing in the network that is described.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] for [`Trained::Head`] where no layer is linear.
    pub fn fits(self, description: &Description) -> Result<(), TrainError> {
        self.check()?;
        let head = description.nodes.iter().any(|node| matches!(node.op, Op::Linear { .. }));
        if self == Self::Head && !head {
            let expected = "last=K or all, for a network without a linear layer";
            return Err(TrainError::Recipe { field: "trained", found: self.to_string(), expected });
        }
        Ok(())
    }

    /// For each node of the description, whether its parameters learn.
    pub fn nodes(self, description: &Description) -> Vec<bool> {
        let nodes = &description.nodes;
        let linear = |node: usize| matches!(nodes[node].op, Op::Linear { .. });
        let layer = |node: usize| linear(node) || matches!(nodes[node].op, Op::Conv { .. });
        let layers: Vec<usize> = (0..nodes.len()).filter(|&node| layer(node)).collect();
        let learning: &[usize] = match self {
            Self::All => return vec![true; nodes.len()],
            Self::Last(count) if count >= layers.len() => return vec![true; nodes.len()],
            Self::Last(count) => &layers[layers.len() - count..],
            Self::Head => match layers.iter().rposition(|&node| linear(node)) {
                Some(head) => &layers[head..=head],
                None => &[],
            },
        };
        let norm = |node: usize| {
            matches!(nodes[node].op, Op::BatchNorm { .. } | Op::LayerNorm { .. })
                && learning.contains(&nodes[node].inputs[0])
        };
        (0..nodes.len()).map(|node| learning.contains(&node) || norm(node)).collect()
    }
}

impl fmt::Display for Trained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Last(layers) => write!(f, "last={layers}"),
            Self::Head => f.write_str("head"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written_and_others_are_refused() {
        for trained in [Trained::All, Trained::Head, Trained::Last(1), Trained::Last(40)] {
            assert_eq!(Trained::parse(&trained.to_string()).unwrap(), trained);
        }
        for wrong in ["", "last", "last=", "last=0", "last=-1", "last=x", "Head", "last = 2"] {
            let error = Trained::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("`trained`") && error.contains("last=K"), "{error}");
        }
    }

    const TEXT: &str = r#"
        name = "odd"
        summary = "a batch norm behind each kind of thing"
        [input]
        shape = [2, 4, 4]
        mean = [0.0]
        std = [1.0]
        [[op]]
        name = "n0"
        kind = "batch-norm"
        [[op]]
        name = "c1"
        kind = "conv"
        filters = 2
        kernel = 1
        [[op]]
        name = "n1"
        kind = "batch-norm"
        [[op]]
        name = "sum"
        kind = "add"
        from = ["n0", "n1"]
        [[op]]
        name = "n2"
        kind = "batch-norm"
        [[op]]
        name = "hidden"
        kind = "linear"
        outputs = 6
        [[op]]
        name = "n3"
        kind = "batch-norm"
        [[op]]
        name = "last"
        kind = "conv"
        filters = 3
        kernel = 1
    "#;

    fn learning(text: &str, trained: Trained) -> Vec<String> {
        let description = Description::parse(text, "odd.toml", 3).unwrap();
        let flags = trained.nodes(&description);
        let nodes = description.nodes.iter().zip(flags);
        nodes.filter(|(_, learns)| *learns).map(|(node, _)| node.name.clone()).collect()
    }

    #[test]
    fn a_batch_norm_counts_with_the_layer_that_it_reads_straight_from() {
        assert_eq!(learning(TEXT, Trained::Last(1)), ["last"]);
        assert_eq!(learning(TEXT, Trained::Last(2)), ["hidden", "n3", "last"]);
        assert_eq!(learning(TEXT, Trained::Head), ["hidden", "n3"]);
        let all = learning(TEXT, Trained::All);
        assert_eq!(all.len(), 9, "{all:?}");
        // As many layers as there are, or more: everything, batch norms of no layer too.
        assert_eq!(learning(TEXT, Trained::Last(3)), all);
        assert_eq!(learning(TEXT, Trained::Last(usize::MAX)), all);
    }

    #[test]
    fn a_head_is_refused_where_no_layer_is_linear() {
        let text = TEXT.replace("kind = \"linear\"\n        outputs = 6", "kind = \"relu\"");
        let text = text.replace(
            "name = \"last\"",
            "name = \"pool\"\nkind = \"global-avg-pool\"\n[[op]]\nname = \"last\"",
        );
        let description = Description::parse(&text, "odd.toml", 3).unwrap();
        assert!(Trained::Last(1).fits(&description).is_ok());
        let error = Trained::Head.fits(&description).unwrap_err().to_string();
        assert!(error.contains("is head, expected last=K or all"), "{error}");
        assert!(learning(&text, Trained::Head).is_empty());
    }
}
