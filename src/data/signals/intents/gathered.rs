//! Entries on their way to a set: checked one by one, turned into vectors many at a time.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use super::entries::Entry;
use crate::data::dataset::Dataset;
use crate::data::error::DataError;
use crate::data::extraction::HashedNgrams;
use crate::data::holdout::apart;
use crate::data::limits::{MAX_CLASSES, MAX_SAMPLES, MAX_SUBJECTS};
use crate::data::room::{Gather, Room};
use crate::data::signals::features::hashed_ngrams;
use crate::data::signals::layout::{Part, part_named};

/// The most bytes of one text, of a name, and the texts that become vectors at a time.
const MAX_TEXT: usize = 64 * 1024;
const MAX_NAME: usize = 256;
const TOGETHER: usize = 1024;

/// Names in the order in which they came, each with its number.
#[derive(Default)]
struct Names(BTreeMap<String, u32>);

impl Names {
    fn number(&mut self, name: &str, what: &str, limit: usize) -> Result<u32, String> {
        if let Some(&number) = self.0.get(name) {
            return Ok(number);
        }
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(format!("{what} has {} bytes; accepted are 1 to {MAX_NAME}", name.len()));
        }
        // Below the limit, which a `u32` holds.
        let number = self.0.len() as u32;
        if self.0.len() == limit {
            return Err(format!("{what} `{name}` is one more than the {limit} that are accepted"));
        }
        self.0.insert(name.to_string(), number);
        Ok(number)
    }

    /// The names in order, and for each number as it was given its place among them.
    fn sorted(&self) -> (Vec<String>, Vec<u32>) {
        let mut places = vec![0; self.0.len()];
        (0..).zip(self.0.values()).for_each(|(place, &number)| places[number as usize] = place);
        (self.0.keys().cloned().collect(), places)
    }
}

/// One part so far.
struct Side {
    waiting: Vec<String>,
    gather: Gather<f32>,
    labels: Vec<u32>,
    subjects: Vec<u32>,
}

/// All entries so far.
pub(super) struct Gathered {
    settings: HashedNgrams,
    sides: [Side; 2],
    classes: Names,
    subjects: Names,
    trouble: Option<DataError>,
}

impl Gathered {
    pub(super) fn new(room: &Room, settings: HashedNgrams) -> Self {
        let side = || Side {
            waiting: Vec::new(),
            gather: Gather::new(room),
            labels: Vec::new(),
            subjects: Vec::new(),
        };
        let (classes, subjects) = (Names::default(), Names::default());
        Self { settings, sides: [side(), side()], classes, subjects, trouble: None }
    }

    /// What went wrong outside of the text, if that is why [`Gathered::take`] refused.
    pub(super) fn trouble(&mut self) -> Option<DataError> {
        self.trouble.take()
    }

    /// Takes one entry in, to `part` or to what it says itself.
    pub(super) fn take(&mut self, entry: Entry, part: Option<Part>) -> Result<(), String> {
        let Entry { text, intent, subject, split } = entry;
        let said = match &split {
            None => part,
            Some(word) => Some(part_named(word).ok_or_else(|| format!("`{word}` is no part"))?),
        };
        let side = match said {
            Some(Part::Left) => return Ok(()),
            Some(Part::Test) => 1,
            Some(Part::Train) | None => 0,
        };
        if text.trim().is_empty() || text.len() > MAX_TEXT {
            let bytes = text.trim().len();
            return Err(format!("the text has {bytes} bytes; accepted are 1 to {MAX_TEXT}"));
        }
        let first = self.sides.iter().all(|side| side.labels.is_empty());
        if !first && subject.is_some() == self.subjects.0.is_empty() {
            return Err("only some entries have a `subject`: give it to all or to none".to_string());
        }
        let label = self.classes.number(&intent, "the intent", MAX_CLASSES)?;
        let subject = match subject {
            None => None,
            Some(name) => Some(self.subjects.number(&name, "the subject", MAX_SUBJECTS)?),
        };
        let side = &mut self.sides[side];
        if side.labels.len() == MAX_SAMPLES {
            return Err(format!("there are more than {MAX_SAMPLES} entries"));
        }
        side.labels.push(label);
        side.subjects.extend(subject);
        side.waiting.push(text);
        if side.waiting.len() == TOGETHER {
            side.turn(&self.settings).map_err(|fault| {
                let text = fault.to_string();
                self.trouble = Some(fault);
                text
            })?;
        }
        Ok(())
    }

    /// The two parts.
    pub(super) fn parts(self, file: &Path) -> Result<(Dataset, Dataset), DataError> {
        let Self { settings, sides: [train, test], classes, subjects, .. } = self;
        if train.labels.is_empty() {
            return Err(DataError::NoSamples {
                what: format!("the training part of `{}`", file.display()),
            });
        }
        let (names, tested) = ((&classes, &subjects), !test.labels.is_empty());
        let train = train.finish(&settings, names)?;
        if tested { Ok((train, test.finish(&settings, names)?)) } else { apart(&train) }
    }
}

impl Side {
    /// Turns the texts that wait into vectors.
    fn turn(&mut self, settings: &HashedNgrams) -> Result<(), DataError> {
        let vector = |text: &String| hashed_ngrams(settings, text);
        let vectors: Vec<Vec<f32>> = self.waiting.par_iter().map(vector).collect();
        self.waiting.clear();
        vectors.iter().try_for_each(|vector| self.gather.push(vector))
    }

    fn finish(
        mut self,
        settings: &HashedNgrams,
        (classes, subjects): (&Names, &Names),
    ) -> Result<Dataset, DataError> {
        self.turn(settings)?;
        let (classes, class_places) = classes.sorted();
        let (subject_names, subject_places) = subjects.sorted();
        let place = |places: &[u32], of: &[u32]| of.iter().map(|&n| places[n as usize]).collect();
        Ok(Dataset {
            shape: [settings.dimensions, 1, 1],
            values: self.gather.finish()?,
            labels: place(&class_places, &self.labels),
            classes,
            subjects: place(&subject_places, &self.subjects),
            subject_names,
            groups: Vec::new(),
        })
    }
}
