//! Defends the promise of `base::disk::replace`: the old file or the new one, whole, whenever the
//! power goes. Remembers the bug of writers that rename without a sync before it.

mod common;

use std::path::Path;

use common::{CrashDisk, Image};
use unlearn::base::disk::{Disk, DiskError, DiskFile, FileDisk, replace};

const OLD: &[u8] = b"the old model";
const NEW: &[u8] = b"the new model, which is longer";
const LIVE: &str = "models/live.esm";
const HIDDEN: &str = "models/.live.esm.new";

type Work = fn(&mut dyn Disk) -> Result<(), DiskError>;

fn honest(disk: &mut dyn Disk) -> Result<(), DiskError> {
    replace(disk, Path::new(LIVE), NEW)
}

/// Every image that a loss of power at any instant of `work` may leave.
fn every_crash(start: &[(&str, &[u8])], work: Work) -> Vec<(usize, Image)> {
    let mut whole = CrashDisk::holding(start, usize::MAX);
    work(&mut whole).unwrap();
    let mut images = Vec::new();
    for dies_at in 0..whole.operations() {
        let mut disk = CrashDisk::holding(start, dies_at);
        work(&mut disk).unwrap_err();
        images.extend(disk.after_crash().into_iter().map(|image| (dies_at, image)));
    }
    images
}

fn broken(start: &[(&str, &[u8])], work: Work) -> Vec<(usize, Image)> {
    let holds =
        |image: &Image| image.get(Path::new(LIVE)).is_some_and(|live| live == OLD || live == NEW);
    every_crash(start, work).into_iter().filter(|(_, image)| !holds(image)).collect()
}

#[test]
fn replacing_a_file_leaves_the_old_or_the_new_at_every_power_loss() {
    assert_eq!(broken(&[(LIVE, OLD)], honest), []);
    assert_eq!(broken(&[(LIVE, OLD), (HIDDEN, b"left by a crash")], honest), []);
}

#[test]
fn a_first_file_is_absent_or_whole_at_every_power_loss() {
    for (dies_at, image) in every_crash(&[], honest) {
        let live = image.get(Path::new(LIVE));
        assert!(live.is_none_or(|live| live == NEW), "at operation {dies_at}: {live:?}");
    }
}

#[test]
fn after_success_only_the_new_file_is_left_whatever_happens() {
    let start = [(LIVE, OLD), (HIDDEN, &b"left by a crash"[..])];
    let mut disk = CrashDisk::holding(&start, usize::MAX);
    honest(&mut disk).unwrap();
    let images = disk.after_crash();
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].len(), 1);
    assert_eq!(images[0][Path::new(LIVE)], NEW);
}

#[test]
fn the_crash_test_catches_a_writer_that_does_not_sync_the_file() {
    let careless: Work = |disk| {
        disk.write_new(Path::new(HIDDEN), NEW)?;
        disk.rename(Path::new(HIDDEN), Path::new(LIVE))?;
        disk.sync_folder(Path::new("models"))
    };
    assert!(!broken(&[(LIVE, OLD)], careless).is_empty());
}

#[test]
fn the_crash_test_catches_a_writer_that_writes_in_place() {
    let careless: Work = |disk| {
        disk.remove(Path::new(LIVE))?;
        disk.write_new(Path::new(LIVE), NEW)?;
        disk.sync_file(Path::new(LIVE))?;
        disk.sync_folder(Path::new("models"))
    };
    assert!(!broken(&[(LIVE, OLD)], careless).is_empty());
}

#[test]
fn without_the_sync_of_the_folder_success_would_promise_too_much() {
    let mut disk = CrashDisk::holding(&[(LIVE, OLD)], usize::MAX);
    disk.write_new(Path::new(HIDDEN), NEW).unwrap();
    disk.sync_file(Path::new(HIDDEN)).unwrap();
    disk.rename(Path::new(HIDDEN), Path::new(LIVE)).unwrap();
    assert!(disk.after_crash().iter().any(|image| image[Path::new(LIVE)] == OLD));
}

/// A disk that spoils what it writes, as a worn flash cell does.
struct WornDisk(CrashDisk);

impl Disk for WornDisk {
    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        self.0.read(path)
    }
    fn write_new(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        let mut spoilt = bytes.to_vec();
        spoilt[3] ^= 4;
        self.0.write_new(path, &spoilt)
    }
    fn sync_file(&mut self, path: &Path) -> Result<(), DiskError> {
        self.0.sync_file(path)
    }
    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.0.rename(from, to)
    }
    fn sync_folder(&mut self, folder: &Path) -> Result<(), DiskError> {
        self.0.sync_folder(folder)
    }
    fn remove(&mut self, path: &Path) -> Result<(), DiskError> {
        self.0.remove(path)
    }
    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        self.0.exists(path)
    }
    fn list(&self, folder: &Path) -> Result<Vec<std::path::PathBuf>, DiskError> {
        self.0.list(folder)
    }
    fn make_folder(&mut self, folder: &Path) -> Result<(), DiskError> {
        self.0.make_folder(folder)
    }
    fn open(&mut self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        self.0.open(path)
    }
}

#[test]
fn what_reads_back_other_than_written_never_takes_the_place_of_the_old_file() {
    let mut disk = WornDisk(CrashDisk::holding(&[(LIVE, OLD)], usize::MAX));
    let error = honest(&mut disk).unwrap_err();
    assert!(matches!(error, DiskError::ReadBackDiffers { .. }), "{error}");
    assert_eq!(disk.read(Path::new(LIVE)).unwrap(), OLD);
    assert!(!disk.exists(Path::new(HIDDEN)).unwrap());
}

#[test]
fn a_real_file_is_replaced_and_nothing_else_is_left_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.esm");
    std::fs::write(folder.path().join(".live.esm.new"), b"left by a crash").unwrap();
    for bytes in [OLD, NEW] {
        replace(&mut FileDisk, &path, bytes).unwrap();
        assert_eq!(FileDisk.read(&path).unwrap(), bytes);
        assert_eq!(FileDisk.list(folder.path()).unwrap(), std::slice::from_ref(&path));
    }
}

#[test]
fn a_missing_folder_and_a_path_without_a_file_name_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let lost = replace(&mut FileDisk, &folder.path().join("no/such/file"), NEW).unwrap_err();
    assert!(matches!(lost, DiskError::NotFound { .. }), "{lost}");
    let nameless = replace(&mut FileDisk, Path::new("/"), NEW).unwrap_err();
    assert!(matches!(nameless, DiskError::NoFileName { .. }), "{nameless}");
    let full = DiskError::from_io("write", Path::new("x"), std::io::ErrorKind::StorageFull.into());
    assert!(matches!(full, DiskError::Full { .. }), "{full}");
}
