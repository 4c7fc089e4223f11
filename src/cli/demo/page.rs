//! The page that shows the two stories.
//!
//! Every sentence about who is nearest or fastest is made from the figures, whatever they are.

mod made;
mod story;
#[cfg(test)]
mod tests;
mod words;

use super::super::fault::Fault;
use super::super::learn;
use super::super::report::{Fact, Gallery, GalleryRow, Layer, Layers, Page, Picture, number};
use super::super::setting;
use super::Chapter;
use super::cast::Cast;
use crate::base::units::{Bytes, Seconds};
use crate::data::{Dataset, Values};
use crate::model::Network;
use crate::model::ParamKind;
use words::Reading;

/// How many of the base's people are shown besides the one who leaves.
const SHOWN: usize = 5;

/// The page as HTML.
pub(super) fn write(
    cast: &Cast,
    first: &Chapter,
    second: &Chapter,
    seconds: f64,
) -> Result<String, Fault> {
    let dense = setting::open_model(&cast.folder.join("base-dense.esm"))?;
    let sparse = setting::open_model(&cast.folder.join("base-sparse.esm"))?;
    let bytes = [dense.bytes, sparse.bytes];
    Ok(Told { cast, first, second, base: &sparse.network, bytes, seconds }.page().html())
}

/// All that the page shows.
struct Told<'a> {
    cast: &'a Cast,
    first: &'a Chapter,
    second: &'a Chapter,
    /// The network of the sparse base.
    base: &'a Network,
    /// Sizes of the dense base's file and of the sparse one's.
    bytes: [u64; 2],
    /// Seconds of the whole demo.
    seconds: f64,
}

