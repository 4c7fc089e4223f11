//! A small public set that goes along with a model: part of it trains, part of it only measures.

use crate::base::rng::Stream;

use super::dataset::Dataset;
use super::error::DataError;

/// Why no anchor set could be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// A part of the data lacks a class.
    #[error(
        "class `{class}` has no sample in the part of the data from which an anchor set takes what \
         is to {part}; an anchor set has every class in both parts: take data that has them, or no \
         anchor set"
    )]
    Class {
        /// The class.
        class: String,
        /// What the samples are for: `train` or `calibrate`.
        part: &'static str,
    },
    /// A part would have too few samples for the classes, or more than there are.
    #[error(
        "an anchor set of {samples} samples takes {count} of them to {part}, and can take {least}, \
         one for each class, to {most}, all there are; three quarters train, a quarter calibrates"
    )]
    Size {
        /// Samples asked for in all.
        samples: usize,
        /// What the samples are for: `train` or `calibrate`.
        part: &'static str,
        /// Samples that this part would have.
        count: usize,
        /// The fewest it may have.
        least: usize,
        /// The most it may have.
        most: usize,
    },
}

/// An anchor set: samples of every class in both parts, without subjects and groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchor {
    /// Samples that train: they stand for the data that the model was made from.
    pub train: Dataset,
    /// Samples that calibrate and measure, and are never trained on.
    pub calibrate: Dataset,
}

impl Anchor {
    /// Draws `samples` samples: three quarters, rounded up, from the training part of a data set, the
    /// rest from its test part.
    ///
    /// In each part one sample of each class, and the rest in proportion to what the classes have
    /// left, by largest remainder. Which ones says the stream `anchor/{train|calibrate}/{class}` of
    /// `seed`; they keep the order of the data. Values come into memory, bytes as bytes.
    ///
    /// # Errors
    /// [`AnchorError::Class`] if a part of the data lacks a class, [`AnchorError::Size`] if a part would
    /// get fewer samples than there are classes or more than there are samples,
    /// [`DataError::Lost`] if a large set could not be read back.
    pub fn draw(
        train: &Dataset,
        test: &Dataset,
        samples: usize,
        seed: u64,
    ) -> Result<Self, DataError> {
        let measure = samples / 4;
        let part = |set, part, count| draw(set, part, count, samples, seed);
        Ok(Self {
            train: part(train, "train", samples - measure)?,
            calibrate: part(test, "calibrate", measure)?,
        })
    }
}

fn draw(
    set: &Dataset,
    part: &'static str,
    count: usize,
    samples: usize,
    seed: u64,
) -> Result<Dataset, DataError> {
    let mut of_class: Vec<Vec<usize>> = vec![Vec::new(); set.classes.len()];
    for (index, &label) in set.labels.iter().enumerate() {
        of_class[label as usize].push(index);
    }
    if let Some(class) = of_class.iter().position(Vec::is_empty) {
        return Err(AnchorError::Class { class: set.classes[class].clone(), part }.into());
    }
    let (least, most) = (of_class.len(), set.len());
    if !(least..=most).contains(&count) {
        return Err(AnchorError::Size { samples, part, count, least, most }.into());
    }
    let counts: Vec<usize> = of_class.iter().map(Vec::len).collect();
    let mut drawn = Vec::with_capacity(count);
    for ((class, indices), share) in of_class.iter_mut().enumerate().zip(shares(&counts, count)) {
        Stream::new(seed, &format!("anchor/{part}/{class}")).shuffle(indices);
        drawn.extend_from_slice(&indices[..share]);
    }
    drawn.sort_unstable();
    let mut drawn = set.subset(&drawn).held()?;
    drawn.subjects = Vec::new();
    drawn.subject_names = Vec::new();
    drawn.groups = Vec::new();
    Ok(drawn)
}

