//! What the daemon makes of a cluster's surroundings, in whatever order it is told.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use springtide_core::name::Key;
use tokio::time::Instant;

use super::*;

fn applied<T: DeserializeOwned>(object: Value) -> Change<T> {
    Change::Applied(Box::new(serde_json::from_value(object).expect("an object")))
}

fn listed<T>() -> Change<T> {
    Change::Listed { keys: BTreeSet::new(), since: Instant::now() }
}

fn template(cpu: &str) -> Value {
    json!({ "metadata": { "labels": { "app": "a" } }, "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu } } }] } })
}

fn buffer(spec: Value) -> Seen {
    let object = json!({ "apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBuffer", "metadata": { "name": "b", "namespace": "n" }, "spec": spec });
    Seen::Custom(Custom::CapacityBuffer, applied(object))
}

fn kept(state: &mut State) -> Option<(i64, u32)> {
    state.classify(Timestamp::UNIX_EPOCH);
    let (shape, count) = state.cluster.buffers.get(&Key::new("n", "b"))?;
    Some((state.cluster.shapes.get(*shape).requests.get("cpu"), *count))
}

#[test]
fn a_buffer_follows_its_source() {
    let mut state = State::default();
    let now = Timestamp::UNIX_EPOCH;
    state.see(now, buffer(json!({ "scalableRef": { "kind": "Deployment", "name": "d" }, "percentage": 50 })));
    assert_eq!(kept(&mut state), None, "its workload is not there yet");
    let deployment = |version: &str, replicas: u32, cpu: &str| {
        let meta = json!({ "name": "d", "namespace": "n", "uid": "u", "resourceVersion": version });
        Seen::Deployment(applied(json!({ "metadata": meta, "spec": { "replicas": replicas, "selector": {}, "template": template(cpu) } })))
    };
    state.see(now, deployment("1", 4, "1"));
    assert_eq!(kept(&mut state), Some((1000, 2)));
    state.see(now, deployment("2", 6, "2"));
    assert_eq!(kept(&mut state), Some((2000, 3)));
    state.see(now, buffer(json!({ "podTemplateRef": { "name": "t" }, "replicas": 7 })));
    assert_eq!(kept(&mut state), None);
    state.see(now, Seen::PodTemplate(applied(json!({ "metadata": { "name": "t", "namespace": "n" }, "template": template("3") }))));
    assert_eq!(kept(&mut state), Some((3000, 7)));
    state.see(now, buffer(json!({ "replicas": 7 })));
    assert_eq!(kept(&mut state), None, "it says nothing that can be understood");
    assert!(state.unreadable.values().any(|unreadable| unreadable.why.contains("podTemplateRef")));
    state.see(now, Seen::Custom(Custom::CapacityBuffer, listed()));
    assert!(state.unreadable.is_empty() && state.buffers.is_empty());
}

#[test]
fn selectors_know_daemons_that_were_there_before_them() {
    let mut state = State::default();
    let now = Timestamp::UNIX_EPOCH;
    let daemon = json!({ "metadata": { "name": "d", "namespace": "n" }, "spec": { "selector": {}, "template": template("1") } });
    state.see(now, Seen::DaemonSet(applied(daemon)));
    state.classify(now);
    let budget = json!({ "metadata": { "name": "b", "namespace": "n" }, "spec": { "maxUnavailable": 0, "selector": { "matchLabels": { "app": "a" } } } });
    state.see(now, Seen::Budget(applied(budget)));
    state.classify(now);
    let shape = state.cluster.daemons.values().next().expect("a DaemonSet");
    let selector = state.cluster.budgets.values().next().expect("a budget").selector;
    assert!(state.cluster.shapes.get(*shape).selected_by.contains(selector));
    state.see(now, Seen::DaemonSet(listed()));
    state.classify(now);
    assert!(state.cluster.daemons.is_empty());
}

#[test]
fn what_a_list_leaves_out_is_gone() {
    let mut state = State::default();
    let now = Timestamp::UNIX_EPOCH;
    state.see(now, Seen::Namespace(applied(json!({ "metadata": { "name": "n", "labels": { "a": "b" } } }))));
    state.see(now, Seen::Claim(applied(json!({ "metadata": { "name": "c", "namespace": "n" }, "spec": {} }))));
    state.see(now, Seen::Volume(applied(json!({ "metadata": { "name": "v" }, "spec": {} }))));
    state.see(now, Seen::StorageClass(applied(json!({ "metadata": { "name": "s" }, "provisioner": "p" }))));
    state.see(now, Seen::NodeVolumes(applied(json!({ "metadata": { "name": "n" }, "spec": { "drivers": [] } }))));
    let storage = &state.cluster.storage;
    let lengths = [storage.claims.len(), storage.volumes.len(), storage.classes.len(), storage.limits.len(), state.namespaces.len()];
    assert_eq!(lengths, [1; 5]);
    state.see(now, Seen::Namespace(listed()));
    state.see(now, Seen::Claim(listed()));
    state.see(now, Seen::Volume(listed()));
    state.see(now, Seen::StorageClass(listed()));
    state.see(now, Seen::NodeVolumes(listed()));
    let storage = &state.cluster.storage;
    assert!(storage.claims.is_empty() && storage.volumes.is_empty() && storage.classes.is_empty() && storage.limits.is_empty());
    assert!(state.namespaces.is_empty());
}
