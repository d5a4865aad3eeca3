//! Reads written options as values of the types of their rows, and complains about every value of another type.

use super::options::{self, Effect, Kind, Opt};
use super::oslo::{Entry, FileOptions};
use super::secret;
use crate::model::{Complaint, Place, Severity};
use std::path::PathBuf;
use std::time::Duration;

/// Reads options, and gathers the complaints about them.
///
/// Asking for an option that has no row is our own mistake: it is asserted in tests, and gives nothing otherwise.
pub(super) struct Values<'w> {
    file_options: &'w FileOptions,
    complaints: Vec<Complaint>,
    /// Sections whose options do nothing, and why.
    idle: Vec<(&'static str, &'static str)>,
}

impl<'w> Values<'w> {
    pub(super) fn new(file_options: &'w FileOptions) -> Self {
        Values { file_options, complaints: Vec::new(), idle: Vec::new() }
    }

    pub(super) fn into_complaints(self) -> Vec<Complaint> {
        self.complaints
    }

    /// From now on the options of this section do nothing, for this reason: whatever is wrong with them is a warning.
    pub(super) fn idle_section(&mut self, section: &'static str, why: &'static str) {
        self.idle.push((section, why));
    }

    /// What `read` gives, and the errors that it leads to, which are complained about only where it is used.
    pub(super) fn apart<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> (T, Vec<Complaint>) {
        let before = self.complaints.len();
        let value = read(self);
        let said = self.complaints.split_off(before);
        let (errors, warnings) = said.into_iter().partition(|complaint| complaint.severity == Severity::Error);
        self.complaints.extend::<Vec<_>>(warnings);
        (value, errors)
    }

    pub(super) fn complain(&mut self, complaint: Complaint) {
        self.complaints.push(complaint);
    }

