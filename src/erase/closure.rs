//! The closure of an erasure: everything that is derived from people's samples, where it lies, and what
//! becomes of it when one of them goes.

use std::path::PathBuf;

use serde::Serialize;

use super::error::HomeError;
use super::home::Home;
use super::slot;

/// Something that was derived from samples, or seals it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Derived {
    /// What.
    pub what: String,
    /// Where, below the home.
    pub place: String,
    /// Bytes of it.
    pub bytes: u64,
    /// What becomes of it when somebody it knows is erased.
    pub fate: &'static str,
}

/// What was removed, and what is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Files that nothing needed.
    pub removed: Vec<String>,
    /// Bytes that the disk has back.
    pub freed: u64,
    /// Everything that is kept.
    pub kept: Vec<Derived>,
}

impl Home {
    /// Everything in the home that is derived from people's samples. Momentum and batch-norm statistics
    /// lie inside checkpoints and models; there is no cache of samples, features or answers on the disk.
    ///
    /// # Errors
    /// If a file cannot be looked at.
    pub fn derived(&self) -> Result<Vec<Derived>, HomeError> {
        let mut all = Vec::new();
        let mut add = |what: String, path: PathBuf, fate| -> Result<(), HomeError> {
            if self.disk.exists(&path)? {
                let place = path.strip_prefix(&self.folder).unwrap_or(&path).display().to_string();
                let bytes = self.disk.read(&path)?.len() as u64;
                all.push(Derived { what, place, bytes, fate });
            }
            Ok(())
        };
        add(
            "keys, and which models there are".into(),
            self.folder.join("keyring"),
            "rewritten under a new device key, the old one destroyed",
        )?;
        add(
            "samples, sealed, and their index".into(),
            self.folder.join("vault.redb"),
            "their records removed, freed pages given back",
        )?;
        if let Some(slot) = &self.state.base.slot {
            add(
                "the base, sealed".into(),
                slot::path_of(&self.folder, slot),
                "its key destroyed, its file removed, if it knows them",
            )?;
        }
        for model in &self.state.models {
            let what = format!("model {}", &model.id_text()[..16]);
            add(
                what,
                slot::path_of(&self.folder, &model.slot),
                "its key destroyed, its file removed, if it knows them",
            )?;
        }
        if let Some(work) = &self.state.pending {
            let path = self.folder.join("slots").join(format!("{}.work", work.slot));
            add(
                "weights, momentum and statistics of a run".into(),
                path,
                "its key destroyed, its file removed",
            )?;
        }
        add(
            "the erasure under way: handles, no names".into(),
            self.folder.join("journal"),
            "emptied at its end",
        )?;
        for number in 1..=self.state.receipts {
            add(
                format!("receipt {number}: a commitment, no name"),
                self.receipt_path(number),
                "kept",
            )?;
        }
        Ok(all)
    }

    /// Removes what nothing needs, and gives freed pages back.
    ///
    /// # Errors
    /// If a file cannot be removed or written.
    pub fn collect_garbage(&mut self) -> Result<Collected, HomeError> {
        let path = self.folder.join("vault.redb");
        let size = |home: &Self| home.disk.read(&path).map_or(0, |bytes| bytes.len() as u64);
        let before = size(self);
        let removed = self.sweep()?;
        self.compact()?;
        let freed = before.saturating_sub(size(self));
        let removed = removed.iter().map(|path| path.display().to_string()).collect();
        Ok(Collected { removed, freed, kept: self.derived()? })
    }

    /// The bytes of a receipt.
    ///
    /// # Errors
    /// If there is none of this number.
    pub fn receipt_bytes(&self, number: u64) -> Result<Vec<u8>, HomeError> {
        if !(1..=self.state.receipts).contains(&number) {
            return Err(HomeError::Setting {
                field: "the receipt",
                found: number.to_string(),
                expected: "the number of one that was given: `unlearn receipt list` shows them",
            });
        }
        Ok(self.disk.read(&self.receipt_path(number))?)
    }
}
