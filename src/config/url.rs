//! Takes apart a URL that an operator wrote, or says why it can be read in more than one way.
//!
//! What may be a piece of a password is never taken for a host, port, path or option: it would be shown, and looked up.

use super::secret::is_scheme;

/// A URL before anything is made of its parts; nothing is decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts<'t> {
    /// What stands before `://`.
    pub scheme: &'t str,
    /// `[user[:password]@]host[:port][,…]`
    pub authority: &'t str,
    /// The path with its leading `/`, or nothing.
    pub path: &'t str,
    /// What stands between `?` and `#`.
    pub query: &'t str,
}

/// Why a text is not one URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unclear {
    /// No scheme and `://`.
    NoUrl,
    /// Several URLs.
    Several,
    /// An `@` stands where a user ends or where a path goes on.
    Password,
}

/// What to write for signs that end a part of a URL, as the end of a sentence.
pub(crate) const ESCAPES: &str =
    "write `%23`, `%3F`, `%2F`, `%2C`, `%40` for `#?/,@` in a user, password, path or option";

/// Takes a URL apart.
pub(crate) fn apart(text: &str) -> Result<Parts<'_>, Unclear> {
    let (scheme, rest) = text.trim().split_once("://").ok_or(Unclear::NoUrl)?;
    if !is_scheme(scheme) {
        return Err(Unclear::NoUrl);
    }
    if another_begins(rest.split('?').next().unwrap_or_default()) {
        return Err(Unclear::Several);
    }
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // In brackets there is an IPv6 address, whose `:` separates nothing.
    let outside = authority.rsplit(']').next().unwrap_or_default();
    if tail.contains('@') && (authority.contains('@') || outside.contains(':')) {
        return Err(Unclear::Password);
    }
    let tail = tail.split('#').next().unwrap_or_default();
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    Ok(Parts { scheme, authority, path, query })
}

/// Whether a URL names no host, like `rabbit://`.
pub(crate) fn names_no_host(text: &str) -> bool {
    apart(text).is_ok_and(|parts| parts.authority.is_empty())
}

/// Whether a separator and another URL come after this one.
fn another_begins(rest: &str) -> bool {
    let separates = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|');
    rest.match_indices("://").any(|(at, _)| {
        rest[..at].rfind(separates).is_some_and(|sign| is_scheme(rest[sign..at].trim_start_matches(separates)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("rabbit://u:p@h:1,u:p@h/v?a=b#c", "rabbit|u:p@h:1,u:p@h|/v|a=b")]
    #[case("file:///a@b c?x", "file||/a@b c|x")]
    #[case("https://h/x@y?z=a@b", "https|h|/x@y|z=a@b")]
    #[case("https://[::1]/x@y", "https|[::1]|/x@y|")]
    #[case("https://proxy/https://h/?to=a,https://b", "https|proxy|/https://h/|to=a,https://b")]
    fn one_url(#[case] text: &str, #[case] expected: &str) {
        let parts = apart(text).ok().unwrap();
        assert_eq!(format!("{}|{}|{}|{}", parts.scheme, parts.authority, parts.path, parts.query), expected);
    }

    #[rstest]
    #[case::no_scheme("u:p@h", Unclear::NoUrl)]
    #[case::a_password_before_the_scheme("u:p@h://", Unclear::NoUrl)]
    #[case::a_comma("rabbit://h/,rabbit://i/", Unclear::Several)]
    #[case::a_line("rabbit://h/\nkombu://i/", Unclear::Several)]
    #[case::a_semicolon_and_a_blank("notifier://; file:///x", Unclear::Several)]
    #[case::a_slash("rabbit://u:1/2@h/", Unclear::Password)]
    #[case::a_mark("rabbit://u:1?2@h/", Unclear::Password)]
    #[case::a_hash("rabbit://u:1#2@h/", Unclear::Password)]
    #[case::an_at_and_a_slash("https://u:p@q/r@h/", Unclear::Password)]
    fn more_than_one_way(#[case] text: &str, #[case] why: Unclear) {
        assert_eq!(apart(text).err(), Some(why));
    }
}
