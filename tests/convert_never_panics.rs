//! Whatever a sender writes: the shipped definitions and every built-in endpoint never panic, and a repeat gives the
//! same.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use nephoscope::config::yaml;
use nephoscope::convert::{ConvertOptions, Converter, Sources};
use nephoscope::model::{Dict, Notification, Priority, Value, envelope};
use proptest::prelude::*;
use std::sync::LazyLock;

static NOTIFICATIONS: LazyLock<Vec<Notification>> = LazyLock::new(|| {
    let lines = include_str!("../config/notifications.jsonl").lines();
    lines.map(|line| envelope::open(line.as_bytes()).unwrap()).collect()
});

static CONVERTER: LazyLock<Converter> = LazyLock::new(|| {
    let sources = Sources {
        meters: vec![yaml::read("meters.yaml", include_str!("../config/meters.d/meters.yaml")).unwrap()],
        events: yaml::read("events.yaml", include_str!("../config/event_definitions.yaml")).unwrap(),
    };
    let options = ConvertOptions {
        disable_non_metric_meters: false,
        store_raw: vec![Priority::Error],
        ..ConvertOptions::default()
    };
    Converter::build(&sources, options).0.unwrap()
});

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        "\\PC{0,12}".prop_map(Value::from),
        "20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9:.+Z]{0,14}".prop_map(Value::from),
        "[0-9]{1,30}( \\(.{0,4}\\))?( Volts)?".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec(("[a-z_]{1,8}", inner), 0..4)
                .prop_map(|pairs| Value::Dict(pairs.into_iter().collect::<Dict>())),
        ]
    })
}

/// Replaces what stands at the n-th place of a value, counted in depth.
fn replace(value: &mut Value, n: &mut usize, with: &Value) {
    if *n == 0 {
        *value = with.clone();
        *n = usize::MAX;
        return;
    }
    *n -= 1;
    match value {
        Value::List(items) => items.iter_mut().for_each(|item| replace_if_left(item, n, with)),
        Value::Dict(dict) => {
            let keys: Vec<String> = dict.iter().map(|(key, _)| key.to_owned()).collect();
            for key in keys {
                if let Some(item) = dict.get_mut(&key) {
                    replace_if_left(item, n, with);
                }
            }
        }
        _ => {}
    }
}

fn replace_if_left(value: &mut Value, n: &mut usize, with: &Value) {
    if *n != usize::MAX {
        replace(value, n, with);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_sender_changes_any_part_of_a_real_notification(
        which in any::<prop::sample::Index>(),
        places in prop::collection::vec((1_usize..120, any_value()), 1..4),
        priority in prop::sample::select(&Priority::ALL[..]),
    ) {
        let mut root = which.get(&NOTIFICATIONS).root().clone();
        for (place, with) in &places {
            replace(&mut root, &mut place.clone(), with);
        }
        let Value::Dict(root) = root else { return Ok(()) };
        let notification = Notification::from_root(priority, root);
        let once = CONVERTER.convert(&notification);
        let again = CONVERTER.convert(&notification);
        prop_assert_eq!(format!("{once:?}"), format!("{again:?}"));
        let _ = CONVERTER.explain(&notification);
    }

    #[test]
    fn a_sender_writes_anything_at_all(root in any_value(), event_type in prop::sample::select(vec![
        "telemetry.polling", "http.request", "hardware.ipmi.x", "compute.instance.exists", "port.update.start",
        "scheduler.run_instance.scheduled", "objectstore.http.request", "identity.authenticate", "\n",
    ])) {
        let root = Dict::from_iter([("event_type", Value::from(event_type)), ("payload", root.clone()),
            ("metadata", root.clone()), ("ctxt", root)]);
        let _ = CONVERTER.convert(&Notification::from_root(Priority::Info, root));
    }
}
