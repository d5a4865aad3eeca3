//! The characters of Python's `re`: escapes, categories and sets.

use super::Raised;
use super::reader::{Last, Reader, error};

impl Reader<'_> {
    /// The character of an escape that stands for one, in and outside classes; `c` is what follows the backslash.
    pub(super) fn character(&mut self, c: char) -> Result<char, Raised> {
        Ok(match c {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            'U' => self.hexadecimal(8)?,
            '0'..='7' => {
                let mut digits = String::from(c);
                while digits.len() < 3
                    && let Some(next) = self.peek().filter(|c| matches!(c, '0'..='7'))
                {
                    self.next();
                    digits.push(next);
                }
                octal_character(&digits)?
            }
            c if c.is_ascii_alphanumeric() => return Err(error(format!("bad escape \\{c}"))),
            c => c,
        })
    }

    fn hexadecimal(&mut self, width: usize) -> Result<char, Raised> {
        let rest = self.rest();
        let digits = rest.get(..width).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let c = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        for _ in 0..width {
            self.next();
        }
        c.ok_or_else(|| error("incomplete escape"))
    }

    /// After `[`.
    pub(super) fn class(&mut self) -> Result<(), Raised> {
        let unterminated = || error("unterminated character set");
        let open = if self.take('^') { "[^" } else { "[" };
        self.push(open, Last::Item);
        let mut first = true;
        loop {
            let c = self.next().ok_or_else(unterminated)?;
            if c == ']' && !first {
                break;
            }
            first = false;
            let low = self.class_item(c)?;
            if self.peek() != Some('-') {
                continue;
            }
            self.next();
            let c = self.next().ok_or_else(unterminated)?;
            if c == ']' {
                escape('-', &mut self.out.text);
                break;
            }
            let Some(low) = low else { return Err(error("bad character range")) };
            let at = self.out.text.len();
            let high = self.class_item(c)?.filter(|high| *high >= low);
            let high = high.ok_or_else(|| error("bad character range"))?;
            self.out.text.truncate(at);
            self.out.text.push('-');
            escape(high, &mut self.out.text);
        }
        self.out.text.push(']');
        Ok(())
    }

    /// One item of a class is written; its character if it is one.
    fn class_item(&mut self, c: char) -> Result<Option<char>, Raised> {
        let c = match c {
            '\\' => match self.next().ok_or_else(|| error("bad escape (end of pattern)"))? {
                c @ ('d' | 'D' | 's' | 'S' | 'w' | 'W') => {
                    self.out.text.push_str(category(c, self.flags.ascii));
                    return Ok(None);
                }
                'b' => '\x08',
                c => self.character(c)?,
            },
            c => c,
        };
        escape(c, &mut self.out.text);
        Ok(Some(c))
    }
}

/// A character by its octal digits.
pub(super) fn octal_character(digits: &str) -> Result<char, Raised> {
    let code = u32::from_str_radix(digits, 8).ok().filter(|code| *code <= 0o377);
    code.and_then(char::from_u32).ok_or_else(|| error("octal escape value outside of range 0-0o377"))
}

/// A category as Python has it, in and outside classes.
pub(super) fn category(letter: char, ascii: bool) -> &'static str {
    match (letter, ascii) {
        ('d', false) => r"\d",
        ('D', false) => r"\D",
        ('s', false) => r"[\s\x1c-\x1f]",
        ('S', false) => r"[^\s\x1c-\x1f]",
        ('w', false) => r"[\p{L}\p{N}_]",
        ('W', false) => r"[^\p{L}\p{N}_]",
        ('d', true) => r"[0-9]",
        ('D', true) => r"[^0-9]",
        ('s', true) => r"[\t\n\r\x0b\x0c ]",
        ('S', true) => r"[^\t\n\r\x0b\x0c ]",
        ('w', true) => r"[0-9A-Za-z_]",
        _ => r"[^0-9A-Za-z_]",
    }
}

/// Writes a character that stands for itself.
pub(super) fn escape(c: char, out: &mut String) {
    if matches!(
        c,
        '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' | '#' | '&' | '-' | '~'
    ) {
        out.push('\\');
    }
    out.push(c);
}
