//! Notes as data: what was noted, what the broker has, and what the audit says of it.

mod windows;

use rstest::rstest;
use std::collections::BTreeMap;

use super::*;
use crate::model::Verdict;

/// One pipeline queue, into which each packet brings two records.
const QUEUE: &str = "nephoscope.g.sink.g1.0";
const RECORDS: u64 = 2;

/// What happens in a group of two main-queue owners and one pipeline queue, and is noted.
#[derive(Default)]
struct Books {
    notes: Vec<Note>,
    numbers: BTreeMap<String, u64>,
    time_ms: i64,
}

impl Books {
    fn note(&mut self, member: &str, entry: Option<Entry>) {
        self.notes_of(member, [entry]);
    }

    fn notes_of<const N: usize>(&mut self, member: &str, entries: [Option<Entry>; N]) {
        let number = self.numbers.entry(member.to_owned()).or_default();
        *number += 1;
        self.time_ms += 1_000;
        let (member, process, number) = (member.to_owned(), "p".to_owned(), *number);
        let entries = entries.into_iter().flatten().collect();
        self.notes.push(Note { format: FORMAT, member, process, number, time_ms: self.time_ms, entries });
    }
}

/// A main-queue owner sends packets, all that its notifications give.
fn sends(tally: &mut Tally, member: &str, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let packet = Packet { sender: member, epoch: 7, number, fragments: 1, records: RECORDS };
        tally.sent(QUEUE, packet, || Some(("sink".to_owned(), None)));
        tally.went_on([("sink", RECORDS)]);
        tally.message(Verdict::Kept, false);
    }
}

fn settles(tally: &mut Tally, sender: &str, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        tally.packet(Packet { sender, epoch: 7, number, fragments: 1, records: RECORDS });
        tally.worked(Work { records: RECORDS, delivered: RECORDS, ..Work::default() });
        tally.offered("file-1", Offered { offered: RECORDS, published: RECORDS, ..Offered::default() });
        tally.message(Verdict::Kept, false);
    }
}

fn main() -> Tally {
    Tally::new(Kind::Main, "notifications.info", None, 7)
}

fn owner(epoch: i64) -> Tally {
    Tally::new(Kind::Pipeline, QUEUE, Some("sink"), epoch)
}

fn sums<'n>(notes: impl IntoIterator<Item = &'n Note>) -> Sums {
    let mut sums = Sums::new(false);
    // Long before, so that all of it is compared.
    let (member, process) = ("first".to_owned(), "p".to_owned());
    sums.add(&Note { format: FORMAT, member, process, number: 1, time_ms: -10_000, entries: Vec::new() });
    notes.into_iter().for_each(|note| sums.add(&Note::decode(&note.encode()).unwrap()));
    sums
}

fn waits(ready: u64) -> BTreeMap<String, Waiting> {
    [(QUEUE.to_owned(), Waiting { ready, is_consumed: true, ..Waiting::default() })].into()
}

fn audited(books: &Books, ready: u64) -> Report {
    let (none, all) = (sums([]), sums(&books.notes));
    audit((&none, &all, &all), (0, books.time_ms), &waits(ready))
}

/// Waiting, unsplit, missing packets of the queue, and how many differences there are.
fn said(report: &Report) -> [u64; 4] {
    let row = report.queues.first().cloned().unwrap_or_default();
    [row.packets_waiting, row.packets_unsplit, row.packets_missing, report.differences.len() as u64]
}

fn quiet() -> Books {
    let (mut books, mut main, mut one) = (Books::default(), main(), owner(8));
    sends(&mut main, "a", 1..=10);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=10);
    books.note("b", one.take(0, false));
    books
}

#[test]
fn all_that_was_taken_is_published() {
    let report = audited(&quiet(), 0);
    assert_eq!(said(&report), [0, 0, 0, 0], "{report:?}");
    let (main, sink) = (&report.main_queues[0], &report.sinks[0]);
    assert_eq!((main.taken, main.went_on, main.given), (10, 10, 20));
    assert_eq!((sink.given, sink.came, sink.taken, sink.work.delivered), (20, 20, 20, 20));
    assert_eq!(sink.publishers[0].direct.published, 20);
    assert!(report.is_balanced() && report.covered);
}

