//! Routing keys of a topic exchange: words between dots, `*` for one word, `#` for any number of them.

/// Whether a message with this key goes over a binding with that pattern.
pub(super) fn matches(pattern: &str, key: &str) -> bool {
    if !pattern.contains(['*', '#']) {
        return pattern == key;
    }
    let words: Vec<&str> = key.split('.').collect();
    // after[n]: the pattern so far matches the first n words.
    let mut after = vec![false; words.len() + 1];
    after[0] = true;
    for part in pattern.split('.') {
        match part {
            "#" => {
                for n in 1..after.len() {
                    after[n] |= after[n - 1];
                }
            }
            part => {
                for n in (1..after.len()).rev() {
                    after[n] = after[n - 1] && (part == "*" || part == words[n - 1]);
                }
                after[0] = false;
            }
        }
    }
    after[words.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("notifications.info", "notifications.info", true)]
    #[case("notifications.info", "notifications.error", false)]
    #[case("notifications.*", "notifications.info", true)]
    #[case("notifications.*", "notifications", false)]
    #[case("notifications.*", "notifications.a.b", false)]
    #[case("notifications.#", "notifications", true)]
    #[case("notifications.#", "notifications.a.b", true)]
    #[case("#", "", true)]
    #[case("#.info", "a.b.info", true)]
    #[case("#.info", "info", true)]
    #[case("*.#.z", "z", false)]
    #[case("*.#.z", "a.z", true)]
    fn patterns_match_as_in_rabbitmq(#[case] pattern: &str, #[case] key: &str, #[case] expected: bool) {
        assert_eq!(matches(pattern, key), expected);
    }
}
