//! What a connection can hold, at random: several connections run the same steps against a plain redis-server, through
//! Circlet over one node and through Circlet over three, all keys and channels under one hash tag. Every connection gets
//! the same bytes everywhere.
//!
//! ```text
//!  script: a step for one connection ──┬──► plain     settles: every byte read, every byte written
//!   (one request, a pipeline, leaving) │      │ replies and pushes of every connection, who is blocked
//!             ▲                        │      ▼
//!             └── who is blocked ──────┴──► one, three: the same frames, and as many blocked at the nodes
//! ```
//! Replies and subscriptions' confirmations are one ordered stream of a connection, messages another; between the two Redis
//! itself promises nothing to a reader. Every invalidation that a client needs must come (`caches`); more may, as Redis says.
//! What differs for a reason stands in `differences.txt` and `known`.
//!
//! A failed play is made as short as it can be before it is shown. `SEED=n` repeats a run, `PLAYS=n` makes it longer
//! (default 40 plays of 60 steps; `SEED=… PLAYS=2000 cargo nextest run stateful` runs for minutes).

mod behind;
mod caches;
mod canonical;
mod connection;
mod known;
mod play;
mod script;
mod shorten;
mod side;
mod step;

use side::Side;

use crate::support::{Redis, cluster::plan_over, seed};

/// Plays of one run, unless told.
const PLAYS: usize = 40;

/// Steps of one play.
const STEPS: usize = 60;

fn plays() -> usize {
    std::env::var("PLAYS").map_or(PLAYS, |text| text.parse().expect("PLAYS is a number"))
}

/// Nodes and plain servers alike: events of keys are messages too.
fn server() -> Redis {
    Redis::with(&["--notify-keyspace-events", "KEA"])
}

/// `several`: one of the others stands over several nodes.
fn run(test: &str, plain: &mut Side, others: &mut [Side], plays: usize, several: bool) {
    let mut rng = seed::rng(test);
    let mut steps = 0;
    for number in 0..plays {
        let mut script = script::Script::new(&mut rng, several);
        let told = play::play(plain, others, play::PATIENCE, STEPS, |view| Some(script.next(view)));
        steps += told.steps.len();
        if let Some(difference) = told.difference {
            let short = shorten::shorten(plain, others, told.steps);
            panic!("play {number} differs: {difference}\n\nAs short as it gets:\n{short}");
        }
    }
    eprintln!("{test}: {steps} steps in {plays} plays");
}

#[test]
fn connections_at_random_get_what_redis_gives() {
    let (server_of_plain, server_of_one) = (server(), server());
    let nodes_of_three: Vec<Redis> = (0..3).map(|_| server()).collect();
    let nodes_of_one = [server_of_one];
    let one = plan_over(&nodes_of_one).start();
    let three = plan_over(&nodes_of_three).start();
    let mut plain = Side::new("plain Redis", &server_of_plain.address(), std::slice::from_ref(&server_of_plain));
    let mut others = [
        Side::new("Circlet over one node", &one.address(), &nodes_of_one),
        Side::new("Circlet over three nodes", &three.address(), &nodes_of_three),
    ];
    run("connections_at_random_get_what_redis_gives", &mut plain, &mut others, plays(), true);
}

/// Over one node, transactions may hold what concerns all nodes.
#[test]
fn over_one_node_a_transaction_holds_everything() {
    let (server_of_plain, nodes) = (server(), [server()]);
    let one = plan_over(&nodes).start();
    let mut plain = Side::new("plain Redis", &server_of_plain.address(), std::slice::from_ref(&server_of_plain));
    let mut others = [Side::new("Circlet over one node", &one.address(), &nodes)];
    run("over_one_node_a_transaction_holds_everything", &mut plain, &mut others, plays() / 2, false);
}

/// The test of the test: what is compared depends on nothing but the steps.
#[test]
fn two_plain_servers_give_the_same() {
    let servers = [server(), server()];
    let [mut plain, other] = [0, 1]
        .map(|at| Side::new(&format!("plain Redis {at}"), &servers[at].address(), std::slice::from_ref(&servers[at])));
    run("two_plain_servers_give_the_same", &mut plain, &mut [other], plays() / 4, false);
}
