//! Each rule finds the plan that breaks it, names the actions, and leaves sound plans alone.

use super::*;
use crate::Span;
use crate::nodes::pool::{Budget, BudgetNodes, DisruptionReason};
use crate::nodes::scene::{Scene, pool, shape, taint, wishes};
use crate::nodes::shape::Shape;
use crate::nodes::workload::WorkloadKey;
use crate::plan::{Placement, Why};
use crate::units::MicroDollarsPerHour;

const EMPTY: Why = Why::Disruption(DisruptionReason::Empty);

fn breaches(scene: &Scene, plan: &Plan) -> Vec<Breach> {
    check(scene.now, &scene.cluster, &scene.wanted, &scene.offers, plan)
}

fn kinds(scene: &Scene, plan: &Plan) -> Vec<String> {
    breaches(scene, plan).iter().map(ToString::to_string).collect()
}

/// A sound plan: one claim for three pods.
fn sound() -> (Scene, Plan) {
    let mut scene = Scene::kwok();
    scene.add_daemon_set("agent", shape(200, 100));
    scene.want("w", 3, shape(1000, 1024));
    let plan = scene.decide();
    assert_eq!(plan.actions.len(), 1);
    (scene, plan)
}

/// The one claim of a plan.
fn spec(plan: &mut Plan) -> &mut crate::nodes::claim::ClaimSpec {
    match plan.actions.first_mut() {
        Some(Action::CreateClaim { spec, .. }) => spec,
        other => panic!("no claim but {other:?}"),
    }
}

type Tamper = fn(&mut Scene, &mut Plan);

#[test]
fn claims_that_do_not_do_are_found() {
    let cases: [(&str, Tamper); 13] = [
        ("more than one action is about", |_, plan| plan.actions.push(plan.actions[0].clone())),
        ("which does not exist", |scene, _| scene.cluster.pools.clear()),
        ("which cannot be used: gone", |scene, _| scene.pool_mut().unusable = Some("gone".to_owned())),
        ("contradicts its pool default in its taints", |scene, _| scene.pool_mut().taints.push(taint("special"))),
        ("contradicts its pool default in team", |scene, _| {
            scene.pool_mut().wishes = scene.pool_mut().wishes.and(&wishes(&[("team", "red")]));
        }),
        ("lists no type", |_, plan| spec(plan).types.clear()),
        ("lists z-1x, which is not sold", |_, plan| spec(plan).types.push("z-1x".into())),
        ("has too little cpu for its pods", |_, plan| plan.placements[0].count += 1000),
        ("has too little cpu for its pods", |scene, _| scene.add_daemon_set("huge", shape(4000, 1))),
        ("and team keeps its pods off", |scene, plan| {
            let shape = Shape { wishes: vec![wishes(&[("team", "red")])], ..shape(1, 1) };
            plan.placements[0].shape = scene.cluster.shapes.intern(shape);
        }),
        ("its limit is 3999", |scene, _| _ = scene.pool_mut().limits.resources.insert("cpu".into(), 3999)),
        ("of nodes, and its limit is 0", |scene, _| scene.pool_mut().limits.nodes = Some(0)),
        ("is not sold as it asks", |_, plan| spec(plan).wishes = spec(plan).wishes.and(&wishes(&[(crate::nodes::ZONE, "nowhere")]))),
    ];
    for (expected, tamper) in cases {
        let (mut scene, mut plan) = sound();
        tamper(&mut scene, &mut plan);
        let found = kinds(&scene, &plan);
        assert!(found.iter().any(|text| text.contains(expected)), "`{expected}` is not in {found:?}");
        assert!(breaches(&scene, &plan).iter().all(|breach| breach.actions.contains(&0)), "each names the claim's action");
    }
}

