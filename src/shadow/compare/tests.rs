//! Pairs as data: what ours and theirs are, and what is told of them.

use super::*;
use crate::transport::copies::Missed;
use rstest::rstest;

const MINUTE: i64 = 60_000_000;

fn record(text: &str) -> Record {
    theirs::read(text.as_bytes()).unwrap().remove(0)
}

/// A sample of a minute, with other fields than usual.
fn sample(minute: u32, more: &str) -> String {
    let usual = format!(
        r#""type":"gauge","unit":"GB","user_id":"u","project_id":"p","resource_metadata":{{"host":"h","a":{{"b":1}}}},"source":"openstack","name":"size","volume":1,"resource_id":"r","timestamp":"2026-03-01T10:{minute:02}:00""#
    );
    format!("{{{usual}{more}}}")
}

fn event(minute: u32, id: &str, traits: &str) -> String {
    format!(
        r#"{{"message_id":"{id}","event_type":"image.update","generated":"2026-03-01T10:{minute:02}:00","traits":{traits},"raw":{{}}}}"#
    )
}

/// Ours are sent at the time that they have.
fn compared(ours: &[(&str, String)], theirs: &[String], lost: Lost) -> Report {
    let mut comparison = Comparison::new(1 << 20);
    for (sinks, text) in ours {
        let record = record(text);
        comparison.take(record.time(), sinks.split(' ').map(|sink| (sink.to_owned(), record.clone())));
    }
    let mut pairing = comparison.pair(MINUTE);
    theirs.iter().for_each(|text| pairing.take(record(text)));
    pairing.finish(lost)
}

/// Five minutes on both sides, and between them what a test is about.
fn around(ours: &[String], theirs: &[String]) -> Report {
    let frame = || [0, 1, 8, 9].map(|minute| sample(minute, ""));
    let ours: Vec<_> = frame().into_iter().chain(ours.iter().cloned()).map(|text| ("sink", text)).collect();
    let theirs: Vec<_> = frame().into_iter().chain(theirs.iter().cloned()).collect();
    compared(&ours, &theirs, Lost::default())
}

fn told(report: &Report) -> Vec<(String, u64)> {
    report.differences.iter().map(|one| (one.in_words(), one.count)).collect()
}

