//! A claim's way, step by step, and the ways in which it ends early.

use super::super::NODE_POOL;
use super::super::claim::ClaimSpec;
use super::super::offer::CapacityType;
use super::super::requirement::Operator;
use super::super::scene::{Scene, created, print, shape, taint, wish};
use super::super::taint::Taint;
use super::*;
use crate::plan::Plan;

/// One pod that waits, and the claim that was created for it.
fn claimed() -> (Scene, Name, ClaimSpec) {
    let mut scene = Scene::kwok();
    scene.add_pod("p", shape(1000, 1024), None, None);
    let plan = scene.turn();
    let (name, spec) = created(&plan).pop().expect("a claim for the pod");
    (scene, name, spec)
}

fn only(plan: &Plan) -> &Action {
    assert_eq!(plan.actions.len(), 1, "{}", print(plan));
    &plan.actions[0]
}

#[test]
fn each_step_is_one_action_and_waits_for_what_it_needs() {
    let (mut scene, name, _) = claimed();
    scene.pool_mut().startup_taints = vec![taint("starting")];
    scene.change_claim(&name, |claim| claim.spec.startup_taints = vec![taint("starting")]);
    assert!(matches!(only(&scene.turn()), Action::Launch { claim, .. } if *claim == name));
    assert!(matches!(only(&scene.turn()), Action::RecordLaunch { claim, .. } if *claim == name));
    assert_eq!(print(&scene.turn()), "", "the node has not appeared");
    scene.boot();
    assert!(matches!(only(&scene.turn()), Action::Register { claim, .. } if *claim == name));
    assert!(matches!(only(&scene.turn()), Action::RecordRegistration { claim, .. } if *claim == name));
    assert_eq!(print(&scene.turn()), "", "the startup taint is still there");
    let node = scene.cluster.nodes.keys().next().expect("a node").clone();
    scene.change_node(&node, |node| (node.taints, node.ready) = (Vec::new(), false));
    assert_eq!(print(&scene.turn()), "", "the kubelet is not ready");
    scene.change_node(&node, |node| node.ready = true);
    assert!(matches!(only(&scene.turn()), Action::Initialize { claim, .. } if *claim == name));
    assert!(matches!(only(&scene.turn()), Action::RecordInitialization { claim } if *claim == name));
    assert_eq!(print(&scene.turn()), "");
}

#[test]
fn a_node_that_starts_is_not_bought_again() {
    let (mut scene, _, _) = claimed();
    for _ in 0..9 {
        assert!(created(&scene.turn()).is_empty());
        scene.boot();
    }
}

#[test]
fn extended_resources_have_to_be_there_before_a_node_is_ready_for_pods() {
    let (mut scene, name, _) = claimed();
    scene.change_claim(&name, |claim| claim.spec.requests.set("nvidia.com/gpu", 1));
    let machine = |scene: &mut Scene| scene.change_claim(&name, |claim| claim.spec.requests.set("nvidia.com/gpu", 0));
    machine(&mut scene);
    scene.turn();
    scene.turn();
    scene.boot();
    scene.turn();
    scene.turn();
    scene.change_claim(&name, |claim| claim.spec.requests.set("nvidia.com/gpu", 1));
    assert_eq!(print(&scene.turn()), "");
    let node = scene.cluster.nodes.keys().next().expect("a node").clone();
    scene.change_node(&node, |node| node.allocatable.set("nvidia.com/gpu", 1));
    assert!(matches!(only(&scene.turn()), Action::Initialize { .. }));
}

