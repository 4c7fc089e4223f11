//! Defends what already lies where the program is to write: a path that cannot be written is refused
//! before hours of work, and a disk that fills up leaves the earlier file.
//!
//! Remembers: `--out` over a device replaced the device.

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::process::{Command, Stdio};

use common::program::{Said, command, folder, judged, refused};

const TRAIN: &str = "train --model cnn16 --data made --epochs 1 --out";

#[test]
fn a_path_that_cannot_be_written_is_refused_before_any_work() {
    let home = folder();
    fs::create_dir(home.path().join("folder.esm")).unwrap();
    let pipe = Command::new("mkfifo").arg(home.path().join("pipe.esm")).status().unwrap();
    assert!(pipe.success());
    let wrong: [(&str, i32, &[&str]); 6] = [
        ("folder.esm", 2, &["folder.esm is a folder"]),
        ("pipe.esm", 2, &["pipe.esm is a pipe or a device"]),
        ("base.esm/x.esm", 2, &["base.esm is not a folder: make it, or choose another"]),
        ("nowhere/x.esm", 2, &["nowhere is not a folder"]),
        ("/proc/x.esm", 4, &["cannot write into `/proc`", "choose another folder"]),
        ("/sys/x.esm", 4, &["cannot write into `/sys`"]),
    ];
    for (path, code, phrases) in wrong {
        refused(home.path(), &format!("{TRAIN} {path}"), code, phrases);
        let prune = format!("prune --model base.esm --data made --sparsity 0.5 --out {path}");
        refused(home.path(), &prune, code, phrases);
        let forget = format!("forget --model base.esm --data made --scenario class=0 --out {path}");
        refused(home.path(), &forget, code, phrases);
    }
    assert!(fs::metadata(home.path().join("pipe.esm")).unwrap().file_type().is_fifo());
    refused(home.path(), "inspect pipe.esm", 3, &["`pipe.esm` is not a file"]);
}

/// Runs `words` with `full/` a disk of 100 kB that holds `out.esm`, mounted with `options`. `None`
/// where nobody may mount here.
fn on_a_small_disk(options: &str, words: &str) -> Option<Said> {
    let home = folder();
    fs::create_dir(home.path().join("full")).unwrap();
    let script = "mount -t tmpfs -o size=100k none full || exit 77
         cp out.esm full/out.esm && mount -o remount,$1 full || exit 77
         shift; \"$@\"; code=$?
         cmp out.esm full/out.esm && test \"$(ls -A full)\" = out.esm || exit 78
         exit $code";
    let program = command(home.path(), words);
    let mut shell = Command::new("unshare");
    shell.args(["-rm", "sh", "-c", script, "sh", options]);
    shell.arg(program.get_program()).args(program.get_args()).current_dir(home.path());
    let said: Said = shell.stdin(Stdio::null()).output().ok()?.into();
    let mounted = said.code != Some(77) && !said.err.contains("unshare:");
    mounted.then_some(said)
}

#[test]
fn a_disk_that_is_full_or_read_only_leaves_the_earlier_file_and_no_other() {
    let full = ["the disk or the quota is full", "free some space"];
    let closed = ["permission denied or the file system is read-only", "choose another"];
    let forget = "forget --model base.esm --data made --scenario class=0 --epochs 1 --dtype f32 --out full/out.esm";
    for (options, phrases) in [("rw", &full), ("ro", &closed)] {
        for words in [&format!("{TRAIN} full/out.esm"), forget] {
            let Some(said) = on_a_small_disk(options, words) else {
                eprintln!(
                    "SKIPPED: a full disk and a read-only one, because nobody may mount here"
                );
                return;
            };
            judged(words, &said, 4, phrases);
        }
    }
}

#[test]
fn a_name_that_is_not_utf_8_is_a_name() {
    let home = folder();
    let name = OsStr::from_bytes(b"n\xffme.esm");
    let mut train = command(home.path(), TRAIN);
    let said: Said = train.arg(name).arg("--json").output().unwrap().into();
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    for word in ["inspect", "verify"] {
        let said: Said = command(home.path(), word).arg(name).output().unwrap().into();
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    }
}
