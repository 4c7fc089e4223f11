//! Speaking to the process that has the home: a line of JSON there, a line back.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::fault::Fault;
use super::call::Call;

/// The longest line: some hundred large samples.
pub const MAX_LINE: u64 = 256 << 20;

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// Whether it was done.
    pub ok: bool,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// What was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The exit code that a command has for it.
    #[serde(default)]
    pub code: u8,
}

/// Where the socket of a home is.
pub fn path_of(folder: &Path) -> PathBuf {
    folder.join("socket")
}

/// Asks the process that has the home in `folder`.
pub(super) fn ask(folder: &Path, call: &Call) -> Result<Value, Fault> {
    let busy = || Fault::Home(crate::erase::HomeError::Busy { path: folder.to_path_buf() });
    let mut stream = UnixStream::connect(path_of(folder)).map_err(|_| busy())?;
    let mut line = serde_json::to_vec(call).unwrap_or_default();
    line.push(b'\n');
    let lost = |error: std::io::Error| Fault::Socket(error.to_string());
    stream.write_all(&line).map_err(lost)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_LINE)).read_until(b'\n', &mut answer).map_err(lost)?;
    let reply: Reply = serde_json::from_slice(&answer).map_err(|_| {
        Fault::Socket("the process that has the home ended before it answered; ask again".into())
    })?;
    match reply {
        Reply { ok: true, result, .. } => Ok(result.unwrap_or_default()),
        Reply { error, code, .. } => {
            Err(Fault::Refused { what: error.unwrap_or_default(), code: code.max(1) })
        }
    }
}
