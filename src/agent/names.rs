//! Names of the queues that are the agent's own. Written down, with their arguments, in `docs/formats.md`.

/// The generation of the pipeline queues: it will change when their number can change while running.
const GENERATION: u32 = 1;

/// `nephoscope.<group>.<sink>.g<generation>.<n>`
pub fn pipeline_queue(group: &str, sink: &str, n: u16) -> String {
    format!("nephoscope.{group}.{sink}.g{GENERATION}.{n}")
}

/// `nephoscope.<group>.parked`
pub fn parking_queue(group: &str) -> String {
    format!("nephoscope.{group}.parked")
}
