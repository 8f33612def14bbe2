//! Pods as people write them, and what decides where they run.

use k8s_openapi::api::core::v1 as core;
use springtide_core::nodes::cluster::{PodPhase, PodRole};
use springtide_core::nodes::requirement::Labels;
use springtide_core::nodes::selector::Identity;
use springtide_core::nodes::shape::{Beyond, Shape, Shapes};
use springtide_core::units::{Bytes, MilliCpu};

use super::{limits, pod, shape};

fn spec(yaml: &str) -> core::PodSpec {
    serde_saphyr::from_str(yaml).expect("a pod specification")
}

fn shaped(yaml: &str) -> Shape {
    shape(&spec(yaml), &Identity::default(), &mut Shapes::default()).expect("a pod that can be understood")
}

#[test]
fn requests_add_up_as_the_scheduler_adds_them() {
    let table = [
        // containers alone
        (
            "containers: [{name: a, resources: {requests: {cpu: 100m, memory: 1Gi}}}, {name: b, resources: {requests: {cpu: '1'}}}]",
            1100,
            1 << 30,
        ),
        // a limit stands in for a request that is missing, one by one
        ("containers: [{name: a, resources: {limits: {cpu: 200m}}}]", 200, 0),
        ("containers: [{name: a, resources: {limits: {cpu: 200m, memory: 1Gi}, requests: {cpu: 100m}}}]", 100, 1 << 30),
        // a hungry init container
        (
            "initContainers: [{name: i, resources: {requests: {cpu: '2'}}}]\ncontainers: [{name: a, resources: {requests: {cpu: '1'}}}]",
            2000,
            0,
        ),
        // a sidecar runs beside the containers
        (
            "initContainers: [{name: s, restartPolicy: Always, resources: {requests: {cpu: 500m}}}]\ncontainers: [{name: a, resources: {requests: {cpu: '1'}}}]",
            1500,
            0,
        ),
        // and beside the init containers that come after it
        (
            "initContainers: [{name: s, restartPolicy: Always, resources: {requests: {cpu: 500m}}}, {name: i, resources: {requests: {cpu: '2'}}}]\ncontainers: [{name: a, resources: {requests: {cpu: '1'}}}]",
            2500,
            0,
        ),
        // but not beside those before it
        (
            "initContainers: [{name: i, resources: {requests: {cpu: '2'}}}, {name: s, restartPolicy: Always, resources: {requests: {cpu: 500m}}}]\ncontainers: [{name: a, resources: {requests: {cpu: '1'}}}]",
            2000,
            0,
        ),
        // overhead of the runtime
        ("overhead: {cpu: 250m, memory: 120Mi}\ncontainers: [{name: a, resources: {requests: {cpu: '1'}}}]", 1250, 120 << 20),
        // requests of the pod as a whole
        ("resources: {requests: {cpu: '3'}}\ncontainers: [{name: a, resources: {requests: {cpu: '1', memory: 1Gi}}}]", 3000, 1 << 30),
        // limits of the pod as a whole, where its containers ask for nothing
        ("resources: {limits: {cpu: '3', memory: 2Gi}}\ncontainers: [{name: a, resources: {requests: {cpu: '1'}}}]", 1000, 2 << 30),
        // overhead comes on top of them, too
        ("overhead: {cpu: 250m}\nresources: {requests: {cpu: '3'}}\ncontainers: [{name: a}]", 3250, 0),
        // two init containers are never there together
        (
            "initContainers: [{name: i, resources: {requests: {cpu: '2'}}}, {name: j, resources: {requests: {memory: 1Gi}}}]\ncontainers: [{name: a, resources: {requests: {cpu: '1'}}}]",
            2000,
            1 << 30,
        ),
        // fractions round up
        ("containers: [{name: a, resources: {requests: {cpu: 1500u, memory: 1500m}}}]", 2, 2),
    ];
    for (yaml, cpu, memory) in table {
        let shape = shaped(yaml);
        assert_eq!((shape.requests.cpu, shape.requests.memory, shape.requests.pods), (MilliCpu(cpu), Bytes(memory), 1), "{yaml}");
    }
    let gpu = shaped("containers: [{name: a, resources: {limits: {nvidia.com/gpu: '2'}}}]");
    assert_eq!(gpu.requests.get("nvidia.com/gpu"), 2);
    let limited = limits(&spec("containers: [{name: a, resources: {limits: {cpu: '2'}, requests: {cpu: '1'}}}]")).expect("limits");
    assert_eq!(limited.cpu, MilliCpu(2000));
    let whole =
        "overhead: {cpu: 500m, memory: 1Gi}\nresources: {limits: {cpu: '3'}}\ncontainers: [{name: a, resources: {limits: {cpu: '2'}}}]";
    let limited = limits(&spec(whole)).expect("limits");
    assert_eq!((limited.cpu, limited.memory), (MilliCpu(3500), Bytes(0)));
    let huge = shaped(
        "resources: {requests: {hugepages-2Mi: 4Mi, nvidia.com/gpu: '8'}}\ncontainers: [{name: a, resources: {limits: {nvidia.com/gpu: '2'}}}]",
    );
    assert_eq!(
        (huge.requests.get("hugepages-2Mi"), huge.requests.get("nvidia.com/gpu")),
        (4 << 20, 2),
        "only some can be asked for by the pod"
    );
}

