//! What pods mind about each other: each rule finds the plan that breaks it, names what it should, and leaves the plan beside it alone.

use super::*;
use crate::name::Key;
use crate::nodes::ZONE;
use crate::nodes::constraint::{HOSTNAME, HostPort, Spread, Term};
use crate::nodes::requirement::Operator;
use crate::nodes::scene::{Scene, shape, taint, tolerates, wish, wishes};
use crate::nodes::selector::{Part, PodSelector, SelectorId};
use crate::nodes::shape::{Shape, ShapeId};
use crate::nodes::storage::{Volume, VolumeClaim, VolumeUse};
use crate::plan::Placement;

const NOTHING: [&str; 0] = [];

/// Three nodes, `a` to `c`, each in the zone of its name, and the selector of `app: web`.
fn three() -> (Scene, SelectorId) {
    let mut scene = Scene::kwok();
    for name in ["a", "b", "c"] {
        scene.add_node(name, "c-16x-amd64-linux");
        scene.change_node(name, |node| _ = node.labels.insert(ZONE.into(), name.into()));
    }
    let web = app(&mut scene, "web");
    (scene, web)
}

fn app(scene: &mut Scene, name: &str) -> SelectorId {
    let part = Part { namespaces: ["work".into()].into(), namespace_labels: None, labels: Some(wishes(&[("app", name)])) };
    scene.cluster.shapes.select(PodSelector(vec![part]))
}

/// A pod of this `app`, that waits or runs on a node.
fn pod(scene: &mut Scene, name: &str, app: &str, shape: &Shape, node: Option<&str>) -> ShapeId {
    let key = scene.add_labelled_pod(name, &[("app", app)], shape.clone(), node, None);
    scene.cluster.pods[&key].shape
}

fn plan(rows: &[(&str, ShapeId, u32)]) -> Plan {
    let placements = rows.iter().map(|(on, shape, count)| Placement { on: (*on).into(), shape: *shape, count: *count });
    Plan { placements: placements.collect(), ..Plan::default() }
}

fn wrong(scene: &Scene, plan: &Plan) -> Vec<String> {
    check(scene.now, &scene.cluster, &scene.wanted, &scene.offers, plan).iter().map(ToString::to_string).collect()
}

fn found(scene: &Scene, rows: &[(&str, ShapeId, u32)]) -> Vec<String> {
    wrong(scene, &plan(rows))
}

fn small() -> Shape {
    shape(10, 10)
}

fn term(key: &str, selector: SelectorId) -> Term {
    Term { key: key.into(), selector }
}

fn spread(key: &str, selector: SelectorId, max_skew: u32) -> Spread {
    Spread { key: key.into(), selector, max_skew, min_domains: None, by_affinity: true, by_taints: false }
}

fn port(address: &str, protocol: &str) -> Shape {
    Shape { ports: vec![HostPort { address: address.into(), protocol: protocol.into(), port: 80 }], ..small() }
}

#[test]
fn a_host_port_is_had_once_on_a_node() {
    let (mut scene, _) = three();
    let all = pod(&mut scene, "all", "x", &port("", "TCP"), None);
    let local = pod(&mut scene, "local", "x", &port("127.0.0.1", "TCP"), None);
    let other = pod(&mut scene, "other", "x", &port("10.0.0.1", "TCP"), None);
    let datagrams = pod(&mut scene, "datagrams", "x", &port("", "UDP"), None);
    assert_eq!(found(&scene, &[("a", all, 1), ("b", all, 1), ("a", datagrams, 1), ("c", local, 1), ("c", other, 1)]), NOTHING);
    assert_eq!(found(&scene, &[("a", all, 2)]), ["pod work/all is meant for a, where its host port 80/TCP is taken"]);
    assert_eq!(
        found(&scene, &[("a", all, 1), ("a", local, 1)]),
        ["pod work/local is meant for a, where its host port 127.0.0.1:80/TCP is taken"]
    );
    pod(&mut scene, "runs", "x", &port("", "TCP"), Some("a"));
    assert_eq!(found(&scene, &[("a", datagrams, 1), ("b", all, 1)]), NOTHING);
    assert_eq!(found(&scene, &[("a", all, 1)]).len(), 1, "by one that runs");
    scene.add_daemon_set("agent", Shape { wishes: vec![wishes(&[(ZONE, "b")])], ..port("", "UDP") });
    assert_eq!(found(&scene, &[("a", datagrams, 1)]), NOTHING);
    assert_eq!(found(&scene, &[("b", datagrams, 1)]).len(), 1, "by one that a DaemonSet will have there");
}

