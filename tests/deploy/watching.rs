//! Alert rules and dashboard: every metric and label that they name is there, and Prometheus reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use nephoscope::model::Node;
use nephoscope::observe::Metrics;
use nephoscope::yaml;
use regex::Regex;

use super::{assert_none, has, path, printed, read};

const RULES: &str = "deploy/prometheus/nephoscope.rules.yml";
const CASES: &str = "tests/deploy/alerts.yml";
const DASHBOARD: &str = "deploy/grafana/dashboards/nephoscope.json";

/// Labels that a target has in Prometheus, and those that Prometheus makes.
const OF_TARGETS: [&str; 5] = ["job", "group", "instance", "le", "alertname"];

/// One alert rule.
struct Alert {
    name: String,
    expression: String,
    severity: String,
    summary: String,
    description: String,
}

fn alerts() -> Vec<Alert> {
    let rules = yaml::read(RULES, &read(RULES)).unwrap();
    let groups = rules.get("groups").unwrap().items().unwrap();
    let rules = groups.iter().flat_map(|group| group.get("rules").unwrap().items().unwrap());
    let alert = |rule: &Node| {
        let text = |keys: &[&str]| {
            let node = keys.iter().try_fold(rule, |node, key| node.get(key));
            node.and_then(Node::as_str).unwrap_or_else(|| panic!("{}: no {}", rule.place, keys.join("."))).to_owned()
        };
        Alert {
            name: text(&["alert"]),
            expression: text(&["expr"]),
            severity: text(&["labels", "severity"]),
            summary: text(&["annotations", "summary"]),
            description: text(&["annotations", "description"]),
        }
    };
    rules.map(alert).collect()
}

