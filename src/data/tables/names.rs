//! Texts, each with a number: labels, subjects and groups as they are met.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Different texts, numbered in the order in which they were first met.
#[derive(Default)]
pub(super) struct Names {
    numbers: BTreeMap<String, u32>,
}

impl Names {
    /// The number of `text`. A text that is met for the first time gets the next one.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        // One text a sample at most, and a set has at most 2^24 samples.
        let next = self.numbers.len() as u32;
        self.numbers.insert(text.to_string(), next);
        next
    }

    /// The texts in order (numbers by size, anything else as text), and for each number that was given
    /// its place among them.
    pub(super) fn sorted(self) -> (Vec<String>, Vec<u32>) {
        let mut all: Vec<(String, u32)> = self.numbers.into_iter().collect();
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        if all.iter().all(|(text, _)| number(text).is_some()) {
            // Stable: two spellings of one number stay in the order of their texts.
            all.sort_by(|(a, _), (b, _)| {
                number(a).partial_cmp(&number(b)).unwrap_or(Ordering::Equal)
            });
        }
        let mut places = vec![0; all.len()];
        for (place, (_, number)) in (0..).zip(&all) {
            places[*number as usize] = place;
        }
        (all.into_iter().map(|(text, _)| text).collect(), places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(texts: &[&str]) -> (Vec<String>, Vec<u32>) {
        let mut names = Names::default();
        texts.iter().for_each(|text| _ = names.number(text));
        names.sorted()
    }

    #[test]
    fn numbers_go_by_size_and_texts_as_texts() {
        let (names, places) = sorted(&["10", "9", "-1", "9"]);
        assert_eq!((names, places), (vec!["-1".into(), "9".into(), "10".into()], vec![2, 1, 0]));
        let (names, _) = sorted(&["b", "10", "9"]);
        assert_eq!(names, ["10", "9", "b"]);
    }
}
