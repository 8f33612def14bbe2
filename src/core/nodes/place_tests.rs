//! Pods that mind their company: domains, nodes, ports, preferences.

use std::collections::BTreeMap;

use super::super::constraint::{HOSTNAME, HostPort, Preference, Preferred, Spread, Term};
use super::super::requirement::{NAME, Requirements};
use super::super::scene::{Scene, created, print, shape, wishes};
use super::super::selector::{Part, PodSelector, SelectorId};
use super::super::shape::Shape;
use super::super::{CAPACITY_TYPE, ZONE};
use crate::name::Name;
use crate::plan::Plan;

/// Pods with `app: NAME` in the scene's namespace.
fn app(scene: &mut Scene, name: &str) -> SelectorId {
    let part = Part { namespaces: ["work".into()].into(), namespace_labels: None, labels: Some(wishes(&[("app", name)])) };
    scene.cluster.shapes.select(PodSelector(vec![part]))
}

fn spread(key: &str, selector: SelectorId, max_skew: u32) -> Spread {
    Spread { key: key.into(), selector, max_skew, min_domains: None, by_affinity: true, by_taints: false }
}

fn term(key: &str, selector: SelectorId) -> Term {
    Term { key: key.into(), selector }
}

fn add(scene: &mut Scene, name: &str, labels: &[(&str, &str)], count: usize, shape: &Shape) {
    for number in 0..count {
        scene.add_labelled_pod(&format!("{name}-{number:03}"), labels, shape.clone(), None, None);
    }
}

/// How many pods each value of a label gets, by the claims that a plan creates.
fn by_value(plan: &Plan, key: &str) -> BTreeMap<String, u32> {
    let places = plan.by_place();
    let mut counts = BTreeMap::new();
    for (name, spec) in created(plan) {
        let value =
            spec.wishes.0.get(key).and_then(|wish| wish.listed()).filter(|values| values.len() == 1).and_then(|values| values.first());
        let count: u32 = places.get(&name).into_iter().flatten().map(|(_, count)| count).sum();
        *counts.entry(value.map_or_else(|| "any".to_owned(), Name::to_string)).or_default() += count;
    }
    counts
}

fn on_each(plan: &Plan) -> Vec<u32> {
    let mut counts: Vec<u32> = plan.by_place().values().map(|pods| pods.iter().map(|(_, count)| count).sum()).collect();
    counts.sort_unstable();
    counts
}

#[test]
fn pods_that_have_to_be_even_are_even_over_zones_however_many() {
    for (count, expected) in [(1, vec![1]), (4, vec![1, 1, 1, 1]), (10, vec![2, 2, 3, 3]), (403, vec![100, 101, 101, 101])] {
        let mut scene = Scene::kwok();
        let web = app(&mut scene, "web");
        add(&mut scene, "web", &[("app", "web")], count, &Shape { spreads: vec![spread(ZONE, web, 1)], ..shape(500, 512) });
        let plan = scene.decide();
        let mut counts: Vec<u32> = by_value(&plan, ZONE).into_values().collect();
        counts.sort_unstable();
        assert_eq!(counts, expected);
        assert!(plan.unplaced.is_empty());
    }
}

#[test]
fn two_labels_at_once_are_both_even() {
    let mut scene = Scene::kwok();
    let web = app(&mut scene, "web");
    let both = vec![spread(ZONE, web, 1), spread(CAPACITY_TYPE, web, 1)];
    add(&mut scene, "web", &[("app", "web")], 9, &Shape { spreads: both, ..shape(500, 512) });
    let plan = scene.decide();
    assert_eq!(by_value(&plan, ZONE).into_values().max(), Some(3));
    let mut kinds: Vec<u32> = by_value(&plan, CAPACITY_TYPE).into_values().collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [4, 5]);
}

#[test]
fn pods_that_are_too_few_for_min_domains_wait() {
    let mut scene = Scene::kwok();
    let web = app(&mut scene, "web");
    let few = Spread { min_domains: Some(9), ..spread(ZONE, web, 1) };
    add(&mut scene, "web", &[("app", "web")], 10, &Shape { spreads: vec![few], ..shape(500, 512) });
    let plan = scene.decide();
    assert_eq!(plan.unplaced[0].count, 6, "four zones with one each, as if a ninth had none");
    assert!(plan.unplaced[0].reasons[0].to_string().contains("topology spread by topology.kubernetes.io/zone"));
}

#[test]
fn pods_apart_by_host_get_a_machine_each_and_share_it_with_others() {
    let mut scene = Scene::kwok();
    let web = app(&mut scene, "web");
    add(&mut scene, "web", &[("app", "web")], 7, &Shape { apart: vec![term(HOSTNAME, web)], ..shape(500, 512) });
    add(&mut scene, "other", &[("app", "other")], 20, &shape(250, 256));
    let plan = scene.decide();
    assert_eq!(created(&plan).len(), 7);
    assert!(plan.unplaced.is_empty());
    assert_eq!(on_each(&plan).iter().sum::<u32>(), 27);
}