#[test]
fn a_host_port_is_had_once_on_a_new_machine() {
    let mut scene = Scene::kwok();
    let all = pod(&mut scene, "all", "x", &port("", "TCP"), None);
    let mut plan = scene.decide();
    scene.add_daemon_set("agent", Shape { wishes: vec![wishes(&[(ZONE, "nowhere")])], ..port("", "TCP") });
    assert_eq!(wrong(&scene, &plan), NOTHING);
    let claim = plan.placements[0].on.clone();
    plan.placements.push(Placement { on: claim.clone(), shape: all, count: 1 });
    assert_eq!(wrong(&scene, &plan), [format!("pod work/all is meant for {claim}, where its host port 80/TCP is taken (action 0)")]);
    plan.placements.pop();
    scene.add_daemon_set("other", port("", "TCP"));
    assert_eq!(wrong(&scene, &plan).len(), 1);
}

/// A pod with volumes of a driver, each bound and to be had in one zone only.
fn with_volumes(scene: &mut Scene, names: &[&str], zone: &str) -> Shape {
    for name in names {
        let claim = VolumeClaim { class: None, volume: Some((*name).into()), bound: true, lost: false, deleting: false };
        scene.cluster.storage.claims.insert(Key::new("work", *name), claim);
        let volume = Volume { driver: "csi".into(), handle: (*name).into(), reach: vec![wishes(&[(ZONE, zone)])], deleting: false };
        scene.cluster.storage.volumes.insert((*name).into(), volume);
    }
    let volumes = names.iter().map(|name| VolumeUse { claim: Key::new("work", *name), ephemeral: None }).collect();
    Shape { volumes, ..small() }
}

#[test]
fn volumes_are_where_their_pods_go() {
    let (mut scene, _) = three();
    let shape = with_volumes(&mut scene, &["disk"], "b");
    let db = pod(&mut scene, "db", "x", &shape, None);
    assert_eq!(found(&scene, &[("b", db, 1)]), NOTHING);
    let elsewhere = format!("pod work/db is meant for a, where it cannot use its volumes: the label {ZONE} is another where they are");
    assert_eq!(found(&scene, &[("a", db, 1)]), [elsewhere]);
    scene.cluster.storage.claims.get_mut(&Key::new("work", "disk")).expect("it is there").lost = true;
    assert!(found(&scene, &[("b", db, 1)])[0].contains("its volume is gone"));

    let mut scene = Scene::kwok();
    let (here, there) = (with_volumes(&mut scene, &["here"], "b"), with_volumes(&mut scene, &["there"], "c"));
    pod(&mut scene, "here", "x", &here, None);
    let mut plan = scene.decide();
    assert_eq!(wrong(&scene, &plan), NOTHING);
    plan.placements[0].shape = pod(&mut scene, "there", "x", &there, None);
    let all = wrong(&scene, &plan);
    assert!(matches!(&all[..], [one] if one.contains("pod work/there is meant for") && one.ends_with("(action 0)")), "{all:?}");
}

