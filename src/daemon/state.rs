//! All that the daemon knows: the index of the cluster, the ScaledObjects, and what is remembered from turn to turn. Fed by sightings and facts.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ObjectReference, PodTemplateSpec};
use kube::api::DynamicObject;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use springtide_api::karpenter::{KwokNodeClass, NodeClaim, NodePool};
use springtide_api::keda::{ClusterTriggerAuthentication, ScaledObject, TriggerAuthentication, TriggerAuthenticationSpec};
use springtide_api::typed;
use springtide_api::typed::buffer::Buffer;
use springtide_api::typed::workload::Looks;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::Cluster;
use springtide_core::nodes::decide::Memory as NodeMemory;
use springtide_core::nodes::offer::{ClassRef, Offers};
use springtide_core::nodes::workload::{Template, Workload, WorkloadKey};
use springtide_core::units::Replicas;
use springtide_scalers::TriggerId;
use tokio::time::Instant;

use super::resolve::Authentications;
use super::scaled::Scaled;
use super::standing::Standing;
use crate::kube::act::Fact;
use crate::kube::probe::Probed;
use crate::kube::watch::{Change, Custom, Seen};

/// What is known.
#[derive(Default)]
pub struct State {
    /// The index.
    pub cluster: Cluster,
    /// What can be bought.
    pub offers: Offers,
    /// ScaledObjects by name.
    pub scaled: BTreeMap<Key, Scaled>,
    /// Authentications by kind and name; those of the cluster have no namespace.
    pub auths: Authentications,
    /// HPAs by name, with what they scale.
    pub hpas: BTreeMap<Key, WorkloadKey>,
    /// NodePools as objects, for their status.
    pub pools: BTreeMap<Name, NodePool>,
    /// What keeps each NodePool from being used.
    pub standings: BTreeMap<Name, Standing>,
    /// What the node layer remembers.
    pub memory: NodeMemory,
    /// What the workload layer wants of each target.
    pub wanted: BTreeMap<WorkloadKey, Replicas>,
    /// What has to be looked at again outside of the index.
    pub news: News,
    /// Objects that exist and cannot be read. What was known of them before is not acted on, but for claims: their machines are there.
    pub unreadable: BTreeMap<(Custom, Key), Unreadable>,
    /// Pools whose claims the API server refuses, why, and since when.
    pub refused_pools: BTreeMap<Name, (String, Instant)>,
    /// Pools in shadow mode by annotation.
    pub shadow_pools: BTreeSet<Name>,
    /// How DaemonSets' pods look.
    pub(super) daemons: BTreeMap<Key, Looks>,
    /// How pods of PodTemplates look.
    pub(super) templates: BTreeMap<Key, Looks>,
    /// How pods of workloads look by their own text, for buffers that speak of them.
    pub(super) looks: BTreeMap<WorkloadKey, Looks>,
    /// CapacityBuffers by name.
    pub(super) buffers: BTreeMap<Key, Buffer>,
    /// Namespaces that exist.
    pub(super) namespaces: BTreeSet<Name>,
    watches: usize,
    pub(super) listed: BTreeSet<String>,
    /// NodePools whose NodeClass is of a cloud that is not served here.
    pub foreign: BTreeSet<Name>,
    confirmed: BTreeMap<Name, Instant>,
}

/// An object that cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Unreadable {
    /// The object.
    pub about: ObjectReference,
    /// The field, what is wrong with it, and what to do.
    pub why: String,
}

/// What changed since it was last asked.
#[derive(Default)]
pub struct News {
    /// ScaledObjects whose triggers have to be resolved anew.
    pub unresolved: BTreeSet<Key>,
    /// ScaledObjects that are gone, or whose triggers are.
    pub dropped: Vec<Scaled>,
    /// NodeClasses whose offers have to be asked for.
    pub classes: BTreeSet<ClassRef>,
    /// Triggers that nobody has any more.
    pub unbound: Vec<TriggerId>,
}

