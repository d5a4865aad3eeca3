//! Chains of transformers beyond the recorded cases: their state as cells, their bounds, and the repairs.
//!
//! Properties are of random chains over random scopes: state that goes elsewhere between any two scopes changes nothing;
//! a queue that is split by resource and joined again changes nothing; the changes come to the cells; nothing panics.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, Utc};
use nephoscope::config::yaml;
use nephoscope::model::{Complaint, Dict, Sample, SampleType, Text, Value, grouping_text, json};
use nephoscope::pipeline::{
    Cell, CellChange, CellKey, Chain, ChainOptions, Kind, Plan, TransformerRepairs, Transformers,
};
use proptest::prelude::*;
use rstest::rstest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The transformers of a sink, as YAML in one line.
fn transformers(written: &str) -> Arc<Transformers> {
    let text = format!(
        "sources: [{{name: a, meters: ['*'], sinks: [a]}}]\nsinks:\n- {{name: a, publishers: [test], transformers: {written}}}"
    );
    let plan = Plan::read(Kind::Samples, &yaml::read("pipeline.yaml", &text).unwrap()).unwrap();
    Arc::clone(&plan.sinks[0].transformers)
}

fn chain(written: &str, options: ChainOptions) -> Chain {
    Chain::new(transformers(written), "a", options)
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn iso(seconds: i64) -> String {
    at(seconds).format("%Y-%m-%dT%H:%M:%S").to_string()
}

fn sample(name: &str, resource: &str, volume: impl Into<Value>, seconds: i64) -> Sample {
    Sample {
        name: name.into(),
        kind: SampleType::Gauge,
        unit: Value::from("B"),
        volume: volume.into(),
        user_id: Value::from("u"),
        user_name: Value::from("user"),
        project_id: Value::from("p"),
        project_name: Value::Null,
        resource_id: Value::from(resource),
        timestamp: iso(seconds).into(),
        resource_metadata: Dict::from_iter([("n", Value::Int(2))]).into(),
        source: "elsewhere".into(),
        id: "as it came".into(),
        monotonic_time: Value::Null,
    }
}

/// One scope at a time; what comes out, and the complaints.
fn take(chain: &mut Chain, seconds: i64, samples: Vec<Sample>) -> (Vec<Sample>, Vec<Complaint>) {
    let mut complaints = Vec::new();
    let out = chain.take("a", &Value::from(format!("m{seconds}")), samples, at(seconds), &mut complaints);
    (out, complaints)
}

fn volumes(samples: &[Sample]) -> Vec<String> {
    samples.iter().map(|sample| json::to_string(&sample.volume)).collect()
}

#[test]
fn a_new_sample_has_an_id_that_is_the_same_at_every_repeat() {
    let once = || {
        let mut chain = chain("[{name: unit_conversion, parameters: {target: {scale: 2}}}]", ChainOptions::default());
        take(&mut chain, 0, vec![sample("cpu", "r", 1, 0), sample("cpu", "r", 2, 0), sample("cpu", "s", 2, 0)]).0
    };
    let made = once();
    assert_eq!(made, once());
    let ids: BTreeSet<&str> = made.iter().map(|sample| sample.id.as_str()).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(made[0].source, "openstack");
    assert_eq!(made[0].user_name, Value::Null);
    let namespace = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, b"nephoscope.transformed");
    let name = br#"["m0","a",0,"r",1]"#;
    assert_eq!(made[1].id, uuid::Uuid::new_v5(&namespace, name).to_string(), "docs/formats.md");
}

#[test]
fn a_unit_that_is_not_the_source_s_passes_as_it_came() {
    let mut chain = chain(
        "[{name: unit_conversion, parameters: {source: {unit: KB}, target: {scale: 2}}}]",
        ChainOptions::default(),
    );
    let came = sample("cpu", "r", 1, 0);
    assert_eq!(take(&mut chain, 0, vec![came.clone()]).0, [came]);
}

