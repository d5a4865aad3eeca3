//! Name filters of pipeline sources.

use crate::run;
use nephoscope::model::Value;
use nephoscope::pipeline::NameFilter;

#[test]
fn name_filters() {
    run("filters", &[], |case| {
        let patterns: Vec<&str> =
            case.get("patterns").and_then(Value::as_list).unwrap().iter().filter_map(Value::as_str).collect();
        let valid = case.get("valid") == Some(&Value::Bool(true));
        let filter = match NameFilter::new(&patterns) {
            Ok(filter) if valid => filter,
            Err(_) if !valid => return Ok(()),
            other => return Err(format!("{patterns:?}: Ceilometer says valid = {valid}, here {other:?}")),
        };
        for (name, taken) in case.get("names").and_then(Value::as_dict).unwrap().iter() {
            if *taken != Value::Bool(filter.takes(name)) {
                return Err(format!("{patterns:?} and {name:?}: Ceilometer says {taken:?}"));
            }
        }
        Ok(())
    });
}
