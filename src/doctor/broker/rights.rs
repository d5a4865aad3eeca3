//! Judges the rights of the user by the regular expressions that the management API shows to administrators.
//!
//! They tell the right to configure, which cannot be asked for over AMQP without changing something.

use std::collections::BTreeMap;

use crate::doctor::finding::Finding;
use crate::doctor::kinds;
use crate::doctor::management::pages::Permissions;
use crate::doctor::management::policies::pattern;
use crate::doctor::needs::Needs;
use crate::transport::shell;

/// The right to configure, where it is known; else the note that it is not.
pub(super) fn judged(needs: &Needs, permissions: Option<&Permissions>, user: &str, vhost: &str) -> Vec<Finding> {
    let user_word = shell::word(user);
    let Some(permissions) = permissions else {
        let found = "not looked at";
        let object = format!("configure, of user {user}");
        return vec![Finding::new(&kinds::RABBITMQ_RIGHT_UNKNOWN, object, found).filled(&[("USER", &user_word)])];
    };
    let exchanges = needs.exchanges.iter().map(|exchange| ("exchange", exchange.name.clone()));
    let queues = needs.names().map(|name| ("queue", name.to_owned()));
    let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (on, name) in exchanges.chain(queues) {
        if !allows(&permissions.configure, &name) {
            missing.entry(on).or_default().push(name);
        }
    }
    let finding = |(on, names): (&str, Vec<String>)| {
        let found = format!("the right is {:?}", permissions.configure);
        denied(&format!("configure {on} {}", names.join(", ")), &found, user, vhost)
    };
    missing.into_iter().map(finding).collect()
}

/// The finding of a right that is missing.
pub(super) fn denied(object: &str, found: &str, user: &str, vhost: &str) -> Finding {
    let words = [("VHOST", &*shell::word(vhost)), ("USER", &*shell::word(user))];
    Finding::new(&kinds::RABBITMQ_RIGHT_MISSING, object, found).filled(&words)
}

/// Whether RabbitMQ allows the name: an empty expression allows nothing but the empty name.
fn allows(expression: &str, name: &str) -> bool {
    let expression = if expression.is_empty() { "^$" } else { expression };
    // One that is not understood here is RabbitMQ's to judge.
    pattern(expression).is_none_or(|regex| regex.is_match(name).unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(".*", true)]
    #[case("", false)]
    #[case("^$", false)]
    #[case("notifications", true)]
    #[case("^nephoscope", false)]
    #[case("^(?!nova)", true)]
    #[case("(", true)]
    fn an_expression_allows_a_name(#[case] expression: &str, #[case] expected: bool) {
        assert_eq!(allows(expression, "notifications.info"), expected);
    }
}