#[test]
fn in_any_order_and_twice_notes_add_up_to_the_same() {
    let mut books = quiet();
    let report = audited(&books, 0);
    let again = books.notes.clone();
    books.notes.reverse();
    books.notes.extend(again);
    assert_eq!(audited(&books, 0), report);
}

#[test]
fn a_note_that_is_missing_is_told_of() {
    let mut books = quiet();
    books.note("a", None);
    books.note("a", None);
    books.notes.remove(2);
    assert_eq!(audited(&books, 0).notes_missing, 1);
    assert!(!audited(&books, 0).is_balanced());
}

/// The owner noted up to 6 of 10; what is with the others?
#[rstest]
#[case::they_wait(4, 0, false, true, [4, 0, 0, 0])]
#[case::the_owner_holds_them(0, 4, false, true, [4, 0, 0, 0])]
#[case::one_is_held_and_the_others_wait_behind_it_unseen(1, 1, false, true, [4, 0, 0, 0])]
#[case::one_is_lost(3, 0, false, true, [3, 0, 1, 1])]
#[case::all_are_lost_by_a_living_owner(0, 0, false, true, [0, 0, 4, 4])]
#[case::their_owner_ended_in_order(0, 0, true, false, [0, 0, 4, 4])]
#[case::their_owner_died_and_nobody_came(0, 0, false, false, [0, 4, 0, 0])]
fn the_rest_is_open(
    #[case] ready: u64,
    #[case] held: u64,
    #[case] over: bool,
    #[case] consumed: bool,
    #[case] is: [u64; 4],
) {
    let (mut books, mut main, mut one) = (Books::default(), main(), owner(8));
    sends(&mut main, "a", 1..=10);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=6);
    one.may_hold(2);
    books.note("b", one.take(held, over));
    let (none, all) = (sums([]), sums(&books.notes));
    let waiting = [(QUEUE.to_owned(), Waiting { ready, is_consumed: consumed, ..Waiting::default() })].into();
    let report = audit((&none, &all, &all), (0, books.time_ms), &waiting);
    let [waiting, unsplit, missing, differences] = said(&report);
    assert_eq!([waiting, unsplit, missing], is[..3], "{report:?}");
    assert_eq!(differences > 0, is[3] > 0, "{report:?}");
}

/// The first owner noted up to 6 and came to its end; the second begins with some number.
#[rstest]
#[case::handed_over(true, 7, [0, 0, 0, 0])]
#[case::it_died_and_the_next_settles_some_again(false, 5, [0, 0, 0, 0])]
#[case::it_died_and_had_settled_two_more(false, 9, [0, 2, 0, 0])]
#[case::it_ended_in_order_and_two_are_gone(true, 9, [0, 0, 2, 1])]
fn another_owner_goes_on(#[case] over: bool, #[case] first: u64, #[case] is: [u64; 4]) {
    let (mut books, mut main, mut one, mut two) = (Books::default(), main(), owner(8), owner(9));
    sends(&mut main, "a", 1..=10);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=6);
    books.note("b", one.take(0, over));
    settles(&mut two, "a", first..=10);
    books.note("c", two.take(0, false));
    let report = audited(&books, 0);
    assert_eq!(said(&report), is, "{report:?}");
    if is[1] > 0 {
        let Unsplit { member, deed, packets, after_ms, .. } = &report.unsplit[0];
        assert_eq!((member.as_str(), *deed, *packets, *after_ms), ("b", "settled", 2, Some(2_000)));
    }
    assert_eq!(report.queues[0].packets_again, 7_u64.saturating_sub(first));
    assert_eq!(report.sinks[0].again, RECORDS * report.queues[0].packets_again);
}

#[test]
fn an_owner_that_begins_after_a_dead_one_says_so_before_it_settles_anything() {
    let (mut books, mut main, mut one, mut two) = (Books::default(), main(), owner(8), owner(9));
    sends(&mut main, "a", 1..=10);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=6);
    books.note("b", one.take(0, false));
    books.note("c", two.take(0, false));
    assert_eq!(said(&audited(&books, 0)), [0, 4, 0, 0]);
}

