//! What is to be forgotten: `class=K[,K]`, `part=K:SHARE|COUNT[,K:..]`, `random=SHARE|COUNT`,
//! `subject=NAME[,NAME]`, `indices=FILE`, `backdoor=TARGET:COUNT[:SIDE[:COLOUR]]`.
//!
//! A group is never split: where a scenario takes one sample of a group, the whole group goes,
//! whoever else is in it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::base::rng::Stream;

use super::backdoor::Backdoor;
use super::dataset::Dataset;
use super::error::{DataError, NAMES_TOLD};
use super::packed::lines;

/// The most bytes of an index file: every index of the largest set, with room for line ends.
const MAX_INDEX_FILE: u64 = 256 << 20;

/// Which training samples to forget.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Scenario {
    /// All samples of these classes, each given by name or number (a name wins).
    Class(Vec<String>),
    /// Some of all samples, drawn uniformly without replacement.
    Random(Amount),
    /// Some samples of each of these classes, drawn so; the classes stay in the test set.
    Part(Vec<(String, Amount)>),
    /// All samples of these subjects, given by name.
    Subject(Vec<String>),
    /// The samples whose indices stand in a file, one a line; empty lines are skipped.
    Indices(PathBuf),
    /// The samples that were poisoned.
    Backdoor(Backdoor),
}

/// How many of some samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// A share of them, above 0 and below 1.
    Share(f64),
    /// This many, 2 or more: 1 might mean all of them.
    Count(usize),
}

impl Amount {
    /// A whole number from 2 on is a count; anything else must be a share.
    fn parse(text: &str) -> Result<Self, DataError> {
        match text.parse() {
            Ok(count) if count > 1 => Ok(Self::Count(count)),
            _ => Ok(Self::Share(share(text)?)),
        }
    }

