//! What belongs to a window, and what must neither hide a loss nor be taken for one.

use super::*;

/// Packet 5 is lost long ago, or just now; the owner is busy, and three wait.
#[rstest]
#[case::a_loss_behind_a_busy_owner_is_seen(0, [3, 0, 1, 1])]
#[case::a_loss_of_before_is_not_this_windows(1, [3, 0, 0, 0])]
fn an_owner_that_is_far_ahead_explains_nothing(#[case] notes_before: usize, #[case] is: [u64; 4]) {
    let (mut books, mut main, mut one) = (Books::default(), main(), owner(8));
    one.may_hold(20);
    sends(&mut main, "a", 1..=500);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=4);
    settles(&mut one, "a", 6..=500);
    books.note("b", one.take(0, false));
    sends(&mut main, "a", 501..=503);
    books.note("a", main.take(0, false));
    let (begin, all) = (sums(&books.notes[..notes_before]), sums(&books.notes));
    assert_eq!(said(&audit((&begin, &all, &all), (0, books.time_ms), &waits(3))), is);
}

#[test]
fn one_that_nobody_could_read_hides_only_a_packet_of_its_own_window() {
    let (mut books, mut main, mut one) = (Books::default(), main(), owner(8));
    one.unread();
    books.note("b", one.take(0, false));
    sends(&mut main, "a", 1..=10);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=4);
    settles(&mut one, "a", 6..=10);
    books.note("b", one.take(0, false));
    let (begin, all) = (sums(&books.notes[..1]), sums(&books.notes));
    assert_eq!(said(&audit((&begin, &all, &all), (0, books.time_ms), &waits(0))), [0, 0, 1, 1]);
}

#[test]
fn what_is_in_the_rescue_queue_waits_however_far_the_owner_is() {
    let (mut books, mut main, mut one) = (Books::default(), main(), owner(8));
    sends(&mut main, "a", 1..=500);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=4);
    settles(&mut one, "a", 6..=500);
    books.note("b", one.take(0, false));
    let (none, all) = (sums([]), sums(&books.notes));
    let waiting = [(QUEUE.to_owned(), Waiting { rescued: 1, is_consumed: true, ..Waiting::default() })].into();
    assert_eq!(said(&audit((&none, &all, &all), (0, books.time_ms), &waiting)), [1, 0, 0, 0]);
}

/// The sender was cut off before it could note what the dead owner settled (seed 201881 of the simulator).
#[test]
fn a_note_that_waited_for_long_tells_of_what_was_sent_before() {
    let (mut books, mut main, mut dead, mut next) = (Books::default(), main(), owner(8), owner(9));
    books.note("b", dead.take(0, false));
    books.note("a", main.take(0, false));
    books.note("c", next.take(0, false));
    books.time_ms += 20_000;
    sends(&mut main, "a", 1..=2);
    books.note("a", main.take(0, false));
    settles(&mut next, "a", 2..=2);
    books.note("c", next.take(0, true));
    assert_eq!(said(&audited(&books, 0)), [0, 1, 0, 0], "the dead owner may have had it");
}

/// An owner that is frozen holds what it was given, and has noted nothing of it.
#[test]
fn an_owner_that_says_nothing_any_more_is_not_called_a_loss() {
    let (mut books, mut main, mut one) = (Books::default(), main(), owner(8));
    sends(&mut main, "a", 1..=4);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=4);
    books.note("b", one.take(0, false));
    sends(&mut main, "a", 5..=10);
    books.note("a", main.take(0, false));
    let report = audited(&books, 0);
    assert_eq!(said(&report), [0, 0, 6, 1]);
    assert!(report.differences[0].what.contains("the owner b has noted nothing since"), "{report:?}");
}

/// Of two packets the dead owner settled the second, and the first came again (seed 303935 of the simulator).
#[test]
fn what_is_in_front_comes_again_and_what_is_behind_it_does_not() {
    let (mut books, mut main, mut dead, mut next) = (Books::default(), main(), owner(8), owner(9));
    sends(&mut main, "a", 1..=2);
    books.note("a", main.take(0, false));
    books.note("b", dead.take(0, false));
    settles(&mut next, "a", 1..=1);
    books.note("c", next.take(0, true));
    assert_eq!(said(&audited(&books, 0)), [0, 1, 0, 0]);
}

/// An older version, or `books_max_bytes = 0`: the sender keeps books, and the owner does not.
#[test]
fn an_owner_without_books_is_not_called_a_loss() {
    let (mut books, mut main, mut next) = (Books::default(), main(), owner(9));
    sends(&mut main, "a", 1..=10);
    books.note("a", main.take(0, false));
    assert!(audited(&books, 0).differences[0].what.contains("10 packets were sent here, and whoever owned"));
    settles(&mut next, "a", 7..=10);
    books.note("c", next.take(0, false));
    let report = audited(&books, 0);
    assert_eq!(report.differences.len(), 1, "{report:?}");
    assert!(report.differences[0].what.contains("6 packets were sent here, and whoever owned"), "{report:?}");
}

