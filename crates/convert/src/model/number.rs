//! Numbers in text, as Python's `float()` reads them: digits of every script, single underscores between them.

/// Python's `str.isspace()` of one character.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The zeros of all decimal digits of Unicode 14; the other nine follow each.
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0,
    0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620,
    0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0,
    0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60,
    0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

/// The ASCII digit of a decimal digit of any script: what `\d` matches and `int()` reads.
pub fn decimal_digit(c: char) -> Option<char> {
    if c.is_ascii() {
        return Some(c).filter(char::is_ascii_digit);
    }
    let code = u32::from(c);
    let zero = ZEROS[ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?];
    char::from_digit(code - zero, 10)
}

/// What Python's `float(text)` gives, `nan` and the infinities included; `None` where it raises `ValueError`.
pub fn float_of_text(text: &str) -> Option<f64> {
    let body = text.trim_matches(is_space);
    let unsigned = body.strip_prefix(['+', '-']).unwrap_or(body);
    if ["inf", "infinity", "nan"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
        return body.parse().ok();
    }
    let mut plain = String::with_capacity(body.len());
    let mut chars = body.chars().peekable();
    let mut after_digit = false;
    while let Some(c) = chars.next() {
        match decimal_digit(c) {
            Some(digit) => {
                plain.push(digit);
                after_digit = true;
                continue;
            }
            // An underscore stands between two digits.
            None if c == '_' && after_digit && chars.peek().copied().and_then(decimal_digit).is_some() => {}
            None if matches!(c, '.' | 'e' | 'E' | '+' | '-') => plain.push(c),
            None => return None,
        }
        after_digit = false;
    }
    plain.parse().ok()
}
