//! The index of samples of a home: open, closed for a worker, opened again after an error of the disk.

use super::error::HomeError;
use super::home::Home;
use crate::vault::{Keyring, Store, VaultError};

impl Home {
    /// The index of samples.
    ///
    /// # Errors
    /// If it is closed, because a worker reads it.
    pub fn store(&self) -> Result<&Store, HomeError> {
        self.store.as_ref().ok_or(HomeError::UnderWay { what: "a run" })
    }

    /// Closes the index, for another process to read it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn close_store(&mut self) -> Result<(), HomeError> {
        match self.store.take() {
            Some(store) => Ok(store.close()?),
            None => Ok(()),
        }
    }

    /// Opens the index, if it was closed.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open_store(&mut self) -> Result<(), HomeError> {
        if self.store.is_none() {
            let path = self.folder.join("vault.redb");
            self.store = Some(Store::open(self.disk.as_mut(), &path)?);
        }
        Ok(())
    }

    /// Gives freed pages of the index back to the disk.
    pub(super) fn compact(&mut self) -> Result<(), HomeError> {
        self.change_index(|store, _| store.compact())
    }

    /// Changes the index. After an error of the disk the engine refuses everything until it is opened
    /// again: that is tried at once, and by whoever needs it next.
    pub(super) fn change_index<T>(
        &mut self,
        change: impl FnOnce(&mut Store, &Keyring) -> Result<T, VaultError>,
    ) -> Result<T, HomeError> {
        let store = self.store.as_mut().ok_or(HomeError::UnderWay { what: "a run" })?;
        let changed = change(store, &self.keyring);
        if let Err(VaultError::Disk(_) | VaultError::Database { .. }) = &changed {
            self.store = None;
            // The first fault is the one to tell.
            let _ = self.open_store();
        }
        Ok(changed?)
    }
}