#[test]
fn an_expression_fails_for_one_sample_and_its_neighbours_are_kept() {
    let mut chain =
        chain(r#"[{name: unit_conversion, parameters: {target: {scale: "6 / volume"}}}]"#, ChainOptions::default());
    let (out, complaints) = take(&mut chain, 0, vec![sample("cpu", "r", 0, 0), sample("cpu", "r", 4, 0)]);
    assert_eq!(volumes(&out), ["1.5"]);
    let complaints: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert_eq!(
        complaints,
        [
            "pipeline.yaml:3: sink a, unit_conversion: cannot evaluate \"6 / volume\", at character 1: ZeroDivisionError: \
          division by zero; cpu of r is left out"
        ]
    );
}

/// As deep as the bounds allow, on what the smallest thread here has. Optimized code needs less than half of it.
#[rstest]
#[case::brackets(format!("{}1{}", "(".repeat(50), ")".repeat(50)))]
#[case::signs(format!("{}1", "-".repeat(499)))]
#[case::nots(format!("{}1", "not ".repeat(499)))]
#[case::powers(format!("{}1", "1**".repeat(166)))]
#[case::choices(format!("{}1", "1 if 1 else ".repeat(120)))]
#[case::sums(format!("{}1", "1+".repeat(166)))]
#[case::attributes(format!("a{} or 1", ".a".repeat(240)))]
fn an_expression_as_deep_as_allowed_does_not_need_much_stack(#[case] text: String) {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        let written = format!("[{{name: unit_conversion, parameters: {{target: {{scale: '{text}'}}}}}}]");
        let (out, complaints) = take(&mut chain(&written, ChainOptions::default()), 0, vec![sample("cpu", "r", 1, 0)]);
        assert_eq!((out.len(), complaints), (1, vec![]));
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn a_volume_that_is_text_is_what_python_makes_of_it() {
    let numeric = "[{name: unit_conversion, parameters: {target: {scale: 2}}}]";
    let out = take(&mut chain(numeric, ChainOptions::default()), 0, vec![sample("cpu", "r", "12", 0)]).0;
    assert_eq!(volumes(&out), ["\"1212\""]);
    let rate = "[{name: rate_of_change, parameters: {}}]";
    let mut chain = chain(rate, ChainOptions::default());
    let (out, complaints) = take(&mut chain, 0, vec![sample("cpu", "r", "12", 0), sample("cpu", "r", "13", 1)]);
    assert_eq!((out.len(), complaints.len()), (0, 1));
    assert_eq!(volumes(&take(&mut chain, 1, vec![sample("cpu", "r", 1, 2)]).0), [""; 0], "text was remembered");
    assert_eq!(volumes(&take(&mut chain, 2, vec![sample("cpu", "r", 5, 4)]).0), ["2.0"]);
}

#[test]
fn a_meter_and_resource_whose_names_join_to_the_same_text_are_not_mixed_up() {
    let mut chain = chain("[{name: delta, parameters: {}}]", ChainOptions::default());
    let (out, _) = take(&mut chain, 0, vec![sample("a", "bc", 1, 0), sample("ab", "c", 5, 1)]);
    assert_eq!(out, []);
}

#[test]
fn gauges_under_a_new_name_never_leave_an_aggregator_unless_repaired() {
    let written = "[{name: aggregator, parameters: {size: 2, target: {name: mean}}}]";
    let samples = || vec![sample("cpu", "r", 1, 0), sample("cpu", "r", 2, 1)];
    let (out, complaints) = take(&mut chain(written, ChainOptions::default()), 0, samples());
    assert_eq!(out, []);
    assert!(complaints[0].text.contains("cannot flush: ZeroDivisionError"), "{complaints:?}");
    let repairs = TransformerRepairs { renamed_gauge_aggregates: true, ..TransformerRepairs::default() };
    let (out, complaints) =
        take(&mut chain(written, ChainOptions { repairs, ..ChainOptions::default() }), 0, samples());
    assert_eq!((volumes(&out), &*out[0].name, complaints), (vec!["1.5".to_owned()], "mean", vec![]));
}

#[test]
fn arithmetic_has_the_timestamp_of_whatever_came_last_unless_repaired() {
    let written = r#"[{name: arithmetic, parameters: {target: {expr: "$(a) + $(b-c)", name: sum}}}]"#;
    let samples = || vec![sample("b-c", "r", 1, 5), sample("a", "r", 2, 3), sample("other", "s", 0, 900)];
    let (out, _) = take(&mut chain(written, ChainOptions::default()), 0, samples());
    assert_eq!((volumes(&out), &out[0].timestamp), (vec!["3.0".to_owned()], &Text::from(iso(900))));
    let repairs = TransformerRepairs { arithmetic_timestamps: true, ..TransformerRepairs::default() };
    let (out, _) = take(&mut chain(written, ChainOptions { repairs, ..ChainOptions::default() }), 0, samples());
    assert_eq!(out[0].timestamp, iso(5));
}

#[test]
fn rates_go_by_the_monotonic_time_where_both_samples_have_it() {
    let mut chain = chain("[{name: rate_of_change, parameters: {}}]", ChainOptions::default());
    let timed = |volume: i64, seconds: i64, monotonic: f64| Sample {
        monotonic_time: Value::Float(monotonic),
        ..sample("cpu", "r", volume, seconds)
    };
    let (out, _) = take(&mut chain, 0, vec![timed(0, 0, 100.0), timed(10, 10, 104.0), timed(20, 10, 108.0)]);
    assert_eq!(volumes(&out), ["2.5", "2.5"]);
    // A host that began anew: Ceilometer waits until its clock has caught up.
    assert_eq!(take(&mut chain, 1, vec![timed(30, 20, 1.0)]).0, []);
}

#[test]
fn a_resource_that_was_silent_for_longer_than_state_ttl_begins_anew() {
    let written = "[{name: delta, parameters: {}}]";
    let options = ChainOptions { state_ttl: Some(Duration::from_secs(60)), ..ChainOptions::default() };
    for (options, expected) in [(options, 0), (ChainOptions::default(), 1)] {
        let mut chain = chain(written, options);
        take(&mut chain, 0, vec![sample("cpu", "r", 1, 0), sample("cpu", "s", 1, 0)]);
        assert_eq!(volumes(&take(&mut chain, 60, vec![sample("cpu", "s", 2, 60)]).0), ["1"]);
        let out = take(&mut chain, 61, vec![sample("cpu", "r", 9, 61)]).0;
        assert_eq!(out.len(), expected);
        assert_eq!(volumes(&take(&mut chain, 70, vec![sample("cpu", "s", 4, 70)]).0), ["2"]);
    }
}

#[test]
fn what_an_accumulator_holds_is_never_too_old() {
    let options = ChainOptions { state_ttl: Some(Duration::from_secs(60)), ..ChainOptions::default() };
    let mut chain = chain("[{name: accumulator, parameters: {size: 2}}]", options);
    take(&mut chain, 0, vec![sample("cpu", "r", 1, 0)]);
    assert_eq!(volumes(&take(&mut chain, 1000, vec![sample("cpu", "s", 2, 1000)]).0), ["1", "2"]);
}

#[test]
fn past_their_bound_the_oldest_cells_go_and_that_is_said_once() {
    let options = ChainOptions { state_cells_max: 3, ..ChainOptions::default() };
    let mut chain = chain("[{name: delta, parameters: {}}]", options);
    let mut said = 0;
    for n in 0..20 {
        said += take(&mut chain, n, vec![sample("cpu", &format!("r{n}"), 1, n)]).1.len();
        assert!(chain.cells().len() <= 3);
    }
    assert_eq!(said, 1);
    let out = take(&mut chain, 20, vec![sample("cpu", "r18", 2, 20), sample("cpu", "r3", 2, 20)]).0;
    assert_eq!(volumes(&out), ["1"], "r18 is remembered, r3 is not");
}

#[test]
fn past_the_bound_what_is_held_is_given_out_early_and_nothing_is_lost() {
    let options = ChainOptions { state_cells_max: 3, ..ChainOptions::default() };
    let mut chain =
        chain("[{name: accumulator, parameters: {size: 100}}, {name: unit_conversion, parameters: {}}]", options);
    let mut out = Vec::new();
    for n in 0..20 {
        out.extend(take(&mut chain, n, vec![sample("cpu", "r", n, n)]).0);
    }
    assert_eq!(volumes(&out), (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn an_aggregator_that_fails_at_every_flush_does_not_grow_without_end() {
    let options = ChainOptions { state_cells_max: 3, ..ChainOptions::default() };
    let mut chain = chain("[{name: aggregator, parameters: {size: 2, target: {name: mean}}}]", options);
    for n in 0..20 {
        take(&mut chain, n, vec![sample("cpu", &format!("r{n}"), 1, n)]);
        assert!(chain.cells().len() <= 3);
    }
}

#[test]
fn cells_of_another_definition_are_dropped_and_complained_of() {
    let mut former = chain("[{name: delta, parameters: {growth_only: true}}]", ChainOptions::default());
    take(&mut former, 0, vec![sample("cpu", "r", 1, 0), sample("cpu", "s", 1, 0)]);
    let mut chain = chain("[{name: delta, parameters: {}}]", ChainOptions::default());
    let cells = former.cells();
    let mut torn = cells[0].clone();
    take(&mut chain, 0, vec![sample("cpu", "r", 1, 0)]);
    torn.key.transformer = chain.cells()[0].key.transformer.clone();
    torn.value.truncate(5);
    drop(chain.changes());
    let complaints = chain.restore([cells.clone(), vec![torn.clone()]].concat());
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert!(complaints[0].to_string().starts_with("sink a: 2 cells of the transformer 0:"), "{complaints:?}");
    let removed: Vec<CellKey> = chain.changes().into_iter().map(|change| change.key).collect();
    assert_eq!(removed, [cells[0].key.clone(), cells[1].key.clone(), torn.key]);
}

#[test]
fn cells_have_the_shapes_that_are_written_down() {
    let written = "[{name: rate_of_change, parameters: {}}, {name: accumulator, parameters: {size: 9}}]";
    let mut chain = chain(written, ChainOptions::default());
    take(&mut chain, 0, vec![sample("cpu", "r", 1, 0), sample("cpu", "r", 3, 1)]);
    let cells = chain.cells();
    assert_eq!(cells.len(), 2);
    assert_eq!((&*cells[0].key.resource, &*cells[0].key.key), ("r", "cpu"));
    assert_eq!(
        String::from_utf8_lossy(&cells[0].value),
        r#"{"at":1800000000000000,"volume":3,"time":1800000001000000,"monotonic_time":null}"#
    );
    assert_eq!((&*cells[1].key.resource, &*cells[1].key.key), ("r", "1800000000000000"));
    let held = String::from_utf8_lossy(&cells[1].value).into_owned();
    assert!(
        held.starts_with(r#"{"at":1800000000000000,"sample":{"name":"cpu","type":"gauge","unit":"B","volume":2.0"#),
        "{held}"
    );
}

// ---- properties ----

const STEPS: &[&str] = &[
    "{name: unit_conversion, parameters: {source: {unit: B}, target: {scale: 'volume / 3', name: c, unit: KB, max: 50}}}",
    "{name: unit_conversion, parameters: {target: {scale: 'volume // resource_metadata.n % 7 ** 2'}}}",
    "{name: rate_of_change, parameters: {target: {scale: '100.0 / (resource_metadata.n or 1)', type: gauge}}}",
    "{name: rate_of_change, parameters: {source: {map_from: {name: '(.)'}}, target: {map_to: {name: '\\1\\1'}}}}",
    "{name: delta, parameters: {}}",
    "{name: delta, parameters: {growth_only: true, target: {name: d}}}",
    "{name: accumulator, parameters: {size: 3}}",
    "{name: aggregator, parameters: {size: 4}}",
    "{name: aggregator, parameters: {size: 3, target: {name: renamed}}}",
    "{name: aggregator, parameters: {size: null, retention_time: 5, user_id: last, resource_metadata: drop, timestamp: last}}",
    "{name: arithmetic, parameters: {target: {expr: '$(a) * 2 + $(b) / ($(a).resource_metadata.n or 1)', name: a}}}",
    "{name: arithmetic, parameters: {target: {expr: '$(a) if $(a) < 5 else $(a) ** 0.5'}}}",
];

/// Of these, each resource's samples come to the same whatever other resources are there.
const BY_RESOURCE: [usize; 8] = [0, 1, 2, 3, 4, 5, 10, 11];

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (-20_i64..20).prop_map(Value::Int),
        3 => (-9.0..9.0_f64).prop_map(Value::Float),
        1 => any::<i64>().prop_map(Value::Int),
        1 => any::<f64>().prop_map(Value::Float),
        1 => Just(Value::Float(f64::NAN)),
        1 => Just(json::read(b"123456789012345678901234567890").unwrap()),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => "[0-9.]{0,4}".prop_map(Value::from),
        1 => Just(Value::from("nan")),
        1 => Just(Value::Null),
        1 => Just(Value::Dict(Dict::from_iter([("k", Value::Int(1))]))),
        1 => Just(Value::List(vec![Value::Int(1)])),
    ]
}

/// A sample, tame or of any shape that could come.
fn any_sample(wild: bool) -> BoxedStrategy<Sample> {
    let volume = if wild { any_value().boxed() } else { (-20_i64..20).prop_map(Value::Int).boxed() };
    let odd = move |odd: Value| {
        if wild { prop_oneof![9 => Just(None), 1 => Just(Some(odd))].boxed() } else { Just(None).boxed() }
    };
    let odd_resource = if wild { any_value().prop_map(Some).boxed() } else { Just(None).boxed() };
    let timestamp = if wild {
        prop_oneof![8 => (0_i64..30).prop_map(iso), 1 => "[0-9T:.Z+-]{0,20}", 1 => Just("9999-12-31T23:59:59.999999-14:00".to_owned())]
            .boxed()
    } else {
        (0_i64..30).prop_map(iso).boxed()
    };
    let parts =
        ("[abc]", "[rst]", volume, timestamp, 0..3_usize, 0..3_i64, prop_oneof![4 => Just(None), 1 => odd_resource]);
    (parts, odd(Value::Int(5)), odd(Value::Null))
        .prop_map(|((name, resource, volume, timestamp, kind, n, odd_resource), user, project)| Sample {
            kind: [SampleType::Gauge, SampleType::Delta, SampleType::Cumulative][kind],
            timestamp: timestamp.into(),
            resource_metadata: Dict::from_iter([("n", Value::Int(n))]).into(),
            resource_id: odd_resource.unwrap_or(Value::from(resource.as_str())),
            user_id: user.unwrap_or(Value::from("u")),
            project_id: project.unwrap_or(Value::from("p")),
            monotonic_time: if n == 2 { volume.clone() } else { Value::Null },
            ..sample(&name, &resource, volume, 0)
        })
        .boxed()
}

fn any_scopes(wild: bool) -> impl Strategy<Value = Vec<(i64, Vec<Sample>)>> {
    proptest::collection::vec((-2..9_i64, proptest::collection::vec(any_sample(wild), 0..5)), 1..12).prop_map(
        |scopes| {
            // Clocks of several members: mostly forwards.
            let mut now = 0;
            scopes
                .into_iter()
                .map(|(step, samples)| {
                    now += step;
                    (now, samples)
                })
                .collect()
        },
    )
}

fn any_chain(of: Vec<usize>) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(of), 1..4).prop_map(|steps| {
        let steps: Vec<&str> = steps.into_iter().map(|n| STEPS[n]).collect();
        format!("[{}]", steps.join(", "))
    })
}

fn any_options() -> impl Strategy<Value = ChainOptions> {
    (any::<[bool; 2]>(), proptest::option::of(3..20_u64), 2..40_usize).prop_map(|([one, two], ttl, most)| {
        ChainOptions {
            state_ttl: ttl.map(Duration::from_secs),
            state_cells_max: most,
            repairs: TransformerRepairs { renamed_gauge_aggregates: one, arithmetic_timestamps: two },
            ..ChainOptions::default()
        }
    })
}

/// Written so that NaN equals itself.
fn texts(samples: &[Sample]) -> Vec<String> {
    samples.iter().map(|sample| json::to_string(&Value::Dict(sample.as_dict()))).collect()
}

fn fold(log: &mut BTreeMap<CellKey, Vec<u8>>, changes: Vec<CellChange>) {
    for CellChange { key, value } in changes {
        match value {
            Some(value) => drop(log.insert(key, value)),
            None => assert!(log.remove(&key).is_some(), "{key:?} was not there"),
        }
    }
}

fn of_log(log: &BTreeMap<CellKey, Vec<u8>>) -> Vec<Cell> {
    log.iter().map(|(key, value)| Cell { key: key.clone(), value: value.clone() }).collect()
}

fn sorted(mut cells: Vec<Cell>) -> Vec<Cell> {
    cells.sort_by(|a, b| a.key.cmp(&b.key));
    cells
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn state_goes_elsewhere_between_any_two_scopes_and_nothing_changes(
        written in any_chain((0..STEPS.len()).collect()),
        scopes in any_scopes(true),
        options in any_options(),
    ) {
        let (mut stays, mut goes) = (chain(&written, options.clone()), chain(&written, options.clone()));
        let mut log = BTreeMap::new();
        for (now, samples) in scopes {
            let (expected, _) = take(&mut stays, now, samples.clone());
            let (got, _) = take(&mut goes, now, samples);
            prop_assert_eq!(texts(&got), texts(&expected));
            fold(&mut log, goes.changes());
            prop_assert_eq!(sorted(goes.cells()), of_log(&log));
            prop_assert_eq!(sorted(stays.cells()), of_log(&log));
            goes = chain(&written, options.clone());
            prop_assert_eq!(goes.restore(of_log(&log)), []);
            prop_assert_eq!(goes.changes(), []);
            prop_assert_eq!(sorted(goes.cells()), of_log(&log));
        }
    }

    #[test]
    fn a_queue_is_split_by_resource_and_joined_again_and_nothing_changes(
        written in any_chain(BY_RESOURCE.to_vec()),
        scopes in any_scopes(false),
        split_at in 0..12_usize,
        join_at in 0..12_usize,
    ) {
        let options = ChainOptions {
            repairs: TransformerRepairs { arithmetic_timestamps: true, ..TransformerRepairs::default() },
            ..ChainOptions::default()
        };
        let mut whole = chain(&written, options.clone());
        let mut parts = [chain(&written, options.clone()), chain(&written, options.clone())];
        let part_of = |resource: &str| usize::from(resource != "r");
        for (n, (now, samples)) in scopes.into_iter().enumerate() {
            let split = (split_at..join_at).contains(&n);
            let cells: Vec<Cell> = parts.iter().flat_map(Chain::cells).collect();
            parts = [chain(&written, options.clone()), chain(&written, options.clone())];
            for cell in cells {
                let part = if split { part_of(&cell.key.resource) } else { 0 };
                prop_assert_eq!(parts[part].restore(vec![cell]), []);
            }
            let expected = take(&mut whole, now, samples.clone()).0;
            let (there, here): (Vec<_>, Vec<_>) =
                samples.into_iter().partition(|s| split && part_of(&grouping_text(&s.resource_id)) == 1);
            let mut got = take(&mut parts[0], now, here).0;
            got.extend(take(&mut parts[1], now, there).0);
            let by_resource = |samples: &[Sample]| {
                let mut texts: Vec<(String, String)> =
                    samples.iter().map(|s| grouping_text(&s.resource_id).into_owned()).zip(texts(samples)).collect();
                texts.sort_by(|a, b| a.0.cmp(&b.0));
                texts
            };
            prop_assert_eq!(by_resource(&got), by_resource(&expected));
        }
    }

    #[test]
    fn cells_of_any_shape_are_no_trouble(
        written in any_chain((0..STEPS.len()).collect()),
        texts in proptest::collection::vec("[{}\"a-z:0-9,\\[\\]]{0,30}", 0..4),
        scopes in any_scopes(true),
    ) {
        let mut chain = chain(&written, ChainOptions::default());
        for (now, samples) in scopes {
            let (_, _) = take(&mut chain, now, samples);
            let cells = chain.cells();
            let strange = cells.iter().zip(&texts).map(|(cell, text)| Cell { value: text.clone().into_bytes(), ..cell.clone() });
            let strange: Vec<Cell> = strange.collect();
            drop(chain.restore(strange));
            // Numbers as large as they get.
            let large = cells.into_iter().map(|cell| {
                let text = String::from_utf8_lossy(&cell.value).replace("\"at\":18", "\"at\":92").replace("\"count\":", "\"count\":9223372036854775");
                Cell { value: text.into_bytes(), ..cell }
            });
            drop(chain.restore(large.collect()));
        }
    }
}
