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
        assert!(view.cost.so_far > 0.0 && view.cost.so_far < view.cost.on_demand, "seed {seed}: {:?}", view.cost);
        assert!(view.tally.interruptions > 0 && view.tally.stock_outs > 0, "seed {seed}: the story happens: {:?}", view.tally);
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
