//! Runs a case: the publisher that its URL and options make, call by call, against the server that its rules make.

use super::case::{calls, kind, text};
use super::server::{Request, Server};
use nephoscope::agent::wiring;
use nephoscope::config;
use nephoscope::model::{Dict, Severity, Value};
use nephoscope::observe::Metrics;
use nephoscope::publish::{Batch, Context, PublishError, Publisher, build};
use std::sync::Arc;

/// What ours did with a case.
pub(super) struct Seen {
    /// The complaints, where no publisher could be made.
    pub refused: Option<String>,
    pub calls: Vec<Batch>,
    /// What each call said. A call without records is not made: the agent makes none.
    pub outcomes: Vec<Result<(), PublishError>>,
    pub asked: Vec<Request>,
}

impl Seen {
    pub(super) fn asked_in(&self, call: usize) -> Vec<&Request> {
        self.asked.iter().filter(|request| request.call == call).collect()
    }
}

/// The configuration of the case, as the recorder had it.
pub(super) fn context(case: &Dict, fill: impl Fn(&str) -> String) -> Context {
    settled(case, fill).unwrap_or_else(|complaints| panic!("{complaints}"))
}

/// The same; the complaints where the agent would not start with it.
pub(super) fn settled(case: &Dict, fill: impl Fn(&str) -> String) -> Result<Context, String> {
    let mut sections: Vec<(String, Vec<String>)> =
        vec![("DEFAULT".to_owned(), vec!["host = agent.example".to_owned()])];
    let options = case.get("conf").and_then(Value::as_dict);
    let own_login = options.is_some_and(|all| all.contains_key("service_credentials.auth_type"));
    if !own_login {
        let login = "auth_type = password\nauth_url = http://{server}/identity\nusername = ceilometer\npassword = secret\n\
            user_domain_name = Default\nproject_domain_name = Default\nproject_name = service\nregion_name = RegionOne";
        sections.push(("service_credentials".to_owned(), vec![fill(login)]));
    }
    for (name, value) in options.iter().flat_map(|all| all.iter()) {
        let (section, option) = name.split_once('.').unwrap();
        let line = format!("{option} = {}", fill(value.as_str().unwrap_or_default()));
        match sections.iter_mut().find(|(name, _)| name == section) {
            Some((_, lines)) => lines.push(line),
            None => sections.push((section.to_owned(), vec![line])),
        }
    }
    let written: String = sections.iter().map(|(name, lines)| format!("[{name}]\n{}\n", lines.join("\n"))).collect();
    let (settings, complaints) = config::load_text("ceilometer.conf", &written);
    let errors: Vec<String> =
        complaints.iter().filter(|one| one.severity == Severity::Error).map(ToString::to_string).collect();
    // What only the notifier publisher uses keeps nobody else from starting.
    let of_notifier = settings.iter().filter(|_| text(case, "publisher") == "notifier");
    let of_notifier = of_notifier.flat_map(|settings| &settings.sources.only_notifier.format);
    let errors: Vec<String> = errors.into_iter().chain(of_notifier.map(ToString::to_string)).collect();
    match settings {
        Some(settings) if errors.is_empty() => Ok(wiring::publish_context(&settings, &Metrics::default())),
        _ => Err(errors.join("; ")),
    }
}

/// Makes the publisher; its complaints if it cannot be made.
pub(super) fn made(url: &str, case: &Dict, context: &Context) -> Result<Arc<dyn Publisher>, String> {
    build(url, kind(case), context).map_err(|error| error.to_string())
}

/// A case over HTTP. `{dir}` is a folder that holds what the case needs; `change` may add options to the URL.
pub(super) async fn over_http(case: &Dict, server: Server, dir: &str, change: impl Fn(String) -> String) -> Seen {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = server.address.to_string();
    let fill =
        |text: &str| text.replace("{server}", &address).replace("{dir}", dir).replace("{closed}", &closed.to_string());
    let context = context(case, fill);
    let mut seen = Seen { refused: None, calls: calls(case), outcomes: Vec::new(), asked: Vec::new() };
    let publisher = match made(&change(fill(text(case, "url"))), case, &context) {
        Ok(publisher) => publisher,
        Err(complaints) => return Seen { refused: Some(complaints), ..seen },
    };
    for (n, batch) in seen.calls.iter().enumerate() {
        server.set_call(n);
        let outcome = if batch.is_empty() { Ok(()) } else { publisher.publish(batch).await };
        seen.outcomes.push(outcome);
    }
    publisher.close().await;
    seen.asked = server.asked();
    seen
}
