//! Samples as they come through a pipe: lines of JSON, or frames of postcard.
//!
//! A frame is `length (u32, little-endian) | postcard of (subjects, label, group, values)`, values being
//! variant 0, bytes, or variant 1, floats. Nothing is allocated for what a frame claims before the bytes
//! are there.

use std::io::{BufRead, Read};

use serde::{Deserialize, Serialize};

use super::super::fault::Fault;
use super::call::Line;

/// The longest frame or line.
pub const MAX_FRAME: u64 = 64 << 20;

/// A sample as a frame has it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Frame {
    subjects: Vec<String>,
    label: Option<String>,
    group: Option<String>,
    values: Numbers,
}

#[derive(Debug, Serialize, Deserialize)]
enum Numbers {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

/// Hands each line of JSON to `take`, until there is none.
pub(super) fn lines(
    mut from: impl BufRead,
    what: &str,
    mut take: impl FnMut(Line) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let failed = |error: std::io::Error| Fault::Input {
            what: what.into(),
            at: format!("line {number}"),
            why: error.to_string(),
        };
        let mut bounded = (&mut from).take(MAX_FRAME);
        if bounded.read_until(b'\n', &mut text).map_err(failed)? == 0 {
            break;
        }
        if text.len() as u64 == MAX_FRAME && text.last() != Some(&b'\n') {
            let why = format!("it is longer than {MAX_FRAME} bytes");
            return Err(Fault::Input { what: what.into(), at: format!("line {number}"), why });
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let line = serde_json::from_slice(&text).map_err(|error| Fault::Input {
            what: what.into(),
            at: format!("line {number}"),
            why: format!(
                "{error}; expected {{\"subject\": NAME, \"label\": CLASS, \"values\": [...]}}"
            ),
        })?;
        take(line)?;
    }
    Ok(())
}

/// Hands each frame of postcard to `take`, until there is none.
pub(super) fn frames(
    mut from: impl Read,
    what: &str,
    mut take: impl FnMut(Line) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut offset = 0u64;
    loop {
        let wrong = |why: String| Fault::Input {
            what: what.into(),
            at: format!("the frame at byte {offset}"),
            why,
        };
        let mut head = Vec::new();
        (&mut from).take(4).read_to_end(&mut head).map_err(|e| wrong(e.to_string()))?;
        let Ok(length) = <[u8; 4]>::try_from(&head[..]) else {
            return match head.is_empty() {
                true => Ok(()),
                false => Err(wrong("it ends within its length".into())),
            };
        };
        let length = u64::from(u32::from_le_bytes(length));
        if length > MAX_FRAME {
            return Err(wrong(format!("it claims {length} bytes, at most {MAX_FRAME} are read")));
        }
        let mut bytes = Vec::new();
        (&mut from).take(length).read_to_end(&mut bytes).map_err(|e| wrong(e.to_string()))?;
        if (bytes.len() as u64) < length {
            return Err(wrong(format!("it claims {length} bytes and has {}", bytes.len())));
        }
        let (frame, rest) = postcard::take_from_bytes::<Frame>(&bytes)
            .map_err(|_| wrong("it does not decode as (subjects, label, group, values)".into()))?;
        if !rest.is_empty() {
            return Err(wrong(format!("{} bytes follow its sample", rest.len())));
        }
        offset += 4 + length;
        take(line_of(frame))?;
    }
}

fn line_of(frame: Frame) -> Line {
    let (values, bytes) = match frame.values {
        Numbers::Bytes(bytes) => (Vec::new(), bytes),
        Numbers::Floats(values) => (values, Vec::new()),
    };
    let Frame { subjects, label, group, .. } = frame;
    Line { subjects, subject: None, label, group, values, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(frame: &Frame) -> Vec<u8> {
        let body = postcard::to_allocvec(frame).unwrap();
        [&(body.len() as u32).to_le_bytes()[..], &body].concat()
    }

    fn one() -> Vec<u8> {
        framed(&Frame {
            subjects: vec!["a".into()],
            label: Some("yes".into()),
            group: None,
            values: Numbers::Floats(vec![0.5, 1.5]),
        })
    }

    fn read(bytes: &[u8]) -> Result<Vec<Line>, String> {
        let mut all = Vec::new();
        let taken = frames(bytes, "stdin", |line| {
            all.push(line);
            Ok(())
        });
        taken.map(|()| all).map_err(|fault| fault.to_string())
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let all = read(&[one(), one()].concat()).unwrap();
        assert_eq!((all.len(), &all[1].values[..]), (2, &[0.5, 1.5][..]));
    }

    #[test]
    fn a_frame_that_lies_about_its_size_is_refused_with_its_place() {
        let good = one();
        for cut in 1..good.len() {
            assert!(read(&good[..cut]).unwrap_err().contains("byte 0"), "cut at {cut}");
        }
        let long = [&good[..], &u32::MAX.to_le_bytes()].concat();
        let error = read(&long).unwrap_err();
        assert!(
            error.contains(&format!("byte {}", good.len())) && error.contains("claims"),
            "{error}"
        );
        let mut inner = good.clone();
        inner[4] = 0xff; // more subjects than there are bytes
        assert!(read(&inner).is_err());
        let mut padded = good;
        padded[0] += 1;
        padded.push(0);
        assert!(read(&padded).unwrap_err().contains("follow"));
    }
}
