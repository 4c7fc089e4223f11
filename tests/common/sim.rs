//! A disk in memory that loses power or fills up when it is told to.
//!
//! What it promises is what `base::disk` asks of a file system, and nothing more. Names change in
//! the order they were changed in their folder, and any number of the last changes since the sync
//! of that folder may be lost; a folder that is lost takes along what lies in it. Contents of a new
//! file that was not synced may be absent, half there, zeros or whole. What was written in place
//! and not synced, each write and each change of length for itself, may be there, lost, torn at a
//! sector, or a hole of zeros where the file grew.

mod contents;
mod images;

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use unlearn::base::disk::{Disk, DiskError, DiskFile};

use contents::Contents;
pub use images::Image;

/// A change of a file that no sync has made durable yet.
#[derive(Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8>, grows: bool },
    Size(u64),
}

/// A file: what a reader sees, what was made durable, and the changes between the two.
#[derive(Debug, Default)]
struct Inode {
    live: Contents,
    durable: Contents,
    pending: Vec<Change>,
    /// Written in one go by `write_new`, and not synced since.
    whole: bool,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    File(usize),
    Folder,
}

type Names = BTreeMap<PathBuf, Node>;

/// A change of names that no sync of the folder has made durable yet.
#[derive(Debug)]
enum Renaming {
    Make(PathBuf, Node),
    Move(PathBuf, PathBuf),
    Drop(PathBuf),
}

impl Renaming {
    /// The name it concerns; both of a move lie in the same folder.
    fn path(&self) -> &Path {
        let (Self::Make(path, _) | Self::Move(_, path) | Self::Drop(path)) = self;
        path
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Make(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Move(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
            Self::Drop(path) => drop(names.remove(path)),
        }
    }
}

/// The path without `.`.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

#[derive(Debug)]
struct State {
    inodes: Vec<Inode>,
    live: Names,
    durable: Names,
    pending: Vec<Renaming>,
    done: usize,
    changed: Vec<usize>,
    syncs: usize,
    dies_at: usize,
    full_from: usize,
    /// Bytes of room that a full disk has, where it counts them.
    room: Option<u64>,
    /// Of each crash point from some operation on, this many images, where they are recorded.
    recording: Option<(usize, Vec<Point>)>,
}

/// A crash point: how many operations were done before it, and what may be left.
pub type Point = (usize, Vec<Image>);

/// A simulated disk. Clones, and the files it opens, are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

impl From<&Image> for SimDisk {
    fn from(image: &Image) -> Self {
        let (mut inodes, mut names) = (Vec::new(), Names::new());
        names.extend(image.folders.iter().map(|folder| (folder.clone(), Node::Folder)));
        for (path, contents) in &image.files {
            names.insert(path.clone(), Node::File(inodes.len()));
            let (live, durable) = (contents.clone(), contents.clone());
            inodes.push(Inode { live, durable, ..Inode::default() });
        }
        let (live, durable, pending, changed) = (names.clone(), names, Vec::new(), Vec::new());
        let never = usize::MAX;
        let state = State {
            inodes,
            live,
            durable,
            pending,
            done: 0,
            changed,
            syncs: 0,
            dies_at: never,
            full_from: never,
            room: None,
            recording: None,
        };
        Self(Arc::new(Mutex::new(state)))
    }
}

impl SimDisk {
    /// A disk that durably holds `folders` and nothing in them. The root is always there.
    pub fn with_folders(folders: &[&str]) -> Self {
        let mut image = Image::default();
        for folder in folders {
            let above = Path::new(folder).ancestors().map(plain);
            image.folders.extend(above.filter(|folder| !State::is_root(folder)));
        }
        Self::from(&image)
    }

    /// A disk that durably holds `files`, and the folders they lie in.
    pub fn holding(files: &[(&str, &[u8])]) -> Self {
        let mut image = Image::default();
        for (path, bytes) in files {
            image.put(path, bytes);
            let above = Path::new(path).ancestors().skip(1).map(plain);
            image.folders.extend(above.filter(|folder| !State::is_root(folder)));
        }
        Self::from(&image)
    }

    /// Loses power before operation `operation` (0 is the first): that one and all later fail.
    pub fn dying_at(self, operation: usize) -> Self {
        self.state().dies_at = operation;
        self
    }

    /// Has no room from operation `operation` on: nothing can be made, written or grown.
    pub fn full_from(self, operation: usize) -> Self {
        self.state().full_from = operation;
        self
    }