/// How many of `wanted` samples each class gives: one, and of the rest a share in proportion to what
/// it has besides. `counts` are all above 0, and `wanted` lies between their number and their sum.
fn shares(counts: &[usize], wanted: usize) -> Vec<usize> {
    let besides = counts.iter().sum::<usize>() - counts.len();
    let rest = wanted - counts.len();
    // At most 2^24 samples: the products fit.
    let exact = |count: usize| (count as u64 - 1) * rest as u64;
    let whole = (besides as u64).max(1);
    let mut shares: Vec<usize> = counts.iter().map(|&c| 1 + (exact(c) / whole) as usize).collect();
    let lacking = wanted - shares.iter().sum::<usize>();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    // Stable: of equal remainders the first class comes first.
    order.sort_by_key(|&class| std::cmp::Reverse(exact(counts[class]) % whole));
    order.iter().take(lacking).for_each(|&class| shares[class] += 1);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Values;

    fn set(labels: Vec<u32>) -> Dataset {
        let values = Values::Bytes((0..labels.len()).map(|index| index as u8).collect());
        let (subjects, groups) = (vec![0; labels.len()], vec![1; labels.len()]);
        Dataset {
            shape: [1, 1, 1],
            values,
            labels,
            classes: vec!["a".into(), "b".into(), "c".into()],
            subjects,
            subject_names: vec!["p".into()],
            groups,
        }
    }

    fn both() -> (Dataset, Dataset) {
        let labels = (0..120u32).map(|index| if index < 80 { 0 } else { 1 + index % 2 }).collect();
        (set(labels), set((0..30).map(|index| index % 3).collect()))
    }

    #[test]
    fn each_class_gives_its_share_and_one_at_least() {
        assert_eq!(shares(&[80, 20, 20], 60), [40, 10, 10]);
        assert_eq!(shares(&[1000, 1, 1], 10), [8, 1, 1]);
        assert_eq!(shares(&[5, 5, 5], 3), [1, 1, 1]);
        assert_eq!(shares(&[5, 1, 3], 9), [5, 1, 3]);
        assert_eq!(shares(&[4, 4, 4], 5), [2, 2, 1]);
        for wanted in 3..=126 {
            let counts = [1, 100, 25];
            let shares = shares(&counts, wanted);
            assert_eq!(shares.iter().sum::<usize>(), wanted);
            assert!(shares.iter().zip(counts).all(|(&share, count)| (1..=count).contains(&share)));
        }
    }

    #[test]
    fn an_anchor_is_fixed_by_its_seed_and_names_nobody() {
        let (train, test) = both();
        let anchor = Anchor::draw(&train, &test, 40, 7).unwrap();
        assert_eq!((anchor.train.len(), anchor.calibrate.len()), (30, 10));
        assert_eq!(anchor, Anchor::draw(&train, &test, 40, 7).unwrap());
        assert_ne!(anchor, Anchor::draw(&train, &test, 40, 8).unwrap());
        for part in [&anchor.train, &anchor.calibrate] {
            part.check().unwrap();
            assert!(part.subjects.is_empty() && part.subject_names.is_empty());
            assert!((0..3).all(|class| part.labels.contains(&class)));
            let Values::Bytes(values) = &part.values else { panic!("bytes stay bytes") };
            assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "each once, in order");
        }
    }

    #[test]
    fn what_cannot_hold_every_class_in_both_parts_is_refused() {
        let (train, test) = both();
        for (samples, part) in [(5, "calibrate"), (3, "calibrate"), (0, "train"), (161, "train")] {
            let refused = Anchor::draw(&train, &test, samples, 1).unwrap_err();
            let DataError::Anchor(AnchorError::Size { part: found, .. }) = refused else {
                panic!("{samples}: {refused}");
            };
            assert_eq!(found, part, "{samples}");
        }
        let test = test.subset(&[0, 1, 3, 4, 6]);
        let refused = Anchor::draw(&train, &test, 40, 1).unwrap_err().to_string();
        assert!(refused.contains("class `c`") && refused.contains("to calibrate"), "{refused}");
    }
}
