//! Manifests as the decider's input: what a daemon would know of a cluster in which these objects, and nothing else, had been applied.
//!
//! What an API server, a kubelet or a controller would have filled in is filled in here, from names and never from chance, and objects are taken in by kind
//! and name: the same objects in another order are the same input. An object that cannot be used is left out, with a finding, and hides no other.

mod complete;
mod machines;
mod scaled;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, PodSpec, PodTemplateSpec, ResourceQuota, Secret};
use serde::de::DeserializeOwned;
use springtide_api::karpenter::{NodeClaim, NodePool};
use springtide_api::keda::{ScaledObject, TriggerAuthentication};
use springtide_api::typed::{self, Unclear};
use springtide_api::{Problem, conditions, labels, validate};
use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::Cluster;
use springtide_core::nodes::offer::ClassRef;
use springtide_core::nodes::workload::{ReplicaSet as Set, Template, Workload, WorkloadKey};
use springtide_core::units::Replicas;
use springtide_core::{Span, Timestamp};

use self::complete::Uids;
use self::scaled::Sources;
pub use self::scaled::{Scaled, Unscaled};
use crate::manifests::finding::{Finding, Severity};
use crate::manifests::{Document, threads};

/// The moment of objects that tell of none.
const SOME_MOMENT: Timestamp = Timestamp::constant(1_767_225_600, 0);
/// Kubernetes' own time for a pod to stop.
const GRACE_S: i64 = 30;

/// What manifests came to.
#[derive(Debug)]
pub struct Objects {
    /// The newest moment that any object tells of, so that the same objects are the same input at any time.
    pub now: Timestamp,
    /// The index.
    pub cluster: Cluster,
    /// What is scaled, by name.
    pub scaled: Vec<Scaled>,
    /// What asks to be scaled and cannot be, by name.
    pub unscaled: Vec<Unscaled>,
    /// How long a pod of each workload may take to stop.
    pub grace: BTreeMap<WorkloadKey, Span>,
    /// What is wrong with objects, and what somebody should know: by file and line.
    pub findings: Vec<Finding>,
    /// How many objects there are of kinds that are not looked at, by kind.
    pub passed_over: BTreeMap<String, usize>,
}

