//! Volumes as drivers and people write them, and where they can be had.

use serde::de::DeserializeOwned;
use springtide_core::nodes::storage::Volume;

use super::{claim, class, limits, volume};

fn object<T: DeserializeOwned>(yaml: &str) -> T {
    serde_saphyr::from_str(yaml).expect("an object")
}

fn volume_of(yaml: &str) -> Volume {
    volume(&object(yaml)).expect("a volume that can be understood").1
}

fn places(volume: &Volume) -> Vec<String> {
    volume.reach.iter().map(ToString::to_string).collect()
}

#[test]
fn volumes_are_where_their_affinity_says_by_labels_that_every_machine_has() {
    let affinity = |expressions: &str| format!("nodeAffinity: {{required: {{nodeSelectorTerms: [{expressions}]}}}}");
    let zone = |key: &str, zone: &str| format!("{{matchExpressions: [{{key: {key}, operator: In, values: [{zone}]}}]}}");
    let csi = "csi: {driver: d, volumeHandle: h}";
    // the source, its affinity, and the places
    let table = [
        (csi, String::new(), vec![]),
        (csi, affinity(&zone("topology.ebs.csi.aws.com/zone", "a")), vec!["topology.kubernetes.io/zone In a"]),
        (csi, affinity(&zone("topology.gke.io/zone", "a, b")), vec!["topology.kubernetes.io/zone In a|b"]),
        (csi, affinity(&zone("failure-domain.beta.kubernetes.io/region", "r")), vec!["topology.kubernetes.io/region In r"]),
        (
            csi,
            affinity(&format!("{}, {}", zone("topology.kubernetes.io/zone", "a"), zone("rack", "7"))),
            vec!["topology.kubernetes.io/zone In a", "rack In 7"],
        ),
        // a disk in no zone, alone and with others
        (csi, affinity(&zone("topology.disk.csi.azure.com/zone", "''")), vec![]),
        (csi, affinity(&zone("topology.disk.csi.azure.com/zone", "'', a")), vec!["topology.kubernetes.io/zone In a"]),
        // a term that asks for nothing is no place
        (csi, affinity(&format!("{{}}, {}", zone("rack", "7"))), vec!["rack In 7"]),
        // what is on a disk of one node is there and nowhere else
        ("local: {path: /x}", affinity(&zone("kubernetes.io/hostname", "n")), vec!["kubernetes.io/hostname In n"]),
    ];
    for (source, affinity, expected) in table {
        let comma = if affinity.is_empty() { "" } else { ", " };
        let volume = volume_of(&format!("metadata: {{name: v}}\nspec: {{{source}{comma}{affinity}}}"));
        assert_eq!(places(&volume), expected, "{source} {affinity}");
    }
}

#[test]
fn volumes_of_before_csi_have_the_driver_that_took_them_over() {
    let table = [
        ("awsElasticBlockStore: {volumeID: vol-1}", "ebs.csi.aws.com", "vol-1"),
        ("gcePersistentDisk: {pdName: disk}", "pd.csi.storage.gke.io", "disk"),
        ("azureDisk: {diskName: d, diskURI: /uri}", "disk.csi.azure.com", "/uri"),
        ("azureFile: {secretName: s, shareName: share}", "file.csi.azure.com", "share"),
        ("cinder: {volumeID: c}", "cinder.csi.openstack.org", "c"),
        ("vsphereVolume: {volumePath: p}", "csi.vsphere.vmware.com", "p"),
        ("portworxVolume: {volumeID: x}", "pxd.portworx.com", "x"),
        ("csi: {driver: own, volumeHandle: h}", "own", "h"),
        ("nfs: {server: s, path: /}", "", ""),
        ("local: {path: /x}", "", ""),
    ];
    for (source, driver, handle) in table {
        let volume = volume_of(&format!("metadata: {{name: v}}\nspec: {{{source}}}"));
        assert_eq!((volume.driver.as_str(), volume.handle.as_str()), (driver, handle), "{source}");
        assert!(volume.reach.is_empty(), "{source}");
    }
}

#[test]
fn old_volumes_may_say_where_they_are_by_labels() {
    let volume = volume_of(
        "metadata: {name: v, labels: {failure-domain.beta.kubernetes.io/zone: a__b, topology.kubernetes.io/region: r}}\nspec: {gcePersistentDisk: {pdName: d}}",
    );
    assert_eq!(places(&volume), ["topology.kubernetes.io/region In r, topology.kubernetes.io/zone In a|b"]);
    let labels = "labels: {topology.kubernetes.io/zone: a}";
    let of_csi = volume_of(&format!("metadata: {{name: v, {labels}}}\nspec: {{csi: {{driver: d, volumeHandle: h}}}}"));
    assert!(of_csi.reach.is_empty(), "a driver's own affinity says all");
}

#[test]
fn classes_say_what_makes_volumes_where_and_when() {
    let read = |yaml: &str| {
        class(&object(&format!("metadata: {{name: c, creationTimestamp: 2026-01-01T00:00:00Z, annotations: {{storageclass.kubernetes.io/is-default-class: 'true'}}}}\n{yaml}"))).1
    };
    let old = read(
        "provisioner: kubernetes.io/aws-ebs\nvolumeBindingMode: WaitForFirstConsumer\nallowedTopologies: [{matchLabelExpressions: [{key: failure-domain.beta.kubernetes.io/zone, values: [a]}]}, {matchLabelExpressions: [{key: topology.ebs.csi.aws.com/zone, values: [b]}]}]",
    );
    let told: Vec<String> = old.reach.iter().map(ToString::to_string).collect();
    assert_eq!((old.driver.as_str(), old.waits), ("ebs.csi.aws.com", true));
    assert_eq!(told, ["topology.kubernetes.io/zone In a", "topology.kubernetes.io/zone In b"]);
    assert_eq!(old.default_since.map(|at| at.to_string()).as_deref(), Some("2026-01-01T00:00:00Z"));
    let plain = class(&object("metadata: {name: c}\nprovisioner: own")).1;
    assert!(plain.driver == "own" && !plain.waits && plain.default_since.is_none() && plain.reach.is_empty());
}

#[test]
fn claims_name_a_class_a_volume_or_nothing() {
    let read = |yaml: &str| claim(&object(&format!("metadata: {{name: c, namespace: n}}\n{yaml}"))).1;
    let new = read("spec: {}");
    assert!(new.class.is_none() && new.volume.is_none() && !new.bound && !new.lost && !new.deleting);
    assert!(!read("spec: {volumeName: v}").bound && read("spec: {volumeName: v}\nstatus: {phase: Bound}").bound);
    assert!(claim(&object("metadata: {name: c, annotations: {pv.kubernetes.io/bind-completed: 'yes'}}\nspec: {}")).1.bound);
    let lost = read("spec: {storageClassName: '', volumeName: v}\nstatus: {phase: Lost}");
    assert!(lost.lost && lost.class.as_deref() == Some("") && lost.volume.as_deref() == Some("v"));
    let old = claim(&object("metadata: {name: c, annotations: {volume.beta.kubernetes.io/storage-class: fast}}\nspec: {}")).1;
    assert_eq!(old.class.as_deref(), Some("fast"));
}

#[test]
fn nodes_say_how_many_volumes_of_a_driver_they_hold() {
    let (node, known) = limits(&object(
        "metadata: {name: n}\nspec: {drivers: [{name: a, nodeID: x, allocatable: {count: 25}}, {name: b, nodeID: x}, {name: c, nodeID: x, allocatable: {}}]}",
    ));
    assert_eq!((node.as_str(), known), ("n", [("a".into(), 25)].into()));
}
