use super::*;
use crate::config::definitions::gnocchi_resources;
use crate::config::yaml;
use rstest::rstest;

fn read(text: &str, over: Option<&str>) -> Result<(Definitions, Vec<String>), String> {
    let file = yaml::read("g.yaml", text).unwrap();
    let (definitions, warnings) = Definitions::read(&file, over).map_err(|complaint| complaint.to_string())?;
    Ok((definitions, warnings.iter().map(ToString::to_string).collect()))
}

fn policy<'d>(definitions: &'d Definitions, meter: &str) -> Option<&'d str> {
    definitions.metric(meter).map(|(metric, _)| &*metric.policy)
}

#[test]
fn there_is_nothing_to_complain_about_in_the_shipped_definitions() {
    let (file, warnings) = gnocchi_resources(&[], "gnocchi_resources.yaml").unwrap();
    let (definitions, more) = Definitions::read(&file, None).unwrap();
    assert_eq!((warnings, more), (vec![], vec![]));
    assert_eq!((definitions.policies.len(), definitions.resources.len()), (4, 19));
    assert_eq!(policy(&definitions, "cpu"), Some("ceilometer-low-rate"));
    assert_eq!(policy(&definitions, "memory"), Some("ceilometer-low"));
    let operation = |event_type| definitions.operation(event_type).map(|(kind, operation)| (&*kind.name, operation));
    assert_eq!(operation("compute.instance.create.end"), Some(("instance", Operation::Create)));
    assert_eq!(operation("snapshot.transfer.accept.end"), Some(("volume", Operation::Update)));
    assert_eq!(operation("dns.zone.delete"), Some(("dns_zone", Operation::Delete)));
    assert_eq!(operation("compute.instance.update"), None);
}

#[rstest]
#[case::default("", None, ["ceilometer-low", "special"])]
#[case::of_the_file("archive_policy_default: d\n", None, ["d", "special"])]
#[case::of_the_url("archive_policy_default: d\n", Some("o"), ["o", "o"])]
fn the_archive_policy_of_a_metric(#[case] head: &str, #[case] over: Option<&str>, #[case] policies: [&str; 2]) {
    let text = format!(
        "{head}resources:\n- resource_type: t\n  metrics:\n    a:\n    b:\n      archive_policy_name: special\n"
    );
    let (definitions, warnings) = read(&text, over).unwrap();
    assert_eq!(["a", "b"].map(|meter| policy(&definitions, meter).unwrap()), policies);
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn the_old_key_of_a_resource_type_beats_all_and_is_warned_of() {
    let text = "resources:\n- resource_type: t\n  archive_policy: old\n  metrics: [a]\n";
    let (definitions, warnings) = read(text, Some("over")).unwrap();
    assert_eq!(policy(&definitions, "a"), Some("old"));
    assert!(warnings[0].starts_with("g.yaml:3: archive_policy of a resource type is an old key"), "{warnings:?}");
}

#[rstest]
#[case("metrics: [b]", "resource_type is missing")]
#[case("resource_type: t", "metrics is missing")]
#[case("resource_type: t\n  metrics: text", "expected a mapping or a list of meters")]
#[case("resource_type: t\n  metrics: [b]\n  attributes: {x: '$.['}", "attribute x:")]
#[case("resource_type: t\n  metrics: [b]\n  event_delete: x", "event_attributes has no id")]
#[case("resource_type: t\n  metrics: [b]\n  event_associated_resources: {d: '{'}", "not JSON")]
fn a_bad_resource_is_left_out_and_the_others_hold(#[case] bad: &str, #[case] why: &str) {
    let text = format!("resources:\n- {bad}\n- resource_type: good\n  metrics: [a]\n");
    let (definitions, warnings) = read(&text, None).unwrap();
    assert_eq!(definitions.metric("a").map(|(_, kind)| &*kind.name), Some("good"));
    assert!(definitions.metric("b").is_none());
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("left out") && warning.contains(why), "{warning}");
}

#[rstest]
#[case("", "expected a mapping")]
#[case("resources: 5", "resources: expected a list")]
fn a_file_of_which_nothing_can_be_made(#[case] text: &str, #[case] why: &str) {
    assert!(read(text, None).unwrap_err().contains(why));
}

#[test]
fn a_file_that_is_not_there_is_warned_of_and_the_shipped_one_holds() {
    let (_, warnings) = gnocchi_resources(&[], "no-such-file.yaml").unwrap();
    assert!(warnings[0].to_string().contains("the shipped definitions are used"), "{warnings:?}");
}
