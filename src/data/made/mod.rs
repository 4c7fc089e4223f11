//! The made population: subjects who write ten signs, each with a hand of one's own.
//!
//! Made so that there is something to forget on a machine that has no data: a network that never
//! saw a subject makes clearly more errors on that subject's writing, because each subject bends
//! every sign in a personal way and writes a few signs as nobody else does; once the subject is
//! among the training samples, the network learns them. Measured with the defaults, seed 1, by the
//! plain network of `tests/made_population.rs` (one hidden layer of 96, 30 epochs, no
//! augmentation), each subject having 40 test samples:
//!
//! | error on test samples of | mean | range over subjects |
//! |---|---|---|
//! | subjects p01 to p24, all in training | 5.1 % | 0 to 15 % |
//! | p01 to p24, each when left out | 27.7 % | 15 to 45 % |
//! | the household h1 to h4, never in training | 36.3 % | 25 to 47.5 % |
//!
//! Everything is drawn from named streams, by arithmetic that IEEE 754 fixes, and rounded to
//! bytes: a seed gives the same bytes on every machine. Nobody real is in it.

mod draw;
mod glyphs;
mod hand;

use crate::base::rng::Stream;

use self::draw::SIDE;
use self::hand::Hand;
use super::dataset::{Dataset, Splits, Values};

/// Who the made population is, and how much each subject writes.
///
/// A subject's hand depends on `seed`, `own_signs`, `bend` and the subject's name alone, and a
/// sample on its hand, class, part and number: changing a count changes no sample that stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    /// Fixes everything that is drawn. Default 1.
    pub seed: u64,
    /// Subjects of the base, `p01`, `p02`, ... Default 24.
    pub subjects: usize,
    /// Subjects that the base never saw, `h1`, `h2`, ... Default 4.
    pub household: usize,
    /// Training samples of each subject and class. Default 8.
    pub train_samples: usize,
    /// Test samples of each subject and class. Default 4.
    pub test_samples: usize,
    /// Signs that each subject writes as nobody else does. Default 2 of the 10.
    pub own_signs: usize,
    /// How far a subject's hand moves each control point of a sign, as a share of the sign's size
    /// (standard deviation). Default 0.05.
    pub bend: f64,
}

impl Default for Population {
    fn default() -> Self {
        Self {
            seed: 1,
            subjects: 24,
            household: 4,
            train_samples: 8,
            test_samples: 4,
            own_signs: 2,
            bend: 0.05,
        }
    }
}

impl Population {
    /// The subjects that a base model is made from, `p01` and on.
    pub fn base(&self) -> Splits {
        let names = (1..=self.subjects).map(|number| format!("p{number:02}")).collect();
        self.splits("made", names)
    }

    /// The subjects of one household, `h1` and on, whom the base never saw.
    pub fn household(&self) -> Splits {
        let names = (1..=self.household).map(|number| format!("h{number}")).collect();
        self.splits("made-household", names)
    }

    fn splits(&self, name: &str, names: Vec<String>) -> Splits {
        let train = self.part(&names, "train", self.train_samples);
        let test = self.part(&names, "test", self.test_samples);
        let kind = "the made population";
        Splits { name: name.to_string(), kind, extraction: None, train, test }
    }

    /// Sorted by subject, then by number of the sample, then by class.
    fn part(&self, names: &[String], part: &str, samples: usize) -> Dataset {
        let (mut values, mut labels, mut subjects) = (Vec::new(), Vec::new(), Vec::new());
        for (subject, name) in (0..).zip(names) {
            let hand = Hand::new(self, name);
            for number in 0..samples {
                for class in 0..glyphs::NAMES.len() {
                    let what = format!("made/{part}/{name}/{class}/{number}");
                    values.extend(hand.write(class, &mut Stream::new(self.seed, &what)));
                    // Ten classes.
                    labels.push(class as u32);
                    subjects.push(subject);
                }
            }
        }
        Dataset {
            shape: [1, SIDE, SIDE],
            values: Values::Bytes(values),
            labels,
            classes: glyphs::NAMES.map(str::to_string).to_vec(),
            subjects,
            subject_names: names.to_vec(),
            groups: Vec::new(),
        }
    }
}
