//! file: what is in the folder afterwards.

use super::case::{calls, comparable, list, logged, raised, text};
use super::drive::{context, made};
use super::{Judged, differs, run};
use nephoscope::model::{Dict, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn file_as_recorded() {
    run("file", |case| async move {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let dir = folder.path().display().to_string();
        let fill = |text: &str| text.replace("{dir}", &dir);
        let publisher = match made(&fill(text(&case, "url")), &case, &context(&case, fill)) {
            Ok(publisher) => publisher,
            Err(_) if raised(&case, &"init".into()) => return Ok(BTreeSet::new()),
            // It says so and writes nothing.
            Err(_) if logged(&case) && list(&case, "sent").is_empty() => {
                return Ok(BTreeSet::from(["publisher-options"]));
            }
            Err(complaints) => return super::web::refused(&case, &complaints),
        };
        if raised(&case, &"init".into()) {
            return later(&case, publisher.as_ref()).await;
        }
        for batch in calls(&case).iter().filter(|batch| !batch.is_empty()) {
            publisher.publish(batch).await.map_err(|error| error.to_string())?;
        }
        publisher.close().await;
        compare(&case, &written(&out))
    })
    .await;
}

/// A file that cannot be made: Ceilometer does without the publisher, ours holds.
async fn later(case: &Dict, publisher: &dyn nephoscope::publish::Publisher) -> Judged {
    let batch = &calls(case)[0];
    match publisher.publish(batch).await {
        Err(nephoscope::publish::PublishError::Retry { .. }) => Ok(BTreeSet::from(["publisher-away"])),
        other => Err(format!("Ceilometer has no publisher; ours says {other:?}")),
    }
}

fn written(out: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| !entry.file_name().to_string_lossy().ends_with(".lock"));
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read_to_string(file.path()).unwrap())).collect()
}

fn compare(case: &Dict, ours: &BTreeMap<String, String>) -> Judged {
    let recorded = list(case, "sent").iter().filter_map(Value::as_dict);
    let recorded: BTreeMap<String, String> =
        recorded.map(|file| (text(file, "file").to_owned(), text(file, "text").to_owned())).collect();
    if *ours == recorded {
        return Ok(BTreeSet::new());
    }
    let mut rows = BTreeSet::new();
    let is_json = recorded.values().all(|text| text.starts_with("{\""));
    let (mine, theirs) = (records(ours, is_json, &mut rows)?, records(&recorded, is_json, &mut rows)?);
    rows.remove("nan");
    if is_json {
        rows.insert("file-json");
        // What ours writes is shorter: a rotating file keeps more of it.
        let more =
            mine.len().checked_sub(theirs.len()).ok_or(format!("{} records, recorded {}", mine.len(), theirs.len()))?;
        if more > 0 && (recorded.len() < 2 && ours.len() < 2) {
            return Err(format!("{more} records more than recorded"));
        }
        differs("records", &Value::List(mine[more..].to_vec()), &Value::List(theirs))?;
        return Ok(rows);
    }
    differs("lines", &Value::List(mine), &Value::List(theirs))?;
    if ours.keys().eq(recorded.keys()) && ours.len() == 1 {
        return Ok(rows);
    }
    Err(format!("the same lines in other files: {:?}, recorded {:?}", ours.keys(), recorded.keys()))
}

/// All records, the oldest first: `f.2`, `f.1`, `f`.
fn records(
    files: &BTreeMap<String, String>,
    is_json: bool,
    rows: &mut BTreeSet<&'static str>,
) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    for line in files.values().rev().flat_map(|text| text.split_terminator('\n')) {
        let value = if is_json {
            json::read(line.as_bytes()).map_err(|e| format!("{e}: {line}"))?
        } else {
            // A trait without a value: no definition yields one.
            line.replace(", {'name': 'n', 'dtype': 0, 'value': None}", "").into()
        };
        let (value, had_none) = comparable(&value);
        if had_none {
            rows.insert("nan");
        }
        all.push(value);
    }
    Ok(all)
}