#[test]
fn pods_with_one_host_port_get_a_machine_each() {
    let mut scene = Scene::kwok();
    let port = |address: &str| HostPort { address: address.into(), protocol: "TCP".into(), port: 80 };
    add(&mut scene, "web", &[], 3, &Shape { ports: vec![port("")], ..shape(100, 100) });
    add(&mut scene, "local", &[], 2, &Shape { ports: vec![port("127.0.0.1")], ..shape(100, 100) });
    assert_eq!(created(&scene.decide()).len(), 5);
}

#[test]
fn pods_near_each_other_by_host_share_one_machine_and_no_second() {
    let mut scene = Scene::kwok();
    let web = app(&mut scene, "web");
    add(&mut scene, "web", &[("app", "web")], 40, &Shape { near: vec![term(HOSTNAME, web)], ..shape(8_000, 512) });
    let plan = scene.decide();
    assert_eq!(created(&plan).len(), 1);
    assert_eq!(plan.unplaced.iter().map(|left| left.count).sum::<u32>(), 40 - 31, "the largest machine holds 31");
    assert!(plan.unplaced[0].reasons[0].to_string().contains("pod affinity by kubernetes.io/hostname"));
}

#[test]
fn pods_follow_those_that_they_want_to_be_near() {
    let mut scene = Scene::kwok();
    let db = app(&mut scene, "db");
    add(&mut scene, "db", &[("app", "db")], 1, &Shape { wishes: vec![wishes(&[(ZONE, "c")])], ..shape(500, 512) });
    add(&mut scene, "web", &[("app", "web")], 5, &Shape { near: vec![term(ZONE, db)], ..shape(2_000, 512) });
    let plan = scene.decide();
    assert_eq!(by_value(&plan, ZONE), BTreeMap::from([("c".to_owned(), 6)]));
    let mut scene = Scene::kwok();
    let nobody = app(&mut scene, "nobody");
    add(&mut scene, "web", &[("app", "web")], 5, &Shape { near: vec![term(ZONE, nobody)], ..shape(2_000, 512) });
    assert_eq!(scene.decide().unplaced[0].count, 5);
}

#[test]
fn a_running_pod_keeps_those_away_that_it_refuses() {
    let mut scene = Scene::kwok();
    scene.add_node("n", "c-4x-amd64-linux");
    let web = app(&mut scene, "web");
    let zone = scene.cluster.nodes[&Name::from("n")].labels[ZONE].to_string();
    scene.add_labelled_pod("loner", &[], Shape { apart: vec![term(ZONE, web)], ..shape(10, 10) }, Some("n"), None);
    add(&mut scene, "web", &[("app", "web")], 8, &shape(500, 512));
    let plan = scene.decide();
    let zones = by_value(&plan, ZONE);
    assert!(plan.placements.iter().all(|placement| placement.on != "n") && !zones.contains_key(&zone), "{zones:?}");
}

#[test]
fn what_pods_would_rather_have_holds_where_it_can() {
    let rather = |key: &str, value: &str| Preference { weight: 1, wish: Preferred::Node(wishes(&[(key, value)])) };
    let mut scene = Scene::kwok();
    add(&mut scene, "web", &[], 3, &Shape { preferences: vec![rather(ZONE, "nowhere"), rather(ZONE, "d")], ..shape(500, 512) });
    assert_eq!(by_value(&scene.decide(), ZONE), BTreeMap::from([("d".to_owned(), 3)]));
    let mut scene = Scene::kwok();
    let web = app(&mut scene, "web");
    let apart = Preference { weight: 1, wish: Preferred::Apart(term(ZONE, web)) };
    add(&mut scene, "web", &[("app", "web")], 6, &Shape { preferences: vec![apart], ..shape(500, 512) });
    let plan = scene.decide();
    assert!(plan.unplaced.is_empty(), "four zones, and two more that give it up");
    assert!(by_value(&plan, ZONE).len() >= 4);
}

#[test]
fn a_turn_that_repeats_buys_nothing_whatever_pods_ask_of_their_company() {
    let mut scene = Scene::kwok();
    let (web, all) = (app(&mut scene, "web"), app(&mut scene, "all"));
    add(&mut scene, "a", &[("app", "web")], 9, &Shape { spreads: vec![spread(ZONE, web, 1), spread(HOSTNAME, web, 2)], ..shape(700, 512) });
    add(&mut scene, "b", &[("app", "all")], 5, &Shape { apart: vec![term(HOSTNAME, all)], ..shape(300, 2048) });
    add(
        &mut scene,
        "c",
        &[("app", "web")],
        12,
        &Shape { near: vec![term(ZONE, web)], wishes: vec![Requirements::default()], ..shape(100, 64) },
    );
    let first = scene.turn();
    assert!(first.unplaced.is_empty());
    let again = scene.turn();
    assert!(
        created(&again)
            .iter()
            .all(|(name, _)| scene.cluster.claims.contains_key(name) && created(&first).iter().any(|(known, _)| known == name))
    );
    let count = |plan: &Plan| plan.placements.iter().map(|placement| placement.count).sum::<u32>();
    assert_eq!(count(&again), count(&first));
}

