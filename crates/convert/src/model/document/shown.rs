//! Text that is shown without the passwords in it: a value that an operator wrote, and a sentence in which one stands.
//!
//! Never here: what is a password by its option; that is `config`'s to know.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What stands for anything that must not be shown.
const HIDDEN: &str = "***";

/// Shows what an operator wrote, URL or not, in a complaint, a log line or a label: `rabbit://user:***@host:5672/vhost`.
///
/// A password is known by its place and not by the grammar, because a text with a `/`, `@` or `#` in its password is
/// often no URL, or another one than its author meant: everything between the first `:` behind `://` and the *last* `@`
/// is hidden, and whatever follows a `:` without being a port. Options (`?…`) are left out: keys stand there.
pub fn shown(text: &str) -> String {
    let text = text.trim();
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (&*scheme.to_ascii_lowercase(), rest),
        Some((_, rest)) if !rest.contains('@') => return HIDDEN.to_owned(),
        _ => ("", text),
    };
    let mark = if scheme.is_empty() { "" } else { "://" };
    // Without an authority there is no user: an `@` in a path is one.
    let only_path = !scheme.is_empty() && rest.starts_with('/') && !rest.contains(':');
    let (user, place) = match rest.rsplit_once('@').filter(|_| !only_path) {
        Some((user, place)) => (shown_user(user, scheme), place),
        None if scheme.is_empty() => return text.to_owned(),
        None => (String::new(), rest),
    };
    let place = place.split(['?', '#']).next().unwrap_or_default();
    let (hosts, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    match shown_hosts(hosts) {
        Ok(()) => format!("{scheme}{mark}{user}{hosts}{}", shown_path(path)),
        Err(before) => format!("{scheme}{mark}{user}{before}:{HIDDEN}"),
    }
}

/// The name before the first `:`; nothing of a text that may be a key by itself.
fn shown_user(user: &str, scheme: &str) -> String {
    let plain = |name: &str| !name.is_empty() && is_user(name);
    match user.split_once(':') {
        Some((name, _)) if !scheme.is_empty() && plain(name) => format!("{name}:{HIDDEN}@"),
        _ => format!("{HIDDEN}@"),
    }
}

/// Whether every `:` of an authority is followed by a port, or is part of an address in brackets; else what stands
/// before the first that is not.
fn shown_hosts(hosts: &str) -> Result<(), &str> {
    let mut from = 0;
    for host in hosts.split(',') {
        let name = if host.starts_with('[') { host.find(']').unwrap_or(0) } else { 0 };
        if let Some(at) = host[name..].find(':').map(|at| name + at)
            && !host[at + 1..].bytes().all(|b| b.is_ascii_digit())
        {
            return Err(&hosts[..from + at]);
        }
        from += host.len() + 1;
    }
    Ok(())
}

/// A path, without a second URL in it.
fn shown_path(path: &str) -> String {
    let second =
        path.find(|c: char| c.is_whitespace() || matches!(c, ',' | ';')).filter(|at| path[*at..].contains(':'));
    match second.or_else(|| path.find("://")) {
        Some(at) => format!("{}{HIDDEN}", &path[..at]),
        None => path.to_owned(),
    }
}

/// Whether this may stand before `://`.
pub fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_'))
}

/// A line is shown up to so many bytes: what a sender or a server wrote may stand in it, and looking for URLs in it takes the square of
/// its length at worst.
const SENTENCE_BYTES_MAX: usize = 16 * 1024;
/// A part of a sentence that shows a form, not a value: what these stand in is left as it is.
const FORMS: [&str; 2] = ["user:password@", "host[:port]"];
/// What may follow a URL in a sentence, and is none of it.
const PUNCTUATION: [char; 10] = ['.', ',', ':', ';', ')', ']', '}', '>', '"', '`'];

