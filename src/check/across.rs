//! What only several objects together tell: who scales what, what is there twice, and which names lead nowhere.

use std::cell::Cell;
use std::collections::BTreeMap;

use springtide_api::karpenter::NodeClassRef;
use springtide_api::keda::ScaledObject;
use springtide_api::labels::KEDA_HPA_PREFIX;
use springtide_api::typed::scaled::{TARGETS, TARGETS_VERSION, has_known_target};
use springtide_api::{Problem, typed};

use super::finding::{Finding, Severity};
use super::nearest::nearest;
use super::object::{Judged, Object};
use super::schema::TOLD;
use super::triggers;
use crate::manifests::Document;

/// Kinds that somebody might want to scale and that have no `/scale`.
const WITHOUT_SCALE: [&str; 9] = ["ConfigMap", "CronJob", "DaemonSet", "Job", "Pod", "PodTemplate", "ScaledJob", "Secret", "Service"];

/// So many names are compared in all to find what may have been meant. Among a handful of files that is each with each; among ten thousand it would take
/// longer than anybody waits for a hint.
const COMPARED: usize = 1_000_000;

/// All objects, by kind, namespace and name.
pub struct Index<'a> {
    objects: BTreeMap<(&'a str, &'a str, &'a str), &'a Judged<'a>>,
    /// Names, by kind and namespace.
    names: BTreeMap<(&'a str, &'a str), Vec<&'a str>>,
    /// Workloads by name.
    workloads: BTreeMap<&'a str, Vec<&'a Document>>,
    compared: Cell<usize>,
}

impl<'a> Index<'a> {
    fn new(objects: BTreeMap<(&'a str, &'a str, &'a str), &'a Judged<'a>>) -> Self {
        let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut workloads: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ((kind, namespace, name), judged) in &objects {
            names.entry((*kind, *namespace)).or_default().push(*name);
            if matches!(judged.object, Object::Workload(_)) {
                workloads.entry(*name).or_default().push(judged.document);
            }
        }
        Self { objects, names, workloads, compared: Cell::new(0) }
    }

    /// The object of this kind, namespace and name. One that names no namespace is not taken for one that does.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<&'a Judged<'a>> {
        self.objects.get(&(kind, namespace, name)).copied()
    }

    /// The name in a namespace that is nearly this one.
    pub fn near(&self, kind: &str, namespace: &str, name: &str) -> Option<&'a str> {
        let names = self.names.get(&(kind, namespace))?;
        self.compared.set(self.compared.get().saturating_add(names.len()));
        if self.compared.get() > COMPARED { None } else { nearest(name, names.iter().copied()) }
    }
}

/// Where an object stands, for a message about another one.
fn place(document: &Document) -> String {
    format!("{}:{}", document.file, document.line)
}