    /// As [`SimDisk::full_from`], but has `room` bytes left, and those of whatever is removed: only
    /// what grows needs some.
    pub fn full_but_for(self, operation: usize, room: u64) -> Self {
        self.state().room = Some(room);
        self.full_from(operation)
    }

    /// Has room again.
    pub fn free(&self) {
        self.state().full_from = usize::MAX;
    }

    /// How many operations were asked for, of the disk and of its files.
    pub fn operations(&self) -> usize {
        self.state().done
    }

    /// How many syncs of files were asked for.
    pub fn syncs(&self) -> usize {
        self.state().syncs
    }

    /// Where a loss of power leaves something else than one operation before: before the first
    /// operation, and behind each that changed something or made it durable. Between these lie
    /// operations that only read.
    pub fn crash_points(&self) -> Vec<usize> {
        let mut points = vec![0];
        points.extend(self.state().changed.iter().map(|operation| operation + 1));
        points
    }

    /// States that may be found when the power comes back: every one if there are at most
    /// `how_many`, otherwise that many, among them the one where all that is not synced is lost
    /// and the one where all of it is kept; the rest is drawn by `seed`.
    pub fn images(&self, seed: u64, how_many: usize) -> Vec<Image> {
        self.state().images(seed, how_many)
    }

    /// Notes at each crash point from now on what may be left there, `how_many` images at most: one
    /// run shows them all, also of work that draws random keys and so never is the same work twice.
    pub fn record(&self, how_many: usize) {
        self.state().recording = Some((how_many, Vec::new()));
    }

    /// The crash points since [`SimDisk::record`], the last behind all that was done.
    pub fn recorded(&self) -> Vec<Point> {
        let mut state = self.state();
        state.note();
        state.recording.take().map_or_else(Vec::new, |(_, points)| points)
    }

    /// What is there now, as a reader sees it.
    pub fn live(&self) -> Image {
        let state = self.state();
        let mut image = Image::default();
        for (path, node) in &state.live {
            match node {
                Node::Folder => drop(image.folders.insert(path.clone())),
                Node::File(inode) => {
                    image.files.insert(path.clone(), state.inodes[*inode].live.clone());
                }
            }
        }
        image
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn run<T>(
        &self,
        action: &'static str,
        path: &Path,
        work: impl FnOnce(&mut State, PathBuf) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        work(&mut self.state(), plain(path))
            .map_err(|error| DiskError::from_io(action, path, error))
    }
}

impl State {
    fn is_root(folder: &Path) -> bool {
        folder.as_os_str().is_empty() || folder == Path::new("/")
    }

