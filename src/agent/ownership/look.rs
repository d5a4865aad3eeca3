//! Looking at the group: its members and owners for the ownership machine, its specification for the layout of the queues.

use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

use super::supervisor::{Supervisor, Term};
use super::work::TICK;
use crate::agent::listeners::queues::{self, Kind};
use crate::cluster::{Group, Happening, Spec, hash};
use crate::coordination::View;
use crate::observe::status;

impl Supervisor {
    /// Reads the group and gives what was read to the machine.
    pub(super) async fn look(&mut self, term: &mut Term, next_view: &mut Instant) -> bool {
        *next_view = Instant::now() + self.agent.options.view_period;
        let lost = term.membership.lost();
        let view = tokio::select! {
            biased;
            // A group that is silent must not keep us from hearing that our lease has run out.
            () = lost.cancelled() => return false,
            // Nor from noticing that it is silent.
            () = tokio::time::sleep_until(term.membership.deadline()) => {
                *next_view = Instant::now() + TICK;
                return false;
            }
            view = term.membership.view() => view,
        };
        match view {
            Ok(view) if !view.members.contains_key(&self.record.id) => {
                // Somebody deleted the record: whoever reads the group does not count on us any more.
                term.membership.leave().await;
                false
            }
            Ok(view) => {
                self.agree(term, &view).await;
                if self.agent.options.partitioned {
                    self.agent.layouts.take(&view);
                }
                self.regroup(term);
                self.advance_layout(term, &view).await;
                let ids = view.members.keys().cloned().collect::<Vec<_>>().join(" ");
                if ids != term.members {
                    self.agent.metrics.members_changed(view.members.len(), &ids);
                    term.members = ids;
                }
                self.board.change(|s| {
                    s.member = Some(status::Member {
                        id: self.record.id.clone(),
                        host: self.record.host.clone(),
                        group: view.members.keys().cloned().collect(),
                        paused: view.paused,
                    });
                });
                self.step(term, Happening::Viewed(self.group(&view)))
            }
            Err(error) => {
                self.agent.metrics.group_silent(&error.to_string());
                *next_view = Instant::now() + TICK;
                false
            }
        }
    }

    /// Sees to it that the group has a specification, and says where the configuration wants another one.
    async fn agree(&mut self, term: &Term, view: &View) {
        if !self.agent.options.partitioned {
            return;
        }
        let wanted = self.routes.borrow().queues_wanted;
        if let Some((spec, _)) = &view.spec {
            let queues = spec.present.table.queues();
            let apart = (queues != wanted && spec.next.is_none()).then_some((wanted, queues));
            if let Some((wanted, queues)) = apart.filter(|apart| self.told_apart != Some(*apart)) {
                self.agent.metrics.queues_differ(wanted, queues);
            }
            self.told_apart = apart;
            return;
        }
        let Ok(first) = Spec::first(wanted) else { return };
        let lost = term.membership.lost();
        match lost.run_until_cancelled(term.membership.put_spec(&first, None)).await {
            Some(Ok(true)) => self.agent.metrics.spec_made(wanted),
            // Another member was first: the next view brings what it wrote.
            Some(Ok(false)) | None => {}
            Some(Err(error)) => self.agent.metrics.group_silent(&error.to_string()),
        }
    }

    /// Works by other queues where there are others: another layout, or an overflow queue that was found.
    fn regroup(&mut self, term: &mut Term) {
        let routes = Arc::clone(&self.routes.borrow());
        let queues: BTreeMap<String, Kind> = queues::all(&self.agent, &routes).into_iter().collect();
        let others = !queues.keys().eq(self.queues.keys());
        // A queue of the same name may have become an old queue.
        self.queues = queues;
        if others {
            self.step(term, Happening::Queues(self.queues.keys().cloned().collect()));
        }
    }

    /// Takes a change of the number of pipeline queues further where that is due.
    async fn advance_layout(&mut self, term: &mut Term, view: &View) {
        if !self.agent.options.partitioned {
            return;
        }
        let routes = Arc::clone(&self.routes.borrow());
        let Some(group_layout) = self.agent.layouts.get() else { return };
        let first = view.members.values().find(|member| member.ready).is_some_and(|member| member.id == self.record.id);
        let agent = &self.agent;
        self.quiet.seek((&agent.context, &agent.brokers), &term.membership, (&group_layout, view), first);
        // Nobody but a member with the same sinks knows whether they are done.
        let alike = view.members.values().filter(|member| member.ready);
        let alike = alike.map(|member| &member.config_digest).all(|digest| *digest == self.record.config_digest);
        let lost = term.membership.lost();
        if group_layout.is_done(&routes.sinks) && alike {
            let done = group_layout.spec.completed();
            match lost.run_until_cancelled(term.membership.put_spec(&done, Some(group_layout.revision))).await {
                Some(Ok(true)) => {
                    self.agent.metrics.partitions_changed(done.present.generation, done.present.table.queues());
                }
                // Another member was first.
                Some(Ok(false)) | None => {}
                Some(Err(error)) => self.agent.metrics.group_silent(&error.to_string()),
            }
        }
        for generation in group_layout.obsolete().into_iter().filter(|_| first) {
            match lost.run_until_cancelled(term.membership.clear_marks(generation)).await {
                Some(Ok(())) => self.agent.metrics.old_queues_deleted(generation),
                None => {}
                Some(Err(error)) => self.agent.metrics.group_silent(&error.to_string()),
            }
        }
    }

    /// The group as the machine has to see it: a member that works by another set of queues takes no part in placing
    /// mine, until all have reloaded.
    fn group(&self, view: &View) -> Group {
        let mut group = view.group();
        for (id, member) in &mut group.members {
            member.ready &= view.members[id].config_digest == self.record.config_digest;
        }
        group
    }

    /// Members that would work by the same queues have the same digest. The number of pipeline queues is the group's:
    /// who knows of a change of it already is no stranger to who does not.
    pub(super) fn digest(&self) -> String {
        let routes = self.routes.borrow();
        let mut names = self.agent.main_queue_names();
        if self.agent.options.partitioned {
            names.extend(routes.sinks.iter().map(|slot| slot.name.to_string()));
        }
        format!("{:016x}", hash::stable(names.join("\n").as_bytes()))
    }
}
