//! The header of a `.npy` file: what numbers follow, and in what shape.
//!
//! Bytes in, a [`Header`] out; opens no file. Behind the magic bytes, a version and a length stands the
//! text of a Python dictionary with three keys. We read it ourselves: the crate at hand (npyz 0.9)
//! reserves what the length field claims, up to 4 GiB, before it looks, and tells no offsets.
//!
//! # Source
//! The NumPy manual, `numpy.lib.format`, format versions 1.0 to 3.0.
//!
//! # Where we differ
//! - Little-endian or single bytes, C order, no objects and no records. Anything else is refused by
//!   name, because it is one `astype` or `ascontiguousarray` away.

/// The most bytes of the text of a header: what version 1.0 can say. NumPy itself writes 118.
const MAX_TEXT: u32 = 1 << 16;
/// The most dimensions.
const MAX_DIMENSIONS: usize = 8;
/// The most characters of one text in an array of texts.
const MAX_CHARACTERS: u64 = 4096;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// What numbers an array holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
    /// Texts of so many bytes, padded with zeros.
    Bytes(usize),
    /// Texts of so many UTF-32 characters, padded with zeros.
    Text(usize),
}

/// The codes of numbers.
const KINDS: [(&str, Kind); 12] = [
    ("|b1", Kind::Bool),
    ("|u1", Kind::U8),
    ("|i1", Kind::I8),
    ("<u2", Kind::U16),
    ("<i2", Kind::I16),
    ("<u4", Kind::U32),
    ("<i4", Kind::I32),
    ("<u8", Kind::U64),
    ("<i8", Kind::I64),
    ("<f2", Kind::F16),
    ("<f4", Kind::F32),
    ("<f8", Kind::F64),
];

impl Kind {
    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
            Self::Bytes(len) => len,
            Self::Text(len) => 4 * len,
        }
    }

    /// The kind that NumPy writes as `code`.
    fn of(code: &str) -> Option<Self> {
        if let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == code) {
            return Some(*kind);
        }
        let (form, len) = code.split_at_checked(2)?;
        let len: u64 = len.parse().ok()?;
        let len = usize::try_from(len).ok().filter(|_| (1..=MAX_CHARACTERS).contains(&len))?;
        match form {
            "|S" => Some(Self::Bytes(len)),
            "<U" => Some(Self::Text(len)),
            _ => None,
        }
    }
}

/// A header whose shape and kind were read; the contents were not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    pub shape: Vec<u64>,
    /// Bytes of the contents.
    pub len: u64,
}

