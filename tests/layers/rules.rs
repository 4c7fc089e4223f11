//! The import table, and who may touch what.

use crate::source::{Path, Piece, Token, declared, paths, tokens};

/// Each room with its floor and the rooms that it may import, itself besides.
pub const ROOMS: [(&str, u8, &[&str]); 14] = [
    ("base", 0, &[]),
    ("board", 1, &["base"]),
    ("format", 1, &["base"]),
    ("sparse", 1, &["base"]),
    ("vault", 1, &["base"]),
    ("data", 2, &["base"]),
    ("model", 2, &["base", "format", "sparse"]),
    ("exchange", 2, &["base", "format", "sparse", "model"]),
    ("train", 2, &["base", "sparse", "data", "model"]),
    ("prune", 2, &["base", "sparse", "model"]),
    ("unlearn", 2, &["base", "sparse", "data", "model", "train", "prune"]),
    ("evaluate", 2, &["base", "sparse", "data", "model", "train"]),
    ("erase", 3, &BELOW_ERASE),
    ("cli", 4, &ALL),
];

const ALL: [&str; 13] = [
    "base", "board", "format", "sparse", "vault", "data", "model", "exchange", "train", "prune",
    "unlearn", "evaluate", "erase",
];

const BELOW_ERASE: [&str; 10] =
    ["base", "board", "format", "sparse", "vault", "data", "model", "train", "unlearn", "evaluate"];

/// Files that may hold `unsafe`; whoever lengthens this list argues it in the same commit.
pub const UNSAFE: [&str; 21] = [
    // The allocator that overwrites what is given back.
    "base/scrub.rs",
    "sparse/lanes.rs",
    "sparse/strip.rs",
    "sparse/gather.rs",
    "sparse/weight_gradient.rs",
    "sparse/dense_gradient.rs",
    // What a tile reads, side by side, and the loops over it.
    "sparse/tiles.rs",
    "sparse/packed.rs",
    "sparse/packed_gradient.rs",
    // One sample: the inner loops, the arena that threads share, and who writes which part of it.
    "sparse/single/kernel.rs",
    "sparse/single/memory.rs",
    "sparse/single/step.rs",
    "format/map.rs",
    // Functions of NVIDIA's libraries, looked up by name, with types that the compiler holds against cudarc's. Each call
    // passes places for answers, and handles that its own file made and gives back.
    "sparse/cuda/library.rs",
    "sparse/cuda/driver.rs",
    "sparse/cuda/nvrtc.rs",
    // The card: device memory by address, checked before the driver is asked; a ring of pinned memory that two
    // write to in turn; launches, whose arguments the driver reads through pointers.
    "sparse/cuda/card.rs",
    "sparse/cuda/card/kernels.rs",
    "sparse/cuda/card/recording.rs",
    "sparse/cuda/staging.rs",
    "sparse/cuda/fetching.rs",
];

/// Crates that have a home: nobody else names them.
const HOMES: [(&str, &[&str]); 20] = [
    ("candle_core", &["model/"]),
    ("candle_nn", &["model/"]),
    ("cudarc", &["sparse/cuda/"]),
    ("libloading", &["sparse/cuda/library.rs"]),
    ("memmap2", &["format/map.rs"]),
    ("rand_chacha", &["base/rng.rs"]),
    ("tempfile", &["base/scratch.rs", "board/"]),
    ("blake3", &["base/"]),
    ("getrandom", &["base/entropy.rs"]),
    ("redb", &["vault/"]),
    ("chacha20poly1305", &["vault/seal.rs"]),
    ("tss_esapi", &["vault/tpm.rs"]),
    ("ed25519_dalek", &["erase/receipt/"]),
    ("coset", &["erase/receipt/"]),
    ("seccompiler", &["cli/"]),
    ("rustix", &["cli/"]),
    ("libc", &["cli/"]),
    ("clap", &["cli/"]),
    ("indicatif", &["cli/"]),
    ("ctrlc", &["cli/"]),
];

