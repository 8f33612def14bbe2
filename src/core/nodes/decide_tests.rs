//! Bursts: the right machines, each once, whatever comes in which order.

use super::super::offer::CapacityType;
use super::super::resources::Resources;
use super::super::scene::{GIB, Scene, created, kwok_types, print, shape, wishes};
use super::*;
use crate::Span;
use crate::name::Key;
use crate::plan::Why;
use crate::reason::NoNode;

/// CPUs of the types that are first in each claim's list.
fn cpus(scene: &Scene, plan: &Plan) -> Vec<i64> {
    let first = |spec: &super::super::claim::ClaimSpec| {
        scene.offers.find(&spec.class, spec.types.first().expect("a type")).expect("a type that is offered").capacity.cpu.0 / 1000
    };
    created(plan).iter().map(|(_, spec)| first(spec)).collect()
}

#[test]
fn a_burst_of_virtual_pods_gets_the_cheapest_machines_and_the_fewest_of_them() {
    let mut scene = Scene::kwok();
    assert_eq!(kwok_types().len(), 144);
    scene.want("burst", 100, shape(1000, 2048));
    let plan = scene.decide();
    assert_eq!(cpus(&scene, &plan), [96, 8]);
    let price: i64 = created(&plan).iter().map(|(_, spec)| spec.price.0).sum();
    assert_eq!(price / 100, 19763, "1.9763 USD an hour");
    assert!(created(&plan).iter().all(|(_, spec)| spec.types.first().is_some_and(|name| name.starts_with("c-"))));
    assert!(plan.unplaced.is_empty());
}

#[test]
fn no_node_is_bought_twice_while_pods_take_the_place_of_their_virtual_twins() {
    let mut scene = Scene::kwok();
    let key = scene.want("burst", 100, shape(1000, 2048));
    let first = scene.turn();
    assert_eq!(created(&first).len(), 2);
    for number in 0..100 {
        scene.add_pod(&format!("burst-{number}"), shape(1000, 2048), None, Some("burst"));
        scene.wait(Span::from_millis(50));
        let plan = scene.turn();
        assert!(created(&plan).is_empty(), "after {number} pods:\n{}", print(&plan));
    }
    assert_eq!(scene.cluster.counts_of(&scene.cluster.workloads[&key]).alive, 100);
    assert_eq!(scene.cluster.claims.len(), 2);
}

#[test]
fn a_planned_claim_that_is_not_created_yet_is_created_again_and_nothing_else() {
    let mut scene = Scene::kwok();
    scene.want("burst", 100, shape(1000, 2048));
    let first = scene.decide();
    for (name, claim) in as_planned(&first, &scene.cluster, scene.now) {
        scene.cluster.apply_claim(name, claim);
    }
    scene.wait(Span::from_millis(200));
    let names = |plan: &Plan| created(plan).into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let second = scene.decide();
    assert_eq!(names(&second), names(&first));
    assert!(second.placements.iter().map(|placement| placement.count).sum::<u32>() == 100);
}

#[test]
fn daemon_sets_that_only_some_types_get_do_not_cause_a_second_purchase() {
    let mut scene = Scene::kwok();
    for (name, arch) in [("agent-a", "amd64"), ("agent-b", "arm64")] {
        let daemon = super::super::shape::Shape { wishes: vec![wishes(&[("kubernetes.io/arch", arch)])], ..shape(700, 100) };
        scene.add_daemon_set(name, daemon);
    }
    scene.want("burst", 7, shape(1000, 1024));
    let bought = created(&scene.turn()).len();
    for _ in 0..4 {
        scene.wait(Span::from_millis(100));
        assert!(created(&scene.turn()).is_empty());
    }
    assert_eq!(scene.cluster.claims.len(), bought);
}

#[test]
fn after_a_restart_claims_that_are_on_their_way_still_count() {
    let mut scene = Scene::kwok();
    scene.want("burst", 100, shape(1000, 2048));
    scene.turn();
    scene.memory = Memory::default();
    for claim in scene.cluster.claims.values_mut() {
        claim.spec.promise = Resources::default();
    }
    assert!(created(&scene.decide()).is_empty());
}

