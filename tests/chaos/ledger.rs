//! What is owed, held against what arrived.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

use super::collector::{Arrival, Book, OUTPUTS};
use super::sender::{Fate, Load, rate};

const RATES: usize = 1;
/// How many of what is wrong are named.
const NAMED: usize = 8;

/// The judgement on one run.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Notifications that are owed.
    pub owed: usize,
    /// Notifications that nobody can read and that the broker has for sure.
    pub poison: usize,
    /// Records that are owed and did not come.
    pub lost: usize,
    /// Records that came first after a later one of their resource.
    pub disordered: usize,
    /// Rates that are not those of a single node.
    pub wrong: usize,
    /// Records of nothing that was sent, or under a second id.
    pub invented: usize,
    /// Records that came again under the same id, by output.
    pub repeats: [usize; 3],
    /// The longest time in which nothing new came of a resource, over all outputs.
    pub pause: Duration,
    /// The first few of what is wrong.
    pub named: Vec<String>,
}

impl Verdict {
    /// Whether every promise was kept (repeats are judged by the scenario).
    pub fn is_kept(&self) -> bool {
        self.lost + self.disordered + self.wrong + self.invented == 0
    }

    fn wrong(&mut self, what: impl FnOnce() -> String) {
        if self.named.len() < NAMED {
            self.named.push(what());
        }
    }
}

/// How many records that are owed have not come yet.
pub fn missing(fates: &[Fate], book: &Book, load: Load) -> usize {
    let owed = fates.iter().enumerate().filter(|(_, fate)| **fate == Fate::Owed);
    owed.map(|(n, _)| {
        let seen = book.seen.get(n).copied().unwrap_or_default();
        (expected(n, load) & !seen).count_ones() as usize
    })
    .sum()
}

/// Judges what arrived from `began` on.
pub fn judge(fates: &[Fate], book: &Book, load: Load, began: Instant) -> Verdict {
    let mut verdict = Verdict {
        owed: fates.iter().filter(|fate| **fate == Fate::Owed).count(),
        poison: fates.iter().filter(|fate| **fate == Fate::Poison).count(),
        lost: missing(fates, book, load),
        ..Verdict::default()
    };
    if verdict.lost > 0 {
        name_the_lost(fates, book, load, &mut verdict);
    }
    for (output, arrivals) in book.arrivals.iter().enumerate() {
        let first = firsts(output, arrivals, fates, load, began, &mut verdict);
        if output == RATES {
            check_rates(&first, fates, load, &mut verdict);
        }
    }
    verdict
}

fn name_the_lost(fates: &[Fate], book: &Book, load: Load, verdict: &mut Verdict) {
    for (n, _) in fates.iter().enumerate().filter(|(_, fate)| **fate == Fate::Owed) {
        let seen = book.seen.get(n).copied().unwrap_or_default();
        let missing = expected(n, load) & !seen;
        for (bit, output) in OUTPUTS.iter().enumerate().filter(|(bit, _)| missing >> bit & 1 == 1) {
            let _ = bit;
            let place = load.place(u32::try_from(n).unwrap());
            verdict.wrong(|| format!("lost: {output} of m-{n} {place:?}"));
        }
    }
}

/// The first arrival of every number; what came again, strangers and the order are judged on the way.
fn firsts(
    output: usize,
    arrivals: &[Arrival],
    fates: &[Fate],
    load: Load,
    began: Instant,
    verdict: &mut Verdict,
) -> BTreeMap<u32, Arrival> {
    let name = OUTPUTS[output];
    let mut first: BTreeMap<u32, Arrival> = BTreeMap::new();
    let mut last: BTreeMap<u32, (u32, Instant)> = BTreeMap::new();
    for arrival in arrivals {
        let Some(n) = arrival.n.filter(|n| fates.get(*n as usize).is_some() && !load.is_poison(*n)) else {
            verdict.invented += 1;
            verdict.wrong(|| format!("invented: {name} {arrival:?}"));
            continue;
        };
        match first.get(&n) {
            Some(known) if known.id == arrival.id => verdict.repeats[output] += 1,
            Some(_) => {
                verdict.invented += 1;
                verdict.wrong(|| format!("a second id: {name} m-{n}"));
            }
            None => {
                first.insert(n, *arrival);
                let (resource, counter) = load.place(n);
                let (before, at) = last.insert(resource, (counter, arrival.at)).unwrap_or((0, began.max(arrival.at)));
                verdict.pause = verdict.pause.max(arrival.at.saturating_duration_since(at));
                if counter < before {
                    verdict.disordered += 1;
                    verdict.wrong(|| format!("out of order: {name} r-{resource} {counter} after {before}"));
                }
            }
        }
    }
    first
}

