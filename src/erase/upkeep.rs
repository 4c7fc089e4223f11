//! What a home does for itself whenever it is opened, and on a disk that is full.

use std::path::PathBuf;

use super::error::HomeError;
use super::files::OLDER;
use super::home::Home;
use super::journal::Stands;
use super::slot;
use crate::base::disk::{Disk, replace};
use crate::base::rng::Stream;

/// Bytes that are kept for the day on which the disk is full and somebody asks to be erased.
const BALLAST: usize = 64 << 10;

/// Gives the ballast in `folder` back to the disk. Says whether there was one.
///
/// # Errors
/// If it cannot be removed.
pub(super) fn spend_ballast(
    disk: &mut dyn Disk,
    folder: &std::path::Path,
) -> Result<bool, HomeError> {
    let path = folder.join("ballast");
    if !disk.exists(&path)? {
        return Ok(false);
    }
    disk.remove(&path)?;
    disk.sync_folder(folder)?;
    Ok(true)
}

impl Home {
    /// Does something that must not fail for want of room, as a stop or a shredding: where the disk is
    /// full, once more without the ballast.
    pub(super) fn in_need<T>(
        &mut self,
        mut run: impl FnMut(&mut Self) -> Result<T, HomeError>,
    ) -> Result<T, HomeError> {
        match run(self) {
            Err(error) if error.is_full() => {
                match spend_ballast(self.disk.as_mut(), &self.folder)? {
                    true => self.open_store().and_then(|()| run(self)),
                    false => Err(error),
                }
            }
            done => done,
        }
    }

    /// Keeps a few bytes that an erasure on a full disk can do with. Noise: a file system that compresses
    /// would keep nothing of zeros.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(super) fn keep_ballast(&mut self) -> Result<(), HomeError> {
        let path = self.folder.join("ballast");
        if !self.disk.exists(&path)? {
            let mut stream = Stream::new(self.state.seed, "home/ballast");
            let noise: Vec<u8> =
                (0..BALLAST / 8).flat_map(|_| stream.word().to_le_bytes()).collect();
            replace(self.disk.as_mut(), &path, &noise)?;
        }
        Ok(())
    }

    /// Holds the index against what is known, and removes what does not belong.
    pub(super) fn hold_against_state(&mut self) -> Result<(), HomeError> {
        let (found, known) = (self.store()?.next()?, self.state.ordered_upto());
        if found < known {
            let path = self.folder.join("vault.redb");
            return Err(HomeError::RolledBack { path, found, known });
        }
        self.lost_job()?;
        self.store()?.purge(&self.keyring)?;
        // Whoever has a key and no entry was being enrolled when the power went.
        let known: Vec<_> =
            self.store()?.people(&self.keyring)?.into_iter().map(|(h, _)| h).collect();
        let cut: Vec<_> =
            self.keyring.people().filter(|h| known.binary_search(h).is_err()).collect();
        if !cut.is_empty() {
            let mut keyring = self.keyring.clone();
            cut.iter().for_each(|handle| _ = keyring.forget(handle));
            keyring.save(self.disk.as_mut(), self.keys.as_ref())?;
            self.keyring = keyring;
        }
        Ok(())
    }

    /// Refuses a journal that lacks an erasure which has begun to destroy.
    pub(super) fn lost_job(&self) -> Result<(), HomeError> {
        let open = self.job().map_or_else(Vec::new, |job| job.people());
        let gone = &self.state.erased_people;
        let lost: Vec<_> = gone.iter().copied().filter(|one| !open.contains(one)).collect();
        let repairs = self.state.pending.as_ref().is_some_and(|work| !work.adapts);
        if self.state.holding(&lost).next().is_some() || (repairs && open.is_empty()) {
            return Err(HomeError::Damaged {
                path: self.folder.join("journal"),
                offset: 0,
                what: format!("an erasure that is under way is not in it: {OLDER}"),
            });
        }
        Ok(())
    }

    /// Whether the job in the journal is at its end.
    pub(super) fn ended(&self) -> bool {
        self.journal.stands(&self.state.journal) == Stands::Ended
    }

    /// Removes files whose key is gone, and what a cut-short write left behind. Says which.
    pub(super) fn sweep(&mut self) -> Result<Vec<PathBuf>, HomeError> {
        let mut doomed = Vec::new();
        for path in self.disk.list(&self.folder.join("slots"))? {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let slot = name.as_deref().and_then(|name| name.split_once('.')).map(|(slot, _)| slot);
            let known =
                slot.is_some_and(|slot| self.keyring.named(&slot::key_name(slot)).is_some());
            if !known {
                doomed.push(path);
            }
        }
        for folder in ["", "receipts", "keys"] {
            let folder = self.folder.join(folder);
            let hidden = |path: &PathBuf| {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                name.is_some_and(|name| name.starts_with('.') && name.ends_with(".new"))
            };
            doomed.extend(self.disk.list(&folder)?.into_iter().filter(hidden));
        }
        // Written in place of a base that is sealed, by a reset that never came to its end.
        let blank = self.folder.join("base.esm");
        if self.state.base.slot.is_some() && self.disk.exists(&blank)? {
            doomed.push(blank);
        }
        for path in &doomed {
            self.disk.remove(path)?;
        }
        if !doomed.is_empty() {
            for folder in ["slots", "receipts", "keys"] {
                self.disk.sync_folder(&self.folder.join(folder))?;
            }
            self.disk.sync_folder(&self.folder)?;
        }
        Ok(doomed)
    }
}
