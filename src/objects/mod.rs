//! Manifests as the decider's input: what a daemon would know of a cluster in which these objects, and nothing else, had been applied.
//!
//! What an API server, a kubelet or a controller would have filled in is filled in here, from names and never from chance, and objects are taken in by kind
//! and name: the same objects in another order are the same input. An object that cannot be used is left out, with a finding, and hides no other.

mod admission;
mod complete;
mod kind;
mod machines;
mod scaled;
mod scheduler;
mod take;

use std::collections::BTreeMap;

use springtide_api::Problem;
use springtide_api::typed::Unclear;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::Cluster;
use springtide_core::nodes::requirement::Labels;
use springtide_core::nodes::workload::WorkloadKey;
use springtide_core::units::Replicas;
use springtide_core::{Span, Timestamp};

use self::complete::Uids;
use self::kind::{Object, READ, is_of_cluster};
pub use self::scaled::{Scaled, Unscaled};
use self::take::Late;
use crate::manifests::finding::{Finding, Severity};
use crate::manifests::{Document, threads};

/// The moment of objects that tell of none.
const SOME_MOMENT: Timestamp = Timestamp::constant(1_767_225_600, 0);
/// The label by which Kubernetes puts a namespace's name on it.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

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

/// Reads documents. Nothing of what they hold makes it fail.
pub fn read<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Objects {
    let mut objects = Objects::default();
    let documents = objects.sort(documents);
    objects.now = complete::newest(&documents).unwrap_or(SOME_MOMENT);
    let uids = Uids::of(&documents);
    let typed = threads::map(&documents, |document| Object::of(document, &uids));
    let mut late = Late::default();
    objects.name_namespaces(&documents);
    for (document, object) in documents.iter().zip(&typed) {
        objects.learn(document, object.as_ref().ok(), &mut late);
    }
    for (document, object) in documents.iter().copied().zip(typed) {
        match object {
            Ok(object) => objects.take(document, object, &mut late),
            Err(problem) => objects.problem(document, problem),
        }
    }
    objects.take_pods(&mut late);
    objects.name_missing_classes(&late.pools);
    scaled::take(&mut objects, std::mem::take(&mut late.scaled), &late.sources);
    objects.classify(late);
    objects.findings.sort_by(|a, b| (&a.file, a.line, &a.field, &a.what).cmp(&(&b.file, b.line, &b.field, &b.what)));
    objects
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
            if let Some(problem) = unnamed(document).filter(|_| document.kind != scheduler::KIND) {
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

    /// What others' pods have to do with this object.
    fn learn(&mut self, document: &Document, object: Option<&Object>, late: &mut Late<'_>) {
        match object {
            Some(Object::Scheduler(configuration)) => {
                if let Err(problem) = late.admission.configure(configuration) {
                    let remedy = format!("{}; until then this object is left out", problem.remedy);
                    self.problem(document, Problem { remedy, ..problem });
                }
            }
            Some(object) => late.admission.learn(object),
            None => {}
        }
    }

    /// Namespaces have a label with their name, also those that are in no file themselves.
    fn name_namespaces(&mut self, documents: &[&Document]) {
        let mut known: Vec<Name> = documents.iter().map(|document| key(document).namespace).filter(|name| !name.is_empty()).collect();
        known.sort_unstable();
        known.dedup();
        for name in known {
            let labels = Labels::from([(NAMESPACE_NAME.into(), name.clone())]);
            self.cluster.shapes.set_namespace(name, Some(labels));
        }
    }

    fn problem(&mut self, document: &Document, problem: Problem) {
        self.findings.push(Finding::at(Severity::Problem, document, problem));
    }

    fn unclear(&mut self, document: &Document, unclear: Unclear) {
        self.problem(document, Problem::new(unclear.field, unclear.what, "correct it; until then this object is left out"));
    }
}
