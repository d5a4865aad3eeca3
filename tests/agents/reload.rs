//! What a reload makes anew, and what becomes of what is held meanwhile.

use super::{Lab, RESOURCES};
use nephoscope::config;
use nephoscope::publish::{Context, identity};
use rstest::rstest;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_publisher_is_made_anew_whose_login_or_file_is_another() {
    let mut lab = Lab::new(false).await;
    let resources = lab.folder.path().join("gnocchi.yaml");
    std::fs::write(&resources, "resources: []\n").unwrap();
    let file = resources.display();
    let url = format!("gnocchi://?enable_filter_project=false&resources_definition_file={file}");
    lab.write_pipeline("pipeline.yaml", "meters", &[&url]);
    lab.context = with_user("first", &lab.context);
    let (agent, _) = lab.start("a");
    lab.context = with_user("first", &lab.context);
    assert_eq!(lab.reload(&agent).await, 0, "nothing is another");
    lab.context = with_user("second", &lab.context);
    assert_eq!(lab.reload(&agent).await, 1, "the login");
    std::fs::write(&resources, "archive_policy_default: high\nresources: []\n").unwrap();
    assert_eq!(lab.reload(&agent).await, 1, "the file");
    assert_eq!(lab.reload(&agent).await, 0, "nothing is another");
}

/// `mended` is another URL, `away` the same one that takes now: both get what was held, and nothing waits for the long pause that
/// was reached.
#[rstest]
#[case::alone(false, &["test://mended"], "mended")]
#[case::in_a_group(true, &["test://mended"], "mended")]
#[case::its_options(false, &["test://away?max_records=50000"], "away")]
#[case::one_is_another(false, &["test://second", "test://mended"], "mended")]
#[tokio::test(start_paused = true)]
async fn what_a_publisher_holds_goes_to_the_one_that_a_reload_puts_in_its_place(
    #[case] partitioned: bool,
    #[case] publishers: &[&str],
    #[case] takes: &str,
) {
    let mut lab = Lab::new(partitioned).await;
    lab.more = "overflow_max_bytes = 0\n";
    let both = publishers.len() > 1;
    lab.write_pipeline(
        "pipeline.yaml",
        "meters",
        if both { &["test://second", "test://away"] } else { &["test://away"] },
    );
    let (agent, _) = lab.start("a");
    lab.context.shelf.set_away("away", true);
    lab.send(RESOURCES * 4).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    lab.write_pipeline("pipeline.yaml", "meters", publishers);
    if takes == "away" {
        lab.context.shelf.set_away("away", false);
    }
    assert_eq!(lab.reload(&agent).await, 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.taken(takes).len(), lab.sent);
    if both {
        assert_eq!(lab.taken("second").len(), lab.sent, "it was given nothing twice");
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_a_reload_takes_out_holds_nobody_any_more() {
    let mut lab = Lab::new(false).await;
    lab.more = "overflow_max_bytes = 0\n";
    lab.write_pipeline("pipeline.yaml", "meters", &["test://samples", "test://away"]);
    let (agent, _) = lab.start("a");
    lab.context.shelf.set_away("away", true);
    lab.send(RESOURCES).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    lab.write_pipeline("pipeline.yaml", "meters", &["test://samples"]);
    lab.reload(&agent).await;
    lab.settle().await;
    assert_eq!(lab.check(), 0);
}

/// The same, with this user's login at Gnocchi.
fn with_user(user: &str, context: &Context) -> Context {
    let text =
        format!("[service_credentials]\nauth_type = gnocchi-basic\nuser = {user}\nendpoint = http://127.0.0.1:1\n");
    let (gnocchi, zaqar) = identity::logins(&config::load_text("test", &text).0.unwrap().logins);
    Context { gnocchi, zaqar, ..context.clone() }
}
