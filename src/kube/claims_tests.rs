//! Claims on their way to the API server and nodes that register.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use springtide_api::karpenter::NodeClaim;
use springtide_api::typed;
use springtide_core::nodes::claim::{Claim, ClaimSpec, Machine};
use springtide_core::nodes::offer::{CapacityType, ClassRef};
use springtide_core::nodes::requirement::{Labels, Operator, Requirement, Requirements};
use springtide_core::nodes::resources::Resources;
use springtide_core::nodes::taint::{Effect, Taint};
use springtide_core::units::{Bytes, MicroDollarsPerHour, MilliCpu};

use super::{initialized, launched, new_object, registered, registration, with_conditions};

fn spec() -> ClaimSpec {
    let mut wishes = Requirements::default();
    let types = ["b-type", "a-type"].map(Into::into);
    wishes.add("node.kubernetes.io/instance-type".into(), &Requirement::new(Operator::In, types.clone()).expect("a wish"));
    wishes.add("karpenter.sh/capacity-type".into(), &Requirement::is("spot".into()));
    ClaimSpec {
        pool: "spot".into(),
        class: ClassRef { group: "karpenter.kwok.sh".into(), kind: "KWOKNodeClass".into(), name: "default".into() },
        wishes,
        types: types.to_vec(),
        requests: Resources { cpu: MilliCpu(1500), memory: Bytes(1 << 30), pods: 2, ..Resources::default() },
        promise: Resources::default(),
        price: MicroDollarsPerHour(19_003),
        labels: Labels::from([("team".into(), "data".into())]),
        annotations: Labels::new(),
        taints: vec![Taint { key: "queue".into(), value: "true".into(), effect: Effect::NoSchedule }],
        startup_taints: vec![Taint { key: "wait".into(), value: "".into(), effect: Effect::NoExecute }],
        expire_after: Some(springtide_core::Span::from_hours(720)),
        termination_grace_period: None,
        hash: "abc".into(),
    }
}

fn machine() -> Machine {
    Machine {
        provider_id: "kwok://spot-x".into(),
        instance_type: "b-type".into(),
        zone: "z1".into(),
        capacity_type: CapacityType::Spot,
        price: MicroDollarsPerHour(19_003),
        capacity: Resources { cpu: MilliCpu(4000), memory: Bytes(8 << 30), pods: 64, ..Resources::default() },
        allocatable: Resources { cpu: MilliCpu(3900), memory: Bytes(8 << 30), pods: 64, ..Resources::default() },
        labels: Labels::from([("kubernetes.io/os".into(), "linux".into())]),
    }
}

fn read(object: &DynamicObject) -> Claim {
    let object: NodeClaim = serde_json::from_value(serde_json::to_value(object).expect("JSON")).expect("a NodeClaim");
    typed::claim::claim(&object).expect("a claim that can be understood").1
}

#[test]
fn a_new_claim_reads_back_as_what_was_planned() {
    let object = new_object(&"spot-x".into(), &spec(), None);
    let claim = read(&object);
    let planned = spec();
    assert_eq!(claim.spec.types, planned.types, "the order of preference is kept");
    assert_eq!(claim.spec.wishes, planned.wishes);
    assert_eq!((claim.spec.pool, claim.spec.class, claim.spec.hash), (planned.pool, planned.class, planned.hash));
    assert_eq!((claim.spec.taints, claim.spec.startup_taints), (planned.taints, planned.startup_taints));
    assert_eq!((claim.spec.requests, claim.spec.expire_after), (planned.requests, planned.expire_after));
    assert!(claim.finalized && claim.machine.is_none());
}

#[test]
fn each_step_of_progress_is_a_condition_beside_the_others() {
    let now = Timestamp::from_second(1_000_000).expect("a time");
    let mut object = new_object(&"spot-x".into(), &spec(), None);
    let mut write = |status: &Value| {
        let patch = with_conditions(&object, status);
        let fields = object.data.as_object_mut().expect("an object");
        let known = fields.entry("status").or_insert_with(|| json!({}));
        for (key, value) in patch["status"].as_object().expect("a status") {
            known[key] = value.clone();
        }
        read(&object).progress
    };
    assert_eq!(write(&launched(&machine(), now)).launched, Some(now));
    let progress = write(&registered(&"spot-x".into(), now));
    assert_eq!((progress.launched, progress.registered, progress.initialized), (Some(now), Some(now), None));
    assert_eq!(write(&initialized(now)).initialized, Some(now));
    assert_eq!(read(&object).machine.map(|machine| machine.allocatable), Some(machine().allocatable));
}

#[test]
fn a_node_that_registers_keeps_what_others_gave_it() {
    let mut claim = Claim::planned(spec(), Timestamp::UNIX_EPOCH);
    (claim.uid, claim.machine) = (Some("uid".into()), Some(machine()));
    let node: Node = serde_json::from_value(json!({
        "metadata": { "name": "spot-x", "resourceVersion": "5", "finalizers": ["other"] },
        "spec": { "taints": [
            { "key": "karpenter.sh/unregistered", "effect": "NoExecute" },
            { "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" },
        ] },
    }))
    .expect("a node");
    let patch = registration(&"spot-x".into(), &claim, &node);
    let taints: Vec<&str> = patch["spec"]["taints"].as_array().expect("taints").iter().filter_map(|taint| taint["key"].as_str()).collect();
    assert_eq!(taints, ["node.kubernetes.io/not-ready", "queue", "wait"]);
    assert_eq!(patch["metadata"]["finalizers"], json!(["other", "karpenter.sh/termination"]));
    assert_eq!(patch["metadata"]["resourceVersion"], "5");
    let labels = &patch["metadata"]["labels"];
    for (key, value) in [
        ("karpenter.sh/registered", "true"),
        ("karpenter.sh/nodepool", "spot"),
        ("team", "data"),
        ("eks-node-viewer/instance-price", "0.019003"),
    ] {
        assert_eq!(labels[key], value, "{key}");
    }
    assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], "uid");
}
