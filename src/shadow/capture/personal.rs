//! What is taken out of a captured notification: passwords always, personal fields as hashes where that is asked for.
//!
//! A hash is keyed with a random key that nobody keeps: equal values stay equal within one file, and nobody can try names against
//! them. An identifier stays one of the same form, an address stays an address, so that definitions find what they look for.

use hmac::{Hmac, KeyInit, Mac};
use regex::{Captures, Regex};
use sha2::Sha256;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::model::json::{self, LOOKED_INTO_MAX, MASKED, NonFinite, REMOVED, is_secret};
use crate::model::{Dict, Text, Value};

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Its value is replaced by `removed`, whether personal fields are hashed or not.
    Remove,
    /// Every text and number in it is hashed.
    Hash,
    /// The same, unless a `value` or a `unit` stands beside it: then it is the name of a measurement.
    HashUnlessMeasured,
    /// It is left as it is, and not looked into: definitions and queues go by it.
    Keep,
}

/// A member of an object by its name, in any case, with or without `_context_` before it.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The name.
    pub name: &'static str,
    /// What becomes of it.
    pub action: Action,
}

const fn rule(action: Action, name: &'static str) -> Rule {
    Rule { name, action }
}

use Action::{Hash, HashUnlessMeasured, Keep, Remove};

/// Which members are what. Those of [`SECRETS`](json::SECRETS) are removed. Beside them, e-mail addresses, IP addresses and MAC addresses are hashed wherever they stand in a text.
pub const RULES: &[Rule] = &[
    rule(Hash, "description"),
    rule(Hash, "display_description"),
    rule(Hash, "display_name"),
    rule(Hash, "domain_name"),
    rule(Hash, "email"),
    rule(Hash, "email_address"),
    rule(Hash, "first_name"),
    rule(Hash, "fqdn"),
    rule(Hash, "full_name"),
    rule(Hash, "hostname"),
    rule(Hash, "http_x_project_name"),
    rule(Hash, "http_x_tenant_name"),
    rule(Hash, "http_x_user"),
    rule(Hash, "http_x_user_id"),
    rule(Hash, "http_x_user_name"),
    rule(Hash, "instance_name"),
    rule(Hash, "key_name"),
    rule(Hash, "label"),
    rule(Hash, "last_name"),
    rule(Hash, "metadata"),
    rule(Hash, "phone"),
    rule(Hash, "project_domain_name"),
    rule(Hash, "project_name"),
    rule(Hash, "real_name"),
    rule(Hash, "remote_address"),
    rule(Hash, "tags"),
    rule(Hash, "tenant_name"),
    rule(Hash, "user"),
    rule(Hash, "user_domain_name"),
    rule(Hash, "user_id"),
    rule(Hash, "user_identity"),
    rule(Hash, "user_name"),
    rule(Hash, "userid"),
    rule(Hash, "username"),
    rule(HashUnlessMeasured, "name"),
    rule(Keep, "_unique_id"),
    rule(Keep, "event_type"),
    rule(Keep, "message_id"),
    rule(Keep, "priority"),
    rule(Keep, "publisher_id"),
    rule(Keep, "timestamp"),
];

/// An e-mail address; a MAC address; an IPv4 address; what may be an IPv6 address.
const ADDRESSES: &str = r"(?x)
    (?P<mail>[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})
    |(?P<mac>\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b)
    |(?P<v4>\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b)
    |(?P<v6>[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})";

/// Takes out what must not be in a file.
pub struct Personal {
    key: [u8; 32],
    hashes: bool,
    addresses: Regex,
}

/// A walk through one notification.
struct Walk<'p> {
    personal: &'p Personal,
    changed: bool,
}

