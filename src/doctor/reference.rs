//! The rows of `docs/doctor.md`.

use super::finding::Kind;
use super::kinds::{ALL, CLEAR};

/// The rows of the page: name, severity, meaning, command.
pub fn reference() -> String {
    let row = |kind: &&Kind| {
        let Kind { id, severity, meaning, mend } = kind;
        let mend = if *mend == CLEAR { CLEAR_SHOWN } else { mend };
        format!("| `{id}` | {} | {meaning} | {} |\n", severity.name(), mend.replace('|', "\\|"))
    };
    ALL.iter().map(row).collect()
}

const CLEAR_SHOWN: &str = "of a policy: rabbitmqctl clear_policy -p VHOST POLICY, or set it without this; of an operator policy: rabbitmqctl \
                           clear_operator_policy -p VHOST POLICY; of an argument: rabbitmqctl delete_queue -p VHOST QUEUE, with all its \
                           users stopped and their option corrected";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_page_lists_exactly_what_can_be_found() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md");
        let mut page = std::fs::read_to_string(&path).unwrap();
        if std::env::var_os("NEPHOSCOPE_REGENERATE").is_some() {
            let begin = page.find("| finding |").unwrap();
            let begin = begin + page[begin..].match_indices('\n').nth(1).unwrap().0 + 1;
            let end = page[begin..].find("\n\n").map_or(page.len(), |end| begin + end + 1);
            page.replace_range(begin..end, &reference());
            std::fs::write(&path, &page).unwrap();
        }
        let is_row = |line: &&str| ALL.iter().any(|kind| line.starts_with(&format!("| `{}` |", kind.id)));
        let listed: String = page.lines().filter(is_row).flat_map(|line| [line, "\n"]).collect();
        assert_eq!(listed, reference(), "NEPHOSCOPE_REGENERATE=1 cargo nextest run --lib -E 'test(the_page_lists)'");
    }

    #[test]
    fn a_row_has_a_name_of_its_own_and_sentences() {
        let names: BTreeSet<&str> = ALL.iter().map(|kind| kind.id).collect();
        assert_eq!(names.len(), ALL.len());
        let odd = ALL.iter().filter(|kind| !kind.meaning.ends_with('.') || kind.mend.ends_with('.'));
        assert_eq!(odd.map(|kind| kind.id).collect::<Vec<_>>(), [""; 0]);
    }
}