#[test]
fn pods_of_one_node_that_have_to_be_even_over_zones_begin_once() {
    let mut scene = Scene::kwok();
    let web = app(&mut scene, "web");
    let web_shape = Shape { near: vec![term(HOSTNAME, web)], spreads: vec![spread(ZONE, web, 2)], ..shape(500, 512) };
    add(&mut scene, "web", &[("app", "web")], 6, &web_shape);
    // The zone in which they begin is the only one then: others can be bought in, and none of them is empty for kube-scheduler before somebody is there.
    let plan = scene.decide();
    assert_eq!(created(&plan).len(), 1, "{}", print(&plan));
}

#[test]
fn a_machine_for_others_opens_a_zone_over_which_pods_have_to_be_even() {
    let mut scene = Scene::kwok();
    scene.add_node("n", "c-8x-amd64-linux");
    let zone = scene.cluster.nodes[&Name::from("n")].labels[ZONE].to_string();
    let web = app(&mut scene, "web");
    scene.add_labelled_pod("runs", &[("app", "web")], shape(100, 64), Some("n"), None);
    let gathered = Shape { near: vec![term(HOSTNAME, web)], spreads: vec![spread(ZONE, web, 3)], ..shape(100, 64) };
    add(&mut scene, "web", &[("app", "web")], 8, &gathered);
    assert_eq!(scene.decide().placements.iter().map(|placement| placement.count).sum::<u32>(), 8, "there is no other zone");
    let elsewhere = ["a", "b", "c", "d"].into_iter().filter(|other| *other != zone);
    let wishes = elsewhere.map(|other| wishes(&[(ZONE, other)])).collect();
    add(&mut scene, "large", &[], 1, &Shape { wishes, priority: 1, ..shape(12_000, 512) });
    let plan = scene.decide();
    let on_node: u32 = plan.placements.iter().filter(|placement| placement.on == "n").map(|placement| placement.count).sum();
    assert_eq!(on_node, 2, "one runs there, and another zone with none has come: {}", print(&plan));
}

#[test]
fn a_pod_that_asks_for_a_node_by_name_comes_before_those_that_can_go_anywhere() {
    let mut scene = Scene::kwok();
    scene.add_node("n", "c-4x-amd64-linux");
    add(&mut scene, "large", &[], 1, &shape(3_000, 512));
    add(&mut scene, "named", &[], 1, &Shape { wishes: vec![wishes(&[(NAME, "n")])], ..shape(2_000, 512) });
    let plan = scene.decide();
    assert!(plan.unplaced.is_empty(), "{}", print(&plan));
}

#[test]
fn a_pod_goes_elsewhere_than_it_was_meant_to_once_somebody_is_there_whom_it_refuses() {
    let mut scene = Scene::kwok();
    let web = app(&mut scene, "web");
    add(&mut scene, "large", &[("app", "web")], 1, &Shape { apart: vec![term(ZONE, web)], ..shape(15_000, 512) });
    let plan = scene.turn();
    let zone = by_value(&plan, ZONE).into_keys().next().expect("a zone");
    scene.add_node("n", "c-4x-amd64-linux");
    scene.change_node("n", |node| _ = node.labels.insert(ZONE.into(), zone.as_str().into()));
    scene.add_labelled_pod("came", &[("app", "web")], shape(100, 64), Some("n"), None);
    let plan = scene.decide();
    let zones: Vec<String> = by_value(&plan, ZONE).into_keys().collect();
    assert!(plan.placements.len() == 1 && zones.len() == 1 && zones[0] != zone, "{}", print(&plan));
}

#[test]
fn nodes_without_the_label_are_open_to_pods_that_refuse_each_other_by_it() {
    let mut scene = Scene::kwok();
    scene.add_node("n", "c-8x-amd64-linux");
    scene.change_node("n", |node| _ = node.labels.remove(ZONE));
    scene.cluster.pools.clear();
    let web = app(&mut scene, "web");
    add(&mut scene, "web", &[("app", "web")], 3, &Shape { apart: vec![term(ZONE, web)], ..shape(500, 512) });
    assert_eq!(scene.decide().placements.iter().map(|placement| placement.count).sum::<u32>(), 3);
}

#[test]
fn pods_that_are_cut_short_in_one_domain_are_not_too_many_in_the_others() {
    let mut scene = Scene::kwok();
    let web = app(&mut scene, "web");
    scene.pool_mut().limits.nodes = Some(3);
    scene.add_node("n", "c-4x-amd64-linux");
    let wide = Shape { spreads: vec![spread(ZONE, web, 1)], apart: vec![term(HOSTNAME, web)], ..shape(3_000, 512) };
    add(&mut scene, "web", &[("app", "web")], 8, &wide);
    let plan = scene.decide();
    let counts = by_value(&plan, ZONE);
    // The pool may have two more machines beside the node: zones with one pod each, and none with two.
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    assert!(plan.unplaced.iter().any(|left| left.reasons.iter().any(|reason| reason.to_string().contains("limit"))), "{:?}", plan.unplaced);
}
