//! The signature of a message (Ceilometer reference §4.6): HMAC-SHA256 over keys and values as Python's `str()` has
//! them.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt::Write as _;

use super::python::{self, Strings};
use crate::model::{Dict, Value};

/// The field that holds the signature, and is left out of it.
pub const FIELD: &str = "message_signature";

/// The signature in lower-case hexadecimal; empty if the secret is.
pub fn compute(message: &Dict, secret: &str) -> String {
    let mut hex = String::with_capacity(64);
    if let Some(mac) = mac(message, secret) {
        for byte in mac.finalize().into_bytes() {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
    }
    hex
}

/// Whether the message carries its own signature, compared in constant time. Anything goes if the secret is empty.
pub fn verify(message: &Dict, secret: &str) -> bool {
    let Some(mac) = mac(message, secret) else { return true };
    let signature = message.get(FIELD).and_then(Value::as_str).unwrap_or_default();
    from_hex(signature).is_some_and(|bytes| mac.verify_slice(&bytes).is_ok())
}

/// Puts the signature at the end of the message.
pub fn sign(message: &mut Dict, secret: &str) {
    message.remove(FIELD);
    let signature = compute(message, secret);
    message.insert(FIELD, signature);
}

/// The MAC of the message, unless the secret is empty.
fn mac(message: &Dict, secret: &str) -> Option<Hmac<Sha256>> {
    if secret.is_empty() {
        return None;
    }
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    let mut stream = String::with_capacity(1024);
    write_pairs(message, &mut String::new(), &mut stream);
    mac.update(stream.as_bytes());
    Some(mac)
}

/// Appends name and value of every leaf, sorted by key at each level, names joined by `:`. `prefix` is the name so far.
fn write_pairs(dict: &Dict, prefix: &mut String, stream: &mut String) {
    let mut pairs: Vec<_> = dict.iter().collect();
    pairs.sort_unstable_by_key(|(key, _)| *key);
    let outer = prefix.len();
    for (key, value) in pairs {
        prefix.push_str(key);
        match value {
            Value::Dict(inner) => {
                prefix.push(':');
                write_pairs(inner, prefix, stream);
            }
            // Only the outermost: `x:message_signature` is signed.
            _ if outer == 0 && key == FIELD => {}
            Value::List(_) => {
                stream.push_str(prefix);
                python::repr(value, Strings::Bytes, stream);
            }
            scalar => {
                stream.push_str(prefix);
                python::str_scalar(scalar, stream);
            }
        }
        prefix.truncate(outer);
    }
}

/// The bytes of a lower-case hexadecimal text.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json;
    use proptest::prelude::*;
    use rstest::rstest;

    const SECRET: &str = "change this for valid signing";

    fn message(text: &str) -> Dict {
        json::read(text.as_bytes()).unwrap().as_dict().unwrap().clone()
    }

    /// Ceilometer reference, Appendix B.
    #[rstest]
    #[case(r#"{"a":1,"b":"x"}"#, "4719713c4d2e2693a27a3580446df939e4e9a8fed0bd98eaa8b53af3b2cf9a35")]
    #[case(
        r#"{"b":{"d":2,"c":{"z":null}},"a":[1,"é",{"k":"v","a":true}]}"#,
        "ab247319640e7e8365be979e402e6473a074062c544bdaaa9f6d801d1df23ab7"
    )]
    #[case(
        r#"{"a":1.0,"b":1e16,"c":1e-7,"d":123456789012345678}"#,
        "307264422fc9fa25f58d82917286ef1578bca625a5be822c469b20a3598ffeb8"
    )]
    #[case(r#"{"e":{},"l":[],"s":""}"#, "c41d612ffd1d67ef34c3f7c07a1b59dc2e14a10cfc3d9d4d1f3d13c209428e39")]
    #[case(r#"{"l":["it's","q\"q","\n","a\\b"]}"#, "d71d2cc67b35e734526ab33d6554ff0d92b7147f608b81f208c872879dc3bb6d")]
    #[case(
        r#"{"x":{"message_signature":"zz"},"message_signature":"old","y":1}"#,
        "14816775a8d420f7720c0eb4180d6fbb4fc8d24dc8041ad587c2acc09b9072a9"
    )]
    #[case(r#"{"l":[1.5,null,false,[2,["x"]]]}"#, "aea8a78d64f7dd173c8192144f2c85fc80d481bcd2cd6be0a0f59e7668012193")]
    #[case(r#"{"l":["€","\u007f","\u0000"]}"#, "8e069ec356315cfaffacd5153dd8e22bd0f61a93b81088331484383682685289")]
    fn the_vectors_of_the_reference(#[case] text: &str, #[case] signature: &str) {
        let mut message = message(text);
        assert_eq!(compute(&message, SECRET), signature);
        sign(&mut message, SECRET);
        assert!(verify(&message, SECRET));
        assert!(!verify(&message, "another secret"));
    }

    #[test]
    fn an_empty_secret_signs_nothing_and_takes_anything() {
        let mut message = message(r#"{"a":1,"message_signature":"nonsense"}"#);
        assert!(verify(&message, ""));
        sign(&mut message, "");
        assert_eq!(message.get(FIELD), Some(&"".into()));
    }

    #[rstest]
    #[case(r#"{"a":1}"#)]
    #[case(r#"{"a":1,"b":"x","message_signature":7}"#)]
    #[case(r#"{"a":1,"b":"x","message_signature":"4719"}"#)]
    #[case(r#"{"a":1,"b":"x","message_signature":"471"}"#)]
    #[case(r#"{"a":1,"b":"x","message_signature":"4719713C4D2E2693A27A3580446DF939E4E9A8FED0BD98EAA8B53AF3B2CF9A35"}"#)]
    fn a_wrong_signature_is_refused(#[case] text: &str) {
        assert!(!verify(&message(text), SECRET));
    }

    proptest! {
        /// Whatever is signed verifies, and no longer once a value is another.
        #[test]
        fn what_is_signed_verifies(keys in prop::collection::vec("\\PC{0,5}", 1..6), text in "\\PC*") {
            let mut message: Dict = keys.iter().map(|key| (key.as_str(), text.as_str())).collect();
            sign(&mut message, SECRET);
            prop_assert!(verify(&message, SECRET));
            message.insert("another", 1);
            prop_assert!(!verify(&message, SECRET));
        }
    }
}
