//! A part that is never learnt from: class by class, and never half a group.

use crate::base::rng::Stream;

use super::dataset::Dataset;
use super::error::DataError;
use super::scenario::{Groups, checked_share};

/// A set in two, each in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdout {
    /// Samples to learn from.
    pub learn: Vec<usize>,
    /// Samples that only measure.
    pub held: Vec<usize>,
}

/// Holds out about `share` of each class, as whole groups (a sample without a group stands
/// alone; a group counts to the class of its first sample).
///
/// Groups of class `c` are taken in the order of the stream `holdout/{c}` while taking one more
/// comes nearer to `round(share * samples of the class)`; one group of each class always stays
/// to be learnt from.
pub fn holdout(set: &Dataset, share: f64, seed: u64) -> Result<Holdout, DataError> {
    checked_share(share, &share.to_string())?;
    let mut of_class: Vec<Vec<Vec<usize>>> = vec![Vec::new(); set.classes.len()];
    for group in Groups::of(set).into_members() {
        of_class[set.labels[group[0]] as usize].push(group);
    }
    let mut is_held = vec![false; set.len()];
    for (class, groups) in of_class.iter_mut().enumerate() {
        Stream::new(seed, &format!("holdout/{class}")).shuffle(groups);
        let samples: usize = groups.iter().map(Vec::len).sum();
        let wanted = (share * samples as f64).round() as usize;
        let mut taken = 0;
        for group in groups.iter().skip(1) {
            // Nearer with it than without: the overshoot is at most what was lacking.
            if taken < wanted && taken + group.len() <= 2 * wanted - taken {
                taken += group.len();
                group.iter().for_each(|&index| is_held[index] = true);
            }
        }
    }
    let (held, learn): (Vec<usize>, Vec<usize>) = (0..set.len()).partition(|&index| is_held[index]);
    match (held.is_empty(), learn.is_empty()) {
        (false, false) => Ok(Holdout { learn, held }),
        _ => Err(DataError::NoSamples { what: format!("a holdout of {share} of this data") }),
    }
}

/// The share of a set without a test part that becomes one.
pub(crate) const TEST_SHARE: f64 = 0.2;

/// A set that comes in one part, in two: to learn from, and [`TEST_SHARE`] of each class, in whole
/// groups, that only measures. The same whatever the seed of a run, so that every command on the same
/// files sees the same parts.
pub(crate) fn apart(set: &Dataset) -> Result<(Dataset, Dataset), DataError> {
    set.check()?;
    let Holdout { learn, held } = holdout(set, TEST_SHARE, 0)?;
    Ok((set.subset(&learn), set.subset(&held)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Values;

    fn set(labels: Vec<u32>, groups: Vec<u32>) -> Dataset {
        Dataset {
            shape: [1, 1, 1],
            values: Values::Bytes(vec![0; labels.len()]),
            labels,
            classes: vec!["a".into(), "b".into()],
            subjects: Vec::new(),
            subject_names: Vec::new(),
            groups,
        }
    }

    #[test]
    fn each_class_gives_its_share() {
        let labels: Vec<u32> = (0..300).map(|index| u32::from(index % 3 == 0)).collect();
        let split = holdout(&set(labels.clone(), vec![]), 0.2, 5).unwrap();
        let held_b = split.held.iter().filter(|&&index| labels[index] == 1).count();
        assert_eq!((split.held.len(), held_b, split.learn.len()), (60, 20, 240));
        assert_eq!(split, holdout(&set(labels.clone(), vec![]), 0.2, 5).unwrap());
        assert_ne!(split, holdout(&set(labels, vec![]), 0.2, 6).unwrap());
    }

    #[test]
    fn a_group_stays_together_and_each_class_keeps_one() {
        let labels: Vec<u32> = (0..120).map(|index| index / 60).collect();
        let groups: Vec<u32> = (0..120).map(|index| index / 7 * 1000).collect();
        let split = holdout(&set(labels, groups.clone()), 0.25, 1).unwrap();
        let held: Vec<u32> = split.held.iter().map(|&index| groups[index]).collect();
        assert!(split.learn.iter().all(|&index| !held.contains(&groups[index])));
        assert!((20..=40).contains(&split.held.len()), "{} held", split.held.len());
        let one_each = set(vec![0, 0, 1, 1], vec![4, 4, 2, 2]);
        assert!(holdout(&one_each, 0.5, 1).is_err());
    }

    #[test]
    fn a_share_of_nothing_or_all_is_refused() {
        for share in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(holdout(&set(vec![0, 1], vec![]), share, 1).is_err(), "{share}");
        }
    }
}
