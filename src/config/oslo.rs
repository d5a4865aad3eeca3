//! The INI grammar of oslo.config: what was written in which file, in which line.
//!
//! Compared with the real parser: a value goes on in indented lines (joined by line ends) until a blank line; one pair
//! of quotes around a value goes; a repeated option keeps all its values, of all files, and whoever wants one takes the
//! last; within one file the current name of an option wins over its old names, a later file over an earlier one.
//!
//! Different on purpose: section names are compared without case, and a line that cannot be read does not hide the
//! complaints about the lines after it.

use crate::model::{Complaint, Place};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// How deep `$name` may lead to further `$name`s.
const SUBSTITUTION_DEPTH_MAX: usize = 8;
/// The longest value that substitution makes, in bytes.
const SUBSTITUTED_BYTES_MAX: usize = 65_536;

/// A value and where its line begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The text after `=`, trimmed, without one pair of quotes.
    pub text: String,
    /// Its line.
    pub place: Place,
}

/// One file: section, lower case → what stands in it.
type Sections = BTreeMap<String, Section>;

/// A section of one file.
#[derive(Debug, Clone)]
struct Section {
    /// Where it first begins.
    place: Place,
    /// Option → its values in order.
    options: BTreeMap<String, Vec<Entry>>,
}

/// Every option that is given, file by file; the environment and the query of a URL are put over them. There are passwords in it, so `Debug` shows no values.
#[derive(Clone, Default)]
pub struct FileOptions {
    files: Vec<Sections>,
}

impl fmt::Debug for FileOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(section, option, _)| (section, option))).finish()
    }
}

impl FileOptions {
    /// Adds a file, which wins over those before it. The complaints are about lines that cannot be read.
    pub fn add(&mut self, file: &str, text: &str) -> Vec<Complaint> {
        let mut reading = Reading {
            file: file.into(),
            sections: Sections::new(),
            section: None,
            skipping: false,
            complaints: Vec::new(),
        };
        reading.read(text);
        self.files.push(reading.sections);
        reading.complaints
    }

    /// The same with one more section on top: the query of a URL.
    #[must_use]
    pub fn with(&self, section: &str, options: impl IntoIterator<Item = (String, Entry)>) -> FileOptions {
        let mut on_top: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for (name, entry) in options {
            on_top.entry(name).or_default().push(entry);
        }
        let mut more = self.clone();
        let place = Place { file: "query".into(), line: 0 };
        more.files.push(Sections::from([(section.to_ascii_lowercase(), Section { place, options: on_top })]));
        more
    }

    /// Forgets an option under all of its names, the present one first, and gives it this one value.
    pub(super) fn replace<'a>(&mut self, names: impl Iterator<Item = (&'a str, &'a str)> + Clone, entry: Entry) {
        for file in &mut self.files {
            for (section, option) in names.clone() {
                if let Some(section) = file.get_mut(&section.to_ascii_lowercase()) {
                    section.options.remove(option);
                }
            }
        }
        let Some((section, option)) = names.clone().next() else { return };
        let place = entry.place.clone();
        let options = BTreeMap::from([(option.to_owned(), vec![entry])]);
        self.files.push(Sections::from([(section.to_ascii_lowercase(), Section { place, options })]));
    }

    /// The value of an option under any of its names (current one first): the last one written in the last file that
    /// has any.
    pub fn last<'a>(&self, names: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Option<&Entry> {
        self.files.iter().rev().find_map(|file| names.clone().find_map(|name| values(file, name)?.last()))
    }

    /// All values of an option under any of its names, files in order; within one file old names come first.
    pub fn all<'a>(&self, names: impl DoubleEndedIterator<Item = (&'a str, &'a str)> + Clone) -> Vec<&Entry> {
        let of_file = |file| names.clone().rev().filter_map(move |name| values(file, name)).flatten();
        self.files.iter().flat_map(of_file).collect()
    }

    /// Every section, option and its values, in the order of names, file by file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &[Entry])> {
        self.files.iter().flatten().flat_map(|(name, section)| {
            section.options.iter().map(|(option, entries)| (name.as_str(), option.as_str(), entries.as_slice()))
        })
    }

    /// Every section of every file, where it first begins there, and its options.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Place, Vec<&str>)> {
        self.files.iter().flatten().map(|(name, section)| {
            (name.as_str(), &section.place, section.options.keys().map(String::as_str).collect())
        })
    }

    /// Replaces `$name`, `${name}`, `${section.name}` by the values of those options; `$$` and `\$` stand for `$`, and
    /// what names no option stays. `default` gives what an option is when nothing is written.
    pub fn substituted(&self, section: &str, text: &str, default: &dyn Fn(&str, &str) -> Option<String>) -> String {
        self.substitute(section, text, default, 0)
    }

    fn substitute(
        &self,
        section: &str,
        text: &str,
        default: &dyn Fn(&str, &str) -> Option<String>,
        depth: usize,
    ) -> String {
        let text = text.replace("\\$", "$$");
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let (name, taken) = reference(&rest[at..]);
            let value = match name {
                Some("$") => Some("$".to_owned()),
                Some(name) if depth < SUBSTITUTION_DEPTH_MAX && out.len() < SUBSTITUTED_BYTES_MAX => self
                    .referred(section, name, default)
                    .map(|(section, v)| self.substitute(&section, &v, default, depth + 1)),
                _ => None,
            };
            match value {
                Some(value) => out.push_str(&value),
                None => out.push_str(&rest[at..at + taken]),
            }
            rest = &rest[at + taken..];
        }
        out.push_str(rest);
        out
    }

    /// The section and text of the option that a `$name` in a section means: of its own section, else of `[DEFAULT]`.
    fn referred(
        &self,
        section: &str,
        name: &str,
        default: &dyn Fn(&str, &str) -> Option<String>,
    ) -> Option<(String, String)> {
        let own = [section, "DEFAULT"].map(|section| (section, name));
        let other = name.split_once('.');
        own.into_iter().chain(other).find_map(|(section, name)| {
            let value = self.last([(section, name)].into_iter()).map(|entry| entry.text.clone());
            value.or_else(|| default(section, name)).map(|text| (section.to_owned(), text))
        })
    }
}