    /// One operation that only reads.
    fn look(&mut self) -> io::Result<()> {
        self.done += 1;
        if self.done > self.dies_at { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }

    /// Records what may be left now.
    fn note(&mut self) {
        if let Some((how_many, mut points)) = self.recording.take() {
            points.push((self.done, self.images(self.done as u64, how_many)));
            self.recording = Some((how_many, points));
        }
    }

    /// One operation that changes what is there, or what is durable.
    fn change(&mut self) -> io::Result<()> {
        self.note();
        self.look()?;
        self.changed.push(self.done - 1);
        Ok(())
    }

    /// One operation that needs room; `Ok(false)` if there is none.
    fn grow(&mut self, bytes: u64) -> io::Result<bool> {
        self.change()?;
        if self.done <= self.full_from {
            return Ok(true);
        }
        let left = self.room.and_then(|room| room.checked_sub(bytes));
        self.room = left.or(self.room);
        Ok(left.is_some())
    }

    /// What lies at `path` goes.
    fn frees(&mut self, path: &Path) {
        if let (Some(room), Some(Node::File(inode))) = (&mut self.room, self.live.get(path)) {
            *room += self.inodes[*inode].live.size();
        }
    }

    fn rename(&mut self, change: Renaming) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.live.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            Some(Node::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None if Self::is_root(path) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn folder(&self, path: &Path) -> io::Result<()> {
        match self.live.get(path) {
            _ if Self::is_root(path) => Ok(()),
            Some(Node::Folder) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Makes an empty file, if there is room.
    fn make(&mut self, path: PathBuf, whole: bool) -> io::Result<usize> {
        if !self.grow(0)? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.folder(&folder_of(&path))?;
        let inode = self.inodes.len();
        self.inodes.push(Inode { whole, ..Inode::default() });
        self.rename(Renaming::Make(path, Node::File(inode)));
        Ok(inode)
    }

    fn write(&mut self, inode: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let length = self.inodes[inode].live.size();
        let room = self.grow((offset + bytes.len() as u64).saturating_sub(length))?;
        // A disk that fills up takes a part first.
        let taken = if room { bytes } else { &bytes[..bytes.len() / 1024 * 512] };
        let file = &mut self.inodes[inode];
        file.live.write_at(offset, taken)?;
        if !taken.is_empty() {
            let (bytes, grows) = (taken.to_vec(), file.live.size() > length);
            file.pending.push(Change::Write { offset, bytes, grows });
        }
        if room { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn sync(&mut self, inode: usize) -> io::Result<()> {
        self.change()?;
        self.syncs += 1;
        let file = &mut self.inodes[inode];
        file.durable = file.live.clone();
        file.pending.clear();
        file.whole = false;
        Ok(())
    }
}

impl Disk for SimDisk {
    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        self.run("read", path, |state, path| {
            state.look()?;
            state.file(&path).map(|inode| state.inodes[inode].live.bytes())
        })
    }

    fn write_new(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        self.run("write", path, |state, path| {
            if state.live.contains_key(&path) {
                state.look()?;
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            // Two operations: the name is there before the contents are.
            let inode = state.make(path, true)?;
            state.write(inode, 0, bytes)
        })
    }

    fn sync_file(&mut self, path: &Path) -> Result<(), DiskError> {
        self.run("sync", path, |state, path| match state.file(&path) {
            Ok(inode) => state.sync(inode),
            Err(error) => state.look().and(Err(error)),
        })
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.run("rename a file to", to, |state, to| {
            state.change()?;
            let from = plain(from);
            state.file(&from)?;
            match state.live.get(&to) {
                Some(Node::Folder) => return Err(io::ErrorKind::IsADirectory.into()),
                // Which folder's sync would make it durable is a question that nobody needs asked.
                _ if folder_of(&from) != folder_of(&to) => {
                    return Err(io::ErrorKind::CrossesDevices.into());
                }
                _ => {
                    state.frees(&to);
                    state.rename(Renaming::Move(from, to));
                }
            }
            Ok(())
        })
    }

    fn sync_folder(&mut self, folder: &Path) -> Result<(), DiskError> {
        self.run("sync", folder, |state, folder| {
            state.change()?;
            state.folder(&folder)?;
            let pending = std::mem::take(&mut state.pending);
            let (within, rest): (Vec<_>, Vec<_>) =
                pending.into_iter().partition(|change| folder_of(change.path()) == folder);
            within.iter().for_each(|change| change.apply(&mut state.durable));
            state.pending = rest;
            Ok(())
        })
    }

    fn remove(&mut self, path: &Path) -> Result<(), DiskError> {
        self.run("remove", path, |state, path| {
            state.change()?;
            state.file(&path)?;
            state.frees(&path);
            state.rename(Renaming::Drop(path));
            Ok(())
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        self.run("look at", path, |state, path| {
            state.look()?;
            Ok(State::is_root(&path) || state.live.contains_key(&path))
        })
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
        self.run("list", folder, |state, inside| {
            state.look()?;
            state.folder(&inside)?;
            let within = |path: &&PathBuf| path.parent() == Some(&inside);
            let name = |path: &PathBuf| path.file_name().map(|name| folder.join(name));
            Ok(state.live.keys().filter(within).filter_map(name).collect())
        })
    }

    fn make_folder(&mut self, folder: &Path) -> Result<(), DiskError> {
        self.run("make the folder", folder, |state, folder| {
            if state.folder(&folder).is_ok() {
                return state.look();
            }
            let room = state.grow(0)?;
            state.folder(&folder_of(&folder))?;
            if state.live.contains_key(&folder) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if !room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.rename(Renaming::Make(folder, Node::Folder));
            Ok(())
        })
    }

    fn open(&mut self, path: &Path) -> Result<Box<dyn DiskFile>, DiskError> {
        let inode = self.run("open", path, |state, path| match state.file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => state.make(path, false),
            found => state.look().and(found),
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }
}

/// A file that was opened to be read and written in place, whatever its name is by now.
struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl std::fmt::Debug for SimFile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SimFile({})", self.inode)
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.look()?;
        Ok(state.inodes[self.inode].live.size())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.look()?;
        state.inodes[self.inode].live.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.state().write(self.inode, offset, bytes)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let length = state.inodes[self.inode].live.size();
        let room = state.grow(size.saturating_sub(length))?;
        let freed = length.saturating_sub(size);
        state.room = state.room.map(|room| room + freed);
        let file = &mut state.inodes[self.inode];
        if size > length && !room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.live.set_size(size)?;
        file.pending.push(Change::Size(size));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().sync(self.inode)
    }
}
