//! Defends the promise of `vault::backend`: what was committed is there, whole, whenever the power
//! goes or the disk fills up; and a damaged file is an error, never a panic and never other data.
//! Remembers that the engine refuses for ever a new file whose making was cut off, and that after
//! a one-phase commit it answers damage by forgetting the commit.

mod common;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::sim::{Image, SimDisk};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use unlearn::base::disk::{Disk, DiskError, FileDisk};
use unlearn::base::rng::Stream;
use unlearn::vault::VaultError;
use unlearn::vault::backend::{begin_write, compact, open_database};

const PATH: &str = "home/vault/index.redb";
const TABLES: [TableDefinition<u64, &[u8]>; 2] =
    [TableDefinition::new("samples"), TableDefinition::new("people")];

/// What the two tables hold.
type Held = [BTreeMap<u64, Vec<u8>>; 2];

/// One transaction, or a compaction.
#[derive(Clone, Copy)]
enum Step {
    /// Puts values of so many bytes under these keys, in both tables.
    Put(u64, u64, usize),
    /// Removes these keys from both tables.
    Remove(u64, u64),
    Compact,
}

const SCRIPT: [Step; 12] = [
    Step::Put(0, 20, 300),
    Step::Put(20, 60, 150),
    Step::Remove(3, 9),
    Step::Put(0, 5, 700),
    // Values of more than a page, and more of them than the file has room for.
    Step::Put(100, 103, 20_000),
    Step::Put(60, 61, 100),
    Step::Remove(100, 103),
    Step::Compact,
    Step::Put(61, 80, 400),
    Step::Remove(0, 40),
    Step::Compact,
    Step::Put(7, 9, 100),
];

fn value(step: usize, table: usize, key: u64, bytes: usize) -> Vec<u8> {
    let seed = step as u64 * 1_000_000 + table as u64 * 10_000 + key;
    let word = Stream::new(seed, "value").word().to_le_bytes();
    word.iter().copied().cycle().take(bytes).collect()
}

fn model(held: &mut Held, step: usize) {
    for (table, held) in held.iter_mut().enumerate() {
        match SCRIPT[step] {
            Step::Put(from, to, bytes) => {
                held.extend((from..to).map(|key| (key, value(step, table, key, bytes))));
            }
            Step::Remove(from, to) => held.retain(|key, _| !(from..to).contains(key)),
            Step::Compact => {}
        }
    }
}

/// What is held before the first step, and behind each.
fn states() -> Vec<Held> {
    let mut states = vec![Held::default()];
    for step in 0..SCRIPT.len() {
        let mut next = states[step].clone();
        model(&mut next, step);
        states.push(next);
    }
    states
}

fn apply(database: &mut Database, step: usize) -> Result<(), VaultError> {
    let path = Path::new(PATH);
    if matches!(SCRIPT[step], Step::Compact) {
        return compact(database, path).map(drop);
    }
    let refused = |error: redb::Error| VaultError::Database {
        path: path.to_path_buf(),
        what: "change",
        source: Box::new(error),
    };
    let change = begin_write(database, path)?;
    for (index, table) in TABLES.iter().enumerate() {
        let mut table = change.open_table(*table).map_err(|e| refused(e.into()))?;
        match SCRIPT[step] {
            Step::Put(from, to, bytes) => {
                for key in from..to {
                    let value = value(step, index, key, bytes);
                    table.insert(key, value.as_slice()).map_err(|e| refused(e.into()))?;
                }
            }
            Step::Remove(from, to) => {
                for key in from..to {
                    table.remove(key).map_err(|e| refused(e.into()))?;
                }
            }
            Step::Compact => unreachable!(),
        }
    }
    change.commit().map_err(|e| refused(e.into()))
}

/// Does the steps from `first` on; how many of the whole script are acknowledged then.
fn go_on(disk: &SimDisk, first: usize) -> (usize, Result<(), VaultError>) {
    let mut database = match open_database(&mut disk.clone(), Path::new(PATH)) {
        Ok(database) => database,
        Err(error) => return (first, Err(error)),
    };
    for step in first..SCRIPT.len() {
        if let Err(error) = apply(&mut database, step) {
            return (step, Err(error));
        }
    }
    (SCRIPT.len(), Ok(()))
}

fn held(database: &Database) -> Result<Held, redb::Error> {
    let mut held = Held::default();
    let reading = database.begin_read()?;
    for (table, held) in TABLES.iter().zip(&mut held) {
        let table = match reading.open_table(*table) {
            Err(redb::TableError::TableDoesNotExist(_)) => continue,
            table => table?,
        };
        for entry in table.iter()? {
            let (key, value) = entry?;
            held.insert(key.value(), value.value().to_vec());
        }
    }
    Ok(held)
}

