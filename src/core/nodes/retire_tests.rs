//! Nodes on their way out: when they may go, how many at a time, and step by step to the end.

use super::super::pool::{Budget, BudgetNodes};
use super::super::scene::{Scene, created, print, shape, tolerates};
use super::super::shape::Shape;
use super::*;
use crate::Span;

/// Empty nodes that were ready for pods since the scene began.
fn empty(names: &[&str]) -> Scene {
    let mut scene = Scene::kwok();
    for name in names {
        scene.add_node(name, "c-2x-amd64-linux");
    }
    scene.decide();
    scene
}

fn seconds(scene: &mut Scene, seconds: i64) {
    scene.wait(Span::from_secs(seconds));
}

fn tainted(scene: &Scene) -> Vec<&str> {
    scene.cluster.nodes.iter().filter(|(_, node)| is_tainted(node)).map(|(name, _)| name.as_str()).collect()
}

const CORDON_A: &str = "keep new pods off a: no pod that does work is left on it\n";
const DELETE_A: &str = "delete claim-a: no pod that does work is left on it\n";

#[test]
fn an_empty_node_is_cordoned_left_to_settle_inspected_and_deleted() {
    let mut scene = empty(&["a"]);
    seconds(&mut scene, 29);
    let plan = scene.turn();
    assert_eq!(print(&plan), "");
    assert_eq!(plan.look_again, scene.now.checked_add(Span::from_secs(1)).ok());
    seconds(&mut scene, 1);
    assert_eq!(print(&scene.turn()), CORDON_A);
    let plan = scene.turn();
    assert_eq!((print(&plan), plan.look_again), (String::new(), scene.now.checked_add(SETTLE).ok()));
    seconds(&mut scene, 1);
    assert_eq!(print(&scene.turn()), "look which pods are on a\n");
    assert_eq!(print(&scene.turn()), DELETE_A);
}

#[test]
fn the_time_to_settle_begins_with_the_taint_and_not_with_the_wish_for_it() {
    let mut scene = empty(&["a"]);
    seconds(&mut scene, 30);
    let cordon = scene.decide();
    seconds(&mut scene, 5);
    scene.carry_out(&cordon);
    assert_eq!(print(&scene.turn()), "", "the taint has only just landed");
    seconds(&mut scene, 1);
    assert_eq!(print(&scene.turn()), "look which pods are on a\n");
}

#[test]
fn a_look_from_before_the_node_had_settled_does_not_count() {
    let mut scene = empty(&["a"]);
    seconds(&mut scene, 30);
    scene.turn();
    scene.turn();
    scene.memory.inspected("a", scene.now);
    seconds(&mut scene, 1);
    assert_eq!(print(&scene.turn()), "look which pods are on a\n");
}

#[test]
fn a_pod_that_shows_up_in_between_brings_the_node_back() {
    for bound in [Some("a"), None] {
        let mut scene = empty(&["a"]);
        seconds(&mut scene, 30);
        scene.turn();
        scene.turn();
        seconds(&mut scene, 1);
        scene.turn();
        scene.add_pod("late", shape(500, 500), bound, None);
        let plan = scene.turn();
        assert_eq!(print(&plan), "let pods onto a again\n", "bound to {bound:?}");
        assert!(created(&plan).is_empty(), "the node that is there is cheaper than a new one");
        assert_eq!(print(&scene.turn()), "");
    }
}

#[test]
fn budgets_let_a_tenth_go_at_a_time_and_at_least_one() {
    let mut scene = empty(&["a", "b"]);
    seconds(&mut scene, 60);
    let mut out = Vec::new();
    for _ in 0..20 {
        scene.turn();
        seconds(&mut scene, 1);
        let leaving = scene.cluster.claims.values().filter(|claim| claim.deleting_since.is_some() && !claim.ended).count();
        let leaving = leaving.max(tainted(&scene).len());
        out.push(leaving);
    }
    assert!(out.iter().all(|out| *out <= 1), "{out:?}");
    assert!(scene.cluster.nodes.is_empty() && scene.cluster.claims.is_empty(), "both are gone in the end");
}

#[test]
fn a_budget_that_closes_brings_nodes_back() {
    let mut scene = empty(&["a"]);
    seconds(&mut scene, 30);
    scene.turn();
    scene.pool_mut().disruption.budgets = vec![Budget { nodes: BudgetNodes::Count(0), reasons: None, window: None }];
    assert_eq!(print(&scene.turn()), "let pods onto a again\n");
    assert_eq!(print(&scene.turn()), "");
}

