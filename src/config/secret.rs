//! A string that never shows itself, and text that is shown without the passwords in it.

use std::fmt;

/// A password or key. `Debug` and `Display` print asterisks; [`reveal`](Secret::reveal) is the one way to the text.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret of this text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Secret(text.into())
    }

    /// The text itself: for the one who signs or logs in with it, never for a log line.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

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
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "._%+-".contains(c));
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
pub(crate) fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn a_secret_is_printed_by_mistake() {
        let secret = Secret::new("opensesame");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.reveal(), "opensesame");
    }

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
}
