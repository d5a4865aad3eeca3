use super::*;
use crate::model::json;
use crate::model::json::NonFinite;
use crate::publish::record::tests::{event, sample};
use crate::publish::{build, check};
use rstest::rstest;
use std::fs::{self, File};
use std::io::Write;

fn url(folder: &tempfile::TempDir, options: &str) -> String {
    format!("file://{}/out?{options}", folder.path().display())
}

fn batch(ids: impl IntoIterator<Item = usize>) -> Batch {
    Batch::Samples(ids.into_iter().map(|id| sample("cpu", &id.to_string())).collect())
}

fn ids(text: &str) -> Vec<usize> {
    text.lines()
        .map(|line| {
            let value = json::read(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
            value.as_dict().unwrap().get("id").unwrap().as_str().unwrap().parse().unwrap()
        })
        .collect()
}

fn read(folder: &tempfile::TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

#[tokio::test]
async fn lines_are_appended_to_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    for id in [1, 2] {
        let publisher = build(&url(&folder, "json"), Kind::Samples, &Context::default()).unwrap();
        publisher.publish(&batch([id * 10, id * 10 + 1])).await.unwrap();
    }
    assert_eq!(ids(&read(&folder, "out")), [10, 11, 20, 21]);
}

#[tokio::test]
async fn without_json_lines_are_python_dictionaries() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = build(&url(&folder, "fsync"), Kind::Events, &Context::default()).unwrap();
    publisher.publish(&Batch::Events(vec![event("m")])).await.unwrap();
    assert!(read(&folder, "out").starts_with("{'message_id': 'm', 'event_type': 'compute.instance.update', "));
}

#[tokio::test]
async fn a_full_file_rotates_between_lines_of_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let line = lines(&batch([100]), Form::Json(NonFinite::Null)).len();
    let options = format!("json&max_bytes={}&backup_count=2", 3 * line + 1);
    let publisher = build(&url(&folder, &options), Kind::Samples, &Context::default()).unwrap();
    publisher.publish(&batch(100..102)).await.unwrap();
    publisher.publish(&batch(102..111)).await.unwrap();
    let found = ["out.2", "out.1", "out"].map(|name| ids(&read(&folder, name)));
    assert_eq!(found, [vec![102 + 1, 104, 105], vec![106, 107, 108], vec![109, 110]]);
    assert!(!folder.path().join("out.3").exists());
}

#[tokio::test]
async fn a_line_longer_than_a_file_has_one_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let publisher =
        build(&url(&folder, "json&max_bytes=10&backup_count=9"), Kind::Samples, &Context::default()).unwrap();
    publisher.publish(&batch(0..3)).await.unwrap();
    assert_eq!(["out.2", "out.1", "out"].map(|name| ids(&read(&folder, name))), [[0], [1], [2]]);
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = build(&url(&folder, "json"), Kind::Samples, &Context::default()).unwrap();
    publisher.publish(&batch([1])).await.unwrap();
    fs::rename(folder.path().join("out"), folder.path().join("old")).unwrap();
    publisher.publish(&batch([2])).await.unwrap();
    assert_eq!((ids(&read(&folder, "old")), ids(&read(&folder, "out"))), (vec![1], vec![2]));
}

/// With an agent paused that had the lock, two others appended without it: one saw half of what the other wrote, and began a
/// line of its own for nothing.
#[test]
fn what_is_being_written_is_not_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    fs::write(&path, "half").unwrap();
    let options = Options { path: path.clone(), form: Form::Repr, rotation: None, fsync: false };
    let mut log = Log::open(options).map_err(|(_, cause)| cause).unwrap();
    let mut pending = Pending { lines: b"ours\n".to_vec(), written: 0 };
    assert_eq!(log.write(&mut pending, false).unwrap(), Progress::Locked);
    File::options().append(true).open(&path).unwrap().write_all(b" and half\n").unwrap();
    assert_eq!(log.write(&mut pending, false).unwrap(), Progress::Done);
    assert_eq!(read(&folder, "out"), "half and half\nours\n");
}

