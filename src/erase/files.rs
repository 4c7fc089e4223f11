//! The files of a home as they are opened, and what they must be.

use std::path::Path;

use super::anchor::unpacked;
use super::error::HomeError;
use super::journal::{Journal, Stands};
use super::slot;
use super::state::State;
use crate::base::disk::{Disk, DiskError};
use crate::data::Anchor;
use crate::format::{AnchorPart, Dtype, ModelFile, Provenance};
use crate::model::ParamKind;
use crate::model::file::{self, Artifact};
use crate::vault::Keyring;

pub(super) fn decoded(keyring: &Keyring, path: &Path) -> Result<State, HomeError> {
    State::decode(keyring.state()).ok_or_else(|| HomeError::Damaged {
        path: path.to_path_buf(),
        offset: 20,
        what: "its state is of another version of the program".into(),
    })
}

/// What to say of an older file.
pub(super) const OLDER: &str =
    "an older copy was put back; put back the newest copy of the whole home";

pub(super) fn journal_of(
    disk: &dyn Disk,
    folder: &Path,
    state: &State,
) -> Result<Journal, HomeError> {
    let path = folder.join("journal");
    let journal = Journal::open(disk, &path)?;
    match journal.stands(&state.journal) {
        Stands::Elsewhere => {
            let what = format!("it does not begin where the last erasure ended: {OLDER}");
            Err(HomeError::Damaged { path, offset: 12, what })
        }
        _ => Ok(journal),
    }
}

/// Makes the name of `folder` durable.
pub(super) fn sync_above(disk: &mut dyn Disk, folder: &Path) -> Result<(), HomeError> {
    let Some(above) = folder.parent() else { return Ok(()) };
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    match disk.sync_folder(above) {
        // A folder that may be passed through and not be read cannot be synced by us.
        Err(DiskError::ReadOnly { .. }) => Ok(()),
        synced => Ok(synced?),
    }
}

/// Whether a package can be a base.
pub(super) fn fit(file: &ModelFile, path: &Path) -> Result<(), HomeError> {
    let unfit = |rule: &str| HomeError::Unfit { path: path.to_path_buf(), rule: rule.into() };
    if file.facts().provenance == Provenance::Undeclared {
        return Err(unfit(
            "the base does not say whose data is in it: make it with `--provenance population` if nobody of this device is in it, else with `--provenance enrolled`",
        ));
    }
    let anchor = file
        .anchor()
        .map_err(|source| HomeError::Base { path: path.to_path_buf(), source: Box::new(source) })?;
    let has = |part| anchor.as_ref().is_some_and(|set| set.parts.contains(&part));
    if !has(AnchorPart::Train) || !has(AnchorPart::Calibrate) {
        return Err(unfit(
            "the base has no anchor set to train and to measure on: make it with `unlearn prune --anchor N`",
        ));
    }
    Ok(())
}

/// Refuses a folder that holds something other than a home that was begun.
pub(super) fn empty_enough(disk: &dyn Disk, folder: &Path) -> Result<(), HomeError> {
    let ours = ["keys", "slots", "receipts", "base.esm", "vault.redb", "ballast", "lock", "socket"];
    for found in disk.list(folder)? {
        let name = found.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if !ours.contains(&&*name) && !name.starts_with('.') {
            return Err(HomeError::NotEmpty { path: folder.to_path_buf(), found });
        }
    }
    Ok(())
}

pub(super) fn open_base(
    disk: &dyn Disk,
    folder: &Path,
    keyring: &Keyring,
    state: &State,
) -> Result<Opened, HomeError> {
    let path = folder.join("base.esm");
    let opened = match &state.base.slot {
        Some(slot) => open_slot(disk, folder, keyring, slot)?,
        None => {
            let damaged = |source| HomeError::Base { path: path.clone(), source: Box::new(source) };
            let file = ModelFile::from_bytes(disk.read(&path)?).map_err(damaged)?;
            file.verify().map_err(damaged)?;
            Opened::of(&file, &path)?
        }
    };
    let artifact = &opened.artifact;
    if artifact.id.0 != state.base.id {
        return Err(HomeError::Damaged {
            path,
            offset: 0,
            what: format!(
                "it is model {}, another than was installed; put back the one that was",
                artifact.id.short()
            ),
        });
    }
    Ok(opened)
}

pub(super) fn open_slot(
    disk: &dyn Disk,
    folder: &Path,
    keyring: &Keyring,
    slot: &str,
) -> Result<Opened, HomeError> {
    let path = slot::path_of(folder, slot);
    let Some(key) = keyring.named(&slot::key_name(slot)) else {
        return Err(HomeError::Damaged {
            path,
            offset: 0,
            what: "its key was destroyed: it cannot be read any more, and should not be".into(),
        });
    };
    let mut bytes = slot::read(disk, &path, key)?;
    let damaged = |source| HomeError::Base { path: path.clone(), source: Box::new(source) };
    let file = ModelFile::from_bytes(std::mem::take(&mut *bytes)).map_err(damaged)?;
    Opened::of(&file, &path)
}

/// What a model file holds, the anchor set in two parts.
pub(super) struct Opened {
    pub artifact: Artifact,
    pub anchor: Option<Anchor>,
    pub dtype: Dtype,
}

impl Opened {
    pub(super) fn of(file: &ModelFile, path: &Path) -> Result<Self, HomeError> {
        let artifact = file::read(file, path)?;
        let classes = &artifact.meaning.classes;
        let anchor = artifact.anchor.as_ref().map(|set| unpacked(set, classes)).transpose();
        let anchor = anchor.map_err(|error| HomeError::Unfit {
            path: path.to_path_buf(),
            rule: error.to_string(),
        })?;
        let weight = artifact.network.parameters.iter().find(|p| p.kind == ParamKind::Weight);
        let dtype = weight.and_then(|p| file.tensor(&p.name)).map_or(Dtype::F32, |t| t.dtype());
        Ok(Self { artifact, anchor, dtype })
    }
}
