//! Defends the promise of `base::disk::replace`: the old file or the new one, whole, whenever the
//! power goes. Remembers the bug of writers that rename without a sync before it.

mod common;

use std::path::Path;

use common::sim::{Image, SimDisk};
use unlearn::base::disk::{Disk, DiskError, DiskFile, FileDisk, replace};

const OLD: &[u8] = b"the old model";
const NEW: &[u8] = b"the new model, which is longer";
const LIVE: &str = "models/live.esm";
const HIDDEN: &str = "models/.live.esm.new";

type Work = fn(&mut dyn Disk) -> Result<(), DiskError>;

fn honest(disk: &mut dyn Disk) -> Result<(), DiskError> {
    replace(disk, Path::new(LIVE), NEW)
}

/// More images than any of these crashes leaves: every one is looked at.
const ALL: usize = 10_000;

/// A disk that durably holds `start`, and the folder of the models.
fn holding(start: &[(&str, &[u8])]) -> SimDisk {
    let mut image = SimDisk::with_folders(&["models"]).live();
    start.iter().for_each(|(path, bytes)| image.put(path, bytes));
    SimDisk::from(&image)
}

/// Every image that a loss of power at any instant of `work` may leave.
fn every_crash(start: &[(&str, &[u8])], work: Work) -> Vec<(usize, Image)> {
    let mut whole = holding(start);
    work(&mut whole).unwrap();
    let mut images = Vec::new();
    for dies_at in 0..whole.operations() {
        let mut disk = holding(start).dying_at(dies_at);
        work(&mut disk).unwrap_err();
        images.extend(disk.images(0, ALL).into_iter().map(|image| (dies_at, image)));
    }
    images
}

fn broken(start: &[(&str, &[u8])], work: Work) -> Vec<(usize, Image)> {
    let holds = |image: &Image| image.get(LIVE).is_some_and(|live| live == OLD || live == NEW);
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
        let live = image.get(LIVE);
        assert!(live.as_ref().is_none_or(|live| live == NEW), "at operation {dies_at}: {live:?}");
    }
}

#[test]
fn after_success_only_the_new_file_is_left_whatever_happens() {
    let start = [(LIVE, OLD), (HIDDEN, &b"left by a crash"[..])];
    let mut disk = holding(&start);
    honest(&mut disk).unwrap();
    let images = disk.images(0, ALL);
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].files().collect::<Vec<_>>(), [Path::new(LIVE)]);
    assert_eq!(images[0].get(LIVE).unwrap(), NEW);
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
    let mut disk = holding(&[(LIVE, OLD)]);
    disk.write_new(Path::new(HIDDEN), NEW).unwrap();
    disk.sync_file(Path::new(HIDDEN)).unwrap();
    disk.rename(Path::new(HIDDEN), Path::new(LIVE)).unwrap();
    assert!(disk.images(0, ALL).iter().any(|image| image.get(LIVE).unwrap() == OLD));
}

/// A disk that spoils what it writes, as a worn flash cell does.
struct WornDisk(SimDisk);

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
    let mut disk = WornDisk(holding(&[(LIVE, OLD)]));
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

/// Sectors of a file that tell where each byte came from.
fn striped(sectors: usize) -> Vec<u8> {
    (0..sectors * 512).map(|at| (at / 512 + 1) as u8).collect()
}

#[test]
fn what_is_written_in_place_and_not_synced_is_lost_torn_and_kept_in_some_image() {
    let mut disk = SimDisk::holding(&[("vault/index", &[0; 2048])]);
    let file = disk.open(Path::new("vault/index")).unwrap();
    file.write_at(0, &striped(4)).unwrap();
    let held: Vec<Vec<u8>> =
        disk.images(0, ALL).iter().map(|image| image.get("vault/index").unwrap()).collect();
    assert!(held.contains(&vec![0; 2048]), "lost");
    assert!(held.contains(&striped(4)), "kept");
    let mut torn = striped(4);
    torn[1024..].fill(0);
    assert!(held.contains(&torn), "torn at a sector");
    file.sync().unwrap();
    let after = disk.images(0, ALL);
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].get("vault/index").unwrap(), striped(4));
}

#[test]
fn a_later_write_may_arrive_without_an_earlier_one_and_leave_a_hole() {
    let mut disk = SimDisk::holding(&[("vault/index", &[0; 512])]);
    let file = disk.open(Path::new("vault/index")).unwrap();
    file.write_at(0, &[1; 512]).unwrap();
    file.write_at(512, &[2; 512]).unwrap();
    file.write_at(1024, &[3; 512]).unwrap();
    let held: Vec<Vec<u8>> =
        disk.images(0, ALL).iter().map(|image| image.get("vault/index").unwrap()).collect();
    assert!(held.contains(&[[0; 512], [0; 512], [3; 512]].concat()), "the last write alone");
    assert!(held.contains(&[1; 512].to_vec()), "the first write alone");
    assert!(held.contains(&[[1; 512], [2; 512], [0; 512]].concat()), "the last a hole");
    assert!(held.contains(&vec![0; 512]) && held.contains(&vec![0; 1536]));
    file.set_size(100).unwrap();
    file.sync().unwrap();
    file.set_size(2048).unwrap();
    let held: Vec<Vec<u8>> =
        disk.images(0, ALL).iter().map(|image| image.get("vault/index").unwrap()).collect();
    assert_eq!(held, [vec![1; 100], [vec![1; 100], vec![0; 1948]].concat()]);
}

