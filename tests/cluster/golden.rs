//! Placement by file: processes of different builds must agree while they work side by side.

use nephoscope::cluster::Ring;
use std::collections::BTreeMap;
use std::fmt::Write as _;

type Placed = BTreeMap<String, String>;

#[test]
fn placement_is_the_same_in_every_build() {
    let mut table = String::new();
    let units: Vec<String> = (0..24).map(|n| format!("nephoscope.ceilometer.cpu_source_cpu_sink.g1.{n}")).collect();
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
        let placed = ring.place(units.iter().map(String::as_str), |unit| owners.get(unit).map(String::as_str));
        let next: Placed = placed.into_iter().map(|(unit, member)| (unit.to_owned(), member.to_owned())).collect();
        let loads: Vec<usize> =
            members.iter().map(|(id, _)| next.values().filter(|member| member == id).count()).collect();
        let moved = next.iter().filter(|(unit, member)| owners.get(*unit).is_some_and(|b| b != *member)).count();
        writeln!(table, "{members:?}: {loads:?} moved {moved}").unwrap();
        for (unit, member) in &next {
            writeln!(table, "  {unit} {member}").unwrap();
        }
        owners = next;
    }
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/placement.txt");
    if std::env::var_os("NEPHOSCOPE_BLESS").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    assert_eq!(table, std::fs::read_to_string(&file).unwrap(), "a running cluster would disagree with this build");
}
