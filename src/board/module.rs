//! What a device tree says in `compatible`: numbers of modules, and the system on a chip.

use super::sysroot::SysRoot;

/// Entries of `compatible` that are looked at; a board has three or four.
const MOST_ENTRIES: usize = 64;

/// Whether `text` is a module's number: `p`, four digits, `-`, four digits.
pub(super) fn is_module(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: &[u8]| range.iter().all(u8::is_ascii_digit);
    bytes.len() == 10
        && bytes[0] == b'p'
        && bytes[5] == b'-'
        && digits(&bytes[1..5])
        && digits(&bytes[6..])
}

/// What `compatible` names, most specific first, as the device tree has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Compatible {
    /// Numbers such as `p3767-0005`, of modules and of carrier boards.
    pub numbers: Vec<String>,
    /// The one that is the module, as far as the spelling tells: behind the `+` of `carrier+module`, or
    /// else the first.
    pub likely: Option<String>,
    /// The chip, such as `tegra234`.
    pub soc: Option<String>,
    /// Whether there is a device tree with any entry at all.
    pub any: bool,
}

/// Where a device tree shows.
pub(super) const TREES: [&str; 2] = ["proc/device-tree", "sys/firmware/devicetree/base"];

impl Compatible {
    /// Reads it of a machine; nothing, where there is no device tree.
    pub(super) fn of(root: &SysRoot) -> Self {
        let bytes = TREES.iter().find_map(|tree| root.bytes(&format!("{tree}/compatible")));
        bytes.map(|bytes| Self::read(&bytes)).unwrap_or_default()
    }

    /// Reads the bytes of the file: entries that end in NUL.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let mut behind_plus = None;
        for entry in bytes.split(|&byte| byte == 0).take(MOST_ENTRIES) {
            let entry = String::from_utf8_lossy(entry);
            found.any |= !entry.is_empty();
            for (at, part) in entry.split('+').enumerate() {
                let Some(number) = number_in(part) else { continue };
                if at > 0 && behind_plus.is_none() {
                    behind_plus = Some(number.to_string());
                }
                if !found.numbers.iter().any(|known| known == number) {
                    found.numbers.push(number.to_string());
                }
            }
            if found.soc.is_none() {
                found.soc = soc_in(&entry).map(str::to_string);
            }
        }
        found.likely = behind_plus.or_else(|| found.numbers.first().cloned());
        found
    }
}

/// The first module's number anywhere in `text`: vendors put words before it and behind, such as `-super`.
fn number_in(text: &str) -> Option<&str> {
    text.match_indices('p').find_map(|(at, _)| {
        let number = text.get(at..at + 10).filter(|number| is_module(number))?;
        // `p3767-00051` is another number, and `p` at the end of a word is no beginning of one.
        let digit = |c: char| c.is_ascii_digit();
        let before = text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        let behind = text[at + 10..].starts_with(digit);
        (!before && !behind).then_some(number)
    })
}

/// `tegra` and three digits.
fn soc_in(text: &str) -> Option<&str> {
    text.match_indices("tegra").find_map(|(at, _)| {
        let soc = text.get(at..at + 8)?;
        let digits = soc[5..].bytes().all(|byte| byte.is_ascii_digit());
        let behind = text[at + 8..].starts_with(|c: char| c.is_ascii_digit());
        (digits && !behind).then_some(soc)
    })
}

#[cfg(test)]
mod tests {
    use super::Compatible;

    #[test]
    fn the_module_is_found_however_vendors_spell_it() {
        for (text, likely, soc) in [
            (
                "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
                Some("p3767-0005"),
                Some("tegra234"),
            ),
            (
                "nvidia,p3449-0000-b00+p3448-0000-b00\0nvidia,tegra210\0",
                Some("p3448-0000"),
                Some("tegra210"),
            ),
            ("nvidia,p3767-0001\0nvidia,tegra234", Some("p3767-0001"), Some("tegra234")),
            ("vendor,box-p3767-0000-v2\0", Some("p3767-0000"), None),
            ("raspberrypi,4-model-b\0brcm,bcm2711\0", None, None),
            ("nvidia,p3767-00051\0nvidia,tegra2345\0nvidia,tegra23", None, None),
            ("step3767-0005\0", None, None),
            ("", None, None),
            ("\0\0\0+\0++p\0ptegra", None, None),
        ] {
            let found = Compatible::read(text.as_bytes());
            assert_eq!((found.likely.as_deref(), found.soc.as_deref()), (likely, soc), "{text:?}");
        }
        let many = "nvidia,p0001-0001\0".repeat(1000) + "nvidia,p0002-0002";
        assert_eq!(Compatible::read(many.as_bytes()).numbers, ["p0001-0001"]);
    }
}
