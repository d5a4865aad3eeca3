//! Selects the notifications that the agent handles: the seven priorities, and filter rules as oslo.messaging's `NotificationFilter` has
//! them.
//!
//! A rule is a set of regular expressions on `publisher_id`, `event_type` and on keys of `context`, `metadata` and
//! `payload`; all must match at the beginning of the text, as Python's `re.match`. A notification passes when any rule
//! matches, or when there is none. An unknown priority never comes here: it is unreadable, and parked.

use fancy_regex::Regex;

use crate::model::{Notification, Value};

/// Who looks at a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The converters: at least one of them.
    Convert {
        /// The sample endpoints look at it (Ceilometer reference §4.4).
        samples: bool,
        /// The event endpoint looks at it (Ceilometer reference §4.2).
        events: bool,
    },
    /// Nobody, by its priority or by the rules: it is acknowledged, as Ceilometer does.
    Nobody,
}

/// The rules.
#[derive(Debug, Clone, Default)]
pub struct Dispatcher {
    rules: Vec<Rule>,
}

impl Dispatcher {
    /// A dispatcher of these rules; without any, everything passes.
    pub fn new(rules: Vec<Rule>) -> Self {
        Dispatcher { rules }
    }

    /// The members of the request context that the rules look at.
    pub fn context_members(&self) -> impl Iterator<Item = &str> {
        let conditions = self.rules.iter().flat_map(|rule| &rule.conditions);
        conditions.filter_map(|(field, _)| match field {
            Field::Key("ctxt", key) => Some(key.as_str()),
            Field::Key(..) | Field::PublisherId | Field::EventType => None,
        })
    }

    /// Where this notification goes.
    pub fn route(&self, notification: &Notification) -> Route {
        let (samples, events) = (notification.priority().gives_samples(), notification.priority().gives_events());
        let passes = self.rules.is_empty() || self.rules.iter().any(|rule| rule.matches(notification));
        if passes && (samples || events) { Route::Convert { samples, events } } else { Route::Nobody }
    }
}

/// One rule: every condition must hold.
#[derive(Debug, Clone)]
pub struct Rule {
    conditions: Vec<(Field, Regex)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    PublisherId,
    EventType,
    /// A key of one of the notification's dictionaries.
    Key(&'static str, String),
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No `=`.
    #[error("{0:?} is no condition, expected <field>=<regular expression>")]
    NoCondition(String),
    /// A field that rules do not look at.
    #[error("unknown field {0:?}, expected publisher_id, event_type, context.<key>, metadata.<key> or payload.<key>")]
    UnknownField(String),
    /// Not a regular expression.
    #[error("the expression for {field} is wrong: {cause}")]
    Expression {
        /// The field.
        field: String,
        /// What is wrong.
        cause: String,
    },
}

impl Rule {
    /// Reads `publisher_id=^compute;event_type=^compute\.;payload.tenant_id=abc`. A `;` of an expression is written `\;`.
    pub fn parse(text: &str) -> Result<Rule, RuleError> {
        let conditions = pieces(text).iter().map(|piece| condition(piece)).collect::<Result<Vec<_>, _>>()?;
        if conditions.is_empty() { Err(RuleError::NoCondition(text.to_owned())) } else { Ok(Rule { conditions }) }
    }

    fn matches(&self, notification: &Notification) -> bool {
        self.conditions.iter().all(|(field, regex)| {
            // Where there is no string Ceilometer raises; here the rule does not match. An expression that runs away
            // on a text (the engine counts its steps) does not match either.
            field.text(notification).is_some_and(|text| regex.is_match(text).unwrap_or(false))
        })
    }
}

impl Field {
    fn text<'n>(&self, notification: &'n Notification) -> Option<&'n str> {
        match self {
            Field::PublisherId => notification.publisher_id().as_str(),
            Field::EventType => notification.event_type(),
            Field::Key(dict, key) => {
                let dict = notification.root().as_dict()?.get(dict)?;
                dict.as_dict()?.get(key).and_then(Value::as_str)
            }
        }
    }
}