#[test]
fn limits_count_the_largest_machine_that_may_come() {
    let (mut scene, plan) = sound();
    assert_eq!(kinds(&scene, &plan), [] as [&str; 0]);
    // The first type has 4 CPUs, and others that hold the pods have more.
    scene.pool_mut().limits.resources.insert("cpu".into(), 4_000);
    assert_eq!(kinds(&scene, &plan).len(), 1);
    let planned_within = scene.decide();
    assert_eq!(kinds(&scene, &planned_within), [] as [&str; 0]);
}

#[test]
fn launches_that_contradict_their_claim_are_found() {
    let launch = || {
        let (mut scene, plan) = sound();
        scene.carry_out(&plan);
        let plan = scene.decide();
        assert!(matches!(plan.actions[..], [Action::Launch { .. }]));
        (scene, plan)
    };
    let first = |plan: &mut Plan, change: fn(&mut crate::nodes::offer::OfferingKey)| match &mut plan.actions[0] {
        Action::Launch { offerings, .. } => change(&mut offerings[0]),
        other => panic!("{other}"),
    };
    let (scene, mut plan) = launch();
    first(&mut plan, |key| key.zone = "nowhere".into());
    assert!(kinds(&scene, &plan)[0].contains("is not sold"));
    first(&mut plan, |key| (key.zone, key.instance_type) = ("a".into(), "c-1x-amd64-linux".into()));
    assert!(kinds(&scene, &plan)[0].contains("contradicts its wishes"));
    let (mut scene, plan) = launch();
    let claim = scene.cluster.claims.keys().next().expect("a claim").clone();
    scene.change_claim(&claim, |claim| claim.spec.wishes = claim.spec.wishes.and(&wishes(&[(crate::nodes::CAPACITY_TYPE, "on-demand")])));
    assert!(kinds(&scene, &plan).iter().any(|text| text.contains("contradicts its wishes")));
    scene.cluster.delete_claim(&claim, None);
    assert!(kinds(&scene, &plan)[0].contains("cannot be launched"));
}

/// Two empty nodes, of which one may go at a time.
fn two() -> Scene {
    let mut scene = Scene::kwok();
    scene.add_node("a", "c-4x-amd64-linux");
    scene.add_node("b", "c-4x-amd64-linux");
    scene
}

fn cordon(node: &str) -> Action {
    Action::Cordon { node: node.into(), reason: EMPTY }
}

fn plan_of(actions: Vec<Action>) -> Plan {
    Plan { actions, ..Plan::default() }
}

#[test]
fn nodes_that_must_not_go_are_found() {
    let delete = || Action::DeleteClaim { claim: "claim-a".into(), uid: "uid-a".into(), reason: EMPTY };
    let mut scene = two();
    assert_eq!(kinds(&scene, &plan_of(vec![cordon("a")])), [] as [&str; 0]);
    let budget = "2 nodes of pool default would be on their way out, and its budgets allow 1 (actions 0, 1)";
    assert_eq!(kinds(&scene, &plan_of(vec![cordon("a"), cordon("b")])), [budget]);
    assert_eq!(kinds(&scene, &plan_of(vec![delete()])), ["node a is to go while new pods may still come to it (action 0)"]);
    scene.change_node("a", |node| node.taints.push(taint(DISRUPTED)));
    assert_eq!(kinds(&scene, &plan_of(vec![delete()])), [] as [&str; 0]);
    assert_eq!(kinds(&scene, &plan_of(vec![cordon("b")])).len(), 1, "the other is on its way already");
    assert_eq!(kinds(&scene, &plan_of(vec![Action::Uncordon { node: "a".into() }, cordon("b")])), [] as [&str; 0]);

    let mut busy = scene.clone();
    busy.add_pod("p", shape(1, 1), Some("a"), None);
    assert_eq!(kinds(&busy, &plan_of(vec![delete()])), ["node a is to go for being empty and has 1 pods that do work (action 0)"]);
    let mut protected = scene.clone();
    protected.change_node("a", |node| node.do_not_disrupt = true);
    assert_eq!(kinds(&protected, &plan_of(vec![delete()])), ["node a is to go and may not be disrupted (action 0)"]);
    let mut none = scene.clone();
    none.pool_mut().disruption.budgets = vec![Budget { nodes: BudgetNodes::Count(0), reasons: None, window: None }];
    assert_eq!(kinds(&none, &plan_of(vec![delete()])).len(), 1);
    let now = scene.now;
    scene.change_claim("claim-a", |claim| claim.deleting_since = Some(now));
    assert_eq!(kinds(&scene, &plan_of(vec![cordon("a")])), [] as [&str; 0], "that it goes is no choice any more");
}

