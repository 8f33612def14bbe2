//! Virtual pods: as many as can come, for as long as they may be expected to.

use super::super::scene::{Scene, created, print, shape, workload_key};
use super::super::workload::{Quota, ReplicaSet};
use super::*;
use crate::name::Key;

fn change(scene: &mut Scene, name: &str, change: impl FnOnce(&mut Workload)) {
    let key = workload_key(name);
    let mut workload = scene.cluster.workloads[&key].clone();
    change(&mut workload);
    workload.version = scene.version();
    scene.cluster.apply_workload(key, workload);
}

/// How many virtual pods this turn plans for, and what it withholds.
fn virtual_pods(scene: &mut Scene) -> (u32, Vec<IntentReason>) {
    let mut tracks = scene.memory.tracks.clone();
    let found = intents(scene.now, &scene.cluster, &scene.wanted, &mut tracks);
    scene.memory.tracks = tracks;
    (found.intents.iter().map(|intent| intent.count).sum(), found.withheld.into_iter().map(|(_, reason)| reason).collect())
}

#[test]
fn an_intent_without_pods_lapses_and_comes_back_when_pods_appear() {
    let mut scene = Scene::kwok();
    scene.want("w", 5, shape(100, 100));
    assert_eq!(virtual_pods(&mut scene), (5, vec![]));
    scene.wait(Span::from_millis(9_999));
    assert_eq!(virtual_pods(&mut scene).0, 5);
    scene.wait(Span::from_millis(1));
    assert_eq!(virtual_pods(&mut scene), (0, vec![IntentReason::NoPodCame { after: PATIENCE, missing: 5 }]));
    scene.add_pod("w-1", shape(100, 100), None, Some("w"));
    assert_eq!(virtual_pods(&mut scene), (4, vec![]));
    scene.wait(PATIENCE);
    assert_eq!(virtual_pods(&mut scene).0, 0);
}

#[test]
fn patience_begins_anew_once_the_replicas_are_written_and_ends_without_it() {
    let mut scene = Scene::kwok();
    scene.want("w", 5, shape(100, 100));
    change(&mut scene, "w", |workload| workload.replicas = Replicas(0));
    assert_eq!(virtual_pods(&mut scene), (5, vec![]));
    scene.wait(Span::from_secs(9));
    change(&mut scene, "w", |workload| workload.replicas = Replicas(5));
    assert_eq!(virtual_pods(&mut scene).0, 5);
    scene.wait(Span::from_secs(9));
    assert_eq!(virtual_pods(&mut scene).0, 5, "9 s after the write");
    change(&mut scene, "w", |workload| workload.replicas = Replicas(0));
    assert_eq!(virtual_pods(&mut scene).0, 5, "somebody took the replicas back");
    scene.wait(PATIENCE);
    assert_eq!(virtual_pods(&mut scene), (0, vec![IntentReason::NotWritten { after: PATIENCE, wanted: Replicas(5) }]));
}

#[test]
fn time_alone_ends_an_intent_and_the_plan_says_when() {
    let mut scene = Scene::kwok();
    scene.want("w", 5, shape(100, 100));
    let plan = scene.decide();
    assert_eq!(created(&plan).len(), 1);
    assert_eq!(plan.look_again, scene.now.checked_add(PATIENCE).ok());
}

#[test]
fn a_replica_failure_ends_an_intent_at_once() {
    let mut scene = Scene::kwok();
    scene.want("w", 5, shape(100, 100));
    change(&mut scene, "w", |workload| workload.failure = Some("quota exceeded".to_owned()));
    assert_eq!(virtual_pods(&mut scene), (0, vec![IntentReason::Failure { message: "quota exceeded".to_owned() }]));
    change(&mut scene, "w", |workload| workload.failure = None);
    assert_eq!(virtual_pods(&mut scene).0, 5);
}

