//! What a data set holds, counted: classes, subjects, groups, values, samples that are there twice.

use std::collections::BTreeMap;

use crate::base::hash::Digest;

use super::dataset::{Dataset, Splits};
use super::error::DataError;

/// What a data set holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// The digest of the training part, as model files that learnt from it state it.
    pub digest: Digest,
    /// Every class, in label order.
    pub classes: Vec<Counted>,
    /// Everybody who is named: in the order of the training part, then who is in the test part
    /// alone. Empty where nobody is named.
    pub subjects: Vec<Counted>,
    /// Groups of the training part and of the test part; `None` where each sample stands alone.
    pub groups: [Option<Grouped>; 2],
    /// The values of each channel of the training part.
    pub channels: Vec<Channel>,
    /// What is there more than once.
    pub repeats: Repeats,
}

/// A name, and how many samples bear it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The class or the subject.
    pub name: String,
    /// Samples of the training part.
    pub train: usize,
    /// Samples of the test part.
    pub test: usize,
}

/// Groups of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouped {
    /// How many there are.
    pub groups: usize,
    /// Samples of the largest.
    pub largest: usize,
}

/// The values of one channel, as a network sees them: a byte as `byte / 255`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    /// The smallest.
    pub low: f32,
    /// The largest.
    pub high: f32,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, `sqrt(sum (x - mean)² / n)`.
    pub std: f64,
}

/// Samples that are equal in every value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeats {
    /// Test samples that are equal to a training sample: what they measure was learnt by heart.
    pub across: usize,
    /// Of these, those that are of another class than the first training sample like them.
    pub contradicting: usize,
    /// Training samples that are equal to an earlier training sample.
    pub within: usize,
}

impl Survey {
    /// Counts what `data` holds, in two passes over the training part and one over the test part.
    /// Takes memory for one sample and for 36 bytes each training sample.
    ///
    /// # Errors
    /// [`DataError::Lost`] if the file behind a large set failed.
    pub fn of(data: &Splits) -> Result<Self, DataError> {
        let Splits { train, test, .. } = data;
        let repeats = repeats(train, test);
        let survey = Self {
            digest: train.digest(),
            classes: counted([&train.classes, &test.classes], [&train.labels, &test.labels]),
            subjects: counted(
                [&train.subject_names, &test.subject_names],
                [&train.subjects, &test.subjects],
            ),
            groups: [train, test].map(grouped),
            channels: channels(train),
            repeats,
        };
        train.trouble()?;
        test.trouble()?;
        Ok(survey)
    }
}

/// How often each name is borne in two parts, of which each numbers the names its own way.
fn counted(names: [&[String]; 2], numbers: [&[u32]; 2]) -> Vec<Counted> {
    let mut all: Vec<Counted> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (part, (names, numbers)) in names.into_iter().zip(numbers).enumerate() {
        let mut samples = vec![0; names.len()];
        numbers.iter().for_each(|&number| samples[number as usize] += 1);
        for (name, samples) in names.iter().zip(samples) {
            let place = *places.entry(name).or_insert(all.len());
            if place == all.len() {
                all.push(Counted { name: name.clone(), train: 0, test: 0 });
            }
            let counted = &mut all[place];
            let count = if part == 0 { &mut counted.train } else { &mut counted.test };
            *count += samples;
        }
    }
    all
}

fn grouped(part: &Dataset) -> Option<Grouped> {
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    part.groups.iter().for_each(|&group| *sizes.entry(group).or_default() += 1);
    let largest = *sizes.values().max()?;
    Some(Grouped { groups: sizes.len(), largest })
}

/// Values channel by channel. Each sample's mean and squared deviations are joined to those of the
/// samples before it (Chan, Golub, LeVeque 1979): a sum of squares would lose small deviations of
/// large values.
fn channels(part: &Dataset) -> Vec<Channel> {
    let [count, height, width] = part.shape;
    let area = (height * width) as f64;
    let none = Channel { low: f32::INFINITY, high: f32::NEG_INFINITY, mean: 0.0, std: 0.0 };
    let mut channels = vec![none; count];
    let mut deviations = vec![0.0; count];
    let mut sample = vec![0.0; part.sample_len()];
    for index in 0..part.len() {
        part.read(index, &mut sample);
        let seen = index as f64 * area;
        let planes = sample.chunks_exact(height * width);
        for ((channel, squares), plane) in channels.iter_mut().zip(&mut deviations).zip(planes) {
            let mean = plane.iter().map(|&v| f64::from(v)).sum::<f64>() / area;
            let own = plane.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
            let apart = mean - channel.mean;
            *squares += own + apart * apart * seen * area / (seen + area);
            channel.mean += apart * area / (seen + area);
            channel.low = plane.iter().copied().fold(channel.low, f32::min);
            channel.high = plane.iter().copied().fold(channel.high, f32::max);
        }
    }
    for (channel, squares) in channels.iter_mut().zip(deviations) {
        channel.std = (squares / (part.len() as f64 * area)).sqrt();
    }
    channels
}

