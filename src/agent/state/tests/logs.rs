//! Logs that somebody deletes, cuts or writes into, and where a reader begins.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_log_that_is_cut_many_times_over_is_still_whole() {
    let lab = Lab::new(64 * 1024).await;
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    for step in 1..=600 {
        let expected: Vec<Value> = (step > 1).then_some(Value::Int(2)).into_iter().collect();
        assert_eq!(take(&mut keeper, fragment("r", step, 2 * step), step).await.unwrap(), expected);
        keeper.published().await.unwrap();
    }
    assert!(lab.broker.stream_records(&topology::state_log_name(QUEUE))[0].offset > 0, "nothing was cut");
    let mut next = lab.open(QUEUE, 2).await.unwrap();
    assert_eq!(next.number(), 600);
    assert_eq!(take(&mut next, fragment("r", 601, 1_205), 601).await.unwrap(), [Value::Int(5)]);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_record_makes_the_log_unusable_and_says_where() {
    let lab = Lab::new(1 << 20).await;
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    lab.append(b"hello".to_vec()).await;
    let lost = take(&mut keeper, fragment("r", 1, 1), 1).await;
    assert!(matches!(lost, Err(Lost::Foreign(1, RecordError::Foreign))), "{lost:?}");
    let refused = lab.open(QUEUE, 2).await.err().unwrap().to_string();
    assert!(refused.contains("at offset 1") && refused.contains("not a record"), "{refused}");
}

