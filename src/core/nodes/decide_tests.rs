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

/// What the next leader finds: nothing of what was only planned or remembered, and of each claim what its object tells.
fn succeed(scene: &mut Scene) {
    scene.memory = Memory::default();
    scene.cluster.claims.retain(|_, claim| claim.uid.is_some());
    for claim in scene.cluster.claims.values_mut() {
        claim.meant_for.clear();
        claim.spec.promise = claim.spec.requests.clone();
        if claim.progress.launched.is_none() {
            claim.machine = None;
        }
    }
}

/// Two bursts of ten with 3 s between them, a DaemonSet, and machines that take 5 s to boot; a turn each 100 ms. Of the turn `last` only so many actions as
/// `lands` come to anything, and then another takes over. Returns the CPUs of the machines that were bought.
fn two_bursts(last: usize, lands: usize) -> Vec<i64> {
    let mut scene = Scene::with(kwok_types().into_iter().filter(|kind| kind.name.ends_with("amd64-linux")).collect());
    scene.add_daemon_set("agent", shape(100, 128));
    let (mut bought, mut boots) = (Vec::new(), BTreeMap::new());
    for turn in 0..110 {
        match turn {
            0 => drop(scene.want("orders", 10, shape(1000, 2048))),
            30 => drop(scene.want("mails", 10, shape(1000, 2048))),
            _ => {}
        }
        let mut plan = scene.decide();
        if turn == last {
            plan.actions.truncate(lands);
        }
        scene.carry_out(&plan);
        if turn == last {
            succeed(&mut scene);
        }
        bought.extend(cpus(&scene, &plan));
        for (name, _) in scene.cluster.claims.iter().filter(|(_, claim)| claim.progress.launched.is_some()) {
            boots.entry(name.clone()).or_insert(turn + 50);
        }
        // A controller makes two pods in this time.
        for (key, want) in scene.wanted.clone() {
            let alive = scene.cluster.counts_of(&scene.cluster.workloads[&key]).alive;
            for number in alive..want.0.min(alive + 2) {
                let name = &key.key.name;
                scene.add_pod(&format!("{name}-{number}"), shape(1000, 2048), None, Some(name));
            }
        }
        if boots.values().any(|at| *at == turn) {
            scene.boot();
        }
        scene.schedule();
        scene.wait(Span::from_millis(100));
    }
    assert!(scene.cluster.waiting().is_empty(), "all pods run");
    bought
}

#[test]
fn whoever_takes_over_at_any_moment_buys_nothing_more() {
    let calm = two_bursts(usize::MAX, 0);
    assert_eq!(calm, [8, 4, 8, 4]);
    for (last, lands) in (0..100).flat_map(|last| [(last, 0), (last, 1), (last, usize::MAX)]) {
        let mut killed = two_bursts(last, lands);
        killed.sort_unstable();
        assert_eq!(killed, [4, 4, 8, 8], "taken over after turn {last}, of which {lands} actions have come to something");
    }
}

#[test]
fn a_burst_of_which_the_first_plan_sees_a_part_may_need_a_machine_more() {
    let bought = |first: u32| {
        let mut scene = Scene::kwok();
        scene.add_daemon_set("agent", shape(100, 128));
        scene.want("orders", first, shape(1000, 2048));
        let plan = scene.turn();
        scene.want("orders", 10, shape(1000, 2048));
        (cpus(&scene, &plan), cpus(&scene, &scene.clone().decide()))
    };
    assert_eq!(bought(10), (vec![8, 4], vec![]), "all at once");
    assert_eq!(bought(5), (vec![8], vec![4]), "in steps that fill their machines");
    // The cheapest for each step, and dearer than for both together: what was bought is bought.
    assert_eq!(bought(1), (vec![2], vec![8, 4]));
    assert_eq!(bought(4), (vec![4, 2], vec![8]));
    assert_eq!(bought(8), (vec![8, 2], vec![4]));
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