    pub(super) fn file_options(&self) -> &'w FileOptions {
        self.file_options
    }

    /// Where an option is written; the file's place `configuration` where it is not.
    pub(super) fn place(&self, section: &str, name: &str) -> Place {
        let entry = row(section, name).and_then(|row| self.file_options.last(row.names()));
        entry.map_or_else(|| Place { file: "configuration".into(), line: 0 }, |entry| entry.place.clone())
    }

    pub(super) fn is_written(&self, section: &str, name: &str) -> bool {
        row(section, name).is_some_and(|row| self.file_options.last(row.names()).is_some())
    }

    /// The text of an option, or its default; `None` where both are empty.
    pub(super) fn text(&mut self, section: &str, name: &str) -> Option<String> {
        let row = row(section, name)?;
        let text = match self.file_options.last(row.names()) {
            Some(entry) => self.resolved(row, entry),
            None => self.default(row),
        };
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn path(&mut self, section: &str, name: &str) -> Option<PathBuf> {
        self.text(section, name).map(PathBuf::from)
    }

    pub(super) fn flag(&mut self, section: &str, name: &str) -> bool {
        self.parsed(section, name, parse_flag).unwrap_or_default()
    }

    pub(super) fn whole(&mut self, section: &str, name: &str) -> i64 {
        let Some(Kind::Whole { min, max }) = row(section, name).map(|row| row.kind) else { return 0 };
        self.parsed(section, name, |text| text.trim().parse().ok().filter(|n| (min..=max).contains(n))).unwrap_or(min)
    }

    pub(super) fn count(&mut self, section: &str, name: &str) -> usize {
        usize::try_from(self.whole(section, name)).unwrap_or_default()
    }

    /// A whole number for an option in which 0 stands for nothing.
    pub(super) fn some_whole(&mut self, section: &str, name: &str) -> Option<i64> {
        Some(self.whole(section, name)).filter(|n| *n > 0)
    }

    /// Seconds; `None` where nothing is written and there is no default.
    pub(super) fn some_seconds(&mut self, section: &str, name: &str) -> Option<Duration> {
        match row(section, name)?.kind {
            Kind::Number { min, max } => {
                let parse = |text: &str| text.trim().parse::<f64>().ok().filter(|n| (min..=max).contains(n));
                self.parsed(section, name, parse).map(Duration::from_secs_f64)
            }
            _ => Some(Duration::from_secs(self.whole(section, name).unsigned_abs())),
        }
    }

    pub(super) fn seconds(&mut self, section: &str, name: &str) -> Duration {
        self.some_seconds(section, name).unwrap_or_default()
    }

    pub(super) fn one_of(&mut self, section: &str, name: &str) -> Option<&'static str> {
        let Some(Kind::OneOf(words)) = row(section, name).map(|row| row.kind) else { return None };
        self.parsed(section, name, |text| words.iter().find(|word| **word == text).copied())
    }

    /// The items of a comma list.
    pub(super) fn list(&mut self, section: &str, name: &str) -> Vec<String> {
        let text = self.text(section, name).unwrap_or_default();
        let items = text.trim().trim_end_matches(',');
        if items.is_empty() { Vec::new() } else { items.split(',').map(|item| item.trim().to_owned()).collect() }
    }

    /// All values of a repeatable option with their places; empty values are left out, so that one empty value stands
    /// for none. `None` where nothing is written.
    pub(super) fn many(&mut self, section: &str, name: &str) -> Option<Vec<Entry>> {
        let row = row(section, name)?;
        let entries = self.file_options.all(row.names());
        let resolve = |e: &&Entry| Entry { text: self.resolved(row, e), place: e.place.clone() };
        let values: Vec<Entry> = entries.iter().map(resolve).filter(|e| !e.text.is_empty()).collect();
        (!entries.is_empty()).then_some(values)
    }

    /// All values of a repeatable option, or its default.
    pub(super) fn texts(&mut self, section: &str, name: &str) -> Vec<String> {
        match self.many(section, name) {
            Some(entries) => entries.into_iter().map(|entry| entry.text).collect(),
            None => row(section, name).map(|row| defaults(row).map(str::to_owned).collect()).unwrap_or_default(),
        }
    }

    /// Complains about a written value: `[section] name = "value": expected …`; a warning where the option does nothing
    /// anyhow.
    pub(super) fn expected(&mut self, section: &str, name: &str, what: &str) {
        let Some(row) = row(section, name) else { return };
        if let Some(entry) = self.file_options.last(row.names()) {
            self.wrong(row, entry, what);
        } else {
            let text = format!("[{section}] {name}: expected {what}");
            self.complain(Complaint::error(&self.place(section, name), text));
        }
    }

    /// The same for one value of a repeatable option.
    pub(super) fn wrong(&mut self, row: &Opt, entry: &Entry, what: &str) {
        let value = self.shown(row, entry);
        let option = format!("[{}] {}", row.section, row.name);
        let idle = self.idle.iter().find(|(section, _)| *section == row.section);
        let idle = idle.map(|(_, why)| format!("{why}; else, expected {what}"));
        let off = || Some(format!("{} is off; with it on, expected {what}", self.flags_off(row)?));
        let complaint = match idle.or_else(off) {
            None => Complaint::error(&entry.place, format!("{option} = {value}: expected {what}")),
            Some(why) => Complaint::warning(&entry.place, format!("{option} has no effect: {why}")),
        };
        self.complain(complaint);
    }

    /// Complains about a value that Ceilometer passes over: `[section] name = "value" has no effect: …`.
    pub(super) fn passed_over(&mut self, section: &str, name: &str, entry: &Entry, why: &str) {
        let Some(row) = row(section, name) else { return };
        let text = format!("[{section}] {name} = {} has no effect: {why}", self.shown(row, entry));
        self.complain(Complaint::warning(&entry.place, text));
    }

    /// The flags that are all off, so that the option does nothing. One that is no flag at all is not off.
    fn flags_off(&self, row: &Opt) -> Option<String> {
        let is_off = |(section, name): &(&str, &str)| {
            let Some(flag) = options::find(section, name) else { return false };
            let text = self.file_options.last(flag.names()).map(|entry| self.resolved(flag, entry));
            parse_flag(&text.filter(|t| !t.trim().is_empty()).unwrap_or_else(|| self.default(flag))) == Some(false)
        };
        if row.only_with.is_empty() || !row.only_with.iter().all(is_off) {
            return None;
        }
        let flags = row.only_with.iter().map(|(section, name)| format!("[{section}] {name}"));
        Some(flags.collect::<Vec<_>>().join(" and "))
    }

    /// A written value as it may be shown.
    fn shown(&self, row: &Opt, entry: &Entry) -> String {
        match row.kind {
            Kind::Secret | Kind::MultiSecret => "***".to_owned(),
            _ => format!("{:?}", secret::shown(&self.resolved(row, entry))),
        }
    }

    /// Names what is unknown, misplaced or does nothing.
    pub(super) fn check_all(&mut self) {
        let file_options = self.file_options;
        let credentials = self.credentials();
        let in_place = |section: &str| credentials.iter().any(|named| named == section);
        for (section, place, options) in file_options.sections().filter(|(section, ..)| !in_place(section)) {
            if let Some(meant) = options::meant_section(section, &options) {
                let shown = secret::shown(section);
                // Blanks are part of a name, and may be all that is wrong with it.
                let section = if shown == section.trim() { section } else { &shown };
                let text = format!("[{section}] is not known, and has no effect; did you mean [{meant}]?");
                self.complain(Complaint::warning(place, text));
            }
        }
        let mut named_sections: Vec<&str> = Vec::new();
        for (section, name, entries) in file_options.iter() {
            let Some(entry) = entries.last() else { continue };
            let option = format!("[{}] {}", in_capitals(section), secret::shown(name));
            let is_credential = in_place(section) && options::find_written(section, name).is_none();
            let section = if is_credential { options::CREDENTIALS } else { section };
            if let Some(row) = options::find_written(section, name) {
                if let [.., before, _] = entries
                    && !matches!(row.kind, Kind::Multi | Kind::MultiSecret)
                {
                    let text = format!("{option} is already written in line {}; this one wins", before.place.line);
                    self.complain(Complaint::warning(&entry.place, text));
                }
                if let Effect::None(why) = row.effect {
                    let text = format!("{option} has no effect: {why}{}", self.misfit(row, entry));
                    self.complain(Complaint::warning(&entry.place, text));
                }
            } else if let Some(foreign) = options::find_foreign(section, name) {
                if foreign.names != ["*"] {
                    let text = format!("{option} has no effect: {}", foreign.why);
                    self.complain(Complaint::warning(&entry.place, text));
                } else if !named_sections.contains(&section) {
                    named_sections.push(section);
                    let text = format!("[{section}] has no effect: {}", foreign.why);
                    self.complain(Complaint::warning(&entry.place, text));
                }
            } else if options::knows_section(section) {
                let text = format!("{option} is not known{}", hint(section, name));
                self.complain(Complaint::warning(&entry.place, text));
            }
        }
    }

    /// The sections that have the options of `[service_credentials]` too, in lower case.
    fn credentials(&self) -> Vec<String> {
        let mut sections = vec!["gnocchi".to_owned(), "zaqar".to_owned()];
        let named = |section: &String| {
            let row = options::credential("auth_section")?;
            let entry = self.file_options.last([(section.as_str(), row.name)].into_iter())?;
            Some(self.resolved_in(section, entry).trim().to_ascii_lowercase())
        };
        let first: Vec<String> = sections.iter().filter_map(named).collect();
        let second: Vec<String> = first.iter().chain([&options::CREDENTIALS.to_owned()]).filter_map(named).collect();
        sections.extend(first.into_iter().chain(second));
        sections
    }

    /// What an option without effect would have to be for Ceilometer, if it is not.
    fn misfit(&self, row: &Opt, entry: &Entry) -> String {
        let text = self.resolved(row, entry);
        let trimmed = text.trim();
        let fits = match row.kind {
            Kind::Flag => parse_flag(&text).is_some(),
            Kind::Whole { min, max } => trimmed.parse().is_ok_and(|n: i64| (min..=max).contains(&n)),
            Kind::Number { min, max } => trimmed.parse().is_ok_and(|n: f64| (min..=max).contains(&n)),
            Kind::OneOf(words) => words.contains(&text.as_str()),
            Kind::Text | Kind::Secret | Kind::List | Kind::Multi | Kind::MultiSecret => true,
        };
        if fits || trimmed.is_empty() {
            return String::new();
        }
        format!("; {} would be wrong: expected {}", self.shown(row, entry), expectation(row.kind))
    }

    /// A value of its type; the default's, with a complaint, where what is written is not of its type. An empty value
    /// counts as unwritten, as oslo.config has it for numbers.
    fn parsed<T>(&mut self, section: &str, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let row = row(section, name)?;
        if let Some(entry) = self.file_options.last(row.names()) {
            let text = self.resolved(row, entry);
            match parse(&text) {
                Some(value) => return Some(value),
                None if text.trim().is_empty() => {}
                None => self.wrong(row, entry, &expectation(row.kind)),
            }
        }
        parse(&self.default(row))
    }

    fn resolved(&self, row: &Opt, entry: &Entry) -> String {
        self.file_options.substituted(row.section, &entry.text, &|section, name| self.meant(section, name))
    }

    /// The same in a section that takes the place of the row's.
    pub(super) fn resolved_in(&self, section: &str, entry: &Entry) -> String {
        self.file_options.substituted(section, &entry.text, &|section, name| self.meant(section, name))
    }

    fn default(&self, row: &Opt) -> String {
        self.file_options.substituted(row.section, row.default, &|section, name| self.meant(section, name))
    }

    /// What an option is that another one refers to, where it is not written under its present name: what it is under a
    /// former one, else its default.
    fn meant(&self, section: &str, name: &str) -> Option<String> {
        let row = options::find(section, name)?;
        let value = self.file_options.last(row.names()).map(|entry| entry.text.clone());
        value.or_else(|| Some(unwritten(name).unwrap_or(row.default).to_owned()))
    }
}

