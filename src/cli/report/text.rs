//! Words and numbers on the page.

/// `text` with the characters that mean something in HTML and its attributes replaced.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are not allowed in HTML and would break the file for a parser.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// `value` with `decimals` places, a true minus sign, and narrow spaces between thousands. What
/// is not finite is told as `–`.
pub fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let digits = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let mut out = String::new();
    if value < 0.0 && digits.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) {
        out.push('−');
    }
    for (at, digit) in whole.chars().enumerate() {
        // Four digits read well without a gap.
        if at > 0 && (whole.len() - at).is_multiple_of(3) && whole.len() > 4 {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// A name beside a row that is longer than this is cut in the middle; the tooltip has it whole.
pub(super) const MAX_NAME: usize = 26;

/// `name`, cut in the middle if it is too long to stand beside a row.
pub(super) fn shorten(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= MAX_NAME {
        return name.to_owned();
    }
    let (head, tail) = (&letters[..MAX_NAME / 2 - 1], &letters[letters.len() - MAX_NAME / 2..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

/// `value` as a bar or a tooltip tells it: about three digits.
pub(super) fn brief(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    number(value, decimals)
}
