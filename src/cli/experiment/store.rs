//! What was made, by content: each product lies in a folder under a digest of all that it depends on.
//!
//! A product is a record, and for a network its model file. The file is written first, the record
//! last, both durably and whole: a process that dies at any moment leaves no record of half a product.
//! A record is taken only if it says the same of what it depends on, and its model file is whole and
//! the one that it names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::fault::Fault;
use crate::base::disk::{Disk, FileDisk, Lock, replace};
use crate::base::hash::Digest;
use crate::format::ModelFile;

/// Counted up when a step computes otherwise, so that nobody takes what the old one made.
const STEPS: u32 = 1;

/// What a product is and depends on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    kind: &'static str,
    of: Value,
    name: String,
}

impl Key {
    /// The key of a product of a `kind` that depends on nothing but `of`, this program, and the
    /// version of its steps.
    pub(super) fn new(kind: &'static str, mut of: Value) -> Self {
        of["program"] = json!(env!("CARGO_PKG_VERSION"));
        of["steps"] = json!(STEPS);
        let digest = Digest::of_parts(
            "unlearn experiment product, version 1",
            &[kind.as_bytes(), of.to_string().as_bytes()],
        );
        let name = format!("{kind}-{}", &digest.to_string()[..32]);
        Self { kind, of, name }
    }

    /// The name of its files, without ending.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// What a record says besides what it depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kept {
    /// A network, in the file beside the record.
    Model(Model),
    /// Figures.
    Figures(Value),
    /// Why there is no product, and never will be from these settings.
    Failed(String),
}

/// A network that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    /// The logical id of its file.
    pub id: String,
    /// Bytes of its file.
    pub bytes: u64,
    /// Seconds that learning took: of a method, its RTE.
    pub seconds: f64,
    /// Steps at once, and threads, while it took them.
    pub beside: [usize; 2],
    /// How it was computed.
    pub plan: String,
    /// The most memory that the process was to take for it alone, as planned.
    pub peak: u64,
    /// What whoever reads a figure of it must know.
    pub notes: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    kind: String,
    of: Value,
    kept: Kept,
}

/// The folder of products.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// Keys that somebody is at.
    busy: Mutex<BTreeSet<String>>,
    free: Condvar,
    /// Held while the store is: two processes would write the same files.
    lock: Option<Lock>,
}

/// The right to make one product: nobody else is at it.
pub(super) struct Claim<'a> {
    store: &'a Store,
    name: String,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.store.busy().remove(&self.name);
        self.store.free.notify_all();
    }
}

impl Store {
    /// Opens the products of the experiment in `out`, making folders that are not there.
    ///
    /// # Errors
    /// If another process has them, or they cannot be written.
    pub(super) fn open(out: &Path) -> Result<Self, Fault> {
        let mut disk = FileDisk;
        let folder = out.join("products");
        disk.make_folder(out)?;
        disk.make_folder(&folder)?;
        let Some(lock) = Lock::take(&out.join("lock"))? else {
            return Err(Fault::Usage(format!(
                "another process runs an experiment in {}: wait for it, or choose another --out",
                out.display()
            )));
        };
        Ok(Self { folder, busy: Mutex::default(), free: Condvar::new(), lock: Some(lock) })
    }

    /// The products in `out`, if there are any, to look at.
    pub(super) fn look(out: &Path) -> Self {
        let folder = out.join("products");
        Self { folder, busy: Mutex::default(), free: Condvar::new(), lock: None }
    }

    /// Whether nothing is to be written.
    pub(super) fn only_looks(&self) -> bool {
        self.lock.is_none()
    }

    fn busy(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else is at this product.
    pub(super) fn claim(&self, key: &Key) -> Claim<'_> {
        let mut busy = self.busy();
        while !busy.insert(key.name.clone()) {
            busy = self.free.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        Claim { store: self, name: key.name.clone() }
    }

    /// Where the model file of a product lies.
    pub(super) fn model(&self, key: &Key) -> PathBuf {
        self.folder.join(format!("{}.esm", key.name))
    }

    /// Where a run that makes it keeps its state.
    pub(super) fn checkpoint(&self, key: &Key) -> PathBuf {
        self.folder.join(format!("{}.checkpoint.esm", key.name))
    }

    fn record(&self, key: &Key) -> PathBuf {
        self.folder.join(format!("{}.json", key.name))
    }

    /// What is kept under `key`, whole. What is damaged counts as not there, and is made anew.
    pub(super) fn take(&self, key: &Key) -> Result<Option<Kept>, Fault> {
        let path = self.record(key);
        if !FileDisk.exists(&path)? {
            return Ok(None);
        }
        let record: Record = match serde_json::from_slice(&FileDisk.read(&path)?) {
            Ok(record) => record,
            Err(_) => return Ok(None),
        };
        let same = record.kind == key.kind && record.of == key.of;
        let whole = match &record.kept {
            Kept::Model(model) => same && self.holds(key, model),
            Kept::Figures(_) | Kept::Failed(_) => same,
        };
        Ok(whole.then_some(record.kept))
    }

    fn holds(&self, key: &Key, model: &Model) -> bool {
        let file = ModelFile::open(&self.model(key));
        file.is_ok_and(|file| file.verify().is_ok() && file.logical_id().to_string() == model.id)
    }

    /// Keeps a product; the model file of one lies there already.
    pub(super) fn keep(&self, key: &Key, kept: &Kept) -> Result<(), Fault> {
        let record = Record { kind: key.kind.into(), of: key.of.clone(), kept: kept.clone() };
        let text = serde_json::to_string_pretty(&record).unwrap_or_default();
        Ok(replace(&mut FileDisk, &self.record(key), text.as_bytes())?)
    }

    /// Removes a file that a product no longer needs.
    pub(super) fn clear(&self, path: &Path) -> Result<(), Fault> {
        let mut disk = FileDisk;
        if disk.exists(path)? {
            disk.remove(path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_taken_only_for_what_it_is_of_and_only_whole() {
        let out = std::env::temp_dir().join(format!("unlearn-store-{}", std::process::id()));
        let deep = Store::open(&out.join("deep")).unwrap_err();
        assert!(deep.to_string().contains("does not exist"), "{deep}");
        let store = Store::open(&out).unwrap();
        assert!(Store::open(&out).is_err(), "two processes in one folder");
        let key = |of: u32| Key::new("figures", json!({ "of": of }));
        let kept = Kept::Figures(json!({ "ua": 12.5 }));
        store.keep(&key(1), &kept).unwrap();
        assert_eq!(store.take(&key(1)).unwrap(), Some(kept));
        assert_eq!(store.take(&key(2)).unwrap(), None);
        // Another record under its name, half a record, and a model whose file is not there.
        let path = |of| store.record(&key(of));
        std::fs::copy(path(1), path(2)).unwrap();
        assert_eq!(store.take(&key(2)).unwrap(), None);
        let text = std::fs::read(path(1)).unwrap();
        std::fs::write(path(1), &text[..text.len() / 2]).unwrap();
        assert_eq!(store.take(&key(1)).unwrap(), None);
        let model = Model {
            id: "0".into(),
            bytes: 1,
            seconds: 1.0,
            beside: [1, 1],
            plan: "cpu/portable".into(),
            peak: 1,
            notes: Vec::new(),
        };
        store.keep(&key(3), &Kept::Model(model)).unwrap();
        assert_eq!(store.take(&key(3)).unwrap(), None);
        std::fs::remove_dir_all(out).unwrap();
    }
}
