//! Whole worlds: what has to hold whatever the seed.

use super::*;
use crate::web::view::View;

fn run(seed: u64) -> View {
    let mut world = World::demo(seed).expect("the demo's files");
    let drained = world.run_until(Span::from_hours(2)).unwrap_or_else(|error| panic!("{error}"));
    assert!(drained, "seed {seed} ends within two hours");
    world.view(None)
}

#[test]
fn every_message_is_done_and_every_machine_gone_whatever_the_seed() {
    for seed in 0..12 {
        let view = run(seed);
        let queue = &view.queues[0];
        assert_eq!((queue.arrived, queue.done, queue.waiting, queue.in_flight), (2550, 2550, 0, 0), "seed {seed}");
        assert!(view.nodes.is_empty() && view.workloads.iter().all(|workload| workload.running == 0), "seed {seed}");
        let tally = view.tally;
        // Three machines are taken back, and no more offerings are ever sold out than there are on Spot.
        assert_eq!(tally.interruptions, 3, "seed {seed}");
        assert!((1..=96).contains(&tally.stock_outs), "seed {seed}: {tally:?}");
        let bought: u32 =
            view.decisions.iter().filter(|decision| decision.what.starts_with("bought ")).map(|decision| decision.count).sum();
        assert_eq!(bought, tally.spot + tally.on_demand, "seed {seed}: each machine is told of");
        assert!(tally.on_demand > 0, "seed {seed}: while Spot is sold out, work goes on on demand");
        assert!(view.course.iter().all(|point| point.spot + point.on_demand + point.booting <= tally.most_nodes), "seed {seed}");
        // Money by another way: what the course says that all machines cost, second by second.
        let by_course: f64 = view.course.windows(2).map(|pair| pair[0].per_hour * (pair[1].seconds - pair[0].seconds) / 3600.0).sum();
        assert!((by_course / view.cost.so_far - 1.0).abs() < 0.02, "seed {seed}: {by_course} and {:?}", view.cost);
        // A machine is replaced before it is drained, and a worker finishes what it holds: nothing is done twice.
        assert_eq!(queue.redelivered, 0, "seed {seed}");
    }
}

#[test]
fn a_seed_tells_the_same_story_however_it_is_watched() {
    let whole = run(7);
    let mut watched = World::demo(7).expect("the demo's files");
    let mut span = Span::ZERO;
    while !watched.run_until(span).expect("no breach") {
        span += Span::from_millis(333);
        assert!(span < Span::from_hours(2), "it ends");
    }
    assert_eq!(watched.view(None), whole);
    assert_ne!(run(8).cost, whole.cost, "another seed is another story");
}

#[test]
fn money_grows_and_the_course_is_bounded() {
    let mut world = World::demo(3).expect("the demo's files");
    let mut before = 0.0;
    for second in 0..400 {
        world.run_until(Span::from_secs(second)).expect("no breach");
        let view = world.view(Some(10.0));
        assert!(view.cost.so_far >= before && view.cost.on_demand >= view.cost.so_far, "at {second} s: {:?}", view.cost);
        assert!(view.course.len() <= crate::web::view::POINTS + 1 && view.decisions.len() <= crate::web::view::DECISIONS);
        before = view.cost.so_far;
    }
}