/// Rooms of the standard library that have a home.
const STD_HOMES: [(&str, &[&str]); 4] = [
    ("env", &["cli/", "main.rs"]),
    ("process", &["cli/", "main.rs"]),
    (
        "fs",
        &["base/disk.rs", "base/scratch.rs", "board/sysroot.rs", "format/map.rs", "data/", "cli/"],
    ),
    ("net", &[]),
];

/// Who may print.
const PRINTS: [&str; 2] = ["cli/", "main.rs"];
/// Who may look at a clock.
const CLOCK: [&str; 1] = ["base/clock.rs"];
/// Files whose hash maps nobody iterates over, with nothing that is hashed or written made of them.
const HASH_MAPS: [&str; 0] = [];
/// The most lines of a file.
pub const MAX_LINES: usize = 500;

/// What `data/` may not do with files: it reads.
const WRITES: [&str; 14] = [
    "OpenOptions",
    "write",
    "create",
    "create_new",
    "create_dir",
    "create_dir_all",
    "copy",
    "hard_link",
    "remove_dir",
    "remove_dir_all",
    "remove_file",
    "rename",
    "set_len",
    "set_permissions",
];

/// Whether `file` is, or lies in, one of `places`.
pub fn within(file: &str, places: &[&str]) -> bool {
    places.iter().any(|&place| file == place || (place.ends_with('/') && file.starts_with(place)))
}

/// The module that the file at `file` (below `src/`) is.
pub fn module(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if stem == "lib" { Vec::new() } else { stem.split('/').map(String::from).collect() }
}

/// The files, below `src/`, that `mod name;` in the file at `file` may mean.
pub fn files_of(file: &str, name: &str) -> [String; 2] {
    let folder = match file.rsplit_once('/') {
        _ if ["lib.rs", "main.rs"].contains(&file) => String::new(),
        Some((folder, "mod.rs")) => format!("{folder}/"),
        _ => format!("{}/", file.trim_end_matches(".rs")),
    };
    [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")]
}

/// Modules that `text` declares as files, each with whether it is for tests only.
pub fn modules(text: &str) -> Vec<(String, bool)> {
    declared(&tokens(text))
}

/// One file under the rules.
struct File<'a> {
    name: &'a str,
    room: &'a str,
    tokens: Vec<Token>,
    found: Vec<String>,
}

/// What breaks the rules in the file at `name` (below `src/`), `file:line: what`. Imports, crates
/// with a home, `unsafe` and clocks are held in test code too; `tests` says that all of it is.
pub fn check(name: &str, text: &str, tests: bool) -> Vec<String> {
    let mut tokens = tokens(text);
    tokens.iter_mut().for_each(|token| token.test |= tests);
    let room = name.split('/').next().unwrap_or(name);
    let mut file = File { name, room, tokens, found: Vec::new() };
    let lines = text.lines().count();
    if lines > MAX_LINES {
        file.fault(lines, &format!("{lines} lines, at most {MAX_LINES}"));
    }
    for path in paths(&file.tokens, &module(name)) {
        match path.root.as_str() {
            "crate" => file.import(&path),
            "unlearn" if name == "main.rs" => file.import(&path),
            "unlearn" => file.fault(path.line, "the crate names itself from outside"),
            _ => file.standard(&path),
        }
    }
    file.words();
    file.hides();
    file.found
}

