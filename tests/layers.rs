//! The house stands: rooms import downward only, and what is dangerous has one place.
//!
//! Defends the table in `src/lib.rs` and `ARCHITECTURE.md`. The rules are in `layers/rules.rs`,
//! the lexer behind them in `layers/source.rs`. Every rule is also held against planted
//! violations here, so that a checker that has gone blind fails its own test. Paths that a macro
//! puts together stay unseen.

#[path = "layers/rules.rs"]
mod rules;
#[path = "layers/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rules::{MAX_LINES, ROOMS, UNSAFE, check, files_of, modules, within};

/// All Rust files below `src/`, by their path there.
fn tree() -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, files: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, files);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let parts = path.strip_prefix(root).unwrap().iter();
                let name: Vec<&str> = parts.map(|part| part.to_str().unwrap()).collect();
                files.insert(name.join("/"), std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    walk(&root, &root, &mut files);
    files
}

/// What breaks the rules in `files` as a whole.
fn faults(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    // Each declared file, with whether every way to it is for tests only.
    let mut reached = BTreeMap::from([("lib.rs".to_string(), false), ("main.rs".into(), false)]);
    let mut ahead = vec!["lib.rs".to_string(), "main.rs".to_string()];
    while let Some(file) = ahead.pop() {
        let Some(text) = files.get(&file) else { continue };
        for (name, test) in modules(text) {
            let room = ROOMS.iter().any(|(room, _, _)| *room == name);
            if ["lib.rs", "main.rs"].contains(&file.as_str()) && !room {
                found.push(format!("src/{file}: declares `{name}`, which is no room"));
            }
            let test = test || reached[&file];
            for inner in files_of(&file, &name) {
                if files.contains_key(&inner) && !reached.contains_key(&inner) {
                    reached.insert(inner.clone(), test);
                    ahead.push(inner);
                }
            }
        }
    }
    for (name, text) in files {
        match reached.get(name) {
            Some(&tests) => found.extend(check(name, text, tests)),
            None => found.push(format!("src/{name}: no module declares this file")),
        }
    }
    for name in UNSAFE {
        let stale = files.get(name).is_some_and(|text| !text.contains("unsafe"));
        found.extend(stale.then(|| format!("src/{name}: on the list, but holds no unsafe code")));
    }
    found
}

/// The rules broken by `text` at `name`, without their places.
fn planted(name: &str, text: &str) -> Vec<String> {
    let strip = |fault: String| fault.splitn(3, ':').nth(2).unwrap().trim().to_string();
    check(name, text, false).into_iter().map(strip).collect()
}

