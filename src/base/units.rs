//! Units as a person reads them.

use std::fmt;

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Reads `4096`, `512kB`, `1.5GiB`: a number and, where it is not bytes, a unit of thousands (kB,
    /// MB, GB, TB) or of 1,024 (KiB, MiB, GiB, TiB).
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size; write 4096, 512kB, 64MiB or 1.5GiB");
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let number: f64 = text[..end].parse().map_err(|_| wrong())?;
        let power = |base: f64, letter: &str| {
            let powers = ["", "k", "m", "g", "t"];
            powers.iter().position(|known| *known == letter).map(|power| base.powi(power as i32))
        };
        let unit = text[end..].trim().to_ascii_lowercase();
        let scale = match unit.strip_suffix("ib") {
            Some(letter) if !letter.is_empty() => power(1024.0, letter),
            _ => power(1000.0, unit.strip_suffix('b').unwrap_or(&unit)),
        };
        let size = scale.ok_or_else(wrong)? * number;
        // Beyond this a float cannot count single bytes; no machine has as many.
        if size < 9e15 { Ok(Self(size as u64)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0 as f64;
        match self.0 {
            0..10_000 => write!(f, "{} B", self.0),
            10_000..10_000_000 => write!(f, "{:.1} kB", size / 1e3),
            10_000_000..10_000_000_000 => write!(f, "{:.1} MB", size / 1e6),
            _ => write!(f, "{:.1} GB", size / 1e9),
        }
    }
}

/// A duration in seconds.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Seconds(pub f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The sum of no durations is -0.0; adding 0.0 makes it 0.0.
        match self.0 + 0.0 {
            s if s < 0.1 => write!(f, "{:.1} ms", s * 1e3),
            s if s < 120.0 => write!(f, "{s:.1} s"),
            s => write!(f, "{:.1} min", s / 60.0),
        }
    }
}

/// A share of the whole, told in percent.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} %", self.0 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_kinds_of_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("12B", 12),
            ("512kB", 512_000),
            ("64MiB", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("2 tb", 2_000_000_000_000),
        ] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "GiB", "-1", "1.2.3", "5 apples", "1e9", "99999999TiB", "3ib"] {
            assert!(Bytes::parse(text).is_err(), "{text}");
        }
    }
}
