//! The order of an epoch, and the same picture seen a little differently each time.
//!
//! Every draw has a stream named after the epoch (and, for a sample's augmentation, the sample),
//! so the result does not depend on which thread asks, nor on the order of asking.

use serde::{Deserialize, Serialize};

use crate::base::rng::Stream;

use super::dataset::{Dataset, Values};

/// The order in which one epoch visits samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order(Vec<usize>);

impl Order {
    /// `0..len` in the random order of `epoch`, stream `order/{epoch}`.
    pub fn new(len: usize, seed: u64, epoch: usize) -> Self {
        Self(Stream::new(seed, &format!("order/{epoch}")).permutation(len))
    }

    /// `indices` in the random order of `epoch`: position `i` of [`Order::new`] stands for
    /// `indices[i]`. For training on a part of a set without copying it.
    pub fn over(indices: &[usize], seed: u64, epoch: usize) -> Self {
        let Self(positions) = Self::new(indices.len(), seed, epoch);
        Self(positions.into_iter().map(|position| indices[position]).collect())
    }

    /// The indices in order.
    pub fn indices(&self) -> &[usize] {
        &self.0
    }

    /// Batches of `batch_size` indices; the last one may be smaller.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn batches(&self, batch_size: usize) -> impl ExactSizeIterator<Item = &[usize]> {
        assert!(batch_size > 0, "a batch holds at least one sample");
        self.0.chunks(batch_size)
    }
}

/// How pictures are varied in training. The default varies nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Rows and columns of zeros put on each side before a window of the old size is cut out at
    /// random; 0 cuts nothing. The paper uses 4 for CIFAR.
    pub crop_padding: usize,
    /// Whether half of the pictures are mirrored, left to right.
    pub flip: bool,
}

/// One draw of an [`Augment`]: what happens to one sample in one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// The window starts so many rows below the picture's first row (negative: above).
    pub down: isize,
    /// The window starts so many columns right of the picture's first column (negative: left).
    pub right: isize,
    /// Whether the window is mirrored.
    pub mirrored: bool,
}

impl Augment {
    /// What happens to sample `index` in `epoch`, stream `augment/{epoch}/{index}`.
    pub fn draw(self, seed: u64, epoch: usize, index: usize) -> Draw {
        if self == Self::default() {
            return Draw::default();
        }
        let mut stream = Stream::new(seed, &format!("augment/{epoch}/{index}"));
        let reach = self.crop_padding;
        let mut shift = || stream.index(2 * reach + 1) as isize - reach as isize;
        let (down, right) = (shift(), shift());
        Draw { down, right, mirrored: self.flip && stream.below(2) == 1 }
    }
}

impl Dataset {
    /// Writes sample `index` into `out` as [`Dataset::read`] does, cropped and mirrored as `draw`
    /// says. What lies outside the picture is 0 before any normalisation: that is part of the
    /// model.
    ///
    /// # Panics
    /// If `index >= len()` or `out.len() != sample_len()`.
    pub fn read_augmented(&self, index: usize, draw: Draw, out: &mut [f32]) {
        if draw == Draw::default() {
            return self.read(index, out);
        }
        let len = self.sample_len();
        assert_eq!(out.len(), len, "a sample has {len} values");
        let range = index * len..(index + 1) * len;
        match &self.values {
            Values::Bytes(bytes) => {
                self.window(&bytes[range], draw, out, |byte| f32::from(byte) / 255.0);
            }
            Values::Floats(floats) => self.window(&floats[range], draw, out, |float| float),
            Values::Filed(_) => {
                let mut whole = vec![0.0; len];
                self.read(index, &mut whole);
                self.window(&whole, draw, out, |float| float);
            }
        }
    }

    fn window<T: Copy>(&self, from: &[T], draw: Draw, out: &mut [f32], value: impl Fn(T) -> f32) {
        let [_, height, width] = self.shape;
        // Row by row: a division for each value would cost more than reading it.
        for (line, to) in out.chunks_exact_mut(width.max(1)).enumerate() {
            let (plane, row) = (line / height, line % height);
            let row = row.checked_add_signed(draw.down).filter(|&row| row < height);
            let from = row.map(|row| &from[(plane * height + row) * width..][..width]);
            for (column, to) in to.iter_mut().enumerate() {
                let column = if draw.mirrored { width - 1 - column } else { column };
                // A column left of the picture wraps to one far beyond it.
                let column = column.wrapping_add_signed(draw.right);
                *to = from.and_then(|from| from.get(column)).map_or(0.0, |&from| value(from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Dataset {
        Dataset {
            shape: [1, 2, 3],
            values: Values::Floats(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            labels: vec![0],
            classes: vec!["only".into()],
            subjects: Vec::new(),
            subject_names: Vec::new(),
            groups: Vec::new(),
        }
    }

    fn seen(draw: Draw) -> Vec<f32> {
        let mut out = vec![9.0; 6];
        picture().read_augmented(0, draw, &mut out);
        out
    }

    #[test]
    fn an_epoch_visits_each_sample_once_and_epochs_differ() {
        let order = Order::new(10, 7, 0);
        let batches: Vec<&[usize]> = order.batches(4).collect();
        assert_eq!(batches.iter().map(|batch| batch.len()).collect::<Vec<_>>(), [4, 4, 2]);
        let mut all = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(order, Order::new(10, 7, 0));
        assert_ne!(order, Order::new(10, 7, 1));
        assert_ne!(order, Order::new(10, 8, 0));
        let tens: Vec<usize> = (0..10).map(|index| index * 10).collect();
        let over = Order::over(&tens, 7, 0);
        assert!(over.indices().iter().zip(order.indices()).all(|(ten, one)| *ten == one * 10));
    }

    #[test]
    fn a_window_that_leaves_the_picture_sees_zeros() {
        let draw = |down, right, mirrored| Draw { down, right, mirrored };
        assert_eq!(seen(draw(0, 0, false)), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(seen(draw(0, 0, true)), [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        assert_eq!(seen(draw(1, 0, false)), [4.0, 5.0, 6.0, 0.0, 0.0, 0.0]);
        assert_eq!(seen(draw(-1, 1, false)), [0.0, 0.0, 0.0, 2.0, 3.0, 0.0]);
        assert_eq!(seen(draw(0, 1, true)), [0.0, 3.0, 2.0, 0.0, 6.0, 5.0]);
    }

    #[test]
    fn draws_reach_every_shift_and_both_sides_and_repeat() {
        let augment = Augment { crop_padding: 2, flip: true };
        let draws: Vec<Draw> = (0..400).map(|index| augment.draw(1, 3, index)).collect();
        for shift in -2..=2 {
            assert!(draws.iter().any(|draw| draw.down == shift));
            assert!(draws.iter().any(|draw| draw.right == shift));
        }
        let mirrored = draws.iter().filter(|draw| draw.mirrored).count();
        assert!((150..250).contains(&mirrored), "{mirrored} of 400 mirrored");
        assert_eq!(augment.draw(1, 3, 17), draws[17]);
        assert_eq!(Augment::default().draw(1, 3, 17), Draw::default());
    }
}
