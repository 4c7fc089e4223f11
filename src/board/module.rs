//! Numbers of modules, as the device tree spells them.

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
