//! Volumes: where a pod may run for the sake of those that it uses, and how many of a driver's a node can hold.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::requirement::Requirements;
use crate::Timestamp;
use crate::name::{Key, Name};
use crate::reason::NoNode;

/// A volume that a pod uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VolumeUse {
    /// Its PersistentVolumeClaim.
    pub claim: Key,
    /// For a claim that is made with the pod (`ephemeral`) and may not exist yet: which StorageClass it asks for; none for the default.
    pub ephemeral: Option<Option<Name>>,
}

/// A PersistentVolumeClaim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeClaim {
    /// The StorageClass that it asks for: none for the default, empty for none at all.
    pub class: Option<Name>,
    /// The PersistentVolume that it is bound to, or asks for.
    pub volume: Option<Name>,
    /// Whether it is bound to it.
    pub bound: bool,
    /// Whether its volume is gone.
    pub lost: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// A PersistentVolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The CSI driver, also of a volume that was made before there was one; empty where there is none, as for NFS.
    pub driver: Name,
    /// What the driver calls it.
    pub handle: Name,
    /// Where it can be had: one of these must hold. No entry is everywhere.
    pub reach: Vec<Requirements>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// A StorageClass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageClass {
    /// The CSI driver, also where the class still names what came before it.
    pub driver: Name,
    /// Whether volumes are made only once a pod has a node (`WaitForFirstConsumer`).
    pub waits: bool,
    /// Whether claims that name no class get this one, and since when it exists: of several defaults the newest counts.
    pub default_since: Option<Timestamp>,
    /// Where its volumes can be made: one of these must hold. No entry is everywhere.
    pub reach: Vec<Requirements>,
}

/// Volumes as far as they are known.
#[derive(Debug, Clone, Default)]
pub struct Storage {
    /// PersistentVolumeClaims by name.
    pub claims: BTreeMap<Key, VolumeClaim>,
    /// PersistentVolumes by name.
    pub volumes: BTreeMap<Name, Volume>,
    /// StorageClasses by name.
    pub classes: BTreeMap<Name, StorageClass>,
    /// How many volumes of each driver a node can hold (CSINode); a driver that is not there has no bound.
    pub limits: BTreeMap<Name, BTreeMap<Name, u32>>,
}

/// What volumes ask of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeNeeds {
    /// Wishes for the node's labels: one of these must hold. No entry is none.
    pub reach: Vec<Requirements>,
    /// Volumes to attach: driver and what it calls the volume.
    pub attached: BTreeSet<(Name, Name)>,
    /// Whether one of them is still to be made, for all pods that use it: where the first of those runs.
    pub made_once: bool,
}

/// A driver and what it calls a volume.
type Attached = (Name, Name);

/// No more ways to combine the volumes of one pod are looked at.
const MOST_WAYS: usize = 64;

/// Drivers and labels of nodes that their cloud runs itself, beside ours: what they have is nowhere else (EKS Auto Mode).
const OF_OTHER_NODES: [&str; 2] = ["ebs.csi.eks.amazonaws.com", "eks.amazonaws.com/compute-type"];
/// What stands for a driver where nothing makes volumes.
const NO_DRIVER: &str = "kubernetes.io/no-provisioner";

impl Storage {
    /// What these volumes ask of a node together.
    ///
    /// # Errors
    /// Why no node is of use before something about a volume changes.
    pub fn needs(&self, uses: &[VolumeUse]) -> Result<VolumeNeeds, NoNode> {
        let mut needs = VolumeNeeds::default();
        for used in uses {
            let (reach, attached) = self.one(used).map_err(|why| NoNode::Volume { claim: used.claim.name.clone(), why })?;
            needs.attached.extend(attached);
            let bound = self.claims.get(&used.claim).is_some_and(|claim| claim.volume.is_some());
            needs.made_once |= used.ephemeral.is_none() && !bound;
            if reach.is_empty() {
                continue;
            }
            if needs.reach.is_empty() {
                needs.reach = reach;
                continue;
            }
            let ways = needs.reach.iter().flat_map(|a| reach.iter().map(move |b| (a, b)));
            let both: BTreeSet<Requirements> = ways.filter(|(a, b)| a.conflict_with(b).is_none()).map(|(a, b)| a.and(b)).collect();
            if both.is_empty() {
                return Err(NoNode::Volume {
                    claim: used.claim.name.clone(),
                    why: "it is in another place than the pod's other volumes".to_owned(),
                });
            }
            needs.reach = both.into_iter().take(MOST_WAYS).collect();
        }
        Ok(needs)
    }

