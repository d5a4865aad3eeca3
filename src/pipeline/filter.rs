//! The `meters` or `events` of a source: which names it takes (Ceilometer reference §5.2).

use crate::model::{Complaint, Data, Glob, Node, Value};

/// Patterns of a source. `!` in front excludes; patterns are globs of the whole name, with case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameFilter {
    included: Vec<Glob>,
    excluded: Vec<Glob>,
    excludes_all: bool,
}

impl NameFilter {
    /// A filter of patterns, checked as Ceilometer checks them: by their first characters alone. The error says what
    /// is wrong with the list.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<NameFilter, String> {
        let patterns = || patterns.iter().map(AsRef::as_ref);
        let plain = patterns().find(|p| !p.starts_with(['!', '*']));
        let negated = patterns().find(|p| p.starts_with('!'));
        if patterns().next().is_none() {
            return Err("expected at least one name or pattern".to_owned());
        }
        if patterns().any(str::is_empty) {
            return Err("an empty name, which nothing has; remove it".to_owned());
        }
        if let (Some(plain), Some(negated)) = (plain, negated) {
            return Err(format!("both included and excluded names, {plain:?} and {negated:?}; remove one kind"));
        }
        if let (Some(plain), true) = (plain, patterns().any(|p| p == "*")) {
            return Err(format!("{plain:?} beside \"*\", which takes everything; remove one of them"));
        }
        let is_all = |pattern: &str| !pattern.is_empty() && pattern.bytes().all(|b| b == b'*');
        let excludes_all = patterns().filter_map(|p| p.strip_prefix('!')).any(is_all);
        let excluded = patterns().filter_map(|p| p.strip_prefix('!')).map(Glob::new).collect();
        let included = patterns().filter(|p| !p.starts_with('!')).map(Glob::new).collect();
        Ok(NameFilter { included, excluded, excludes_all })
    }

    /// A filter as it is written: a list of strings. A string alone counts letter by letter, as in Ceilometer; what
    /// that is not likely to be meant is a warning.
    pub(crate) fn read(node: &Node, warnings: &mut Vec<Complaint>) -> Result<NameFilter, Vec<Complaint>> {
        let patterns: Vec<String> = match &node.data {
            Data::List(items) => {
                let named = |item: &Node| {
                    let wrong =
                        || format!("expected a name or pattern, this is {}; put it in quotes", item.described());
                    item.as_str().map(str::to_owned).ok_or_else(|| Complaint::error(&item.place, wrong()))
                };
                let strings = items.iter().map(named);
                let (strings, wrong): (Vec<_>, Vec<_>) = strings.partition(Result::is_ok);
                if !wrong.is_empty() {
                    return Err(wrong.into_iter().filter_map(Result::err).collect());
                }
                strings.into_iter().flatten().collect()
            }
            Data::Scalar(Value::Str(text)) => {
                if text.chars().count() > 1 {
                    let text = format!(
                        "expected a list of names or patterns, this is {}: it is read letter by letter and takes no such \
                         name; write [{text:?}]",
                        node.described()
                    );
                    warnings.push(Complaint::warning(&node.place, text));
                }
                text.chars().map(String::from).collect()
            }
            _ => {
                let text = format!("expected a list of names or patterns, this is {}", node.described());
                return Err(vec![Complaint::error(&node.place, text)]);
            }
        };
        NameFilter::new(&patterns).map_err(|why| vec![Complaint::error(&node.place, why)])
    }

    /// Whether it excludes every name: `!*`.
    pub fn takes_nothing(&self) -> bool {
        self.excludes_all
    }

    /// Whether a name is taken: not by any exclusion, and by an inclusion if there are some.
    pub fn takes(&self, name: &str) -> bool {
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(name));
        !any(&self.excluded) && (self.included.is_empty() || any(&self.included))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&["!cpu"], "cpu", false)]
    #[case(&["!cpu"], "disk", true)]
    #[case(&["*.size", "!image*"], "image.size", false)]
    #[case(&["*", "*.size"], "cpu", true)]
    fn a_name_is_taken_or_not(#[case] patterns: &[&str], #[case] name: &str, #[case] taken: bool) {
        assert_eq!(NameFilter::new(patterns).map(|filter| filter.takes(name)), Ok(taken));
    }

    #[rstest]
    #[case(&[], "expected at least one name or pattern")]
    #[case(&["*.size", ""], "an empty name, which nothing has; remove it")]
    #[case(&["disk.*", "!disk.read"], "both included and excluded names, \"disk.*\" and \"!disk.read\"; remove one kind")]
    #[case(&["*", "cpu"], "\"cpu\" beside \"*\", which takes everything; remove one of them")]
    fn a_list_of_patterns_is_refused(#[case] patterns: &[&str], #[case] why: &str) {
        assert_eq!(NameFilter::new(patterns).unwrap_err(), why);
    }
}
