//! The built program, driven as a person or a script drives it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// What a run of the program came to.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program speaks UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// The program with `words`, which hold no spaces of their own, in `folder`.
pub fn command(folder: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unlearn"));
    command.current_dir(folder).args(words.split_whitespace());
    command.env_remove("UNLEARN_DATA").env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn run(folder: &Path, words: &str) -> Said {
    command(folder, words).output().unwrap().into()
}

/// Runs the program, which must do as it is told without a word of complaint.
pub fn done(folder: &Path, words: &str) -> String {
    let said = run(folder, words);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "unlearn {words}: {said:?}");
    said.out
}

/// As [`done`], with `--json`.
pub fn json(folder: &Path, words: &str) -> serde_json::Value {
    serde_json::from_str(&done(folder, &format!("{words} --json"))).unwrap()
}

/// Names and contents of the files in a folder.
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Runs the program, which must refuse with `code` and one message that holds each of `phrases`:
/// no panic, nothing on standard output, no file of `folder` changed, made or lost.
pub fn refused(folder: &Path, words: &str, code: i32, phrases: &[&str]) {
    let before = files(folder);
    let said = run(folder, words);
    judged(words, &said, code, phrases);
    assert!(files(folder) == before, "unlearn {words}: changed what lay in the folder");
}

/// The words of a refusal, as [`refused`] wants them.
pub fn judged(words: &str, said: &Said, code: i32, phrases: &[&str]) {
    assert_eq!(said.code, Some(code), "unlearn {words}: {said:?}");
    assert_eq!(said.out, "", "unlearn {words}: results on a refusal");
    let begins = ["unlearn: ", "error: "].iter().map(|word| said.err.matches(word).count());
    assert_eq!(begins.sum::<usize>(), 1, "unlearn {words}: not one message: {}", said.err);
    for panic in ["panicked", "RUST_BACKTRACE"] {
        assert!(!said.err.contains(panic), "unlearn {words}: {}", said.err);
    }
    for phrase in phrases {
        assert!(said.err.contains(phrase), "unlearn {words}: no `{phrase}` in {}", said.err);
    }
}

/// A new folder with `base.esm` and `base.rewind.esm`, cnn16 after two epochs on the made
/// population and after one; and `out.esm`, an earlier file that nothing may touch.
pub fn folder() -> TempDir {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let words = "train --model cnn16 --data made --epochs 2 --rewind-epoch 1 --out base.esm";
        done(folder.path(), words);
        folder
    });
    let folder = TempDir::new().unwrap();
    for name in ["base.esm", "base.rewind.esm"] {
        fs::copy(made.path().join(name), folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("out.esm"), "an earlier file").unwrap();
    folder
}
