//! The notifications that the loops work on.

use nephoscope::model::envelope;
use std::fmt::Write as _;

/// The bundled mix, one notification each.
pub(crate) fn bundled() -> Vec<Vec<u8>> {
    include_str!("../../config/notifications.jsonl").lines().map(|line| line.as_bytes().to_vec()).collect()
}

/// These notifications over and over, no two with the same message ID.
pub(crate) fn repeated(bodies: &[Vec<u8>], count: usize) -> impl Iterator<Item = Vec<u8>> {
    let rounds = bodies.iter().cycle().take(count).enumerate();
    rounds.map(|(n, body)| distinct(body, n, n / bodies.len(), &["message_id"]))
}

/// The n-th notification, of a later round through the mix: IDs of its own, and a minute later for each round.
pub(crate) fn distinct(body: &[u8], n: usize, round: usize, ids: &[&str]) -> Vec<u8> {
    let mut text = String::from_utf8(body.to_vec()).unwrap();
    for before in ["T", " "] {
        let later = format!("{before}{:02}:{:02}:", 10 + round / 60 % 12, round % 60);
        text = text.replace(&format!("{before}10:00:"), &later);
    }
    for id in ids {
        let mut parts = text.split(id);
        let mut distinct = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (mark, value) = part.split_at(part.find(|c: char| c.is_ascii_alphanumeric()).unwrap_or(part.len()));
            // The last eight digits of a UUID.
            match value.get(..36).filter(|uuid| uuid.matches('-').count() == 4) {
                Some(uuid) => {
                    let _written = write!(distinct, "{id}{mark}{}{n:08x}{}", &uuid[..28], &value[36..]);
                }
                None => {
                    let _written = write!(distinct, "{id}{part}");
                }
            }
        }
        text = distinct;
    }
    text.into_bytes()
}

/// Whether the event endpoint looks at a notification.
pub(crate) fn makes_an_event(body: &[u8]) -> bool {
    envelope::open(body).unwrap().priority().gives_events()
}

/// A notification whose body has about so many bytes, most of them in small members of its payload.
pub(crate) fn of_size(bytes: usize, n: usize) -> Vec<u8> {
    let wire = |members: usize| {
        let filling: serde_json::Map<String, serde_json::Value> =
            (0..members).map(|at| (format!("key-{at:05}"), format!("a value of {at:05}").into())).collect();
        let message = serde_json::json!({
            "message_id": format!("5dff42f0-abc6-4c39-86da-{n:012x}"),
            "publisher_id": "volume.stor-01@ceph",
            "event_type": "volume.create.end",
            "priority": "INFO",
            "timestamp": "2026-03-01 10:00:00.000000",
            "_context_project_id": "24422850abc31525d567e2fd4bd0adcb",
            "payload": {
                "tenant_id": "24422850abc31525d567e2fd4bd0adcb",
                "user_id": "f5133a4ad093c09ce3f2e952da3da430",
                "volume_id": format!("8af60360-afd9-4dbb-a83a-{n:012x}"),
                "display_name": "volume-1",
                "status": "available",
                "size": 10,
                "volume_type": "lvm",
                "created_at": "2026-03-01T10:00:00+00:00",
                "metadata": filling,
            },
        });
        serde_json::json!({"oslo.version": "2.0", "oslo.message": message.to_string()}).to_string().into_bytes()
    };
    let (empty, hundred) = (wire(0).len(), wire(100).len());
    wire(bytes.saturating_sub(empty) * 100 / (hundred - empty))
}
