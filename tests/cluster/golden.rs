//! Placement and slot tables by file: processes of different builds must agree while they work side by side.

use nephoscope::cluster::{Ring, Spec, hash};
use std::collections::BTreeMap;
use std::fmt::Write as _;

type Placed = BTreeMap<String, String>;

#[test]
fn placement_is_the_same_in_every_build() {
    let mut table = String::new();
    let queues: Vec<String> = (0..24).map(|n| format!("nephoscope.ceilometer.cpu_source_cpu_sink.g1.{n}")).collect();
    let mut owners = Placed::new();
    let changes: [&[(&str, u32)]; 5] = [
        &[("controller-1", 10)],
        &[("controller-1", 10), ("controller-2", 10), ("controller-3", 10)],
        &[("controller-1", 10), ("controller-3", 10)],
        &[("controller-1", 10), ("controller-3", 10), ("controller-4", 40)],
        &[("controller-4", 40), ("controller-5", 1), ("controller-6", 100)],
    ];
    for members in changes {
        let ring = Ring::new(members.iter().copied());
        let placed = ring.place(queues.iter().map(String::as_str), |queue| owners.get(queue).map(String::as_str));
        let next: Placed = placed.into_iter().map(|(queue, member)| (queue.to_owned(), member.to_owned())).collect();
        let loads: Vec<usize> =
            members.iter().map(|(id, _)| next.values().filter(|member| member == id).count()).collect();
        let moved = next.iter().filter(|(queue, member)| owners.get(*queue).is_some_and(|b| b != *member)).count();
        writeln!(table, "{members:?}: {loads:?} moved {moved}").unwrap();
        for (queue, member) in &next {
            writeln!(table, "  {queue} {member}").unwrap();
        }
        owners = next;
    }
    compare("placement.txt", &table);
}

/// The hash of the placements of a larger group whose members and weights change twelve times, each placement by the one before.
const LARGE_GROUP: u64 = 0xb837_2936_c3cb_c826;

#[test]
fn placement_of_a_large_group_is_the_same_in_every_build() {
    let queues: Vec<String> = (0..700).map(|n| format!("nephoscope.ceilometer.cpu_source_cpu_sink.g1.{n}")).collect();
    let (mut known, mut owners) = (0, Placed::new());
    for step in 0..12u32 {
        let present = (0..60u32).filter(|n| (n * 7 + step * 13) % 12 != 0);
        let members: Vec<(String, u32)> =
            present.map(|n| (format!("controller-{n}"), 1 + (n * 37 + step * 11) % 100)).collect();
        let ring = Ring::new(members.iter().map(|(id, weight)| (id.as_str(), *weight)));
        let placed = ring.place(queues.iter().map(String::as_str), |queue| owners.get(queue).map(String::as_str));
        let mut text = format!("{known:016x}\n");
        placed.iter().for_each(|(queue, member)| writeln!(text, "{queue} {member}").unwrap());
        known = hash::stable(text.as_bytes());
        owners = placed.into_iter().map(|(queue, member)| (queue.to_owned(), member.to_owned())).collect();
    }
    assert_eq!(known, LARGE_GROUP, "{known:#018x}: a running cluster would disagree with this build");
}

#[test]
fn slot_tables_are_the_same_in_every_build() {
    let mut spec = Spec::first(4).unwrap();
    let mut lines = spec.write() + "\n";
    for queues in [6, 13, 5, 1, 2] {
        let planned = spec.planned(queues).unwrap();
        let moved = spec.present.table.moved(&planned.next.as_ref().unwrap().table).count();
        spec = planned.completed();
        writeln!(lines, "{queues} queues, {moved} slots moved\n{}", spec.write()).unwrap();
    }
    writeln!(lines, "a change under way\n{}", spec.planned(3).unwrap().write()).unwrap();
    compare("spec.txt", &lines);
}

fn compare(name: &str, made: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("NEPHOSCOPE_BLESS").is_some() {
        std::fs::write(&file, made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        made == kept,
        "{name}: a running cluster would disagree with this build; NEPHOSCOPE_BLESS=1 writes it anew"
    );
}
