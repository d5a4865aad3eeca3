//! A destination: a publisher that takes its time, is away now and then, and refuses what it must.

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::witness::{EVENTS, SAMPLES, Witness, id_text};
use nephoscope::publish::{Batch, PublishError, Publisher};

/// How a destination does, for all agents.
#[derive(Clone, Default)]
pub(crate) struct Weather(Arc<Mutex<Condition>>);

#[derive(Clone, Copy, Default)]
struct Condition {
    away: bool,
    forgetful: bool,
    extra: Duration,
}

impl Weather {
    /// It answers 503 to everything; `forgetful`: having taken it all the same.
    pub(crate) fn set_away(&self, away: bool, forgetful: bool) {
        let mut condition = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (condition.away, condition.forgetful) = (away, forgetful);
    }

    /// Every answer takes so much longer.
    pub(crate) fn slow_down(&self, extra: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extra = extra;
    }

    fn now(&self) -> Condition {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A destination as one agent reaches it.
pub(crate) struct Outlet {
    agent: Arc<str>,
    destination: usize,
    weather: Weather,
    witness: Witness,
    rng: Mutex<StdRng>,
}

impl Outlet {
    /// An agent's outlet to one of the destinations.
    pub(crate) fn new(agent: Arc<str>, destination: usize, weather: Weather, witness: Witness, seed: u64) -> Self {
        Outlet { agent, destination, weather, witness, rng: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    /// One way.
    fn leg(&self, extra: Duration) -> Duration {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let micros = if rng.random_bool(0.9) { rng.random_range(200..3_000) } else { rng.random_range(3_000..60_000) };
        Duration::from_micros(micros) + extra
    }

    /// Only the first destination refuses anything.
    fn refuses(&self, kind: &'static str, id: &str) -> bool {
        self.destination == 0 && self.witness.refuses(kind, id)
    }

    /// Positions of what is refused, and the batch without it.
    fn sort_out(&self, batch: &Batch) -> (Vec<usize>, Batch) {
        let mut which = Vec::new();
        let mut position = 0;
        let mut take = |refused: bool| {
            if refused {
                which.push(position);
            }
            position += 1;
            !refused
        };
        let taken = match batch {
            Batch::Samples(samples) => Batch::Samples(
                samples.iter().filter(|sample| take(self.refuses(SAMPLES, &sample.id))).cloned().collect(),
            ),
            Batch::Events(events) => Batch::Events(
                events
                    .iter()
                    .filter(|event| take(self.refuses(EVENTS, &id_text(&event.message_id))))
                    .cloned()
                    .collect(),
            ),
        };
        (which, taken)
    }
}

#[async_trait]
impl Publisher for Outlet {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        tokio::time::sleep(self.leg(self.weather.now().extra)).await;
        let condition = self.weather.now();
        let (which, taken) = self.sort_out(batch);
        if (!condition.away || condition.forgetful) && !taken.is_empty() {
            self.witness.published(&self.agent, self.destination, &taken);
        }
        tokio::time::sleep(self.leg(Duration::ZERO)).await;
        if condition.away {
            if condition.forgetful {
                self.witness.fault();
            }
            return Err(PublishError::retry("503"));
        }
        if which.is_empty() { Ok(()) } else { Err(PublishError::refuse(which, "400")) }
    }
}