impl Personal {
    /// With a key of its own; `hashes` where personal fields are hashed too.
    pub fn new(hashes: bool) -> Result<Personal, String> {
        let mut key = [0; 32];
        for half in key.chunks_mut(16) {
            half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        let addresses = Regex::new(ADDRESSES).map_err(|error| error.to_string())?;
        Ok(Personal { key, hashes, addresses })
    }

    /// The body without what must not be in a file: as it is if there is nothing, `None` if nobody can read it and what is in it is
    /// therefore not known.
    pub fn clean<'b>(&self, body: &'b [u8]) -> Option<Cow<'b, [u8]>> {
        let Ok(Value::Dict(mut outer)) = json::read(body) else { return None };
        let mut walk = Walk { personal: self, changed: false };
        if outer.contains_key("oslo.version")
            && let Some(message) = outer.get("oslo.message").and_then(Value::as_str)
        {
            let Ok(inner @ Value::Dict(_)) = json::read(message.as_bytes()) else { return None };
            let cleaned = written(&walk.value(inner, 0));
            outer.insert("oslo.message", String::from_utf8(cleaned).ok()?);
        } else {
            outer = walk.dict(outer, 0);
        }
        Some(if walk.changed { Cow::Owned(written(&Value::Dict(outer))) } else { Cow::Borrowed(body) })
    }

    /// A header without what must not be in a file.
    pub fn clean_header(&self, text: &str) -> String {
        if self.hashes { self.addresses_hashed(text).into_owned() } else { text.to_owned() }
    }

    /// Hexadecimal digits that stand for a text.
    fn digits(&self, text: &str) -> String {
        let mut digits = String::with_capacity(64);
        for byte in self.bytes(text) {
            let _written = write!(digits, "{byte:02x}");
        }
        digits
    }

    fn bytes(&self, text: &str) -> [u8; 32] {
        // A key of any length is taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return [0; 32] };
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// What stands for a whole text.
    fn hashed(&self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        if self.addresses.find(text).is_some_and(|found| found.as_str() == text) {
            let hashed = self.addresses_hashed(text);
            if hashed != text {
                return hashed.into_owned();
            }
        }
        let digits = self.digits(text);
        let is_hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hex(text, 32) {
            return digits[..32].to_owned();
        }
        let lengths = [8, 4, 4, 4, 12];
        let parts: Vec<&str> = text.split('-').collect();
        if parts.len() == lengths.len() && parts.iter().zip(lengths).all(|(part, length)| is_hex(part, length)) {
            let d = &digits;
            return [&d[..8], &d[8..12], &d[12..16], &d[16..20], &d[20..32]].join("-");
        }
        format!("h-{}", &digits[..16])
    }

    /// A text whose addresses are replaced by others of their kind.
    fn addresses_hashed<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.addresses.replace_all(text, |found: &Captures<'_>| {
            let whole = found.get(0).map_or("", |all| all.as_str());
            let b = self.bytes(whole);
            if found.name("mail").is_some() {
                return format!("h-{}@hashed.invalid", &self.digits(whole)[..16]);
            }
            if found.name("mac").is_some() {
                return format!("02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", b[0], b[1], b[2], b[3], b[4]);
            }
            if whole.parse::<Ipv4Addr>().is_ok() {
                return Ipv4Addr::new(10, b[0], b[1], b[2]).to_string();
            }
            if whole.parse::<Ipv6Addr>().is_ok() {
                let group = |n: usize| u16::from_be_bytes([b[2 * n], b[2 * n + 1]]);
                return Ipv6Addr::new(0xfd00, 0, 0, 0, group(0), group(1), group(2), group(3)).to_string();
            }
            whole.to_owned()
        })
    }
}

fn written(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    json::write_as(value, NonFinite::Python, &mut out);
    out
}

/// The rule for a member.
fn rule_of(name: &str) -> Option<Action> {
    if is_secret(name) {
        return Some(Remove);
    }
    let plain = name.strip_prefix("_context_").unwrap_or(name).to_ascii_lowercase();
    RULES.iter().find(|rule| rule.name == plain).map(|rule| rule.action)
}

