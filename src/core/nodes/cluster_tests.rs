//! The index: older news changes nothing, and what went leaves nothing behind.

use super::super::DISRUPTED;
use super::super::scene::{Scene, shape, taint};
use super::*;
use crate::Span;

#[test]
fn older_news_does_not_undo_what_we_wrote() {
    let mut scene = Scene::kwok();
    scene.add_node("n", "c-2x-amd64-linux");
    let key = scene.add_pod("p", shape(100, 100), None, None);
    let (old_pod, old_node) = (scene.cluster.pods[&key].clone(), scene.cluster.nodes["n"].clone());
    let old_claim = scene.cluster.claims["claim-n"].clone();
    scene.change_pod(&key, |pod| pod.node = Some("n".into()));
    scene.change_node("n", |node| node.taints.push(taint(DISRUPTED)));
    let now = scene.now;
    scene.change_claim("claim-n", |claim| claim.deleting_since = Some(now));
    let load = scene.cluster.load("n").cloned();
    assert!(!scene.cluster.apply_pod(scene.now, key.clone(), old_pod));
    assert!(!scene.cluster.apply_node("n".into(), old_node));
    assert!(!scene.cluster.apply_claim("claim-n".into(), old_claim));
    assert_eq!(scene.cluster.load("n").cloned(), load);
    assert!(scene.cluster.waiting().is_empty());
    assert_eq!(scene.cluster.nodes["n"].taints.len(), 1);
    assert!(scene.cluster.claims["claim-n"].deleting_since.is_some());
}

#[test]
fn a_machine_that_the_status_does_not_tell_of_yet_is_not_forgotten() {
    let mut scene = Scene::kwok();
    scene.add_pod("p", shape(100, 100), None, None);
    scene.turn();
    scene.turn();
    let (name, claim) = scene.cluster.claims.iter().next().map(|(name, claim)| (name.clone(), claim.clone())).expect("a claim");
    assert!(claim.machine.is_some());
    let version = scene.version();
    scene.cluster.apply_claim(name.clone(), Claim { machine: None, version, ..claim.clone() });
    assert_eq!(scene.cluster.claims[&name].machine, claim.machine);
}

#[test]
fn whatever_came_and_went_the_sums_are_those_of_what_is_there() {
    let mut random = super::super::random_tests::Random::new(7);
    let mut scene = Scene::kwok();
    for step in 0..3000_u64 {
        let name = format!("p{}", random.below(40));
        let key = Key::new("work", name.as_str());
        match random.below(4) {
            0 => scene.cluster.delete_pod(scene.now, &key, None),
            1 if scene.cluster.pods.contains_key(&key) => scene.change_pod(&key, |pod| pod.phase = PodPhase::Ended),
            _ => {
                let node = ["a", "b"].get(usize::try_from(random.below(3)).expect("an index")).copied();
                scene.add_pod(&name, shape(100 * (1 + i64::try_from(step % 3).expect("small")), 100), node, Some("w"));
            }
        }
        for node in ["a", "b"] {
            let alive = scene.cluster.pods.values().filter(|pod| pod.node.as_deref() == Some(node) && pod.is_alive());
            let mut sum = Resources::default();
            alive.for_each(|pod| sum.add(&scene.cluster.shapes.get(pod.shape).requests, 1));
            assert_eq!(scene.cluster.load(node).map(|load| load.used.clone()).unwrap_or_default(), sum);
        }
        let waiting: usize = scene.cluster.waiting().values().map(BTreeSet::len).sum();
        assert_eq!(waiting, scene.cluster.pods.values().filter(|pod| pod.waits()).count());
        let workload = scene.cluster.counts.get("uid-w").map_or(0, |counts| counts.alive);
        assert_eq!(workload as usize, scene.cluster.pods.values().filter(|pod| pod.counts()).count());
    }
    scene.cluster.retain_pods(scene.now, &BTreeSet::new());
    assert!(scene.cluster.loads.is_empty() && scene.cluster.counts.is_empty() && scene.cluster.newest.is_empty());
}

#[test]
fn news_of_a_pod_that_stays_says_nothing_about_its_nodes_quiet_time() {
    let mut scene = Scene::kwok();
    let key = scene.add_pod("p", shape(100, 100), Some("n"), None);
    let bound = scene.cluster.load("n").and_then(|load| load.changed);
    assert_eq!(bound, Some(scene.now));
    scene.wait(Span::from_secs(5));
    scene.change_pod(&key, |pod| pod.ready = false);
    assert_eq!(scene.cluster.load("n").and_then(|load| load.changed), bound);
    scene.cluster.apply_node("n".into(), Scene::kwok().cluster.nodes.remove("none").unwrap_or_else(|| node("machine")));
    scene.change_pod(&key, |pod| pod.phase = PodPhase::Ended);
    assert_eq!(scene.cluster.load("n").and_then(|load| load.changed), Some(scene.now));
}

fn node(provider_id: &str) -> Node {
    Node {
        uid: "u".into(),
        version: 1,
        provider_id: provider_id.into(),
        labels: Labels::new(),
        taints: Vec::new(),
        allocatable: Resources::default(),
        ready: true,
        deleting: false,
        finalized: true,
        do_not_disrupt: false,
    }
}

#[test]
fn a_machine_is_found_under_its_newest_node_only() {
    let mut cluster = Cluster::default();
    let mut scene = Scene::kwok();
    scene.add_node("n", "c-2x-amd64-linux");
    let claim = Claim { node_name: None, provider_id: Some("m1".into()), ..scene.cluster.claims["claim-n"].clone() };
    cluster.apply_node("first".into(), node("m1"));
    cluster.apply_node("second".into(), node("m1"));
    cluster.delete_node("first", None);
    assert_eq!(cluster.node_of(&claim).map(|(name, _)| name.as_str()), Some("second"));
    cluster.apply_node("second".into(), Node { version: 2, ..node("m2") });
    assert!(cluster.node_of(&claim).is_none());
}

#[test]
fn a_name_that_another_machine_has_by_now_does_not_make_it_the_old_claims_node() {
    let mut scene = Scene::kwok();
    scene.add_node("n", "c-2x-amd64-linux");
    assert_eq!(scene.cluster.node_of(&scene.cluster.claims["claim-n"]).map(|(name, _)| name.as_str()), Some("n"));
    scene.change_node("n", |node| node.provider_id = "another".into());
    assert_eq!(scene.cluster.node_of(&scene.cluster.claims["claim-n"]), None);
}

#[test]
fn of_two_claims_for_one_node_only_one_ends_it() {
    let mut scene = Scene::kwok();
    scene.add_node("n", "c-2x-amd64-linux");
    let claim = scene.cluster.claims["claim-n"].clone();
    scene.cluster.apply_claim("claim-o".into(), Claim { uid: Some("uid-o".into()), ..claim });
    let now = scene.now;
    for name in ["claim-n", "claim-o"] {
        scene.change_claim(name, |claim| claim.deleting_since = Some(now));
    }
    let plan = scene.turn();
    assert_eq!(plan.actions.len(), 1, "{:?}", plan.actions);
}
