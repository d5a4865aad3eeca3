//! How long placing takes, and how even and how steady it is: `cargo bench --bench placement`.

use divan::{Bencher, black_box};
use nephoscope::cluster::Ring;
use std::collections::BTreeMap;

/// The size at which one placement must stay under 10 ms.
const MEMBERS: usize = 1_000;
const QUEUES: usize = 10_000;

fn main() {
    print_table();
    divan::main();
}

fn members(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("controller-{n}")).collect()
}

fn queues(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("nephoscope.ceilometer.cpu_source_cpu_sink.g1.{n}")).collect()
}

fn ring(members: &[String]) -> Ring {
    Ring::new(members.iter().map(|id| (id.as_str(), 1)))
}

fn place<'a>(ring: &'a Ring, queues: &'a [String], owners: &BTreeMap<&str, &'a str>) -> BTreeMap<&'a str, &'a str> {
    ring.place(queues.iter().map(String::as_str), |queue| owners.get(queue).copied())
}

/// One joins, one leaves: what moves, and what at least had to.
fn print_table() {
    println!("{:>8} {:>6} {:>10} {:>12} {:>12}", "members", "queues", "max - min", "join: moved", "leave: moved");
    for count in [3, 5, 8, 13, 21, 34, 50] {
        let queues = queues(count * 10 + 7);
        let (few, many) = (members(count), members(count + 1));
        let (few, many) = (ring(&few), ring(&many));
        let before = place(&few, &queues, &BTreeMap::new());
        let after = place(&many, &queues, &before);
        let mut loads = BTreeMap::new();
        after.values().for_each(|member| *loads.entry(*member).or_insert(0usize) += 1);
        let (least, most) = (loads.values().min().unwrap_or(&0), loads.values().max().unwrap_or(&0));
        let newcomer = format!("controller-{count}");
        let had = loads.get(newcomer.as_str()).copied().unwrap_or(0);
        let joined = after.iter().filter(|(queue, member)| before[*queue] != **member).count();
        let left = place(&few, &queues, &after);
        let leaving = left.iter().filter(|(queue, member)| after[*queue] != **member).count();
        let spread = most - least;
        println!("{count:>8} {:>6} {spread:>10} {joined:>5} of {had:>3} {leaving:>6} of {had:>3}", queues.len());
    }
    println!();
}

/// What happens at every view: the ring is kept, nobody moves.
#[divan::bench]
fn a_view_without_a_change(bencher: Bencher) {
    let (members, queues) = (members(MEMBERS), queues(QUEUES));
    let ring = ring(&members);
    let owners = place(&ring, &queues, &BTreeMap::new());
    bencher.bench(|| place(black_box(&ring), &queues, &owners));
}

/// Every queue walks.
#[divan::bench]
fn the_first_placement(bencher: Bencher) {
    let (members, queues) = (members(MEMBERS), queues(QUEUES));
    let ring = ring(&members);
    bencher.bench(|| place(black_box(&ring), &queues, &BTreeMap::new()));
}

/// A member leaves, and joins again: what the ring costs before placing, twice.
#[divan::bench]
fn two_changes_of_the_ring(bencher: Bencher) {
    let members = members(MEMBERS);
    let mut ring = ring(&members);
    let weighted = |members: &[String]| members.iter().map(|id| (id.clone(), 1)).collect::<Vec<_>>();
    let (few, many) = (weighted(&members[1..]), weighted(&members));
    bencher.bench_local(|| {
        ring.set_members(few.iter().map(|(id, weight)| (id.as_str(), *weight)));
        ring.set_members(many.iter().map(|(id, weight)| (id.as_str(), *weight)));
    });
}

/// The ring of a member that has just started.
#[divan::bench]
fn the_first_ring(bencher: Bencher) {
    let members = members(MEMBERS);
    bencher.bench(|| ring(black_box(&members)));
}
