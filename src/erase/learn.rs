//! Doing the work that was ordered: leg after leg, a sealed checkpoint after each epoch, a sealed model
//! at the end. The same order over the same samples gives the same bytes, however often it was cut short.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::energy::Energy;
use super::error::HomeError;
use super::gather::{Frame, gather, new_labels};
use super::home::Home;
use super::slot;
use super::state::{Id, Leg, Step, Work};
use crate::base::bytes::Reader;
use crate::base::clock::Stopwatch;
use crate::base::disk::Disk;
use crate::data::Dataset;
use crate::format::{AnchorPart, ClassesAndFeatures, Dtype, Facts, ModelFile, Provenance};
use crate::model::file::{self, Artifact};
use crate::model::{Device, Network};
use crate::train::room::Room;
use crate::train::{
    Compute, Control, EpochReport, L1Form, Progress, State, TrainError, Watch, run,
};
use crate::vault::{Handle, Header, Key};

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The model's logical id.
    pub id: Id,
    /// Bytes of its file.
    pub bytes: u64,
    /// How it came about.
    pub steps: Vec<Step>,
    /// Seconds that this took, without what was done before it was cut short.
    pub seconds: f64,
}

/// Somebody who looks on, and may stop it.
pub trait Onlooker {
    /// After each batch: of which leg, of how many, and where in it.
    fn batch(&mut self, _leg: usize, _legs: usize, _progress: Progress) -> Control {
        Control::Continue
    }
}

/// Nobody looks.
impl Onlooker for () {}

impl<F: FnMut(usize, usize, Progress) -> Control> Onlooker for F {
    fn batch(&mut self, leg: usize, legs: usize, progress: Progress) -> Control {
        self(leg, legs, progress)
    }
}

/// Where a run stands between two processes.
struct Checkpoint {
    leg: usize,
    state: State,
    classes: Vec<String>,
    /// How it was computed.
    computed: Option<String>,
}

/// The fact of a checkpoint that says how it was computed.
const COMPUTED: &str = "computed";

impl Home {
    fn work_path(&self, slot: &str) -> PathBuf {
        self.folder.join("slots").join(format!("{slot}.work"))
    }

