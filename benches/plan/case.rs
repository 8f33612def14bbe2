//! The cases: what is planned for, by which seeds, and what the peers came to.

use crate::market::{fake, pool, template, uneven, workers};
use crate::pods::{self, Kind};
use crate::world::World;

const GIB: i64 = 1 << 30;

/// Which bound is the strongest for a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Few kinds of pods: fillings of whole pods.
    Columns,
    /// Many kinds: pods in parts.
    Assignment,
}

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) seeds: std::ops::RangeInclusive<u64>,
    /// Played with its last seed by `--quick`.
    pub(crate) quick: bool,
    pub(crate) bound: Bound,
    /// Whether all that the pods ask for is in the bound's rows of numbers, so that any other way to pack them is one that the planner could have taken.
    pub(crate) plain: bool,
    /// What a peer came to, and where that is said.
    pub(crate) peer: &'static str,
    pub(crate) world: fn(u64) -> World,
}

/// Karpenter's mix on its 400 types; the peer's times are those of its pull request 2486 on an Apple M3 Pro with five workers.
const fn mix(name: &'static str, quick: bool, peer: &'static str, world: fn(u64) -> World) -> Case {
    Case { name, seeds: 1..=3, quick, bound: Bound::Assignment, plain: false, peer, world }
}

const fn queue(name: &'static str, seeds: std::ops::RangeInclusive<u64>, quick: bool, world: fn(u64) -> World) -> Case {
    Case { name, seeds, quick, bound: Bound::Columns, plain: true, peer: "", world }
}

const fn services(name: &'static str, quick: bool, world: fn(u64) -> World) -> Case {
    Case { name, seeds: 1..=3, quick, bound: Bound::Assignment, plain: true, peer: "", world }
}

/// All of them.
pub(crate) const CASES: &[Case] = &[
    mix("diverse-100", true, "", |seed| World::new(pool(), fake(400), pods::diverse(100, seed))),
    mix("diverse-500", false, "", |seed| World::new(pool(), fake(400), pods::diverse(500, seed))),
    mix("diverse-1000", true, "Karpenter 0.78 s (PR 2486)", |seed| World::new(pool(), fake(400), pods::diverse(1000, seed))),
    mix("diverse-5000", false, "Karpenter 3.7 s (PR 2486)", |seed| World::new(pool(), fake(400), pods::diverse(5000, seed))),
    mix("diverse-10000", false, "Karpenter 8.1 s (PR 2486)", |seed| World::new(pool(), fake(400), pods::diverse(10_000, seed))),
    mix(DIVERSE_20K, true, "Karpenter 20.2 s (PR 2486)", |seed| World::new(pool(), fake(400), pods::diverse(20_000, seed))),
    Case {
        bound: Bound::Columns,
        ..mix("preferences-4000", false, "Karpenter 11.7 s (PR 2486)", |seed| {
            World::new(pool(), fake(400), pods::preferring(4000, seed, Kind::Preferring))
        })
    },
    Case {
        plain: true,
        bound: Bound::Columns,
        ..mix("no-preferences-4000", false, "", |seed| World::new(pool(), fake(400), pods::preferring(4000, seed, Kind::Generic)))
    },
    queue("queue-2000", 1..=5, true, |seed| World::new(workers(), uneven(seed), pods::workers(2000, seed, queues(seed)))),
    queue("queue-10000", 1..=5, false, |seed| World::new(workers(), uneven(seed), pods::workers(10_000, seed, queues(seed)))),
    queue(QUEUE_20K, 1..=5, true, |seed| World::new(workers(), uneven(seed), pods::workers(20_000, seed, queues(seed)))),
    queue(QUEUE_100K, 1..=2, false, |seed| World::new(workers(), uneven(seed), pods::workers(100_000, seed, 5))),
    services("services-1000", false, |seed| World::new(workers(), uneven(seed), pods::services(1000, seed))),
    services("services-2000", false, |seed| World::new(workers(), uneven(seed), pods::services(2000, seed))),
    services("services-10000", false, |seed| World::new(workers(), uneven(seed), pods::services(10_000, seed))),
    queue("part-filled-2000", 1..=3, true, |seed| {
        let mut all = pods::workers(2000, seed, 4);
        all.extend(pods::running(300, 7_900, 31 * GIB, seed));
        World::new(workers(), uneven(seed), all).with_nodes(300, 7_900, 31 * GIB)
    }),
    Case {
        peer: "Cluster Autoscaler 2,595 nodes (BenchmarkBinpackingEstimate)",
        ..queue("estimate-51000", 1..=1, false, |_| World::new(pool(), template(), pods::estimated()))
    },
];

/// The cases that the last line names.
pub(crate) const DIVERSE_20K: &str = "diverse-20000";
pub(crate) const QUEUE_20K: &str = "queue-20000";
pub(crate) const QUEUE_100K: &str = "queue-100000";
pub(crate) const AT_2K: [&str; 2] = ["queue-2000", "services-2000"];
pub(crate) const AT_10K: [&str; 2] = ["queue-10000", "services-10000"];

/// One to five, by the seed.
fn queues(seed: u64) -> u8 {
    u8::try_from((seed - 1) % 5).unwrap_or(0) + 1
}
