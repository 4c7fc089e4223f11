//! Which board this is.
//!
//! The device tree names the module by its number; nothing else is asked what the board is. The text of
//! `model` is for people (makers of carrier boards rewrite it), the release of Jetson Linux says which behaviour to
//! expect, and the serial number is never read: it would make a person's device known again.

use std::fmt;

use super::catalogue::{catalogue, named};
use super::gpu::GpuFacts;
use super::module::{Compatible, TREES};
use super::profile::{Capability, Profile};
use super::sensors::read_memory;
use super::sysroot::SysRoot;
use super::warning::Warning;

/// How a board was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// By its module's number.
    Module(String),
    /// Not: the profile is the one for any machine of this processor.
    Processor(&'static str),
    /// Not asked: somebody named the profile.
    Named,
}

impl fmt::Display for Recognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(module) => write!(f, "by its module, {module}"),
            Self::Processor(kind) => write!(f, "as any machine with {kind}"),
            Self::Named => write!(f, "not: --board named it"),
        }
    }
}

/// A release of Jetson Linux.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Release {
    /// Its major number, such as 36. Behaviour depends on this alone.
    pub major: u32,
    /// What follows, such as `4.3`.
    pub revision: String,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{}.{}", self.major, self.revision)
    }
}

/// What a machine is.
#[derive(Clone, Debug, PartialEq)]
pub struct Detected {
    /// What is known of such a board.
    pub profile: Profile,
    /// How that was chosen.
    pub recognised: Recognised,
    /// The module's number, as the device tree has it.
    pub module: Option<String>,
    /// The system on a chip, such as `tegra234`.
    pub soc: Option<String>,
    /// What the device tree calls the machine; to be shown, not to be judged by.
    pub model: Option<String>,
    /// The release of Jetson Linux.
    pub l4t: Option<Release>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// What the GPU answered, if it was asked.
    pub gpu: Option<GpuFacts>,
    /// What one should know.
    pub warnings: Vec<Warning>,
}

/// Says which board `root` is of. Never fails: what is not known gets the profile for any machine of its
/// processor, and a warning where it looks like a board that should be known.
pub fn detect(root: &SysRoot) -> Detected {
    among(root, &catalogue())
}

fn among(root: &SysRoot, profiles: &[Profile]) -> Detected {
    let names = Compatible::of(root);
    // The device tree lists the most specific first: its first number that anything knows holds.
    let known = names.numbers.iter().find_map(|number| {
        let profile = profiles.iter().find(|profile| profile.modules.contains(number))?;
        Some((number.clone(), profile.clone()))
    });
    if let Some((number, profile)) = known {
        let names = Compatible { likely: Some(number.clone()), ..names };
        return Detected::new(root, names, profile, Recognised::Module(number)).checked(root);
    }
    let (slug, processor) = processor(root, &names);
    let (module, soc) = (names.likely.clone(), names.soc.clone());
    let mut found = Detected::new(root, names, any(slug), Recognised::Processor(processor));
    found.warnings.extend(soc.map(|soc| Warning::UnknownModule { module, soc }));
    found.checked(root)
}

/// As [`detect`], with the `profile` that somebody chose; what the machine says against it is a warning.
pub fn detect_as(root: &SysRoot, profile: Profile) -> Detected {
    let names = Compatible::of(root);
    let own = names.numbers.iter().any(|number| profile.modules.contains(number));
    let other = names.likely.clone().filter(|_| !own && !profile.modules.is_empty());
    let board = profile.slug.clone();
    let mut found = Detected::new(root, names, profile, Recognised::Named);
    found.warnings.extend(other.map(|module| Warning::OtherModule { found: module, board }));
    found.checked(root)
}

/// The profile for any machine of a kind.
fn any(slug: &str) -> Profile {
    match named(slug) {
        Ok(profile) => profile,
        // It is compiled in, and a test reads every such profile.
        Err(error) => unreachable!("{error}"),
    }
}