#[test]
fn a_refused_or_unknown_template_gives_a_reason_and_no_pod() {
    let mut scene = Scene::kwok();
    scene.want("w", 5, shape(100, 100));
    scene.cluster.templates.insert("w".into(), Template::Refused("no such service account".to_owned()));
    assert_eq!(virtual_pods(&mut scene), (0, vec![IntentReason::Refused { message: "no such service account".to_owned() }]));
    scene.cluster.templates.clear();
    assert_eq!(virtual_pods(&mut scene), (0, vec![IntentReason::TemplateUnknown]));
    assert_eq!(print(&scene.decide()), "ask what a pod of Deployment work/w looks like\n");
}

#[test]
fn workloads_that_share_a_template_ask_once() {
    let mut scene = Scene::kwok();
    scene.want("v", 5, shape(100, 100));
    scene.want("w", 5, shape(100, 100));
    change(&mut scene, "v", |workload| workload.template = "same".into());
    change(&mut scene, "w", |workload| workload.template = "same".into());
    assert_eq!(scene.decide().actions.len(), 1);
}

fn add_quota(scene: &mut Scene, amount: i64) {
    let quota = Quota { hard: [("requests.cpu".into(), amount)].into(), used: BTreeMap::new(), scoped: false };
    scene.cluster.quotas.insert(Key::new("work", "q"), quota);
}

#[test]
fn a_quota_leaves_room_for_half() {
    let mut scene = Scene::kwok();
    scene.want("w", 10, shape(1000, 100));
    add_quota(&mut scene, 5_000);
    assert_eq!(virtual_pods(&mut scene), (5, vec![IntentReason::Quota { quota: "q".into(), room: 5, wanted: 10 }]));
    for number in 0..5 {
        scene.add_pod(&format!("w-{number}"), shape(1000, 100), None, Some("w"));
    }
    assert_eq!(virtual_pods(&mut scene).0, 0);
}

#[test]
fn workloads_of_a_namespace_share_its_quota() {
    let mut scene = Scene::kwok();
    scene.want("v", 4, shape(1000, 100));
    scene.want("w", 4, shape(1000, 100));
    add_quota(&mut scene, 5_000);
    assert_eq!(virtual_pods(&mut scene).0, 5);
}

#[test]
fn a_stateful_set_in_order_has_one_virtual_pod() {
    let mut scene = Scene::kwok();
    scene.want("w", 9, shape(100, 100));
    change(&mut scene, "w", |workload| workload.one_by_one = true);
    assert_eq!(virtual_pods(&mut scene), (1, vec![]));
}

#[test]
fn pods_count_through_replica_sets_and_only_while_they_live() {
    let mut scene = Scene::kwok();
    scene.want("w", 4, shape(100, 100));
    scene.cluster.apply_replica_set("uid-rs".into(), ReplicaSet { owner: Some("uid-w".into()), revision: 1 });
    let keys: Vec<Key> = (0..3).map(|n| scene.add_pod(&format!("w-{n}"), shape(100, 100), None, Some("rs"))).collect();
    assert_eq!(virtual_pods(&mut scene).0, 1);
    scene.change_pod(&keys[0], |pod| pod.deleting = true);
    scene.change_pod(&keys[1], |pod| pod.phase = super::super::cluster::PodPhase::Ended);
    assert_eq!(virtual_pods(&mut scene).0, 3);
}

#[test]
fn virtual_pods_look_like_the_newest_pod_of_the_newest_revision() {
    let mut scene = Scene::kwok();
    let key = scene.want("w", 4, shape(100, 100));
    let shape_now =
        |scene: &Scene| scene.cluster.newest_shape(&scene.cluster.workloads[&key]).map(|id| scene.cluster.shapes.get(id).requests.cpu.0);
    assert_eq!(shape_now(&scene), None);
    for (revision, cpu) in [(1, 200), (2, 300)] {
        scene.cluster.apply_replica_set(format!("uid-rs{revision}").into(), ReplicaSet { owner: Some("uid-w".into()), revision });
        scene.add_pod(&format!("w-{revision}"), shape(cpu, 100), None, Some(&format!("rs{revision}")));
        assert_eq!(shape_now(&scene), Some(cpu));
    }
    change(&mut scene, "w", |workload| workload.revision = 3);
    assert_eq!(shape_now(&scene), None, "no pod of the third revision has come, and the second says nothing about it");
}
