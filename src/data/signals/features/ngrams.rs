//! Text to a vector of hashed n-grams.
//!
//! # Source
//! Weinberger, Dasgupta, Langford, Smola, Attenberg, *Feature Hashing for Large Scale Multitask
//! Learning*, ICML 2009 (a place and a sign for each feature); Bojanowski, Grave, Joulin, Mikolov,
//! *Enriching Word Vectors with Subword Information*, TACL 2017 (marks around a word, n-grams of
//! characters inside it).

use crate::base::hash::Digest;
use crate::data::extraction::HashedNgrams;

/// The vector `[dimensions]` of `text`.
///
/// The text is brought to lower case and cut into words at every character that is neither letter nor
/// digit. Its n-grams are all runs of 1 to `words` words, joined by one space, and, of each word
/// between the marks `<` and `>`, all runs of `shortest` to `longest` characters. An n-gram `g` has
/// the BLAKE3 digest of `w` or `c` (for its kind) and its UTF-8 bytes; its place is the first eight
/// bytes of that, little-endian, modulo `dimensions`, and its sign is that of the ninth byte: + if
/// that is even. With `v` the sum over all n-grams of sign times unit vector of the place, the result
/// is `v * sqrt(dimensions) / |v|`, whose values have a mean square of 1; zeros where `v` is 0.
///
/// What is a letter and what its lower case, is as in the Unicode tables of the standard library.
pub(in crate::data) fn hashed_ngrams(settings: &HashedNgrams, text: &str) -> Vec<f32> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let mut out = vec![0.0; settings.dimensions];
    let mut gram = Vec::new();
    let mut count = |kind: u8, pieces: &[&str]| {
        gram.clear();
        gram.push(kind);
        for (at, piece) in pieces.iter().enumerate() {
            gram.extend(if at == 0 { "" } else { " " }.bytes().chain(piece.bytes()));
        }
        let Digest(digest) = Digest::of(&gram);
        let place = digest[..8].iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        // Below `dimensions`, which is a `usize`.
        let place = (place % settings.dimensions as u64) as usize;
        out[place] += if digest[8].is_multiple_of(2) { 1.0 } else { -1.0 };
    };
    for length in 1..=settings.words {
        words.windows(length).for_each(|run| count(b'w', run));
    }
    for word in &words {
        let marked = format!("<{word}>");
        let starts: Vec<usize> =
            marked.char_indices().map(|(at, _)| at).chain([marked.len()]).collect();
        for length in settings.shortest.max(1)..=settings.longest {
            for ends in starts.windows(length + 1) {
                count(b'c', &[&marked[ends[0]..ends[length]]]);
            }
        }
    }
    scale(&mut out);
    out
}

/// Brings the mean square to 1, unless all are zeros.
fn scale(values: &mut [f32]) {
    let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
    if squares > 0.0 {
        let factor = (values.len() as f64 / squares).sqrt();
        values.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: HashedNgrams = HashedNgrams { dimensions: 64, words: 2, shortest: 3, longest: 4 };

    #[test]
    fn every_ngram_is_counted_once_at_its_place() {
        let mut expected = vec![0.0f32; 64];
        let grams = ["wmy", "wcar", "wmy car", "c<my", "cmy>", "c<my>", "c<ca", "ccar", "car>"];
        for gram in grams.iter().chain(&["c<car", "ccar>"]) {
            let Digest(digest) = Digest::of(gram.as_bytes());
            let place = u64::from_le_bytes(*digest.first_chunk().unwrap()) % 64;
            expected[place as usize] += if digest[8] & 1 == 0 { 1.0 } else { -1.0 };
        }
        scale(&mut expected);
        assert_eq!(hashed_ngrams(&SMALL, "My... CAR!"), expected);
        let square: f32 = expected.iter().map(|value| value * value).sum();
        assert!((square - 64.0).abs() < 1e-3, "{square}");
    }

    #[test]
    fn what_has_no_word_is_zeros_and_letters_of_any_script_count() {
        for text in ["", "?!", " \u{1f600} "] {
            assert_eq!(hashed_ngrams(&SMALL, text), [0.0; 64], "{text}");
        }
        assert_eq!(hashed_ngrams(&SMALL, "ÄRGER"), hashed_ngrams(&SMALL, "ärger"));
        assert_ne!(hashed_ngrams(&SMALL, "печь"), hashed_ngrams(&SMALL, "речь"));
        let words = HashedNgrams { longest: 0, ..SMALL };
        assert_ne!(hashed_ngrams(&words, "a b"), hashed_ngrams(&words, "b a"));
    }
}