/// A sentence without the passwords and options of the URLs in it: complaints, log lines, labels and the status page all
/// go through this, so that whoever writes a sentence cannot forget it.
///
/// Where a value stands between quotes, as `{:?}` writes it, it ends there, whatever is in it. Where it does not, a URL
/// ends at a blank; one that is none by then goes on to the last `@` of the sentence, because a password may have blanks.
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    if is_harmless(text) && text.len() <= SENTENCE_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(2 * SENTENCE_BYTES_MAX));
    for sentence in text.split_inclusive('\n') {
        let end = sentence.floor_char_boundary(SENTENCE_BYTES_MAX);
        out.push_str(&sentence_shown(&sentence[..end]));
        if end < sentence.len() {
            let line_end = if sentence.ends_with('\n') { "\n" } else { "" };
            out.extend([" … (", &(sentence.len() - end).to_string(), " bytes more)", line_end]);
        }
    }
    Cow::Owned(out)
}

/// Whether no password can stand there.
fn is_harmless(text: &str) -> bool {
    !(text.contains("://") || text.contains('@') && text.contains('"'))
}

fn sentence_shown(sentence: &str) -> Cow<'_, str> {
    if is_harmless(sentence) {
        return Cow::Borrowed(sentence);
    }
    let mut out = String::with_capacity(sentence.len());
    let mut rest = sentence;
    loop {
        let url = rest.find("://");
        let quote = rest.find('"').filter(|quote| url.is_none_or(|url| *quote < url));
        if let Some((quote, inside)) =
            quote.and_then(|quote| Some((quote, &rest[quote + 1..][..quoted(&rest[quote + 1..])?])))
        {
            out.push_str(&rest[..=quote]);
            out.push_str(&value_shown(inside));
            out.push('"');
            rest = &rest[quote + inside.len() + 2..];
        } else if let Some(url) = url {
            let begin = scheme_begin(rest, url);
            let word = rest[..begin].rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
            // A login before it, in the same word.
            let login = rest[word..begin].contains('@');
            out.push_str(&rest[..if login { word } else { begin }]);
            out.push_str(if login { HIDDEN } else { "" });
            let (shown, taken) = url_shown(&rest[begin..]);
            out.push_str(&shown);
            rest = &rest[begin + taken..];
        } else {
            out.push_str(rest);
            return Cow::Owned(out);
        }
    }
}

/// How many bytes stand before the quote that ends a value; nothing where there is none.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// A value that may be anything: what looks like a login or a URL in it is hidden.
pub fn value_shown(value: &str) -> Cow<'_, str> {
    let Some(at) = value.find("://") else {
        // `!` excludes a name in a pipeline.
        let name = value.trim_start_matches('!');
        let login = name.split_once(':').is_some_and(|(user, rest)| is_user(user) && rest.contains('@'));
        return if login { Cow::Owned(shown(name)) } else { Cow::Borrowed(value) };
    };
    let (before, url) = value.split_at(scheme_begin(value, at));
    if before.contains([':', '@']) {
        return Cow::Borrowed(HIDDEN);
    }
    Cow::Owned(format!("{before}{}", shown(url)))
}

fn is_user(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || "._%+-".contains(c))
}

/// Whether this is a URL of which every password is hidden already, one a host.
fn is_shown(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let (hosts, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_shown = |host: &str| match host.split_once(":***@") {
        Some((user, host)) => is_user(user) && !host.contains(['@', '?', '#']) && shown_hosts(host).is_ok(),
        None => false,
    };
    !path.contains(['@', '?', '#', ':']) && hosts.split(',').all(is_shown)
}

/// Where the scheme begins whose `://` is at `at`.
fn scheme_begin(text: &str, at: usize) -> usize {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
    text[..at].trim_end_matches(part).len()
}

/// A URL without quotes at the beginning of a text, and how many bytes of the text it takes.
fn url_shown(text: &str) -> (String, usize) {
    let end = |from: usize| text[from..].find(char::is_whitespace).map_or(text.len(), |blank| from + blank);
    let word = &text[..end(0)];
    let url = word.trim_end_matches(PUNCTUATION);
    if is_shown(url) || FORMS.iter().any(|form| word.contains(form)) {
        return (word.to_owned(), word.len());
    }
    let behind = url.find("://").map_or(url.len(), |at| at + 3);
    let hosts = url[behind..].split(['/', '?', '#']).next().unwrap_or_default();
    let ends_early = !url.contains('@') && shown_hosts(hosts).is_err();
    // A sentence that speaks of the sign puts it between backquotes.
    let sign = |at: &usize| !text[..*at].ends_with('`');
    let far = text.rmatch_indices('@').map(|(at, _)| at).find(sign).filter(|at| ends_early && *at > url.len());
    let url = far.map_or(url, |at| text[..end(at)].trim_end_matches(PUNCTUATION));
    (shown(url), url.len())
}

/// A name of which a part may be a password, because it is written like a login: `u:***`.
pub fn name_shown(name: &str) -> Cow<'_, str> {
    match name.split_once(':') {
        Some((before, _)) => Cow::Owned(format!("{before}:{HIDDEN}")),
        None => Cow::Borrowed(name),
    }
}