#[test]
fn what_keeps_a_node() {
    type Keep = fn(&mut Scene);
    let keep: [(&str, Keep); 5] = [
        ("work", |scene| _ = scene.add_pod("p", shape(1, 1), Some("a"), None)),
        ("do-not-disrupt", |scene| scene.change_node("a", |node| node.do_not_disrupt = true)),
        ("consolidateAfter: Never", |scene| scene.pool_mut().disruption.consolidate_after = None),
        ("a budget of none", |scene| {
            scene.pool_mut().disruption.budgets = vec![Budget { nodes: BudgetNodes::Count(0), reasons: None, window: None }];
        }),
        ("a pool that is gone", |scene| scene.cluster.pools.clear()),
    ];
    for (why, keep) in keep {
        let mut scene = empty(&["a"]);
        keep(&mut scene);
        seconds(&mut scene, 3600);
        assert_eq!(print(&scene.turn()), "", "{why}");
    }
}

/// A DaemonSet's pod on a node.
fn add_daemon_pod(scene: &mut Scene, name: &str, node: &str, shape: Shape) -> Key {
    let shape = scene.cluster.shapes.intern(shape);
    let pod = scene.pod_of(shape, PodRole::Daemon, Some(node), None);
    let key = Key::new("system", name);
    scene.cluster.apply_pod(scene.now, key.clone(), pod);
    key
}

#[test]
fn daemon_sets_pods_do_not_keep_a_node_and_ended_ones_neither() {
    let mut scene = empty(&["a"]);
    add_daemon_pod(&mut scene, "d", "a", shape(1, 1));
    let done = scene.add_pod("done", shape(1, 1), Some("a"), None);
    seconds(&mut scene, 10);
    scene.change_pod(&done, |pod| pod.phase = super::super::cluster::PodPhase::Ended);
    scene.decide();
    seconds(&mut scene, 29);
    assert_eq!(print(&scene.turn()), "", "quiet since its last pod of work has ended");
    seconds(&mut scene, 1);
    assert_eq!(print(&scene.turn()), CORDON_A);
}

#[test]
fn a_restart_never_takes_a_node_away_earlier() {
    let mut scene = empty(&["a"]);
    let pod = scene.add_pod("p", shape(1, 1), Some("a"), None);
    seconds(&mut scene, 3600);
    scene.cluster.delete_pod(scene.now, &pod, None);
    scene.decide();
    seconds(&mut scene, 5);
    // The index is rebuilt from objects: nothing in them tells when the last pod went.
    let mut restarted = Scene::kwok();
    restarted.now = scene.now;
    for (name, node) in &scene.cluster.nodes {
        restarted.cluster.apply_node(name.clone(), node.clone());
    }
    for (name, claim) in &scene.cluster.claims {
        restarted.cluster.apply_claim(name.clone(), claim.clone());
    }
    for _ in 0..29 {
        assert_eq!(print(&restarted.turn()), "");
        seconds(&mut restarted, 1);
    }
    seconds(&mut restarted, 1);
    assert_eq!(print(&restarted.turn()), CORDON_A);
}

#[test]
fn taints_from_before_a_restart_count_against_the_budget_and_go() {
    let mut scene = empty(&["a", "b"]);
    scene.pool_mut().disruption.consolidate_after = Some(Span::ZERO);
    scene.turn();
    assert_eq!(tainted(&scene), ["a"]);
    scene.change_node("a", |node| node.taints.clear());
    scene.change_node("b", |node| node.taints.push(super::super::scene::taint(DISRUPTED)));
    scene.memory = Memory::default();
    scene.turn();
    assert_eq!(tainted(&scene), ["b"], "one at a time, and the one that is on its way first");
}

#[test]
fn a_claim_is_dismantled_in_order() {
    let mut scene = empty(&["a"]);
    let stays = Shape { tolerations: vec![tolerates(DISRUPTED)], ..shape(2, 2) };
    scene.add_pod("work", shape(1, 1), Some("a"), None);
    add_daemon_pod(&mut scene, "daemon", "a", shape(1, 1));
    add_daemon_pod(&mut scene, "stays", "a", stays);
    let now = scene.now;
    scene.change_claim("claim-a", |claim| claim.deleting_since = Some(now));
    let steps: Vec<String> = (0..6).map(|_| print(&scene.turn())).collect();
    let cordon = "keep new pods off a: its NodeClaim is being deleted\n";
    let expected =
        [cordon, "evict work/work\n", "evict system/daemon\n", "end the machine of claim-a\n", "remove node a\n", "release claim-a\n"];
    assert_eq!(steps, expected);
    assert_eq!(print(&scene.turn()), "");
}

#[test]
fn a_pod_that_is_leaving_is_waited_for_until_the_grace_period_ends() {
    let mut scene = empty(&["a"]);
    let pod = scene.add_pod("work", shape(1, 1), Some("a"), None);
    let now = scene.now;
    scene.change_claim("claim-a", |claim| {
        claim.deleting_since = Some(now);
        claim.spec.termination_grace_period = Some(Span::from_secs(60));
    });
    scene.turn();
    scene.change_pod(&pod, |pod| pod.deleting = true);
    let plan = scene.turn();
    assert_eq!((print(&plan), plan.look_again), (String::new(), now.checked_add(Span::from_secs(60)).ok()));
    seconds(&mut scene, 60);
    assert_eq!(print(&scene.turn()), "end the machine of claim-a\n");
}