fn values<'f>(file: &'f Sections, (section, option): (&str, &str)) -> Option<&'f Vec<Entry>> {
    file.get(&section.to_ascii_lowercase())?.options.get(option)
}

/// What a `$` begins: the name (`$` itself for an escaped one) and how many bytes it takes.
fn reference(text: &str) -> (Option<&str>, usize) {
    let after = &text[1..];
    if after.starts_with('$') {
        return (Some("$"), 2);
    }
    let (body, braces) = match after.strip_prefix('{') {
        Some(body) => (body, true),
        None => (after, false),
    };
    let first = body.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = body.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(body.len());
    match (first, braces) {
        (true, false) => (Some(&body[..end]), 1 + end),
        (true, true) if body[end..].starts_with('}') => (Some(&body[..end]), 3 + end),
        _ => (None, 1),
    }
}

struct Reading {
    file: Arc<str>,
    sections: Sections,
    section: Option<String>,
    /// Whether the section that these lines belong to could not be read.
    skipping: bool,
    complaints: Vec<Complaint>,
}

/// An assignment whose continuation lines may still come.
struct Pending {
    key: String,
    lines: Vec<String>,
    place: Place,
}

impl Reading {
    fn read(&mut self, text: &str) {
        let mut pending: Option<Pending> = None;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (n, line) in text.lines().enumerate() {
            let place = Place { file: self.file.clone(), line: n + 1 };
            let line = line.trim_end();
            if line.starts_with([' ', '\t']) {
                match &mut pending {
                    Some(pending) => pending.lines.push(line.trim_start().to_owned()),
                    None => self.wrong(&place, "an indented line goes on with a value, and there is none before it"),
                }
                continue;
            }
            self.assign(pending.take());
            match line.as_bytes().first() {
                None | Some(b'#' | b';') => {}
                Some(b'[') => self.begin(line, &place),
                Some(_) => pending = self.split(line, place),
            }
        }
        self.assign(pending);
    }

    fn wrong(&mut self, place: &Place, text: &str) {
        self.complaints.push(Complaint::error(place, text));
    }

    fn begin(&mut self, line: &str, place: &Place) {
        self.section = None;
        self.skipping = true;
        match line[1..].strip_suffix(']') {
            Some("") => self.wrong(place, "a section needs a name: [name]"),
            Some(name) => {
                let name = name.to_ascii_lowercase();
                let new = || Section { place: place.clone(), options: BTreeMap::new() };
                self.sections.entry(name.clone()).or_insert_with(new);
                self.section = Some(name);
            }
            None => self.wrong(place, "a section ends with `]`: [name]"),
        }
    }

    fn split(&mut self, line: &str, place: Place) -> Option<Pending> {
        let Some(at) = line.find([':', '=']) else {
            self.wrong(&place, "expected `option = value`, [section] or a # comment");
            return None;
        };
        let key = line[..at].trim();
        if key.is_empty() {
            self.wrong(&place, "expected the name of an option before `=`");
            return None;
        }
        let value = line[at + 1..].trim();
        let quoted = ['"', '\''].into_iter().find(|q| value.starts_with(*q) && value.ends_with(*q));
        // A lone quote is both ends of itself, and becomes nothing.
        let value = if quoted.is_some() { value.get(1..value.len() - 1).unwrap_or_default() } else { value };
        Some(Pending { key: key.to_owned(), lines: vec![value.to_owned()], place })
    }

