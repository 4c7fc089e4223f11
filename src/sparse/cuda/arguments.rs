//! The arguments of a launch, as the driver takes them: a pointer to each value.

use std::ffi::c_void;

use super::machine::Arg;

/// Most arguments of a launch.
const MOST: usize = 64;

/// Words of zeros behind the values: what a kernel may take by value in all.
const BEHIND: usize = 4096 / size_of::<u64>();

/// Values and pointers to them, in buffers that are used again for every launch.
#[derive(Default)]
pub(super) struct Arguments {
    /// Each value begins at a word of its own.
    words: Vec<u64>,
    starts: Vec<usize>,
    pointers: Vec<*mut c_void>,
}

impl Arguments {
    /// A pointer to each argument, in order; `None` if there are more than [`MOST`]. They hold until this is
    /// called again.
    ///
    /// The driver reads as many as the kernel declares, each as long as it is declared, and is not told how
    /// many there are. Zeros lie behind the last, and the pointers that are not taken point there, so a
    /// kernel that declares more than it is given reads those, and nothing of anybody else's.
    pub(super) fn pack(&mut self, args: &[Arg<'_>]) -> Option<&mut [*mut c_void]> {
        if args.len() > MOST {
            return None;
        }
        self.words.clear();
        self.starts.clear();
        for arg in args {
            self.starts.push(self.words.len());
            match arg {
                Arg::Address(address) => self.words.push(address.0),
                Arg::Word(word) => self.words.push(pair(*word, 0)),
                Arg::Real(real) => self.words.push(pair(real.to_bits(), 0)),
                Arg::Ints(fields) => self.words.extend(fields.chunks(2).map(|two| {
                    let second = two.get(1).copied().unwrap_or(0);
                    pair(two[0].cast_unsigned(), second.cast_unsigned())
                })),
            }
        }
        self.starts.resize(MOST, self.words.len());
        self.words.resize(self.words.len() + BEHIND, 0);
        self.pointers.clear();
        let words = self.words.as_mut_ptr();
        let starts = self.starts.iter();
        self.pointers.extend(starts.map(|&start| words.wrapping_add(start).cast::<c_void>()));
        Some(&mut self.pointers)
    }
}

/// Two values side by side in memory, whatever the order of bytes.
fn pair(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::cuda::Address;

    /// The bytes from each argument to the next.
    fn packed(arguments: &mut Arguments, args: &[Arg<'_>]) -> Vec<Vec<u8>> {
        let pointers = arguments.pack(args).unwrap().to_vec();
        let begin = arguments.words.as_ptr() as usize;
        let at = |index: usize| pointers[index] as usize - begin;
        let bytes: Vec<u8> = arguments.words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert!(pointers[args.len()..].iter().all(|&p| p as usize - begin + 4096 == bytes.len()));
        (0..args.len()).map(|index| bytes[at(index)..at(index + 1)].to_vec()).collect()
    }

    #[test]
    fn each_kind_lies_in_memory_as_a_kernel_reads_it() {
        let mut arguments = Arguments::default();
        let args = [
            Arg::Address(Address(0x1234_5678_9abc_def0)),
            Arg::Word(7),
            Arg::Ints(&[1, -2, 3]),
            Arg::Real(1.5),
            Arg::Ints(&[]),
            Arg::Address(Address(1)),
        ];
        let ints: Vec<u8> = [1, -2, 3, 0].iter().flat_map(|int: &i32| int.to_ne_bytes()).collect();
        let expected = [
            0x1234_5678_9abc_def0_u64.to_ne_bytes().to_vec(),
            [7_u32.to_ne_bytes(), [0; 4]].concat(),
            ints,
            [1.5_f32.to_ne_bytes(), [0; 4]].concat(),
            Vec::new(),
            1_u64.to_ne_bytes().to_vec(),
        ];
        assert_eq!(packed(&mut arguments, &args), expected);
    }

    #[test]
    fn a_second_launch_keeps_nothing_of_the_first_and_takes_no_memory() {
        let mut arguments = Arguments::default();
        let many = [Arg::Word(9); MOST];
        assert_eq!(packed_len(&mut arguments, &many), MOST);
        let (words, pointers) = (arguments.words.capacity(), arguments.pointers.capacity());
        assert_eq!(packed(&mut arguments, &[Arg::Word(1)])[0][..4], 1_u32.to_ne_bytes());
        assert!(arguments.words[1..].iter().all(|&word| word == 0));
        assert_eq!((arguments.words.capacity(), arguments.pointers.capacity()), (words, pointers));
        assert!(arguments.pack(&[Arg::Word(9); MOST + 1]).is_none());
    }

    fn packed_len(arguments: &mut Arguments, args: &[Arg<'_>]) -> usize {
        arguments.pack(args).unwrap().len()
    }
}