#[test]
fn what_is_equal_is_the_same_whatever_its_ids_and_order() {
    let theirs = [
        sample(5, r#","id":"other""#),
        event(5, "m", r#"[["b",1,"x"],["a",4,"2026-03-01T10:05:00"]]"#),
        sample(4, r#","volume":1.0"#),
    ];
    let ours = [
        sample(4, r#","id":"mine""#),
        sample(5, ""),
        event(5, "m", r#"[{"name":"a","dtype":4,"value":"2026-03-01 10:05:00"},{"name":"b","dtype":1,"value":"x"}]"#),
    ];
    let report = around(&ours, &theirs);
    assert_eq!((report.verdict, told(&report)), (Verdict::Same, Vec::new()));
    assert_eq!(report.sentence, "same: 6 samples and 1 events");
    assert_eq!(report.records[&Kind::Sample].fields_not_compared, ["user_name", "project_name", "monotonic_time"]);
}

#[rstest]
#[case::unit(r#","unit":"MB""#, &["unit of the sample size"])]
#[case::volume(r#","volume":"1""#, &["volume of the sample size"])]
#[case::owner(r#","project_id":"q","user_id":null"#, &["project_id of the sample size", "user_id of the sample size"])]
#[case::metadata(r#","resource_metadata":{"host":"i","a":{"b":2}}"#, &["resource_metadata.a.b of the sample size", "resource_metadata.host of the sample size"])]
#[case::name(r#","name":"sizes""#, &["sample size, missing there", "sample sizes, missing here"])]
fn a_field_that_differs_is_named(#[case] more: &str, #[case] expected: &[&str]) {
    let report = around(&[sample(5, "")], &[sample(5, more)]);
    let expected: Vec<(String, u64)> = expected.iter().map(|text| ((*text).to_owned(), 1)).collect();
    assert_eq!((report.verdict, told(&report)), (Verdict::Differs, expected));
    assert!(report.sentence.starts_with("differs: "), "{}", report.sentence);
}

#[test]
fn a_trait_that_differs_is_named() {
    let report = around(&[event(5, "m", r#"[["a",1,"x"]]"#)], &[event(5, "m", r#"[["a",1,"y"]]"#)]);
    assert_eq!(told(&report), [("traits.a of the event image.update".to_owned(), 1)]);
    assert_eq!(
        report.differences[0].examples,
        [r#"message "m" at "2026-03-01T10:05:00": here [1,"x"], there [1,"y"]"#]
    );
}

#[test]
fn of_several_the_one_that_differs_least_is_the_pair() {
    let ours = [sample(5, r#","volume":7"#), sample(5, r#","volume":8,"unit":"MB""#)];
    let report = around(&ours, &[sample(5, r#","volume":9"#), sample(5, r#","volume":8,"unit":"KB""#)]);
    let expected = [("unit of the sample size".to_owned(), 1), ("volume of the sample size".to_owned(), 1)];
    assert_eq!(told(&report), expected);
}

#[test]
fn what_one_side_has_more_often_is_missing_on_the_other() {
    let twice = [sample(5, ""), sample(5, "")];
    let report = around(&twice, &twice[..1]);
    assert_eq!(told(&report), [("sample size, missing there".to_owned(), 1)]);
    let report = around(&twice[..1], &twice);
    assert_eq!(told(&report), [("sample size, missing here".to_owned(), 1)]);
}

#[test]
fn several_sinks_of_ours_may_be_one_of_theirs() {
    let ours: Vec<_> = (0..10).map(|minute| ("a b", sample(minute, ""))).collect();
    let once: Vec<_> = (0..10).map(|minute| sample(minute, "")).collect();
    let twice = [once.clone(), once.clone()].concat();
    for theirs in [once, twice] {
        assert_eq!(compared(&ours, &theirs, Lost::default()).verdict, Verdict::Same);
    }
    let thrice: Vec<_> = (0..30).map(|n| sample(n % 10, "")).collect();
    let report = compared(&ours, &thrice, Lost::default());
    // Eight of ten are not at the ends of the window.
    assert_eq!(told(&report), [("sample size, missing here".to_owned(), 8)]);
}

#[test]
fn only_what_both_have_seen_is_judged() {
    // Ours have seen minutes 0 to 5, theirs 3 to 9; the margin is a minute.
    let ours: Vec<_> = (0..=5).map(|minute| ("sink", sample(minute, r#","name":"ours""#))).collect();
    let theirs: Vec<_> = (3..=9).map(|minute| sample(minute, r#","name":"theirs""#)).collect();
    let report = compared(&ours, &theirs, Lost::default());
    let mut found = told(&report);
    found.sort();
    assert_eq!(found, [("sample ours, missing there".to_owned(), 2), ("sample theirs, missing here".to_owned(), 2)]);
    assert_eq!(report.records[&Kind::Sample].not_judged, 4 + 5);
}

#[test]
fn nothing_in_both_windows_is_no_answer() {
    let report = compared(&[("sink", sample(0, ""))], &[], Lost::default());
    assert_eq!(report.verdict, Verdict::Unknown);
    assert!(report.sentence.starts_with("not known: nothing is in both windows"), "{}", report.sentence);
}

#[test]
fn a_kind_that_no_file_has_is_told() {
    let ours: Vec<_> =
        (0..10).map(|minute| ("sink", sample(minute, ""))).chain([("sink", event(5, "m", "[]"))]).collect();
    let theirs: Vec<_> = (0..10).map(|minute| sample(minute, "")).collect();
    let report = compared(&ours, &theirs, Lost::default());
    assert_eq!(report.sentence, "same: 10 samples and 0 events; events are not compared, because no file has any");
}

#[test]
fn what_the_copy_lost_may_be_what_is_missing_here() {
    let lost = Lost { missed: Missed { messages: 3, more: false }, ..Lost::default() };
    let ours: Vec<_> = (0..10).filter(|m| *m != 5).map(|minute| ("sink", sample(minute, ""))).collect();
    let theirs: Vec<_> = (0..10).map(|minute| sample(minute, "")).collect();
    let report = compared(&ours, &theirs, lost);
    assert_eq!((report.verdict, report.differences.len()), (Verdict::Unknown, 1));
    let theirs: Vec<_> = (0..10).map(|minute| sample(minute, r#","unit":"MB""#)).collect();
    assert_eq!(compared(&ours, &theirs, lost).verdict, Verdict::Differs);
}

#[test]
fn rows_and_examples_have_bounds() {
    let many = u32::try_from(ROWS_MAX).unwrap() + 10;
    let theirs: Vec<_> = (0..many).map(|n| sample(5, &format!(r#","name":"odd\u001b[2J{n}""#))).collect();
    let mut report = around(&[], &theirs);
    assert_eq!((report.differences.len(), report.other_differences), (ROWS_MAX, 10));
    assert!(report.differences.iter().all(|one| !one.name.contains('\u{1b}')));
    let theirs: Vec<_> = (0..20).map(|n| sample(5, &format!(r#","resource_id":"{n}""#))).collect();
    report = around(&[], &theirs);
    assert_eq!((report.differences[0].count, report.differences[0].examples.len()), (20, EXAMPLES_MAX));
}

#[test]
fn what_is_kept_has_a_bound() {
    let mut comparison = Comparison::new(10_000);
    let mut count = 0;
    while !comparison.is_full() {
        let record = record(&sample(count % 60, ""));
        comparison.take(None, [("sink".to_owned(), record)]);
        count += 1;
        assert!(count < 100);
    }
    assert!(count > 5);
}

#[test]
fn many_of_one_identity_are_paired_in_their_order() {
    let some: Vec<_> = (0..5_000).map(|n| sample(5, &format!(r#","volume":{n}"#))).collect();
    assert_eq!(around(&some, &some).verdict, Verdict::Same);
}