#[test]
fn a_node_holds_so_many_volumes() {
    let (mut scene, _) = three();
    let shapes = [&["one", "two"][..], &["two", "three"], &["four"]].map(|names| with_volumes(&mut scene, names, "a"));
    pod(&mut scene, "runs", "x", &shapes[0], Some("a"));
    let [shared, alone] = [("shared", &shapes[1]), ("alone", &shapes[2])].map(|(name, shape)| pod(&mut scene, name, "x", shape, None));
    let meant = [("a", shared, 1), ("a", alone, 1)];
    let mut limit = |most: u32| {
        scene.cluster.storage.limits.insert("a".into(), BTreeMap::from([("csi".into(), most)]));
        found(&scene, &meant)
    };
    assert_eq!(limit(4), NOTHING, "one of the four is there for two pods");
    assert_eq!(limit(3), ["pods are meant for a, which cannot hold so many volumes of csi"]);
    scene.cluster.storage.limits.insert("a".into(), BTreeMap::from([("csi".into(), 1)]));
    let again = pod(&mut scene, "again", "x", &shapes[0], None);
    assert_eq!(found(&scene, &[("a", again, 1)]), NOTHING, "what is attached already is no more");
}

#[test]
fn who_refuses_others_is_not_with_them() {
    for (key, domain) in [(HOSTNAME, "a"), (ZONE, "a")] {
        let (mut scene, web) = three();
        let loner = pod(&mut scene, "loner", "x", &Shape { apart: vec![term(key, web)], ..small() }, None);
        let refuser = Shape { apart: vec![term(key, web)], ..small() };
        let (one, plain) = (pod(&mut scene, "one", "web", &refuser, None), pod(&mut scene, "plain", "web", &small(), None));
        assert_eq!(found(&scene, &[("a", one, 1), ("b", plain, 3), ("c", loner, 4)]), NOTHING, "a pod does not mind itself");
        let together = |pod: &str, other: &str| {
            [format!("{pod} is meant for {domain} ({key}) beside {other}, and one of them refuses the other there")]
        };
        assert_eq!(found(&scene, &[("a", one, 2)]), together("pod work/one", "another of its kind"));
        assert_eq!(found(&scene, &[("a", loner, 1), ("a", plain, 1)]), together("pod work/loner", "pod work/plain"));
        let mut with_web = scene.clone();
        pod(&mut with_web, "runs", "web", &small(), Some("a"));
        assert_eq!(found(&with_web, &[("a", plain, 1), ("b", loner, 1)]), NOTHING);
        assert_eq!(found(&with_web, &[("a", loner, 1)]), together("pod work/loner", "pod work/runs"));
        pod(&mut scene, "runs", "x", &Shape { apart: vec![term(key, web)], ..small() }, Some("a"));
        assert_eq!(found(&scene, &[("a", loner, 1), ("b", plain, 1)]), NOTHING);
        assert_eq!(found(&scene, &[("a", plain, 1)]), together("pod work/plain", "pod work/runs"));
        scene.change_claim("claim-a", |claim| claim.ended = true);
        assert_eq!(found(&scene, &[("b", plain, 1)]), NOTHING);
    }
}

#[test]
fn new_machines_are_domains_and_their_actions_are_named() {
    let mut scene = Scene::kwok();
    let web = app(&mut scene, "web");
    let refuser = Shape { apart: vec![term(ZONE, web)], ..small() };
    let shape = pod(&mut scene, "one", "web", &refuser, None);
    pod(&mut scene, "two", "web", &refuser, None);
    let mut plan = scene.decide();
    assert_eq!(plan.actions.len(), 2);
    plan.placements.iter_mut().for_each(|placement| placement.shape = shape);
    let spec = |plan: &mut Plan, at: usize, wishes: &crate::nodes::requirement::Requirements| match &mut plan.actions[at] {
        Action::CreateClaim { spec, .. } => spec.wishes.0.extend(wishes.0.clone()),
        other => panic!("{other}"),
    };
    [0, 1].iter().for_each(|at| spec(&mut plan, *at, &wishes(&[(ZONE, "a")])));
    assert_eq!(wrong(&scene, &plan).len(), 1);
    assert!(wrong(&scene, &plan)[0].ends_with("refuses the other there (actions 0, 1)"));
    // Which zone it will be is not known: it may be another.
    spec(&mut plan, 1, &wish(ZONE, Operator::In, &["a", "b"]));
    assert_eq!(wrong(&scene, &plan), NOTHING);
}

