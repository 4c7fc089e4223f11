//! A home's journal, rewritten as another clock would have written it.

use std::path::Path;

use unlearn::base::disk::FileDisk;
use unlearn::base::hash::Digest;
use unlearn::erase::{Event, State};
use unlearn::vault::{FileKeyStore, Keyring};

/// Moves every moment of the journal of the home at `home` on by `seconds`.
pub fn later(home: &Path, seconds: u64) {
    let path = home.join("journal");
    let bytes = std::fs::read(&path).unwrap();
    let (mut out, mut rest) = (bytes[..44].to_vec(), &bytes[44..]);
    let (mut link, mut stopped) = (bytes[12..44].to_vec(), None);
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
        if matches!(event, Event::Stopped(_)) {
            stopped = Some(link.clone().try_into().unwrap());
        }
        out.extend((record.len() as u32).to_le_bytes());
        out.extend(record);
        out.extend(&link);
    }
    std::fs::write(path, out).unwrap();
    // The keyring knows where the newest stop was noted.
    let (mut disk, mut keys) = (FileDisk, FileKeyStore::new(&home.join("keys")));
    let mut keyring = Keyring::open(&mut disk, &home.join("keyring"), &mut keys).unwrap();
    let mut state = State::decode(keyring.state()).unwrap();
    state.stopped = stopped;
    keyring.set_state(state.encode().unwrap());
    keyring.save(&mut disk, &keys).unwrap();
}