impl State {
    /// Whether every watch has shown its first list.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.watches > 0 && self.listed.len() == self.watches
    }

    /// Begins a new round of so many watches: what is known stays, and nothing is decided until all of it has been listed again.
    pub fn begin_round(&mut self, watches: usize) {
        self.watches = watches;
        self.listed.clear();
    }

    /// Takes in what a watch or an answer told.
    pub fn see(&mut self, now: Timestamp, seen: Seen) {
        match seen {
            Seen::Pod(change) => self.see_pod(now, change),
            Seen::Node(change) => match change {
                Change::Applied(node) => match typed::node::node(&node) {
                    Ok((name, node)) => drop(self.cluster.apply_node(name, node)),
                    Err(error) => tracing::warn!(node = node.name_any(), %error, "a node cannot be understood and is left out"),
                },
                Change::Deleted(node) => self.cluster.delete_node(&node.name_any(), node.metadata.uid.as_deref()),
                Change::Listed { keys, .. } => self.listed(
                    "Node",
                    keys,
                    |state| state.cluster.nodes.keys().map(plain).collect(),
                    |state, key| state.cluster.delete_node(&key.name, None),
                ),
            },
            Seen::Deployment(change) => self.see_workload("Deployment", change, |object| {
                Some((typed::workload::deployment(object), Cow::Borrowed(&object.spec.as_ref()?.template)))
            }),
            Seen::StatefulSet(change) => self.see_workload("StatefulSet", change, |object| {
                Some((typed::workload::stateful_set(object), Cow::Owned(typed::workload::stateful_template(object)?)))
            }),
            Seen::ReplicaSet(change) => self.see_replica_set(change),
            Seen::Quota(change) => {
                self.keep(change, |state| &mut state.cluster.quotas, Key::clone, |object, _| Ok(typed::node::quota(object)?.1))
            }
            Seen::Hpa(change) => self.keep(change, |state| &mut state.hpas, Key::clone, |object, _| Ok(target_of(object))),
            Seen::Custom(kind, change) => self.see_custom(now, kind, change),
            other => self.see_surroundings(other),
        }
    }

    fn see_pod(&mut self, now: Timestamp, change: Change<k8s_openapi::api::core::v1::Pod>) {
        match change {
            Change::Applied(pod) => match typed::pod::pod(&pod, &mut self.cluster.shapes) {
                Ok((key, pod)) => drop(self.cluster.apply_pod(now, key, pod)),
                Err(error) => tracing::warn!(pod = %typed::key(&pod.metadata), %error, "a pod cannot be understood and is left out"),
            },
            Change::Deleted(pod) => self.cluster.delete_pod(now, &typed::key(&pod.metadata), pod.metadata.uid.as_deref()),
            Change::Listed { keys, .. } => {
                self.cluster.retain_pods(now, &keys);
                self.listed.insert("Pod".to_owned());
            }
        }
    }

    fn see_workload<K>(
        &mut self,
        kind: &str,
        change: Change<K>,
        read: impl Fn(&K) -> Option<((WorkloadKey, Workload), Cow<'_, PodTemplateSpec>)>,
    ) {
        match change {
            Change::Applied(object) => {
                if let Some(((key, workload), template)) = read(&object) {
                    self.look_at(&key, &template);
                    self.cluster.apply_workload(key, workload);
                }
            }
            Change::Deleted(object) => {
                if let Some(((key, _), _)) = read(&object) {
                    self.looks.remove(&key);
                    self.cluster.workloads.remove(&key);
                }
            }
            Change::Listed { keys, .. } => {
                let stays = |key: &WorkloadKey| key.kind != kind || keys.contains(&key.key);
                self.looks.retain(|key, _| stays(key));
                self.cluster.workloads.retain(|key, _| stays(key));
                self.listed.insert(kind.to_owned());
            }
        }
    }

    fn see_replica_set(&mut self, change: Change<ReplicaSet>) {
        match &change {
            Change::Applied(object) => {
                let (_, workload, set) = typed::workload::replica_set(object);
                let owned = set.owner.is_some();
                self.cluster.apply_replica_set(workload.uid, set);
                // One that a Deployment owns is scaled through the Deployment.
                if owned {
                    return;
                }
            }
            Change::Deleted(object) => self.cluster.delete_replica_set(&typed::uid(&object.metadata)),
            // Sets are known by UID: one that is gone owns no pods, and does no harm.
            Change::Listed { .. } => {}
        }
        self.see_workload("ReplicaSet", change, |object| {
            let (key, workload, _) = typed::workload::replica_set(object);
            Some(((key, workload), Cow::Owned(object.spec.as_ref()?.template.clone().unwrap_or_default())))
        });
    }

    fn see_custom(&mut self, now: Timestamp, kind: Custom, change: Change<DynamicObject>) {
        let key = |object: &DynamicObject| typed::key(&object.metadata);
        match (kind, change) {
            (Custom::ScaledObject, Change::Applied(object)) => self.apply_scaled(now, *object),
            (Custom::ScaledObject, Change::Deleted(object)) => self.drop_scaled(&key(&object)),
            (Custom::TriggerAuthentication, Change::Applied(object)) => {
                let auth = self.read::<TriggerAuthentication>(kind, &object);
                self.apply_auth(key(&object), auth.map(|auth| auth.spec));
            }
            (Custom::ClusterTriggerAuthentication, Change::Applied(object)) => {
                let auth = self.read::<ClusterTriggerAuthentication>(kind, &object);
                self.apply_auth(key(&object), auth.map(|auth| auth.spec.0));
            }
            (Custom::TriggerAuthentication | Custom::ClusterTriggerAuthentication, Change::Deleted(object)) => {
                self.forget_unreadable(kind, &key(&object));
                self.drop_auth(&key(&object))
            }
            (Custom::NodePool, Change::Applied(object)) => {
                let pool = self.read::<NodePool>(kind, &object).unwrap_or_else(|_| typed::pool::salvage(&plain_json(&object)));
                self.pools.insert(object.name_any().into(), pool);
                self.refresh_pools();
            }
            (Custom::NodePool, Change::Deleted(object)) => self.drop_pool(&object.name_any()),
            (Custom::NodeClaim, Change::Applied(object)) => self.apply_claim(kind, &object),
            (Custom::NodeClaim, Change::Deleted(object)) => {
                self.forget_unreadable(kind, &key(&object));
                self.confirmed.remove(object.name_any().as_str());
                self.cluster.delete_claim(&object.name_any(), object.metadata.uid.as_deref());
            }
            (Custom::KwokNodeClass, Change::Applied(object)) => {
                let class = kwok_class(&object.name_any());
                if self.read::<KwokNodeClass>(kind, &object).is_ok() {
                    self.cluster.classes.insert(class.clone());
                    self.news.classes.insert(class);
                } else {
                    self.cluster.classes.remove(&class);
                }
                self.refresh_pools();
            }
            (Custom::KwokNodeClass, Change::Deleted(object)) => self.drop_class(&object.name_any()),
            (Custom::CapacityBuffer, Change::Applied(object)) => self.apply_buffer(kind, &object),
            (Custom::CapacityBuffer, Change::Deleted(object)) => {
                self.forget_unreadable(kind, &key(&object));
                self.buffers.remove(&key(&object));
            }
            (kind, Change::Listed { keys, since }) => self.listed_custom(kind, keys, since),
        }
    }

    fn listed_custom(&mut self, kind: Custom, keys: BTreeSet<Key>, since: Instant) {
        let name = format!("{kind:?}");
        self.unreadable.retain(|(of, key), _| *of != kind || keys.contains(key));
        match kind {
            Custom::ScaledObject => self.listed(&name, keys, |state| state.scaled.keys().cloned().collect(), Self::drop_scaled),
            Custom::TriggerAuthentication => {
                self.listed(
                    &name,
                    keys,
                    |state| state.auths.keys().filter(|key| !key.namespace.is_empty()).cloned().collect(),
                    Self::drop_auth,
                );
            }
            Custom::ClusterTriggerAuthentication => {
                self.listed(
                    &name,
                    keys,
                    |state| state.auths.keys().filter(|key| key.namespace.is_empty()).cloned().collect(),
                    Self::drop_auth,
                );
            }
            Custom::NodePool => {
                self.listed(&name, keys, |state| state.pools.keys().map(plain).collect(), |state, key| state.drop_pool(&key.name))
            }
            // A claim that is planned and whose creation has not been answered is not in the list, and stays. So does one of which an answer to our own write
            // told after the list was begun: the list may be older.
            Custom::NodeClaim => {
                self.confirmed.retain(|_, at| *at >= since);
                self.listed(
                    &name,
                    keys,
                    |state| {
                        let claims = state.cluster.claims.iter().filter(|(_, claim)| claim.uid.is_some());
                        claims.filter(|(name, _)| !state.confirmed.contains_key(*name)).map(|(name, _)| plain(name)).collect()
                    },
                    |state, key| state.cluster.delete_claim(&key.name, None),
                );
            }
            Custom::KwokNodeClass => {
                self.listed(
                    &name,
                    keys,
                    |state| state.cluster.classes.iter().map(|class| plain(&class.name)).collect(),
                    |state, key| state.drop_class(&key.name),
                );
            }
            Custom::CapacityBuffer => {
                self.listed(&name, keys, |state| state.buffers.keys().cloned().collect(), |state, key| drop(state.buffers.remove(key)));
            }
        }
    }

    /// A list is complete: forgets what is not in it.
    fn listed(&mut self, kind: &str, keys: BTreeSet<Key>, known: impl Fn(&Self) -> Vec<Key>, forget: impl Fn(&mut Self, &Key)) {
        for key in known(self).iter().filter(|key| !keys.contains(*key)) {
            forget(self, key);
        }
        self.listed.insert(kind.to_owned());
    }

    /// An object as the type of its kind. One that cannot be read is taken down as such, with why.
    pub(super) fn read<T: DeserializeOwned>(&mut self, kind: Custom, object: &DynamicObject) -> Result<T, String> {
        let read = typed::read::<T>(plain_json(object)).map_err(|unclear| unclear.to_string());
        match &read {
            Ok(_) => self.forget_unreadable(kind, &typed::key(&object.metadata)),
            Err(why) => self.remember_unreadable(kind, object, why),
        }
        read
    }

    pub(super) fn remember_unreadable(&mut self, kind: Custom, object: &DynamicObject, why: &str) {
        let new = Unreadable { about: object.object_ref(&kind.resource()), why: why.to_owned() };
        let key = typed::key(&object.metadata);
        let known = self.unreadable.insert((kind, key.clone()), new);
        if known.is_none_or(|known| known.why != why) {
            tracing::warn!(?kind, object = %key, error = why, "an object cannot be read");
        }
    }

    fn forget_unreadable(&mut self, kind: Custom, key: &Key) {
        self.unreadable.remove(&(kind, key.clone()));
    }

    fn apply_scaled(&mut self, now: Timestamp, object: DynamicObject) {
        let key = typed::key(&object.metadata);
        let (object, wrong) = match self.read::<ScaledObject>(Custom::ScaledObject, &object) {
            Ok(read) => (read, None),
            Err(why) => (typed::scaled::salvage(&plain_json(&object)), Some(why)),
        };
        let changed = match self.scaled.get_mut(&key) {
            Some(scaled) => scaled.update(now, object),
            None => {
                self.scaled.insert(key.clone(), Scaled::new(now, object));
                true
            }
        };
        let Some(scaled) = self.scaled.get_mut(&key).filter(|_| changed) else { return };
        match wrong {
            // Nothing is scaled by the text that was there before, which is not what is asked for any more.
            Some(why) => self.news.unbound.extend(scaled.cannot_read(why)),
            None => {
                self.news.unresolved.insert(key);
            }
        }
    }

    fn drop_scaled(&mut self, key: &Key) {
        if let Some(scaled) = self.scaled.remove(key) {
            self.news.dropped.push(scaled);
        }
        self.news.unresolved.remove(key);
        self.forget_unreadable(Custom::ScaledObject, key);
    }

    fn apply_auth(&mut self, key: Key, spec: Result<TriggerAuthenticationSpec, String>) {
        self.resolve_users_of(&key);
        self.auths.insert(key, spec);
    }

    fn drop_auth(&mut self, key: &Key) {
        self.auths.remove(key);
        self.resolve_users_of(key);
    }

    fn resolve_users_of(&mut self, auth: &Key) {
        let users = self.scaled.iter().filter(|(_, scaled)| scaled.uses(auth)).map(|(key, _)| key.clone());
        self.news.unresolved.extend(users);
    }

    fn apply_claim(&mut self, kind: Custom, object: &DynamicObject) {
        let Ok(claim) = self.read::<NodeClaim>(kind, object) else { return };
        match typed::claim::claim(&claim) {
            // Claims of a kind that we do not serve are somebody else's.
            Ok((name, claim)) if is_served(&claim.spec.class) => drop(self.cluster.apply_claim(name, claim)),
            Ok(_) => {}
            Err(error) => self.remember_unreadable(kind, object, &error.to_string()),
        }
    }

    /// Claims that exist and cannot be read: their machines are not ownerless.
    #[must_use]
    pub fn unreadable_claims(&self) -> BTreeSet<Name> {
        self.unreadable.keys().filter(|(kind, _)| *kind == Custom::NodeClaim).map(|(_, key)| key.name.clone()).collect()
    }

    fn drop_pool(&mut self, name: &str) {
        self.pools.remove(name);
        self.standings.remove(name);
        self.foreign.remove(name);
        self.cluster.pools.remove(name);
        self.forget_unreadable(Custom::NodePool, &plain(&name.into()));
    }

    fn drop_class(&mut self, name: &str) {
        let class = kwok_class(name);
        self.cluster.classes.remove(&class);
        self.offers.0.remove(&class);
        self.forget_unreadable(Custom::KwokNodeClass, &plain(&name.into()));
        self.refresh_pools();
    }

    /// Takes in what an action of ours made known.
    pub fn learn(&mut self, now: Timestamp, fact: Fact) {
        match fact {
            Fact::Seen(seen) => {
                if let Seen::Custom(Custom::NodeClaim, Change::Applied(object)) = &seen {
                    self.confirmed.insert(object.name_any().into(), Instant::now());
                }
                self.see(now, seen);
            }
            Fact::Scaled { workload, version, replicas } => {
                if let Some(known) = self.cluster.workloads.get_mut(&workload)
                    && known.version <= version
                {
                    (known.version, known.replicas) = (version, replicas);
                }
            }
            Fact::Bought { claim, machine } => {
                if let Some(known) = self.cluster.claims.get_mut(&claim) {
                    known.machine = Some(*machine);
                }
            }
            Fact::OutOfStock { refused } => {
                let until = now.checked_add(STOCK_OUT).unwrap_or(now);
                for offering in refused {
                    tracing::info!(%offering, "out of stock");
                    self.memory.stock.mark(offering, until);
                }
            }
            Fact::Template { workload, hash, probed } => {
                let template = self.template(&workload, probed);
                self.cluster.templates.insert(hash, template);
            }
            Fact::Ended { claim } => {
                if let Some(known) = self.cluster.claims.get_mut(&claim) {
                    known.ended = true;
                }
            }
            Fact::Inspected { node, pods, at } => {
                let listed: BTreeSet<Key> = pods.iter().map(|pod| typed::key(&pod.metadata)).collect();
                let gone: Vec<Key> = self
                    .cluster
                    .load(&node)
                    .into_iter()
                    .flat_map(|load| &load.pods)
                    .filter(|key| !listed.contains(*key))
                    .cloned()
                    .collect();
                for key in gone {
                    self.cluster.delete_pod(now, &key, None);
                }
                for pod in pods {
                    self.see_pod(now, Change::Applied(Box::new(pod)));
                }
                self.memory.inspected(&node, at);
            }
        }
    }

    fn template(&mut self, of: &WorkloadKey, probed: Probed) -> Template {
        match probed {
            Probed::Pod(pod) => typed::workload::template(&of.kind, &of.key.namespace, &pod, &mut self.cluster.shapes)
                .unwrap_or_else(|unclear| Template::Refused(unclear.to_string())),
            Probed::Refused(message) => Template::Refused(message),
        }
    }

    /// Forgets which templates were refused, so that they are asked about again.
    pub fn forget_refused_templates(&mut self) {
        self.cluster.templates.retain(|_, template| matches!(template, Template::Pod { .. }));
    }
}

