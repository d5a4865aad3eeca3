//! The id by which one message of each second is found again: it stands as an exemplar on the page for Prometheus, at the main
//! queue, and where the notification went to another agent, at the pipeline queue too.
//!
//! Never here: an id that could be anything but letters, digits and a few marks, or a message's other content.

use crate::agent::packets::packet;
use crate::model::{Value, envelope};
use crate::observe::Trace;

/// How what an agent puts on a pipeline queue begins.
const PACKET: &[u8] = b"{\"format\":";
/// A larger message is not read once more for its id.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Whether a message is small enough to be read once more.
pub(in crate::agent) fn reads(body: &[u8]) -> bool {
    body.len() <= BODY_BYTES_MAX
}

/// The ids in a message: of a notification, its own and that of the request that caused it; of a packet, of the first
/// notification in it. Empty where there are none.
pub(in crate::agent) fn of(body: &[u8]) -> Trace {
    if body.starts_with(PACKET) {
        let packet = packet::read(body).ok();
        let first = packet.as_ref().and_then(|packet| packet.fragments.first());
        return Trace::new(first.and_then(|fragment| fragment.message_id.as_str()), None);
    }
    let Ok(notification) = envelope::open(body) else { return Trace::default() };
    let context = notification.root().as_dict().and_then(|root| root.get("ctxt")).and_then(Value::as_dict);
    let request = context.and_then(|context| context.get("request_id")).and_then(Value::as_str);
    Trace::new(notification.message_id().as_str(), request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::packets::packet::{Fragment, PacketBuilder};
    use crate::publish::Batch;

    fn notification(message_id: &str, request: &str) -> Vec<u8> {
        format!(
            r#"{{"_context_request_id":"{request}","message_id":"{message_id}","event_type":"a.b","publisher_id":"p","payload":{{}},"priority":"INFO","timestamp":"2026-11-30 10:00:00"}}"#
        )
        .into_bytes()
    }

    #[test]
    fn a_notification_and_the_packet_that_it_travels_in_have_the_same_id() {
        let labels = |body: &[u8]| of(body).labels();
        let (id, request) = ("5c0cbbd2-8b5a-4a52-8c7d-3a3bfa2d4a01", "req-57f9f2a8-27f9-4d5c-8f9a-0f2f7a3b6a11");
        let both = vec![("message_id", id.to_owned()), ("request_id", request.to_owned())];
        assert_eq!(labels(&notification(id, request)), both);
        let mut builder = PacketBuilder::new("agent-1", 3, 1);
        let fragment = |id: &str| Fragment {
            message_id: Value::from(id.to_owned()),
            pipeline: "meters".into(),
            batch: Batch::Samples(Vec::new()),
        };
        builder.push(&fragment(id));
        builder.push(&fragment("another"));
        assert_eq!(labels(&builder.finish()), [("message_id", id.to_owned())]);
    }

    #[test]
    fn a_large_message_is_not_read_once_more() {
        let read = |bytes: usize| reads(" ".repeat(bytes).as_bytes());
        assert!(read(BODY_BYTES_MAX) && !read(BODY_BYTES_MAX + 1));
    }

    #[test]
    fn what_is_no_id_is_left_out() {
        for strange in ["", "a b", "a\\\"} 1", "\\u202eid", "x\\n# EOF", &"x".repeat(65)] {
            assert!(of(&notification(strange, strange)).labels().is_empty(), "{strange}");
        }
        for body in ["", "{", "{\"format\":", "{\"format\":7}", "[]", "\u{0}"] {
            assert!(of(body.as_bytes()).labels().is_empty(), "{body}");
        }
    }
}