    fn one(&self, used: &VolumeUse) -> Result<(Vec<Requirements>, Option<Attached>), String> {
        let claim = self.claims.get(&used.claim);
        let (asked, volume) = match (claim, &used.ephemeral) {
            (Some(claim), _) if claim.lost => return Err("its volume is gone".to_owned()),
            (Some(claim), _) if claim.deleting => return Err("it is being deleted".to_owned()),
            (Some(claim), _) => (&claim.class, claim.volume.as_ref().filter(|name| !name.is_empty())),
            (None, Some(class)) => (class, None),
            (None, None) => return Err("it does not exist".to_owned()),
        };
        if let Some(name) = volume {
            let volume = self.volumes.get(name).ok_or_else(|| format!("PersistentVolume {name} does not exist"))?;
            if volume.deleting {
                return Err(format!("PersistentVolume {name} is being deleted"));
            }
            if claim.is_some_and(|claim| !claim.bound) {
                return Err(format!("it is not bound yet to PersistentVolume {name}, which it asks for"));
            }
            if OF_OTHER_NODES.contains(&volume.driver.as_str()) {
                return Err(format!("its driver {} serves only nodes that others run", volume.driver));
            }
            let attached = (!volume.driver.is_empty()).then(|| (volume.driver.clone(), volume.handle.clone()));
            return Ok((volume.reach.clone(), attached));
        }
        let class = match asked {
            Some(name) if name.is_empty() => return Err("it asks for no StorageClass and has no volume yet".to_owned()),
            Some(name) => self.classes.get(name).ok_or_else(|| format!("StorageClass {name} does not exist"))?,
            None => self.default_class().ok_or("it names no StorageClass, and there is no default")?,
        };
        if !class.waits {
            return Err("it has no volume yet, and its StorageClass does not wait for a node to make one".to_owned());
        }
        if class.driver == NO_DRIVER {
            return Err("it has no volume yet, and nothing makes volumes of its StorageClass".to_owned());
        }
        if OF_OTHER_NODES.contains(&class.driver.as_str()) {
            return Err(format!("the driver of its StorageClass, {}, serves only nodes that others run", class.driver));
        }
        if let Some(key) = class.reach.iter().flat_map(|term| term.0.keys()).find(|key| OF_OTHER_NODES.contains(&key.as_str())) {
            return Err(format!("its StorageClass asks for nodes by the label {key}, which only nodes have that others run"));
        }
        let handle = Name::from(format!("{}/{}", used.claim.namespace, used.claim.name));
        Ok((class.reach.clone(), Some((class.driver.clone(), handle))))
    }

