use super::*;
use proptest::prelude::*;

const BOUNDS: WindowBounds = WindowBounds { ids_kept: 4, age_ms: 50, ids_max: 100 };

/// What happens to a log: the owner's number (0 is the newest, others are zombies), and what it does.
#[derive(Debug, Clone)]
enum Act {
    Begin,
    Batch { owner: usize, resource: u8, value: Option<u8> },
    Snapshot { owner: usize },
    Release,
}

fn act() -> impl Strategy<Value = Act> {
    let batch = (0usize..3, 0u8..5, prop::option::of(any::<u8>()));
    prop_oneof![
        2 => Just(Act::Begin),
        8 => batch.prop_map(|(owner, resource, value)| Act::Batch { owner, resource, value }),
        2 => (0usize..3).prop_map(|owner| Act::Snapshot { owner }),
        1 => Just(Act::Release),
    ]
}

fn cell(resource: u8) -> CellKey {
    CellKey { transformer: "0:x".to_owned(), resource: resource.to_string(), key: "k".to_owned() }
}

/// A log, and what a reader of all of it must come to.
struct Story {
    log: Vec<Vec<u8>>,
    /// Owners, newest first, each with the state as it believes it to be.
    owners: Vec<(i64, State)>,
    /// Offsets at which whole snapshots of then-present owners begin.
    snapshots: Vec<usize>,
    now_ms: i64,
}

impl Story {
    fn append(&mut self, record: &Record) {
        self.log.push(record.encode());
    }

    fn play(&mut self, act: Act) {
        self.now_ms += 10;
        match act {
            Act::Begin => {
                let (epoch, state) = self.owners[0].clone();
                self.owners.insert(0, (epoch + 3, state));
                self.append(&Record::Barrier { epoch: epoch + 3, member: "m".to_owned(), nonce: 1 });
            }
            Act::Batch { owner, resource, value } => {
                let (now_ms, owner) = (self.now_ms, owner % self.owners.len());
                let (epoch, state) = &mut self.owners[owner];
                let batch = Batch {
                    epoch: *epoch,
                    number: state.number + 1,
                    published: state.number,
                    now_ms,
                    ids: vec![now_ms.unsigned_abs()],
                    sources: vec![Source { member: "s".to_owned(), epoch: 1, sequence: now_ms.unsigned_abs() }],
                    changes: vec![CellChange { key: cell(resource), value: value.map(|v| vec![v]) }],
                    outputs: vec![resource],
                    snapshot: None,
                };
                state.apply(&batch);
                self.append(&Record::Batch(batch));
            }
            Act::Snapshot { owner } => {
                let owner = owner % self.owners.len();
                let (epoch, state) = &mut self.owners[owner];
                state.published = state.number;
                let (epoch, records) = (*epoch, state.snapshot(*epoch).collect::<Vec<_>>());
                if owner == 0 {
                    self.snapshots.push(self.log.len());
                }
                assert_eq!(records[0].epoch(), epoch);
                records.iter().for_each(|record| self.append(record));
            }
            Act::Release => {
                let (epoch, state) = &mut self.owners[0];
                state.published = state.number;
                let released = Record::Released { epoch: *epoch, published: state.number, snapshot: None };
                self.append(&released);
            }
        }
    }
}

fn fold(log: &[Vec<u8>], from: usize) -> Result<(State, Option<Pending>), FoldError> {
    let mut fold = Fold::new(BOUNDS);
    for (offset, bytes) in log.iter().enumerate().skip(from) {
        fold.take(offset as u64, bytes)?;
    }
    fold.finish()
}

proptest! {
    /// Zombies write what they believe; the state is what the owners of their time committed, whatever was cut off
    /// before a whole snapshot.
    #[test]
    fn every_reader_comes_to_the_state_of_the_newest_owner(acts in prop::collection::vec(act(), 1..60)) {
        let mut story =
            Story { log: Vec::new(), owners: vec![(0, State::empty(BOUNDS))], snapshots: Vec::new(), now_ms: 0 };
        story.play(Act::Begin);
        acts.into_iter().for_each(|act| story.play(act));
        let (state, pending) = fold(&story.log, 0).unwrap();
        prop_assert_eq!(&state, &story.owners[0].1);
        // What is not known to be published is kept to be published again.
        prop_assert_eq!(pending.map(|p| p.number), (state.published < state.number).then_some(state.number));
        for from in story.snapshots {
            prop_assert_eq!(&fold(&story.log, from).unwrap().0, &state);
        }
    }
}

#[test]
fn a_log_that_lost_its_beginning_is_refused() {
    let barrier = Record::Barrier { epoch: 1, member: "m".to_owned(), nonce: 0 };
    let mut fold = Fold::new(BOUNDS);
    fold.take(9, &barrier.encode()).unwrap();
    assert_eq!(fold.finish(), Err(FoldError::Cut { first: 9 }));
}

#[test]
fn a_batch_that_is_missing_is_refused() {
    let mut fold = Fold::new(BOUNDS);
    let second = Record::Batch(Batch { number: 2, ..Batch::default() });
    assert_eq!(fold.take(0, &second.encode()), Err(FoldError::Gap { offset: 0, found: 2, expected: 1 }));
}

#[test]
fn a_large_snapshot_comes_in_parts_and_is_whole_again() {
    let mut state = State::empty(BOUNDS);
    (0..5u8).for_each(|n| drop(state.cells.insert(cell(n), vec![n; SNAPSHOT_PART_BYTES_MAX / 2])));
    let records: Vec<Record> = state.snapshot(4).collect();
    assert_eq!(records.len(), 3);
    let mut fold = Fold::new(BOUNDS);
    // Its first part is cut off, then comes all of it.
    for (offset, record) in (7..).zip(records.iter().skip(1).chain(&records)) {
        fold.take(offset, &record.encode()).unwrap();
    }
    assert_eq!(fold.finish().unwrap().0, state);
}