fn condition(text: &str) -> Result<(Field, Regex), RuleError> {
    let Some((field, expression)) = text.split_once('=') else { return Err(RuleError::NoCondition(text.to_owned())) };
    let known = match field.trim() {
        "publisher_id" => Some(Field::PublisherId),
        "event_type" => Some(Field::EventType),
        name => match name.split_once('.') {
            Some(("context", key)) => Some(Field::Key("ctxt", key.to_owned())),
            Some(("metadata", key)) => Some(Field::Key("metadata", key.to_owned())),
            Some(("payload", key)) => Some(Field::Key("payload", key.to_owned())),
            _ => None,
        },
    };
    let known = known.ok_or_else(|| RuleError::UnknownField(field.trim().to_owned()))?;
    let anchored = Regex::new(&format!(r"\A(?:{expression})"));
    let wrong = |e: fancy_regex::Error| RuleError::Expression { field: field.trim().to_owned(), cause: e.to_string() };
    Ok((known, anchored.map_err(wrong)?))
}

/// The text between semicolons; an escaped one stays.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let last = pieces.len() - 1;
        match letter {
            '\\' if letters.next_if_eq(&';').is_some() => pieces[last].push(';'),
            ';' => pieces.push(String::new()),
            other => pieces[last].push(other),
        }
    }
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Priority, envelope};
    use rstest::rstest;

    fn notification() -> Notification {
        let body = br#"{"publisher_id":"compute.host1","event_type":"compute.instance.update","priority":"INFO",
            "message_id":"m","timestamp":"2026-01-01","payload":{"tenant_id":"abc","size":3,"a;b":"x"},"_context_user":"u"}"#;
        envelope::open(body).unwrap()
    }

    #[rstest]
    #[case("event_type=compute", true)]
    #[case("event_type=instance", false)]
    #[case(r"publisher_id=^compute;event_type=^compute\.;payload.tenant_id=abc", true)]
    #[case("publisher_id=^compute;payload.tenant_id=xyz", false)]
    #[case("payload.size=3", false)]
    #[case("payload.nothing=.*", false)]
    #[case("metadata.timestamp=2026", true)]
    #[case("context.user=u$", true)]
    #[case(r"payload.a\;b=x", true)]
    #[case("event_type=(?!compute)", false)]
    #[case("event_type=a|compute", true)]
    #[case("event_type=(a+)+$", false)]
    fn a_rule_matches_as_re_match_does(#[case] rule: &str, #[case] passes: bool) {
        let dispatcher = Dispatcher::new(vec![Rule::parse(rule).unwrap()]);
        let expected = if passes { Route::Convert { samples: true, events: true } } else { Route::Nobody };
        assert_eq!(dispatcher.route(&notification()), expected);
    }

    #[rstest]
    #[case("", "is no condition")]
    #[case("compute", "is no condition")]
    #[case("payload=x", "unknown field \"payload\"")]
    #[case("event_type=(", "the expression for event_type is wrong")]
    fn a_wrong_rule_says_why(#[case] rule: &str, #[case] why: &str) {
        let error = Rule::parse(rule).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[rstest]
    #[case(Priority::Info, Route::Convert { samples: true, events: true })]
    #[case(Priority::Sample, Route::Convert { samples: true, events: false })]
    #[case(Priority::Error, Route::Convert { samples: false, events: true })]
    #[case(Priority::Debug, Route::Nobody)]
    #[case(Priority::Audit, Route::Nobody)]
    fn without_rules_the_priority_decides(#[case] priority: Priority, #[case] expected: Route) {
        let notification = Notification::from_root(priority, notification().root().as_dict().unwrap().clone());
        assert_eq!(Dispatcher::default().route(&notification), expected);
    }
}
