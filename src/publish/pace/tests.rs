use std::sync::Mutex;
use tokio::time::Instant;

use super::*;
use crate::publish::record::tests::sample;
use crate::publish::{Context, Kind, build};

/// Takes, or says what it is told to; remembers what it was asked, and how much at once.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<Vec<String>>>,
    answers: Mutex<Vec<PublishError>>,
    at_once: Mutex<(usize, usize)>,
    lasts: Duration,
}

#[async_trait]
impl Publisher for Fake {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        let Batch::Samples(samples) = batch else { panic!("samples") };
        self.asked.lock().unwrap().push(samples.iter().map(|sample| sample.id.to_string()).collect());
        {
            let mut at_once = self.at_once.lock().unwrap();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        tokio::time::sleep(self.lasts).await;
        self.at_once.lock().unwrap().0 -= 1;
        let mut answers = self.answers.lock().unwrap();
        if answers.is_empty() { Ok(()) } else { Err(answers.remove(0)) }
    }
}

impl Fake {
    fn asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn answer(&self, times: usize, cause: &str) {
        self.answers.lock().unwrap().extend((0..times).map(|_| PublishError::retry(cause)));
    }
}

fn paced(fake: &Arc<Fake>, options: &str) -> Paced {
    let target = Target::parse(&format!("test://x?{options}")).unwrap();
    let mut read = target.options();
    let pace = Pace::read(&mut read);
    read.finish(()).unwrap();
    Paced::new(Arc::clone(fake) as Arc<dyn Publisher>, &pace, "test://x", &Metrics::default())
}

/// Ten resources in turn; the ids say which.
fn batch(records: usize) -> Batch {
    let one = |n: usize| {
        let mut sample = sample("cpu", &format!("{}-{n}", n % 10));
        sample.resource_id = format!("r-{}", n % 10).as_str().into();
        sample
    };
    Batch::Samples((0..records).map(one).collect())
}

#[tokio::test(start_paused = true)]
async fn parts_go_at_the_same_time_and_a_resource_stays_in_order_in_one() {
    let fake = Arc::new(Fake { lasts: Duration::from_secs(1), ..Fake::default() });
    let began = Instant::now();
    paced(&fake, "concurrency=4").publish(&batch(100)).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    let asked = fake.asked();
    assert!((2..=4).contains(&asked.len()), "{} parts", asked.len());
    assert_eq!(fake.at_once.lock().unwrap().1, asked.len());
    for resource in 0..10 {
        let of = |part: &Vec<String>| {
            let mine = part.iter().filter_map(|id| id.strip_prefix(&format!("{resource}-"))?.parse().ok());
            mine.collect::<Vec<usize>>()
        };
        let parts: Vec<Vec<usize>> = asked.iter().map(of).filter(|mine| !mine.is_empty()).collect();
        assert_eq!(parts.len(), 1, "in one part");
        assert!(parts[0].is_sorted() && parts[0].len() == 10);
    }
}