/// The offerings with which the plan launches.
fn launched_with(plan: &Plan) -> Vec<OfferingKey> {
    match only(plan) {
        Action::Launch { offerings, .. } => offerings.clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn offerings_come_cheapest_first_and_refused_ones_are_left_out_the_next_time() {
    let (mut scene, name, _) = claimed();
    let first = launched_with(&scene.decide());
    assert_eq!(first[0].to_string(), "spot c-2x-amd64-linux in a");
    assert!(first.iter().any(|key| key.capacity_type == CapacityType::OnDemand));
    let until = scene.now.checked_add(Span::from_mins(3)).expect("a moment near 1970");
    for key in &first[..4] {
        scene.memory.stock.mark(key.clone(), until);
    }
    assert_eq!(launched_with(&scene.decide()), first[4..], "the same claim, its next alternatives");
    assert_eq!(scene.cluster.claims.keys().collect::<Vec<_>>(), [&name]);
    scene.wait(Span::from_mins(3));
    assert_eq!(launched_with(&scene.decide()), first, "what was out of stock is asked for again");
}

#[test]
fn a_claim_whose_offerings_are_all_out_of_stock_is_deleted_and_its_pods_planned_anew() {
    let (mut scene, name, spec) = claimed();
    scene.refused = launched_with(&scene.decide()).into_iter().collect();
    scene.turn();
    let plan = scene.turn();
    assert!(matches!(only(&plan), Action::DeleteClaim { claim, reason: Why::OutOfStock, .. } if *claim == name), "{}", print(&plan));
    let again = created(&scene.turn());
    assert_eq!(again.len(), 1);
    assert!(again[0].1.types.iter().all(|kind| !spec.types.contains(kind)), "other types than those that are out of stock");
}

#[test]
fn while_no_cloud_has_said_what_it_sells_nothing_is_given_up() {
    let (mut scene, _, _) = claimed();
    let offers = std::mem::take(&mut scene.offers);
    assert_eq!(print(&scene.decide()), "");
    scene.offers = offers;
    assert!(matches!(only(&scene.decide()), Action::Launch { .. }));
}

#[test]
fn time_limits_are_karpenters() {
    let (mut scene, name, _) = claimed();
    scene.wait(Span::from_secs(299));
    let plan = scene.decide();
    assert!(matches!(only(&plan), Action::Launch { .. }));
    assert_eq!(plan.look_again, scene.now.checked_add(Span::from_secs(1)).ok());
    let mut late = scene.clone();
    late.wait(Span::from_secs(1));
    assert!(matches!(only(&late.decide()), Action::DeleteClaim { reason: Why::NotLaunched, .. }));

    scene.turn();
    scene.turn();
    scene.wait(Span::from_secs(15 * 60 - 1));
    assert_eq!(print(&scene.decide()), "");
    scene.wait(Span::from_secs(1));
    assert!(matches!(only(&scene.decide()), Action::DeleteClaim { claim, reason: Why::NotRegistered, .. } if *claim == name));
}

#[test]
fn old_age_a_deleted_node_and_a_lost_machine_end_a_claim_at_once() {
    let ready = || {
        let mut scene = Scene::kwok();
        scene.add_node("n", "c-2x-amd64-linux");
        scene.add_pod("p", shape(1000, 1024), Some("n"), None);
        assert_eq!(print(&scene.decide()), "");
        scene
    };
    let reason = |scene: &mut Scene| match only(&scene.decide()) {
        Action::DeleteClaim { reason, .. } => *reason,
        other => panic!("{other}"),
    };
    let mut scene = ready();
    scene.change_claim("claim-n", |claim| claim.spec.expire_after = Some(Span::from_hours(1)));
    assert_eq!(scene.decide().look_again, scene.now.checked_add(Span::from_hours(1)).ok());
    scene.wait(Span::from_hours(1));
    assert_eq!(reason(&mut scene), Why::Expired);
    let mut scene = ready();
    scene.change_node("n", |node| node.deleting = true);
    assert_eq!(reason(&mut scene), Why::NodeDeleted);
    let mut scene = ready();
    scene.change_claim("claim-n", |claim| claim.ended = true);
    assert_eq!(reason(&mut scene), Why::MachineEnded);
}

#[test]
fn a_node_that_lost_its_label_is_registered_again() {
    let mut scene = Scene::kwok();
    scene.add_node("n", "c-2x-amd64-linux");
    scene.wait(Span::from_hours(1));
    scene.decide();
    scene.wait(Span::from_hours(1));
    // It is empty too, and due to go: one claim, one step a turn.
    scene.change_node("n", |node| node.finalized = false);
    assert!(matches!(only(&scene.decide()), Action::Register { .. }));
    assert_eq!(UNREGISTERED, Taint { ..taint(UNREGISTERED) }.key.as_str());
}

#[test]
fn a_claim_whose_registered_node_is_gone_holds_no_pods() {
    let mut scene = Scene::kwok();
    scene.add_node("n", "c-2x-amd64-linux");
    scene.cluster.delete_node("n", None);
    scene.add_pod("p", shape(1000, 1024), None, None);
    assert_eq!(created(&scene.decide()).len(), 1);
}

#[test]
fn a_nodes_labels_are_those_of_its_machine_and_one_of_each_of_its_pools() {
    let (mut scene, name, _) = claimed();
    let teams = wish("team", Operator::In, &["red", "blue"]);
    scene.change_claim(&name, |claim| claim.spec.wishes = claim.spec.wishes.and(&teams));
    let labels = scene.cluster.claims[&name].labels();
    assert!(!labels.contains_key("team") && !labels.contains_key(ZONE), "not settled before the machine is known");
    scene.turn();
    scene.change_claim(&name, |claim| claim.machine.as_mut().expect("it was bought").labels.clear());
    let labels = scene.cluster.claims[&name].labels();
    let expected = [("team", "blue"), (ZONE, "a"), (CAPACITY_TYPE, "spot"), (INSTANCE_TYPE, "c-2x-amd64-linux"), (NODE_POOL, "default")];
    for (key, value) in expected {
        assert_eq!(labels.get(key).map(Name::as_str), Some(value), "{key}");
    }
}

#[test]
fn a_claim_that_contradicts_its_own_labels_is_not_launched_and_one_that_leaves_a_label_open_gets_one() {
    for (operator, values, launches) in [
        (Operator::In, &["default"][..], true),
        (Operator::In, &["b", "default"], true),
        (Operator::In, &["b"], false),
        (Operator::In, &[], false),
        (Operator::DoesNotExist, &[], false),
    ] {
        let (mut scene, name, _) = claimed();
        scene.change_claim(&name, |claim| claim.spec.wishes = claim.spec.wishes.and(&wish(NODE_POOL, operator, values)));
        let plan = scene.turn();
        let launched = matches!(only(&plan), Action::Launch { .. });
        assert_eq!(launched, launches, "{operator:?} {values:?}: {}", print(&plan));
        let given_up = matches!(only(&plan), Action::DeleteClaim { reason: Why::NothingSold, .. });
        assert_eq!(given_up, !launches, "{operator:?} {values:?}: {}", print(&plan));
    }
    let (mut scene, name, _) = claimed();
    scene.change_claim(&name, |claim| claim.spec.wishes = claim.spec.wishes.and(&wish("team", Operator::Exists, &[])));
    assert!(matches!(only(&scene.turn()), Action::Launch { .. }));
    scene.turn();
    assert_eq!(scene.cluster.claims[&name].labels().get("team").map(Name::as_str), Some("1"));
}
