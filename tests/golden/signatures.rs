//! `message`, `secret` → `signature` (Ceilometer reference §4.6).

use super::run;
use nephoscope::model::Value;
use nephoscope::publish::signature;

#[test]
fn signatures_are_those_of_the_original() {
    run("signatures", &[], |case| {
        let text = |key| case.get(key).and_then(Value::as_str).ok_or(format!("no {key}"));
        let message = case.get("message").and_then(Value::as_dict).ok_or("no message")?;
        let (secret, expected) = (text("secret")?, text("signature")?);
        let computed = signature::compute(message, secret);
        if computed != expected {
            return Err(format!("computed {computed}, expected {expected}"));
        }
        let mut signed = message.clone();
        signature::sign(&mut signed, secret);
        if signature::verify(&signed, secret) { Ok(()) } else { Err("what was signed does not verify".to_owned()) }
    });
}