fn found(disk: &SimDisk) -> Result<Held, VaultError> {
    let database = open_database(&mut disk.clone(), Path::new(PATH))?;
    Ok(held(&database).unwrap())
}

fn empty() -> SimDisk {
    SimDisk::with_folders(&["home/vault"])
}

/// The disk holds what `done` steps left, or one more that was under way; the rest of the script
/// brings it to its end.
fn recovers(disk: &SimDisk, done: usize, states: &[Held], whence: &str) {
    let found = found(disk).unwrap_or_else(|error| panic!("{whence}: {error}"));
    let next = (done + 1).min(SCRIPT.len());
    let step = [done, next].into_iter().find(|&step| found == states[step]);
    let step = step.unwrap_or_else(|| panic!("{whence}: {done} steps done, other contents found"));
    let (_, finished) = go_on(disk, step);
    finished.unwrap_or_else(|error| panic!("{whence}, going on: {error}"));
    let end = self::found(disk).unwrap_or_else(|error| panic!("{whence}, at the end: {error}"));
    assert!(end == states[SCRIPT.len()], "{whence}: another end");
}

/// Loses power at every operation of opening what a loss of power left.
fn dies_while_opening(image: &Image, done: usize, states: &[Held], first: usize) -> usize {
    let whole = SimDisk::from(image);
    found(&whole).unwrap();
    let mut images = 0;
    for dies_at in whole.crash_points() {
        let disk = SimDisk::from(image).dying_at(dies_at);
        drop(open_database(&mut disk.clone(), Path::new(PATH)));
        for left in disk.images(dies_at as u64, 3) {
            images += 1;
            let whence = format!("power lost before operation {first}, then {dies_at}");
            recovers(&SimDisk::from(&left), done, states, &whence);
        }
    }
    images
}

#[test]
fn every_commit_survives_a_loss_of_power_whole_and_the_work_goes_on() {
    let states = states();
    let whole = empty();
    go_on(&whole, 0).1.unwrap();
    let points = whole.crash_points();
    let again = empty();
    go_on(&again, 0).1.unwrap();
    assert_eq!(again.crash_points(), points, "the same work is the same operations");
    let (mut images, mut most, mut twice) = (0, 0, 0);
    for dies_at in 0..=whole.operations() {
        let disk = empty().dying_at(dies_at);
        let (done, _) = go_on(&disk, 0);
        if !points.contains(&dies_at) {
            continue;
        }
        let left = disk.images(dies_at as u64, 8);
        most = most.max(left.len());
        for (which, image) in left.iter().enumerate() {
            images += 1;
            let whence = format!("power lost before operation {dies_at}, image {which}");
            recovers(&SimDisk::from(image), done, &states, &whence);
        }
        // And again while the database is mended after it.
        if let Some(image) = left.get(dies_at % 128) {
            twice += dies_while_opening(image, done, &states, dies_at);
        }
    }
    println!(
        "{} operations, {} crash points, {images} images, {twice} of a second loss",
        whole.operations(),
        points.len()
    );
    assert!(images > points.len() && most == 8, "{images} images, at most {most} at one point");
}

#[test]
fn a_full_disk_loses_nothing_and_the_work_goes_on_once_there_is_room() {
    let states = states();
    let whole = empty();
    go_on(&whole, 0).1.unwrap();
    for full_from in whole.crash_points() {
        let disk = empty().full_from(full_from);
        let (done, result) = go_on(&disk, 0);
        let whence = format!("no room from operation {full_from} on");
        if let Err(error) = &result {
            assert!(tells_of_the_disk(error), "{whence}: {error}");
        }
        let left: Vec<Image> = disk.images(full_from as u64, 3);
        disk.free();
        recovers(&disk, done, &states, &whence);
        for image in &left {
            recovers(&SimDisk::from(image), done, &states, &format!("{whence}, then no power"));
        }
    }
}

fn tells_of_the_disk(error: &VaultError) -> bool {
    match error {
        VaultError::Disk(DiskError::Full { .. }) => true,
        VaultError::Database { source, .. } => {
            let full = |e: &std::io::Error| e.kind() == std::io::ErrorKind::StorageFull;
            matches!(&**source, redb::Error::PreviousIo)
                || matches!(&**source, redb::Error::Io(e) if full(e))
        }
        _ => false,
    }
}

/// How often each of two files is damaged.
const DAMAGES: usize = 400;