#[test]
fn a_quantity_that_is_none_names_its_field() {
    let spec = spec("containers: [{name: a, resources: {requests: {cpu: lots}}}]");
    let error = shape(&spec, &Identity::default(), &mut Shapes::default()).expect_err("no quantity");
    assert!(error.to_string().contains("spec.containers[a].resources.requests.cpu"), "{error}");
}

#[test]
fn selectors_and_terms_become_wishes_one_of_which_must_hold() {
    let shape = shaped(
        "nodeSelector: {disk: ssd}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions: [{key: zone, operator: In, values: [a]}]
        - matchExpressions: [{key: generation, operator: Gt, values: ['4']}]
        - {}
containers: [{name: a}]",
    );
    let on = |pairs: &[(&str, &str)]| -> bool {
        let labels: Labels = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        shape.may_run_on(&labels, [])
    };
    assert!(on(&[("disk", "ssd"), ("zone", "a")]));
    assert!(on(&[("disk", "ssd"), ("generation", "5")]));
    assert!(!on(&[("disk", "ssd"), ("generation", "4")]), "and the empty term matches nothing");
    assert!(!on(&[("zone", "a")]));
    let old = shaped("nodeSelector: {beta.kubernetes.io/arch: arm64}\ncontainers: [{name: a}]");
    assert!(old.may_run_on(&Labels::from([("kubernetes.io/arch".into(), "arm64".into())]), []), "old spellings are the new ones");
}

#[test]
fn what_the_planner_does_not_place_is_named() {
    let claim = shaped("resourceClaims: [{name: gpu, resourceClaimName: c}]\ncontainers: [{name: a}]");
    assert_eq!(claim.beyond.into_iter().collect::<Vec<_>>(), [Beyond::ResourceClaim]);
    assert!(shaped("containers: [{name: a}]").beyond.is_empty());
}

#[test]
fn pods_are_what_their_owner_and_phase_make_them() {
    let read = |yaml: &str| {
        let object: core::Pod = serde_saphyr::from_str(yaml).expect("a pod");
        pod(&object, &mut Shapes::default()).expect("a pod that can be understood")
    };
    let (key, waiting) = read(
        "metadata: {name: p, namespace: n, uid: u, resourceVersion: '7', ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: r, uid: owner, controller: true}]}
spec: {containers: [{name: a}]}
status: {phase: Pending}",
    );
    assert_eq!((key.to_string().as_str(), waiting.version, waiting.controller.as_deref()), ("n/p", 7, Some("owner")));
    assert!(waiting.waits());
    let (_, gated) = read("metadata: {name: p}\nspec: {schedulingGates: [{name: g}], containers: [{name: a}]}");
    assert!(!gated.waits());
    let (_, daemon) = read(
        "metadata: {name: p, ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: d, uid: u, controller: true}]}\nspec: {containers: [{name: a}]}",
    );
    assert!(daemon.role == PodRole::Daemon && !daemon.waits());
    let (_, done) = read("metadata: {name: p}\nspec: {nodeName: n, containers: [{name: a}]}\nstatus: {phase: Succeeded}");
    assert!(done.phase == PodPhase::Ended && !done.is_alive());
}
