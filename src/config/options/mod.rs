//! The options of `ceilometer.conf`: each is one row with its names, type, default, unit and meaning.
//!
//! The sample file and `docs/options.md` are printed from the rows ([`print`]); a test compares them.
//!
//! Never here: what a value means for the agent (`meaning.rs`).

mod credentials;
mod foreign;
mod messaging;
mod nephoscope;
mod notification;
pub mod print;
mod repairs;
mod sections;

pub use credentials::{CREDENTIALS, credential};
pub use sections::{belongs_to_others, meant_section};

/// The flag that makes a group of several agents.
const PARTITIONING: &[(&str, &str)] = &[("notification", "workload_partitioning")];

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// Section as it is written.
    pub section: &'static str,
    /// Its current name.
    pub name: &'static str,
    /// Former `(section, name)`s, which still work.
    pub old: &'static [(&'static str, &'static str)],
    /// What may be written.
    pub kind: Kind,
    /// What holds where nothing is written; `""` is nothing. Several values are separated by commas.
    pub default: &'static str,
    /// Unit of a number; `""` if it has none.
    pub unit: &'static str,
    /// Its meaning: a noun phrase, then its effect, without the final stop.
    pub what: &'static str,
    /// Whether it does anything.
    pub effect: Effect,
    /// Flags, as `(section, name)`: only while one of them is on it does anything. None: always.
    pub only_with: &'static [(&'static str, &'static str)],
}

/// What may be written for an option.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text that is never printed.
    Secret,
    /// A boolean of oslo.config.
    Flag,
    /// A whole number within bounds, both included.
    Whole {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A number within bounds, both included.
    Number {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// Several values, separated by commas.
    List,
    /// Several values, one line each.
    Multi,
    /// Several values, one line each, never printed.
    MultiSecret,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// Whether an option does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does what it says.
    Honoured,
    /// It does nothing, for this reason. Named at start if it is written.
    None(&'static str),
}

/// Options that other programs read from the same file, or whose time is over: named at start if written.
#[derive(Debug, Clone, Copy)]
pub struct Foreign {
    /// Their section.
    pub section: &'static str,
    /// Their names; `*` stands for whatever is written in the section.
    pub names: &'static [&'static str],
    /// Why they have no effect here.
    pub why: &'static str,
}

/// The shortest part of a name, in bytes, by which the whole is found: `ssl_ca` of `ssl_ca_file`.
const PART_MIN: usize = 6;
/// The largest whole number of options that set no bound of their own.
const WHOLE_MAX: i64 = i32::MAX as i64;
/// The largest number of seconds and the like: a year.
const NUMBER_MAX: f64 = 31_536_000.0;

const fn row(section: &'static str, name: &'static str, kind: Kind, default: &'static str, what: &'static str) -> Opt {
    Opt { section, name, old: &[], kind, default, unit: "", what, effect: Effect::Honoured, only_with: &[] }
}

const fn text(section: &'static str, name: &'static str, default: &'static str, what: &'static str) -> Opt {
    row(section, name, Kind::Text, default, what)
}

const fn secret(section: &'static str, name: &'static str, default: &'static str, what: &'static str) -> Opt {
    row(section, name, Kind::Secret, default, what)
}

const fn flag(section: &'static str, name: &'static str, default: &'static str, what: &'static str) -> Opt {
    row(section, name, Kind::Flag, default, what)
}

const fn whole(section: &'static str, name: &'static str, min: i64, default: &'static str, what: &'static str) -> Opt {
    row(section, name, Kind::Whole { min, max: WHOLE_MAX }, default, what)
}

const fn number(section: &'static str, name: &'static str, default: &'static str, what: &'static str) -> Opt {
    row(section, name, Kind::Number { min: 0.0, max: NUMBER_MAX }, default, what)
}

const fn list(section: &'static str, name: &'static str, default: &'static str, what: &'static str) -> Opt {
    row(section, name, Kind::List, default, what)
}

const fn multi(section: &'static str, name: &'static str, default: &'static str, what: &'static str) -> Opt {
    row(section, name, Kind::Multi, default, what)
}

const fn one_of(
    section: &'static str,
    name: &'static str,
    words: &'static [&'static str],
    default: &'static str,
    what: &'static str,
) -> Opt {
    row(section, name, Kind::OneOf(words), default, what)
}

impl Opt {
    const fn old(mut self, old: &'static [(&'static str, &'static str)]) -> Opt {
        self.old = old;
        self
    }

    const fn unit(mut self, unit: &'static str) -> Opt {
        self.unit = unit;
        self
    }

    const fn at_most(mut self, most: i64) -> Opt {
        if let Kind::Whole { min, .. } = self.kind {
            self.kind = Kind::Whole { min, max: most };
        }
        self
    }

    const fn seconds(self) -> Opt {
        self.unit("seconds")
    }

    const fn without_effect(mut self, why: &'static str) -> Opt {
        self.effect = Effect::None(why);
        self
    }

    const fn only_with(mut self, flags: &'static [(&'static str, &'static str)]) -> Opt {
        self.only_with = flags;
        self
    }

    /// The current name and the former ones, as `(section, name)`.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = (&'static str, &'static str)> + Clone {
        std::iter::once((self.section, self.name)).chain(self.old.iter().copied())
    }
}

/// All rows, in the order in which they are printed.
pub fn rows() -> impl Iterator<Item = &'static Opt> {
    [nephoscope::ROWS, repairs::ROWS, notification::ROWS, credentials::ROWS, messaging::ROWS].into_iter().flatten()
}