/// A name as the daemon's messages write it.
fn full(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

pub fn namespace(document: &Document) -> &str {
    document.namespace.as_deref().unwrap_or_default()
}

/// Everything.
pub fn findings(judged: &[Judged<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    let index = index(judged, &mut found);
    let mut owners: BTreeMap<(String, String, String), &Judged<'_>> = BTreeMap::new();
    let hpas = autoscalers(judged);
    for one in judged {
        let mut of_one = Vec::new();
        match &one.object {
            Object::Scaled(object) => {
                target(one, object, &index, &mut owners, &hpas, &mut of_one);
                triggers::of_scaled_object(one.document, object, &index, &mut of_one);
            }
            Object::Job(object) => triggers::of_scaled_job(one.document, object, &index, &mut of_one),
            Object::OfClass(at, reference) => near_class(one.document, at, reference, &index, &mut of_one),
            Object::Authentication(spec) => triggers::of_authentication(one.document, spec, &index, &mut of_one),
            _ => {}
        }
        of_one.retain(|finding| one.is_open(&finding.field));
        let more = of_one.split_off(TOLD.min(of_one.len()));
        if let Some(worst) = more.iter().map(|finding| finding.severity).min() {
            let what = if worst == Severity::Problem { "problems" } else { "notices" };
            let problem = Problem::new("", format!("{} more {what} were found", more.len()), "correct the others first");
            of_one.push(Finding::new(worst, one.document, one.document.line, problem));
        }
        found.append(&mut of_one);
    }
    found
}

/// Finds what is there twice on the way. Of what is not looked into, only Secrets, ConfigMaps and NodeClasses matter to anybody.
fn index<'a>(judged: &'a [Judged<'a>], found: &mut Vec<Finding>) -> Index<'a> {
    let mut objects: BTreeMap<(&str, &str, &str), &Judged<'_>> = BTreeMap::new();
    for one in judged.iter().filter(|one| !one.document.name.is_empty()) {
        if one.passed_over && !matches!(one.object, Object::Data(_)) && !one.document.kind.ends_with("NodeClass") {
            continue;
        }
        let document = one.document;
        let generated = document.tree.at(&["metadata", "name"]).is_none();
        let key = (document.kind.as_str(), namespace(document), document.name.as_str());
        match objects.get(&key) {
            Some(first) if !one.passed_over && !generated => {
                let what = format!("it is there a second time; the first one is at {}", place(first.document));
                let problem =
                    Problem::new("metadata.name", what.replace("; ", ": "), "remove one of the two, or give it another name or namespace");
                let line = document.tree.line_of("metadata.name");
                found.push(Finding::new(Severity::Problem, document, line, problem));
            }
            Some(_) => {}
            None => drop(objects.insert(key, one)),
        }
    }
    Index::new(objects)
}

/// HPAs by namespace, kind and name of what they scale.
fn autoscalers<'a>(judged: &'a [Judged<'a>]) -> BTreeMap<(&'a str, &'a str, &'a str), Vec<&'a Document>> {
    let mut all: BTreeMap<_, Vec<&Document>> = BTreeMap::new();
    for one in judged {
        if let Object::Autoscaler(kind, name) = &one.object {
            all.entry((kind.as_str(), namespace(one.document), name.as_str())).or_default().push(one.document);
        }
    }
    all
}

/// A NodeClass of a pool or a claim that is not in the files, where one of nearly this name is.
fn near_class(document: &Document, at: &str, reference: &NodeClassRef, index: &Index<'_>, found: &mut Vec<Finding>) {
    let (kind, name) = (reference.kind.as_str(), reference.name.as_str());
    // NodeClasses have no namespace.
    if name.is_empty() || index.get(kind, "", name).is_some() {
        return;
    }
    if let Some(near) = index.near(kind, "", name) {
        let problem = Problem::new(
            format!("{at}.name"),
            format!("{kind} {name} is not in these files, but '{near}' is"),
            format!("write name: {near}, if it is meant"),
        );
        found.push(Finding::new(Severity::Notice, document, document.tree.line_of(&problem.field), problem));
    }
}

/// What a ScaledObject scales: whether it can be scaled, and who else does.
fn target<'a>(
    one: &'a Judged<'a>,
    object: &ScaledObject,
    index: &Index<'_>,
    owners: &mut BTreeMap<(String, String, String), &'a Judged<'a>>,
    hpas: &BTreeMap<(&str, &str, &str), Vec<&Document>>,
    found: &mut Vec<Finding>,
) {
    let document = one.document;
    let mut say = |severity, field: &str, what: String, remedy: String| {
        found.push(Finding::new(severity, document, document.tree.line_of(field), Problem::new(field, what, remedy)));
    };
    let key = typed::scaled::target(object);
    let (kind, namespace, name) = (key.kind.as_str(), key.key.namespace.as_str(), key.key.name.as_str());
    if name.is_empty() {
        return;
    }
    if WITHOUT_SCALE.contains(&kind) {
        let remedy = match kind {
            "Job" | "CronJob" => "write a ScaledJob with the Job's template, or name a Deployment or StatefulSet".to_owned(),
            _ => "name a Deployment, a StatefulSet or another kind that has one".to_owned(),
        };
        say(Severity::Problem, "spec.scaleTargetRef.kind", format!("{kind} has no /scale, by which replicas are set"), remedy);
        return;
    }
    if let Some((severity, field, what, remedy)) = unserved_target(object) {
        say(severity, field, what, remedy);
        if severity == Severity::Problem {
            return;
        }
    }
    let workload = format!("the workload '{}' of type '{kind}'", full(namespace, name));
    match owners.get(&(kind.to_owned(), namespace.to_owned(), name.to_owned())) {
        // The same object twice has been said.
        Some(first) if first.document.name == document.name => {}
        Some(first) => {
            let first = first.document;
            let what = format!("{workload} is already managed by the ScaledObject '{}' ({})", full(namespace, &first.name), place(first));
            say(Severity::Problem, "spec.scaleTargetRef.name", what, "delete one of the two".to_owned());
        }
        None => drop(owners.insert((kind.to_owned(), namespace.to_owned(), name.to_owned()), one)),
    }
    let theirs = |hpa: &&&Document| hpa.name != format!("{KEDA_HPA_PREFIX}{}", document.name);
    if let Some(hpa) = hpas.get(&(kind, namespace, name)).and_then(|hpas| hpas.iter().find(theirs)) {
        let what = format!("{workload} is already managed by the hpa '{}' ({})", full(namespace, &hpa.name), place(hpa));
        say(Severity::Problem, "spec.scaleTargetRef.name", what, "delete the HorizontalPodAutoscaler".to_owned());
    }
    if index.get(kind, namespace, name).is_none()
        && let Some((what, remedy)) = near_target(index, kind, namespace, name)
    {
        say(Severity::Notice, "spec.scaleTargetRef.name", format!("{workload} is not in these files, but {what}"), remedy);
    }
}

/// What there is to say of a target that this version does not scale. What serves another group's kinds is not known here; that it is not scaled is.
fn unserved_target(object: &ScaledObject) -> Option<(Severity, &'static str, String, String)> {
    if has_known_target(object) {
        return None;
    }
    let target = &object.spec.scale_target_ref;
    let (version, kind, all) = (target.api_version(), target.kind(), TARGETS.join(", "));
    if TARGETS.contains(&kind) {
        let what = format!("this version scales no {kind} of {version}, only those of {TARGETS_VERSION}");
        return Some((Severity::Problem, "spec.scaleTargetRef.apiVersion", what, format!("write apiVersion: {TARGETS_VERSION}")));
    }
    let field = "spec.scaleTargetRef.kind";
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let near = nearest(kind, TARGETS).filter(|_| matches!(group, "" | "apps" | "extensions"));
    if group == "apps" || near.is_some() {
        let remedy = near.map_or_else(|| format!("write one of {all}"), |near| format!("did you mean {near}?"));
        return Some((Severity::Problem, field, format!("there is no {kind:?} in {version} that can be scaled"), remedy));
    }
    let what = format!("this version scales only {all}, and no {kind} of {version}");
    Some((Severity::Notice, field, what, "name one of these, or leave the object to KEDA".to_owned()))
}

/// A workload in the files that may have been meant.
fn near_target(index: &Index<'_>, kind: &str, namespace: &str, name: &str) -> Option<(String, String)> {
    let same = index.workloads.get(name).map(Vec::as_slice).unwrap_or_default();
    if let Some(other) = same.iter().find(|other| self::namespace(other) == namespace) {
        return Some((format!("a {} of this name is", other.kind), format!("write kind: {}, if it is meant", other.kind)));
    }
    if let Some(other) = same.iter().find(|other| other.kind == kind) {
        let what = match &other.namespace {
            Some(theirs) => format!("one in the namespace {theirs} is"),
            None => "one that names no namespace is".to_owned(),
        };
        return Some((what, "give both the same namespace, if it is meant".to_owned()));
    }
    let near = index.near(kind, namespace, name)?;
    Some((format!("'{near}' is"), format!("write name: {near}, if it is meant")))
}
