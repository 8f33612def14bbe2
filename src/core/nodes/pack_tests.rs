//! What is bought for which pods: labels, taints, DaemonSets, limits, weights.

use std::sync::Arc;

use super::super::offer::Offers;
use super::super::pool::{Limits, Pool};
use super::super::purchase::MOST_TYPES;
use super::super::requirement::{Operator, Requirements};
use super::super::scene::{Scene, class, created, kwok_types, pool, shape, taint, tolerates, wish, wishes};
use super::super::shape::{Beyond, Shape};
use super::super::{CAPACITY_TYPE, INSTANCE_TYPE, NODE_POOL, ZONE};
use crate::plan::Plan;
use crate::reason::NoNode;

/// Pool and first type of each claim that is created.
fn bought(plan: &Plan) -> Vec<(String, String)> {
    created(plan).iter().map(|(_, spec)| (spec.pool.to_string(), spec.types[0].to_string())).collect()
}

fn one(plan: &Plan) -> (String, String) {
    let all = bought(plan);
    assert_eq!(all.len(), 1, "{all:?} {:?}", plan.unplaced);
    all[0].clone()
}

/// The plan for some pods of this shape that wait, and nothing else.
fn plan_for(scene: &mut Scene, count: u32, shape: Shape) -> Plan {
    scene.want("w", count, shape);
    scene.decide()
}

fn reasons(plan: &Plan) -> Vec<String> {
    plan.unplaced.iter().flat_map(|unplaced| &unplaced.reasons).map(ToString::to_string).collect()
}

#[test]
fn pods_get_machines_with_the_labels_that_they_ask_for() {
    let cases: [(Requirements, &str); 7] = [
        (wishes(&[("kubernetes.io/arch", "arm64")]), "c-2x-arm64-linux"),
        (wishes(&[("kubernetes.io/os", "windows")]), "c-2x-amd64-windows"),
        (wishes(&[(INSTANCE_TYPE, "m-8x-arm64-linux")]), "m-8x-arm64-linux"),
        (wishes(&[("karpenter.kwok.sh/instance-family", "s")]), "s-2x-amd64-linux"),
        (wish("kubernetes.io/arch", Operator::NotIn, &["amd64"]), "c-2x-arm64-linux"),
        (wish("team", Operator::DoesNotExist, &[]), "c-2x-amd64-linux"),
        (wish(ZONE, Operator::Exists, &[]), "c-2x-amd64-linux"),
    ];
    for (asked, expected) in cases {
        let plan = plan_for(&mut Scene::kwok(), 1, Shape { wishes: vec![asked.clone()], ..shape(1000, 1024) });
        assert_eq!(one(&plan).1, expected, "{asked}");
    }
    let plan =
        plan_for(&mut Scene::kwok(), 1, Shape { wishes: vec![wishes(&[(CAPACITY_TYPE, "on-demand"), (ZONE, "c")])], ..shape(1000, 1024) });
    assert_eq!(created(&plan)[0].1.price.0, 54_295, "2 CPUs and 4 GiB at list price");
}

#[test]
fn what_no_pool_can_give_has_a_reason_and_no_node() {
    let impossible: [(Requirements, &str); 6] = [
        (wishes(&[("team", "red")]), "pool default is excluded by the label team"),
        (wishes(&[(NODE_POOL, "other")]), "pool default is excluded by the label karpenter.sh/nodepool"),
        (wishes(&[("kubernetes.io/hostname", "n")]), "pool default is excluded by the label kubernetes.io/hostname"),
        (wishes(&[(ZONE, "nowhere")]), "none of the 144 types of pool default has room for it"),
        (wishes(&[("karpenter.kwok.sh/instance-family", "z")]), "none of the 144 types of pool default has room for it"),
        (wish("kubernetes.io/arch", Operator::DoesNotExist, &[]), "none of the 144 types of pool default has room for it"),
    ];
    for (asked, expected) in impossible {
        let plan = plan_for(&mut Scene::kwok(), 3, Shape { wishes: vec![asked.clone()], ..shape(1000, 1024) });
        assert!(created(&plan).is_empty(), "{asked}");
        assert_eq!(reasons(&plan), [expected], "{asked}");
    }
    let plan = plan_for(&mut Scene::kwok(), 3, shape(257_000, 1024));
    assert_eq!(reasons(&plan), ["none of the 144 types of pool default has room for it"]);
    let mut scene = Scene::kwok();
    scene.cluster.pools.clear();
    assert_eq!(reasons(&plan_for(&mut scene, 1, shape(1, 1))), ["there is no NodePool"]);
    let mut scene = Scene::kwok();
    scene.pool_mut().unusable = Some("its NodeClass is not ready".to_owned());
    assert_eq!(reasons(&plan_for(&mut scene, 1, shape(1, 1))), ["pool default cannot be used: its NodeClass is not ready"]);
}