    fn default_class(&self) -> Option<&StorageClass> {
        // Of equally new ones the first by name, as Kubernetes decides.
        let defaults = self.classes.iter().filter_map(|(name, class)| Some((class.default_since?, std::cmp::Reverse(name), class)));
        defaults.max_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1))).map(|(_, _, class)| class)
    }

    /// Whether a node can hold these volumes beside those that it has.
    #[must_use]
    pub fn holds(&self, node: &str, has: &BTreeSet<(Name, Name)>, more: &BTreeSet<(Name, Name)>) -> bool {
        let Some(limits) = self.limits.get(node) else { return true };
        more.iter().all(|(driver, _)| {
            let count = |of: &BTreeSet<(Name, Name)>| of.iter().filter(|(of, _)| of == driver).count();
            let new = more.difference(has).filter(|(of, _)| of == driver).count();
            limits.get(driver).is_none_or(|most| count(has) + new <= *most as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::wishes;
    use super::*;

    fn storage() -> Storage {
        let mut all = Storage::default();
        let class = |reach: &[&str]| StorageClass {
            driver: "csi".into(),
            waits: true,
            default_since: None,
            reach: reach.iter().map(|zone| wishes(&[("topology.kubernetes.io/zone", zone)])).collect(),
        };
        all.classes.insert("ab".into(), class(&["a", "b"]));
        all.classes.insert("bc".into(), class(&["b", "c"]));
        all.classes.insert("now".into(), StorageClass { waits: false, ..class(&[]) });
        for name in ["ab", "bc", "now"] {
            let claim = VolumeClaim { class: Some(name.into()), volume: None, bound: false, lost: false, deleting: false };
            all.claims.insert(Key::new("x", name), claim);
        }
        all
    }

    fn used(name: &str) -> VolumeUse {
        VolumeUse { claim: Key::new("x", name), ephemeral: None }
    }

    #[test]
    fn volumes_of_one_pod_have_to_be_in_one_place() {
        let needs = storage().needs(&[used("ab"), used("bc")]).expect("b is left");
        assert_eq!(needs.reach, [wishes(&[("topology.kubernetes.io/zone", "b")])]);
        assert_eq!(needs.attached.len(), 2);
    }

    #[test]
    fn what_no_node_can_mend_is_a_reason() {
        for name in ["now", "missing"] {
            assert!(matches!(storage().needs(&[used(name)]), Err(NoNode::Volume { .. })), "{name}");
        }
        let made_with_the_pod = VolumeUse { ephemeral: Some(Some("ab".into())), ..used("missing") };
        assert_eq!(storage().needs(&[made_with_the_pod]).map(|needs| needs.reach.len()), Ok(2));
    }

    #[test]
    fn a_claim_has_to_be_bound_to_its_volume_and_the_driver_to_serve_our_nodes() {
        let mut all = storage();
        let driver = |driver: &str| Volume { driver: driver.into(), handle: "h".into(), reach: Vec::new(), deleting: false };
        all.volumes = BTreeMap::from([("v".into(), driver("csi")), ("w".into(), driver(OF_OTHER_NODES[0]))]);
        for (claim, volume, bound) in [("bound", "v", true), ("asks", "v", false), ("elsewhere", "w", true)] {
            let claim_of = VolumeClaim { class: None, volume: Some(volume.into()), bound, lost: false, deleting: false };
            all.claims.insert(Key::new("x", claim), claim_of);
        }
        assert!(all.needs(&[used("bound")]).is_ok_and(|needs| needs.attached.len() == 1));
        assert!(all.needs(&[used("asks")]).is_err() && all.needs(&[used("elsewhere")]).is_err());
        all.classes.get_mut("ab").expect("it is there").driver = OF_OTHER_NODES[0].into();
        assert!(all.needs(&[used("ab")]).is_err());
        all.classes.get_mut("bc").expect("it is there").reach = vec![wishes(&[(OF_OTHER_NODES[1], "auto")])];
        assert!(all.needs(&[used("bc")]).is_err());
    }

    #[test]
    fn the_newest_default_class_counts() {
        let mut all = storage();
        let at = |second| Timestamp::from_second(second).ok();
        for (name, since) in [("ab", 10), ("bc", 20)] {
            all.classes.get_mut(name).expect("it is there").default_since = at(since);
        }
        let use_default = VolumeUse { ephemeral: Some(None), ..used("missing") };
        let reach = all.needs(&[use_default]).expect("there is a default").reach;
        assert_eq!(reach.last(), Some(&wishes(&[("topology.kubernetes.io/zone", "c")])));
    }

    #[test]
    fn a_node_holds_so_many_volumes_of_a_driver_and_the_same_one_once() {
        let mut all = storage();
        all.limits.insert("n".into(), BTreeMap::from([("csi".into(), 2)]));
        let set = |names: &[&str]| names.iter().map(|name| (Name::from("csi"), Name::from(*name))).collect::<BTreeSet<_>>();
        assert!(all.holds("n", &set(&["1"]), &set(&["2"])));
        assert!(all.holds("n", &set(&["1", "2"]), &set(&["2"])));
        assert!(!all.holds("n", &set(&["1", "2"]), &set(&["3"])));
        assert!(all.holds("other", &set(&["1", "2"]), &set(&["3"])));
    }
}