/// The slug of the profile for any machine with this processor, and what that is called.
fn processor(root: &SysRoot, names: &Compatible) -> (&'static str, &'static str) {
    const ARM: (&str, &str) = ("generic-aarch64", "a 64-bit Arm processor");
    const X86: (&str, &str) = ("generic-x86-64", "an x86-64 processor");
    let text = root.text("proc/cpuinfo").unwrap_or_default();
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    if names.soc.is_some() || has("CPU implementer") || has("CPU architecture") {
        ARM
    } else if has("vendor_id") {
        X86
    } else if !names.any && cfg!(target_arch = "x86_64") {
        // Nothing tells. Machines of x86 have no device tree.
        X86
    } else {
        ARM
    }
}

impl Detected {
    fn new(root: &SysRoot, names: Compatible, profile: Profile, recognised: Recognised) -> Self {
        Self {
            profile,
            recognised,
            module: names.likely,
            soc: names.soc,
            model: TREES.iter().find_map(|tree| root.label(&format!("{tree}/model"))),
            l4t: release(root),
            kernel: kernel(root),
            gpu: None,
            warnings: Vec::new(),
        }
    }

    /// Holds the machine against its profile.
    fn checked(mut self, root: &SysRoot) -> Self {
        let Profile { soc, software, memory, .. } = &self.profile;
        let mut found = Vec::new();
        if let (Some(expected), Some(soc)) = (soc, &self.soc)
            && expected != soc
        {
            found.push(Warning::OtherSoc { found: soc.clone(), expected: expected.clone() });
        }
        match &self.l4t {
            None if self.soc.is_some() => {
                found.push(Warning::NoRelease { kernel: self.kernel.clone() });
            }
            Some(release) if !software.l4t.is_empty() && !software.l4t.contains(&release.major) => {
                let expected = software.l4t.clone();
                found.push(Warning::OtherRelease { found: release.to_string(), expected });
            }
            _ => {}
        }
        if let (Some(memory), Some(total)) = (memory, read_memory(root).total) {
            found.extend(Warning::of_memory(memory, total));
        }
        self.warnings.extend(found);
        self
    }

    /// The compute capability: what the GPU answered, or else what the profile says.
    pub fn capability(&self) -> Option<Capability> {
        let table = self.profile.gpu.as_ref().map(|gpu| gpu.capability);
        self.gpu.as_ref().map(|gpu| gpu.capability).or(table)
    }

    /// Takes in what the GPU answered. It holds where the profile says otherwise, and that is a warning.
    /// `None` says that nobody asked, or nobody answered.
    #[must_use]
    pub fn probed(mut self, facts: Option<GpuFacts>) -> Self {
        if let Some(facts) = &facts {
            self.warnings.extend(facts.against(&self.profile));
        }
        self.gpu = facts.or(self.gpu);
        self
    }
}

/// Reads the first line of `/etc/nv_tegra_release`: `# R36 (release), REVISION: 4.3, ...`. What it says of the
/// board is of no use.
fn release(root: &SysRoot) -> Option<Release> {
    let text = root.text("etc/nv_tegra_release")?;
    let line = text.lines().next()?;
    let major = line.trim_start_matches(['#', ' ']).strip_prefix('R')?;
    let digits = major.find(|c: char| !c.is_ascii_digit()).unwrap_or(major.len());
    let major = major[..digits].parse().ok()?;
    let revision = line.split_once("REVISION:")?.1.split(',').next()?.trim();
    let number = |c: char| c.is_ascii_digit() || c == '.';
    let known = !revision.is_empty() && revision.len() < 16 && revision.chars().all(number);
    known.then(|| Release { major, revision: revision.to_string() })
}

/// The kernel's release.
fn kernel(root: &SysRoot) -> Option<String> {
    let version = || {
        let text = root.label("proc/version")?;
        text.split_whitespace().nth(2).map(str::to_string)
    };
    root.label("proc/sys/kernel/osrelease").or_else(version)
}

#[cfg(test)]
mod tests;
