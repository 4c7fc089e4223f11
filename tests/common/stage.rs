//! A home as the program makes it, and the process that serves it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json as value};
use unlearn::erase::Given;
use unlearn::vault::Values;

use super::home::{base, household};
use super::program::{command, done, json};

/// A folder with a base, a home, and the household's samples as lines of JSON.
pub struct Stage(tempfile::TempDir);

impl Stage {
    pub fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        fs::write(stage.at("base.esm"), base()).unwrap();
        fs::write(stage.at("samples.jsonl"), lines(&household())).unwrap();
        done(stage.path(), "init --home home --base base.esm");
        stage
    }

    /// With the household taken in and adapted to.
    pub fn adapted() -> Self {
        let stage = Self::new();
        done(stage.path(), "ingest --home home --input samples.jsonl");
        done(stage.path(), "adapt --home home --epochs 3 --batch 16");
        stage
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn status(&self) -> Value {
        json(self.path(), "status --home home")
    }
}

/// As lines of JSON.
pub fn lines(samples: &[Given]) -> String {
    let line = |given: &Given| {
        let Values::Bytes(bytes) = &given.values else { panic!("the made population is of bytes") };
        let line = value!({ "subjects": given.subjects, "label": given.label, "bytes": bytes });
        format!("{line}\n")
    };
    samples.iter().map(line).collect()
}

/// A server that ends with its owner.
pub struct Server(pub Child);

impl Server {
    pub fn start(stage: &Stage) -> Self {
        let mut server = command(stage.path(), "serve --home home");
        Self::begin(server.stderr(Stdio::inherit()))
    }

    /// By a command of its own.
    pub fn begin(server: &mut Command) -> Self {
        let mut child = server.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("answering at"), "{said}");
        Self(child)
    }

    pub fn ask(stage: &Stage, call: &Value) -> Value {
        let mut stream = UnixStream::connect(stage.at("home/socket")).unwrap();
        writeln!(stream, "{call}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
