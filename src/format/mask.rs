//! Masks as bytes: which flat positions of a tensor exist.
//!
//! Every list of positions has exactly one spelling in each kind, and what decodes is what was
//! checked: strictly ascending, below `numel`, as many as the record says.

use super::fault::MaskFault;
use super::types::Kind;
use crate::base::bytes::Reader;
use crate::base::hash::Digest;

/// Positions of a tile.
const TILE: u64 = 256;
/// Positions of a group, which has one running count.
const GROUP: u64 = 4096;
/// Tiles of a group.
const TILES: usize = (GROUP / TILE) as usize;

/// The group sizes of N:M, largest first: where several fit, the largest is the smallest to store.
const N_OF_M: [u8; 4] = [16, 8, 4, 2];

/// Bytes of the mask of a tensor of `numel` positions of which `nnz` exist, for kinds whose
/// positions are in the file itself.
pub(crate) fn encoded_len(kind: Kind, numel: u64, nnz: u64) -> u64 {
    let groups = numel.div_ceil(GROUP);
    match kind {
        Kind::Bitmap => groups * 4 + numel.div_ceil(8),
        Kind::Tile256 => groups * 6 + numel.div_ceil(TILE) + nnz,
        Kind::NOfM { m, .. } => (nnz * u64::from(m.ilog2())).div_ceil(8),
        Kind::Dense | Kind::SameAs { .. } | Kind::OfBase => 0,
    }
}

/// The kind that stores these positions in the fewest bytes.
pub(crate) fn choose(numel: u64, positions: &[u32]) -> Kind {
    let nnz = positions.len() as u64;
    let regular = N_OF_M.into_iter().filter_map(|m| n_of_m(numel, positions, m));
    let kinds = regular.chain([Kind::Tile256, Kind::Bitmap]);
    kinds.min_by_key(|kind| encoded_len(*kind, numel, nnz)).unwrap_or(Kind::Bitmap)
}

/// N:M, if every group of `m` holds the same number of positions, neither none nor all.
fn n_of_m(numel: u64, positions: &[u32], m: u8) -> Option<Kind> {
    let groups = numel / u64::from(m);
    let n = (positions.len() as u64).checked_div(groups)?;
    let regular = numel.is_multiple_of(u64::from(m))
        && n > 0
        && n < u64::from(m)
        && n * groups == positions.len() as u64
        && positions.iter().zip(0u64..).all(|(p, i)| u64::from(p / u32::from(m)) == i / n);
    regular.then_some(Kind::NOfM { n: n as u8, m })
}

/// Holds a list of positions against the rules that every mask keeps.
pub(crate) fn check(numel: u64, positions: &[u32], claimed: u64) -> Result<(), MaskFault> {
    for pair in positions.windows(2) {
        if pair[0] >= pair[1] {
            return Err(MaskFault::NotIncreasing { before: pair[0], found: pair[1] });
        }
    }
    if let Some(&last) = positions.last().filter(|&&last| u64::from(last) >= numel) {
        return Err(MaskFault::Outside { position: last.into(), numel });
    }
    count(claimed, positions.len() as u64)
}

fn count(claimed: u64, counted: u64) -> Result<(), MaskFault> {
    if claimed == counted { Ok(()) } else { Err(MaskFault::Count { claimed, counted }) }
}

/// The digest of a mask, whatever kind stores it. A full mask has one that names no position.
pub(crate) fn digest(numel: u64, positions: Option<&[u32]>) -> Digest {
    const CONTEXT: &str = "unlearn esm mask, version 1";
    match positions.filter(|p| p.len() as u64 != numel) {
        None => Digest::of_parts(CONTEXT, &[b"every position"]),
        Some(positions) => {
            let bytes: Vec<u8> = positions.iter().flat_map(|p| p.to_le_bytes()).collect();
            Digest::of_parts(CONTEXT, &[b"these positions", &bytes])
        }
    }
}