    /// Does `work`, whose key is in the keyring, from its last checkpoint on, as it was planned. Where this
    /// process cannot compute so, it begins anew on what the home computes on.
    ///
    /// # Errors
    /// [`HomeError::Interrupted`] if `onlooker` stopped it; else if a run or its device failed, or a file could not
    /// be written. Whatever was whole stays for the next attempt.
    pub fn execute(&mut self, work: &Work, onlooker: &mut dyn Onlooker) -> Result<Done, HomeError> {
        let watch = Stopwatch::start();
        let key = self.slot_key(&work.slot)?;
        let compute = self.compute_of(work)?;
        let checkpoint = self.checkpoint(work, &key, compute)?;
        let leaving = self.leaving();
        let mut at = self.model(work.start.as_deref())?;
        let first = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.leg);
        let mut resumed = checkpoint;
        let (mut steps, mut bytes) = (Vec::new(), Vec::new());
        for (index, leg) in work.legs.iter().enumerate() {
            self.open_store()?;
            let people = self.store()?.learners(leg.upto, &leaving)?;
            steps.push(Step { leg: leg.clone(), people });
            if index < first {
                continue;
            }
            let (state, classes) = match resumed.take() {
                Some(checkpoint) => (checkpoint.state, checkpoint.classes),
                None => self.start_of(&at, leg)?,
            };
            let way = Way { work, index, key: &key, compute };
            let network = self.run_leg(state, &classes, leg, &way, onlooker)?;
            let root = work.roots && index + 1 == work.legs.len();
            bytes = self.encode(&network, &classes, None, self.dtype, root)?;
            at = reread(&bytes, &self.folder)?;
        }
        let path = slot::path_of(&self.folder, &work.slot);
        slot::write(self.disk.as_mut(), &path, &key, &bytes)?;
        self.drop_checkpoint(work)?;
        let (id, len) = (at.id.0, bytes.len() as u64);
        Ok(Done { id, bytes: len, steps, seconds: watch.seconds() })
    }

    /// How `work` is computed: as planned, if that is on the processor or on the very device that the home
    /// computes on; else on that, in pieces of its own.
    fn compute_of(&self, work: &Work) -> Result<Compute, HomeError> {
        let ours = |compute: &Compute| match compute.device {
            Device::Cpu(_) => true,
            device => device == self.device && Room::of(device).is_ok(),
        };
        if let Some(compute) = Compute::named(&work.plan).filter(ours) {
            return Ok(compute);
        }
        if let Device::Cpu(_) = self.device {
            return Ok(self.device.into());
        }
        let network = self.model(work.start.as_deref())?.network;
        self.ways_for(&work.legs, &network, self.around(self.of_floats()?)?, "learning")
    }

    /// What a worker came to, which filled the slot in `seconds`.
    ///
    /// # Errors
    /// If the slot is not there.
    pub fn done_by_worker(&self, work: &Work, seconds: f64) -> Result<Done, HomeError> {
        let model = self.model(Some(&work.slot))?;
        let leaving = self.leaving();
        let mut steps = Vec::new();
        for leg in &work.legs {
            let people = self.store()?.learners(leg.upto, &leaving)?;
            steps.push(Step { leg: leg.clone(), people });
        }
        Ok(Done { id: model.id.0, bytes: model.bytes, steps, seconds })
    }

    /// Whose samples take no part any more, although they may still be here.
    pub(super) fn leaving(&self) -> Vec<Handle> {
        self.job().filter(|job| job.stopped.is_some()).map_or_else(Vec::new, |job| job.people())
    }

    pub(super) fn slot_key(&self, slot: &str) -> Result<Key, HomeError> {
        let key = self.keyring.named(&slot::key_name(slot)).cloned();
        key.ok_or_else(|| HomeError::Damaged {
            path: slot::path_of(&self.folder, slot),
            offset: 0,
            what: "its key was destroyed".into(),
        })
    }

    /// Where a leg begins: the model before, with an output for each class that is new in it.
    fn start_of(&self, at: &Artifact, leg: &Leg) -> Result<(State, Vec<String>), HomeError> {
        let mut classes = at.meaning.classes.clone();
        classes.extend(new_labels(
            self.store()?,
            &self.keyring,
            &classes,
            leg.upto,
            &self.leaving(),
        )?);
        let network = self.grown(&at.network, classes.len())?;
        Ok((State::new(network), classes))
    }

    /// `network` with as many outputs as there are classes.
    pub(super) fn grown(&self, network: &Network, classes: usize) -> Result<Network, HomeError> {
        Ok(network.grow_head(classes, self.state.seed)?)
    }

    /// What a leg learns from.
    pub(super) fn set_of(&self, leg: &Leg, classes: &[String]) -> Result<Dataset, HomeError> {
        let shape = self.base.network.description.input_shape();
        let frame = Frame { shape, classes: classes.to_vec() };
        let anchor = self.anchor(AnchorPart::Train);
        let (upto, leaving) = (leg.upto, self.leaving());
        let picked = |number: u64, header: &Header| {
            number < upto && !header.held && !header.concerns(&leaving)
        };
        gather(self.store()?, &self.keyring, frame, anchor, |_| true, picked)
    }

    fn run_leg(
        &mut self,
        mut state: State,
        classes: &[String],
        leg: &Leg,
        way: &Way,
        onlooker: &mut dyn Onlooker,
    ) -> Result<Network, HomeError> {
        let recipe = leg.recipe()?;
        let set = self.set_of(leg, classes)?;
        if self.attends {
            // Closed before the long part: whoever kills a worker finds the index in order.
            self.close_store()?;
        }
        if set.is_empty() {
            return Err(HomeError::NothingToLearn);
        }
        let base = match recipe.l1.form == L1Form::TowardsBase && recipe.l1.alpha > 0.0 {
            true => Some(self.grown(&self.base.network, classes.len())?.values),
            false => None,
        };
        let path = self.work_path(&way.work.slot);
        let meaning = self.meaning(classes);
        let (disk, energy) = (self.disk.as_mut(), &self.energy);
        let mut watch = Keeper { disk, path: &path, meaning, way, energy, onlooker };
        run(&mut state, &set, &recipe, base.as_deref(), way.compute, &mut watch)?;
        match self.energy_spent() {
            _ if state.epoch == recipe.epochs => Ok(state.network),
            Some(over) => Err(HomeError::Overrun(over)),
            None => Err(HomeError::Interrupted),
        }
    }

    fn meaning(&self, classes: &[String]) -> ClassesAndFeatures {
        let features = self.base.meaning.features.clone();
        ClassesAndFeatures { classes: classes.to_vec(), features }
    }

    /// A model file. It says nothing of whose data is in it but that people of this site are.
    fn encode(
        &self,
        network: &Network,
        classes: &[String],
        momentum: Option<&[f32]>,
        dtype: Dtype,
        root: bool,
    ) -> Result<Vec<u8>, HomeError> {
        let anchor = self.base.anchor.as_ref().filter(|_| root);
        let facts = Facts::new(Provenance::Enrolled).with("command", "adapt");
        let meaning = self.meaning(classes);
        Ok(file::encode(network, &meaning, &facts, dtype, momentum, anchor)?)
    }

    /// The last whole epoch of `work`, if it was computed alike: another's rounding would be another run.
    fn checkpoint(
        &self,
        work: &Work,
        key: &Key,
        compute: Compute,
    ) -> Result<Option<Checkpoint>, HomeError> {
        let path = self.work_path(&work.slot);
        if !self.disk.exists(&path)? {
            return Ok(None);
        }
        match slot::read(self.disk.as_ref(), &path, key).and_then(|b| decoded(b, &path)) {
            Ok(checkpoint) => Ok(checkpoint.filter(|one| {
                // One of an earlier release was computed as planned.
                let computed = one.computed.as_deref().unwrap_or(&work.plan);
                one.leg < work.legs.len() && computed == compute.name()
            })),
            // It only saves time: a damaged one is none, and the run begins anew.
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the checkpoint of `work`, if there is one.
    pub(super) fn drop_checkpoint(&mut self, work: &Work) -> Result<(), HomeError> {
        let path = self.work_path(&work.slot);
        if self.disk.exists(&path)? {
            self.disk.remove(&path)?;
            self.disk.sync_folder(&self.folder.join("slots"))?;
        }
        Ok(())
    }
}

/// How a leg is done.
struct Way<'a> {
    work: &'a Work,
    index: usize,
    key: &'a Key,
    compute: Compute,
}