#[rstest]
#[case::before_it_was_sent(true, [0, 0, 4, 1])]
#[case::after_it_was_sent(false, [0, 4, 0, 0])]
fn an_owner_dies(#[case] before: bool, #[case] is: [u64; 4]) {
    let (mut books, mut main, mut dead, mut two) = (Books::default(), main(), owner(8), owner(9));
    books.note("b", dead.take(0, false));
    if before {
        books.note("c", two.take(0, false));
        books.time_ms += 10_000;
    }
    sends(&mut main, "a", 1..=10);
    books.note("a", main.take(0, false));
    settles(&mut two, "a", 5..=10);
    books.note("c", two.take(0, true));
    assert_eq!(said(&audited(&books, 0)), is);
}

#[test]
fn a_packet_is_lost_between_others_that_one_owner_settled() {
    let (mut books, mut main, mut one) = (Books::default(), main(), owner(8));
    sends(&mut main, "a", 1..=10);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=4);
    settles(&mut one, "a", 6..=10);
    // It dies later, which explains nothing.
    books.note("b", one.take(0, false));
    books.note("c", owner(9).take(0, false));
    let report = audited(&books, 0);
    assert_eq!(said(&report), [0, 0, 1, 1]);
    assert_eq!(report.wrong_queues(), [QUEUE]);
}

#[test]
fn a_packet_that_nobody_could_read_is_parked_and_not_lost() {
    let (mut books, mut main, mut one) = (Books::default(), main(), owner(8));
    sends(&mut main, "a", 1..=10);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=4);
    one.unread();
    settles(&mut one, "a", 6..=10);
    books.note("b", one.take(0, false));
    assert_eq!(said(&audited(&books, 0)), [0, 0, 0, 0]);
}

#[test]
fn a_sender_died_before_it_noted_what_it_sent() {
    let (mut books, mut main, mut one) = (Books::default(), main(), owner(8));
    sends(&mut main, "a", 1..=7);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=10);
    settles(&mut one, "x", 1..=2);
    books.note("b", one.take(0, false));
    let report = audited(&books, 0);
    assert_eq!(said(&report), [0, 5, 0, 0], "{report:?}");
    let deeds: Vec<_> = report.unsplit.iter().map(|u| (&*u.member, u.deed, u.packets)).collect();
    assert_eq!(deeds, [("a", "sent", 3), ("x", "sent", 2)]);
}

#[test]
fn a_sender_that_ended_in_order_has_noted_all_it_sent() {
    let (mut books, mut main, mut one) = (Books::default(), main(), owner(8));
    sends(&mut main, "a", 1..=7);
    books.note("a", main.take(0, true));
    settles(&mut one, "a", 1..=8);
    books.note("b", one.take(0, false));
    assert_eq!(said(&audited(&books, 0)), [0, 1, 0, 0], "the broker had one more, and the sender lost its connection");
    settles(&mut one, "a", 9..=9);
    books.note("b", one.take(0, false));
    assert_eq!(said(&audited(&books, 0)), [0, 1, 0, 1], "but not two");
}

#[test]
fn a_record_disappears_from_a_packet() {
    let (mut books, mut main, mut one) = (Books::default(), main(), owner(8));
    sends(&mut main, "a", 1..=2);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=1);
    one.packet(Packet { sender: "a", epoch: 7, number: 2, fragments: 1, records: 1 });
    one.worked(Work { records: 1, delivered: 1, ..Work::default() });
    books.note("b", one.take(0, false));
    let report = audited(&books, 0);
    assert_eq!(report.differences.len(), 1, "{report:?}");
    assert!(report.differences[0].what.contains("held 4 records when sent, and 3 when taken"));
}

