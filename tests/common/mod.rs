//! What several test binaries share.
#![allow(dead_code)]

pub mod exchange;
pub mod home;
pub mod liar;
pub mod model;
pub mod network;
pub mod program;
pub mod receipts;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use unlearn::base::disk::{Disk, DiskError, DiskFile};

/// The contents of one file: what a reader sees, and what was made durable.
#[derive(Clone, Debug)]
struct Contents {
    live: Vec<u8>,
    durable: Option<Vec<u8>>,
}

/// A change of names that no sync of the folder has made durable yet.
#[derive(Clone, Debug)]
enum Renaming {
    Make(PathBuf, usize),
    Move(PathBuf, PathBuf),
    Drop(PathBuf),
}

impl Renaming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Make(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Move(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Drop(path) => drop(names.remove(path)),
        }
    }
}

/// What a disk holds after the power came back.
pub type Image = BTreeMap<PathBuf, Vec<u8>>;

/// A disk in memory that loses power before its n-th operation, and tells what may be left.
///
/// Names change in the order they were changed, and any number of the last changes since the sync
/// of the folder may be lost. Contents that were not synced may be absent, torn or whole.
pub struct CrashDisk {
    files: Vec<Contents>,
    live: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    pending: Vec<Renaming>,
    dies_at: usize,
    done: Cell<usize>,
}

impl CrashDisk {
    /// A disk that durably holds `files` and dies before operation `dies_at` (0 is the first).
    pub fn holding(files: &[(&str, &[u8])], dies_at: usize) -> Self {
        let contents =
            files.iter().map(|(_, b)| Contents { live: b.to_vec(), durable: Some(b.to_vec()) });
        let names: BTreeMap<_, _> =
            files.iter().enumerate().map(|(i, (name, _))| (PathBuf::from(name), i)).collect();
        Self {
            files: contents.collect(),
            live: names.clone(),
            durable: names,
            pending: Vec::new(),
            dies_at,
            done: Cell::new(0),
        }
    }

    /// How many operations were asked for.
    pub fn operations(&self) -> usize {
        self.done.get()
    }

    /// Every state that may be found when the power comes back.
    pub fn after_crash(&self) -> Vec<Image> {
        let mut images = Vec::new();
        for kept in 0..=self.pending.len() {
            let mut names = self.durable.clone();
            self.pending[..kept].iter().for_each(|change| change.apply(&mut names));
            let mut partial = vec![Image::new()];
            for (path, &file) in &names {
                partial = partial
                    .into_iter()
                    .flat_map(|image| {
                        self.possible(file).into_iter().map(move |bytes| {
                            let mut image = image.clone();
                            image.insert(path.clone(), bytes);
                            image
                        })
                    })
                    .collect();
            }
            images.extend(partial);
        }
        images
    }

    fn possible(&self, file: usize) -> Vec<Vec<u8>> {
        let Contents { live, durable } = &self.files[file];
        match durable {
            Some(durable) if durable == live => vec![live.clone()],
            _ => {
                let torn = live[..live.len() / 2].to_vec();
                let zeroed = vec![0; live.len()];
                vec![Vec::new(), torn, zeroed, live.clone()]
            }
        }
    }

    fn step(&self, action: &'static str, path: &Path) -> Result<(), DiskError> {
        let now = self.done.get();
        self.done.set(now + 1);
        if now >= self.dies_at {
            return Err(DiskError::from_io(action, path, io::Error::other("the power is gone")));
        }
        Ok(())
    }

    fn find(&self, action: &'static str, path: &Path) -> Result<usize, DiskError> {
        let missing = || DiskError::from_io(action, path, io::ErrorKind::NotFound.into());
        self.live.get(path).copied().ok_or_else(missing)
    }

    fn change(&mut self, change: Renaming) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }
}

impl Disk for CrashDisk {
    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        self.step("read", path)?;
        Ok(self.files[self.find("read", path)?].live.clone())
    }

    fn write_new(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        // Two operations: the name is there before the contents are.
        self.step("write", path)?;
        if self.live.contains_key(path) {
            let exists = io::ErrorKind::AlreadyExists.into();
            return Err(DiskError::from_io("write", path, exists));
        }
        let file = self.files.len();
        self.files.push(Contents { live: Vec::new(), durable: None });
        self.change(Renaming::Make(path.to_path_buf(), file));
        self.step("write", path)?;
        self.files[file].live = bytes.to_vec();
        Ok(())
    }

    fn sync_file(&mut self, path: &Path) -> Result<(), DiskError> {
        self.step("sync", path)?;
        let file = self.find("sync", path)?;
        self.files[file].durable = Some(self.files[file].live.clone());
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.step("rename", to)?;
        self.find("rename", from)?;
        self.change(Renaming::Move(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn sync_folder(&mut self, folder: &Path) -> Result<(), DiskError> {
        self.step("sync", folder)?;
        // Several folders in one disk: only the names of this one become durable.
        let (mut names, mut rest) = (self.durable.clone(), Vec::new());
        for change in self.pending.drain(..) {
            let (Renaming::Make(path, _) | Renaming::Move(_, path) | Renaming::Drop(path)) =
                &change;
            let within = path.parent().is_some_and(|parent| {
                parent == folder || (parent.as_os_str().is_empty() && folder == Path::new("."))
            });
            if within { change.apply(&mut names) } else { rest.push(change) }
        }
        self.durable = names;
        self.pending = rest;
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> Result<(), DiskError> {
        self.step("remove", path)?;
        self.find("remove", path)?;
        self.change(Renaming::Drop(path.to_path_buf()));
        Ok(())
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        self.step("look at", path)?;
        Ok(self.live.contains_key(path))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
        self.step("list", folder)?;
        Ok(self.live.keys().filter(|path| path.parent() == Some(folder)).cloned().collect())
    }

    fn make_folder(&mut self, _: &Path) -> Result<(), DiskError> {
        unimplemented!("durable replaces need no folder")
    }

    fn open(&mut self, _: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        unimplemented!("durable replaces write nothing in place")
    }
}
