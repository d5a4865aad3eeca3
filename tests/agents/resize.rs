//! The number of pipeline queues changes, and what may be in its way.

use super::{Lab, PATIENCE, consumes_main, owned};
use nephoscope::agent::Agent;
use nephoscope::cluster::Spec;
use nephoscope::coordination::Coordinator;
use nephoscope::observe::Board;
use nephoscope::publish::Batch;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Begins a change, as an operator does; the specification before it and with it.
async fn apply(lab: &Lab, queues: u16) -> (Spec, Spec) {
    let (spec, revision) = lab.group.view().await.unwrap().spec.unwrap();
    let planned = spec.planned(queues).unwrap();
    assert!(lab.group.put_spec(&planned, Some(revision)).await.unwrap());
    (spec, planned)
}

/// Sends until the group has this specification and no marks; how long that took.
async fn until_spec(lab: &mut Lab, wanted: &Spec) -> Duration {
    let began = Instant::now();
    loop {
        lab.send(5).await;
        sleep(Duration::from_millis(500)).await;
        let view = lab.group.view().await.unwrap();
        if view.spec.as_ref().is_some_and(|(spec, _)| spec == wanted) && view.marks.is_empty() {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "not done: {:?}", view.marks);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_without_etcd_keeps_its_main_queue_and_the_change_is_withdrawn() {
    let mut lab = Lab::new(true).await;
    let agents = BTreeMap::from(["a", "b"].map(|id| (id, lab.start(id))));
    lab.until("both own half", || agents.values().all(|(_, board)| owned(board) == 4)).await;
    let listens = |id: &str| consumes_main(&agents[id].1);
    lab.until("one listens", || listens("a") || listens("b")).await;
    let cut = if listens("a") { "a" } else { "b" };
    lab.group.cut(cut);
    let (before, _) = apply(&lab, 7).await;
    let took = until_spec(&mut lab, &before).await;
    assert!(took >= Duration::from_secs(30) && took < Duration::from_secs(50), "withdrawn after {took:?}");
    assert!(!lab.broker.queues().iter().any(|queue| queue.name.contains(".g2.")), "nobody needed the new queues");
    lab.send(50).await;
    lab.settle().await;
    assert_eq!(lab.check(), 0, "everything went on as before");

    lab.group.heal();
    lab.until("both own half again", || agents.values().all(|(_, board)| owned(board) == 4)).await;
    let (_, planned) = apply(&lab, 7).await;
    until_spec(&mut lab, &planned.completed()).await;
    lab.settle().await;
    assert_eq!(lab.check(), 0, "the same change is made once all can be reached");
    assert!(!lab.broker.queues().iter().any(|queue| queue.name.contains(".g1.")), "the old queues are deleted");
}

#[tokio::test(start_paused = true)]
async fn a_reload_adds_a_sink_and_takes_one_away_while_the_number_changes() {
    let mut lab = Lab::new(true).await;
    let agents = BTreeMap::from(["a", "b"].map(|id| (id, lab.start(id))));
    lab.until("both own half", || agents.values().all(|(_, board)| owned(board) == 4)).await;
    lab.send(50).await;
    let with_one_more = "sources: [{name: s, meters: ['*'], sinks: [sink, more]}]\n\
        sinks: [{name: sink, publishers: ['test://samples']}, {name: more, publishers: ['test://more']}]\n";
    let (_, planned) = apply(&lab, 6).await;
    std::fs::write(lab.folder.path().join("pipeline.yaml"), with_one_more).unwrap();
    reload(&mut lab, &agents).await;
    until_spec(&mut lab, &planned.completed()).await;
    lab.settle().await;
    assert_eq!(lab.check(), 0);
    assert!(!lab.broker.queues().iter().any(|queue| queue.name.contains(".g1.")), "the old queues are deleted");
    let before = more(&lab);
    lab.send(40).await;
    lab.settle().await;
    assert_eq!(more(&lab), before + 40, "the new sink takes everything");

    let (_, planned) = apply(&lab, 3).await;
    lab.write_pipeline("pipeline.yaml", "meters", &["test://samples"]);
    reload(&mut lab, &agents).await;
    until_spec(&mut lab, &planned.completed()).await;
    lab.settle().await;
    assert_eq!(lab.check(), 0);
}

/// What the sink took that was added.
fn more(lab: &Lab) -> usize {
    lab.context.shelf.batches("more").iter().map(Batch::len).sum()
}

async fn reload(lab: &mut Lab, agents: &BTreeMap<&'static str, (Agent, Board)>) {
    for (agent, _) in agents.values() {
        let (next, _) = agent.prepare(&lab.settings(), &lab.context).await;
        agent.reload(next.unwrap()).await;
        lab.send(20).await;
        sleep(Duration::from_millis(300)).await;
    }
}