    fn assign(&mut self, pending: Option<Pending>) {
        let Some(pending) = pending else { return };
        let Some(section) = self.section.as_ref().and_then(|name| self.sections.get_mut(name)) else {
            if self.skipping {
                return;
            }
            self.wrong(&pending.place, "an option needs a section before it: [DEFAULT], for example");
            return;
        };
        let entry = Entry { text: pending.lines.join("\n"), place: pending.place };
        section.options.entry(pending.key).or_default().push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn file_options(texts: &[&str]) -> FileOptions {
        let mut file_options = FileOptions::default();
        for (n, text) in texts.iter().enumerate() {
            assert_eq!(file_options.add(&format!("{n}.conf"), text), vec![]);
        }
        file_options
    }

    /// Compared with oslo.config 9: the value that `StrOpt` gives.
    #[rstest]
    #[case::plain("o = a b ", "a b")]
    #[case::colon("o: a", "a")]
    #[case::whichever_comes_first("o = http://x", "http://x")]
    #[case::continued("o = a\n   b\n\tc", "a\nb\nc")]
    #[case::a_comment_in_a_continuation_is_text("o = a\n  # b", "a\n# b")]
    #[case::double_quotes("o = \" a \"", " a ")]
    #[case::single_quotes("o = 'a'", "a")]
    #[case::one_quote("o = \"", "")]
    #[case::quote_inside("o = \"a", "\"a")]
    #[case::no_comment_after_a_value("o = a # b", "a # b")]
    #[case::repeated("o = a\no = b", "b")]
    #[case::empty("o =", "")]
    fn a_value_is_written_so(#[case] lines: &str, #[case] value: &str) {
        let file_options = file_options(&[&format!("[s]\n{lines}\n")]);
        assert_eq!(file_options.last([("s", "o")].into_iter()).map(|e| e.text.as_str()), Some(value));
    }

    #[test]
    fn several_files_and_old_names() {
        let file_options = file_options(&["[s]\no = 1\no = 2\nold = 0\n", "[S]\nold = 3\n"]);
        let names = [("s", "o"), ("s", "old")].into_iter();
        assert_eq!(
            file_options.last(names.clone()).map(|e| e.text.as_str()),
            Some("3"),
            "a later file wins by any name"
        );
        let all: Vec<_> = file_options.all(names).iter().map(|e| format!("{}@{}", e.text, e.place)).collect();
        assert_eq!(all, ["0@0.conf:4", "1@0.conf:2", "2@0.conf:3", "3@1.conf:2"]);
    }

    #[rstest]
    #[case("$host:5672", "h:5672")]
    #[case("${host}x", "hx")]
    #[case("${other.port}", "1")]
    #[case("$$host \\$host", "$host $host")]
    #[case("$unknown ${ $", "$unknown ${ $")]
    #[case("$far", "h!")]
    #[case("$own $fallback", "mine d")]
    fn a_value_names_other_options(#[case] text: &str, #[case] value: &str) {
        let file_options = file_options(&[
            "[DEFAULT]\nhost = h\nfar = ${other.near}\n[other]\nport = 1\nnear = $host!\n[s]\nown = mine\n",
        ]);
        let default = |_: &str, name: &str| (name == "fallback").then(|| "d".to_owned());
        assert_eq!(file_options.substituted("s", text, &default), value);
    }

    #[test]
    fn a_value_names_itself() {
        let file_options = file_options(&["[s]\na = $b$b\nb = $a$a\n"]);
        let out = file_options.substituted("s", "$a", &|_, _| None);
        assert!(out.len() <= 2 * SUBSTITUTED_BYTES_MAX, "{}", out.len());
    }

    #[test]
    fn lines_that_cannot_be_read_are_all_named() {
        let complaints = FileOptions::default().add("c", "a = 1\n[x\n[]\n[s]\nfoo\n  more\n= 1\nok = 1\n\n  late\n");
        let lines: Vec<_> = complaints.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "c:1: an option needs a section before it: [DEFAULT], for example",
                "c:2: a section ends with `]`: [name]",
                "c:3: a section needs a name: [name]",
                "c:5: expected `option = value`, [section] or a # comment",
                "c:6: an indented line goes on with a value, and there is none before it",
                "c:7: expected the name of an option before `=`",
                "c:10: an indented line goes on with a value, and there is none before it",
            ]
        );
    }
}
