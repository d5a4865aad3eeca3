//! Owners that follow each other, and what a new queue inherits.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_former_owner_that_does_not_know_it_yet_commits_nothing() {
    let lab = Lab::new(1 << 20).await;
    let mut former = lab.open(QUEUE, 1).await.unwrap();
    assert_eq!(take(&mut former, fragment("r", 1, 10), 1).await.unwrap(), []);
    former.published().await.unwrap();
    let mut owner = lab.open(QUEUE, 5).await.unwrap();
    let zombie = take(&mut former, fragment("r", 2, 1_000), 2).await;
    assert!(matches!(zombie, Err(Lost::Fenced(5))), "{zombie:?}");
    assert_eq!(take(&mut owner, fragment("r", 2, 13), 2).await.unwrap(), [Value::Int(3)]);
    owner.published().await.unwrap();
    let mut next = lab.open(QUEUE, 6).await.unwrap();
    assert_eq!(take(&mut next, fragment("r", 3, 20), 3).await.unwrap(), [Value::Int(7)]);
    assert!(matches!(owner.fenced().await, Lost::Fenced(6)));
}

#[tokio::test(start_paused = true)]
async fn an_epoch_that_does_not_rise_above_the_logs_is_told_by_how_much() {
    let lab = Lab::new(1 << 20).await;
    lab.open(QUEUE, 7).await.unwrap();
    for epoch in [7, 3] {
        let refused = lab.open(QUEUE, epoch).await.err();
        assert!(matches!(refused, Some(Lost::Fenced(7))), "{refused:?}");
    }
    lab.open(QUEUE, 8).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_comes_again_changes_nothing_for_any_later_owner() {
    let lab = Lab::new(1 << 20).await;
    for (epoch, volumes) in [(1, vec![]), (2, vec![]), (3, vec![])] {
        let mut keeper = lab.open(QUEUE, epoch).await.unwrap();
        assert_eq!(take(&mut keeper, fragment("r", 1, 10), epoch).await.unwrap(), volumes);
        assert_eq!(keeper.number(), 1, "one batch, whoever sees it");
    }
    let mut keeper = lab.open(QUEUE, 4).await.unwrap();
    assert_eq!(take(&mut keeper, fragment("r", 2, 11), 4).await.unwrap(), [Value::Int(1)]);
}

#[tokio::test(start_paused = true)]
async fn outputs_are_pending_until_the_log_says_that_they_are_published() {
    let lab = Lab::new(1 << 20).await;
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    take(&mut keeper, fragment("r", 1, 10), 1).await.unwrap();
    take(&mut keeper, fragment("r", 2, 12), 2).await.unwrap();
    let id = |keeper: &Keeper| match &keeper.pending().unwrap().unwrap()[0].batch {
        Records::Samples(samples) => samples[0].id.clone(),
        Records::Events(_) => panic!("events"),
    };
    let first = id(&keeper);
    let mut next = lab.open(QUEUE, 2).await.unwrap();
    assert_eq!(id(&next), first, "the same ids whoever publishes");
    next.published().await.unwrap();
    next.release().await.unwrap();
    assert!(lab.open(QUEUE, 3).await.unwrap().pending().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_new_queue_inherits_what_its_slots_had() {
    let lab = Lab::new(1 << 20).await;
    let mut old = lab.open(QUEUE, 1).await.unwrap();
    for resource in ["mine", "other"] {
        take(&mut old, fragment(resource, 1, 10), 1).await.unwrap();
        old.published().await.unwrap();
    }
    old.seal(2).await.unwrap();
    assert_eq!(lab.open(QUEUE, 2).await.unwrap().sealed(), Some(2));
    lab.declare("new").await;
    let mut new = lab.open("new", 3).await.unwrap();
    assert!(new.is_untouched());
    let window = options(0).window;
    let mine = |slot| slot == hash::slot(b"mine");
    let read = Inherited::read(&lab.session, &[QUEUE.to_owned()], mine, window).await;
    let inherited = read.unwrap();
    assert_eq!((inherited.cells.len(), inherited.ids.len()), (1, 1));
    new.begin_with(inherited).await.unwrap();
    let missing = [QUEUE.to_owned(), "deleted".to_owned()];
    let read = Inherited::read(&lab.session, &missing, mine, window).await.unwrap();
    assert_eq!((read.cells.len(), read.gone), (1, vec!["deleted".to_owned()]), "nobody waits for what is gone");
    // Its owner dies; the next one finds it begun.
    let mut new = lab.open("new", 4).await.unwrap();
    assert!(!new.is_untouched());
    assert_eq!(take(&mut new, fragment("mine", 1, 10), 2).await.unwrap(), [], "seen in the old queue");
    assert_eq!(take(&mut new, fragment("mine", 2, 14), 2).await.unwrap(), [Value::Int(4)]);
    assert_eq!(take(&mut new, fragment("other", 2, 14), 2).await.unwrap(), [], "another queue's");
}
