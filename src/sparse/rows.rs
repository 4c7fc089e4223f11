//! Which weights each row has, as offsets into a block of the input.
//!
//! Knows no value, no place of the output and no instruction set.

/// The weights of each row, as offsets into a block of the input.
#[derive(Clone, Debug)]
pub(super) enum Rows {
    /// Every row has the same list: the layer is dense.
    Uniform {
        /// How many rows.
        rows: usize,
        /// Their common list.
        offsets: Vec<u32>,
    },
    /// Row `r` has `offsets[starts[r]..starts[r + 1]]`.
    Ragged {
        /// Where each row begins, and the end of the last.
        starts: Vec<u32>,
        /// All lists, one after another.
        offsets: Vec<u32>,
    },
}

impl Rows {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Uniform { rows, .. } => *rows,
            Self::Ragged { starts, .. } => starts.len() - 1,
        }
    }

    pub(super) fn terms(&self) -> usize {
        match self {
            Self::Uniform { rows, offsets } => rows * offsets.len(),
            Self::Ragged { offsets, .. } => offsets.len(),
        }
    }

    /// The list of row `row`, and where its values begin.
    #[inline(always)]
    pub(super) fn list(&self, row: usize) -> (&[u32], usize) {
        match self {
            Self::Uniform { offsets, .. } => (offsets, row * offsets.len()),
            Self::Ragged { starts, offsets } => {
                let start = starts[row] as usize;
                (&offsets[start..starts[row + 1] as usize], start)
            }
        }
    }

    /// Makes rows of lists, uniform if all lists are equal.
    pub(super) fn of(lists: Vec<Vec<u32>>) -> Self {
        let same = lists.windows(2).all(|pair| pair[0] == pair[1]);
        if same && !lists.is_empty() {
            return Self::Uniform { rows: lists.len(), offsets: lists[0].clone() };
        }
        let mut starts = vec![0];
        let mut offsets = Vec::new();
        for list in lists {
            offsets.extend_from_slice(&list);
            starts.push(offsets.len() as u32);
        }
        Self::Ragged { starts, offsets }
    }

    /// Bytes of the lists.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Uniform { offsets, .. } => size_of_val(&offsets[..]),
            Self::Ragged { starts, offsets } => {
                size_of_val(&offsets[..]) + size_of_val(&starts[..])
            }
        }
    }
}

/// Units that a call is cut into, if its shape allows.
pub(super) const UNITS: usize = 8;

/// Weights of a layer up to which several units of its gradient have sums of their own for all of them.
pub(super) const PRIVATE: usize = 1 << 16;
