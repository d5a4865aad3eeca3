use rstest::rstest;

use super::{Line, metric_name, number, write_metric};
use crate::model::json;
use crate::model::{Sample, SampleType, Value};
use crate::publish::record::tests::sample;

#[rstest]
#[case("disk.device.read-bytes", "disk_device_read_bytes")]
#[case("9lives", "_9lives")]
#[case("tür.meter", "t_r_meter")]
#[case("a:b", "a:b")]
#[case("with space\n", "with_space_")]
#[case("", "_")]
fn every_name_is_one_that_prometheus_allows(#[case] meter: &str, #[case] name: &str) {
    assert_eq!(metric_name(meter), name);
}

#[rstest]
#[case("0", "0")]
#[case("-5", "-5")]
#[case("1.0", "1.0")]
#[case("1e16", "1e+16")]
#[case("1180591620717411303424", "1180591620717411303424")]
#[case("NaN", "NaN")]
#[case("Infinity", "+Inf")]
#[case("-Infinity", "-Inf")]
#[case("true", "1.0")]
#[case("\" 1_2 \"", "12.0")]
fn a_volume_is_written_as_go_reads_it(#[case] volume: &str, #[case] written: &str) {
    assert_eq!(number(&json::read(volume.as_bytes()).unwrap()).unwrap(), written);
}

#[rstest]
#[case("null")]
#[case("\"many\"")]
#[case("[1]")]
fn a_volume_that_is_no_number_is_refused(#[case] volume: &str) {
    assert!(number(&json::read(volume.as_bytes()).unwrap()).is_err());
}

#[test]
fn an_integer_beyond_a_double_is_refused() {
    assert!(number(&json::read("9".repeat(400).as_bytes()).unwrap()).is_err());
}

#[test]
fn a_type_comes_before_the_first_line_and_labels_are_escaped() {
    let of = |kind, volume: i64, id: &str| {
        let volume = Value::Int(volume);
        Line::of(&Sample { kind, volume, resource_id: id.into(), ..sample("cpu.x", "1") }).unwrap()
    };
    let lines =
        [of(SampleType::Delta, 1, "é\\\"\n"), of(SampleType::Gauge, 2, "b"), of(SampleType::Cumulative, 3, "c")];
    let mut out = String::new();
    write_metric(&lines.iter().collect::<Vec<_>>(), &mut out);
    assert_eq!(
        out,
        "# TYPE cpu_x gauge\n\
         cpu_x{resource_id=\"é\\\\\\\"\\n\", user_id=\"u\", project_id=\"p\"} 1\n\
         cpu_x{resource_id=\"b\", user_id=\"u\", project_id=\"p\"} 2\n\
         cpu_x{resource_id=\"c\", user_id=\"u\", project_id=\"p\"} 3\n"
    );
    let mut untyped = String::new();
    write_metric(&[&lines[0]], &mut untyped);
    assert!(untyped.starts_with("cpu_x{"), "{untyped}");
    let nobody = Sample { user_id: Value::Null, ..sample("cpu", "1") };
    assert_eq!(Line::of(&nobody).unwrap().labels, "resource_id=\"r\", user_id=\"None\", project_id=\"p\"");
}
