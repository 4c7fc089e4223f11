//! What may be left when the power comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use unlearn::base::rng::Stream;

use super::contents::Contents;
use super::{Change, Inode, Node, Renaming, State, folder_of, plain};

/// What is written at once, and cannot be torn.
const SECTOR: u64 = 512;

/// What a disk holds after the power came back. A [`super::SimDisk`] starts from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    pub(super) files: BTreeMap<PathBuf, Contents>,
    pub(super) folders: BTreeSet<PathBuf>,
}

impl Image {
    /// The bytes of the file at `path`, if there is one.
    pub fn get(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.files.get(&plain(path.as_ref())).map(Contents::bytes)
    }

    /// Its files, in order of name.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Whether a folder is there.
    pub fn has_folder(&self, path: impl AsRef<Path>) -> bool {
        self.folders.contains(&plain(path.as_ref()))
    }

    /// Puts a file there, in place of whatever had its name.
    pub fn put(&mut self, path: impl AsRef<Path>, bytes: &[u8]) {
        self.files.insert(plain(path.as_ref()), Contents::of(bytes));
    }

    /// Takes a file away.
    pub fn take(&mut self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.files.remove(&plain(path.as_ref())).map(|contents| contents.bytes())
    }
}

/// What became of one change that was not synced.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Lost,
    Kept,
    /// Of the sectors that the write touches, these reached the disk.
    Torn(u64, u64),
    /// The file is as long as it made it, with zeros where its bytes should be.
    Hole,
}

/// The sectors that a write touches.
fn sectors(offset: u64, bytes: &[u8]) -> u64 {
    match bytes.len() as u64 {
        0 => 0,
        len => (offset + len - 1) / SECTOR - offset / SECTOR + 1,
    }
}

impl Change {
    fn fates(&self) -> Vec<Fate> {
        let Self::Write { offset, bytes, grows } = self else {
            return vec![Fate::Lost, Fate::Kept];
        };
        let mut fates = vec![Fate::Lost];
        if sectors(*offset, bytes) > 1 {
            let (all, half) = (sectors(*offset, bytes), sectors(*offset, bytes) / 2);
            fates.extend([Fate::Torn(0, half), Fate::Torn(half, all)]);
        }
        fates.extend(grows.then_some(Fate::Hole));
        fates.push(Fate::Kept);
        fates
    }

    fn draw(&self, keeps: f64, stream: &mut Stream) -> Fate {
        let draw = stream.unit();
        if let Self::Write { offset, bytes, grows } = self {
            let all = sectors(*offset, bytes);
            if *grows && draw < 0.2 {
                return Fate::Hole;
            }
            if all > 1 && draw < 0.4 {
                let from = stream.below(all);
                return Fate::Torn(from, from + 1 + stream.below(all - from));
            }
        }
        if stream.unit() < keeps { Fate::Kept } else { Fate::Lost }
    }
}

impl Inode {
    /// What the file may hold: first with all changes lost, last with all kept. All that is
    /// possible if it is at most `most`, otherwise that many mixtures drawn by `stream`.
    fn possible(&self, most: usize, stream: &mut Stream) -> Vec<Contents> {
        if self.pending.is_empty() {
            return vec![self.live.clone()];
        }
        if self.whole && self.pending.len() == 1 {
            let half = self.live.bytes()[..self.live.size() as usize / 2].to_vec();
            let zeros = vec![0; self.live.size() as usize];
            let spoilt = [half, zeros].map(|bytes| Contents::of(&bytes));
            let [half, zeros] = spoilt;
            return vec![self.durable.clone(), half, zeros, self.live.clone()];
        }
        let fates: Vec<Vec<Fate>> = self.pending.iter().map(Change::fates).collect();
        let all = fates.iter().try_fold(1usize, |all, one| all.checked_mul(one.len()));
        if let Some(all) = all.filter(|&all| all <= most) {
            let combination = |code| mixed(code, &fates.iter().map(Vec::len).collect::<Vec<_>>());
            return (0..all)
                .map(|code| combination(code).iter().zip(&fates).map(|(&i, f)| f[i]).collect())
                .map(|fates: Vec<Fate>| self.mixture(&fates))
                .collect();
        }
        let mut found = vec![self.durable.clone()];
        for _ in 0..4 * most {
            if found.len() + 1 >= most {
                break;
            }
            // Now nearly nothing arrived, now half, now nearly all.
            let keeps = [0.1, 0.5, 0.9][stream.index(3)];
            let fates: Vec<Fate> = self.pending.iter().map(|c| c.draw(keeps, stream)).collect();
            let mixture = self.mixture(&fates);
            if mixture != self.live && !found.contains(&mixture) {
                found.push(mixture);
            }
        }
        found.push(self.live.clone());
        found
    }