#[test]
fn waiting_pods_go_to_nodes_with_room_before_anything_is_bought() {
    let mut scene = Scene::kwok();
    scene.add_node("here", "m-4x-amd64-linux");
    for number in 0..3 {
        scene.add_pod(&format!("p{number}"), shape(1000, 1024), None, None);
    }
    let plan = scene.decide();
    assert_eq!(print(&plan), "");
    assert!(plan.placements.iter().all(|placement| placement.on == "here") && plan.placements.len() == 1);
    scene.add_pod("p3", shape(1000, 1024), None, None);
    assert_eq!(created(&scene.decide()).len(), 1, "3.9 CPUs hold three pods");
}

#[test]
fn the_whole_way_ends_in_a_still_world() {
    let mut scene = Scene::kwok();
    scene.want("burst", 100, shape(1000, 2048));
    scene.turn();
    for _ in 0..9 {
        scene.controllers();
        scene.turn();
        scene.boot();
        scene.wait(Span::from_secs(1));
    }
    scene.controllers();
    assert!(scene.cluster.waiting().is_empty());
    assert_eq!(print(&scene.decide()), "");
}

/// A plan with each shape's number replaced by the shape itself: numbers depend on who came first.
fn without_numbers(scene: &Scene, plan: &Plan) -> String {
    let shape = |id| format!("{:?}", scene.cluster.shapes.get(id));
    let placed: Vec<String> = plan.placements.iter().map(|p| format!("{} {} {}", p.on, shape(p.shape), p.count)).collect();
    let left: Vec<String> = plan.unplaced.iter().map(|u| format!("{} {} {:?}", shape(u.shape), u.count, u.reasons)).collect();
    format!("{:?}\n{placed:#?}\n{left:#?}\n{:?}\n{:?}", plan.actions, plan.withheld, plan.look_again)
}

#[test]
fn the_order_of_events_does_not_matter_and_the_same_input_gives_the_same_plan() {
    let build = |seed: u64| {
        let mut scene = Scene::kwok();
        let mut random = super::super::random_tests::Random::new(seed);
        let mut events: Vec<usize> = (0..60).collect();
        random.shuffle(&mut events);
        for event in events {
            match event {
                // Sizes whose CPU and memory are alike and whose other wishes differ, so that ties are decided by nothing else.
                0..30 => {
                    let zone = ["a", "b", "c"][event % 3];
                    let shape = super::super::shape::Shape { wishes: vec![wishes(&[(super::super::ZONE, zone)])], ..shape(500, 512) };
                    scene.add_pod(&format!("p{event}"), shape, None, None);
                }
                30..50 => {
                    _ = scene.add_pod(&format!("p{event}"), shape(100 * (1 + i64::try_from(event % 4).expect("small")), 512), None, None)
                }
                50..55 => scene.add_node(&format!("n{event}"), "c-2x-amd64-linux"),
                _ => _ = scene.want(&format!("w{event}"), 7, shape(300, 300)),
            }
        }
        let plan = scene.decide();
        without_numbers(&scene, &plan)
    };
    let first = build(0);
    for seed in 0..20 {
        assert_eq!(build(seed), first, "seed {seed}");
    }
}

#[test]
fn spent_effort_is_a_reason_and_no_error() {
    let mut scene = Scene::kwok();
    scene.want("burst", 100, shape(1000, 2048));
    let (plan, _) =
        decide(scene.now, &scene.cluster, &scene.wanted, &scene.offers, Options { effort: 0, ..Options::default() }, Memory::default());
    assert!(matches!(&plan.unplaced[..], [one] if one.reasons == [NoNode::EffortSpent] && one.count == 100));
}

#[test]
fn a_scene_offers_what_it_says() {
    let types = kwok_types();
    let small = types.iter().find(|kind| kind.name == "c-1x-amd64-linux").expect("the smallest type");
    assert_eq!((small.allocatable.cpu.0, small.allocatable.memory.0), (900, 2 * GIB - (10 << 20)));
    assert_eq!(small.offerings.iter().filter(|offering| offering.capacity_type == CapacityType::Spot).count(), 4);
    assert_eq!(Key::new("a", "b").to_string(), "a/b");
}

