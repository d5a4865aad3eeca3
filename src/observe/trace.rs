//! The ids that go with one measured value as its exemplar, so that from a slow one on a dashboard one comes to the message.

/// Characters of one id at most. OpenMetrics allows an exemplar 128 characters in all, names included.
const ID_CHARACTERS_MAX: usize = 50;

/// What one message is found by, in logs of OpenStack's services and in events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    message_id: Option<String>,
    request_id: Option<String>,
}

impl Trace {
    /// The notification's own id, and the id of the request that caused it (`req-…`). What a sender could abuse to write
    /// something else on the page is left out: an id has letters, digits and `-_.:`, and at most 50 of them.
    pub fn new(message_id: Option<&str>, request_id: Option<&str>) -> Trace {
        let mark = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        let sound = |id: &&str| !id.is_empty() && id.len() <= ID_CHARACTERS_MAX && id.chars().all(mark);
        let kept = |id: Option<&str>| id.filter(sound).map(str::to_owned);
        Trace { message_id: kept(message_id), request_id: kept(request_id) }
    }

    /// The labels of the exemplar; none where there is no id.
    pub fn labels(self) -> Vec<(&'static str, String)> {
        let labels = [("message_id", self.message_id), ("request_id", self.request_id)];
        labels.into_iter().filter_map(|(name, id)| Some((name, id?))).collect()
    }
}
