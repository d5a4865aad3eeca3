//! Keys that nothing reads: misspelt, written in another place than where they count, or of another time.

use super::nearest::did_you_mean;
use super::{Complaint, Node, without_address};

/// The keys of one kind of mapping.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'k> {
    /// What such a key is, as the end of the sentence "x is not …": `a key of a sink`.
    pub what: &'k str,
    /// The keys that are read.
    pub known: &'k [&'k str],
    /// Keys that belong elsewhere, each with where: the end of the sentence "it belongs …".
    pub elsewhere: &'k [(&'k str, &'k str)],
    /// Keys that other agents or older releases read, and this one has no use for: not mentioned. One that ends in `*`
    /// stands for all that begin so.
    pub foreign: &'k [&'k str],
}

impl Keys<'_> {
    /// Warns of every other key of a mapping, which Ceilometer passes over without a word. What is no mapping has none.
    pub fn warn_of_others(&self, node: &Node, warnings: &mut Vec<Complaint>) {
        for (key, _) in node.entries() {
            let name = key.key_text();
            let is_text = key.as_str().is_some();
            if is_text && (self.known.contains(&name.as_str()) || self.is_foreign(&name)) {
                continue;
            }
            let why = match self.elsewhere.iter().find(|(key, _)| *key == name) {
                Some((_, place)) => format!("; it belongs {place}"),
                None => {
                    did_you_mean(&name, self.known.iter().chain(self.elsewhere.iter().map(|(key, _)| key)).copied())
                }
            };
            let why = if why.is_empty() && !self.known.is_empty() {
                format!("; known are {}", self.known.join(", "))
            } else {
                why
            };
            let name = without_address(&name);
            warnings
                .push(Complaint::warning(&key.place, format!("{name} is not {} and is passed over{why}", self.what)));
        }
    }

    fn is_foreign(&self, name: &str) -> bool {
        let is = |foreign: &&&str| foreign.strip_suffix('*').map_or(**foreign == name, |start| name.starts_with(start));
        self.foreign.iter().any(|foreign| is(&foreign))
    }
}