#[test]
fn a_machine_that_the_cloud_takes_back_is_replaced_before_it_is_drained() {
    let mut scene = Scene::kwok();
    scene.want("orders", 3, shape(1000, 2048));
    scene.controllers();
    scene.settle(9);
    scene.controllers();
    assert!(scene.cluster.waiting().is_empty(), "all pods run");
    let first: Vec<Name> = scene.cluster.claims.keys().cloned().collect();
    let soon = scene.now.checked_add(Span::from_mins(2)).expect("a moment near 1970");
    for name in &first {
        scene.change_claim(name, |claim| claim.interrupted = Some(soon));
    }
    let plan = scene.turn();
    assert!(!created(&plan).is_empty(), "a place for its pods is bought:\n{}", print(&plan));
    let leaves = |action: &Action| matches!(action, Action::Evict { .. } | Action::DeleteClaim { .. });
    assert!(!plan.actions.iter().any(leaves), "nobody is asked to leave before that:\n{}", print(&plan));
    for _ in 0..5 {
        scene.boot();
        let plan = scene.turn();
        assert!(created(&plan).is_empty() && !plan.actions.iter().any(leaves), "its successor boots meanwhile:\n{}", print(&plan));
    }
    let tainted =
        |scene: &Scene| scene.cluster.nodes.values().filter(|node| node.taints.iter().any(|t| t.key == super::super::DISRUPTED)).count();
    assert_eq!(tainted(&scene), first.len(), "no new pod goes there");
    scene.wait(Span::from_mins(1));
    let plan = scene.turn();
    let given_back =
        |action: &Action| matches!(action, Action::DeleteClaim { claim, reason: Why::Interrupted, .. } if first.contains(claim));
    assert!(plan.actions.iter().any(given_back), "{}", print(&plan));
    // While its pods leave one by one and come back elsewhere, nothing is bought twice.
    for _ in 0..9 {
        scene.controllers();
        assert!(created(&scene.turn()).is_empty());
        scene.boot();
    }
    scene.controllers();
    assert!(scene.cluster.waiting().is_empty() && first.iter().all(|name| !scene.cluster.claims.contains_key(name)));
}

#[test]
fn pods_that_nobody_wants_any_more_have_no_successors() {
    let mut scene = Scene::kwok();
    let key = scene.want("orders", 10, shape(1000, 2048));
    scene.controllers();
    scene.settle(9);
    scene.controllers();
    let soon = scene.now.checked_add(Span::from_mins(2)).expect("a moment near 1970");
    for name in scene.cluster.claims.keys().cloned().collect::<Vec<_>>() {
        scene.change_claim(&name, |claim| claim.interrupted = Some(soon));
    }
    let mut fewer = scene.clone();
    scene.wanted.insert(key.clone(), Replicas(0));
    assert!(created(&scene.decide()).is_empty());
    fewer.wanted.insert(key, Replicas(3));
    let plan = fewer.decide();
    assert_eq!(plan.placements.iter().map(|placement| placement.count).sum::<u32>(), 3, "{}", print(&plan));
}

#[test]
fn pods_of_several_shapes_find_the_places_that_were_bought_for_them() {
    for seed in 0..40_i64 {
        let mut scene = Scene::kwok();
        for number in 0..5 {
            // Sizes that fit together in few ways, so that another order of filling leaves somebody over.
            let (cpu, mib) = (300 + (seed * 7 + number * 13) % 11 * 310, 400 + (seed * 5 + number * 17) % 13 * 700);
            scene.want(&format!("queue-{number}"), 20 + u32::try_from(number).expect("small") * 17, shape(cpu, mib));
        }
        let first = scene.turn();
        assert!(!created(&first).is_empty() && first.unplaced.is_empty());
        for turn in 0..12 {
            scene.boot();
            scene.wait(Span::from_millis(300));
            let plan = scene.turn();
            assert!(created(&plan).is_empty(), "seed {seed}, turn {turn}:\n{}", print(&plan));
        }
    }
}