    /// The file when each change met its fate, each for itself: a later one may be kept where an
    /// earlier one is lost. Harsher than file systems are, which keep lengths in order.
    fn mixture(&self, fates: &[Fate]) -> Contents {
        let mut left = self.durable.clone();
        for (change, &fate) in self.pending.iter().zip(fates) {
            match change {
                _ if fate == Fate::Lost => {}
                Change::Size(size) => left.set_size(*size).unwrap(),
                Change::Write { offset, bytes, .. } => write_part(&mut left, *offset, bytes, fate),
            }
        }
        left
    }
}

/// Writes what `fate` leaves of a write.
fn write_part(left: &mut Contents, offset: u64, bytes: &[u8], fate: Fate) {
    let (first, end) = (offset / SECTOR, offset + bytes.len() as u64);
    let (from, to) = match fate {
        Fate::Lost => return,
        Fate::Kept => (offset, end),
        Fate::Torn(from, to) => {
            (offset.max((first + from) * SECTOR), end.min((first + to) * SECTOR))
        }
        Fate::Hole => return left.set_size(left.size().max(end)).unwrap(),
    };
    left.write_at(from, &bytes[(from - offset) as usize..(to - offset) as usize]).unwrap();
}

/// The digits of `code`, where digit i has `sizes[i]` values.
fn mixed(mut code: usize, sizes: &[usize]) -> Vec<usize> {
    let digit = |&size: &usize| {
        let digit = code % size;
        code /= size;
        digit
    };
    sizes.iter().map(digit).collect()
}

impl State {
    /// States that may be found: all of them if they are few, otherwise `how_many` (two at least).
    pub(super) fn images(&self, seed: u64, how_many: usize) -> Vec<Image> {
        let mut stream = Stream::new(seed, "simulated disk/images");
        let mut folders: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for change in &self.pending {
            *folders.entry(folder_of(change.path())).or_default() += 1;
        }
        let reached = self.reachable();
        let contents: BTreeMap<usize, Vec<Contents>> = reached
            .iter()
            .map(|&inode| (inode, self.inodes[inode].possible(how_many.max(2), &mut stream)))
            .collect();
        let mut sizes: Vec<usize> = folders.values().map(|changes| changes + 1).collect();
        sizes.extend(contents.values().map(Vec::len));
        let image = |code: &[usize]| {
            let kept = folders.keys().zip(code).collect();
            let held = contents.iter().zip(&code[folders.len()..]);
            self.image(&kept, &held.map(|((&i, possible), &one)| (i, &possible[one])).collect())
        };
        let mut codes: BTreeSet<Vec<usize>> = BTreeSet::new();
        let all = sizes.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
        if let Some(all) = all.filter(|&all| all <= how_many) {
            codes.extend((0..all).map(|code| mixed(code, &sizes)));
        } else {
            codes.insert(vec![0; sizes.len()]);
            codes.insert(sizes.iter().map(|size| size - 1).collect());
            for _ in 0..4 * how_many {
                if codes.len() >= how_many {
                    break;
                }
                codes.insert(sizes.iter().map(|&size| stream.index(size)).collect());
            }
        }
        let mut images: Vec<Image> = Vec::new();
        for code in &codes {
            let image = image(code);
            if !images.contains(&image) {
                images.push(image);
            }
        }
        images
    }

    /// The files that some image may hold.
    fn reachable(&self) -> BTreeSet<usize> {
        let made = self.pending.iter().filter_map(|change| match change {
            Renaming::Make(_, node) => Some(node),
            _ => None,
        });
        let nodes = self.durable.values().chain(made);
        nodes
            .filter_map(|node| match node {
                Node::File(inode) => Some(*inode),
                Node::Folder => None,
            })
            .collect()
    }

    /// The names with the first so many changes of each folder, over these contents.
    fn image(
        &self,
        kept: &BTreeMap<&PathBuf, &usize>,
        contents: &BTreeMap<usize, &Contents>,
    ) -> Image {
        let mut names = self.durable.clone();
        let mut seen: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for change in &self.pending {
            let folder = folder_of(change.path());
            let most = kept[&folder];
            let count = seen.entry(folder).or_default();
            *count += 1;
            if *count <= *most {
                change.apply(&mut names);
            }
        }
        let mut image = Image::default();
        for (path, node) in &names {
            // In order of name, so a folder comes before what lies in it.
            let mut above = path.ancestors().skip(1);
            if !above.all(|folder| State::is_root(folder) || image.folders.contains(folder)) {
                continue;
            }
            match node {
                Node::Folder => drop(image.folders.insert(path.clone())),
                Node::File(inode) => {
                    image.files.insert(path.clone(), contents[inode].clone());
                }
            }
        }
        image
    }
}