/// The bytes of a checked list of positions. Empty for kinds that store no positions.
pub(crate) fn encode(kind: Kind, numel: u64, positions: &[u32]) -> Vec<u8> {
    match kind {
        Kind::Bitmap => encode_bitmap(numel, positions),
        Kind::Tile256 => encode_tiles(numel, positions),
        Kind::NOfM { m, .. } => encode_n_of_m(positions, m),
        Kind::Dense | Kind::SameAs { .. } | Kind::OfBase => Vec::new(),
    }
}

/// For each group, how many positions lie before it.
fn prefixes(numel: u64, positions: &[u32]) -> Vec<u8> {
    (0..numel.div_ceil(GROUP))
        .flat_map(|group| {
            let before = positions.partition_point(|&p| u64::from(p) < group * GROUP);
            (before as u32).to_le_bytes()
        })
        .collect()
}

fn encode_bitmap(numel: u64, positions: &[u32]) -> Vec<u8> {
    let mut bits = vec![0u8; numel.div_ceil(8) as usize];
    for &position in positions {
        bits[position as usize / 8] |= 1 << (position % 8);
    }
    let mut out = prefixes(numel, positions);
    out.append(&mut bits);
    out
}

fn encode_tiles(numel: u64, positions: &[u32]) -> Vec<u8> {
    let tiles = numel.div_ceil(TILE) as usize;
    let mut counts = vec![0u32; tiles];
    for &position in positions {
        counts[position as usize / TILE as usize] += 1;
    }
    let mut out = prefixes(numel, positions);
    for group in counts.chunks(TILES) {
        let full = group
            .iter()
            .zip(0..)
            .fold(0u16, |bits, (&count, tile)| bits | u16::from(count == TILE as u32) << tile);
        out.extend(full.to_le_bytes());
    }
    // A byte holds 0 to 255; a full tile is 0 here and has its bit above.
    out.extend(counts.iter().map(|&count| count as u8));
    out.extend(positions.iter().map(|&position| position as u8));
    out
}

fn encode_n_of_m(positions: &[u32], m: u8) -> Vec<u8> {
    let width = m.ilog2() as usize;
    let mut out = vec![0u8; (positions.len() * width).div_ceil(8)];
    for (i, &position) in positions.iter().enumerate() {
        let field = (position % u32::from(m)) << (i * width % 8);
        // A field of three bits may reach into the next byte.
        for (byte, part) in out[i * width / 8..].iter_mut().zip(field.to_le_bytes()).take(2) {
            *byte |= part;
        }
    }
    out
}

/// The positions that `bytes` mark, checked.
pub(crate) fn decode(
    kind: Kind,
    numel: u64,
    nnz: u64,
    bytes: &[u8],
) -> Result<Vec<u32>, MaskFault> {
    let (claimed, expected) = (bytes.len() as u64, encoded_len(kind, numel, nnz));
    if claimed != expected {
        return Err(MaskFault::Length { claimed, expected });
    }
    let positions = match kind {
        Kind::Bitmap => decode_bitmap(numel, nnz, bytes)?,
        Kind::Tile256 => decode_tiles(numel, nnz, bytes)?,
        Kind::NOfM { n, m } => decode_n_of_m(nnz, bytes, n, m)?,
        Kind::Dense | Kind::SameAs { .. } | Kind::OfBase => Vec::new(),
    };
    check(numel, &positions, nnz)?;
    check_prefixes(kind, numel, &positions, bytes)?;
    Ok(positions)
}

fn check_prefixes(
    kind: Kind,
    numel: u64,
    positions: &[u32],
    bytes: &[u8],
) -> Result<(), MaskFault> {
    if !matches!(kind, Kind::Bitmap | Kind::Tile256) {
        return Ok(());
    }
    let expected = prefixes(numel, positions);
    for ((group, claimed), expected) in (0..).zip(bytes.chunks(4)).zip(expected.chunks(4)) {
        if claimed != expected {
            let number = |b: &[u8]| b.iter().rev().fold(0, |sum, &b| sum << 8 | u64::from(b));
            let (claimed, expected) = (number(claimed), number(expected));
            return Err(MaskFault::Prefix { group, claimed, expected });
        }
    }
    Ok(())
}