impl Walk<'_> {
    fn dict(&mut self, dict: Dict, depth: usize) -> Dict {
        let measured = ["value", "unit"].iter().any(|beside| dict.contains_key(beside));
        let pairs = dict.into_iter().map(|(name, value)| {
            let cleaned = self.member(&name, value, measured, depth);
            (name, cleaned)
        });
        Dict::from_pairs(pairs.collect::<Vec<(Text, Value)>>())
    }

    fn member(&mut self, name: &str, value: Value, measured: bool, depth: usize) -> Value {
        let hashes = self.personal.hashes;
        match rule_of(name) {
            // What its service has masked stays as it is.
            Some(Remove) if value.is_truthy() && value != Value::from(MASKED) => {
                self.changed = true;
                Value::from(REMOVED)
            }
            Some(Hash) if hashes => self.hash(value, depth),
            Some(HashUnlessMeasured) if hashes && !measured => self.hash(value, depth),
            Some(Keep) if matches!(value, Value::Str(_)) => value,
            _ if hashes && name.eq_ignore_ascii_case("initiator") => match value {
                // CADF: the id of who did it is a user's.
                Value::Dict(mut who) => {
                    if let Some(id) = who.remove("id") {
                        let hashed = self.hash(id, depth);
                        who.insert("id", hashed);
                    }
                    Value::Dict(self.dict(who, depth + 1))
                }
                other => self.value(other, depth + 1),
            },
            _ => self.value(value, depth + 1),
        }
    }

    fn value(&mut self, value: Value, depth: usize) -> Value {
        if depth > LOOKED_INTO_MAX {
            self.changed = true;
            return Value::from(REMOVED);
        }
        match value {
            Value::Dict(dict) => Value::Dict(self.dict(dict, depth)),
            Value::List(items) => Value::List(items.into_iter().map(|item| self.value(item, depth + 1)).collect()),
            Value::Str(text) => self.text(text, depth),
            other => other,
        }
    }

    fn text(&mut self, text: Text, depth: usize) -> Value {
        // JSON in a text, as some services send it.
        if text.starts_with(['{', '['])
            && let Ok(inside @ (Value::Dict(_) | Value::List(_))) = json::read(text.as_bytes())
        {
            let before = std::mem::replace(&mut self.changed, false);
            let cleaned = self.value(inside, depth + 1);
            if self.changed {
                return String::from_utf8(written(&cleaned)).map_or(Value::from(REMOVED), Value::from);
            }
            self.changed = before;
            return Value::Str(text);
        }
        if !self.personal.hashes {
            return Value::Str(text);
        }
        match self.personal.addresses_hashed(&text) {
            Cow::Owned(hashed) if hashed != *text => {
                self.changed = true;
                Value::from(hashed)
            }
            _ => Value::Str(text),
        }
    }

    /// Hashes every text and number in a value.
    fn hash(&mut self, value: Value, depth: usize) -> Value {
        match value {
            Value::Str(text) if !text.is_empty() => {
                self.changed = true;
                Value::from(self.personal.hashed(&text))
            }
            Value::Int(_) | Value::Big(_) | Value::Float(_) => {
                self.changed = true;
                Value::from(self.personal.hashed(&json::to_string(&value)))
            }
            Value::List(_) | Value::Dict(_) if depth > LOOKED_INTO_MAX => {
                self.changed = true;
                Value::from(REMOVED)
            }
            Value::List(items) => Value::List(items.into_iter().map(|item| self.hash(item, depth + 1)).collect()),
            Value::Dict(dict) => {
                let pairs = dict.into_iter().map(|(name, value)| {
                    let cleaned = match rule_of(&name) {
                        Some(Remove) => self.member(&name, value, false, depth),
                        _ => self.hash(value, depth + 1),
                    };
                    (name, cleaned)
                });
                Value::Dict(Dict::from_pairs(pairs.collect()))
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