    /// How many of `samples`, a share rounded to whole samples.
    fn of(self, samples: usize) -> Result<usize, DataError> {
        match self {
            Self::Count(count) => Ok(count),
            // Below 2^24 samples, so the product is exact enough and fits.
            Self::Share(share) => {
                let share = checked_share(share, &share.to_string())?;
                Ok((share * samples as f64).round() as usize)
            }
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{share}"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

/// The training set in two, each in ascending order and never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Samples to forget.
    pub forget: Vec<usize>,
    /// Samples to keep.
    pub retain: Vec<usize>,
}

impl Scenario {
    /// Reads a scenario as it is written after `--scenario`.
    pub fn parse(text: &str) -> Result<Self, DataError> {
        let wrong = |why| DataError::Scenario { asked: text.to_string(), why };
        let (kind, what) = text.split_once('=').ok_or_else(|| wrong("it has no `=`"))?;
        match kind {
            "class" => names(what).map(Self::Class).ok_or_else(|| wrong("a class is empty")),
            "subject" => names(what).map(Self::Subject).ok_or_else(|| wrong("a subject is empty")),
            "random" => Ok(Self::Random(Amount::parse(what)?)),
            "part" => parts(what)?.map(Self::Part).ok_or_else(|| wrong("a part is not K:AMOUNT")),
            "backdoor" => Backdoor::parse(what)
                .map(Self::Backdoor)
                .ok_or_else(|| wrong("what follows `=` is not TARGET:COUNT[:SIDE[:COLOUR]]")),
            "indices" if what.is_empty() => Err(wrong("the file has no name")),
            "indices" => Ok(Self::Indices(PathBuf::from(what))),
            _ => Err(wrong("the word before `=` is not known")),
        }
    }

    /// Which samples of `train` are forgotten and which are kept.
    ///
    /// `Random` forgets `round(share * samples)` or `count` of them, in the order of the stream
    /// `scenario/random`, and more only where the last one drawn has a group that goes with it. `Part`
    /// does so with the samples of each class, stream `scenario/part/{class number}`; a sample that goes
    /// with another's group counts for its class. `Backdoor` is [`Backdoor::samples`]. The other scenarios
    /// do not depend on `seed`.
    pub fn forget_indices(&self, train: &Dataset, seed: u64) -> Result<Partition, DataError> {
        let asked: Vec<usize> = match self {
            Self::Class(names) => with(&train.labels, &classes(train, names)?),
            Self::Subject(names) => with(&train.subjects, &subjects(train, names)?),
            Self::Random(amount) => return self.random(*amount, train, seed),
            Self::Part(parts) => return self.part(parts, train, seed),
            Self::Indices(file) => indices(file, train.len())?,
            Self::Backdoor(backdoor) => backdoor.samples(train, seed)?,
        };
        let mut goes = vec![false; train.len()];
        asked.iter().for_each(|&index| goes[index] = true);
        self.partition(close_over_groups(goes, train))
    }

    /// Which samples of `test` still measure the model: all, except that forgotten classes leave
    /// the test set too.
    pub fn test_indices(&self, test: &Dataset) -> Result<Vec<usize>, DataError> {
        let Self::Class(names) = self else { return Ok((0..test.len()).collect()) };
        let gone = classes(test, names)?;
        let kept: Vec<usize> =
            (0..test.len()).filter(|&index| !gone.contains(&test.labels[index])).collect();
        if kept.is_empty() { Err(self.empty("test", test.len())) } else { Ok(kept) }
    }

    fn random(&self, amount: Amount, train: &Dataset, seed: u64) -> Result<Partition, DataError> {
        let order = Stream::new(seed, "scenario/random").permutation(train.len());
        let mut goes = vec![false; train.len()];
        draw(&order, amount.of(train.len())?, &Groups::of(train), &mut goes);
        self.partition(goes)
    }

    fn part(
        &self,
        parts: &[(String, Amount)],
        train: &Dataset,
        seed: u64,
    ) -> Result<Partition, DataError> {
        let (members, mut goes) = (Groups::of(train), vec![false; train.len()]);
        for (name, amount) in parts {
            let class = classes(train, std::slice::from_ref(name))?;
            let mut order = with(&train.labels, &class);
            let count = amount.of(order.len())?;
            if count > order.len() {
                let why = "a class has fewer samples than are to go";
                return Err(DataError::Scenario { asked: self.to_string(), why });
            }
            let number = class.first().copied().unwrap_or_default();
            Stream::new(seed, &format!("scenario/part/{number}")).shuffle(&mut order);
            draw(&order, count, &members, &mut goes);
        }
        self.partition(goes)
    }

    fn partition(&self, goes: Vec<bool>) -> Result<Partition, DataError> {
        let samples = goes.len();
        let (forget, retain): (Vec<usize>, Vec<usize>) =
            (0..samples).partition(|&index| goes[index]);
        match (forget.is_empty(), retain.is_empty()) {
            (true, _) => Err(self.empty("forget", samples)),
            (_, true) => Err(self.empty("retain", samples)),
            _ => Ok(Partition { forget, retain }),
        }
    }

    fn empty(&self, side: &'static str, samples: usize) -> DataError {
        DataError::EmptySide { scenario: self.to_string(), side, samples }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(names) => write!(f, "class={}", names.join(",")),
            Self::Random(amount) => write!(f, "random={amount}"),
            Self::Part(parts) => {
                let parts: Vec<_> = parts.iter().map(|(k, some)| format!("{k}:{some}")).collect();
                write!(f, "part={}", parts.join(","))
            }
            Self::Backdoor(backdoor) => write!(f, "backdoor={backdoor}"),
            Self::Subject(names) => write!(f, "subject={}", names.join(",")),
            Self::Indices(file) => write!(f, "indices={}", file.display()),
        }
    }
}

/// The members of each group, or each sample alone where a set has no groups.
pub(crate) struct Groups {
    members: Vec<Vec<usize>>,
    of: Vec<usize>,
}

impl Groups {
    pub(crate) fn of(set: &Dataset) -> Self {
        if set.groups.is_empty() {
            let members = (0..set.len()).map(|index| vec![index]).collect();
            return Self { members, of: (0..set.len()).collect() };
        }
        let numbers: Vec<u32> =
            set.groups.iter().copied().collect::<BTreeSet<u32>>().into_iter().collect();
        let mut members = vec![Vec::new(); numbers.len()];
        let place = |group| numbers.partition_point(|&other| other < group);
        let of: Vec<usize> = set.groups.iter().map(|&group| place(group)).collect();
        of.iter().enumerate().for_each(|(index, &group)| members[group].push(index));
        Self { members, of }
    }

    pub(crate) fn with(&self, index: usize) -> &[usize] {
        &self.members[self.of[index]]
    }