/// An offering that was refused is not asked for again for so long; Karpenter's time.
const STOCK_OUT: springtide_core::Span = springtide_core::Span::from_mins(3);

fn plain_json(object: &DynamicObject) -> Value {
    // Its parts come from JSON.
    serde_json::to_value(object).unwrap_or_default()
}

fn plain(name: &Name) -> Key {
    Key { namespace: Name::default(), name: name.clone() }
}

/// The reference by which pools name a KWOKNodeClass.
#[must_use]
pub fn kwok_class(name: &str) -> ClassRef {
    ClassRef { group: "karpenter.kwok.sh".into(), kind: "KWOKNodeClass".into(), name: name.into() }
}

fn is_served(class: &ClassRef) -> bool {
    *class == kwok_class(&class.name)
}

fn target_of(hpa: &HorizontalPodAutoscaler) -> WorkloadKey {
    let reference = hpa.spec.as_ref().map(|spec| &spec.scale_target_ref);
    let namespace = hpa.namespace().unwrap_or_default();
    WorkloadKey { kind: reference.map_or("", |r| &r.kind).into(), key: Key::new(namespace, reference.map_or("", |r| r.name.as_str())) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_that_is_older_than_our_own_write_forgets_nothing_of_it() {
        let class = json!({ "group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default" });
        let object = json!({
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodeClaim",
            "metadata": { "name": "new", "uid": "u", "resourceVersion": "7", "labels": { "karpenter.sh/nodepool": "default" } },
            "spec": { "requirements": [], "nodeClassRef": class },
        });
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        let (mut state, now, begun) = (State::default(), Timestamp::UNIX_EPOCH, Instant::now());
        state.learn(now, Fact::Seen(Seen::Custom(Custom::NodeClaim, Change::Applied(Box::new(object)))));
        let list = |since| Seen::Custom(Custom::NodeClaim, Change::Listed { keys: BTreeSet::new(), since });
        state.see(now, list(begun));
        assert!(state.cluster.claims.contains_key("new"), "the list was begun before the answer came");
        state.see(now, list(Instant::now() + Duration::from_secs(1)));
        assert!(state.cluster.claims.is_empty(), "the list was begun after it");
    }
}