/// A database that was closed in order, and one that a loss of power left open; what they hold,
/// and what they held one commit before.
fn specimens() -> [(&'static str, Image, Held, Held); 2] {
    let states = states();
    let disk = empty();
    let mut database = open_database(&mut disk.clone(), Path::new(PATH)).unwrap();
    for step in 0..4 {
        apply(&mut database, step).unwrap();
    }
    // Nothing is pending behind a commit but what the next one may do without.
    let open = disk.images(0, 2).remove(0);
    database.close().unwrap();
    let closed = disk.live();
    let (now, before) = (states[4].clone(), states[3].clone());
    [("closed", closed, now.clone(), before.clone()), ("open", open, now, before)]
}

/// Where pages of the file are in use.
fn used(bytes: &[u8]) -> Vec<usize> {
    let pages = bytes.chunks(4096).enumerate();
    pages.filter(|(_, page)| page.iter().any(|&b| b != 0)).map(|(page, _)| page * 4096).collect()
}

/// Damages a file in one of the ways that wear, cuts and copies damage files; says how, and
/// whether the one byte may be among it that says which of two commits is the newest.
fn damage(bytes: &mut Vec<u8>, stream: &mut Stream) -> (String, bool) {
    let used = used(bytes);
    match stream.index(6) {
        0 => {
            let at = stream.index(320);
            bytes[at] ^= 1 << stream.index(8);
            (format!("a bit of the header, offset {at}"), at == 9)
        }
        1 => {
            let at = used[stream.index(used.len())] + stream.index(4096);
            bytes[at] ^= 1 << stream.index(8);
            (format!("a bit of a used page, offset {at}"), at == 9)
        }
        2 => {
            let at = stream.index(bytes.len() / 512) * 512;
            bytes[at..at + 512].fill(stream.word() as u8);
            (format!("the sector at {at}"), at == 0)
        }
        3 => {
            let to = stream.index(bytes.len());
            bytes.truncate(to);
            (format!("cut to {to} bytes"), false)
        }
        4 => {
            let page = used[stream.index(used.len())];
            let other = used[stream.index(used.len())];
            bytes.copy_within(other..other + 4096, page);
            (format!("page at {other} copied over {page}"), false)
        }
        _ => {
            let at = used[stream.index(used.len())] + stream.index(3000);
            for byte in &mut bytes[at..at + 1 + stream.index(300)] {
                *byte = stream.word() as u8;
            }
            (format!("random bytes from {at} on"), at <= 9)
        }
    }
}

#[test]
fn a_damaged_file_is_an_error_or_holds_what_was_committed_and_never_panics() {
    let mut stream = Stream::new(4, "damage");
    let (mut refused, mut right, mut older, mut caught) = (0, 0, 0, 0);
    for (name, image, now, before) in specimens() {
        for _ in 0..DAMAGES {
            let mut bytes = image.get(PATH).unwrap();
            let (how, newest) = damage(&mut bytes, &mut stream);
            let mut image = image.clone();
            image.put(PATH, &bytes);
            let whence = format!("{name} file, {how}");
            match catch_unwind(AssertUnwindSafe(|| found(&SimDisk::from(&image)))) {
                Err(_) => panic!("{whence}: a panic"),
                Ok(Ok(held)) if held == now => right += 1,
                // One byte without a checksum tells which of the last two commits is the newest.
                Ok(Ok(held)) if newest && held == before => older += 1,
                Ok(Ok(_)) => panic!("{whence}: other contents"),
                Ok(Err(VaultError::Damaged { what, .. })) => {
                    refused += 1;
                    caught += usize::from(what.contains("gave up"));
                }
                Ok(Err(error)) => panic!("{whence}: {error}"),
            }
        }
    }
    println!("{refused} refused ({caught} panics caught), {right} right, {older} one commit older");
    assert!(refused > 100 && right > 100, "{refused} refused, {right} right");
}

/// What is found after a page that the last of two commits wrote was damaged, page for page.
fn with_a_page_of_the_last_commit_damaged(two_phases: bool) -> Vec<Result<Held, VaultError>> {
    let disk = empty();
    let path = Path::new(PATH);
    let mut database = open_database(&mut disk.clone(), path).unwrap();
    apply(&mut database, 0).unwrap();
    let before = disk.live().get(PATH).unwrap();
    let mut change = begin_write(&database, path).unwrap();
    change.set_two_phase_commit(two_phases);
    change.open_table(TABLES[0]).unwrap().remove(3).unwrap();
    change.commit().unwrap();
    // The power goes: the file is not closed.
    let image = disk.images(0, 2).remove(0);
    let after = image.get(PATH).unwrap();
    let pages = (1..before.len().min(after.len()) / 4096).map(|page| page * 4096);
    let changed = pages.filter(|&at| before[at..at + 4096] != after[at..at + 4096]);
    let damaged = |at: usize| {
        let (mut image, mut bytes) = (image.clone(), after.clone());
        bytes[at + 8..at + 24].fill(0xee);
        image.put(PATH, &bytes);
        found(&SimDisk::from(&image))
    };
    changed.map(damaged).collect()
}

#[test]
fn damage_to_the_last_commit_is_an_error_where_one_phase_would_forget_the_commit() {
    let removed = |held: &Held| !held[0].contains_key(&3);
    let two = with_a_page_of_the_last_commit_damaged(true);
    assert!(two.iter().flatten().all(removed), "what was removed is back");
    assert!(two.iter().any(|found| matches!(found, Err(VaultError::Damaged { .. }))));
    let one = with_a_page_of_the_last_commit_damaged(false);
    assert!(one.iter().flatten().any(|held| !removed(held)), "one phase does as well as two");
}

#[test]
fn a_database_on_a_real_disk_is_one_file_and_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.redb");
    std::fs::write(folder.path().join(".index.redb.new"), b"left by a crash").unwrap();
    for step in 0..2 {
        let mut database = open_database(&mut FileDisk, &path).unwrap();
        assert_eq!(held(&database).unwrap(), states()[step]);
        apply(&mut database, step).unwrap();
        drop(database);
        assert_eq!(FileDisk.list(folder.path()).unwrap(), std::slice::from_ref(&path));
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    for bytes in [&b""[..], b"x", &[0; 8192], b"redb\x1a\x0a\xa9\x0d\x0a"] {
        let disk = SimDisk::holding(&[(PATH, bytes)]);
        let error = open_database(&mut disk.clone(), Path::new(PATH)).unwrap_err();
        assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
        assert_eq!(disk.live().get(PATH).unwrap(), bytes);
    }
}

#[test]
fn a_commit_costs_two_syncs_and_an_error_of_the_disk_lasts_until_the_database_is_opened_again() {
    let disk = empty();
    let path = Path::new(PATH);
    let mut database = open_database(&mut disk.clone(), path).unwrap();
    // A file that grows is synced once more.
    apply(&mut database, 0).unwrap();
    apply(&mut database, 1).unwrap();
    let before = disk.syncs();
    apply(&mut database, 2).unwrap();
    assert_eq!(disk.syncs() - before, 2);
    let one_phase = database.begin_write().unwrap();
    one_phase.open_table(TABLES[0]).unwrap().insert(900, &b"one phase"[..]).unwrap();
    let before = disk.syncs();
    one_phase.commit().unwrap();
    assert_eq!(disk.syncs() - before, 1);

    let full = disk.clone().full_from(disk.operations());
    apply(&mut database, 3).unwrap_err();
    full.free();
    let error = apply(&mut database, 3).unwrap_err();
    assert!(tells_of_the_disk(&error), "{error}");
    drop(database);
    let mut database = open_database(&mut disk.clone(), path).unwrap();
    apply(&mut database, 3).unwrap();
}

#[test]
fn what_is_removed_is_given_back_to_the_disk_by_a_compaction() {
    let disk = empty();
    let path = Path::new(PATH);
    let mut database = open_database(&mut disk.clone(), path).unwrap();
    let size = || disk.read(path).unwrap().len();
    let mut sizes = vec![size()];
    let secret = [0xa7; 3000];
    let change = begin_write(&database, path).unwrap();
    for key in 0..2000 {
        change.open_table(TABLES[0]).unwrap().insert(key, &secret[..]).unwrap();
    }
    change.commit().unwrap();
    sizes.push(size());
    let change = begin_write(&database, path).unwrap();
    change.open_table(TABLES[0]).unwrap().retain(|_, _| false).unwrap();
    change.commit().unwrap();
    sizes.push(size());
    let there = |bytes: Vec<u8>| bytes.windows(64).any(|window| window == &secret[..64]);
    assert!(there(disk.read(path).unwrap()), "removed values lie in old pages");
    assert!(compact(&mut database, path).unwrap());
    sizes.push(size());
    assert!(!there(disk.read(path).unwrap()), "a value outlived the compaction");
    database.close().unwrap();
    sizes.push(size());
    println!("empty, 6 MB put, removed, compacted, closed: {sizes:?} bytes");
    assert!(sizes[2] > 6_000_000 && sizes[3] < sizes[2] / 4, "{sizes:?}");
}
