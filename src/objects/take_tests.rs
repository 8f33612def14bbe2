//! Storage, budgets, buffers and workloads, as files have them.

use springtide_core::name::Key;
use springtide_core::nodes::shape::Shape;
use springtide_core::units::Replicas;

use crate::manifests::{Limits, parse};
use crate::objects::{Objects, read};

fn objects(text: &str) -> Objects {
    let parsed = parse(&"x.yaml".into(), text, &Limits::default());
    assert!(parsed.faults.is_empty(), "{:?}", parsed.faults);
    read(&parsed.documents)
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 10
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: a, resources: {requests: {cpu: '1'}}}]
      volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]
      affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, labelSelector: {matchLabels: {app: web}}}]}}
";

#[test]
fn buffers_keep_room_for_pods_like_their_sources_and_less_urgent_than_any() {
    let objects = objects(&format!(
        "{DEPLOYMENT}---
apiVersion: autoscaling.x-k8s.io/v1beta1
kind: CapacityBuffer
metadata: {{name: share}}
spec: {{scalableRef: {{apiGroup: apps, kind: Deployment, name: web}}, percentage: 25}}
---
apiVersion: autoscaling.x-k8s.io/v1beta1
kind: CapacityBuffer
metadata: {{name: fixed}}
spec: {{podTemplateRef: {{name: small}}, replicas: 8, limits: {{cpu: '2'}}}}
---
apiVersion: v1
kind: PodTemplate
metadata: {{name: small}}
template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: a, resources: {{requests: {{cpu: 500m}}}}}}]}}}}
---
apiVersion: autoscaling.x-k8s.io/v1beta1
kind: CapacityBuffer
metadata: {{name: lost}}
spec: {{podTemplateRef: {{name: gone}}, replicas: 1}}
"
    ));
    let buffer = |name: &str| -> (&Shape, u32) {
        let (shape, count) = objects.cluster.buffers.get(&Key::new("default", name)).expect("a buffer");
        (objects.cluster.shapes.get(*shape), *count)
    };
    let (share, count) = buffer("share");
    assert_eq!((count, share.priority, share.volumes.len(), share.requests.get("cpu")), (3, i32::MIN, 0, 1000));
    let (fixed, count) = buffer("fixed");
    assert_eq!((count, fixed.priority, fixed.requests.get("cpu")), (4, i32::MIN, 500));
    let apart = share.apart.first().expect("a term").selector;
    assert!(share.selected_by.contains(apart) && fixed.selected_by.contains(apart), "selectors know them");
    let told: Vec<&str> = objects.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(told, ["PodTemplate default/gone is not in these files"]);
}

#[test]
fn storage_and_budgets_are_taken_in_by_name() {
    let objects = objects(
        "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: c}
spec: {volumeName: v}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: v}
spec: {csi: {driver: d, volumeHandle: h}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast}
provisioner: d
---
apiVersion: storage.k8s.io/v1
kind: CSINode
metadata: {name: node-a}
spec: {drivers: [{name: d, nodeID: x, allocatable: {count: 3}}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: b}
spec: {maxUnavailable: 0, selector: {matchLabels: {app: a}}}
---
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: a}}
spec: {nodeName: node-a, containers: [{name: a}]}
",
    );
    let storage = &objects.cluster.storage;
    assert!(
        storage.claims.contains_key(&Key::new("default", "c")) && storage.volumes.contains_key("v") && storage.classes.contains_key("fast")
    );
    assert_eq!(storage.limits.get("node-a").and_then(|limits| limits.get("d")), Some(&3));
    let (key, pod) = objects.cluster.pods.first_key_value().expect("a pod");
    assert!(objects.cluster.is_held(key, pod));
    assert!(objects.findings.is_empty() && objects.passed_over.is_empty(), "{:?}", objects.findings);
}

#[test]
fn jobs_and_controllers_have_replicas_too() {
    let job = |name: &str, spec: &str, status: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec: {{template: {{spec: {{containers: [{{name: a}}]}}}}, {spec}}}\n{status}"
        )
    };
    let documents = [
        job("plain", "backoffLimit: 1", ""),
        job("wide", "parallelism: 5, completions: 7", "status: {succeeded: 4}"),
        job("queue", "parallelism: 5", ""),
        job("queue-ending", "parallelism: 5", "status: {succeeded: 1}"),
        job("held", "parallelism: 5, suspend: true", ""),
        job(
            "failed",
            "parallelism: 5",
            "status: {conditions: [{type: Failed, status: 'True', lastTransitionTime: 2026-01-01T00:00:00Z}]}",
        ),
        "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: old}\nspec: {replicas: 2, selector: {app: a}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a}]}}}".to_owned(),
    ];
    let objects = objects(&documents.join("\n---\n"));
    assert!(objects.findings.is_empty(), "{:?}", objects.findings);
    let replicas: Vec<(String, Replicas)> =
        objects.replicas().into_iter().map(|(key, replicas)| (key.key.name.to_string(), replicas)).collect();
    let expected = [("failed", 0), ("held", 0), ("plain", 1), ("queue", 5), ("queue-ending", 0), ("wide", 3), ("old", 2)];
    assert_eq!(replicas, expected.map(|(name, replicas)| (name.to_owned(), Replicas(replicas))));
}

#[test]
fn a_stateful_set_makes_claims_with_its_pods() {
    let objects = objects(
        "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: s}
spec:
  replicas: 1
  selector: {matchLabels: {app: s}}
  template: {metadata: {labels: {app: s}}, spec: {containers: [{name: a}]}}
  volumeClaimTemplates: [{metadata: {name: data}, spec: {storageClassName: fast}}]
",
    );
    let workload = objects.cluster.workloads.values().next().expect("a workload");
    let template = objects.cluster.templates.get(&workload.template);
    let Some(springtide_core::nodes::workload::Template::Pod { shape, .. }) = template else { panic!("it looks like something") };
    let volumes = &objects.cluster.shapes.get(*shape).volumes;
    let told: Vec<String> = volumes.iter().map(|used| format!("{} {:?}", used.claim, used.ephemeral)).collect();
    assert_eq!(told, [r#"default/(new)-data Some(Some("fast"))"#]);
}