/// All options that are other programs', or gone.
pub fn foreign() -> impl Iterator<Item = &'static Foreign> {
    foreign::ROWS.iter()
}

/// The row of an option by its current name.
pub fn find(section: &str, name: &str) -> Option<&'static Opt> {
    rows().find(|row| row.section.eq_ignore_ascii_case(section) && row.name == name)
}

/// The row of an option by any of its names.
pub fn find_written(section: &str, name: &str) -> Option<&'static Opt> {
    let is = |(s, n): (&str, &str)| s.eq_ignore_ascii_case(section) && n == name;
    find(section, name).or_else(|| rows().find(|row| row.names().any(is)))
}

/// Why an option of another program, or of another time, has no effect here.
pub fn find_foreign(section: &str, name: &str) -> Option<&'static Foreign> {
    foreign().find(|f| f.section.eq_ignore_ascii_case(section) && f.names.iter().any(|n| *n == name || *n == "*"))
}

/// Whether any row has this section.
pub fn knows_section(section: &str) -> bool {
    let is = |s: &str| s.eq_ignore_ascii_case(section);
    rows().any(|row| row.names().any(|(s, _)| is(s))) || foreign().any(|f| is(f.section))
}

/// The option of a section whose name is nearest to what was written, if one is near enough to be meant.
pub fn nearest(section: &str, name: &str) -> Option<&'static str> {
    let name = &*name.to_ascii_lowercase().replace('-', "_").replace("vhost", "virtual_host");
    let part = |known: &&str| {
        let rest = known.strip_prefix(name).and_then(|rest| rest.strip_prefix('_'));
        name == *known || rest.or_else(|| known.strip_suffix(name)?.strip_suffix('_')).is_some()
    };
    let is_long = name.len() >= PART_MIN && name.contains('_');
    if let Some(known) = known_names(section).filter(part).min_by_key(|known| known.len())
        && (is_long || known == name)
    {
        return Some(known);
    }
    let (distance, near) = known_names(section).map(|known| (distance(known, name), known)).min()?;
    (distance <= 1 + name.len() / 5).then_some(near)
}

/// Where an option with this name would do something, or at least is known, as `(section, name)`; with `nearly`, one
/// with a name near to it.
pub fn elsewhere(section: &str, name: &str, nearly: bool) -> Vec<(&'static str, &'static str)> {
    let fits = |known: &str| if nearly { distance(known, name) <= 1 + name.len() / 8 } else { known == name };
    let other = |s: &str| !s.eq_ignore_ascii_case(section);
    let honoured = |row: &&Opt| row.effect == Effect::Honoured && other(row.section) && fits(row.name);
    let mut places: Vec<_> = rows().filter(honoured).map(|row| (row.section, row.name)).collect();
    if places.is_empty() {
        let all = rows().flat_map(Opt::names).chain(foreign().flat_map(|f| f.names.iter().map(|n| (f.section, *n))));
        places.extend(all.filter(|(s, n)| other(s) && *n != "*" && fits(n)));
    }
    places
}

/// Every name that an option of a section has or had.
fn known_names(section: &str) -> impl Iterator<Item = &'static str> {
    let rows = rows().flat_map(Opt::names).filter(move |(s, _)| s.eq_ignore_ascii_case(section)).map(|(_, name)| name);
    let others = foreign().filter(move |f| f.section.eq_ignore_ascii_case(section)).flat_map(|f| f.names);
    rows.chain(others.copied().filter(|name| *name != "*"))
}

/// Edits between two names: insertions, deletions, replacements and exchanges of neighbours, one each.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = rows[i][j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_name_belongs_to_one_row() {
        let mut seen = BTreeSet::new();
        for name in rows().flat_map(Opt::names) {
            assert!(seen.insert(name), "{name:?} is in two rows");
        }
        for f in foreign() {
            for name in f.names {
                assert!(seen.insert((f.section, name)), "[{}] {name} is in two rows", f.section);
            }
        }
    }

    #[test]
    fn a_name_is_misspelt() {
        assert_eq!(nearest("notification", "bacth_size"), Some("batch_size"));
        assert_eq!(nearest("nephoscope", "listn"), Some("listen"));
        assert_eq!(nearest("notification", "colour"), None);
        assert_eq!(nearest("DEFAULT", "Transport_URL"), Some("transport_url"));
        assert_eq!(nearest("DEFAULT", "pipeline_cfg"), Some("pipeline_cfg_file"));
        let rabbit = |name| nearest("oslo_messaging_rabbit", name);
        assert_eq!(rabbit("rabbit_vhost"), Some("rabbit_virtual_host"));
        assert_eq!(rabbit("use_ssl"), Some("rabbit_use_ssl"));
        assert_eq!(rabbit("durable_queues"), Some("amqp_durable_queues"));
        assert_eq!(rabbit("ssl_ca"), Some("ssl_ca_file"));
    }

    #[test]
    fn a_name_stands_in_the_wrong_section() {
        assert_eq!(elsewhere("DEFAULT", "workload_partitioning", false), [("notification", "workload_partitioning")]);
        assert_eq!(elsewhere("DEFAULT", "backend_ulr", true), [("coordination", "backend_url")]);
        assert_eq!(elsewhere("notification", "topics", false), [("oslo_messaging_notifications", "topics")]);
        assert_eq!(elsewhere("DEFAULT", "colour", true), []);
    }
}