#[test]
fn who_has_to_be_near_finds_somebody() {
    let (mut scene, web) = three();
    let guest = pod(&mut scene, "guest", "x", &Shape { near: vec![term(ZONE, web)], ..small() }, None);
    let herd = pod(&mut scene, "herd", "web", &Shape { near: vec![term(ZONE, web)], ..small() }, None);
    let plain = pod(&mut scene, "plain", "web", &small(), None);
    let alone =
        |pod: &str, zone: &str| format!("{pod} is meant for {zone} ({ZONE}), where none of the pods will be that it has to be near");
    assert_eq!(found(&scene, &[("a", guest, 1), ("a", plain, 1), ("b", herd, 2), ("b", plain, 1)]), NOTHING);
    assert_eq!(found(&scene, &[("a", guest, 1), ("b", plain, 1)]), [alone("pod work/guest", "a")]);
    // Where nobody is anywhere, one of its own kind begins; and only one.
    assert_eq!(found(&scene, &[("a", herd, 2), ("a", guest, 1)]), NOTHING);
    assert_eq!(found(&scene, &[("a", herd, 1), ("b", herd, 1)]), [alone("pod work/herd", "b")]);
    pod(&mut scene, "runs", "web", &small(), Some("c"));
    assert_eq!(found(&scene, &[("c", herd, 1), ("c", guest, 1)]), NOTHING);
    assert_eq!(found(&scene, &[("a", herd, 1)]), [alone("pod work/herd", "a")]);
    scene.change_node("a", |node| _ = node.labels.remove(ZONE));
    let no_label = format!("pod work/guest is meant for a, which has no label {ZONE}, and minds who is where by it");
    assert_eq!(found(&scene, &[("a", guest, 1)]), [no_label]);
}

#[test]
fn pods_that_have_to_be_even_are_so_by_the_end() {
    let (mut scene, web) = three();
    let even = pod(&mut scene, "even", "web", &Shape { spreads: vec![spread(ZONE, web, 1)], ..small() }, None);
    let plain = pod(&mut scene, "plain", "web", &small(), None);
    let uneven = |pod: &str, zone: &str, count: u32, least: u32, skew: u32| {
        [format!(
            "{pod} is meant for {zone} ({ZONE}), which would have {count} of the pods that it is spread with; the emptiest has {least}, and maxSkew is {skew}"
        )]
    };
    assert_eq!(found(&scene, &[("a", even, 2), ("b", even, 1), ("c", even, 2)]), NOTHING);
    assert_eq!(found(&scene, &[("a", even, 3), ("b", even, 1), ("c", even, 1)]), uneven("pod work/even", "a", 3, 1, 1));
    // Others that it counts may come after it, and where it is emptiest before it.
    assert_eq!(found(&scene, &[("a", even, 1), ("a", plain, 9)]), NOTHING);
    assert_eq!(found(&scene, &[("a", even, 2), ("b", plain, 1), ("c", plain, 1)]), NOTHING);
    let wide = pod(&mut scene, "wide", "web", &Shape { spreads: vec![spread(ZONE, web, 3)], ..small() }, None);
    assert_eq!(found(&scene, &[("a", even, 1), ("a", wide, 2)]), NOTHING);
    assert_eq!(found(&scene, &[("a", even, 1), ("a", wide, 3)]), uneven("pod work/wide", "a", 4, 0, 3));
    let outside = pod(&mut scene, "outside", "x", &Shape { spreads: vec![spread(ZONE, web, 1)], ..small() }, None);
    pod(&mut scene, "first", "web", &small(), Some("a"));
    assert_eq!(found(&scene, &[("a", outside, 5)]), NOTHING, "it is not one of those that it counts");
    pod(&mut scene, "second", "web", &small(), Some("a"));
    assert_eq!(found(&scene, &[("b", even, 1), ("c", even, 1)]), NOTHING, "that the first is too full is not this plan's doing");
    assert_eq!(found(&scene, &[("a", even, 1), ("b", even, 1), ("c", even, 1)]), uneven("pod work/even", "a", 3, 1, 1));
    assert_eq!(found(&scene, &[("a", outside, 1)]), uneven("pod work/outside", "a", 2, 0, 1));
    let leaves = Key::new("work", "second");
    scene.change_pod(&leaves, |pod| pod.deleting = true);
    assert_eq!(found(&scene, &[("a", even, 1), ("b", even, 1), ("c", even, 1)]), NOTHING);
}

