//! Masks and values as bytes, after FORMAT.md and none of the library's code: what spells them, and what holds bytes
//! against every rule.

use unlearn::sparse::cuda::Spelling;

/// The bytes of ascending positions.
pub fn spell(spelling: Spelling, numel: usize, positions: &[u32]) -> Vec<u8> {
    let of_group =
        |group: usize| positions.iter().filter(|&&p| (p as usize) < 4096 * group).count();
    let counts = (0..numel.div_ceil(4096)).flat_map(|group| (of_group(group) as u32).to_le_bytes());
    let mut out: Vec<u8> = counts.collect();
    match spelling {
        Spelling::Bitmap => {
            let mut bits = vec![0u8; numel.div_ceil(8)];
            positions.iter().for_each(|&p| bits[p as usize / 8] |= 1 << (p % 8));
            out.extend(bits);
        }
        Spelling::Tiles => {
            let mut held = vec![0usize; numel.div_ceil(256)];
            positions.iter().for_each(|&p| held[p as usize / 256] += 1);
            for group in held.chunks(16) {
                let full = group.iter().enumerate().filter(|(_, count)| **count == 256);
                out.extend(full.fold(0u16, |bits, (tile, _)| bits | 1 << tile).to_le_bytes());
            }
            out.extend(held.iter().map(|&count| (count % 256) as u8));
            out.extend(positions.iter().map(|&p| (p % 256) as u8));
        }
        Spelling::NOfM { m, .. } => {
            let width = m.ilog2() as usize;
            let bit = |i: usize| (positions[i / width] as usize % m) >> (i % width) & 1;
            let bits: Vec<usize> = (0..positions.len() * width).map(bit).collect();
            let byte = |eight: &[usize]| eight.iter().rev().fold(0, |byte, bit| byte << 1 | bit);
            return bits.chunks(8).map(|eight| byte(eight) as u8).collect();
        }
    }
    out
}

/// The positions that bytes spell; `None` if they break a rule. As plain as it can be.
pub fn read(spelling: Spelling, numel: usize, existing: usize, bytes: &[u8]) -> Option<Vec<u32>> {
    let groups = numel.div_ceil(4096);
    let mut positions: Vec<usize> = Vec::new();
    match spelling {
        Spelling::Bitmap => {
            let bit = |p: &usize| bytes[4 * groups + p / 8] >> (p % 8) & 1 == 1;
            positions.extend((0..numel.next_multiple_of(8)).filter(bit));
        }
        Spelling::Tiles => {
            let tiles = numel.div_ceil(256);
            let (full, rest) = bytes[4 * groups..].split_at(2 * groups);
            let (held, mut left) = rest.split_at(tiles);
            for tile in 0..16 * groups {
                let full = full[tile / 8] >> (tile % 8) & 1 == 1;
                let count = *held.get(tile).unwrap_or(&0);
                if full && (count != 0 || tile >= tiles) {
                    return None;
                }
                let count = if full { 256 } else { usize::from(count) };
                let own = left.split_off(..count)?;
                if own.windows(2).any(|two| two[0] >= two[1]) {
                    return None;
                }
                positions.extend(own.iter().map(|&index| 256 * tile + usize::from(index)));
            }
        }
        Spelling::NOfM { n, m } => {
            let width = m.ilog2() as usize;
            let bit = |at: usize| usize::from(bytes[at / 8] >> (at % 8) & 1);
            for i in 0..existing {
                let index = (0..width).fold(0, |sum, b| sum | bit(i * width + b) << b);
                positions.push(i / n * m + index);
            }
            if (existing * width..8 * bytes.len()).any(|at| bit(at) == 1) {
                return None;
            }
        }
    }
    let ascending = positions.windows(2).all(|two| two[0] < two[1]);
    if !ascending || positions.len() != existing || positions.last().is_some_and(|&p| p >= numel) {
        return None;
    }
    let positions: Vec<u32> = positions.into_iter().map(|p| p as u32).collect();
    (spell(spelling, numel, &positions) == bytes).then_some(positions)
}

/// Bits and ranks of positions, as layers read them.
pub fn bits(numel: usize, positions: &[u32]) -> [Vec<u32>; 2] {
    let mut words = vec![0u32; numel.div_ceil(32)];
    positions.iter().for_each(|&p| words[p as usize / 32] |= 1 << (p % 32));
    let mut before = vec![0; words.len()];
    positions.iter().for_each(|&p| before[p as usize / 32] += 1);
    let mut sum = 0;
    before.iter_mut().for_each(|own| (*own, sum) = (sum, sum + *own));
    [words, before]
}