#[test]
fn constraints_that_are_not_planned_for_get_a_reason_rather_than_a_wrong_node() {
    use Beyond::ResourceClaim;
    let plan = plan_for(&mut Scene::kwok(), 2, Shape { beyond: [ResourceClaim].into(), ..shape(100, 100) });
    assert!(created(&plan).is_empty() && plan.placements.is_empty());
    assert_eq!(plan.unplaced[0].reasons, [NoNode::Beyond { what: ResourceClaim }]);
}

#[test]
fn taints_of_a_pool_ask_for_tolerations_and_startup_taints_do_not() {
    let mut scene = Scene::kwok();
    scene.pool_mut().taints = vec![taint("special")];
    scene.pool_mut().startup_taints = vec![taint("starting")];
    assert_eq!(reasons(&plan_for(&mut scene, 1, shape(100, 100))), ["pool default is excluded by its taint special"]);
    let plan = plan_for(&mut scene, 1, Shape { tolerations: vec![tolerates("special")], ..shape(100, 100) });
    assert_eq!(created(&plan)[0].1.taints, [taint("special")]);
    assert_eq!(created(&plan)[0].1.startup_taints, [taint("starting")]);
}

#[test]
fn terms_are_alternatives() {
    let either = vec![wishes(&[("team", "red")]), wishes(&[("kubernetes.io/arch", "arm64")])];
    let plan = plan_for(&mut Scene::kwok(), 1, Shape { wishes: either, ..shape(1000, 1024) });
    assert_eq!(one(&plan).1, "c-2x-arm64-linux");
}

#[test]
fn daemon_sets_take_their_share_only_where_they_run() {
    let agent = |rows: &[(&str, &str)]| Shape { wishes: vec![wishes(rows)], ..shape(1000, 100) };
    let cases: [(Vec<Shape>, &str); 5] = [
        (vec![], "c-2x-amd64-linux"),
        (vec![agent(&[("kubernetes.io/arch", "amd64")])], "c-2x-arm64-linux"),
        (vec![agent(&[])], "c-4x-amd64-linux"),
        (vec![agent(&[("karpenter.sh/initialized", "true")])], "c-4x-amd64-linux"),
        (vec![agent(&[("team", "red")])], "c-2x-amd64-linux"),
    ];
    for (daemons, expected) in cases {
        let mut scene = Scene::kwok();
        for (number, daemon) in daemons.iter().enumerate() {
            scene.add_daemon_set(&format!("d{number}"), daemon.clone());
        }
        let plan = plan_for(&mut scene, 1, shape(1000, 1024));
        assert_eq!(one(&plan).1, expected, "{daemons:?}");
    }
    let mut scene = Scene::kwok();
    scene.add_daemon_set("d", agent(&[]));
    assert_eq!(
        one(&plan_for(&mut scene, 1, shape(0, 0))).1,
        "c-2x-amd64-linux",
        "the machine is large enough for what the pod brings along"
    );
}

#[test]
fn daemon_sets_that_run_on_gpu_nodes_only_cost_nothing_elsewhere() {
    let mut types = kwok_types();
    for kind in types.iter_mut().filter(|kind| kind.name.starts_with("m-")) {
        kind.labels = kind.labels.and(&wishes(&[("gpu", "yes")]));
        kind.capacity.set("nvidia.com/gpu", 1);
        kind.allocatable.set("nvidia.com/gpu", 1);
    }
    let mut scene = Scene::with(types);
    scene.add_daemon_set("driver", Shape { wishes: vec![wishes(&[("gpu", "yes")])], ..shape(1000, 100) });
    assert_eq!(one(&plan_for(&mut scene, 1, shape(1000, 1024))).1, "c-2x-amd64-linux");
    let by_label = Shape { wishes: vec![wishes(&[("gpu", "yes")])], ..shape(1000, 1024) };
    assert_eq!(one(&plan_for(&mut scene, 1, by_label)).1, "m-4x-amd64-linux", "a label that only some types have");
    let mut wants_gpu = shape(1000, 1024);
    wants_gpu.requests.set("nvidia.com/gpu", 1);
    let plan = plan_for(&mut scene, 1, wants_gpu);
    assert_eq!(one(&plan).1, "m-4x-amd64-linux", "2 CPUs would not hold the driver and the pod");
    assert_eq!(created(&plan)[0].1.requests.cpu.0, 2000);
    scene.turn();
    assert!(created(&scene.turn()).is_empty());
}

