//! A path's text as tokens.

use super::PathError;
use crate::model::Value;
use crate::model::python::{self, decimal_digit, is_space};

/// A token, as Ceilometer's lexer makes them (Ceilometer reference, Appendix A).
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name, bare or quoted.
    Id(Box<str>),
    /// An integer.
    Number(Value),
    /// A number with a point.
    Float(f64),
    /// `true`, `false`, also as the beginning of a longer word.
    Bool(bool),
    /// A backquoted operator, without its backquotes and backslashes.
    Named(Box<str>),
    /// `/` or `\`, perhaps after a comma: whether descending.
    Sort(bool),
    /// `==`, `=`, `<=` …
    Test(&'static str),
    /// `where`
    Where,
    /// `..`
    DoubleDot,
    /// One of `* . [ ] ( ) $ , : | & ? @ + -`.
    Sign(char),
}

/// A token and where it begins, in bytes.
pub(super) type Placed = (Token, usize);

/// All tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, PathError> {
    let mut scan = Scan { text, at: 0 };
    let mut tokens = Vec::new();
    while let Some(c) = scan.peek() {
        if matches!(c, ' ' | '\t' | '\n') && scan.sort().is_none() {
            scan.at += 1;
            continue;
        }
        let at = scan.at;
        tokens.push((scan.token(c)?, at));
    }
    Ok(tokens)
}

/// Longest first.
const TESTS: [&str; 8] = ["==", "<=", ">=", "!=", "=", "<", ">", "~"];

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The alternatives in the order in which Ceilometer tries them; the first wins, not the longest.
    fn token(&mut self, c: char) -> Result<Token, PathError> {
        let rest = self.rest();
        for (word, value) in [("true", true), ("false", false)] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(Token::Bool(value));
            }
        }
        if let Some((length, descending)) = self.sort() {
            self.at += length;
            return Ok(Token::Sort(descending));
        }
        if let Some(length) = name_length(rest) {
            self.at += length;
            return Ok(match &rest[..length] {
                "where" => Token::Where,
                name => Token::Id(name.into()),
            });
        }
        if let Some((length, has_point)) = number_length(rest) {
            let value = Value::from(&rest[..length]);
            let number = if has_point {
                python::float(&value).map(Token::Float)
            } else {
                python::int(&value).map(Token::Number)
            };
            let number = number.map_err(|raised| self.trouble(raised.text.into_owned()))?;
            self.at += length;
            return Ok(number);
        }
        if matches!(c, '\'' | '"' | '`') {
            let content = self.quoted(c)?;
            return Ok(if c == '`' { Token::Named(content) } else { Token::Id(content) });
        }
        if let Some(test) = TESTS.into_iter().find(|test| rest.starts_with(test)) {
            self.at += test.len();
            return Ok(Token::Test(test));
        }
        if rest.starts_with("..") {
            self.at += 2;
            return Ok(Token::DoubleDot);
        }
        if "*.[]()$,:|&?@+-".contains(c) {
            self.at += 1;
            return Ok(Token::Sign(c));
        }
        Err(self.trouble(format!("unexpected character '{c}'")))
    }

    /// `,?\s*[/\\]`: swallows every slash, so that division cannot be spelt.
    fn sort(&self) -> Option<(usize, bool)> {
        let rest = self.rest();
        let after_comma = rest.strip_prefix(',').unwrap_or(rest);
        let sign = after_comma.trim_start_matches(is_space);
        let descending = sign.starts_with('\\');
        (descending || sign.starts_with('/')).then(|| (rest.len() - sign.len() + 1, descending))
    }

    /// What stands between two quotes of the same kind; a backslash keeps the next character from ending it, and goes.
    fn quoted(&mut self, quote: char) -> Result<Box<str>, PathError> {
        let mut content = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, escaped)) if escaped != '\n' => content.push(escaped),
                    _ => break,
                },
                c if c == quote => {
                    self.at += at + 1;
                    return Ok(content.into());
                }
                c => content.push(c),
            }
        }
        Err(self.trouble(format!("{quote} without its end")))
    }

    fn trouble(&self, why: String) -> PathError {
        PathError { path: self.text.into(), at: self.at, why }
    }
}

/// `@?[a-zA-Z_][a-zA-Z0-9_@-]*`
fn name_length(text: &str) -> Option<usize> {
    let name = text.strip_prefix('@').unwrap_or(text);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return None;
    }
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '-')));
    Some(text.len() - name.len() + end.unwrap_or(name.len()))
}

/// `-?\d+(\.\d+)?`, and whether with the point.
fn number_length(text: &str) -> Option<(usize, bool)> {
    let digits = |text: &str| text.find(|c| decimal_digit(c).is_none()).unwrap_or(text.len());
    let sign = usize::from(text.starts_with('-'));
    let whole = digits(&text[sign..]);
    if whole == 0 {
        return None;
    }
    let length = sign + whole;
    let fraction = text[length..].strip_prefix('.').map_or(0, digits);
    Some(if fraction > 0 { (length + 1 + fraction, true) } else { (length, false) })
}
