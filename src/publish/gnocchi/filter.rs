//! The project whose samples do not go to Gnocchi: that of Gnocchi's own activity (Ceilometer reference §6.1).

use tokio::sync::OnceCell;

use super::definitions::ResourceType;
use crate::model::Sample;
use crate::publish::Identity;
use crate::publish::outcome::Answer;

/// A project by name, which Keystone has an id for.
#[derive(Debug)]
pub(super) struct ProjectFilter {
    project: String,
    domain: String,
    /// Nothing in it: Keystone has no such project, and nothing is filtered.
    found: OnceCell<Option<Filtered>>,
}

/// The id of the project.
#[derive(Debug)]
pub(super) struct Filtered(String);

impl ProjectFilter {
    /// Of this project in this domain.
    pub(super) fn new(project: String, domain: String) -> Self {
        ProjectFilter { project, domain, found: OnceCell::new() }
    }

    /// What is filtered; asks Keystone once. `Err` while Keystone does not say: samples must wait then.
    pub(super) async fn resolve(&self, identity: &Identity) -> Result<Option<&Filtered>, Answer> {
        let find = || async {
            let found = identity.project_id(&self.domain, &self.project).await?;
            if found.is_none() {
                tracing::warn!(
                    event = "publish.gnocchi.project_unknown",
                    project = self.project,
                    domain = self.domain,
                    "Keystone has no such project; no samples are filtered; correct filter_project and filter_domain, or write \
                     enable_filter_project=false"
                );
            }
            Ok(found.map(Filtered))
        };
        let told = |answer| match answer {
            Answer::Later { cause, after } => {
                let cause = format!(
                    "cannot find out the id of project {}, whose samples are filtered: {cause}; write \
                     enable_filter_project=false where nothing is to be filtered",
                    self.project
                );
                Answer::Later { cause, after }
            }
            other => other,
        };
        self.found.get_or_try_init(find).await.map(Option::as_ref).map_err(told)
    }
}

impl Filtered {
    /// Whether a sample is of Gnocchi's own activity: of its project, or of the Swift account of its project.
    pub(super) fn drops(&self, sample: &Sample, kind: Option<&ResourceType>) -> bool {
        let is = |value: &crate::model::Value| value.as_str() == Some(&*self.0);
        is(&sample.project_id) || is(&sample.resource_id) && kind.is_some_and(|kind| &*kind.name == "swift_account")
    }
}
