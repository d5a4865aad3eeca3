//! Quotes words of commands that the agent prints for an operator's shell.

use std::borrow::Cow;

/// A word as a shell takes it: quoted where it is not plain.
pub fn word(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | ':' | '@' | ',' | '+');
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]
        #[test]
        fn a_shell_takes_it_as_it_is(text in "[^\0]{0,20}") {
            let printed = Command::new("sh").args(["-c", &format!("printf %s {}", word(&text))]).output().unwrap();
            prop_assert_eq!(String::from_utf8(printed.stdout).unwrap(), text);
        }
    }

    #[test]
    fn a_plain_word_stays_plain() {
        assert_eq!(word("/"), "/");
        assert_eq!(word("open stack"), "'open stack'");
        assert_eq!(word(""), "''");
    }
}