#[test]
fn a_node_that_is_needed_does_not_go() {
    let mut scene = two();
    let shape = scene.cluster.shapes.intern(shape(1, 1));
    let plan = Plan { placements: vec![Placement { on: "a".into(), shape, count: 1 }], ..plan_of(vec![cordon("a")]) };
    assert_eq!(kinds(&scene, &plan), ["node a is to go while waiting pods are meant for it (action 0)"]);
}

#[test]
fn placements_without_room_are_found() {
    let mut scene = two();
    scene.add_daemon_set("agent", shape(400, 100));
    scene.add_pod("p", shape(1000, 100), Some("a"), None);
    let cpu = |scene: &mut Scene, on: &str, count| {
        let shape = scene.cluster.shapes.intern(shape(500, 100));
        kinds(scene, &Plan { placements: vec![Placement { on: on.into(), shape, count }], ..Plan::default() })
    };
    assert_eq!(cpu(&mut scene, "a", 5), [] as [&str; 0], "3.9 CPUs less 1.4");
    assert_eq!(cpu(&mut scene, "a", 6), ["pods are meant for a, which has too little cpu left"]);
    assert_eq!(cpu(&mut scene, "nowhere", 1), ["pods are meant for nowhere, which takes no pods"]);
    scene.change_node("b", |node| node.taints.push(taint("special")));
    assert_eq!(cpu(&mut scene, "b", 1), ["pods are meant for b, and special keeps them away"]);
    scene.change_node("a", |node| node.deleting = true);
    assert_eq!(cpu(&mut scene, "a", 1), ["pods are meant for a, which takes no pods"]);
}

#[test]
fn a_still_world_has_nothing_to_do() {
    let mut scene = Scene::kwok();
    scene.add_node("a", "c-4x-amd64-linux");
    scene.add_pod("p", shape(1, 1), Some("a"), None);
    let act = plan_of(vec![Action::Inspect { node: "a".into() }]);
    assert_eq!(breaches(&scene, &Plan::default()), []);
    assert_eq!(breaches(&scene, &act), [Breach { what: Wrong::Restless, actions: vec![0] }]);
    let moving: [fn(&mut Scene); 5] = [
        |scene| _ = scene.add_pod("waits", shape(1, 1), None, None),
        |scene| _ = scene.want("w", 1, shape(1, 1)),
        |scene| scene.change_claim("claim-a", |claim| claim.progress.initialized = None),
        |scene| scene.change_node("a", |node| node.deleting = true),
        |scene| scene.cluster.delete_pod(scene.now, &crate::name::Key::new("work", "p"), None),
    ];
    for change in moving {
        let mut scene = scene.clone();
        change(&mut scene);
        assert_eq!(breaches(&scene, &act), []);
    }
    scene.wait(Span::from_hours(1));
    scene.add_pool(pool("another"));
    let write = Action::Scale {
        workload: WorkloadKey { kind: "Deployment".into(), key: crate::name::Key::new("work", "w") },
        version: 1,
        from: Replicas(0),
        to: Replicas(1),
        reasons: Vec::new(),
    };
    assert_eq!(breaches(&scene, &plan_of(vec![write])), [], "replicas are the workload layer's");
    assert_eq!(MicroDollarsPerHour(1).to_string(), "0.000001");
}
