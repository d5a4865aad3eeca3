//! What a reload makes anew.

use super::Lab;
use nephoscope::config;
use nephoscope::publish::{Context, identity};

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
    let changed = async |context: &Context| {
        let (next, complaints) = agent.prepare(&lab.settings(), context).await;
        agent.reload(next.unwrap_or_else(|| panic!("{complaints:?}"))).await
    };
    let second = with_user("second", &lab.context);
    assert_eq!(changed(&with_user("first", &lab.context)).await, 0, "nothing is another");
    assert_eq!(changed(&second).await, 1, "the login");
    std::fs::write(&resources, "archive_policy_default: high\nresources: []\n").unwrap();
    assert_eq!(changed(&second).await, 1, "the file");
    assert_eq!(changed(&second).await, 0, "nothing is another");
}

/// The same, with this user's login at Gnocchi.
fn with_user(user: &str, context: &Context) -> Context {
    let text =
        format!("[service_credentials]\nauth_type = gnocchi-basic\nuser = {user}\nendpoint = http://127.0.0.1:1\n");
    let (gnocchi, zaqar) = identity::logins(&config::load_text("test", &text).0.unwrap().logins);
    Context { gnocchi, zaqar, ..context.clone() }
}
