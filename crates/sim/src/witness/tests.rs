use super::*;
use nephoscope::state::WindowBounds;
use nephoscope::transport::MemoryBroker;

const PACKET: &[u8] = br#"{"format":1,"epoch":1,"sequence":1,"member":"m","fragments":[{"message_id":"m-1",
    "pipeline":"s:s","samples":[{"name":"cpu","type":"gauge","unit":"%","volume":1,"user_id":null,"user_name":null,
    "project_id":null,"project_name":null,"resource_id":"r","timestamp":"2026-01-01T00:00:00",
    "resource_metadata":{},"source":"openstack","id":"x","monotonic_time":null}]}]}"#;

#[tokio::test(start_paused = true)]
async fn a_message_with_a_copy_in_the_rescue_queue_is_done_with_and_the_copy_must_be_committed() {
    let (queue, copy) = ("q".to_owned(), topology::rescue_queue_name("q"));
    for (acknowledged, copied, is_early) in
        [(&queue, false, true), (&queue, true, false), (&copy, true, true), (&copy, false, true)]
    {
        let witness = Witness::new(Trace::new(), 1, true);
        let window = WindowBounds { ids_kept: 1, age_ms: 1, ids_max: 1 };
        witness.watch(Logs::new(MemoryBroker::default(), window));
        witness.grown("a", "q.state");
        let body = Bytes::from_static(PACKET);
        if copied {
            witness.rescued(&copy, body.clone());
        }
        witness.acknowledged("a", acknowledged, &body);
        let (_, violations) = witness.judge(0);
        let early = violations.iter().any(|violation| violation.invariant == Invariant::Committed);
        assert_eq!(early, is_early, "{acknowledged}, copied: {copied}: {violations:?}");
    }
}
