//! Volumes, and what makes them. What the kubelet once did itself is spoken of as its CSI driver: so CSINodes count it, and so drivers name their places.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorTerm, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec, TopologySelectorTerm};
use k8s_openapi::api::storage::v1 as storage;
use springtide_core::Timestamp;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::requirement::{Operator, Requirement, Requirements};
use springtide_core::nodes::storage::{StorageClass, Volume, VolumeClaim};

use super::pod::requirement;
use super::{Unclear, created, key};
use crate::labels::{OLD_SPELLINGS, REGION, ZONE, normalized};

/// Provisioners of before CSI, and the drivers that took their place (`k8s.io/csi-translation-lib`).
const DRIVERS: [(&str, &str); 7] = [
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("kubernetes.io/azure-file", "file.csi.azure.com"),
    ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
    ("kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"),
];
/// Names of their own that drivers have for zones and regions. Every machine has Kubernetes' labels, and these only once its driver runs.
const PLACES: [(&str, &str); 6] = [
    ("topology.ebs.csi.aws.com/zone", ZONE),
    ("topology.disk.csi.azure.com/zone", ZONE),
    ("topology.gke.io/zone", ZONE),
    ("topology.cinder.csi.openstack.org/zone", ZONE),
    ("topology.csi.vmware.com/k8s-zone", ZONE),
    ("topology.csi.vmware.com/k8s-region", REGION),
];
/// What stands between the zones of a volume that is in several.
const BETWEEN_ZONES: &str = "__";
/// Annotations, new and old, of the class that claims get which name none.
const DEFAULT_CLASS: [&str; 2] = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// Annotation of a claim that is bound. The binder writes it last of all.
const BOUND: &str = "pv.kubernetes.io/bind-completed";
/// Where a claim names its class if it is older than the field for it.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// A PersistentVolumeClaim.
#[must_use]
pub fn claim(object: &PersistentVolumeClaim) -> (Key, VolumeClaim) {
    let spec = object.spec.as_ref();
    let note = |name: &str| object.metadata.annotations.as_ref().and_then(|notes| notes.get(name));
    let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
    let claim = VolumeClaim {
        class: note(CLASS).or_else(|| spec?.storage_class_name.as_ref()).map(Name::from),
        volume: spec.and_then(|spec| spec.volume_name.as_deref()).filter(|name| !name.is_empty()).map(Name::from),
        bound: note(BOUND).is_some() || phase == Some("Bound"),
        lost: phase == Some("Lost"),
        deleting: object.metadata.deletion_timestamp.is_some(),
    };
    (key(&object.metadata), claim)
}

/// A PersistentVolume.
///
/// # Errors
/// What about its node affinity cannot be understood.
pub fn volume(object: &PersistentVolume) -> Result<(Name, Volume), Unclear> {
    let name = key(&object.metadata).name;
    let nothing = PersistentVolumeSpec::default();
    let spec = object.spec.as_ref().unwrap_or(&nothing);
    let required = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
    let terms = required.map(|required| required.node_selector_terms.as_slice()).unwrap_or_default();
    let mut reach = Vec::new();
    for (i, term) in terms.iter().enumerate() {
        let field = format!("spec.nodeAffinity.required.nodeSelectorTerms[{i}]");
        reach.extend(place(term, &field)?);
    }
    let (driver, handle) = source(spec).unwrap_or_default();
    if reach.iter().any(|place| place.0.is_empty()) {
        // One place that is everywhere.
        reach.clear();
    } else if !driver.is_empty() && spec.csi.is_none() {
        reach = within(reach, object.metadata.labels.as_ref());
    }
    Ok((name, Volume { driver, handle, reach, deleting: object.metadata.deletion_timestamp.is_some() }))
}

/// The driver, and what it calls the volume; none for what no driver attaches, as NFS.
fn source(spec: &PersistentVolumeSpec) -> Option<(Name, Name)> {
    if let Some(csi) = &spec.csi {
        return Some(((&csi.driver).into(), (&csi.volume_handle).into()));
    }
    let (old, handle) = if let Some(source) = &spec.aws_elastic_block_store {
        ("kubernetes.io/aws-ebs", &source.volume_id)
    } else if let Some(source) = &spec.azure_disk {
        ("kubernetes.io/azure-disk", &source.disk_uri)
    } else if let Some(source) = &spec.azure_file {
        ("kubernetes.io/azure-file", &source.share_name)
    } else if let Some(source) = &spec.cinder {
        ("kubernetes.io/cinder", &source.volume_id)
    } else if let Some(source) = &spec.gce_persistent_disk {
        ("kubernetes.io/gce-pd", &source.pd_name)
    } else if let Some(source) = &spec.portworx_volume {
        ("kubernetes.io/portworx-volume", &source.volume_id)
    } else if let Some(source) = &spec.vsphere_volume {
        ("kubernetes.io/vsphere-volume", &source.volume_path)
    } else {
        return None;
    };
    Some((driver(old), handle.into()))
}

