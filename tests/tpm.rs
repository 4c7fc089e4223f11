//! Device keys in a TPM: they survive a restart, are gone when they are removed, and no copy of a home
//! brings them back. Against the software TPM of Debian's `swtpm`, behind a terminal that stands in for
//! `/dev/tpmrm0`; built with the feature `tpm` only (`.ci/tpm`).
#![cfg(feature = "tpm")]

mod common;

use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::home::{base, household, of, recipe};
use common::program::{done, json, refused};
use common::stage::lines;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use unlearn::base::disk::FileDisk;
use unlearn::erase::receipt::{Claimed, Evidence};
use unlearn::erase::{Home, HomeError, Limits, Setup, Wish, keys_of, new_keys};
use unlearn::vault::{KeyPlace, KeyStore, Level, VaultError};

/// A software TPM with its state in a folder.
struct Tpm {
    folder: tempfile::TempDir,
    running: Option<(Child, OwnedFd, File)>,
}

impl Tpm {
    /// `None`, said aloud, where there is none.
    fn start() -> Option<Self> {
        let there = Command::new("swtpm").arg("--version").stdout(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            eprintln!("\n!!!! SKIPPED: no `swtpm` here (apt-get install swtpm tpm2-tools)\n");
            return None;
        }
        let mut tpm = Self { folder: tempfile::tempdir().unwrap(), running: None };
        fs::create_dir(tpm.at("state")).unwrap();
        tpm.on();
        Some(tpm)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Power on: the device is where it was, and what the TPM keeps is kept.
    fn on(&mut self) {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let name = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes())).to_path_buf();
        let no_terminal = rustix::fs::OFlags::NOCTTY.bits() as i32;
        let mut options = OpenOptions::new();
        // Held open, or the other end would hang up when a client is done.
        let theirs = options.read(true).write(true).custom_flags(no_terminal).open(&name).unwrap();
        let mut raw = tcgetattr(&theirs).unwrap();
        raw.make_raw();
        tcsetattr(&theirs, OptionalActions::Now, &raw).unwrap();
        let _ = fs::remove_file(self.at("device"));
        std::os::unix::fs::symlink(&name, self.at("device")).unwrap();
        let state = format!("dir={}", self.at("state").display());
        let mut program = Command::new("swtpm");
        program.args(["chardev", "--tpm2", "--flags", "not-need-init,startup-clear"]);
        program.args(["--tpmstate", &state, "--fd", &ours.as_raw_fd().to_string()]);
        let child = program.stdin(Stdio::null()).spawn().unwrap();
        // What is asked before it listens waits in the terminal.
        self.running = Some((child, ours, theirs));
    }

    /// Power off.
    fn off(&mut self) {
        if let Some((mut child, ..)) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn tcti(&self) -> String {
        format!("device:{}", self.at("device").display())
    }

    fn place(&self) -> KeyPlace {
        KeyPlace::Tpm(self.tcti())
    }

    /// Runs one of tpm2-tools.
    fn tool(&self, words: &[&str]) -> bool {
        let mut tool = Command::new(words[0]);
        tool.args(&words[1..]).args(["-T", &self.tcti()]);
        tool.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        self.off();
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn gone(of: Result<impl Sized, VaultError>) -> bool {
    matches!(of, Err(VaultError::NoTpmKey { .. }))
}

#[test]
fn a_key_outlives_a_restart_and_is_gone_when_it_is_removed() {
    let Some(mut tpm) = Tpm::start() else { return };
    let (ours, theirs, mut disk) = (folder(), folder(), FileDisk);
    let mut store = tpm.place().store(&disk, ours.path()).unwrap();
    assert_eq!(store.level(), Level::L1, "a program with a file says so");
    assert!(store.apart());
    assert!(store.generations(&disk).unwrap().is_empty());
    store.add(&mut disk, 1).unwrap();
    store.add(&mut disk, 2).unwrap();
    assert_eq!(store.generations(&disk).unwrap(), [1, 2]);
    let sealed = store.seal(&disk, 2, b"about", b"a secret").unwrap();
    let first = store.seal(&disk, 1, b"about", b"a secret").unwrap();
    assert_eq!(&store.open(&disk, 2, b"about", &sealed).unwrap().unwrap()[..], b"a secret");
    assert!(store.open(&disk, 2, b"else", &sealed).unwrap().is_none());
    assert!(store.open(&disk, 1, b"about", &sealed).unwrap().is_none());
    // Another home on the same TPM: neither sees the other's.
    let mut other = tpm.place().store(&disk, theirs.path()).unwrap();
    assert!(other.generations(&disk).unwrap().is_empty());
    other.add(&mut disk, 1).unwrap();
    other.remove(&mut disk, 2).unwrap();
    assert!(other.open(&disk, 1, b"about", &first).unwrap().is_none());
    store.remove(&mut disk, 1).unwrap();
    store.remove(&mut disk, 1).unwrap();
    assert_eq!(other.generations(&disk).unwrap(), [1]);
    tpm.off();
    tpm.on();
    let mut store = KeyPlace::found(&disk, ours.path()).unwrap();
    assert_eq!(store.generations(&disk).unwrap(), [2]);
    assert!(gone(store.open(&disk, 1, b"about", &first)));
    assert_eq!(&store.open(&disk, 2, b"about", &sealed).unwrap().unwrap()[..], b"a secret");
    // An attempt that was cut short is replaced.
    store.add(&mut disk, 2).unwrap();
    assert_eq!(store.generations(&disk).unwrap(), [2]);
    assert!(store.open(&disk, 2, b"about", &sealed).unwrap().is_none());
    // Without what the home knows, the TPM gives nothing; and the place of keys does not change.
    let settings = fs::read(ours.path().join("tpm")).unwrap();
    let files = KeyPlace::Files.store(&disk, ours.path());
    assert!(matches!(files, Err(VaultError::OtherKeys { .. })));
    fs::write(ours.path().join("tpm"), &settings[..60]).unwrap();
    assert!(matches!(KeyPlace::found(&disk, ours.path()), Err(VaultError::Damaged { .. })));
    fs::remove_file(ours.path().join("tpm")).unwrap();
    let fresh = tpm.place().store(&disk, ours.path()).unwrap();
    assert!(fresh.generations(&disk).unwrap().is_empty());
}

/// What a refusal of the TPM says.
fn told(of: Result<impl Sized, VaultError>) -> String {
    match of.err() {
        Some(error @ VaultError::Tpm { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tpm_that_is_absent_full_or_owned_says_so_and_keeps_what_it_has() {
    let disk = FileDisk;
    let nowhere = KeyPlace::Tpm("device:/dev/no-such-tpm".into());
    let said = told(nowhere.store(&disk, folder().path()));
    assert!(said.contains("/dev/no-such-tpm") && said.contains("firmware"), "{said}");
    let said = told(KeyPlace::Tpm("telepathy".into()).store(&disk, folder().path()));
    assert!(said.contains("telepathy") && said.contains("tpm:device:"), "{said}");
    let Some(mut tpm) = Tpm::start() else { return };
    let (ours, mut disk) = (folder(), FileDisk);
    let mut store = tpm.place().store(&disk, ours.path()).unwrap();
    store.add(&mut disk, 1).unwrap();
    let sealed = store.seal(&disk, 1, b"", b"a secret").unwrap();
    let opens = |store: &dyn KeyStore| {
        assert_eq!(store.generations(&FileDisk).unwrap(), [1]);
        assert_eq!(&store.open(&FileDisk, 1, b"", &sealed).unwrap().unwrap()[..], b"a secret");
    };
    assert!(tpm.tool(&["tpm2_changeauth", "-c", "owner", "secret"]));
    let said = told(store.add(&mut disk, 2));
    assert!(said.contains("owner") && said.contains(&tpm.tcti()), "{said}");
    let said = told(store.remove(&mut disk, 1));
    assert!(said.contains("destroy a key"), "{said}");
    opens(store.as_ref());
    assert!(tpm.tool(&["tpm2_changeauth", "-c", "owner", "-p", "secret", ""]));
    let mut size = 2048;
    while size >= 8 {
        if !tpm.tool(&["tpm2_nvdefine", "-C", "o", "-s", &size.to_string()]) {
            size /= 2;
        }
    }
    let said = told(store.add(&mut disk, 2));
    assert!(said.contains("no room") && said.contains("tpm2_nvundefine"), "{said}");
    opens(store.as_ref());
    // Keys can be destroyed where none can be made.
    store.remove(&mut disk, 1).unwrap();
    assert!(gone(store.open(&disk, 1, b"", &sealed)));
    tpm.off();
    let device = tpm.at("device");
    fs::remove_file(&device).unwrap();
    assert!(told(store.generations(&disk)).contains("there is no"));
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copied(&entry.path(), &target),
            false => _ = fs::copy(entry.path(), target).unwrap(),
        }
    }
}

#[test]
fn a_home_lives_with_its_keys_in_a_tpm_and_no_copy_of_it_is_put_back() {
    let Some(mut tpm) = Tpm::start() else { return };
    let place = folder();
    let (at, copy) = (place.path().join("home"), place.path().join("copy"));
    let keys = new_keys(&FileDisk, &at, &tpm.place()).unwrap();
    let (disk, of_base) = (Box::new(FileDisk), Path::new("base.esm"));
    let mut home = Home::init(disk, &at, keys, base().to_vec(), of_base, Setup::default()).unwrap();
    home.ingest(&of(&["h1", "h2"])).unwrap();
    home.adapt(recipe(), &mut ()).unwrap();
    let generation = home.generation();
    drop(home);
    copied(&at, &copy);
    tpm.off();
    tpm.on();
    let opened = |at: &Path| Home::open(Box::new(FileDisk), at, keys_of(&FileDisk, at).unwrap());
    let mut home = opened(&at).unwrap();
    home.receive(vec![Wish::new("h1")], true).unwrap();
    let erased = home.carry_out(Limits::default(), &mut ()).unwrap().unwrap();
    assert_eq!((erased.samples, erased.receipt), (60, 1));
    assert!(home.generation() > generation);
    let key = home.signing_key().unwrap().public();
    let bytes = home.receipt_bytes(1).unwrap();
    let verified = Claimed::parse(&bytes).unwrap().verify(&key).unwrap();
    assert_eq!(verified.receipt().evidence, Evidence::L1, "of a TPM with its state in a file");
    drop(home);
    let newest = opened(&at).unwrap().generation();
    assert_eq!(keys_of(&FileDisk, &at).unwrap().generations(&FileDisk).unwrap(), [newest]);
    fs::remove_dir_all(&at).unwrap();
    fs::rename(&copy, &at).unwrap();
    match opened(&at).map(drop) {
        Err(HomeError::Vault(VaultError::Generation { found, known, .. })) => {
            assert_eq!((found, known), (generation, vec![newest]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_program_finds_the_tpm_under_its_filter_of_system_calls() {
    let Some(tpm) = Tpm::start() else { return };
    let place = folder();
    let path = place.path();
    fs::write(path.join("base.esm"), base()).unwrap();
    fs::write(path.join("samples.jsonl"), lines(&household())).unwrap();
    let words = format!("init --home home --base base.esm --keys tpm:{}", tpm.tcti());
    assert_eq!(json(path, &words)["level"], "L1");
    assert!(path.join("home/keys/tpm").exists());
    assert!(!path.join("home/keys/device.1.key").exists());
    done(path, "ingest --home home --input samples.jsonl");
    done(path, "adapt --home home --epochs 1");
    let erased = json(path, "erase --home home --subject h2");
    assert_eq!(erased["erased"]["samples"], 60);
    assert_eq!(json(path, "status --home home")["receipts"], 1);
    let words = "init --home other --base base.esm --keys tpm:device:/dev/no-such-tpm";
    refused(path, words, 4, &["/dev/no-such-tpm", "firmware"]);
}