    pub(crate) fn into_members(self) -> Vec<Vec<usize>> {
        self.members
    }
}

/// Takes samples in `order`, with their groups, until `count` of them go that did not go before.
fn draw(order: &[usize], count: usize, members: &Groups, goes: &mut [bool]) {
    let mut forgotten = 0;
    for &index in order {
        if forgotten >= count {
            break;
        }
        for &member in members.with(index) {
            forgotten += usize::from(!std::mem::replace(&mut goes[member], true));
        }
    }
}

fn close_over_groups(mut goes: Vec<bool>, set: &Dataset) -> Vec<bool> {
    for group in Groups::of(set).into_members() {
        let taken = group.iter().any(|&index| goes[index]);
        group.iter().for_each(|&index| goes[index] = taken);
    }
    goes
}

fn names(text: &str) -> Option<Vec<String>> {
    text.split(',')
        .map(|name| Some(name.trim().to_string()).filter(|name| !name.is_empty()))
        .collect()
}

/// `K:AMOUNT[,K:AMOUNT]`; the last colon of each divides it, since a class may have one in its name.
fn parts(text: &str) -> Result<Option<Vec<(String, Amount)>>, DataError> {
    let mut all = Vec::new();
    for part in text.split(',') {
        match part.rsplit_once(':') {
            Some((name, amount)) if !name.trim().is_empty() => {
                all.push((name.trim().to_string(), Amount::parse(amount.trim())?));
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(all))
}

fn share(text: &str) -> Result<f64, DataError> {
    checked_share(text.parse().unwrap_or(f64::NAN), text)
}

pub(crate) fn checked_share(share: f64, text: &str) -> Result<f64, DataError> {
    if share > 0.0 && share < 1.0 {
        return Ok(share);
    }
    Err(DataError::Share { found: text.to_string() })
}

fn with(of: &[u32], wanted: &BTreeSet<u32>) -> Vec<usize> {
    (0..of.len()).filter(|&index| wanted.contains(&of[index])).collect()
}

pub(super) fn classes(set: &Dataset, names: &[String]) -> Result<BTreeSet<u32>, DataError> {
    let number = |name: &str| name.parse().ok().filter(|&number| number < set.classes.len());
    let find = |name: &String| position(&set.classes, name).or_else(|| number(name));
    all(names, find, "class", &set.classes)
}

fn subjects(set: &Dataset, names: &[String]) -> Result<BTreeSet<u32>, DataError> {
    all(names, |name| position(&set.subject_names, name), "subject", &set.subject_names)
}

fn position(of: &[String], name: &str) -> Option<usize> {
    of.iter().position(|other| other == name)
}

fn all(
    names: &[String],
    find: impl Fn(&String) -> Option<usize>,
    what: &'static str,
    of: &[String],
) -> Result<BTreeSet<u32>, DataError> {
    let find = |name: &String| {
        let number = find(name).and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| DataError::Unknown { what, asked: name.clone(), known: known(of) })
    };
    names.iter().map(find).collect()
}

fn known(names: &[String]) -> Vec<String> {
    let mut told: Vec<String> = names.iter().take(NAMES_TOLD).cloned().collect();
    if names.is_empty() {
        told.push("none, this data names nobody".to_string());
    } else if names.len() > NAMES_TOLD {
        told.push(format!("and {} more", names.len() - NAMES_TOLD));
    }
    told
}

fn indices(file: &Path, len: usize) -> Result<Vec<usize>, DataError> {
    let mut first_lines = vec![0; len];
    let mut indices = Vec::new();
    lines(file, MAX_INDEX_FILE, |line, text| {
        let (at, text) = (|| file.to_path_buf(), text.trim());
        if text.is_empty() {
            return Ok(());
        }
        let Ok(found) = text.parse::<u64>() else {
            let found = text.chars().take(40).collect();
            return Err(DataError::IndexText { file: at(), line, found });
        };
        let Some(index) = usize::try_from(found).ok().filter(|&index| index < len) else {
            return Err(DataError::IndexRange { file: at(), line, found, len });
        };
        let first_line = std::mem::replace(&mut first_lines[index], line);
        if first_line > 0 {
            return Err(DataError::IndexRepeated { file: at(), line, found, first_line });
        }
        indices.push(index);
        Ok(())
    })?;
    Ok(indices)
}
