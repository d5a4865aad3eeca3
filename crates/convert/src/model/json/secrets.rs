//! Writing a notification that somebody will look at: without the passwords, tokens and user data in it.
//!
//! Never here: names and addresses of people; those who keep copies hash them.

use super::{read, write, write_str};
use crate::model::value::{Dict, Value};

/// Members of an object whose values are never shown: by their names, in any case, with or without `_context_` before them.
pub const SECRETS: [&str; 26] = [
    "access_key",
    "admin_pass",
    "admin_password",
    "adminpass",
    "auth_token",
    "authorization",
    "client_secret",
    "cookie",
    "credentials",
    "http_authorization",
    "http_cookie",
    "http_x_auth_token",
    "http_x_service_token",
    "injected_files",
    "key_data",
    "passwd",
    "password",
    "personality",
    "private_key",
    "secret",
    "secret_key",
    "service_token",
    "token",
    "user_data",
    "x-auth-token",
    "x_auth_token",
];

/// What stands for a removed value.
pub const REMOVED: &str = "removed";
/// What oslo.messaging and pycadf write in the place of a secret: it stays as it is.
pub const MASKED: &str = "***";
/// What stands deeper is removed: nobody looks into it.
pub const LOOKED_INTO_MAX: usize = 128;

/// Whether the value of a member with this name is never shown.
pub fn is_secret(name: &str) -> bool {
    let plain = name.strip_prefix("_context_").unwrap_or(name);
    SECRETS.iter().any(|secret| plain.eq_ignore_ascii_case(secret))
}

/// Appends the value as compact JSON, as [`write`] does, with [`REMOVED`] for each secret; also in a text that is JSON itself, as
/// some services send it.
pub fn write_without_secrets(value: &Value, out: &mut Vec<u8>) {
    put(value, 0, out);
}

/// Whether something was removed.
fn put(value: &Value, depth: usize, out: &mut Vec<u8>) -> bool {
    match value {
        Value::List(_) | Value::Dict(_) | Value::Str(_) if depth > LOOKED_INTO_MAX => {
            write_str(REMOVED, out);
            true
        }
        Value::List(items) => {
            let mut is_removed = false;
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                is_removed |= put(item, depth + 1, out);
            }
            out.push(b']');
            is_removed
        }
        Value::Dict(dict) => put_dict(dict, depth, out),
        Value::Str(text) => put_text(text, depth, out),
        other => {
            write(other, out);
            false
        }
    }
}

fn put_dict(dict: &Dict, depth: usize, out: &mut Vec<u8>) -> bool {
    let mut is_removed = false;
    out.push(b'{');
    for (n, (name, value)) in dict.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write_str(name, out);
        out.push(b':');
        if is_secret(name) && value.is_truthy() && value.as_str() != Some(MASKED) {
            write_str(REMOVED, out);
            is_removed = true;
        } else {
            is_removed |= put(value, depth + 1, out);
        }
    }
    out.push(b'}');
    is_removed
}

fn put_text(text: &str, depth: usize, out: &mut Vec<u8>) -> bool {
    if text.starts_with(['{', '['])
        && let Ok(inside @ (Value::Dict(_) | Value::List(_))) = read(text.as_bytes())
    {
        let mut cleaned = Vec::new();
        if put(&inside, depth + 1, &mut cleaned) {
            write_str(&String::from_utf8_lossy(&cleaned), out);
            return true;
        }
    }
    write_str(text, out);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        let mut out = Vec::new();
        write_without_secrets(&read(json.as_bytes()).unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_secret_is_written() {
        for secret in SECRETS {
            assert_eq!(secret, secret.to_ascii_lowercase());
            for name in [secret.to_owned(), secret.to_uppercase(), format!("_context_{secret}")] {
                let json = format!(r#"{{"a":[{{"{name}":["s3cret"]}}]}}"#);
                assert_eq!(shown(&json), format!(r#"{{"a":[{{"{name}":"removed"}}]}}"#));
            }
        }
        let inside = r#"{"request":"{\"server\":{\"adminPass\":\"s3cret\",\"n\":1}}"}"#;
        assert_eq!(shown(inside), r#"{"request":"{\"server\":{\"adminPass\":\"removed\",\"n\":1}}"}"#);
        let deep = format!("{}{}{}", r#"{"a":"#.repeat(300), r#"{"password":"s3cret"}"#, "}".repeat(300));
        assert!(!shown(&deep).contains("s3cret"));
    }

    #[test]
    fn everything_else_is_written_as_it_is() {
        let json =
            r#"{"token":"","password":null,"secret":"***","tokens":7,"text":"{ \"a\": 1.0 }","n":[1,1.5,true,NaN]}"#;
        assert_eq!(shown(json), json);
    }
}