/// Text that others wrote, for a terminal or a table: on one line, of so many characters at most, without anything that moves the
/// cursor, changes the direction of writing or is not seen.
pub fn on_one_line(text: &str, chars_max: usize) -> String {
    let mut out: String =
        text.chars().take(chars_max).map(|c| if is_odd(c) { char::REPLACEMENT_CHARACTER } else { c }).collect();
    if text.chars().nth(chars_max).is_some() {
        out.push('…');
    }
    out
}

/// JSON for a terminal: what moves the cursor, changes the direction of writing or is not seen is written as `\uXXXX`. In JSON such
/// characters stand in texts only, so that it says the same. Ends of lines stay.
pub fn json_on_terminal(json: &str) -> Cow<'_, str> {
    let acts = |c: char| c != '\n' && is_odd(c);
    if !json.contains(acts) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if acts(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _written = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether it does something to a terminal, or is not seen: control characters; separators of lines; marks of direction; characters
/// without width.
pub fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case::no_url("ten", "ten")]
    #[case::no_user("rabbit://h1:5672,[::1]:5673/v?ssl=1", "rabbit://h1:5672,[::1]:5673/v")]
    #[case::a_url("https://me:PASS@h:1/a/b?key=PASS#PASS", "https://me:***@h:1/a/b")]
    #[case::several_hosts("rabbit://u:PASS@h1,u:PASS@h2/v", "rabbit://u:***@h2/v")]
    #[case::a_slash("rabbit://u:PA/SS@h/v", "rabbit://u:***@h/v")]
    #[case::an_at("rabbit://u:PA@SS@h/v", "rabbit://u:***@h/v")]
    #[case::a_hash("rabbit://u:PA#SS@h/v", "rabbit://u:***@h/v")]
    #[case::a_mark("rabbit://u:PA?SS@h/v", "rabbit://u:***@h/v")]
    #[case::no_scheme("u:PASS@h/v", "***@h/v")]
    #[case::a_broken_scheme("rabbit:/u:PASS@h/v", "***@h/v")]
    #[case::a_scheme_that_is_none("u:PASS://h", "***")]
    #[case::two("rabbit://u:PASS@h/v,rabbit://w:PASS@h/w", "rabbit://u:***@h/w")]
    #[case::two_and_no_host("rabbit://u:PASS@h/v,rabbit://w:PASS", "rabbit://u:***@h/v***")]
    #[case::two_and_one_scheme("rabbit://u:PASS@h/v,w:PASS", "rabbit://u:***@h/v***")]
    #[case::no_host("rabbit://u:PASS", "rabbit://u:***")]
    #[case::an_escaped_at("rabbit://u:PASS%40h/v", "rabbit://u:***")]
    #[case::an_escaped_colon("rabbit://u%3APASS@h/v", "rabbit://***@h/v")]
    #[case::a_key_for_a_user("https://PASS@h/", "https://***@h/")]
    #[case::a_path("file:///var/log/a@b", "file:///var/log/a@b")]
    #[case::a_third_slash("rabbit:///u:PASS@h/", "rabbit://***@h/")]
    fn a_text_is_shown(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(shown(text), expected);
    }

    #[test]
    fn a_text_without_end_is_cut_line_by_line() {
        let long = format!("short http://u:PASS@h/\n{}\nshort", "\"http://u:PASS@h ".repeat(100_000));
        let shown = without_secrets(&long);
        assert!(shown.len() < 2 * SENTENCE_BYTES_MAX && !shown.contains("PASS"), "{} bytes", shown.len());
        assert!(shown.starts_with("short http://u:***@h/\n") && shown.ends_with(" bytes more)\nshort"));
    }

    #[rstest]
    #[case::nothing("cannot read it: no such file", "cannot read it: no such file")]
    #[case::a_value(r#"no sink "http://u:PASS@h/x?k=PASS"; write one"#, r#"no sink "http://u:***@h/x"; write one"#)]
    #[case::a_pattern(r#""!http://u:PA\"SS @h" excludes"#, r#""!http://u:***@h" excludes"#)]
    #[case::no_scheme(r#"no sink "u:PASS@h""#, r#"no sink "***@h""#)]
    #[case::a_path(r#"bad "$.a[0:1][?(@.b)]""#, r#"bad "$.a[0:1][?(@.b)]""#)]
    #[case::in_a_sentence("sink http://u:PASS@h/x: away, see b@c", "sink http://u:***@h/x: away, see b@c")]
    #[case::blanks("the key http://u:PA SS@h is twice", "the key http://u:***@h is twice")]
    #[case::clean("broker rabbit://h1:1,h2:2/v: gone; a@b", "broker rabbit://h1:1,h2:2/v: gone; a@b")]
    #[case::a_form("write rabbit://user:password@host:5672/v", "write rabbit://user:password@host:5672/v")]
    #[case::a_sign("http://u:PASS: an `@` is there", "http://u:***: an `@` is there")]
    #[case::several_hosts("as rabbit://u:***@h1:1,u:***@h2:1//v", "as rabbit://u:***@h1:1,u:***@h2:1//v")]
    #[case::a_login_before("no u:PASS@h,rabbit://u:PASS@h here", "no ***rabbit://u:***@h here")]
    #[case::two("http://u:PASS@h/, http://v:PASS@i/ too", "http://u:***@h/, http://v:***@i/ too")]
    #[case::options("post to http://h/x?token=PASS: 404", "post to http://h/x: 404")]
    fn a_sentence_is_shown(#[case] sentence: &str, #[case] expected: &str) {
        assert_eq!(without_secrets(sentence), expected);
        assert_eq!(without_secrets(expected), expected, "shown again");
    }

    proptest! {
        #[test]
        fn a_password_between_quotes_is_not_shown(before in "[a-z/@:?#\"\\\\ ,]{0,6}", after in "[a-z/@:?#\"\\\\ ,]{0,6}") {
            let url = format!("http://u:{before}PASS{after}@h/x?token=PASS");
            let sentence = format!("there is no sink {url:?} in \"a\"; did you mean {url:?}?");
            prop_assert!(!without_secrets(&sentence).contains("PASS"), "{}", without_secrets(&sentence));
        }
    }

    #[rstest]
    #[case("{\n  \"a\": \"é 日本 \\u001b\"\n}")]
    #[case("{\"a\":\"x\u{7f}\u{85}\u{9b}31m\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{e0041}\"}\n")]
    fn json_on_a_terminal_says_the_same_and_does_nothing(#[case] json: &str) {
        let shown = json_on_terminal(json);
        assert!(!shown.contains(|c: char| c != '\n' && is_odd(c)), "{shown}");
        let read = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(read(&shown), read(json));
    }

    #[rstest]
    #[case("plain é 😀", 20, "plain é 😀")]
    #[case("a\x1b[2Jb\n\tc\u{9b}d", 20, "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d")]
    #[case("\u{202e}evil\u{2066}\u{200b}\u{2028}", 20, "\u{fffd}evil\u{fffd}\u{fffd}\u{fffd}")]
    #[case("abcdef", 3, "abc…")]
    #[case("abc", 3, "abc")]
    fn what_others_wrote_does_nothing_to_a_terminal(#[case] text: &str, #[case] most: usize, #[case] expected: &str) {
        assert_eq!(on_one_line(text, most), expected);
    }
}