/// Keeps the last whole epoch.
struct Keeper<'a> {
    disk: &'a mut dyn Disk,
    path: &'a Path,
    meaning: ClassesAndFeatures,
    way: &'a Way<'a>,
    energy: &'a Energy,
    onlooker: &'a mut dyn Onlooker,
}

impl Watch for Keeper<'_> {
    fn batch(&mut self, progress: Progress) -> Control {
        if self.energy.spent().is_some() {
            return Control::Stop;
        }
        self.onlooker.batch(self.way.index, self.way.work.legs.len(), progress)
    }

    fn epoch(&mut self, state: &State, _: &EpochReport) -> Result<Control, TrainError> {
        let computed = self.way.compute.name();
        let facts = Facts::new(Provenance::Enrolled).with("command", "adapt");
        let facts = facts.with(COMPUTED, computed);
        let kept = file::encode(
            &state.network,
            &self.meaning,
            &facts,
            Dtype::F32,
            Some(&state.momentum),
            None,
        );
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| TrainError::Watch(error);
        let model = Zeroizing::new(kept.map_err(|error| failed(Box::new(error)))?);
        let words = [self.way.index as u32, state.epoch as u32];
        let mut bytes = Zeroizing::new(Vec::with_capacity(8 + model.len()));
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(&model[..]);
        slot::write(self.disk, self.path, self.way.key, &bytes)
            .map_err(|error| failed(Box::new(error)))?;
        Ok(Control::Continue)
    }
}

fn decoded(mut bytes: Zeroizing<Vec<u8>>, path: &Path) -> Result<Option<Checkpoint>, HomeError> {
    let mut reader = Reader::new(&bytes);
    let (Ok(leg), Ok(epoch)) = (reader.u32(), reader.u32()) else { return Ok(None) };
    let (leg, epoch) = (leg as usize, epoch as usize);
    let artifact = reread(&bytes.split_off(8), path)?;
    let computed = artifact.facts.get(COMPUTED).map(String::from);
    let (network, classes) = (artifact.network, artifact.meaning.classes);
    let checkpoint = |momentum| {
        let state = State { network, momentum, epoch };
        Checkpoint { leg, state, classes, computed }
    };
    Ok(artifact.momentum.map(checkpoint))
}

fn reread(bytes: &[u8], path: &Path) -> Result<Artifact, HomeError> {
    let damaged = |source| HomeError::Base { path: path.to_path_buf(), source: Box::new(source) };
    let file = ModelFile::from_bytes(bytes.to_vec()).map_err(damaged)?;
    Ok(file::read(&file, path)?)
}
