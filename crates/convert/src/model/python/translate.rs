//! From the syntax of Python's `re` to that of `fancy-regex`.
//!
//! Read character by character, so that everything the two spell or mean differently is decided here: `$` (also before
//! a last newline), `\Z`, octal and long escapes, `{,n}`, lone braces and brackets, `&&` in a class, verbose mode,
//! what `\s` and `\w` contain. Groups lose their names: they are counted.
//!
//! Known to differ: `\b` and case-insensitivity follow the Unicode tables of the Rust library; a look-behind may be
//! refused or accepted where Python judges its width otherwise; a possessive repetition of a look-ahead may be tried
//! where CPython's skips it.

use super::Raised;
use super::characters::{category, escape, octal_character};
use super::reader::{Group, Last, Reader, Translated, error};

/// Groups deeper than this are refused.
const NESTING_MAX: usize = 100;
/// Python's own limit.
const REPEAT_MAX: u64 = 4_294_967_294;

/// Translates; an `error` where Python has one.
pub(super) fn translate(text: &str) -> Result<Translated, Raised> {
    let mut reader = Reader::new(text);
    reader.whole()?;
    Ok(reader.out)
}

impl Reader<'_> {
    fn literal(&mut self, c: char) {
        escape(c, &mut self.out.text);
        self.last = Last::Item;
        self.nothing_yet = false;
    }

    fn whole(&mut self) -> Result<(), Raised> {
        while let Some(c) = self.next() {
            match c {
                c if self.flags.verbose && matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c') => {}
                '#' if self.flags.verbose => while self.next().is_some_and(|c| c != '\n') {},
                '\\' => self.escaped()?,
                '[' => self.class()?,
                '(' => self.group()?,
                ')' => {
                    let group = self.open.pop().ok_or_else(|| error("unbalanced parenthesis"))?;
                    self.flags = group.flags;
                    self.push(if group.looks { "))" } else { ")" }, if group.looks { Last::Look } else { Last::Item });
                }
                '|' => self.push("|", Last::Nothing),
                '.' => self.push(".", Last::Item),
                '^' => self.push("^", Last::Position),
                '$' if self.flags.multi_line => self.push("$", Last::Position),
                '$' => self.push(r"(?=\n?\z)", Last::Position),
                '*' | '+' | '?' => self.repetition(&c.to_string())?,
                '{' => match self.braces()? {
                    Some(repetition) => self.repetition(&repetition)?,
                    None => self.literal('{'),
                },
                c => self.literal(c),
            }
        }
        if self.asked > self.out.groups {
            return Err(error(format!("invalid group reference {}", self.asked)));
        }
        if self.open.is_empty() { Ok(()) } else { Err(error("missing ), unterminated subpattern")) }
    }

    fn repetition(&mut self, text: &str) -> Result<(), Raised> {
        match self.last {
            Last::Item => {}
            // `fancy-regex` repeats no look-around; it does repeat a choice between one and what never matches.
            Last::Look => {
                self.out.text.truncate(self.out.text.len() - 1);
                self.out.text.push_str("|[^\\s\\S])");
            }
            Last::Repetition => return Err(error("multiple repeat")),
            Last::Nothing | Last::Position => return Err(error("nothing to repeat")),
        }
        self.push(text, Last::Repetition);
        if self.take('?') {
            self.out.text.push('?');
        } else if self.take('+') {
            self.out.text.push('+');
        }
        Ok(())
    }

    /// After `{`: a repetition, or nothing read if this is a brace like any other.
    fn braces(&mut self) -> Result<Option<String>, Raised> {
        let rest = self.rest();
        let Some(inner) = rest.find('}').map(|end| &rest[..end]) else { return Ok(None) };
        let (low, high) = inner.split_once(',').unwrap_or((inner, inner));
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if inner.is_empty() || !is_number(low) || !is_number(high) {
            return Ok(None);
        }
        let read = |text: &str| match text.parse::<u64>() {
            Ok(number) if number <= REPEAT_MAX => Ok(number),
            _ => Err(Raised::new("OverflowError", "the repetition number is too large")),
        };
        let low = if low.is_empty() { 0 } else { read(low)? };
        let repetition = if high.is_empty() { format!("{{{low},}}") } else { format!("{{{low},{}}}", read(high)?) };
        if !high.is_empty() && read(high)? < low {
            return Err(error("min repeat greater than max repeat"));
        }
        let length = inner.len();
        for _ in 0..=length {
            self.next();
        }
        Ok(Some(repetition))
    }

    /// After a backslash outside a class.
    fn escaped(&mut self) -> Result<(), Raised> {
        let c = self.next().ok_or_else(|| error("bad escape (end of pattern)"))?;
        match c {
            'A' => self.push(r"\A", Last::Position),
            'Z' => self.push(r"\z", Last::Position),
            'b' => self.push(r"\b", Last::Position),
            // Nowhere in an empty text.
            'B' => self.push(r"(?:(?!\A\z)\B)", Last::Position),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => self.push(category(c, self.flags.ascii), Last::Item),
            '1'..='9' => self.reference_or_octal(c)?,
            c => {
                let c = self.character(c)?;
                self.literal(c);
            }
        }
        Ok(())
    }

    /// `\N`, `\NN` a group, `\OOO` a character.
    fn reference_or_octal(&mut self, first: char) -> Result<(), Raised> {
        let mut digits = String::from(first);
        if let Some(second) = self.peek().filter(char::is_ascii_digit) {
            self.next();
            digits.push(second);
            let octal = |c: char| matches!(c, '0'..='7');
            if octal(first)
                && octal(second)
                && let Some(third) = self.peek().filter(|c| octal(*c))
            {
                self.next();
                digits.push(third);
                let c = octal_character(&digits)?;
                self.literal(c);
                return Ok(());
            }
        }
        let number: usize = digits.parse().map_err(|_| error("invalid group reference"))?;
        self.reference(number)
    }

    fn reference(&mut self, number: usize) -> Result<(), Raised> {
        if number == 0 || number > self.out.groups {
            return Err(error(format!("invalid group reference {number}")));
        }
        if self.open.iter().any(|group| group.number == Some(number)) {
            return Err(error("cannot refer to an open group"));
        }
        self.push(&format!(r"(?:\{number})"), Last::Item);
        Ok(())
    }

    /// After `(`.
    fn group(&mut self) -> Result<(), Raised> {
        if !self.take('?') {
            return self.open_capturing();
        }
        let c = self.next().ok_or_else(|| error("unexpected end of pattern"))?;
        match c {
            ':' => self.open("(?:", None),
            '>' => self.open("(?>", None),
            '=' => self.open_look("(?:(?="),
            '!' => self.open_look("(?:(?!"),
            '<' => match self.next() {
                Some('=') => self.open_look("(?:(?<="),
                Some('!') => self.open_look("(?:(?<!"),
                _ => Err(error("unknown extension ?<")),
            },
            '#' => {
                while let Some(c) = self.next() {
                    if c == ')' {
                        return Ok(());
                    }
                }
                Err(error("missing ), unterminated comment"))
            }
            'P' => match self.next() {
                Some('<') => {
                    let name = self.name('>')?;
                    if self.out.names.iter().any(|(known, _)| *known == name) {
                        return Err(error(format!("redefinition of group name '{name}'")));
                    }
                    self.out.names.push((name, self.out.groups + 1));
                    self.open_capturing()
                }
                Some('=') => {
                    let name = self.name(')')?;
                    let number = self.out.names.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
                    self.reference(number.ok_or_else(|| error(format!("unknown group name '{name}'")))?)
                }
                _ => Err(error("unknown extension ?P")),
            },
            '(' => {
                let condition = self.name_or_number(')')?;
                let names = &self.out.names;
                let number = match condition.parse::<usize>() {
                    Ok(number) => number,
                    Err(_) => names.iter().find(|(name, _)| *name == condition).map_or(0, |(_, number)| *number),
                };
                if number == 0 {
                    return Err(error("bad group number"));
                }
                self.asked = self.asked.max(number);
                self.open(&format!("(?({number})"), None)
            }
            c => self.inline_flags(c),
        }
    }

    fn open(&mut self, text: &str, number: Option<usize>) -> Result<(), Raised> {
        if self.open.len() >= NESTING_MAX {
            return Err(Raised::new("RecursionError", "the groups are nested too deep"));
        }
        self.open.push(Group { flags: self.flags, number, looks: false });
        self.push(text, Last::Nothing);
        Ok(())
    }

    /// A look-around, in a group of its own.
    fn open_look(&mut self, text: &str) -> Result<(), Raised> {
        self.open(text, None)?;
        if let Some(group) = self.open.last_mut() {
            group.looks = true;
        }
        Ok(())
    }

    fn open_capturing(&mut self) -> Result<(), Raised> {
        self.out.groups += 1;
        self.open("(", Some(self.out.groups))
    }

    fn name_or_number(&mut self, end: char) -> Result<String, Raised> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some(c) if c == end && !name.is_empty() => return Ok(name),
                Some(c) if c != end => name.push(c),
                _ => return Err(error("missing group name")),
            }
        }
    }

    fn name(&mut self, end: char) -> Result<String, Raised> {
        let name = self.name_or_number(end)?;
        let good = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(char::is_numeric);
        if good { Ok(name) } else { Err(error(format!("bad character in group name '{name}'"))) }
    }

    /// `(?aimsux)` for the whole, only at its start; `(?aimsux-imsx:…)` for a group. `c` is the first letter.
    fn inline_flags(&mut self, mut c: char) -> Result<(), Raised> {
        let mut flags = self.flags;
        let (mut on, mut off, mut clearing) = (String::new(), String::new(), false);
        loop {
            match c {
                'a' if !clearing => flags.ascii = true,
                'u' if !clearing => flags.ascii = false,
                'm' => flags.multi_line = !clearing,
                'x' => flags.verbose = !clearing,
                'i' | 's' => {}
                '-' if !clearing => clearing = true,
                'L' => return Err(error("bad inline flags: cannot use 'L' flag with a str pattern")),
                ')' if !clearing => {
                    if !self.nothing_yet {
                        return Err(error("global flags not at the start of the expression"));
                    }
                    self.flags = flags;
                    if !on.is_empty() {
                        self.out.text.extend(["(?", on.as_str(), ")"]);
                    }
                    return Ok(());
                }
                ':' => {
                    let dash = if off.is_empty() { "" } else { "-" };
                    self.open(&format!("(?{on}{dash}{off}:"), None)?;
                    self.flags = flags;
                    return Ok(());
                }
                c => return Err(error(format!("unknown flag or extension ?{c}"))),
            }
            if matches!(c, 'i' | 'm' | 's') {
                if clearing {
                    off.push(c);
                } else if !on.contains(c) {
                    on.push(c);
                }
            }
            c = self.next().ok_or_else(|| error("missing -, : or )"))?;
        }
    }
}
