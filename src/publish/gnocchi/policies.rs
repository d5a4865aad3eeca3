//! Archive policies: created once, before the first measures (Ceilometer reference §6.1).
//!
//! A policy that cannot be created stops nothing by itself: it may be there already. The measures that need it wait where
//! Gnocchi is in trouble, or says that it has no such policy.

use reqwest::Method;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Mutex;

use super::api::Api;
use super::api::answer;
use super::definitions::Policy;
use crate::model::json;
use crate::observe::Repeats;
use crate::publish::outcome::Answer;

const PATH: &str = "v1/archive_policy/";

/// Which policies are made.
#[derive(Debug)]
pub(super) struct Policies {
    all_made: AtomicBool,
    made: Mutex<Vec<bool>>,
    /// Which were refused: that is so at every batch.
    refused: Repeats,
}

/// A policy whose measures must wait.
#[derive(Debug)]
pub(super) struct Held<'p> {
    /// Its name.
    pub policy: &'p str,
    /// Why, and how long Gnocchi asks to wait.
    pub answer: Answer,
}

impl Policies {
    /// For so many policies.
    pub(super) fn new(policies: usize) -> Self {
        Policies {
            all_made: AtomicBool::new(policies == 0),
            made: Mutex::new(vec![false; policies]),
            refused: Repeats::default(),
        }
    }

    /// Creates those that are not made yet. Those that must wait for Gnocchi; `Err` where nothing can be asked at all.
    pub(super) async fn ensure<'p>(&self, api: &Api, policies: &'p [Policy]) -> Result<Vec<Held<'p>>, Answer> {
        let mut held = Vec::new();
        if self.all_made.load(Ordering::Acquire) {
            return Ok(held);
        }
        // Batches that come meanwhile wait here, so that each policy is asked for once.
        let mut made = self.made.lock().await;
        for (policy, made) in policies.iter().zip(made.iter_mut()).filter(|(_, made)| !**made) {
            let reply = api.ask(Method::POST, PATH, Some(json::to_string(&policy.body).into_bytes())).await?;
            match (reply.status.as_u16(), api.judged(&reply)) {
                // It is there, made by another agent or at another time.
                (409, _) | (_, Answer::Taken) => *made = true,
                (_, answer @ Answer::Later { .. }) if answer::stops_all(&reply) => return Err(answer),
                (500.., answer) => held.push(Held { policy: &policy.name, answer }),
                (_, _) => {
                    let (policy, cause) = (&*policy.name, api.cause(&reply));
                    let Some(times) = self.refused.note(policy) else { continue };
                    tracing::warn!(
                        event = "publish.gnocchi.policy_refused",
                        policy,
                        times,
                        %cause,
                        "Gnocchi does not create this archive policy; the agent sends measures all the same, and holds them if \
                         the policy is missing; create it, or give the agent's user the right to create it"
                    );
                }
            }
        }
        self.all_made.store(made.iter().all(|made| *made), Ordering::Release);
        Ok(held)
    }
}

/// The names of the held ones.
pub(super) fn names<'h>(held: &'h [Held<'_>]) -> BTreeSet<&'h str> {
    held.iter().map(|held| held.policy).collect()
}