impl File<'_> {
    fn fault(&mut self, line: usize, what: &str) {
        self.found.push(format!("src/{}:{line}: {what}", self.name));
    }

    /// Holds an import against the table.
    fn import(&mut self, path: &Path) {
        if ["lib.rs", "main.rs"].contains(&self.name) {
            return;
        }
        let to = path.segments.first().map_or("", String::as_str);
        let known = ROOMS.iter().any(|(room, _, _)| *room == to);
        let allowed = ROOMS.iter().find(|(room, _, _)| *room == self.room);
        let own = to == self.room;
        if !known {
            let what = if to.is_empty() { "the whole crate" } else { to };
            self.fault(path.line, &format!("imports `{what}`, which is no room"));
        } else if !own && !allowed.is_some_and(|(_, _, rooms)| rooms.contains(&to)) {
            self.fault(path.line, &format!("`{}` may not import `{to}`", self.room));
        }
    }

    /// Holds a path into the standard library against its homes.
    fn standard(&mut self, path: &Path) {
        let first = path.segments.first().map_or("", String::as_str);
        if first.is_empty() || first == "*" {
            self.fault(path.line, "imports the whole standard library");
        }
        let home = STD_HOMES.iter().find(|(room, _)| *room == first);
        // Unit tests may read files and settings; nothing may open a socket.
        if let Some((_, places)) = home
            && !(within(self.name, places) || (path.test && first != "net"))
        {
            self.fault(path.line, &format!("`std::{first}` has another home"));
        }
        let writes = |segment: &String| WRITES.contains(&segment.as_str());
        if self.room == "data" && first == "fs" && !path.test && path.segments.iter().any(writes) {
            self.fault(path.line, "`data` reads files and changes none");
        }
    }

    /// Holds single words, and macros that print.
    fn words(&mut self) {
        let mut faults = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let Some(word) = token.word() else { continue };
            let next = self.tokens.get(at + 1).map(|t| &t.piece);
            let calls = next == Some(&Piece::Mark('('));
            let prints = next == Some(&Piece::Mark('!'))
                && ["print", "println", "eprint", "eprintln", "dbg"].contains(&word)
                || calls && ["stdin", "stdout", "stderr"].contains(&word);
            let of_fs = at > 1
                && self.tokens[at - 1].piece == Piece::Colons
                && ["File", "fs"].iter().any(|owner| self.tokens[at - 2].is(owner));
            let home = HOMES.iter().find(|(name, _)| *name == word);
            let crate_root = self.name == "lib.rs";
            let what = match word {
                _ if home.is_some_and(|(_, places)| !within(self.name, places)) => {
                    format!("`{word}` has another home")
                }
                "unsafe" | "unsafe_code" if !within(self.name, &UNSAFE) && !crate_root => {
                    format!("`{word}` outside the list")
                }
                "unsafe" if crate_root => "`unsafe` outside the list".into(),
                "Instant" | "SystemTime" if !within(self.name, &CLOCK) => {
                    format!("`{word}`: only `base::clock` looks at a clock")
                }
                "TcpStream" | "TcpListener" | "UdpSocket" => format!("`{word}`: no network code"),
                _ if prints && !token.test && !within(self.name, &PRINTS) => {
                    format!("`{word}`: only the door talks to a terminal")
                }
                "HashMap" | "HashSet" if !token.test && !within(self.name, &HASH_MAPS) => {
                    format!("`{word}` has no order of its own: take a `BTree` one")
                }
                _ if of_fs && !token.test && self.room == "data" && WRITES.contains(&word) => {
                    "`data` reads files and changes none".into()
                }
                _ => continue,
            };
            faults.push((token.line, what));
        }
        faults.iter().for_each(|(line, what)| self.fault(*line, what));
    }

    /// Ways to bring in source that this checker would not see.
    fn hides(&mut self) {
        let mut faults = Vec::new();
        for three in self.tokens.windows(3) {
            let [a, b, c] = three else { continue };
            if a.piece == Piece::Mark('[') && b.is("path") && c.piece == Piece::Mark('=') {
                faults.push((b.line, "`#[path]` hides where a module lies"));
            }
            if a.is("include") && b.piece == Piece::Mark('!') {
                faults.push((a.line, "`include!` hides source"));
            }
            if a.is("extern") && b.is("crate") {
                faults.push((a.line, "`extern crate` hides a name"));
            }
        }
        faults.iter().for_each(|(line, what)| self.fault(*line, what));
    }
}