fn decode_bitmap(numel: u64, nnz: u64, bytes: &[u8]) -> Result<Vec<u32>, MaskFault> {
    let first = (numel.div_ceil(GROUP) * 4) as usize;
    let bits = &bytes[first..];
    let counted = bits.iter().map(|byte| u64::from(byte.count_ones())).sum();
    // Held before anything is allocated: a bitmap of ones is a thirty-second of its positions.
    count(nnz, counted)?;
    let mut positions = Vec::with_capacity(counted as usize);
    for (i, &byte) in bits.iter().enumerate() {
        let mut left = byte;
        while left != 0 {
            let position = i as u64 * 8 + u64::from(left.trailing_zeros());
            if position >= numel {
                return Err(MaskFault::Padding { byte: (first + i) as u64 });
            }
            // Below `numel`, which fits 32 bits.
            positions.push(position as u32);
            left &= left - 1;
        }
    }
    Ok(positions)
}

fn decode_tiles(numel: u64, nnz: u64, bytes: &[u8]) -> Result<Vec<u32>, MaskFault> {
    let groups = numel.div_ceil(GROUP) as usize;
    let tiles = numel.div_ceil(TILE) as usize;
    let (full, rest) = bytes[groups * 4..].split_at(groups * 2);
    let (counts, indices) = rest.split_at(tiles);
    let mut reader = Reader::new(indices);
    let mut positions = Vec::with_capacity(indices.len());
    for (tile, &count) in counts.iter().enumerate() {
        let is_full = full[tile / TILES * 2 + tile % TILES / 8] >> (tile % 8) & 1 == 1;
        if is_full && count != 0 {
            return Err(MaskFault::FullTile { tile: tile as u64, count });
        }
        let held = if is_full { TILE as usize } else { usize::from(count) };
        let Ok(taken) = reader.take(held) else {
            let counted = (reader.position() + held) as u64;
            return Err(MaskFault::Count { claimed: nnz, counted });
        };
        // `tile * 256` is below `numel`, but the index may reach beyond: `check` sees that, so the
        // sum must not wrap into an innocent position.
        for &index in taken {
            let position = tile as u64 * TILE + u64::from(index);
            let outside = MaskFault::Outside { position, numel };
            positions.push(u32::try_from(position).map_err(|_| outside)?);
        }
    }
    let unused = (tiles..groups * TILES).find(|t| full[t / 8] >> (t % 8) & 1 == 1);
    if let Some(tile) = unused {
        return Err(MaskFault::Padding { byte: (groups * 4 + tile / 8) as u64 });
    }
    Ok(positions)
}

fn decode_n_of_m(nnz: u64, bytes: &[u8], n: u8, m: u8) -> Result<Vec<u32>, MaskFault> {
    let width = m.ilog2() as usize;
    let nnz = nnz as usize;
    let used = nnz * width % 8;
    if bytes.last().is_some_and(|&last| used != 0 && last >> used != 0) {
        return Err(MaskFault::Padding { byte: bytes.len() as u64 - 1 });
    }
    let positions = (0..nnz).map(|i| {
        let bit = i * width;
        let low = u32::from(bytes[bit / 8]);
        let high = u32::from(bytes.get(bit / 8 + 1).copied().unwrap_or(0));
        let field = (high << 8 | low) >> (bit % 8) & (u32::from(m) - 1);
        // Below `numel`: the record check holds `nnz * m == numel * n`.
        (i / usize::from(n)) as u32 * u32::from(m) + field
    });
    Ok(positions.collect())
}