impl Told<'_> {
    fn page(&self) -> Page {
        let people = self.cast.base.train.subject_names.len();
        let members = self.cast.household.train.subject_names.len();
        let page = Page::new("Two people ask a network to forget them")
            .lead(&format!(
                "A small sparse network learnt to read the writing of {people} people, and one of \
                 them, {}, asks to be forgotten. A copy of it then learnt a household of \
                 {members}, and a member, {}, asks the same. All of them are made by code, nobody \
                 is real; every figure was measured on the model files that lie beside this page.",
                self.first.who, self.second.who
            ))
            .facts(&self.facts());
        let page = self.household(self.person(self.base(self.writing(page))));
        made::section(page, self).footer(&format!(
            "unlearn {}, plan {}, seed {}, told in {}.",
            env!("CARGO_PKG_VERSION"),
            learn::plan(self.cast.compute),
            self.cast.seed,
            Seconds(self.seconds)
        ))
    }

    /// The first story.
    fn person(&self, page: Page) -> Page {
        let people = self.cast.base.train.subject_names.len();
        story::section(
            page,
            &format!("1. {} leaves the base", self.first.who),
            &format!(
                "The base learnt from all {people} people. Forgetting goes on from it with the \
                 samples of the {} who stay and reads none of {}’s. The yardstick starts from fresh \
                 weights under the mask of the base, as in the paper.",
                people.saturating_sub(1),
                self.first.who
            ),
            self.first,
        )
    }

    /// The second story.
    fn household(&self, page: Page) -> Page {
        let members = self.cast.household.train.subject_names.len();
        story::section(
            page,
            &format!("2. {} leaves the household", self.second.who),
            &format!(
                "The base never saw this household. It was adapted to its {members} members, \
                 together with an anchor set, a small share of what the base was made from. Exact \
                 replay adapts the base anew without {}; the other ways go on from the adapted \
                 model.",
                self.second.who
            ),
            self.second,
        )
    }

    /// What the reader should see first.
    fn facts(&self) -> Vec<Fact> {
        let [dense, sparse] = self.bytes;
        let times = number(dense as f64 / sparse.max(1) as f64, 1);
        let mut facts = vec![Fact::new(
            "Sparse model file, f16",
            Bytes(sparse).to_string(),
            format!("dense f32 file: {}, {times} times as much", Bytes(dense)),
        )];
        for chapter in [self.first, self.second] {
            let read = Reading::new(chapter);
            facts.extend(read.nearest().map(|nearest| {
                Fact::new(
                    format!("{}: average gap", chapter.who),
                    format!("{} → {}", number(read.gaps[chapter.before], 1), read.points(nearest)),
                    format!(
                        "points to {}, before → after {}",
                        read.yardstick(),
                        read.name(nearest)
                    ),
                )
            }));
        }
        let read = Reading::new(self.first);
        facts.extend(read.nearest().and_then(|nearest| {
            Some(Fact::new(
                format!("{}: time to forget", self.first.who),
                Seconds(read.seconds(nearest)?).to_string(),
                format!("{}; {}: {}", read.name(nearest), read.yardstick(), read.exact_seconds()?),
            ))
        }));
        facts
    }

    /// What the people write.
    fn writing(&self, page: Page) -> Page {
        let (base, home) = (&self.cast.base.train, &self.cast.household.train);
        let page = page.section("Who writes").text(
            "Each person bends every sign in a way of their own and writes two of the ten as nobody \
             else does. So a network that never saw a person makes clearly more errors on that \
             person’s writing: there is something to forget, and forgetting can be seen.",
        );
        page.gallery(&gallery(base, &self.first.who, "Some of the people of the base"))
            .gallery(&gallery(home, &self.second.who, "The household, whom the base never saw"))
    }

    /// What the base is.
    fn base(&self, page: Page) -> Page {
        let weights = self.base.parameters.iter().filter(|p| p.kind == ParamKind::Weight);
        let layers = weights.map(|p| Layer {
            name: p.name.clone(),
            kept: p.mask.existing() as u64,
            all: p.mask.len() as u64,
        });
        let sparsity = number(100.0 * self.base.sparsity(), 1);
        let [dense, sparse] = self.bytes;
        page.section("The base")
            .text(&format!(
                "Trained dense, pruned by magnitude, set back to its early weights and trained \
                 again: {sparsity} % of the prunable weights are gone. They are neither in the file \
                 nor in memory, and forgetting never brings one back. The file shrinks from {} \
                 (f32) to {}, by the mask and by storing what is left as f16.",
                Bytes(dense),
                Bytes(sparse)
            ))
            .layers(&Layers {
                title: "What is left of each layer of base-sparse.esm".into(),
                note: "Weights that exist, of those that a dense layer has. One threshold on \
                       magnitude for all prunable layers."
                    .into(),
                layers: layers.collect(),
            })
    }
}

/// A sample of each class by each of some people, the one who leaves first.
fn gallery(data: &Dataset, leaves: &str, title: &str) -> Gallery {
    let others = data.subject_names.iter().map(String::as_str).filter(|&name| name != leaves);
    let names = std::iter::once(leaves).chain(others.take(SHOWN));
    let rows = names.filter_map(|name| {
        // A set of samples has fewer subjects than `u32` counts.
        let subject = data.subject_names.iter().position(|known| known == name)? as u32;
        let pictures = data.classes.iter().zip(0..).map(|(class, label)| {
            let at = (0..data.len())
                .find(|&at| data.subjects[at] == subject && data.labels[at] == label);
            at.and_then(|at| picture(data, at, format!("{class}, by {name}"))).unwrap_or_default()
        });
        let pictures = pictures.filter(|picture| !picture.pixels.is_empty()).collect();
        Some(GalleryRow { name: name.into(), marked: name == leaves, pictures })
    });
    Gallery {
        title: title.into(),
        note: format!("One training sample of each sign. {leaves}, in the first row, leaves."),
        columns: data.classes.clone(),
        rows: rows.collect(),
    }
}

fn picture(data: &Dataset, at: usize, caption: String) -> Option<Picture> {
    let Values::Bytes(values) = &data.values else { return None };
    let len = data.sample_len();
    Some(Picture { caption, shape: data.shape, pixels: values[at * len..][..len].to_vec() })
}
