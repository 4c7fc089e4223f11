//! A home's journal, rewritten as another clock would have written it.

use std::path::Path;

use unlearn::base::hash::Digest;
use unlearn::erase::Event;

/// Moves every moment of the journal at `path` on by `seconds`.
pub fn later(path: &Path, seconds: u64) {
    let bytes = std::fs::read(path).unwrap();
    let (mut out, mut rest) = (bytes[..44].to_vec(), &bytes[44..]);
    let mut link = bytes[12..44].to_vec();
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let (record, after) = after.split_at(u32::from_le_bytes(*len) as usize);
        rest = &after[32..];
        let mut event: Event = postcard::from_bytes(record).unwrap();
        match &mut event {
            Event::Received(request) => request.at += seconds,
            Event::Cancelled(_) | Event::Bounded(_) => {}
            Event::Stopped(at)
            | Event::Decided(at, _)
            | Event::Shredded(at, _)
            | Event::Unlearnt(at, _)
            | Event::Gated(at, _)
            | Event::Failed(at, _)
            | Event::Resumed(at) => *at += seconds,
        }
        let record = postcard::to_allocvec(&event).unwrap();
        link = Digest::of_parts("unlearn journal: link, version 1", &[&link, &record]).0.to_vec();
        out.extend((record.len() as u32).to_le_bytes());
        out.extend(record);
        out.extend(&link);
    }
    std::fs::write(path, out).unwrap();
}
