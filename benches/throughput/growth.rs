//! How cost grows: one run for each line, nothing repeated. `make bench GROWTH=1`.

use crate::agent::{Setup, this_program};
use crate::broker::Broker;
use crate::drain::drain;
use crate::measures::Drain;
use crate::table::{print_head, print_run};
use crate::{mix, yardsticks};

/// Sizes of a body in bytes, each with the number of notifications.
const SIZES: [(usize, usize); 5] =
    [(1_000, 20_000), (3_000, 20_000), (10_000, 6_000), (100_000, 1_000), (1_000_000, 200)];
/// Pipelines for samples, and as many for events, each with the number of notifications.
const PIPELINES: [(usize, usize); 3] = [(1, 10_000), (5, 4_000), (20, 2_000)];
const MAIN_QUEUES: [usize; 4] = [1, 2, 4, 8];
const AGENTS: [usize; 4] = [1, 2, 4, 8];
/// Notifications for main queues.
const NOTIFICATIONS: usize = 20_000;
/// Notifications before those that count: the agents of a new group wait up to half a second until their books have a stream.
const FIRST: usize = 64;
/// Notifications for agents: some are worked on before all agents have joined, and these do not count.
const FOR_AGENTS: usize = 40_000;

pub(crate) async fn grow(broker: &Broker, bodies: &[Vec<u8>]) {
    sizes(broker).await;
    pipelines(broker, bodies).await;
    main_queues(broker, bodies).await;
    agents(broker, bodies).await;
}

async fn sizes(broker: &Broker) {
    print_head("bytes of a body");
    for (bytes, count) in SIZES {
        let bodies: Vec<Vec<u8>> = (0..8).map(|n| mix::of_size(bytes, n)).collect();
        let queues = Setup::alone("size").queues();
        broker.fill(&queues, mix::repeated(&bodies, count)).await;
        print_run(&format!("{bytes} bare"), &yardsticks::measure(this_program(), "bare", broker, &queues[0], count));
        print_run(&format!("{bytes} alone"), &drain_again(broker, &Setup::alone("size"), &bodies, count).await);
        print_run(&format!("{bytes} group"), &drain_again(broker, &Setup::in_new_group("size"), &bodies, count).await);
    }
}

async fn pipelines(broker: &Broker, bodies: &[Vec<u8>]) {
    print_head("pipelines of each kind");
    for (pipelines, count) in PIPELINES {
        for (name, setup) in both("pipelines") {
            let setup = Setup { pipelines, ..setup };
            print_run(&format!("{pipelines} {name}"), &drain_again(broker, &setup, bodies, count).await);
        }
    }
}

async fn main_queues(broker: &Broker, bodies: &[Vec<u8>]) {
    print_head("main queues");
    for main_queues in MAIN_QUEUES {
        for (name, setup) in both("mains") {
            let setup = Setup { main_queues, ..setup };
            print_run(&format!("{main_queues} {name}"), &drain_again(broker, &setup, bodies, NOTIFICATIONS).await);
        }
    }
}

async fn agents(broker: &Broker, bodies: &[Vec<u8>]) {
    print_head("agents, one main queue");
    for agents in AGENTS {
        let setup = Setup { agents, ..Setup::in_new_group("agents") };
        let drain = drain(broker, &setup, bodies, FOR_AGENTS).await;
        let busiest = 100.0 * drain.busiest;
        print_run(&format!("{agents} (busiest {busiest:.0} % CPU)"), &drain);
    }
    println!("(counted from the moment when all agents had joined; CPU and RSS are the sums of all)");
}

/// Drains with a setup whose queues and streams are there already.
async fn drain_again(broker: &Broker, setup: &Setup, bodies: &[Vec<u8>], count: usize) -> Drain {
    drain(broker, setup, bodies, FIRST).await;
    drain(broker, setup, bodies, count).await
}

fn both(topic: &str) -> [(&'static str, Setup); 2] {
    [("alone", Setup::alone(topic)), ("group", Setup::in_new_group(topic))]
}
