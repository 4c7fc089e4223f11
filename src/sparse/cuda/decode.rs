//! Launchers of what decodes a model file's bytes on a device: masks and values, from where the device reads the
//! file ([`Machine::reading`]) to the packed form that layers read.
//!
//! A pass lays a layer's packed form out dense itself, so that no second way leads from a mask's bytes to the
//! scratch. The processor has verified the bytes before; the kernels hold them against the rules once more
//! ([`Faults`]), so that what changed since neither reaches past a buffer nor goes unseen.

use super::error::CudaError;
use super::kernel::Kernel;
use super::machine::{Address, Arg, Grid, Machine};
use super::mask_bits::MaskAt;
use super::tensor::{THREADS, each, word};

/// Positions of a group, which has a running count, and words of their bits.
const GROUP: usize = 4096;
const GROUP_WORDS: usize = 128;
/// Positions of a tile.
const TILE: usize = 256;

/// What the bytes may break, in the order of the words that say so. As in the sources.
const RULES: [&str; 8] = [
    "a running count is not the number of positions before its group",
    "an index is not larger than the one before it",
    "an index lies outside the tensor",
    "the padding after the mask is not zero",
    "a full tile has a count",
    "a value is not a finite number",
    "a scale is not a positive normal number, or too large",
    "a value is -128",
];

/// Bytes of the words in which kernels say what is wrong with a tensor. All are zero at first.
pub const FAULT_BYTES: usize = 4 * RULES.len();

/// What the words at a tensor's place say: the first rule that its bytes break.
///
/// # Panics
/// If `words` are not [`FAULT_BYTES`] bytes.
pub fn broken_rule(words: &[u8]) -> Option<&'static str> {
    assert_eq!(words.len(), FAULT_BYTES, "the words of one tensor");
    let mut rules = words.as_chunks::<4>().0.iter().zip(RULES);
    rules.find(|(word, _)| **word != [0; 4]).map(|(_, rule)| rule)
}

/// Bytes that a device reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where they begin: at a multiple of 4.
    pub at: Address,
    /// How many there are.
    pub len: usize,
}

/// How bytes spell which positions exist. `FORMAT.md` of the model file has each to the bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// Running counts, then a bit a position.
    Bitmap,
    /// Running counts, full tiles, counts of tiles, an index of a byte for each that exists.
    Tiles,
    /// `n` of every `m`, an index of log2 m bits each.
    NOfM {
        /// That exist.
        n: usize,
        /// Of so many: 2, 4, 8 or 16.
        m: usize,
    },
}

/// How bytes spell values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single.
    Bf16,
    /// A scale a channel, then a signed byte a value.
    Int8 {
        /// Channels: equal runs of positions.
        channels: usize,
    },
}

/// A tensor whose bytes are to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Positions, existing or not: below 2^31.
    pub positions: usize,
    /// Those that exist.
    pub existing: usize,
    /// How its mask is spelt, and where; none if all positions exist.
    pub mask: Option<(Spelling, Source)>,
    /// How its values are spelt, and where.
    pub values: (Values, Source),
}

impl Encoded {
    /// Words of [`MaskAt::bits`], and of [`MaskAt::before`].
    pub fn mask_words(&self) -> usize {
        if self.mask.is_some() { self.positions.div_ceil(32) } else { 0 }
    }