/// What became of three records that an owner took.
#[rstest]
#[case::parked_by_a_publisher(Work { records: 3, delivered: 3, ..Work::default() }, [3, 2, 0, 1], true)]
#[case::in_an_overflow_queue(Work { records: 3, delivered: 3, ..Work::default() }, [3, 1, 2, 0], true)]
#[case::not_offered(Work { records: 3, delivered: 3, ..Work::default() }, [3, 2, 0, 0], false)]
#[case::dropped_by_a_transformer(Work { records: 3, transformed: 3, made: 1, delivered: 1, ..Work::default() }, [1, 1, 0, 0], true)]
#[case::a_transformer_loses_one(Work { records: 3, transformed: 2, made: 2, delivered: 2, ..Work::default() }, [2, 2, 0, 0], false)]
#[case::a_transformer_makes_more(Work { records: 3, transformed: 3, made: 5, delivered: 5, ..Work::default() }, [5, 5, 0, 0], true)]
#[case::taken_before(Work { records: 3, repeated: 3, ..Work::default() }, [0, 0, 0, 0], true)]
#[case::parked_before_any_publisher(Work { records: 3, parked: 3, ..Work::default() }, [0, 0, 0, 0], true)]
fn records_come_to_an_end(#[case] work: Work, #[case] offered: [u64; 4], #[case] balanced: bool) {
    let mut one = Tally::new(Kind::Sink, "sink", Some("sink"), 8);
    one.worked(work);
    let [offered, published, overflow, parked] = offered;
    one.offered("http-1", Offered { offered, published, overflow, parked });
    let mut main = main();
    main.message(Verdict::Kept, true);
    main.went_on([("sink", 3)]);
    let mut books = Books::default();
    books.note("a", main.take(0, false));
    books.note("a", one.take(0, false));
    let report = audited(&books, 0);
    assert_eq!(report.is_balanced(), balanced, "{report:?}");
    assert_eq!((report.sinks[0].given, report.sinks[0].came, report.main_queues[0].again), (3, 3, 1));
    assert_eq!(report.sinks[0].dropped(), work.transformed.saturating_sub(work.made));
}

#[test]
fn an_agent_alone_settles_a_notification_that_its_sink_did_not_get() {
    let (mut books, mut main) = (Books::default(), main());
    main.message(Verdict::Kept, false);
    main.went_on([("sink", 3)]);
    let mut one = Tally::new(Kind::Sink, "sink", Some("sink"), 8);
    one.worked(Work { records: 2, delivered: 2, ..Work::default() });
    books.notes_of("a", [main.take(0, false), one.take(0, false)]);
    assert_eq!(audited(&books, 0).wrong_queues(), ["sink"]);
}

#[test]
fn an_owner_ends_and_its_two_sides_are_not_even() {
    for (kind, make) in [
        (Kind::Main, (|t: &mut Tally| t.message(Verdict::Kept, false)) as fn(&mut Tally)),
        (Kind::Pipeline, |t: &mut Tally| {
            t.packet(Packet { sender: "a", epoch: 1, number: 1, fragments: 1, records: 5 });
        }),
    ] {
        let (mut books, mut one) = (Books::default(), Tally::new(kind, QUEUE, Some("sink"), 8));
        make(&mut one);
        books.note("a", one.take(0, false));
        assert_eq!(sums(&books.notes).uneven.len(), 0, "there may be more to come");
        books.note("a", one.take(0, true));
        assert_eq!(sums(&books.notes).uneven.len(), 1, "{kind:?}");
    }
}

#[test]
fn what_is_no_note_is_refused_and_what_is_newer_is_named() {
    assert!(matches!(Note::decode(b"{}"), Err(NoteError::Json(_))));
    assert!(matches!(Note::decode(b"\xff\x00"), Err(NoteError::Packed(_))));
    let newer = br#"{"format":2,"other":true}"#;
    assert_eq!(
        Note::decode(newer).unwrap_err().to_string(),
        "cannot read the note: it has format 2, and this version reads up to 1; use the newest version"
    );
}

/// As format 1 has it: a reader of a later version must understand it.
#[test]
fn a_note_of_format_1_is_read() {
    let text = br#"{"format":1,"member":"a","process":"p","number":3,"time_ms":5,"entries":[{"queue":"q","kind":"pipeline",
        "sink":"s","epoch":8,"settled":1,"packets":[{"sender":"b","epoch":7,"from":1,"to":1,"fragments":1,"records":2}],
        "work":{"records":2,"delivered":2},"publishers":{"file-1":{"offered":2,"published":2}},
        "sent":[{"queue":"o","sink":"s","publisher":"http-1","sender":"a q 1","epoch":8,"from":1,"to":2,"fragments":1,"records":1}],
        "a later key":null}]}"#;
    let note = Note::decode(text).unwrap();
    let entry = &note.entries[0];
    assert_eq!((note.number, entry.kind, entry.work.delivered, entry.sent[0].packets.to), (3, Kind::Pipeline, 2, 2));
    let long = Note { entries: vec![entry.clone(); 20], ..note.clone() };
    assert!(long.encode().len() < 400, "long ones are packed");
    assert_eq!((Note::decode(&long.encode()).unwrap(), Note::decode(&note.encode()).unwrap()), (long, note));
}
