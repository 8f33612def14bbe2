//! Taking objects in, kind by kind. What an object needs to know of others it is told by [`Admission`], or waits in [`Late`] until all have been seen.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::core::v1::{Node, Pod, PodTemplateSpec};
use springtide_api::capacity_buffer::CapacityBuffer;
use springtide_api::karpenter::{NodeClaim, NodePool};
use springtide_api::keda::ScaledObject;
use springtide_api::typed::buffer::{Buffer, Source};
use springtide_api::typed::workload::Looks;
use springtide_api::typed::{self, Unclear};
use springtide_api::{Problem, conditions, labels, validate};
use springtide_core::name::{Key, Name};
use springtide_core::nodes::offer::ClassRef;
use springtide_core::nodes::workload::{ReplicaSet as Set, Template, Workload, WorkloadKey};
use springtide_core::units::Replicas;
use springtide_core::{Span, Timestamp};

use super::Objects;
use super::admission::{Admission, controller};
use super::kind::Object;
use super::scaled::Sources;
use crate::manifests::Document;
use crate::manifests::finding::{Finding, Severity};

/// Kubernetes' own time for a pod to stop.
const GRACE_S: i64 = 30;

/// What is looked at once everything else has been seen.
#[derive(Default)]
pub(super) struct Late<'a> {
    pub(super) admission: Admission,
    pub(super) pods: Vec<(&'a Document, Box<Pod>)>,
    pub(super) pools: Vec<(&'a Document, ClassRef)>,
    pub(super) scaled: Vec<(&'a Document, Box<ScaledObject>)>,
    pub(super) sources: Sources,
    daemons: Vec<(Key, Looks)>,
    templates: BTreeMap<Key, Looks>,
    buffers: Vec<(&'a Document, Box<CapacityBuffer>)>,
}

/// Why a pool is not ready, where its status says so of the text that it has now. What a NodeClass lacks only its own controller knows.
fn not_ready(pool: &NodePool) -> Option<String> {
    let status = pool.status.as_ref()?;
    let ready = conditions::get(&status.conditions, conditions::karpenter::READY)?;
    let is_old = ready.observed_generation < pool.metadata.generation;
    let message = if ready.message.is_empty() { &ready.reason } else { &ready.message };
    (ready.status.known() == Some(&conditions::Status::False) && !is_old)
        .then(|| format!("its status says that it is not ready: {message}"))
}

impl Objects {
    pub(super) fn take<'a>(&mut self, document: &'a Document, object: Object, late: &mut Late<'a>) {
        let taken = match object {
            Object::Pod(pod) => {
                late.pods.push((document, pod));
                Ok(())
            }
            Object::Scaled(object) => {
                late.scaled.push((document, object));
                Ok(())
            }
            Object::Buffer(object) => {
                late.buffers.push((document, object));
                Ok(())
            }
            Object::Secret(secret) => {
                late.sources.secret(&secret);
                Ok(())
            }
            Object::ConfigMap(map) => {
                late.sources.config_map(*map);
                Ok(())
            }
            Object::Authentication(auth) => {
                late.sources.authentications.insert(typed::key(&auth.metadata), auth.spec);
                Ok(())
            }
            Object::NodeClass(class) => {
                self.cluster.classes.insert(class);
                Ok(())
            }
            Object::NodePool(object) => {
                let pool = self.take_pool(document, &object);
                pool.map(|class| late.pools.push((document, class)))
            }
            Object::NodeClaim(object) => self.take_claim(&object),
            Object::Node(object) => self.take_node(document, &object),
            Object::Namespace(object) => {
                self.cluster.shapes.set_namespace(typed::key(&object.metadata).name, Some(typed::labels(object.metadata.labels.as_ref())));
                Ok(())
            }
            Object::Quota(object) => typed::node::quota(&object).map(|(key, quota)| drop(self.cluster.quotas.insert(key, quota))),
            Object::Budget(object) => {
                let budget = typed::budget::budget(&object, &mut self.cluster.shapes);
                budget.map(|(key, budget)| {
                    self.cluster.budgets.insert(key, budget);
                })
            }
            Object::Claim(object) => {
                let (key, claim) = typed::storage::claim(&object);
                self.cluster.storage.claims.insert(key, claim);
                Ok(())
            }
            Object::Volume(object) => {
                typed::storage::volume(&object).map(|(name, volume)| drop(self.cluster.storage.volumes.insert(name, volume)))
            }
            Object::StorageClass(object) => {
                let (name, class) = typed::storage::class(&object);
                self.cluster.storage.classes.insert(name, class);
                Ok(())
            }
            Object::NodeVolumes(object) => {
                let (name, limits) = typed::storage::limits(&object);
                self.cluster.storage.limits.insert(name, limits);
                Ok(())
            }
            // What these say of pods has been learnt already.
            Object::Service(_) | Object::PriorityClass(_) | Object::Scheduler(_) => Ok(()),
            other => self.take_template(document, other, late),
        };
        if let Err(unclear) = taken {
            self.unclear(document, unclear);
        }
    }

    /// Objects that pods are made from.
    fn take_template<'a>(&mut self, document: &'a Document, object: Object, late: &mut Late<'a>) -> Result<(), Unclear> {
        match object {
            Object::Deployment(mut object) => {
                let name = object.metadata.name.clone().unwrap_or_default();
                if let Some(spec) = &mut object.spec {
                    self.admit(document, &mut spec.template, ("Deployment", Some(&name)), late);
                }
                let template = object.spec.as_ref().map(|spec| &spec.template);
                self.take_workload(typed::workload::deployment(&object), template, object.status.is_some())
            }
            Object::StatefulSet(object) => self.take_stateful(document, *object, late),
            Object::ReplicaSet(mut object) => {
                let name = object.metadata.name.clone().unwrap_or_default();
                if let Some(template) = object.spec.as_mut().and_then(|spec| spec.template.as_mut()) {
                    self.admit(document, template, ("ReplicaSet", Some(&name)), late);
                }
                let (key, workload, set) = typed::workload::replica_set(&object);
                let template = object.spec.as_ref().and_then(|spec| spec.template.as_ref());
                let (uid, owned) = (workload.uid.clone(), set.owner.is_some());
                self.cluster.apply_replica_set(uid, set);
                // One that a Deployment owns is scaled through the Deployment.
                if owned { Ok(()) } else { self.take_workload((key, workload), template, object.status.is_some()) }
            }
            Object::Controller(mut object) => {
                let name = object.metadata.name.clone().unwrap_or_default();
                if let Some(template) = object.spec.as_mut().and_then(|spec| spec.template.as_mut()) {
                    self.admit(document, template, ("ReplicationController", Some(&name)), late);
                }
                let template = object.spec.as_ref().and_then(|spec| spec.template.as_ref());
                self.take_workload(typed::workload::replication_controller(&object), template, object.status.is_some())
            }
            Object::Job(mut object) => {
                if let Some(spec) = &mut object.spec {
                    self.admit(document, &mut spec.template, ("Job", None), late);
                }
                let template = object.spec.as_ref().map(|spec| &spec.template);
                self.take_workload(typed::workload::job(&object), template, object.status.is_some())
            }
            Object::DaemonSet(object) => self.take_daemon(document, *object, late),
            Object::PodTemplate(mut object) => {
                let key = typed::key(&object.metadata);
                let mut template = object.template.take().unwrap_or_default();
                self.admit(document, &mut template, ("PodTemplate", None), late);
                let looks = typed::workload::looks("PodTemplate", &key.namespace, &template, &mut self.cluster.shapes)?;
                late.templates.insert(key, looks);
                Ok(())
            }
            // All others have been taken.
            _ => Ok(()),
        }
    }

    fn take_pool(&mut self, document: &Document, object: &NodePool) -> Result<ClassRef, Unclear> {
        let wrong = validate::node_pool(object).into_iter().chain(typed::pool::contradictions(object));
        for problem in wrong.chain(typed::pool::unserved(object)) {
            self.problem(document, problem);
        }
        let mut pool = typed::pool::pool(object)?;
        let notes = object.metadata.annotations.as_ref();
        if notes.and_then(|notes| notes.get(labels::MODE)).is_some_and(|mode| mode == "shadow") {
            pool.unusable.get_or_insert_with(|| "it is in shadow mode by annotation".to_owned());
        }
        if let Some(why) = not_ready(object) {
            pool.unusable.get_or_insert(why);
        }
        let class = pool.class.clone();
        self.cluster.pools.insert(pool.name.clone(), pool);
        Ok(class)
    }

    /// Classes that pools name and files do not have are taken as there: they say what a machine is made of, and the list of types says what is sold.
    pub(super) fn name_missing_classes(&mut self, pools: &[(&Document, ClassRef)]) {
        for (document, class) in pools {
            if self.cluster.classes.insert(class.clone()) {
                let what = format!("{} {} is not in these files", class.kind, class.name);
                let problem = Problem::new("spec.template.spec.nodeClassRef", what, "it is taken as there and ready");
                self.findings.push(Finding::at(Severity::Notice, document, problem));
            }
        }
    }

    fn take_claim(&mut self, object: &NodeClaim) -> Result<(), Unclear> {
        let (name, mut claim) = typed::claim::claim(object)?;
        if object.metadata.creation_timestamp.is_none() {
            // One of which nobody tells how old it is has only begun; what it has reached without a moment it reached long ago.
            claim.created = self.now;
            claim.progress.launched = claim.progress.launched.map(|at| if at == Timestamp::UNIX_EPOCH { self.now } else { at });
        }
        self.cluster.apply_claim(name, claim);
        Ok(())
    }

    fn take_node(&mut self, document: &Document, object: &Node) -> Result<(), Unclear> {
        let (name, node) = typed::node::node(object)?;
        if node.allocatable.cpu.0 == 0 && node.allocatable.memory.0 == 0 {
            let what = "there is neither capacity nor allocatable, so nothing fits on it";
            let problem = Problem::new("status.allocatable", what, "add cpu, memory and pods");
            self.findings.push(Finding::at(Severity::Notice, document, problem));
        }
        self.cluster.apply_node(name, node);
        Ok(())
    }

    fn take_stateful<'a>(&mut self, document: &'a Document, mut object: StatefulSet, late: &mut Late<'a>) -> Result<(), Unclear> {
        let name = object.metadata.name.clone().unwrap_or_default();
        if let Some(spec) = &mut object.spec {
            self.admit(document, &mut spec.template, ("StatefulSet", Some(&name)), late);
        }
        let template = typed::workload::stateful_template(&object);
        self.take_workload(typed::workload::stateful_set(&object), template.as_ref(), object.status.is_some())
    }

    fn take_daemon<'a>(&mut self, document: &'a Document, mut object: DaemonSet, late: &mut Late<'a>) -> Result<(), Unclear> {
        if let Some(spec) = &mut object.spec {
            self.admit(document, &mut spec.template, ("DaemonSet", None), late);
        }
        late.daemons.push(typed::node::daemon_set(&object, &mut self.cluster.shapes)?);
        Ok(())
    }

    /// Does to a template what would be done to its pods.
    fn admit(&mut self, document: &Document, template: &mut PodTemplateSpec, (kind, owner): (&str, Option<&str>), late: &mut Late<'_>) {
        let namespace = super::key(document).namespace;
        let pod = typed::workload::identity(kind, &namespace, template.metadata.as_ref().and_then(|meta| meta.labels.as_ref()));
        let unknown = late.admission.admit(template.spec.get_or_insert_default(), &pod, owner.map(|name| (kind, name)));
        self.tell_class(document, "spec.template.spec", unknown);
    }

    fn tell_class(&mut self, document: &Document, field: &str, unknown: Option<String>) {
        if let Some(class) = unknown {
            let what = format!("PriorityClass {class} is not in these files");
            let problem = Problem::new(format!("{field}.priorityClassName"), what, "its pods are taken to have the priority 0");
            self.findings.push(Finding::at(Severity::Notice, document, problem));
        }
    }

    fn take_workload(
        &mut self,
        (key, mut workload): (WorkloadKey, Workload),
        template: Option<&PodTemplateSpec>,
        has_status: bool,
    ) -> Result<(), Unclear> {
        let empty = PodTemplateSpec::default();
        let template = template.unwrap_or(&empty);
        // Nobody admits or changes a pod of these files: it looks like its template.
        let looks = typed::workload::template(&key.kind, &key.key.namespace, template, &mut self.cluster.shapes)?;
        self.cluster.templates.insert(workload.template.clone(), looks);
        let grace = template.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        self.grace.insert(key.clone(), Span::from_secs(grace.unwrap_or(GRACE_S)));
        if !has_status {
            (workload.existing, workload.ready) = (workload.replicas, workload.replicas);
        }
        self.cluster.apply_workload(key, workload);
        Ok(())
    }

    pub(super) fn take_pods(&mut self, late: &mut Late<'_>) {
        let mut strangers = BTreeSet::new();
        for (document, mut pod) in std::mem::take(&mut late.pods) {
            let identity = typed::pod::identity(&pod.metadata);
            let owner = controller(pod.metadata.owner_references.as_ref()).map(|owner| (owner.kind.clone(), owner.name.clone()));
            let owner = owner.as_ref().map(|(kind, name)| (kind.as_str(), name.as_str()));
            let unknown = late.admission.admit(pod.spec.get_or_insert_default(), &identity, owner);
            self.tell_class(document, "spec", unknown);
            match typed::pod::pod(&pod, &mut self.cluster.shapes) {
                Ok((key, typed)) => {
                    self.find_owner(&pod, &key, &mut strangers);
                    // Its node has been as it is since the pod came.
                    self.cluster.apply_pod(typed.created, key, typed);
                }
                Err(unclear) => self.unclear(document, unclear),
            }
        }
    }

    /// Between a Deployment and its pods stands a ReplicaSet; where the files leave it out, its name tells whose it is.
    fn find_owner(&mut self, pod: &Pod, key: &Key, strangers: &mut BTreeSet<Name>) {
        let Some(owner) = controller(pod.metadata.owner_references.as_ref()) else { return };
        let uid = Name::from(&owner.uid);
        if owner.kind != "ReplicaSet" || self.cluster.replica_sets.contains_key(&uid) || !strangers.insert(uid.clone()) {
            return;
        }
        let Some((deployment, _)) = owner.name.rsplit_once('-') else { return };
        let deployment = WorkloadKey { kind: "Deployment".into(), key: Key::new(key.namespace.clone(), deployment) };
        if let Some(workload) = self.cluster.workloads.get(&deployment) {
            let set = Set { owner: Some(workload.uid.clone()), revision: workload.revision };
            self.cluster.apply_replica_set(uid, set);
        }
    }

    /// Tells all pods apart by all selectors, and then takes in what looks like pods and is none.
    pub(super) fn classify(&mut self, late: Late<'_>) {
        self.cluster.classify(self.now);
        for (key, (shape, pod)) in late.daemons {
            let shape = self.cluster.shapes.classify(shape, &pod);
            self.cluster.daemons.insert(key, shape);
        }
        for (document, object) in &late.buffers {
            match typed::buffer::buffer(object) {
                Ok((_, None)) => {}
                Ok((key, Some(buffer))) => match self.source(&buffer, &late.templates) {
                    Ok((looks, replicas)) => {
                        let shape = buffer.shape(&looks, &mut self.cluster.shapes);
                        let count = buffer.count(&self.cluster.shapes.get(shape).requests, replicas);
                        self.cluster.buffers.insert(key, (shape, count));
                    }
                    Err(problem) => self.problem(document, problem),
                },
                Err(unclear) => self.unclear(document, unclear),
            }
        }
    }

    /// How pods in a buffer's room look, and how many replicas what makes such pods has.
    fn source(&self, buffer: &Buffer, templates: &BTreeMap<Key, Looks>) -> Result<(Looks, Replicas), Problem> {
        let missing =
            |field: &str, what: String| Problem::new(field, format!("{what} is not in these files"), "add it, or correct the reference");
        match &buffer.source {
            Source::Template(key) => match templates.get(key) {
                Some(looks) => Ok((looks.clone(), Replicas(0))),
                None => Err(missing("spec.podTemplateRef.name", format!("PodTemplate {key}"))),
            },
            Source::Workload(key) => {
                let workload = self.cluster.workloads.get(key);
                let template = workload.and_then(|workload| Some((workload, self.cluster.templates.get(&workload.template)?)));
                match template {
                    Some((workload, Template::Pod { shape, identity, .. })) => Ok(((*shape, identity.clone()), workload.replicas)),
                    _ => Err(missing("spec.scalableRef.name", key.to_string())),
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "take_tests.rs"]
mod tests;