/// The oracle: one node that has seen, in order, all that is owed, and of the unsure what evidently took effect.
fn check_rates(first: &BTreeMap<u32, Arrival>, fates: &[Fate], load: Load, verdict: &mut Verdict) {
    let mut before: BTreeMap<u32, u32> = BTreeMap::new();
    for (n, fate) in (0_u32..).zip(fates) {
        let got = first.get(&n);
        if *fate == Fate::Poison || (*fate == Fate::Unsure && got.is_none()) {
            continue;
        }
        let (resource, counter) = load.place(n);
        let expected = before.insert(resource, counter).map(|before| (before, rate(before, counter)));
        match (expected, got) {
            (Some((_, rate)), Some(got)) if rate.to_bits() == got.value.to_bits() => {}
            (Some((before, rate)), Some(got)) => {
                verdict.wrong += 1;
                verdict.wrong(|| format!("rate: r-{resource} {counter} since {before}: {rate} but {}", got.value));
            }
            (None, Some(_)) => {
                verdict.invented += 1;
                verdict.wrong(|| format!("invented: a rate of the first sample of r-{resource}"));
            }
            (_, None) => {} // lost, counted there; or the first
        }
    }
}

/// When all had come of a number.
pub fn came(book: &Book, n: u32, load: Load) -> Option<Instant> {
    let seen = book.seen.get(n as usize).copied().unwrap_or_default();
    let first = |list: &Vec<Arrival>| list.iter().find(|arrival| arrival.n == Some(n)).map(|arrival| arrival.at);
    (expected(n as usize, load) & !seen == 0).then(|| book.arrivals.iter().filter_map(first).max())?
}

/// The outputs, by bits, at which a number is owed: the first of a resource has no rate.
fn expected(n: usize, load: Load) -> u8 {
    if n < load.resources as usize { 0b101 } else { 0b111 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const PLAIN: usize = 0;
    const LOAD: Load = Load { rate: 1, resources: 2, poison_percent: 0 };

    #[test]
    fn one_has_come_when_its_rate_has_come_too() {
        let (_, mut book) = kept();
        assert!(came(&book, 5, LOAD).is_some() && came(&book, 6, LOAD).is_none());
        book.seen[5] = 0b101;
        assert!(came(&book, 5, LOAD).is_none());
    }

    /// Six notifications of two resources, all confirmed, and everything that comes of them.
    fn kept() -> (Vec<Fate>, Book) {
        let mut book = Book { seen: vec![0b111; 6], ..Book::default() };
        let at = Instant::now();
        for n in 0..6 {
            let (_, counter) = LOAD.place(n);
            for (output, list) in book.arrivals.iter_mut().enumerate() {
                let value = if output == RATES && counter > 0 { rate(counter - 1, counter) } else { 0.0 };
                if output != RATES || counter > 0 {
                    list.push(Arrival { n: Some(n), id: u128::from(n), at, value });
                }
            }
        }
        (vec![Fate::Owed; 6], book)
    }

    #[rstest]
    #[case::nothing(|_: &mut Book| {}, [0, 0, 0, 0, 0])]
    #[case::a_record_is_lost(|book: &mut Book| book.seen[4] = 0b110, [1, 0, 0, 0, 0])]
    #[case::two_change_places(|book: &mut Book| book.arrivals[PLAIN].swap(2, 4), [0, 1, 0, 0, 0])]
    #[case::a_rate_is_wrong(|book: &mut Book| book.arrivals[RATES][3].value += 0.5, [0, 0, 1, 0, 0])]
    #[case::something_was_never_sent(|book: &mut Book| book.arrivals[PLAIN][3].n = Some(6), [0, 0, 0, 1, 0])]
    #[case::the_same_comes_under_another_id(
        |book: &mut Book| { let again = Arrival { id: 99, ..book.arrivals[PLAIN][3] }; book.arrivals[PLAIN].push(again) },
        [0, 0, 0, 1, 0]
    )]
    #[case::the_same_comes_again(
        |book: &mut Book| { let again = book.arrivals[PLAIN][0]; book.arrivals[PLAIN].push(again) },
        [0, 0, 0, 0, 1]
    )]
    fn a_book_is_spoilt(#[case] spoil: fn(&mut Book), #[case] expected: [usize; 5]) {
        let (fates, mut book) = kept();
        spoil(&mut book);
        let verdict = judge(&fates, &book, LOAD, Instant::now());
        let repeats = verdict.repeats.iter().sum();
        assert_eq!([verdict.lost, verdict.disordered, verdict.wrong, verdict.invented, repeats], expected);
    }

    #[test]
    fn an_unconfirmed_one_that_took_effect_is_before_the_next() {
        let (mut fates, mut book) = kept();
        fates[2] = Fate::Unsure;
        assert!(judge(&fates, &book, LOAD, Instant::now()).is_kept());
        // It took no effect: then the next rate is since the one before it.
        book.arrivals[RATES].retain(|arrival| arrival.n != Some(2));
        assert_eq!(judge(&fates, &book, LOAD, Instant::now()).wrong, 1);
        book.arrivals[RATES].iter_mut().find(|arrival| arrival.n == Some(4)).unwrap().value = rate(0, 2);
        assert!(judge(&fates, &book, LOAD, Instant::now()).is_kept());
    }
}