#[test]
fn what_is_all_of_one_pipeline_queue_is_in_several_parts() {
    let resource = |n: usize| {
        let mut sample = sample("cpu", "x");
        sample.resource_id = format!("r-{n}").as_str().into();
        sample
    };
    let of_one_queue = |sample: &crate::model::Sample| hash::slot(&grouping_bytes(&sample.resource_id)) % 16 == 3;
    let batch = Batch::Samples((0..2_000).map(resource).filter(of_one_queue).collect());
    assert!(batch.len() > 50);
    assert_eq!(parts(&batch, 4).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_when_it_was_given_up_on_does_not_lengthen_the_pause() {
    let fake = Arc::new(Fake { lasts: Duration::from_secs(1), ..Fake::default() });
    let publisher = paced(&fake, "breaker_failures=1&breaker_pause=2");
    fake.answer(8, "503");
    let batch = batch(1);
    join_all((0..8).map(|_| publisher.publish(&batch))).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    publisher.publish(&batch).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_as_much_as_the_rate_allows_and_nobody_waits_for_one_while_it_is_left_alone() {
    let fake = Arc::new(Fake::default());
    let publisher = paced(&fake, "rate=20&breaker_failures=1&breaker_pause=10");
    let turn = publisher.turn(50).await.unwrap();
    assert_eq!(turn.records, 20);
    fake.answer(1, "503");
    assert!(publisher.publish(&batch(turn.records)).await.is_err());
    drop(turn);
    let began = Instant::now();
    let (cause, after) = ("503".to_owned(), Some(Duration::from_secs(10)));
    assert_eq!(publisher.turn(50).await.unwrap_err(), PublishError::Retry { cause, after });
    assert_eq!(began.elapsed(), Duration::ZERO);
    tokio::time::advance(Duration::from_secs(10)).await;
    let turn = publisher.turn(50).await.unwrap();
    publisher.publish(&batch(turn.records)).await.unwrap();
    drop(turn);
    assert_eq!(publisher.turn(50).await.unwrap().records, 20);
    assert_eq!(began.elapsed(), Duration::from_secs(11));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_turn_learn_that_it_is_left_alone() {
    let fake = Arc::new(Fake::default());
    let publisher = paced(&fake, "rate=1&breaker_failures=1");
    let turn = publisher.turn(1).await.unwrap();
    let (one, other) = (publisher.turn(1), publisher.turn(1));
    fake.answer(1, "503");
    let ends = async {
        assert!(publisher.publish(&batch(1)).await.is_err());
        drop(turn);
        Instant::now()
    };
    let (one, other, failed) = tokio::join!(one, other, ends);
    assert!(one.is_err() && other.is_err());
    assert_eq!(Instant::now(), failed);
}

#[tokio::test(start_paused = true)]
async fn a_server_says_itself_how_long() {
    let fake = Arc::new(Fake::default());
    let publisher = paced(&fake, "breaker_failures=1");
    let after = Some(Duration::from_secs(100));
    fake.answers.lock().unwrap().push(PublishError::Retry { cause: "429".to_owned(), after });
    assert!(publisher.publish(&batch(1)).await.is_err());
    let cause = "429".to_owned();
    assert_eq!(publisher.publish(&batch(1)).await, Err(PublishError::Retry { cause, after }));
}

#[tokio::test]
async fn what_becomes_of_a_part_is_said_of_its_records() {
    let fake = Arc::new(Fake::default());
    fake.answers.lock().unwrap().push(PublishError::refuse([0], "400"));
    let outcome = paced(&fake, "concurrency=2").publish(&batch(20)).await;
    let first = fake.asked()[0][0].clone();
    let Err(PublishError::Partly(Partly { refused, left: None })) = outcome else { panic!("{outcome:?}") };
    let record = first.split_once('-').unwrap().1.parse::<usize>().unwrap();
    assert_eq!(refused, [Refused { record, cause: "400".to_owned() }]);
    fake.answer(1, "503");
    let outcome = paced(&fake, "concurrency=2").publish(&batch(20)).await;
    let waits: Vec<usize> = fake.asked()[0].iter().map(|id| id.split_once('-').unwrap().1.parse().unwrap()).collect();
    let left = Left { records: waits, cause: "503".to_owned(), after: None };
    assert_eq!(outcome, Err(PublishError::Partly(Partly { refused: Vec::new(), left: Some(left) })));
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_again_and_again_is_left_alone_and_then_tried_with_a_few() {
    let fake = Arc::new(Fake::default());
    let publisher = paced(&fake, "breaker_failures=3&breaker_pause=2");
    fake.answer(4, "503");
    for _ in 0..2 {
        assert!(matches!(publisher.publish(&batch(50)).await, Err(PublishError::Retry { after: None, .. })));
    }
    let after = Some(Duration::from_secs(2));
    let cause = "503".to_owned();
    let not_now = PublishError::Retry { cause: cause.clone(), after };
    assert_eq!(publisher.publish(&batch(50)).await, Err(not_now), "the failure that closes it says when it opens");
    assert_eq!(fake.asked().len(), 3);
    assert_eq!(publisher.publish(&batch(50)).await, Err(PublishError::Retry { cause, after }), "it was not asked");
    assert!(fake.asked().is_empty());
    // The first try fails: it is left alone for longer.
    tokio::time::advance(Duration::from_secs(2)).await;
    let longer = PublishError::Retry { cause: "503".to_owned(), after: Some(Duration::from_secs(4)) };
    assert_eq!(publisher.publish(&batch(50)).await, Err(longer));
    assert_eq!(fake.asked().iter().map(Vec::len).collect::<Vec<_>>(), [PROBE_RECORDS]);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(matches!(publisher.publish(&batch(50)).await, Err(PublishError::Retry { .. })));
    assert!(fake.asked().is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    publisher.publish(&batch(50)).await.unwrap();
    assert_eq!(fake.asked().iter().map(Vec::len).collect::<Vec<_>>(), [PROBE_RECORDS, 40]);
    publisher.publish(&batch(50)).await.unwrap();
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_caller_tries_while_others_wait_and_another_may_when_it_is_gone() {
    let fake = Arc::new(Fake { lasts: Duration::from_secs(5), ..Fake::default() });
    let publisher = paced(&fake, "breaker_failures=1&breaker_pause=0.1");
    fake.answer(1, "503");
    assert!(publisher.publish(&batch(1)).await.is_err());
    tokio::time::advance(Duration::from_secs(1)).await;
    let (one, other) = (batch(1), batch(1));
    {
        let mut trying = std::pin::pin!(publisher.publish(&one));
        assert!(futures_util::poll!(&mut trying).is_pending());
        assert!(matches!(publisher.publish(&other).await, Err(PublishError::Retry { .. })));
        assert_eq!(fake.asked().len(), 2, "the failure and the try");
    }
    publisher.publish(&other).await.unwrap();
}

#[test]
fn wrong_options_are_named_beside_the_publishers_own() {
    let url = "file:///x?concurrency=0&rate=fast&breaker_pause=60&max_bytes=ten&concurency=2";
    let error = build(url, Kind::Samples, &Context::default()).err().unwrap().to_string();
    for what in [
        "concurrency=0: expected a number of at least 1",
        "rate=fast",
        "breaker_pause=60: expected at most 30 seconds",
        "max_bytes=ten",
        "unknown option concurency; did you mean concurrency?",
    ] {
        assert!(error.contains(what), "{what}: {error}");
    }
}
