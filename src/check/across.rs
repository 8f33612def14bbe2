//! What only several objects together tell: who scales what, what is there twice, and which names lead nowhere.

use std::cell::Cell;
use std::collections::BTreeMap;

use springtide_api::keda::ScaledObject;
use springtide_api::labels::KEDA_HPA_PREFIX;
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
            Object::Authentication(spec) => triggers::of_authentication(one.document, spec, &index, &mut of_one),
            _ => {}
        }
        of_one.retain(|finding| one.is_open(&finding.field));
        if let more @ 1.. = of_one.len().saturating_sub(TOLD) {
            of_one.truncate(TOLD);
            let problem = Problem::new("", format!("{more} more problems were found"), "correct the others first");
            of_one.push(Finding::new(Severity::Problem, one.document, one.document.line, problem));
        }
        found.append(&mut of_one);
    }
    found
}

/// Finds what is there twice on the way. Of what is not looked into, only Secrets and ConfigMaps matter to anybody.
fn index<'a>(judged: &'a [Judged<'a>], found: &mut Vec<Finding>) -> Index<'a> {
    let mut objects: BTreeMap<(&str, &str, &str), &Judged<'_>> = BTreeMap::new();
    for one in judged.iter().filter(|one| !one.document.name.is_empty()) {
        if one.passed_over && !matches!(one.object, Object::Data(_)) {
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
