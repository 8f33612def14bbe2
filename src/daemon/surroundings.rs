//! What bears on where pods go, beside pods and nodes: namespaces, volumes, disruption budgets, DaemonSets, and the room that buffers keep.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::api::DynamicObject;
use springtide_api::capacity_buffer::CapacityBuffer;
use springtide_api::typed::buffer::{self, Source};
use springtide_api::typed::workload::Looks;
use springtide_api::typed::{self, Unclear};
use springtide_core::name::{Key, Name};
use springtide_core::nodes::shape::Shapes;
use springtide_core::nodes::workload::{Template, WorkloadKey};
use springtide_core::units::Replicas;

use super::state::State;
use crate::kube::watch::{Change, Custom, Seen};

impl State {
    pub(super) fn see_surroundings(&mut self, seen: Seen) {
        let name = |key: &Key| key.name.clone();
        match seen {
            Seen::DaemonSet(change) => {
                self.keep(change, |state| &mut state.daemons, Key::clone, |object, shapes| Ok(typed::node::daemon_set(object, shapes)?.1));
            }
            Seen::PodTemplate(change) => self.keep(
                change,
                |state| &mut state.templates,
                Key::clone,
                |object, shapes| {
                    let namespace = typed::key(&object.metadata).namespace;
                    let nothing = PodTemplateSpec::default();
                    typed::workload::looks("PodTemplate", &namespace, object.template.as_ref().unwrap_or(&nothing), shapes)
                },
            ),
            Seen::Claim(change) => {
                self.keep(change, |state| &mut state.cluster.storage.claims, Key::clone, |object, _| Ok(typed::storage::claim(object).1));
            }
            Seen::Volume(change) => {
                self.keep(change, |state| &mut state.cluster.storage.volumes, name, |object, _| Ok(typed::storage::volume(object)?.1));
            }
            Seen::StorageClass(change) => {
                self.keep(change, |state| &mut state.cluster.storage.classes, name, |object, _| Ok(typed::storage::class(object).1));
            }
            Seen::NodeVolumes(change) => {
                self.keep(change, |state| &mut state.cluster.storage.limits, name, |object, _| Ok(typed::storage::limits(object).1));
            }
            Seen::Budget(change) => {
                self.keep(
                    change,
                    |state| &mut state.cluster.budgets,
                    Key::clone,
                    |object, shapes| Ok(typed::budget::budget(object, shapes)?.1),
                );
            }
            Seen::Namespace(change) => self.see_namespace(change),
            // All others are more than surroundings.
            _ => {}
        }
    }

    /// Takes in a kind of which one value is kept for each object.
    pub(super) fn keep<K, N, V>(
        &mut self,
        change: Change<K>,
        kept: fn(&mut Self) -> &mut BTreeMap<N, V>,
        name: fn(&Key) -> N,
        read: impl FnOnce(&K, &mut Shapes) -> Result<V, Unclear>,
    ) where
        K: kube::Resource<DynamicType = ()> + k8s_openapi::Resource,
        N: Ord,
    {
        match change {
            Change::Applied(object) => {
                let key = typed::key(object.meta());
                match read(&object, &mut self.cluster.shapes) {
                    Ok(value) => drop(kept(self).insert(name(&key), value)),
                    Err(error) => tracing::warn!(kind = K::KIND, object = %key, %error, "an object cannot be understood and is left out"),
                }
            }
            Change::Deleted(object) => drop(kept(self).remove(&name(&typed::key(object.meta())))),
            Change::Listed { keys, .. } => {
                let listed: BTreeSet<N> = keys.iter().map(name).collect();
                kept(self).retain(|name, _| listed.contains(name));
                self.listed.insert(K::KIND.to_owned());
            }
        }
    }

    fn see_namespace(&mut self, change: Change<k8s_openapi::api::core::v1::Namespace>) {
        match change {
            Change::Applied(object) => {
                let name = typed::key(&object.metadata).name;
                self.cluster.shapes.set_namespace(name.clone(), Some(typed::labels(object.metadata.labels.as_ref())));
                self.namespaces.insert(name);
            }
            Change::Deleted(object) => self.forget_namespace(&typed::key(&object.metadata).name),
            Change::Listed { keys, .. } => {
                let listed: BTreeSet<Name> = keys.into_iter().map(|key| key.name).collect();
                for gone in self.namespaces.difference(&listed).cloned().collect::<Vec<_>>() {
                    self.forget_namespace(&gone);
                }
                self.listed.insert("Namespace".to_owned());
            }
        }
    }

    fn forget_namespace(&mut self, name: &Name) {
        self.namespaces.remove(name);
        self.cluster.shapes.set_namespace(name.clone(), None);
    }

    /// Remembers how pods of a workload look, as far as its text can be understood: a dry run says what is wrong with it.
    pub(super) fn look_at(&mut self, key: &WorkloadKey, template: &PodTemplateSpec) {
        match typed::workload::looks(&key.kind, &key.key.namespace, template, &mut self.cluster.shapes) {
            Ok(looks) => drop(self.looks.insert(key.clone(), looks)),
            Err(_) => drop(self.looks.remove(key)),
        }
    }

    pub(super) fn apply_buffer(&mut self, kind: Custom, object: &DynamicObject) {
        let Ok(read) = self.read::<CapacityBuffer>(kind, object) else { return };
        match buffer::buffer(&read) {
            Ok((key, Some(buffer))) => drop(self.buffers.insert(key, buffer)),
            Ok((key, None)) => drop(self.buffers.remove(&key)),
            Err(unclear) => {
                self.buffers.remove(&typed::key(&object.metadata));
                self.remember_unreadable(kind, object, &unclear.to_string());
            }
        }
    }

    /// Tells pods apart by all selectors that there are, and with them what looks like pods and is none. Before each decision about nodes.
    pub fn classify(&mut self, now: Timestamp) {
        self.cluster.classify(now);
        let cluster = &mut self.cluster;
        cluster.daemons.clear();
        for (key, (shape, pod)) in &mut self.daemons {
            *shape = cluster.shapes.classify(*shape, pod);
            cluster.daemons.insert(key.clone(), *shape);
        }
        self.cluster.buffers.clear();
        for (key, buffer) in std::mem::take(&mut self.buffers) {
            // One whose source is not there keeps nothing until it is.
            if let Some((looks, replicas)) = self.source(&buffer.source) {
                let shape = buffer.shape(&looks, &mut self.cluster.shapes);
                let count = buffer.count(&self.cluster.shapes.get(shape).requests, replicas);
                self.cluster.buffers.insert(key.clone(), (shape, count));
            }
            self.buffers.insert(key, buffer);
        }
    }

    /// How pods look for which a buffer keeps room, and how many replicas there are of them.
    fn source(&self, source: &Source) -> Option<(Looks, Replicas)> {
        match source {
            Source::Template(key) => Some((self.templates.get(key)?.clone(), Replicas(0))),
            Source::Workload(key) => {
                let workload = self.cluster.workloads.get(key)?;
                // What admission made of the template is nearer to its pods than its own text.
                let looks = match self.cluster.templates.get(&workload.template) {
                    Some(Template::Pod { shape, identity, .. }) => (*shape, identity.clone()),
                    _ => self.looks.get(key)?.clone(),
                };
                Some((looks, workload.replicas))
            }
        }
    }
}

#[cfg(test)]
#[path = "surroundings_tests.rs"]
mod tests;
