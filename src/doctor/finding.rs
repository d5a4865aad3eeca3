//! What a look found: a row of the table of findings, where, and what exactly.

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// An agent cannot work, or data are lost.
    Error,
    /// Something that an operator should correct, or know of before an agent runs.
    Warning,
    /// Worth knowing; nothing has to be done.
    Note,
}

impl Severity {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// A row of the table of findings.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name: `area.thing` or `area.thing.state`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it means, in sentences.
    pub meaning: &'static str,
    /// The command that mends it, with words in capitals for what a finding fills in; or what to do, where no command can.
    pub mend: &'static str,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad it is: findings are sorted by it first.
    pub severity: Severity,
    /// The row of the table.
    pub id: &'static str,
    /// Where it is: a server, a queue, a publisher.
    pub object: String,
    /// What exactly was found; servers' words may stand in it.
    pub found: String,
    /// What it means.
    pub meaning: &'static str,
    /// The command that mends it, or what to do.
    pub mend: String,
}

impl Finding {
    /// A finding whose command has nothing to be filled in.
    pub fn new(kind: &'static Kind, object: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding {
            severity: kind.severity,
            id: kind.id,
            object: object.into(),
            found: found.into(),
            meaning: kind.meaning,
            mend: kind.mend.to_owned(),
        }
    }

    /// The same with these words of the command filled in: `("VHOST", "/")`.
    #[must_use]
    pub fn filled(mut self, words: &[(&str, &str)]) -> Finding {
        self.mend = filled(&self.mend, words);
        self
    }
}

/// A text in which each of these words is replaced; what came in is not looked at again.
fn filled(text: &str, words: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let next = words.iter().filter_map(|(word, value)| Some((rest.find(word)?, word.len(), *value)));
        let Some((at, length, value)) = next.min_by_key(|(at, length, _)| (*at, usize::MAX - length)) else {
            out.push_str(rest);
            return out;
        };
        out.push_str(&rest[..at]);
        out.push_str(value);
        rest = &rest[at + length..];
    }
}

/// Everything that was found, worst first, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// How many are notes.
    pub notes: usize,
    /// All of them.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Of findings in any order.
    pub fn of(mut findings: Vec<Finding>) -> Report {
        findings.sort();
        findings.dedup();
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let [errors, warnings, notes] = [Severity::Error, Severity::Warning, Severity::Note].map(count);
        Report { errors, warnings, notes, findings }
    }

    /// How bad the worst is; nothing where nothing was found.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.first().map(|finding| finding.severity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind =
        Kind { id: "a.b", severity: Severity::Note, meaning: "It is so.", mend: "do USER on VHOST; USER" };

    #[test]
    fn what_is_filled_in_is_not_filled_in_again() {
        let finding = Finding::new(&KIND, "x", "y").filled(&[("VHOST", "/"), ("USER", "VHOST")]);
        assert_eq!(finding.mend, "do VHOST on /; VHOST");
    }

    #[test]
    fn the_worst_is_first_and_everything_is_there_once() {
        const WORSE: Kind = Kind { id: "z", severity: Severity::Error, ..KIND };
        let finding = |kind| Finding::new(kind, "x", "y");
        let report = Report::of(vec![finding(&KIND), finding(&WORSE), finding(&KIND)]);
        assert_eq!((report.errors, report.warnings, report.notes), (1, 0, 1));
        assert_eq!(report.worst(), Some(Severity::Error));
    }
}
