//! The configuration in force as it may be shown: every option that does something, with its value or default, without secrets.

use serde::Serialize;

use super::Settings;
use crate::config::options::{self, Effect};
use crate::config::secret::shown;
use crate::model::shown::without_secrets;

/// What stands for a secret.
const HIDDEN: &str = "***";
/// The longest value that is shown, in bytes.
const VALUE_BYTES_MAX: usize = 2_048;

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InForce {
    /// The configuration files that were read, in order.
    pub files: Vec<String>,
    /// The options that do something.
    pub options: Vec<Shown>,
}

/// One option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its section.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its value, without secrets; several are separated by commas.
    pub value: String,
    /// Where it is written, `FILE:LINE`; nothing where its default is in force.
    pub place: Option<String>,
    /// Its meaning.
    pub what: &'static str,
}

impl Settings {
    /// The configuration in force, without secrets.
    pub fn in_force(&self) -> InForce {
        let file_options = &self.sources.file_options;
        let row = |row: &'static options::Opt| {
            let entries = match row.kind {
                options::Kind::Multi | options::Kind::MultiSecret => file_options.all(row.names()),
                _ => file_options.last(row.names()).into_iter().collect(),
            };
            let written: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
            let text = if written.is_empty() { row.default.to_owned() } else { written.join(", ") };
            Shown {
                section: row.section,
                name: row.name,
                value: if row.is_secret() && !is_url(row) && !text.is_empty() {
                    HIDDEN.to_owned()
                } else {
                    value(&text)
                },
                place: entries.last().map(|entry| entry.place.to_string()),
                what: row.what,
            }
        };
        InForce {
            files: self.sources.files.iter().map(|file| file.display().to_string()).collect(),
            options: options::rows().filter(|row| row.effect == Effect::Honoured).map(row).collect(),
        }
    }
}

/// Whether an option is secret only because of the login in its URL, which is hidden by itself.
fn is_url(row: &options::Opt) -> bool {
    row.name.ends_with("_url") || row.name.ends_with("_urls")
}

/// A value in which a login may stand.
fn value(text: &str) -> String {
    let mut value = if text.contains("://") || text.contains('@') {
        without_secrets(&shown(text)).into_owned()
    } else {
        text.to_owned()
    };
    if value.len() > VALUE_BYTES_MAX {
        value.truncate(value.floor_char_boundary(VALUE_BYTES_MAX));
        value.push('…');
    }
    value
}

#[cfg(test)]
mod tests {
    use crate::config::oslo::FileOptions;
    use crate::config::settings::{Sources, meaning};
    use std::sync::Arc;

    #[test]
    fn what_is_in_force_is_shown_and_no_secret_is() {
        let mut written = FileOptions::default();
        let text = "[DEFAULT]\ntransport_url = rabbit://u:PASS1@h:5672/v\n[nephoscope]\ntap_token = PASS2PASS2PASS2PASS2\n\
                    group = blue\n[publisher]\ntelemetry_secret = PASS3\n[service_credentials]\npassword = PASS4\n\
                    [notification]\nmessaging_urls = rabbit://u:PASS5@a:1/\nmessaging_urls = rabbit://u:PASS6@b:2/,u2:PASS7@c:3/\n\
                    [coordination]\nbackend_url = etcd3://u:PASS8@e:2379\n";
        written.add("ceilometer.conf", text);
        let sources = Sources { file_options: Arc::new(written.clone()), ..Sources::default() };
        let (settings, _) = meaning::of(&written, sources);
        let in_force = settings.in_force();
        let json = serde_json::to_string(&in_force).unwrap();
        assert!(!json.contains("PASS"), "{json}");
        let of = |name: &str| in_force.options.iter().find(|option| option.name == name).unwrap();
        assert_eq!((&*of("group").value, of("group").place.as_deref()), ("blue", Some("ceilometer.conf:5")));
        assert_eq!(of("transport_url").value, "rabbit://u:***@h:5672/v");
        assert_eq!((&*of("tap_token").value, &*of("listen").value), ("***", "127.0.0.1:9187"));
        assert_eq!(of("listen").place, None);
        assert!(in_force.options.len() > 50);
    }
}