#[test]
fn the_tree_keeps_every_rule() {
    let found = faults(&tree());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_table_only_points_down() {
    let mut above = BTreeSet::new();
    for (room, floor, imports) in ROOMS {
        for import in imports {
            let (_, below, _) = ROOMS.iter().find(|(name, _, _)| name == import).unwrap();
            assert!(*below <= floor, "{room} imports upward");
            assert!(above.contains(import), "{room} and {import} stand in the wrong order");
        }
        above.insert(room);
    }
    let lib = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    let lib = lib.unwrap();
    assert!(lib.contains("#![deny(missing_docs, unsafe_code)]"), "lib.rs lost its deny line");
}

#[test]
fn an_upward_import_is_caught_in_every_spelling() {
    let spellings = [
        "use crate::model::Network;",
        "pub use crate::model::Network as Net;",
        "use crate::{base::hash::Digest, model::Network};",
        "use crate::{base::{hash, rng}, model::{self, Network}};",
        "use {crate::model, std::fmt};",
        "fn f() { let n = crate::model::Network::new(); }",
        "fn f(x: Vec<crate::model::Network>) {}",
        "fn f() -> usize { size_of::<crate::model::Network>() }",
        "use super::super::model::Network;",
        "use super::{blocked, super::model};",
        "mod inner { use super::super::super::model::Network; }",
        "mod inner { mod deep { } fn f() { super::super::super::model::f() } }",
        "use self::super::super::model;",
        "use crate::r#model::Network;",
        "macro_rules! m { () => { $crate::model::Network } }",
        "pub(in crate::model) fn f() {}",
        "#[cfg(test)] mod tests { use crate::model::Network; }",
        "const C: char = '\"'; use crate::model::Network; const D: &str = \"\";",
        "fn f<'a>(x: &'a str) { crate::model::f(r#\"a \" b\"#, b'\\'', '\\u{41}') }",
        "/* a /* b */ c */ use crate /* d */ :: // e\n model::Network;",
    ];
    for text in spellings {
        let found = planted("sparse/mask.rs", text);
        assert!(
            found.contains(&"`sparse` may not import `model`".to_string()),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn the_crate_as_a_whole_is_nobodys_to_import() {
    let whole = "imports `the whole crate`, which is no room";
    for text in ["use crate as c;", "use crate::{self as c};", "use super::super as c;"] {
        assert!(planted("sparse/mask.rs", text).contains(&whole.to_string()), "{text}");
    }
    for text in ["use crate::*;", "use super::super::*;", "use crate::Network;"] {
        assert_eq!(planted("sparse/mask.rs", text).len(), 1, "{text}");
    }
    assert_eq!(planted("sparse/mod.rs", "use super::*;").len(), 1);
    assert!(!planted("sparse/mask.rs", "extern crate unlearn as u; use u::model;").is_empty());
    assert_eq!(planted("sparse/mask.rs", "use unlearn::model::Network;").len(), 1);
}

#[test]
fn what_the_table_allows_and_what_only_looks_like_an_import_passes() {
    let passing = [
        "use crate::base::hash::Digest; use crate::sparse::Mask; use super::Mask;",
        "use super::*; use super::super::sparse::lanes; use crate::{base, sparse::{Mask, Isa}};",
        "mod inner { use super::super::Mask; use super::*; }",
        "pub(crate) fn f() {} pub(in super::super) fn g() {} pub(in crate::sparse) fn h() {}",
        "//! [`crate::model`] draws on this.\n/// See [`crate::model::Network`].\nfn f() {}",
        "const TEXT: &str = \"use crate::model::Network; unsafe println!()\";",
        "const TEXT: &str = r##\"crate::model \"# still\"##; // crate::model",
        "/* crate::model /* nested */ crate::train */ struct A;",
        "use std::io::{self, Read}; fn f<'a>(x: &'a str) -> char { 'a' }",
        "fn main() { let file = 1; let process = file; env!(\"X\"); }",
        "#[cfg(test)] mod tests { fn f() { println!(); std::fs::write(a, b); std::env::var(c); } }",
    ];
    for text in passing {
        assert_eq!(planted("sparse/mask.rs", text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_neighbour_on_the_same_floor_is_imported_only_where_the_table_says() {
    for (file, text) in [
        ("base/hash.rs", "use crate::sparse::Mask;"),
        ("format/file.rs", "use crate::sparse::Mask;"),
        ("sparse/mask.rs", "use crate::format::ModelFile;"),
        ("data/open.rs", "use crate::model::Network;"),
        ("model/plan.rs", "use crate::train::run;"),
        ("prune/omp.rs", "use crate::unlearn::Method;"),
        ("unlearn/method.rs", "use crate::evaluate::Metric;"),
        ("evaluate/mia.rs", "use crate::unlearn::Method;"),
        ("train/run.rs", "use crate::cli::report;"),
    ] {
        assert_eq!(planted(file, text).len(), 1, "{file}: {text}");
    }
    assert!(planted("cli/train.rs", "use crate::{base, train, unlearn::Method};").is_empty());
}

#[test]
fn what_has_one_home_is_caught_elsewhere() {
    for (file, text) in [
        ("train/run.rs", "use candle_core::Tensor;"),
        ("sparse/mod.rs", "fn f() -> ::candle_nn::Linear {}"),
        ("sparse/mask.rs", "fn f() { unsafe { g() } }"),
        ("sparse/mask.rs", "#![allow(unsafe_code)]"),
        ("lib.rs", "unsafe fn f() {}"),
        ("train/run.rs", "fn f() { println!(\"x\"); }"),
        ("train/run.rs", "fn f() { std::io::stderr(); }"),
        ("data/open.rs", "use std::{env, fmt};"),
        ("base/rng.rs", "fn f() { ::std::env::var(\"X\"); }"),
        ("train/run.rs", "use std::{fmt, process::{self, exit}};"),
        ("train/run.rs", "use std as s;"),
        ("train/run.rs", "use std::fs::File;"),
        ("format/file.rs", "fn f() { std::fs::read(p) }"),
        ("data/idx.rs", "fn f() { std::fs::write(p, b) }"),
        ("data/idx.rs", "use std::fs::File; fn f() { File::create(p) }"),
        ("data/idx.rs", "use std::fs::{File, OpenOptions};"),
        ("train/run.rs", "use std::collections::HashMap;"),
        ("train/run.rs", "use std::time::Instant;"),
        ("cli/demo.rs", "fn f() { std::time::SystemTime::now() }"),
        ("cli/serve.rs", "use std::net::TcpListener as L;"),
        ("base/clock.rs", "#[cfg(test)] mod tests { use std::net::ToSocketAddrs; }"),
        ("model/file.rs", "fn f() { memmap2::Mmap::map(x) }"),
        ("train/run.rs", "#[path = \"../model/mod.rs\"] mod m;"),
        ("train/run.rs", "include!(\"../model/mod.rs\");"),
    ] {
        assert!(!planted(file, text).is_empty(), "{file}: {text}");
    }
}

#[test]
fn what_has_one_home_is_welcome_there() {
    for (file, text) in [
        ("model/reference.rs", "use candle_core::Tensor; use candle_nn::ops;"),
        ("sparse/lanes.rs", "#![allow(unsafe_code)] fn f() { unsafe { g() } }"),
        ("format/map.rs", "use std::fs::File; fn f() { unsafe { memmap2::Mmap::map(x) } }"),
        ("base/disk.rs", "use std::fs::{self, File, OpenOptions};"),
        ("base/clock.rs", "use std::time::{Duration, Instant};"),
        ("data/idx.rs", "use std::fs::{self, File}; fn f() { fs::read(p); File::open(p) }"),
        ("cli/mod.rs", "fn f() { println!(); std::env::args(); std::process::exit(1) }"),
        ("main.rs", "fn main() -> std::process::ExitCode { unlearn::cli::run() }"),
    ] {
        assert_eq!(planted(file, text), Vec::<String>::new(), "{file}: {text}");
    }
}

#[test]
fn a_room_nobody_knows_a_file_nobody_declares_and_a_file_too_long_are_caught() {
    let with = |name: &str, text: &str, lib: &str| {
        let mut files = tree();
        files.insert(name.to_string(), text.to_string());
        files.get_mut("lib.rs").unwrap().push_str(lib);
        faults(&files)
            .into_iter()
            .filter(|fault| fault.contains("cellar") || fault.contains("lines"))
    };
    assert_eq!(with("cellar/mod.rs", "", "mod cellar;").count(), 1);
    assert_eq!(with("cellar.rs", "", "").count(), 1);
    assert_eq!(with("sparse/cellar.rs", "", "").count(), 1);
    assert_eq!(with("sparse/mask.rs", &"\n".repeat(MAX_LINES + 1), "").count(), 1);
    assert_eq!(with("sparse/mask.rs", &"\n".repeat(MAX_LINES), "").count(), 0);
    assert!(within("cli/demo.rs", &["cli/"]) && !within("client.rs", &["cli/"]));
}
