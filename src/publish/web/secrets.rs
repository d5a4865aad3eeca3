//! Removes the secrets of a publisher's URL from the answers of servers: many quote the request.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::publish::target::Target;

/// What stands for a secret.
const HIDDEN: &str = "***";
/// A shorter secret is no word that could be looked for: it is hidden behind its key alone.
const CHARACTERS_MIN: usize = 3;

/// The login and the values of the options, in every form in which a server may quote them.
#[derive(Debug, Clone, Default)]
pub(in crate::publish) struct Secrets {
    /// The longest first.
    values: Vec<String>,
    /// What ends before the value of an option begins: `token=`.
    keys: Vec<String>,
}

impl Secrets {
    /// Those of a URL, and of the header that carries its login (user and password, decoded).
    pub(in crate::publish) fn of(target: &Target, credentials: Option<&(String, String)>) -> Secrets {
        let login = target.netloc.rsplit_once('@').map(|(login, _)| login);
        let mut secrets: Vec<String> = Vec::new();
        if let Some(login) = login {
            // Without a password, the user is the key.
            secrets.push(login.split_once(':').map_or(login, |(_, password)| password).to_owned());
        }
        secrets.extend(credentials.map(|(user, password)| BASE64_STANDARD.encode(format!("{user}:{password}"))));
        secrets.extend(target.query.iter().map(|(_, value)| value.clone()));
        let mut values: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        values.retain(|value| value.chars().count() >= CHARACTERS_MIN);
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        let with_value = target.query.iter().filter(|(_, value)| !value.is_empty());
        Secrets { values, keys: with_value.flat_map(|(key, _)| forms(key)).map(|key| format!("{key}=")).collect() }
    }

    /// The same, and these too: a token that came later, a password out of a file.
    pub(in crate::publish) fn and(mut self, more: &[&str]) -> Secrets {
        let more = more.iter().flat_map(|secret| forms(secret));
        self.values.extend(more.filter(|value| value.chars().count() >= CHARACTERS_MIN));
        self.values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        self.values.dedup();
        self
    }

    /// They themselves, for another's [`Secrets::and`].
    pub(in crate::publish) fn values(&self) -> Vec<&str> {
        self.values.iter().map(String::as_str).collect()
    }

    /// A text without them. Case does not count: `%2f` is `%2F`.
    pub(in crate::publish) fn hidden_in(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.values {
            text = replaced(&text, value, false);
        }
        for key in &self.keys {
            text = replaced(&text, key, true);
        }
        text
    }
}

/// As it is written, decoded, and as servers and browsers write it anew.
fn forms(text: &str) -> Vec<String> {
    let plain = decoded(text);
    let in_html = plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let json = serde_json::Value::from(plain.as_str()).to_string();
    let encoded = utf8_percent_encode(&plain, NON_ALPHANUMERIC).to_string();
    let form: String = url_form(&plain);
    let mut forms = vec![text.to_owned(), plain, in_html, json.trim_matches('"').to_owned(), encoded, form];
    forms.retain(|form| !form.is_empty());
    forms.sort();
    forms.dedup();
    forms
}

/// As our own request has it.
fn url_form(plain: &str) -> String {
    reqwest::Url::parse_with_params("x://h", [("", plain)])
        .ok()
        .and_then(|url| Some(url.query()?.trim_start_matches('=').to_owned()))
        .unwrap_or_default()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A text with `***` for each `word`, or, where that is a key, for the value behind it.
fn replaced(text: &str, word: &str, is_key: bool) -> String {
    let ends = |c: char| c.is_whitespace() || matches!(c, '&' | '"' | '\'' | '<' | '>' | '*');
    let (folded, word) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(at) = folded[from..].find(&word).map(|at| from + at) {
        let behind = at + word.len();
        let value = if is_key { text[behind..].find(ends).unwrap_or(text.len() - behind) } else { 0 };
        out.push_str(&text[from..if is_key { behind } else { at }]);
        if value > 0 || !is_key {
            out.push_str(HIDDEN);
        }
        from = behind + value;
    }
    out + &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::express("Cannot POST /busy?token=PA%26SS", "Cannot POST /busy?token=***")]
    #[case::decoded("no token PA&SS here", "no token *** here")]
    #[case::html("<pre>PA&amp;SS</pre>", "<pre>***</pre>")]
    #[case::folded("/?token=pa%26ss&n=7", "/?token=***&n=***")]
    #[case::short("at 7 o'clock, n=7", "at 7 o'clock, n=***")]
    #[case::login("user u, password S E", "user u, password ***")]
    #[case::login_as_it_is_written("//u:S%20E@h", "//u:***@h")]
    #[case::header("Authorization: Basic dTpTIEU=", "Authorization: Basic ***")]
    #[case::nothing("the disk is full", "the disk is full")]
    fn a_server_quotes_the_request(#[case] said: &str, #[case] shown: &str) {
        let target = Target::parse("http://u:S%20E@h/x?token=PA%26SS&n=7").unwrap();
        let login = ("u".to_owned(), "S E".to_owned());
        assert_eq!(Secrets::of(&target, Some(&login)).hidden_in(said), shown);
    }
}
