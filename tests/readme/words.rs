//! The words of pages, help, log lines and errors: those of `docs/glossary.md`, and the form of errors.

use super::pages::{self, pages};
use super::{assert_none, nephoscope};
use regex::Regex;

/// Words that are not in the glossary, and what to write instead.
const REPLACED: [(&str, &str); 6] = [
    (r"(?i)\bput (it |them )?aside\b", "parked"),
    (r"(?i)\b(give|gives|gave|given|giving) ([a-z]+ ){0,2}up\b", "release"),
    (r"(?i)\blets? ([a-z]+ )?go\b", "release"),
    (r"(?i)\byield(s|ed|ing)?\b", "release, or give"),
    (r"(?i)\bthe original\b", "Ceilometer"),
    (r"(?i)\bcluster units\b", "cluster queues"),
];

/// Every string literal of the product, in one line each. Python's keywords are among them.
fn literals() -> Vec<String> {
    let source = pages::product();
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n").replace("'\"'", "").replace("'\\\"'", "");
    let literal = Regex::new(r#""((?:[^"\\\n]|\\.|\\\n)*)""#).unwrap();
    let continued = Regex::new(r"\\\n\s*").unwrap();
    literal.captures_iter(&code).map(|found| continued.replace_all(&found[1], "").into_owned()).collect()
}

#[test]
fn words_that_were_replaced_stay_away() {
    // History says what was said then.
    let is_history = |name: &str| name.starts_with("docs/decisions/") || name.starts_with("docs/measurements/");
    let pages = pages().into_iter().filter(|page| !is_history(&page.name) && page.name != "CHANGELOG.md");
    let mut texts: Vec<(String, String)> = pages.map(|page| (page.name, page.text)).collect();
    texts.push(("nephoscope man".to_owned(), String::from_utf8(nephoscope(&["man"]).stdout).unwrap()));
    let sentences = literals().into_iter().filter(|text| text.contains(' '));
    texts.push(("src".to_owned(), sentences.collect::<Vec<_>>().join("\n")));
    let mut wrong = Vec::new();
    for (pattern, instead) in REPLACED {
        let pattern = Regex::new(pattern).unwrap();
        for (name, text) in &texts {
            let lines = text.lines().filter(|line| pattern.is_match(line));
            wrong.extend(lines.map(|line| format!("{name}: write {instead:?}: {line}")));
        }
    }
    assert_none(&wrong);
}

/// One sentence a line, outside tables: a change shows as a line.
#[test]
fn pages_that_were_set_in_sentences_keep_to_a_hundred_columns() {
    let is_set = |name: &str| {
        name.starts_with("docs/publishers")
            || ["docs/rabbitmq.md", "docs/interface.md", "docs/glossary.md"].contains(&name)
    };
    let mut wrong = Vec::new();
    for page in pages().iter().filter(|page| is_set(&page.name)) {
        let long = page.prose().filter(|line| !line.starts_with('|') && line.chars().count() > 100);
        wrong.extend(long.map(|line| format!("{}: {line}", page.name)));
    }
    assert_none(&wrong);
}

/// Errors that do not begin with "cannot", and why: where they begin like this.
const NO_SENTENCE: [(&str, &str); 15] = [
    ("{0}\"", "its cause is the whole sentence"),
    ("{class}:", "it is Python's own text"),
    ("the body is", "it stands behind \"cannot …:\", and is the text of a parked message"),
    ("the envelope's", "the same"),
    ("unknown priority", "the same"),
    ("not JSON at byte", "it stands behind \"the line is\""),
    ("there is no queue", "it stands behind \"cannot list parked messages:\""),
    ("the broker took the messages back", "the same"),
    ("it is not a record", "it stands behind \"cannot use the record at offset\""),
    ("its checksum", "the same"),
    ("it has format", "the same"),
    ("{0:?} is no condition", "it stands behind the option that has it"),
    ("unknown field", "the same"),
    ("the expression for", "the same"),
    ("{why}, at character", "it stands behind the expression that has it"),
];

#[test]
fn an_error_says_what_cannot_be_done() {
    let source = pages::product();
    let mut wrong = Vec::new();
    let mut count = 0;
    for error in source.split("#[error(").skip(1) {
        let Some(text) = error.trim_start().strip_prefix('"') else { continue };
        let text = text.lines().next().unwrap();
        count += 1;
        let is_part = NO_SENTENCE.iter().any(|(start, _)| !start.is_empty() && text.starts_with(start));
        if !text.starts_with("cannot ") && !is_part {
            wrong.push(format!("expected \"cannot …: cause; what to do\": {text}"));
        }
    }
    assert!(count > 40, "{count} errors");
    assert_none(&wrong);
}