/// Titles of panels, and what they ask.
fn panels() -> Vec<(String, String)> {
    let dashboard: serde_json::Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let mut asked = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            asked.push((panel["title"].as_str().unwrap().to_owned(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    asked
}

/// Names of series, with the labels of their metric.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let metrics = Metrics::new();
    let mut known = BTreeMap::new();
    for row in metrics.reference().lines() {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let name = cells[0].trim_matches('`');
        let labels: BTreeSet<String> = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        if cells[1] == "histogram" {
            for part in ["bucket", "sum", "count"] {
                known.insert(format!("{name}_{part}"), labels.clone());
            }
        } else {
            known.insert(name.to_owned(), labels);
        }
    }
    known
}

/// What an expression names that is not there: metrics, and labels that none of its metrics has.
fn unknown(expression: &str) -> Vec<String> {
    let known = known();
    let metric = Regex::new(r"\bnephoscope_[a-z_]+\b").unwrap();
    let matched = Regex::new(r"\{([^}]*)\}").unwrap();
    let grouped = Regex::new(r"\b(?:by|on|without) \(([^)]*)\)").unwrap();
    let (mut wrong, mut labels) = (Vec::new(), BTreeSet::from(OF_TARGETS.map(str::to_owned)));
    for name in metric.find_iter(expression).map(|found| found.as_str()) {
        match known.get(name) {
            Some(of) => labels.extend(of.iter().cloned()),
            None => wrong.push(format!("no metric {name}")),
        }
    }
    let matchers =
        matched.captures_iter(expression).flat_map(|found| found[1].split(", ").map(label).collect::<Vec<_>>());
    let groupings =
        grouped.captures_iter(expression).flat_map(|found| found[1].split(", ").map(label).collect::<Vec<_>>());
    for label in matchers.chain(groupings).filter(|label| !labels.contains(label)) {
        wrong.push(format!("no label {label}"));
    }
    wrong
}

/// The label of a matcher or of a grouping.
fn label(text: &str) -> String {
    text.split(['=', '!']).next().unwrap().trim().to_owned()
}

#[test]
fn an_expression_that_names_what_is_not_there_is_found() {
    let wrong = unknown("sum by (queue, sink) (rate(nephoscope_parked[5m])) + nephoscope_parked_total{place=\"x\"}");
    assert_eq!(wrong, ["no metric nephoscope_parked", "no label place", "no label queue", "no label sink"]);
    assert_eq!(unknown("sum by (le) (nephoscope_handling_seconds_bucket{queue=\"q\", group!=\"g\"})"), [""; 0]);
}

#[test]
fn every_metric_and_label_of_the_alert_rules_is_there() {
    let alerts = alerts();
    assert!(alerts.len() >= 20, "{} alerts", alerts.len());
    let mut wrong = Vec::new();
    for Alert { name, expression, severity, summary, description } in &alerts {
        wrong.extend(unknown(expression).into_iter().map(|what| format!("{name}: {what}")));
        if !["critical", "warning"].contains(&severity.as_str()) {
            wrong.push(format!("{name}: severity {severity}"));
        }
        // A rule that aggregates keeps the labels that it names, and no others.
        let kept = expression.split_once(" by (").and_then(|(_, rest)| rest.split_once(')')).map(|(kept, _)| kept);
        for text in [summary, description] {
            for shown in text.split("$labels.").skip(1).map(|rest| rest.split([' ', '}']).next().unwrap()) {
                if kept.is_some_and(|kept| !kept.split(", ").any(|label| label == shown)) {
                    wrong.push(format!("{name}: shows the label {shown}, which its expression drops"));
                }
            }
        }
        if !summary.contains(": ") {
            wrong.push(format!("{name}: the summary does not say what to do: {summary}"));
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_page_lists_the_alerts_with_their_severity() {
    let page = read("docs/operating.md");
    let rows = page.lines().filter(|line| line.starts_with("| `Nephoscope"));
    let listed: BTreeSet<(String, String)> = rows
        .map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned()))
        .map(|mut cells| (cells.next().unwrap(), cells.next().unwrap()))
        .collect();
    assert_eq!(listed, alerts().into_iter().map(|alert| (alert.name, alert.severity)).collect());
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let cases = yaml::read(CASES, &read(CASES)).unwrap();
    let mut fires: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    for case in cases.get("tests").unwrap().items().unwrap() {
        let title = case.get("name").and_then(Node::as_str).unwrap();
        let (alert, _) = title.split_once(": ").unwrap_or_else(|| panic!("{}: not ALERT: circumstances", case.place));
        for asked in case.get("promql_expr_test").unwrap().items().unwrap() {
            let expression = asked.get("expr").and_then(Node::as_str).unwrap();
            assert!(expression.contains(&format!("alertname=\"{alert}\"")), "{}: {expression}", case.place);
            let expected = asked.get("exp_samples").unwrap().items().unwrap();
            fires.entry(alert.to_owned()).or_default()[usize::from(expected.is_empty())] = true;
        }
    }
    let alerts: BTreeMap<String, [bool; 2]> = alerts().into_iter().map(|alert| (alert.name, [true, true])).collect();
    assert_eq!(fires, alerts);
}

#[test]
fn the_alert_rules_do_in_prometheus_what_their_cases_say() {
    if !has("promtool") {
        println!("SKIPPED: promtool is not installed (Debian: prometheus)");
        return;
    }
    let said = printed(Command::new("promtool").args(["test", "rules", CASES]));
    assert!(said.contains("SUCCESS"), "{said}");
    // The rules beside it are those.
    printed(Command::new("promtool").args(["check", "config", "deploy/prometheus/prometheus.yml"]));
}

#[test]
fn every_metric_and_label_of_the_dashboard_is_there() {
    let panels = panels();
    assert!(panels.len() >= 30, "{} questions", panels.len());
    let wrong = panels.iter().flat_map(|(title, expression)| {
        unknown(expression).into_iter().map(move |what| format!("{title}: {what}: {expression}"))
    });
    assert_none(&wrong.collect::<Vec<_>>());
}

/// Every question of the dashboard as a recording rule, with numbers where Grafana puts its own.
#[test]
fn prometheus_can_read_every_question_of_the_dashboard() {
    if !has("promtool") {
        println!("SKIPPED: promtool is not installed (Debian: prometheus)");
        return;
    }
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (n, (_, expression)) in panels().iter().enumerate() {
        let whole = ["$__rate_interval", "$__range"].iter().fold(expression.clone(), |e, v| e.replace(v, "5m"));
        assert!(!whole.replace("\"$group\"", "").replace("\"$instance\"", "").contains('$'), "{whole}");
        writeln!(rules, "  - record: panel:{n}\n    expr: {}", serde_json::Value::from(whole)).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dashboard.yml");
    std::fs::write(&file, rules).unwrap();
    printed(Command::new("promtool").args(["check", "rules"]).arg(file));
}

#[test]
fn the_dashboard_is_one_that_grafana_provisions() {
    let dashboard: serde_json::Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    assert!(dashboard["id"].is_null(), "Grafana gives the number");
    assert!(dashboard["schemaVersion"].as_i64().unwrap() >= 39, "Grafana 11 and newer");
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap());
    assert_eq!(variables.collect::<Vec<_>>(), ["datasource", "group", "instance"]);
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "{}: its number is there twice", panel["title"]);
        let place = &panel["gridPos"];
        assert!(place["x"].as_i64().unwrap() + place["w"].as_i64().unwrap() <= 24, "{}: {place}", panel["title"]);
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            let expression = target["expr"].as_str().unwrap();
            let filtered = expression.matches("group=~\"$group\", instance=~\"$instance\"").count();
            assert_eq!(filtered, expression.matches("nephoscope_").count(), "not filtered: {expression}");
        }
    }
    let provider = yaml::read("provisioning.yml", &read("deploy/grafana/provisioning.yml")).unwrap();
    let provider = &provider.get("providers").unwrap().items().unwrap()[0];
    assert_eq!(provider.get("type").and_then(Node::as_str), Some("file"));
    assert!(path(DASHBOARD).parent().unwrap().is_dir());
}