/// Kinds that are read, under their only API version.
const READ: [(&str, &str); 13] = [
    ("v1", "Pod"),
    ("v1", "Node"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "ResourceQuota"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("karpenter.sh/v1", "NodeClaim"),
    ("karpenter.sh/v1", "NodePool"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("keda.sh/v1alpha1", "TriggerAuthentication"),
];

/// Whether a kind's objects have no namespace.
fn is_of_cluster(kind: &str) -> bool {
    matches!(kind, "Node" | "NodePool" | "NodeClaim") || kind.ends_with("NodeClass")
}

/// The name of a document's object, with the namespace in which `kubectl` would put it.
fn key(document: &Document) -> Key {
    let namespace = if is_of_cluster(&document.kind) { "" } else { document.namespace.as_deref().unwrap_or("default") };
    Key::new(namespace, document.name.as_str())
}

/// What is wrong with a document's name. One that an API server would refuse could be taken for another's, as names are put together with `/`.
fn unnamed(document: &Document) -> Option<Problem> {
    let text = |field: &str| document.tree.at(&["metadata", field]).and_then(crate::manifests::Node::text).unwrap_or_default();
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !"/()".contains(c));
    let remedy = "; until then this object is left out";
    if text("name").is_empty() {
        return Some(Problem::new("metadata.name", "it is missing", format!("add it{remedy}")));
    }
    let wrong = ["name", "namespace"].into_iter().find(|field| !is_name(text(field)))?;
    let field = format!("metadata.{wrong}");
    Some(Problem::new(field, "it is no name", format!("use small letters, digits, dots and dashes{remedy}")))
}

/// An object as the type of its kind.
enum Object {
    Pod(Box<Pod>),
    Node(Box<Node>),
    Secret(Box<Secret>),
    ConfigMap(Box<ConfigMap>),
    Quota(Box<ResourceQuota>),
    DaemonSet(Box<DaemonSet>),
    Deployment(Box<Deployment>),
    ReplicaSet(Box<ReplicaSet>),
    StatefulSet(Box<StatefulSet>),
    NodeClaim(Box<NodeClaim>),
    NodePool(Box<NodePool>),
    NodeClass(ClassRef),
    Scaled(Box<ScaledObject>),
    Authentication(Box<TriggerAuthentication>),
}

impl Object {
    fn of(document: &Document, uids: &Uids<'_>) -> Result<Self, Problem> {
        Ok(match document.kind.as_str() {
            "Pod" => Self::Pod(typed(document, uids)?),
            "Node" => Self::Node(typed(document, uids)?),
            "Secret" => Self::Secret(typed(document, uids).map_err(without_value)?),
            "ConfigMap" => Self::ConfigMap(typed(document, uids)?),
            "ResourceQuota" => Self::Quota(typed(document, uids)?),
            "DaemonSet" => Self::DaemonSet(typed(document, uids)?),
            "Deployment" => Self::Deployment(typed(document, uids)?),
            "ReplicaSet" => Self::ReplicaSet(typed(document, uids)?),
            "StatefulSet" => Self::StatefulSet(typed(document, uids)?),
            "NodeClaim" => Self::NodeClaim(typed(document, uids)?),
            "NodePool" => Self::NodePool(typed(document, uids)?),
            "ScaledObject" => Self::Scaled(typed(document, uids)?),
            "TriggerAuthentication" => Self::Authentication(typed(document, uids)?),
            kind => Self::NodeClass(ClassRef { group: document.group().into(), kind: kind.into(), name: document.name.as_str().into() }),
        })
    }
}

fn typed<T: DeserializeOwned>(document: &Document, uids: &Uids<'_>) -> Result<Box<T>, Problem> {
    document.to(|json| complete::fill(json, document, uids)).map(Box::new).map_err(|fault| {
        let remedy = format!("{}; until then this object is left out", fault.remedy);
        Problem::new(fault.field, fault.what, remedy)
    })
}

/// The same of an object that holds secrets: where, and not what.
fn without_value(problem: Problem) -> Problem {
    Problem { what: "its value is not what this field holds".to_owned(), ..problem }
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

/// Reads documents. Nothing of what they hold makes it fail.
pub fn read<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Objects {
    let mut objects = Objects::default();
    let documents = objects.sort(documents);
    objects.now = complete::newest(&documents).unwrap_or(SOME_MOMENT);
    let uids = Uids::of(&documents);
    let typed = threads::map(&documents, |document| Object::of(document, &uids));
    let mut late = Late::default();
    for (document, object) in documents.iter().copied().zip(typed) {
        match object {
            Ok(object) => objects.take(document, object, &mut late),
            Err(problem) => objects.problem(document, problem),
        }
    }
    objects.take_pods(late.pods);
    objects.name_missing_classes(&late.pools);
    scaled::take(&mut objects, late.scaled, &late.sources);
    objects.findings.sort_by(|a, b| (&a.file, a.line, &a.field, &a.what).cmp(&(&b.file, b.line, &b.field, &b.what)));
    objects
}

/// What is looked at once everything else has been seen.
#[derive(Default)]
struct Late<'a> {
    pods: Vec<(&'a Document, Box<Pod>)>,
    pools: Vec<(&'a Document, ClassRef)>,
    scaled: Vec<(&'a Document, Box<ScaledObject>)>,
    sources: Sources,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            now: SOME_MOMENT,
            cluster: Cluster::default(),
            scaled: Vec::new(),
            unscaled: Vec::new(),
            grace: BTreeMap::new(),
            findings: Vec::new(),
            passed_over: BTreeMap::new(),
        }
    }
}

impl Objects {
    /// The replicas that each workload has by its own text, whoever scales it.
    #[must_use]
    pub fn replicas(&self) -> BTreeMap<WorkloadKey, Replicas> {
        self.cluster.workloads.iter().map(|(key, workload)| (key.clone(), workload.replicas)).collect()
    }

    /// The documents that are read, each object once, by kind and name.
    fn sort<'a>(&mut self, documents: impl IntoIterator<Item = &'a Document>) -> Vec<&'a Document> {
        let mut sorted: BTreeMap<(&str, &str, Key), &Document> = BTreeMap::new();
        for document in documents {
            let group = document.group();
            let is_class = document.kind.ends_with("NodeClass") && group.contains('.');
            if !is_class && !READ.contains(&(document.api_version.as_str(), document.kind.as_str())) {
                let kind = if READ.iter().any(|(_, kind)| *kind == document.kind) {
                    format!("{} of {:?}", document.kind, document.api_version)
                } else {
                    document.kind.clone()
                };
                *self.passed_over.entry(kind).or_default() += 1;
                continue;
            }
            if let Some(problem) = unnamed(document) {
                self.problem(document, problem);
                continue;
            }
            match sorted.entry((document.kind.as_str(), group, key(document))) {
                std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(document)),
                std::collections::btree_map::Entry::Occupied(first) => {
                    let first = format!("{}:{}", first.get().file, first.get().line);
                    let what = format!("the same object is there already, at {first}");
                    self.problem(document, Problem::new("metadata.name", what, "keep one of the two; this one is left out"));
                }
            }
        }
        sorted.into_values().collect()
    }

    fn problem(&mut self, document: &Document, problem: Problem) {
        self.findings.push(Finding::at(Severity::Problem, document, problem));
    }

    fn unclear(&mut self, document: &Document, unclear: Unclear) {
        self.problem(document, Problem::new(unclear.field, unclear.what, "correct it; until then this object is left out"));
    }

    fn take<'a>(&mut self, document: &'a Document, object: Object, late: &mut Late<'a>) {
        let taken = match object {
            Object::Pod(pod) => {
                late.pods.push((document, pod));
                Ok(())
            }
            Object::Scaled(object) => {
                late.scaled.push((document, object));
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
            Object::DaemonSet(object) => {
                let set = typed::node::daemon_set(&object, &mut self.cluster.shapes);
                set.map(|(key, shape)| {
                    self.cluster.daemons.insert(key, shape);
                })
            }
            Object::Quota(object) => typed::node::quota(&object).map(|(key, quota)| drop(self.cluster.quotas.insert(key, quota))),
            Object::Deployment(object) => {
                let template = object.spec.as_ref().map(|spec| &spec.template);
                self.take_workload(typed::workload::deployment(&object), template, object.status.is_some())
            }
            Object::StatefulSet(object) => {
                let template = object.spec.as_ref().map(|spec| &spec.template);
                self.take_workload(typed::workload::stateful_set(&object), template, object.status.is_some())
            }
            Object::ReplicaSet(object) => {
                let (key, workload, set) = typed::workload::replica_set(&object);
                let template = object.spec.as_ref().and_then(|spec| spec.template.as_ref());
                let (uid, owned) = (workload.uid.clone(), set.owner.is_some());
                self.cluster.apply_replica_set(uid, set);
                // One that a Deployment owns is scaled through the Deployment.
                if owned { Ok(()) } else { self.take_workload((key, workload), template, object.status.is_some()) }
            }
        };
        if let Err(unclear) = taken {
            self.unclear(document, unclear);
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
    fn name_missing_classes(&mut self, pools: &[(&Document, ClassRef)]) {
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

    fn take_workload(
        &mut self,
        (key, mut workload): (WorkloadKey, Workload),
        template: Option<&PodTemplateSpec>,
        has_status: bool,
    ) -> Result<(), Unclear> {
        let empty = PodSpec::default();
        let spec = template.and_then(|template| template.spec.as_ref()).unwrap_or(&empty);
        let shape = self.cluster.shapes.intern(typed::pod::shape(spec)?);
        // Nobody admits or changes a pod of these files: it looks like its template.
        self.cluster.templates.insert(workload.template.clone(), Template::Pod { shape, limits: typed::pod::limits(spec)? });
        self.grace.insert(key.clone(), Span::from_secs(spec.termination_grace_period_seconds.unwrap_or(GRACE_S)));
        if !has_status {
            (workload.existing, workload.ready) = (workload.replicas, workload.replicas);
        }
        self.cluster.apply_workload(key, workload);
        Ok(())
    }

    fn take_pods(&mut self, pods: Vec<(&Document, Box<Pod>)>) {
        let mut strangers = BTreeSet::new();
        for (document, pod) in pods {
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
        let Some(owner) = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true)) else { return };
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
}