#[test]
fn a_spread_looks_at_the_nodes_that_it_names() {
    let (mut scene, web) = three();
    let of = |wanted: Spread, more: Shape| Shape { spreads: vec![wanted], ..more };
    let two = || Shape { wishes: vec![wish(ZONE, Operator::In, &["a", "b"])], ..small() };
    let plain = spread(ZONE, web, 1);
    let by_affinity = pod(&mut scene, "by-affinity", "web", &of(plain.clone(), two()), None);
    let all = pod(&mut scene, "all", "web", &of(Spread { by_affinity: false, ..plain.clone() }, two()), None);
    let evenly = |shape| [("a", shape, 2), ("b", shape, 2)];
    assert_eq!(found(&scene, &evenly(by_affinity)), NOTHING);
    assert_eq!(found(&scene, &evenly(all)).len(), 2, "the third zone has none");
    scene.change_node("c", |node| node.taints.push(taint("special")));
    let by_taints = pod(&mut scene, "by-taints", "web", &of(Spread { by_taints: true, ..plain.clone() }, small()), None);
    let tolerant = Shape { tolerations: vec![tolerates("special")], ..small() };
    let tolerant = pod(&mut scene, "tolerant", "web", &of(Spread { by_taints: true, ..plain.clone() }, tolerant), None);
    assert_eq!(found(&scene, &evenly(by_taints)), NOTHING);
    assert_eq!(found(&scene, &evenly(tolerant)).len(), 2);
    let few = pod(&mut scene, "few", "web", &of(Spread { min_domains: Some(4), ..plain }, small()), None);
    assert_eq!(found(&scene, &[("a", few, 1), ("b", few, 1)]), NOTHING);
    scene.change_node("c", |node| node.taints.clear());
    assert_eq!(found(&scene, &[("a", few, 2), ("b", few, 2), ("c", few, 2)]).len(), 3, "as if a fourth had none");
}

#[test]
fn new_machines_count_for_a_spread() {
    let mut scene = Scene::kwok();
    let web = app(&mut scene, "web");
    let shape = Shape { spreads: vec![spread(ZONE, web, 1)], ..small() };
    for number in 0..4 {
        pod(&mut scene, &format!("web-{number}"), "web", &shape, None);
    }
    let mut plan = scene.decide();
    assert_eq!((plan.actions.len(), wrong(&scene, &plan)), (4, Vec::new()));
    plan.placements[0].count = 3;
    let all = wrong(&scene, &plan);
    assert!(matches!(&all[..], [one] if one.contains("which would have 3 of") && one.contains("(action ")), "{all:?}");
    // What an earlier turn meant for a claim was looked at then; more than that is looked at now.
    scene.carry_out(&plan);
    let mut again = Plan { actions: Vec::new(), ..plan };
    assert_eq!(wrong(&scene, &again), NOTHING);
    again.placements[0].count = 4;
    assert_eq!(wrong(&scene, &again).len(), 1);
    // What goes to nodes that are there may be bound before any claim has one.
    scene.add_node("old", "c-4x-amd64-linux");
    let shape = again.placements[0].shape;
    again.placements = [("old", 2), (&*again.placements[1].on, 1)].map(|(on, count)| Placement { on: on.into(), shape, count }).into();
    assert_eq!(wrong(&scene, &again), NOTHING);
}
