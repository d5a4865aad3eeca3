//! The name that was probably meant by one that is not known.

/// The known name that is nearest to what was written, if one is near enough to be meant. Case, and whether words are
/// joined by `_`, `-` or a blank, count for nothing; of several that are equally near the first is taken.
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = folded(written);
    let measured = known.into_iter().map(|name| (distance(&folded(name), &word), name));
    let (distance, name) = measured.min_by_key(|(distance, _)| *distance)?;
    // One edit makes any letter of any other: that is no misspelling.
    (distance <= 1 + word.len() / 5 && distance < word.len()).then_some(name)
}

/// `; did you mean x?` where a known name is near enough, else nothing: the end of a complaint.
pub fn did_you_mean<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(written, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

fn folded(name: &str) -> Vec<char> {
    let one = |c: char| if matches!(c, '-' | ' ') { '_' } else { c };
    name.chars().flat_map(char::to_lowercase).map(one).collect()
}

/// Edits between two names: insertions, deletions, replacements, swaps of neighbours, one each.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (row[j] + usize::from(x != y)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && x == &b[j - 1] && y == &a[i - 1] {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("transformer", Some("transformers"))]
    #[case("Publishers", Some("publishers"))]
    #[case("pubilshers", Some("publishers"))]
    #[case("publisher", Some("publishers"))]
    #[case("retention-time", Some("retention_time"))]
    #[case("nmae", Some("name"))]
    #[case("sinsk", Some("sinks"))]
    #[case("resource_filter", None)]
    #[case("tags", None)]
    #[case("x", None)]
    #[case("", None)]
    fn a_name_is_near_or_not(#[case] written: &str, #[case] near: Option<&str>) {
        assert_eq!(nearest(written, ["name", "sinks", "transformers", "publishers", "retention_time"]), near);
    }
}