    /// Decodes the mask to `mask`, where there is one, and the values, packed, to `values`. What is wrong with the bytes is
    /// said at `faults` ([`broken_rule`]), to be read before anything is used.
    ///
    /// The same bytes on every device: counts are of integers, and no two values meet.
    ///
    /// # Panics
    /// If counts or lengths do not belong together: whoever reads them from a file holds them first.
    ///
    /// # Errors
    /// If the device refuses a launch.
    pub fn decode(
        &self,
        machine: &mut dyn Machine,
        mask: MaskAt,
        values: Address,
        faults: Address,
    ) -> Result<(), CudaError> {
        self.check();
        if self.positions == 0 {
            return Ok(());
        }
        if let Some((spelling, source)) = self.mask {
            self.decode_mask(machine, (spelling, source), mask, faults)?;
        }
        let (kind, source) = self.values;
        let [positions, existing] = [self.positions, self.existing].map(|n| Arg::Word(word(n)));
        let kind = match kind {
            Values::F32 => 0,
            Values::F16 => 1,
            Values::Bf16 => 2,
            Values::Int8 { channels } => {
                let mask = if self.mask.is_some() { mask } else { MaskAt::default() };
                let at = [source.at, mask.bits, mask.before, values, faults].map(Arg::Address);
                let args = [&at[..], &[positions, existing, Arg::Word(word(channels))]].concat();
                let grid = each(self.positions.div_ceil(32));
                return machine.launch(Kernel::DecodeInt8, grid, &args);
            }
        };
        if self.existing == 0 {
            return Ok(());
        }
        let at = [source.at, values, faults].map(Arg::Address);
        let args = [&at[..], &[existing, Arg::Word(kind)]].concat();
        machine.launch(Kernel::DecodeReals, each(self.existing), &args)
    }

    fn decode_mask(
        &self,
        machine: &mut dyn Machine,
        (spelling, source): (Spelling, Source),
        mask: MaskAt,
        faults: Address,
    ) -> Result<(), CudaError> {
        let at = [source.at, mask.bits, mask.before, faults].map(Arg::Address);
        let counts = [self.positions, self.existing].map(|n| Arg::Word(word(n)));
        let mut args = [&at[..], &counts[..]].concat();
        let groups = [word(self.positions.div_ceil(GROUP)), 1, 1];
        let (kernel, grid) = match spelling {
            Spelling::Bitmap => {
                (Kernel::DecodeBitmap, Grid { blocks: groups, threads: GROUP_WORDS as u32 })
            }
            Spelling::Tiles => {
                (Kernel::DecodeTiles, Grid { blocks: groups, threads: THREADS as u32 })
            }
            Spelling::NOfM { n, m } => {
                args.extend([n, m].map(|n| Arg::Word(word(n))));
                (Kernel::DecodeNOfM, each(self.positions.div_ceil(32)))
            }
        };
        machine.launch(kernel, grid, &args)
    }

    /// Bytes that the mask must have.
    fn mask_len(&self, spelling: Spelling) -> usize {
        let groups = self.positions.div_ceil(GROUP);
        match spelling {
            Spelling::Bitmap => 4 * groups + self.positions.div_ceil(8),
            Spelling::Tiles => 6 * groups + self.positions.div_ceil(TILE) + self.existing,
            Spelling::NOfM { m, .. } => (self.existing * m.ilog2() as usize).div_ceil(8),
        }
    }

    /// Bytes that the values must have.
    fn values_len(&self) -> usize {
        match self.values.0 {
            Values::F32 => 4 * self.existing,
            Values::F16 | Values::Bf16 => 2 * self.existing,
            Values::Int8 { channels } => 4 * channels + self.existing,
        }
    }

    /// Holds counts and lengths against each other: a length that lies must not reach a kernel.
    fn check(&self) {
        assert!(i32::try_from(self.positions).is_ok(), "{} positions", self.positions);
        let existing = match self.mask {
            None => self.existing == self.positions,
            Some(_) => self.existing <= self.positions,
        };
        assert!(existing, "{} of {} positions exist", self.existing, self.positions);
        if let Some((Spelling::NOfM { n, m }, _)) = self.mask {
            let fits =
                [2, 4, 8, 16].contains(&m) && n < m && self.existing * m == self.positions * n;
            assert!(fits, "{n} of {m} make {} of {}", self.existing, self.positions);
        }
        if let Values::Int8 { channels } = self.values.0 {
            let fits = channels > 0 && self.positions.is_multiple_of(channels);
            assert!(fits, "{channels} channels of {} positions", self.positions);
        }
        if let Some((spelling, source)) = self.mask {
            assert_eq!(source.len, self.mask_len(spelling), "bytes of a mask");
        }
        assert_eq!(self.values.1.len, self.values_len(), "bytes of values");
    }
}
