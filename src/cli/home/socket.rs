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
    ask_over(UnixStream::connect(path_of(folder)).map_err(|_| busy())?, call)
}

/// The same, over a connection.
fn ask_over(mut stream: UnixStream, call: &Call) -> Result<Value, Fault> {
    let mut line = serde_json::to_vec(call).unwrap_or_default();
    line.push(b'\n');
    // Who turns us away says so and closes, perhaps before all is sent: what it said counts then.
    let sent = stream.write_all(&line);
    let mut answer = Vec::new();
    let read = BufReader::new(stream.take(MAX_LINE)).read_until(b'\n', &mut answer);
    if answer.is_empty() {
        sent.and(read.map(drop)).map_err(|error| Fault::Socket(error.to_string()))?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::home::call::Line;

    #[test]
    fn who_is_turned_away_while_it_still_speaks_hears_why() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || {
            theirs.write_all(b"{\"ok\": false, \"error\": \"full\", \"code\": 4}\n").unwrap();
        });
        // More than a socket holds, so that the other end closes before all is sent.
        let long = Line { values: vec![0.5; 1 << 20], ..Line::default() };
        let refused = ask_over(ours, &Call::Predict { samples: vec![long] });
        assert!(
            matches!(&refused, Err(Fault::Refused { what, code: 4 }) if what == "full"),
            "{refused:?}"
        );
        server.join().unwrap();
    }
}