/// What is wrong with a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// At this byte stands something else than what belongs there.
    Text { offset: usize, found: String, expected: &'static str },
    /// The array holds what is not taken.
    Kind { found: String, expected: &'static str },
    /// The shape is none that is taken.
    Shape { found: Vec<u64>, expected: &'static str },
}

/// Bytes of magic and version.
pub(super) const START: usize = 8;

/// How many bytes the length of the text takes, by the first [`START`] bytes of a file.
pub(super) fn length_bytes(start: &[u8]) -> Result<usize, Fault> {
    let (magic, version) = start.split_at(start.len().min(MAGIC.len()));
    if magic != MAGIC {
        let expected = "the six bytes \\x93NUMPY";
        return Err(Fault::Text { offset: 0, found: spell(magic), expected });
    }
    match version {
        [1, 0] => Ok(2),
        [2 | 3, 0] => Ok(4),
        _ => {
            let expected = "version 1.0, 2.0 or 3.0";
            Err(Fault::Text { offset: MAGIC.len(), found: spell(version), expected })
        }
    }
}

/// The length of the text, as the little-endian `bytes` behind the version say it.
pub(super) fn text_length(bytes: &[u8]) -> Result<usize, Fault> {
    let expected = "a length of at most 65536 bytes";
    let len = match *bytes {
        [a, b] => u32::from(u16::from_le_bytes([a, b])),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        _ => u32::MAX,
    };
    match len {
        0..=MAX_TEXT => Ok(len as usize),
        _ => Err(Fault::Text { offset: START, found: spell(bytes), expected }),
    }
}

/// Reads the text of a header, which begins at `offset` of the file.
pub(super) fn header(text: &[u8], offset: usize) -> Result<Header, Fault> {
    let mut cursor = Cursor { text, at: 0, offset };
    let (mut code, mut fortran, mut shape) = (None, None, None);
    cursor.mark(b'{', "`{`")?;
    while !cursor.eat(b'}') {
        let key_at = cursor.next();
        let key = cursor.quoted()?;
        cursor.mark(b':', "`:`")?;
        let again = match &*key {
            "descr" => code.replace(cursor.code()?).is_some(),
            "fortran_order" => fortran.replace(cursor.truth()?).is_some(),
            "shape" => shape.replace(cursor.tuple()?).is_some(),
            _ => true,
        };
        if again {
            cursor.at = key_at;
            return Err(cursor.wrong("one each of 'descr', 'fortran_order', 'shape'"));
        }
        if !cursor.eat(b',') && cursor.peek() != Some(b'}') {
            return Err(cursor.wrong("`,` or `}`"));
        }
    }
    if cursor.peek().is_some() {
        return Err(cursor.wrong("nothing"));
    }
    let (Some(code), Some(fortran), Some(shape)) = (code, fortran, shape) else {
        return Err(cursor.wrong("all of 'descr', 'fortran_order', 'shape'"));
    };
    checked(code, fortran, shape)
}

fn checked(code: String, fortran: bool, shape: Vec<u64>) -> Result<Header, Fault> {
    let Some(kind) = Kind::of(&code) else {
        let found = format!("elements of the type `{code}`");
        let expected = "little-endian whole numbers, floats, truth values or short texts \
                        (`astype` makes them)";
        return Err(Fault::Kind { found, expected });
    };
    if fortran && shape.len() > 1 {
        let found = "its elements in Fortran order".to_string();
        return Err(Fault::Kind { found, expected: "C order (`ascontiguousarray` makes it)" });
    }
    let size = kind.size() as u64;
    match shape.iter().try_fold(size, |len, &side| len.checked_mul(side)) {
        Some(len) if len < 1 << 62 => Ok(Header { kind, shape, len }),
        _ => Err(Fault::Shape { found: shape, expected: "less than 2^62 bytes in all" }),
    }
}

/// Bytes as a message shows them.
fn spell(bytes: &[u8]) -> String {
    if bytes.is_empty() { "the end".to_string() } else { format!("`{}`", bytes.escape_ascii()) }
}

/// A place in the text of a header.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the text begins in the file.
    offset: usize,
}

impl Cursor<'_> {
    /// Passes over spaces, and says where it is.
    fn next(&mut self) -> usize {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.at
    }

    fn peek(&mut self) -> Option<u8> {
        let at = self.next();
        self.text.get(at).copied()
    }

    /// Whether `mark` came next. It is passed over if so.
    fn eat(&mut self, mark: u8) -> bool {
        let is = self.peek() == Some(mark);
        self.at += usize::from(is);
        is
    }

    fn mark(&mut self, mark: u8, expected: &'static str) -> Result<(), Fault> {
        if self.eat(mark) { Ok(()) } else { Err(self.wrong(expected)) }
    }

    fn wrong(&mut self, expected: &'static str) -> Fault {
        let at = self.next();
        let rest = &self.text[at..];
        let found = spell(&rest[..rest.len().min(24)]);
        Fault::Text { offset: self.offset + at, found, expected }
    }

    /// A text in quotes, without escapes: NumPy writes none.
    fn quoted(&mut self) -> Result<String, Fault> {
        let quote = self.peek().filter(|mark| [b'\'', b'"'].contains(mark));
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let end = quote.and_then(|quote| rest.iter().position(|&byte| byte == quote));
        let Some(end) = end else { return Err(self.wrong("a text in quotes")) };
        self.at += end + 2;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    /// The code of a type. A list, the fields of a record, is refused by what it is.
    fn code(&mut self) -> Result<String, Fault> {
        if self.peek() == Some(b'[') {
            let found = "records of several fields".to_string();
            return Err(Fault::Kind {
                found,
                expected: "one type of element; save each field alone",
            });
        }
        self.quoted()
    }

    fn truth(&mut self) -> Result<bool, Fault> {
        let at = self.next();
        for (word, truth) in [("True", true), ("False", false)] {
            if self.text[at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(truth);
            }
        }
        Err(self.wrong("True or False"))
    }

    fn tuple(&mut self) -> Result<Vec<u64>, Fault> {
        let mut sides = Vec::new();
        self.mark(b'(', "`(`")?;
        while !self.eat(b')') {
            let at = self.next();
            let digits = self.text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = str::from_utf8(&self.text[at..at + digits]).ok();
            let Some(number) = number.and_then(|digits| digits.parse().ok()) else {
                return Err(self.wrong("a whole number below 2^64"));
            };
            if sides.len() == MAX_DIMENSIONS {
                return Err(self.wrong("at most 8 dimensions"));
            }
            sides.push(number);
            self.at += digits;
            if !self.eat(b',') && self.peek() != Some(b')') {
                return Err(self.wrong("`,` or `)`"));
            }
        }
        Ok(sides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Header, Fault> {
        header(text.as_bytes(), 10)
    }

    #[test]
    fn the_spellings_of_every_version_of_numpy_are_read() {
        let expected = Header { kind: Kind::F32, shape: vec![2, 3], len: 24 };
        for text in [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }    \n",
            "{\"shape\":(2,3,),\"descr\":\"<f4\",\"fortran_order\":False}",
        ] {
            assert_eq!(read(text).unwrap(), expected);
        }
        let scalar = read("{'descr': '<U7', 'fortran_order': True, 'shape': ()}").unwrap();
        assert_eq!(scalar, Header { kind: Kind::Text(7), shape: vec![], len: 28 });
        assert_eq!(length_bytes(b"\x93NUMPY\x01\x00"), Ok(2));
        assert_eq!(length_bytes(b"\x93NUMPY\x03\x00"), Ok(4));
        assert_eq!(text_length(&[0x76, 0]), Ok(118));
        assert!(text_length(&[1, 0, 1, 0]).is_err(), "65,537 bytes of text");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_offset() {
        for (text, offset, expected) in [
            ("", 10, "`{`"),
            ("{'descr': 7", 20, "a text in quotes"),
            ("{'descr': '<f4' 'shape'", 26, "`,` or `}`"),
            ("{'shape': (2, -3)}", 24, "a whole number"),
            ("{'shape': (99999999999999999999,)}", 21, "below 2^64"),
            ("{'shape': (1,1,1,1,1,1,1,1,1)}", 37, "8 dimensions"),
            ("{'shape': (1,), 'shape': (1,)}", 26, "one each"),
            ("{'size': 3}", 11, "one each"),
            ("{'fortran_order': Maybe}", 28, "True or False"),
            ("{'shape': (1,)}", 25, "all of"),
            ("{'shape': (1,)} x", 26, "nothing"),
        ] {
            match read(text) {
                Err(Fault::Text { offset: at, expected: told, .. }) => {
                    assert!(at == offset && told.contains(expected), "{text}: {at} {told}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_shape_that_no_memory_holds_is_refused() {
        let shape = |shape: &str| {
            read(&format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}"))
        };
        for told in
            ["(1152921504606846976,)", "(4294967296, 4294967296)", "(18446744073709551615,)"]
        {
            assert!(matches!(shape(told), Err(Fault::Shape { .. })), "{told}");
        }
        assert_eq!(shape("(0, 3)").unwrap().len, 0);
    }
}