#[test]
fn limits_are_filled_and_not_exceeded() {
    let limited = |nodes, cpu: Option<i64>, count| {
        let mut scene = Scene::kwok();
        scene.pool_mut().limits = Limits { nodes, resources: cpu.map(|cpu| ("cpu".into(), cpu)).into_iter().collect() };
        let plan = plan_for(&mut scene, count, shape(1000, 1024));
        let waiting: u32 = plan.unplaced.iter().map(|unplaced| unplaced.count).sum();
        (created(&plan).len(), waiting, reasons(&plan).first().cloned().unwrap_or_default(), scene)
    };
    let (claims, waiting, _, _) = limited(None, Some(1_000_000), 100);
    assert!(claims > 0 && waiting == 0);
    let (_, waiting, reason, scene) = limited(None, Some(48_000), 100);
    assert!((53..100).contains(&waiting), "some of the pods run: {waiting}");
    assert!(reason.starts_with("pool default has reached its limit of cpu: ") && reason.contains(" of 48 are used"), "{reason}");
    assert!(reason.contains("raise spec.limits.cpu of NodePool default to "), "{reason}");
    // The next turn counts what is on its way, and asks for no more.
    let mut scene = scene;
    scene.turn();
    assert!(created(&scene.decide()).is_empty());
    let (claims, waiting, reason, _) = limited(Some(1), None, 400);
    let nodes = "pool default has reached its limit of nodes: 1 of 1 are used, and the smallest machine that would do adds 1; \
        raise spec.limits.nodes of NodePool default to 2 or more, or free some of it";
    assert_eq!((claims, waiting > 0, reason.as_str()), (1, true, nodes));
    let (claims, waiting, _, _) = limited(Some(0), None, 5);
    assert_eq!((claims, waiting), (0, 5));
}

#[test]
fn heavier_pools_come_first_and_lighter_ones_take_what_is_left() {
    let mut scene = Scene::kwok();
    scene.add_pool(Pool { weight: 10, limits: Limits { nodes: None, resources: [("cpu".into(), 4_000)].into() }, ..pool("heavy") });
    let plan = plan_for(&mut scene, 10, shape(1000, 1024));
    let pools: Vec<String> = bought(&plan).into_iter().map(|(pool, _)| pool).collect();
    assert_eq!(pools.iter().filter(|pool| *pool == "heavy").count(), 1);
    assert!(pools.contains(&"default".to_owned()) && plan.unplaced.is_empty());
}

#[test]
fn pods_that_ask_for_a_pool_by_its_label_get_it() {
    let mut scene = Scene::kwok();
    scene.add_pool(pool("zebra"));
    let plan = plan_for(&mut scene, 1, Shape { wishes: vec![wishes(&[(NODE_POOL, "zebra")])], ..shape(1000, 1024) });
    assert_eq!(one(&plan).0, "zebra");
    // Also where the pool's own wishes do not tell its name.
    scene.add_pool(Pool { wishes: Requirements::default(), labels: std::collections::BTreeMap::new(), ..pool("apple") });
    let plan = plan_for(&mut scene, 1, Shape { wishes: vec![wishes(&[(NODE_POOL, "zebra")])], ..shape(1000, 1024) });
    assert_eq!(one(&plan).0, "zebra");
}

#[test]
fn each_claim_lists_alternatives_that_hold_its_pods_cheapest_first() {
    let plan = plan_for(&mut Scene::kwok(), 3, shape(1000, 1024));
    let (_, spec) = created(&plan).pop().expect("a claim");
    assert_eq!(spec.types.len(), MOST_TYPES);
    assert_eq!(spec.types[0].as_str(), "c-4x-amd64-linux");
    assert!(spec.types.iter().all(|name| !name.starts_with("c-1x") && !name.starts_with("c-2x")));
    assert_eq!((spec.requests.cpu.0, spec.requests.pods), (3000, 3));
    assert!(spec.requests.fits(&spec.promise), "at the least what its pods ask for");
}

#[test]
fn mixed_shapes_share_machines() {
    let mut scene = Scene::kwok();
    // One is all CPU and one all memory: together they fill a machine that each alone would half waste.
    scene.want("cpu", 8, shape(1900, 200));
    scene.want("memory", 8, shape(100, 7000));
    let cost = |plan: &Plan| created(plan).iter().map(|(_, spec)| spec.price.0).sum::<i64>();
    let together = cost(&scene.decide());
    let apart: i64 = [("cpu", shape(1900, 200)), ("memory", shape(100, 7000))]
        .into_iter()
        .map(|(_, shape)| cost(&plan_for(&mut Scene::kwok(), 8, shape)))
        .sum();
    assert!(together < apart, "{together} against {apart}");
}

#[test]
fn out_of_stock_is_told_with_the_time_at_which_it_ends() {
    let mut scene = Scene::with(kwok_types().into_iter().filter(|kind| kind.name == "c-2x-amd64-linux").collect());
    let until = scene.now.checked_add(crate::Span::from_mins(3)).expect("a moment near 1970");
    for kind in scene.offers.of(&class()).to_vec() {
        for offering in &kind.offerings {
            let (zone, capacity_type) = (offering.zone.clone(), offering.capacity_type);
            scene.memory.stock.mark(super::super::offer::OfferingKey { instance_type: kind.name.clone(), zone, capacity_type }, until);
        }
    }
    assert_eq!(
        reasons(&plan_for(&mut scene, 1, shape(1000, 1024))),
        ["1 type of pool default fits, all out of spot and on-demand stock in 4 zones until 1970-01-01T00:03:00Z"]
    );
    scene.offers = Offers([(class(), Arc::new(Vec::new()))].into());
    assert_eq!(
        reasons(&scene.decide()),
        ["no instance type is known that pool default may buy: its cloud has not said yet what it sells, or sells none"]
    );
}