#[tokio::test]
async fn a_line_torn_by_a_crash_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("out"), "{\"id\":\"half").unwrap();
    let publisher = build(&url(&folder, "json"), Kind::Samples, &Context::default()).unwrap();
    publisher.publish(&batch([1])).await.unwrap();
    let text = read(&folder, "out");
    assert_eq!(ids(text.split_once('\n').unwrap().1), [1]);
}

#[tokio::test]
async fn many_writers_of_one_rotating_file_lose_and_tear_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(&folder, "json&max_bytes=9000&backup_count=1000");
    let writers = (0..4).map(|writer| {
        let publisher = build(&url, Kind::Samples, &Context::default()).unwrap();
        tokio::spawn(async move {
            for n in 0..25 {
                let first = writer * 1000 + n * 10;
                publisher.publish(&batch(first..first + 10)).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let mut all = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(text.len() < 9000);
        all.extend(ids(&text));
    }
    all.sort_unstable();
    let expected: Vec<usize> = (0..4).flat_map(|writer| writer * 1000..writer * 1000 + 250).collect();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_process_frozen_with_the_lock_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let line = lines(&batch([1]), Form::Json(NonFinite::Null)).len();
    let options = format!("json&max_bytes={}&backup_count=9", 2 * line + 1);
    let publisher = build(&url(&folder, &options), Kind::Samples, &Context::default()).unwrap();
    let frozen = File::open(folder.path().join("out")).unwrap();
    frozen.lock().unwrap();
    tokio::time::pause();
    let began = Instant::now();
    let waited = async |id: usize| {
        publisher.publish(&batch([id])).await.unwrap();
        began.elapsed()
    };
    let first = waited(1).await;
    assert!(first >= LOCK_WAIT && first < LOCK_WAIT * 2, "{first:?}: the lock is waited for, but not for ever");
    assert_eq!((waited(2).await, waited(3).await), (first, first), "who is known to be frozen is not waited for again");
    assert_eq!(ids(&read(&folder, "out")), [1, 2, 3], "and nothing is renamed while he may be renaming");
    frozen.unlock().unwrap();
    waited(4).await;
    assert_eq!(["out.1", "out"].map(|name| ids(&read(&folder, name))), [vec![1, 2, 3], vec![4]]);
    frozen.lock().unwrap();
    assert_eq!(waited(5).await, first, "his lock went with the file that was rotated away");
}

#[tokio::test]
async fn a_full_disk_is_tried_again_later() {
    let publisher = build("file:///dev/full?json", Kind::Samples, &Context::default()).unwrap();
    assert!(matches!(publisher.publish(&batch([1])).await, Err(PublishError::Retry { .. })));
}

#[rstest]
#[case("file://?json", "the path of a file is missing")]
#[case("file:///var/log/", "the path of a file is missing")]
#[case("file:///x?max_bytes=1k&backup_count=-1", "max_bytes=1k: expected a number of at least 0; backup_count=-1")]
#[case("file:///x?max_byte=5", "unknown option max_byte; did you mean max_bytes?")]
fn wrong_options_are_named(#[case] url: &str, #[case] what: &str) {
    let error = check(url, Kind::Samples, &|_| Ok(())).unwrap_err().to_string();
    assert!(error.contains(what), "{error}");
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}/no/out", folder.path().display());
    let error = build(&url, Kind::Samples, &Context::default()).err().unwrap();
    assert!(error.to_string().contains("/no does not exist: create it"), "{error}");
    assert_eq!(check(&url, Kind::Samples, &|_| Ok(())), Err(error));
}

#[test]
fn a_check_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(&folder, "json");
    assert_eq!(check(&url, Kind::Samples, &|_| Ok(())), Ok(Vec::new()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