/// What stands before the snapshot of a sealed log is not read: here it could not be.
#[tokio::test(start_paused = true)]
async fn a_sealed_log_is_read_from_its_snapshot_on_whoever_came_too_late() {
    for (too_late, told) in [(0, true), (3, true), (0, false)] {
        let lab = Lab::new(1 << 20).await;
        lab.append(b"not of ours".to_vec()).await;
        let barrier = |epoch, nonce| Record::Barrier { epoch, member: "m".to_owned(), nonce };
        for nonce in 0..40 {
            lab.append(barrier(1, nonce).encode()).await;
        }
        for part in State::empty(options(1 << 20).window).snapshot(1) {
            lab.append(part.encode()).await;
        }
        lab.append(Record::Sealed { epoch: 1, generation: 2, snapshot: told.then_some(41) }.encode()).await;
        for nonce in 0..too_late {
            lab.append(barrier(2, nonce).encode()).await;
        }
        let window = options(0).window;
        let read = Inherited::read(&lab.session, &[QUEUE.to_owned()], |_| true, window).await;
        assert_eq!(read.is_ok(), told, "{read:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_loses_the_end_of_the_log_is_found_out() {
    let lab = Lab::new(1 << 20).await;
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    for step in 1..=3 {
        take(&mut keeper, fragment("r", step, step), step).await.unwrap();
        keeper.published().await.unwrap();
    }
    let memory = QueueMemory::default();
    assert_eq!(memory.committed(QUEUE, keeper.number()), 0);
    lab.broker.lose_newest(&topology::state_log_name(QUEUE), 2);
    let next = lab.open(QUEUE, 2).await.unwrap();
    assert_eq!(memory.committed(QUEUE, next.number()), 2);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_deleted_is_written_again_with_what_is_pending() {
    for (pending, empty_one) in [(false, false), (true, false), (true, true)] {
        let lab = Lab::new(1 << 20).await;
        let mut keeper = lab.open(QUEUE, 1).await.unwrap();
        take(&mut keeper, fragment("r", 1, 10), 1).await.unwrap();
        keeper.published().await.unwrap();
        take(&mut keeper, fragment("r", 2, 12), 2).await.unwrap();
        if !pending {
            keeper.published().await.unwrap();
        }
        // Twice: the second time before anything else was written.
        for _ in 0..2 {
            lab.broker.delete_queue(&topology::state_log_name(QUEUE));
            if empty_one {
                lab.declare(QUEUE).await;
            }
            let lost = keeper.fenced().await;
            keeper.mend(lost).await.unwrap();
        }
        let mut next = lab.open(QUEUE, 2).await.unwrap();
        assert_eq!((next.number(), next.pending().is_some()), (2, pending));
        if let Some(outputs) = next.pending() {
            let Records::Samples(samples) = &outputs.unwrap()[0].batch else { panic!("events") };
            assert_eq!((&*samples[0].name, &samples[0].volume), ("growth", &Value::Int(2)));
            next.published().await.unwrap();
        }
        assert_eq!(take(&mut next, fragment("r", 2, 12), 3).await.unwrap(), [], "its ids are known");
        assert_eq!(take(&mut next, fragment("r", 3, 15), 3).await.unwrap(), [Value::Int(3)]);
        next.published().await.unwrap();
        assert_eq!(lab.open(QUEUE, 3).await.unwrap().number(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_is_deleted_in_the_middle_of_what_is_written() {
    let lab = Lab::new(1 << 20).await;
    let delete = || assert!(lab.broker.delete_queue(&topology::state_log_name(QUEUE)));
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    take(&mut keeper, fragment("r", 1, 10), 1).await.unwrap();
    delete();
    keeper.published().await.unwrap();
    delete();
    assert_eq!(take(&mut keeper, fragment("r", 2, 13), 2).await.unwrap(), [Value::Int(3)]);
    keeper.published().await.unwrap();
    delete();
    keeper.release().await.unwrap();
    let mut next = lab.open(QUEUE, 2).await.unwrap();
    assert!(next.pending().is_none());
    delete();
    next.seal(2).await.unwrap();
    let window = options(0).window;
    let inherited = Inherited::read(&lab.session, &[QUEUE.to_owned()], |_| true, window).await.unwrap();
    assert_eq!((inherited.cells.len(), inherited.ids.len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_there_is_not_written_again_and_a_later_owners_is_its() {
    let lab = Lab::new(1 << 20).await;
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    take(&mut keeper, fragment("r", 1, 10), 1).await.unwrap();
    assert!(matches!(keeper.mend(Lost::Over).await, Err(Lost::Over)));
    assert!(matches!(keeper.mend(Lost::Slow).await, Err(Lost::Slow)));
    lab.broker.delete_queue(&topology::state_log_name(QUEUE));
    lab.declare(QUEUE).await;
    let mut later = lab.open(QUEUE, 5).await.unwrap();
    let lost = keeper.fenced().await;
    assert!(matches!(keeper.mend(lost).await, Err(Lost::Fenced(5))));
    assert_eq!(take(&mut later, fragment("r", 2, 13), 2).await.unwrap(), [], "it began without a state");
}

/// What stands before the last snapshot is not read: here it could not be.
#[tokio::test(start_paused = true)]
async fn an_owner_reads_from_the_last_snapshot_on_which_the_end_of_the_log_tells() {
    for (snapshot, number) in [(Some(1), Some(7)), (None, None)] {
        let lab = Lab::new(1 << 20).await;
        lab.append(b"not of ours".to_vec()).await;
        let state = State { number: 7, published: 7, ..State::empty(options(1 << 20).window) };
        for part in state.snapshot(1) {
            lab.append(part.encode()).await;
        }
        lab.append(Record::Released { epoch: 1, published: 7, snapshot }.encode()).await;
        let opened = lab.open(QUEUE, 2).await.map(|keeper| keeper.number());
        assert_eq!(opened.as_ref().ok().copied(), number, "{opened:?}");
        if number.is_none() {
            assert!(matches!(opened, Err(Lost::Foreign(0, _) | Lost::Unusable(_))), "{opened:?}");
        }
    }
}

/// Owners whose connection is closed again and again before their first batch: each would have to read more than the one before.
#[tokio::test(start_paused = true)]
async fn barriers_alone_do_not_hide_the_last_snapshot() {
    for barriers in [31, 510] {
        let lab = Lab::new(1 << 20).await;
        lab.append(b"not of ours".to_vec()).await;
        let state = State { number: 7, published: 7, ..State::empty(options(1 << 20).window) };
        for part in state.snapshot(1) {
            lab.append(part.encode()).await;
        }
        lab.append(Record::Released { epoch: 1, published: 7, snapshot: Some(1) }.encode()).await;
        for nonce in 0..barriers {
            lab.append(Record::Barrier { epoch: 2, member: "m".to_owned(), nonce }.encode()).await;
        }
        let opened = lab.open(QUEUE, 3).await.map(|keeper| keeper.number());
        assert_eq!(opened.unwrap(), 7, "{barriers}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_goes_leaves_a_snapshot_where_much_would_have_to_be_read() {
    let lab = Lab::new(1 << 20).await;
    let mut keeper = lab.open(QUEUE, 1).await.unwrap();
    keeper.options.snapshot_after_bytes.0 = 1024;
    // Past the first snapshot, and half-way to the next that would be due anyhow.
    for step in 1.. {
        take(&mut keeper, fragment("r", step, step), step).await.unwrap();
        keeper.published().await.unwrap();
        if keeper.last_snapshot > 1024 && keeper.since > 2 * keeper.last_snapshot {
            break;
        }
    }
    keeper.release().await.unwrap();
    let records = lab.broker.stream_records(&topology::state_log_name(QUEUE)).into_iter();
    let records: Vec<_> = records.map(|record| (record.offset, Record::decode(&record.body).unwrap())).collect();
    let [.., (begin, Record::Snapshot { .. }), (_, Record::Released { snapshot, .. })] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!(*snapshot, Some(*begin));
    let next = lab.open(QUEUE, 2).await.unwrap();
    assert_eq!((next.number(), next.snapshot_at), (keeper.number(), *snapshot));
}

#[test]
fn the_kinds_of_records_are_those_of_the_page() {
    let page = include_str!("../../../../docs/formats.md");
    for (kind, record) in [
        (0, Record::Barrier { epoch: 2, member: "m".to_owned(), nonce: 3 }),
        (3, Record::Released { epoch: 2, published: 0, snapshot: None }),
        (4, Record::Sealed { epoch: 2, generation: 0, snapshot: None }),
    ] {
        assert_eq!(record.encode()[5], kind);
    }
    assert!(page.contains("`4e534c47 01 00 04 01 6d 03 b32294e9`"));
}