#[test]
fn of_too_many_states_the_two_extremes_are_seen_and_the_same_seed_shows_the_same() {
    let mut disk = SimDisk::holding(&[("vault/index", &[0; 512])]);
    let file = disk.open(Path::new("vault/index")).unwrap();
    for change in 0..40 {
        file.write_at(change % 3 * 512, &[change as u8; 1024]).unwrap();
    }
    let few = disk.images(5, 12);
    let held: Vec<Vec<u8>> = few.iter().map(|image| image.get("vault/index").unwrap()).collect();
    assert!(few.len() > 6 && few.len() <= 12, "{} images", few.len());
    assert!(held.contains(&vec![0; 512]));
    assert!(held.contains(&disk.live().get("vault/index").unwrap()));
    assert_eq!(few, disk.images(5, 12), "same seed, same images");
    assert_ne!(few, disk.images(6, 12));
}

#[test]
fn names_are_undone_from_the_last_one_folder_by_folder() {
    let mut disk = SimDisk::holding(&[("a/x", b"x"), ("b/y", b"y")]);
    disk.rename(Path::new("a/x"), Path::new("a/z")).unwrap();
    disk.remove(Path::new("a/z")).unwrap();
    disk.make_folder(Path::new("b/inner")).unwrap();
    disk.write_new(Path::new("b/inner/w"), b"w").unwrap();
    disk.sync_file(Path::new("b/inner/w")).unwrap();
    disk.sync_folder(Path::new("b/inner")).unwrap();
    let images = disk.images(0, ALL);
    assert_eq!(images.len(), 6, "three states of `a`, two of `b`");
    assert!(images.iter().any(|image| image.get("a/x").is_some()), "the renaming undone");
    assert!(images.iter().any(|image| image.get("a/z").is_some()), "the removal undone");
    let lost = |image: &Image| !image.has_folder("b/inner") && image.get("b/inner/w").is_none();
    assert!(images.iter().any(lost), "a folder whose name is not durable takes its files along");
    disk.sync_folder(Path::new("a")).unwrap();
    disk.sync_folder(Path::new("b")).unwrap();
    assert_eq!(disk.images(0, ALL), [disk.live()]);
    assert!(disk.rename(Path::new("b/y"), Path::new("a/y")).is_err());
    assert!(disk.write_new(Path::new("none/x"), b"").is_err());
}

#[test]
fn a_full_disk_refuses_to_grow_reads_on_and_goes_on_once_it_has_room() {
    let mut disk = SimDisk::holding(&[(LIVE, OLD)]).full_from(0);
    let full = |error: DiskError| assert!(matches!(error, DiskError::Full { .. }), "{error}");
    full(disk.write_new(Path::new("models/other"), b"bytes").unwrap_err());
    full(disk.open(Path::new("models/other")).unwrap_err());
    full(disk.make_folder(Path::new("more")).unwrap_err());
    full(honest(&mut disk).unwrap_err());
    let file = disk.open(Path::new(LIVE)).unwrap();
    assert_eq!(file.write_at(0, b"x").unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(file.set_size(1 << 20).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(disk.read(Path::new(LIVE)).unwrap(), OLD);
    assert_eq!(disk.live().files().count(), 1);
    disk.free();
    honest(&mut disk).unwrap();
    assert_eq!(disk.read(Path::new(LIVE)).unwrap(), NEW);
}

#[test]
fn after_the_power_is_gone_nothing_works_and_an_image_starts_a_new_disk() {
    let mut disk = SimDisk::holding(&[(LIVE, OLD)]).dying_at(2);
    let file = disk.open(Path::new(LIVE)).unwrap();
    file.write_at(0, b"T").unwrap();
    assert!(file.sync().is_err() && file.size().is_err());
    assert!(disk.read(Path::new(LIVE)).is_err() && disk.sync_folder(Path::new("models")).is_err());
    let images = disk.images(0, ALL);
    assert_eq!(images.len(), 2);
    for image in &images {
        let again = SimDisk::from(image);
        assert_eq!(again.images(0, ALL), std::slice::from_ref(image));
        assert!(again.read(Path::new(LIVE)).unwrap().ends_with(&OLD[1..]));
    }
}