/// The driver of a provisioner.
fn driver(provisioner: &str) -> Name {
    DRIVERS.iter().find(|(old, _)| *old == provisioner).map_or(provisioner, |(_, driver)| driver).into()
}

/// A label of a place as every machine has it.
fn place_label(key: &str) -> &str {
    PLACES.iter().find(|(own, _)| *own == key).map_or_else(|| normalized(key), |(_, label)| label)
}

/// One place where a volume can be had; none where a term asks for nothing, which is no place.
fn place(term: &NodeSelectorTerm, field: &str) -> Result<Option<Requirements>, Unclear> {
    let all = term.match_expressions.as_deref().unwrap_or_default();
    let mut place = Requirements::default();
    for expression in all {
        let values: Vec<String> = zones(expression.values.iter().flatten());
        // Azure says of a disk that is in no zone that its zone is nothing.
        if values.is_empty() && expression.values.iter().flatten().next().is_some() {
            continue;
        }
        let wish = requirement(&expression.operator, &values).map_err(|what| Unclear::new(field, what))?;
        place.add(place_label(&expression.key).into(), &wish);
    }
    Ok((!all.is_empty()).then_some(place))
}

fn zones<'a>(values: impl Iterator<Item = &'a String>) -> Vec<String> {
    values.filter(|value| !value.is_empty()).cloned().collect()
}

/// A volume of before CSI that says where it is by its labels alone.
fn within(reach: Vec<Requirements>, labels: Option<&BTreeMap<String, String>>) -> Vec<Requirements> {
    let mut place = Requirements::default();
    for label in [ZONE, REGION] {
        let old = OLD_SPELLINGS.iter().find(|(_, new)| *new == label).map_or(label, |(old, _)| old);
        let Some(values) = labels.and_then(|labels| labels.get(label).or_else(|| labels.get(old))) else { continue };
        let values = values.split(BETWEEN_ZONES).filter(|value| !value.is_empty()).map(Name::from);
        let is_told = reach.iter().any(|place| place.0.contains_key(label));
        if let Some(wish) = Requirement::new(Operator::In, values).ok().filter(|wish| !is_told && wish.listed().is_some()) {
            place.add(label.into(), &wish);
        }
    }
    match (place.0.is_empty(), reach.is_empty()) {
        (true, _) => reach,
        (false, true) => vec![place],
        (false, false) => reach.iter().map(|one| one.and(&place)).collect(),
    }
}

/// A StorageClass.
#[must_use]
pub fn class(object: &storage::StorageClass) -> (Name, StorageClass) {
    let notes = object.metadata.annotations.as_ref();
    let is_default = DEFAULT_CLASS.iter().any(|name| notes.and_then(|notes| notes.get(*name)).is_some_and(|value| value == "true"));
    let mut reach: Vec<Requirements> = object.allowed_topologies.iter().flatten().filter_map(allowed).collect();
    if reach.iter().any(|place| place.0.is_empty()) {
        reach.clear();
    }
    let class = StorageClass {
        driver: driver(&object.provisioner),
        waits: object.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
        default_since: is_default.then(|| created(&object.metadata).max(Timestamp::UNIX_EPOCH)),
        reach,
    };
    (key(&object.metadata).name, class)
}

fn allowed(term: &TopologySelectorTerm) -> Option<Requirements> {
    let all = term.match_label_expressions.as_deref().filter(|all| !all.is_empty())?;
    let mut place = Requirements::default();
    for expression in all {
        let values = zones(expression.values.iter());
        if let Ok(wish) = Requirement::new(Operator::In, values.iter().map(Name::from))
            && !values.is_empty()
        {
            place.add(place_label(&expression.key).into(), &wish);
        }
    }
    Some(place)
}

/// How many volumes of each driver a node can hold.
#[must_use]
pub fn limits(object: &storage::CSINode) -> (Name, BTreeMap<Name, u32>) {
    let known = object.spec.drivers.iter().filter_map(|driver| {
        let count = driver.allocatable.as_ref()?.count?;
        Some((Name::from(&driver.name), u32::try_from(count).ok()?))
    });
    (key(&object.metadata).name, known.collect())
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
