//! Retain and test set in halves: an attack learns from one and is judged on the other.

use super::{EvaluateError, Scores, Shadow};
use crate::base::rng::Stream;

/// What an attack learns from and what it is judged on: members and non-members of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Halves {
    /// Retained samples to learn from.
    pub shadow_members: Scores,
    /// Test samples to learn from.
    pub shadow_non_members: Scores,
    /// Retained samples to judge.
    pub target_members: Scores,
    /// Test samples to judge.
    pub target_non_members: Scores,
}

impl Halves {
    /// Halves `retain` and `test` as `shadow` says.
    ///
    /// [`Shadow::Stratified`]: of each class as many of one as of the other are drawn, from the stream
    /// `mia/halves`; half of them, rounded down, are learnt from, the others judged.
    /// [`Shadow::FirstN`]: with `n` half the test samples, rounded down, the first `n` of either set are
    /// learnt from and all others judged, as in the released code (`SVC_MIA_training_privacy`).
    ///
    /// # Errors
    /// If the sets have different classes or share none, or a half would be empty.
    pub fn new(shadow: Shadow, retain: &Scores, test: &Scores) -> Result<Self, EvaluateError> {
        let (found, expected) = (retain.classes(), test.classes());
        if found != expected {
            return Err(EvaluateError::ClassesDiffer { set: "retain", found, expected });
        }
        let [members, others] = match shadow {
            Shadow::FirstN => {
                let half = test.len() / 2;
                [retain.len(), test.len()].map(|len| {
                    ((0..half.min(len)).collect(), (half.min(len)..len).collect::<Vec<usize>>())
                })
            }
            Shadow::Stratified { seed } => stratified(retain, test, seed)?,
        };
        if [&members.0, &members.1, &others.0, &others.1].iter().any(|half| half.is_empty()) {
            let (retain, test) = (retain.len(), test.len());
            return Err(EvaluateError::TooFewToHalve { retain, test });
        }
        Ok(Self {
            shadow_members: retain.subset(&members.0),
            shadow_non_members: test.subset(&others.0),
            target_members: retain.subset(&members.1),
            target_non_members: test.subset(&others.1),
        })
    }
}

/// Indices to learn from and to judge.
type Half = (Vec<usize>, Vec<usize>);

fn stratified(retain: &Scores, test: &Scores, seed: u64) -> Result<[Half; 2], EvaluateError> {
    let mut stream = Stream::new(seed, "mia/halves");
    let (mut halves, mut shared) = ([Half::default(), Half::default()], false);
    for class in 0..retain.classes() as u32 {
        let mut of = [retain, test].map(|scores| {
            (0..scores.len()).filter(|&i| scores.labels()[i] == class).collect::<Vec<usize>>()
        });
        of.iter_mut().for_each(|indices| stream.shuffle(indices));
        let both = of[0].len().min(of[1].len());
        shared |= both > 0;
        for (half, indices) in halves.iter_mut().zip(&of) {
            half.0.extend_from_slice(&indices[..both / 2]);
            half.1.extend_from_slice(&indices[both / 2..both]);
        }
    }
    if !shared {
        return Err(EvaluateError::NoSharedClass);
    }
    for half in &mut halves {
        half.0.sort_unstable();
        half.1.sort_unstable();
    }
    Ok(halves)
}