/// The row of an option that the settings ask for.
/// What the options that named the broker before `transport_url` mean where they are not written and another option refers to them: `$rabbit_host:$rabbit_port` stands in the
/// sample files of then.
fn unwritten(name: &str) -> Option<&'static str> {
    let meant = [
        ("rabbit_host", "localhost"),
        ("rabbit_port", "5672"),
        ("rabbit_userid", "guest"),
        ("rabbit_virtual_host", "/"),
    ];
    meant.into_iter().find(|(known, _)| *known == name).map(|(_, meant)| meant)
}

fn row(section: &str, name: &str) -> Option<&'static Opt> {
    let row = options::find(section, name);
    debug_assert!(row.is_some(), "[{section}] {name} has no row");
    row
}

/// The separate values of a default.
pub(super) fn defaults(row: &Opt) -> impl Iterator<Item = &'static str> + use<> {
    row.default.split(',').filter(|value| !value.is_empty())
}

fn in_capitals(section: &str) -> &str {
    if section == "default" { "DEFAULT" } else { section }
}

/// What may be meant by an option that its section does not know: one of another section, or one with a name near to
/// it.
fn hint(section: &str, name: &str) -> String {
    let told = |places: Vec<(&str, &str)>| {
        let places: Vec<String> = places.iter().map(|(section, name)| format!("[{section}] {name}")).collect();
        places.join(" or ")
    };
    let exact = options::elsewhere(section, name, false);
    if !exact.is_empty() {
        return format!(" in this section; did you mean {}?", told(exact));
    }
    if let Some(near) = options::nearest(section, name) {
        return format!("; did you mean {near}?");
    }
    match options::elsewhere(section, name, true) {
        places if places.is_empty() => String::new(),
        places => format!("; did you mean {}?", told(places)),
    }
}

pub(super) fn parse_flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Some(true),
        "false" | "0" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// What an option of this kind wants, as the end of the sentence `expected …`.
pub(super) fn expectation(kind: Kind) -> String {
    match kind {
        Kind::Flag => "true or false".to_owned(),
        Kind::Whole { min, max } if max == i64::from(i32::MAX) => format!("a whole number of at least {min}"),
        Kind::Whole { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Number { min, max } => format!("a number from {min} to {max}"),
        Kind::OneOf(words) => format!("one of {}", words.join(", ")),
        Kind::Text | Kind::Secret => "text".to_owned(),
        Kind::List => "values separated by commas".to_owned(),
        Kind::Multi | Kind::MultiSecret => "one value a line, the option may be repeated".to_owned(),
    }
}