#[test]
fn one_who_worked_alone_joins_a_group() {
    let (mut books, mut alone, mut main, mut one) = (Books::default(), main(), main(), owner(8));
    let mut sink = Tally::new(Kind::Sink, "sink", Some("sink"), 8);
    alone.message(Verdict::Kept, false);
    alone.went_on([("sink", 3)]);
    sink.worked(Work { records: 3, delivered: 3, ..Work::default() });
    sink.offered("file-1", Offered { offered: 3, published: 3, ..Offered::default() });
    books.notes_of("a", [alone.take(0, true), sink.take(0, true)]);
    sends(&mut main, "x", 1..=10);
    books.note("x", main.take(0, false));
    settles(&mut one, "x", 1..=10);
    books.note("b", one.take(0, false));
    let report = audited(&books, 0);
    assert!(report.is_balanced(), "{report:?}");
    assert_eq!((report.sinks[0].given, report.sinks[0].work.delivered), (23, 23));
}

#[test]
fn two_alone_on_one_broker_are_not_each_others_death() {
    let of = |epoch| Tally::new(Kind::Main, "notifications.info", None, epoch);
    let sink = |epoch| Tally::new(Kind::Sink, "sink", Some("sink"), epoch);
    let mut books = Books::default();
    books.notes_of("a", [of(7).take(0, false), sink(7).take(0, false)]);
    books.notes_of("b", [of(8).take(0, false), sink(8).take(0, false)]);
    assert_eq!(audited(&books, 0).died, 0);
    // One is killed, and started again.
    books.notes_of("a", [of(9).take(0, false), sink(9).take(0, false)]);
    assert_eq!(audited(&books, 0).died, 2, "as the owner of the main queue and of the sink");
}

#[test]
fn a_window_has_what_was_added_in_it_and_what_was_lost_before_is_not_its_matter() {
    let (mut books, mut main, mut one) = (Books::default(), main(), owner(8));
    sends(&mut main, "a", 1..=3);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 1..=1);
    settles(&mut one, "a", 3..=3);
    books.note("b", one.take(0, false));
    let before = books.notes.len();
    sends(&mut main, "a", 4..=9);
    books.note("a", main.take(0, false));
    settles(&mut one, "a", 4..=8);
    books.note("b", one.take(0, false));
    let end = books.notes.len();
    settles(&mut one, "a", 9..=9);
    books.note("b", one.take(0, false));
    let of = |count: usize| sums(&books.notes[..count]);
    let all = sums(&books.notes);
    let window = audit((&of(before), &of(end), &all), (2_001, 4_000), &waits(0));
    assert_eq!(said(&window), [0, 0, 0, 0], "the last one was settled later: {window:?}");
    assert_eq!((window.main_queues[0].taken, window.sinks[0].taken), (6, 10));
    assert_eq!(said(&audit((&sums([]), &of(before), &all), (0, 2_000), &waits(0))), [0, 0, 1, 1]);
}

#[test]
fn where_the_oldest_notes_are_cut_off_nothing_is_said_of_what_they_told() {
    let mut books = quiet();
    books.notes.remove(0);
    let mut cut = Sums::new(true);
    books.notes.iter().for_each(|note| cut.add(note));
    let report = audit((&Sums::new(true), &cut, &cut), (0, books.time_ms), &waits(0));
    assert!(report.is_balanced() && !report.covered && report.unsplit.is_empty(), "{report:?}");
}

#[test]
fn in_the_first_seconds_of_a_stream_owners_could_not_say_that_they_began() {
    let mut books = quiet();
    books.notes[1].entries[0].packets.clear();
    let mut young = Sums::new(false);
    books.notes.iter().for_each(|note| young.add(note));
    let report = audit((&Sums::new(false), &young, &young), (0, books.time_ms), &waits(0));
    assert_eq!(said(&report), [0, 0, 0, 0], "{report:?}");
    assert_eq!(said(&audited(&books, 0)), [0, 0, 10, 1]);
}

/// The sender was frozen before it could note what an owner took that had no place to note anything (seed 505131 of the simulator).
#[test]
fn a_note_that_waited_tells_of_the_first_seconds_of_a_stream() {
    let (mut books, mut main) = (Books::default(), main());
    books.note("a", main.take(0, false));
    books.time_ms += 20_000;
    sends(&mut main, "a", 1..=2);
    books.note("a", main.take(0, false));
    let audited = |books: &Books| {
        let mut young = Sums::new(false);
        books.notes.iter().for_each(|note| young.add(note));
        audit((&Sums::new(false), &young, &young), (0, books.time_ms), &waits(0))
    };
    assert_eq!(said(&audited(&books)), [0, 0, 0, 0]);
    sends(&mut main, "a", 3..=4);
    books.note("a", main.take(0, false));
    assert!(!audited(&books).is_balanced(), "what was sent later is compared");
}
