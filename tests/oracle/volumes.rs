//! Persistent volumes: bound to a zone or to a node, or to be made where the first pod goes.

use serde_json::{Value, json};

use super::chance::Chance;
use super::market::ZONES;
use super::words::{HOSTNAME, ZONE};
use super::workloads::Workload;

/// Who makes volumes of scenes' StorageClasses.
pub const PROVISIONER: &str = "disks.example.com";
/// In the name of a claim that each pod has of its own.
const OWN: &str = "(own)";

/// Gives the pods of a workload volumes, or not. Returns the objects for them.
pub fn add(seed: u64, number: usize, workload: &Workload, spec: &mut Value) -> Vec<Value> {
    let mut chance = Chance::of(seed, "volumes", number);
    if !chance.one_in(9) {
        return Vec::new();
    }
    let is_own = chance.one_in(2);
    let (name, claim) = (&workload.name, format!("{}-data{}", workload.name, if is_own { OWN } else { "" }));
    spec["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]);
    let class = format!("s{seed}-{name}");
    let claims: Vec<String> = if is_own { (0..workload.waiting()).map(|pod| own(&claim, pod)).collect() } else { vec![claim] };
    let mut objects = Vec::new();
    match chance.between(0, 9) {
        // Where the volume is, the pods go.
        0..=5 => {
            for claim in &claims {
                let zones = if chance.one_in(5) { chance.some(&ZONES, 2) } else { vec![chance.pick(&ZONES)] };
                let row = json!({"key": ZONE, "operator": "In", "values": zones});
                objects.extend(bound(seed, workload.namespace, claim, &row));
            }
        }
        6 => {
            let row = json!({"key": HOSTNAME, "operator": "In", "values": [format!("s{seed}-node-0")]});
            objects.extend(claims.iter().flat_map(|claim| bound(seed, workload.namespace, claim, &row)));
        }
        // Where the first pod goes, the volume is made. It takes the scheduler a second to look at it again.
        7 | 8 => {
            let mut storage = storage_class(&class, "WaitForFirstConsumer");
            if chance.one_in(2) {
                let zones = chance.some(&ZONES, 2);
                storage["allowedTopologies"] = json!([{"matchLabelExpressions": [{"key": ZONE, "values": zones}]}]);
            }
            objects.push(storage);
            objects.extend(claims.iter().map(|claim| volume_claim(workload.namespace, claim, &class)));
        }
        // Nobody has made the volume yet, or there is not even a claim.
        _ if chance.one_in(2) => {
            objects.push(storage_class(&class, "Immediate"));
            objects.extend(claims.iter().map(|claim| volume_claim(workload.namespace, claim, &class)));
        }
        _ => {}
    }
    objects
}

/// Puts the pod's number into the names of claims that it has of its own.
pub fn name_own(pod: &mut Value, number: usize) {
    if let Some(name) = pod.pointer_mut("/spec/volumes/0/persistentVolumeClaim/claimName")
        && let Some(text) = name.as_str().map(|text| own(text, number))
    {
        *name = json!(text);
    }
}

fn own(claim: &str, pod: usize) -> String {
    claim.replace(OWN, &format!("-{pod}"))
}

fn storage_class(name: &str, mode: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": PROVISIONER,
        "volumeBindingMode": mode,
    })
}

fn volume_claim(namespace: &str, name: &str, class: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}},
    })
}

/// A volume that is where this row of a selector says.
pub fn volume(name: &str, namespace: &str, claim: &str, row: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "csi": {"driver": PROVISIONER, "volumeHandle": name},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [row]}]}},
        },
    })
}

/// What binding a claim to a volume writes into it.
pub fn bind(claim: &mut Value, volume: &str) {
    claim["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] = json!("yes");
    claim["spec"]["volumeName"] = json!(volume);
}

fn bound(seed: u64, namespace: &str, claim: &str, row: &Value) -> [Value; 2] {
    let name = format!("s{seed}-{namespace}-{claim}");
    let mut object = volume_claim(namespace, claim, "");
    bind(&mut object, &name);
    object["status"] = json!({"phase": "Bound"});
    [volume(&name, namespace, claim, row), object]
}