fn repeats(train: &Dataset, test: &Dataset) -> Repeats {
    let digest = |sample: Vec<u8>| Digest::of(&sample);
    let mut known: Vec<(Digest, u32)> =
        train.raw_samples().map(digest).zip(train.labels.iter().copied()).collect();
    // Stable: of equal samples the first comes first.
    known.sort_by_key(|(digest, _)| *digest);
    let all = known.len();
    known.dedup_by_key(|(digest, _)| *digest);
    let mut found = Repeats { within: all - known.len(), ..Repeats::default() };
    for (sample, label) in test.raw_samples().map(digest).zip(&test.labels) {
        if let Ok(at) = known.binary_search_by_key(&sample, |(digest, _)| *digest) {
            found.across += 1;
            found.contradicting += usize::from(known[at].1 != *label);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Population, Values};

    fn set(values: Vec<f32>, labels: Vec<u32>, subjects: Vec<u32>, names: &[&str]) -> Dataset {
        Dataset {
            shape: [2, 1, 2],
            values: Values::Floats(values),
            labels,
            classes: vec!["up".into(), "down".into()],
            subjects,
            subject_names: names.iter().map(|name| (*name).to_string()).collect(),
            groups: Vec::new(),
        }
    }

    fn splits(train: Dataset, test: Dataset) -> Splits {
        Splits { name: "two".into(), kind: "test", extraction: None, train, test }
    }

    #[test]
    fn what_was_planted_is_counted() {
        let [a, b, c] = [[1.0, 3.0, -1.0, -1.0], [5.0, 7.0, -1.0, -3.0], [0.0; 4]];
        let mut train = set([a, b, a].concat(), vec![0, 1, 0], vec![0, 1, 1], &["ana", "ben"]);
        train.groups = vec![7, 7, 2];
        let test = set([b, c, a].concat(), vec![0, 0, 0], vec![0, 1, 1], &["ben", "eve"]);
        let found = Survey::of(&splits(train.clone(), test)).unwrap();
        assert_eq!(found.repeats, Repeats { across: 2, contradicting: 1, within: 1 });
        let counted = |name: &str, train, test| Counted { name: name.into(), train, test };
        assert_eq!(found.classes, [counted("up", 2, 3), counted("down", 1, 0)]);
        let subjects = [counted("ana", 1, 0), counted("ben", 2, 1), counted("eve", 0, 2)];
        assert_eq!(found.subjects, subjects);
        assert_eq!(found.groups, [Some(Grouped { groups: 2, largest: 2 }), None]);
        assert_eq!(found.digest, train.digest());
        // Channel 0 of the training part is 1, 3, 5, 7, 1, 3: mean 20/6, mean of squares 94/6.
        let Channel { low, high, mean, std } = found.channels[0];
        assert_eq!((low, high), (1.0, 7.0));
        let expected = (94.0 / 6.0 - (20.0f64 / 6.0).powi(2)).sqrt();
        assert!((mean - 20.0 / 6.0).abs() < 1e-12 && (std - expected).abs() < 1e-12);
    }

    #[test]
    fn small_deviations_of_large_values_are_kept() {
        let train = set([1e7, 1e7 + 1.0, 0.0, 0.0].repeat(500), vec![0; 500], vec![], &[]);
        let test = set(vec![0.0; 4], vec![0], vec![], &[]);
        let found = Survey::of(&splits(train, test)).unwrap();
        assert!((found.channels[0].std - 0.5).abs() < 1e-9, "{:?}", found.channels[0]);
        assert_eq!(found.channels[1], Channel { low: 0.0, high: 0.0, mean: 0.0, std: 0.0 });
    }

    #[test]
    fn the_made_population_is_whole_and_has_no_sample_twice() {
        let data = Population::default().base();
        let found = Survey::of(&data).unwrap();
        assert_eq!(found.repeats, Repeats::default());
        assert!(found.classes.iter().all(|class| (class.train, class.test) == (192, 96)));
        assert_eq!(found.subjects.len(), 24);
        assert!(found.channels[0].low >= 0.0 && found.channels[0].high <= 1.0);
    }
}
