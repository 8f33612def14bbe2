//! One object by itself: whether it has the shape of its kind, and whether its fields mean something.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::PodSpec;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use springtide_api::crds::CrdError;
use springtide_api::karpenter::node_pool::ConsolidationPolicy;
use springtide_api::karpenter::{KwokNodeClass, NodeClaim, NodeClassRef, NodePool};
use springtide_api::keda::{ClusterTriggerAuthentication, ScaledJob, ScaledObject, TriggerAuthentication, TriggerAuthenticationSpec};
use springtide_api::structure::structures;
use springtide_api::{Problem, typed, validate};
use springtide_core::name::Name;
use springtide_core::nodes::shape::Shapes;

use super::finding::{Finding, Severity, shown};
use super::older::{self, Standing};
use super::schema::{Deviation, Patterns, Schema, TOLD, Walk, Weight};
use super::{classes, nearest::nearest};
use crate::manifests::{Document, Node};

/// What objects with something in common look like to others.
#[derive(Debug)]
pub enum Object {
    Scaled(Box<ScaledObject>),
    Job(Box<ScaledJob>),
    Authentication(Box<TriggerAuthenticationSpec>),
    /// What its pods look like, where that can be understood.
    Workload(Option<Box<PodSpec>>),
    /// Kind and name of what an HPA scales.
    Autoscaler(String, String),
    /// A pool or a claim: where it names its NodeClass, and which.
    OfClass(&'static str, NodeClassRef),
    /// A Secret's or ConfigMap's keys, with texts that are no secret.
    Data(BTreeMap<String, Option<String>>),
    Other,
}

/// An object that was looked at.
#[derive(Debug)]
pub struct Judged<'a> {
    pub document: &'a Document,
    pub object: Object,
    pub passed_over: bool,
    pub findings: Vec<Finding>,
    /// Fields whose shape is wrong, of which nothing more is said.
    wrong: Vec<String>,
}

impl Judged<'_> {
    /// Whether something may still be said of a field.
    pub fn is_open(&self, field: &str) -> bool {
        let field = plain(field);
        !self.wrong.iter().any(|wrong| within(&field, wrong))
    }
}

/// The shapes of kinds.
pub struct Kinds {
    schemas: BTreeMap<(String, String), Schema>,
    metadata: Schema,
}

impl Kinds {
    /// Makes those that these objects need.
    pub fn of<'a>(documents: impl Iterator<Item = &'a Document>) -> Result<Self, CrdError> {
        let wanted: BTreeSet<&str> = documents.map(|document| document.kind.as_str()).collect();
        let mut patterns = Patterns::default();
        let all = structures(|kind| wanted.contains(kind))?;
        let mut schemas = BTreeMap::new();
        for mut one in all {
            // These are looked at by themselves, or not at all.
            for name in ["apiVersion", "kind", "metadata", "status"] {
                one.schema["properties"][name] = json!({});
            }
            schemas.insert((one.api_version, one.kind), Schema::new(&one.schema, &mut patterns));
        }
        Ok(Self { schemas, metadata: Schema::new(&metadata(), &mut patterns) })
    }

    /// Looks at an object. One that was found in a folder and has neither API version nor kind is somebody else's file.
    pub fn judge<'a>(&self, document: &'a Document, named: bool) -> Judged<'a> {
        let mut judge = Judge { document, findings: Vec::new(), wrong: Vec::new(), soft: Vec::new(), more: 0 };
        let judged = |object, passed_over, findings| Judged { document, object, passed_over, findings, wrong: Vec::new() };
        if document.api_version.is_empty() && document.kind.is_empty() && !named {
            return judged(Object::Other, true, Vec::new());
        }
        match older::standing(document) {
            Standing::PassedOver => {
                judge.no_base64();
                judged(data(document), true, judge.findings)
            }
            Standing::Wrong(mut problem) => {
                // A misspelt `kind` or `apiVersion` is there, under another name.
                let typo = nearest(&problem.field, document.tree.entries().iter().map(|entry| &*entry.key));
                if let Some(typo) = typo.filter(|_| document.tree.get(&problem.field).is_none()) {
                    problem = Problem::new(typo, "there is no such field", format!("did you mean {}?", problem.field));
                }
                judge.problem(problem);
                judged(Object::Other, false, judge.findings)
            }
            Standing::Checked { api_version, kind, spelled } => {
                judge.findings.extend(spelled.map(|problem| judge.found(Severity::Problem, problem)));
                let object = judge.all(self, api_version, kind);
                let wrong = std::mem::take(&mut judge.wrong);
                Judged { wrong, ..judged(object, false, judge.finish()) }
            }
        }
    }
}

struct Judge<'a> {
    document: &'a Document,
    findings: Vec<Finding>,
    /// Fields whose shape is wrong: what they mean is not asked.
    wrong: Vec<String>,
    /// What the schema says of values that somebody may know better.
    soft: Vec<Finding>,
    /// How many findings are not told.
    more: usize,
}

impl Judge<'_> {
    fn found(&self, severity: Severity, problem: Problem) -> Finding {
        let line = self.document.tree.line_of(&problem.field);
        Finding::new(severity, self.document, line, problem)
    }

    /// A problem with what a field means, unless its shape was wrong already.
    fn problem(&mut self, problem: Problem) {
        if self.findings.len() >= TOLD {
            self.more += 1;
            return;
        }
        let field = plain(&problem.field);
        if !self.wrong.iter().any(|wrong| within(&field, wrong)) {
            let finding = self.found(Severity::Problem, problem);
            self.findings.push(finding);
        }
    }

    fn problems(&mut self, problems: impl IntoIterator<Item = Problem>) {
        problems.into_iter().for_each(|problem| self.problem(problem));
    }

    fn finish(mut self) -> Vec<Finding> {
        let meant: Vec<String> = self.findings.iter().map(|finding| plain(&finding.field)).collect();
        self.soft.retain(|soft| {
            let field = plain(&soft.field);
            !meant.iter().any(|other| within(&field, other) || within(other, &field))
        });
        self.findings.append(&mut self.soft);
        if self.more > 0 {
            let what = format!("{} more problems were found", self.more);
            let finding = self.found(Severity::Problem, Problem::new("", what, "correct the others first"));
            self.findings.push(finding);
        }
        self.findings
    }

    fn all(&mut self, kinds: &Kinds, api_version: &str, kind: &str) -> Object {
        let Some(schema) = kinds.schemas.get(&(api_version.to_owned(), kind.to_owned())) else { return self.autoscaler() };
        let older = |path: &str, value: &Node| older::field(kind, path, value);
        let tree = &self.document.tree;
        let (mut fitting, deviations, more) = Walk::over(schema, tree, &older);
        self.more += more;
        for Deviation { line, mut problem, mut weight } in deviations {
            let text = tree_text(tree, &problem.field).filter(|_| weight == Weight::Soft);
            if let Some(remedy) = text.and_then(|text| older::word(kind, &problem.field, text)) {
                remedy.clone_into(&mut problem.remedy);
                weight = Weight::Hard;
            }
            // Who wrote what is another kind's need not add what this one needs.
            let other = match (kind, problem.field.as_str()) {
                ("ScaledObject", "spec.scaleTargetRef") => "jobTargetRef",
                ("ScaledJob", "spec.jobTargetRef") => "scaleTargetRef",
                _ => "",
            };
            if tree.at(&["spec", other]).is_some() {
                weight = Weight::Said;
            }
            if weight != Weight::Soft {
                self.wrong.push(plain(&problem.field));
            }
            let finding = Finding::new(Severity::Problem, self.document, line, problem);
            match weight {
                Weight::Hard => self.findings.push(finding),
                Weight::Soft => self.soft.push(finding),
                Weight::Said => {}
            }
        }
        let metadata = self.metadata(&kinds.metadata);
        if let Some(object) = fitting.as_object_mut() {
            object.insert("apiVersion".to_owned(), api_version.into());
            object.insert("kind".to_owned(), kind.into());
            object.insert("metadata".to_owned(), metadata);
            object.remove("status");
        }
        self.meaning(kind, fitting)
    }

    fn metadata(&mut self, schema: &Schema) -> Json {
        let Some(node) = self.document.tree.get("metadata").filter(|node| !node.is_null()) else {
            self.problem(Problem::new("metadata.name", "it is missing", "add metadata, and a name in it"));
            return json!({});
        };
        let (fitting, deviations, more) = Walk::over(schema, node, &|_, _| None);
        self.more += more;
        for mut deviation in deviations {
            let field = std::mem::take(&mut deviation.problem.field);
            deviation.problem.field = if field.is_empty() { "metadata".to_owned() } else { format!("metadata.{field}") };
            let line = if field.is_empty() { self.document.tree.line_of("metadata") } else { deviation.line };
            self.wrong.push(plain(&deviation.problem.field));
            self.findings.push(Finding::new(Severity::Problem, self.document, line, deviation.problem));
        }
        let name = fitting["name"].as_str().unwrap_or_default();
        if name.is_empty() && fitting["generateName"].as_str().unwrap_or_default().is_empty() {
            self.problem(Problem::new("metadata.name", "it is missing", "give the object a name"));
        } else if !name.is_empty() && !validate::is_domain(name) {
            let what = format!("{name:?} is no name of an object");
            self.problem(Problem::new(
                "metadata.name",
                what,
                "use lower-case letters, digits, - and .; begin and end with a letter or digit",
            ));
        }
        fitting
    }

    fn typed<T: DeserializeOwned>(&mut self, fitting: Json) -> Option<T> {
        match serde_path_to_error::deserialize(fitting) {
            Ok(object) => Some(object),
            Err(error) => {
                let problem = Problem::new(error.path().to_string(), error.inner().to_string(), "write what this field can hold");
                self.problem(problem);
                None
            }
        }
    }

    fn meaning(&mut self, kind: &str, fitting: Json) -> Object {
        match kind {
            "ScaledObject" => self.scaled_object(fitting),
            "ScaledJob" => self.typed::<ScaledJob>(fitting).map_or(Object::Other, |object| {
                self.problems(validate::scaled_job(&object));
                Object::Job(Box::new(object))
            }),
            "TriggerAuthentication" => self.typed::<TriggerAuthentication>(fitting).map_or(Object::Other, |object| {
                self.problems(validate::trigger_authentication(&object));
                Object::Authentication(Box::new(object.spec))
            }),
            "ClusterTriggerAuthentication" => self.typed::<ClusterTriggerAuthentication>(fitting).map_or(Object::Other, |object| {
                self.problems(validate::cluster_trigger_authentication(&object));
                Object::Authentication(Box::new(object.spec.0))
            }),
            "NodePool" => self.node_pool(fitting),
            "NodeClaim" => {
                let Some(object) = self.typed::<NodeClaim>(fitting) else { return Object::Other };
                self.problems(
                    validate::node_claim(&object).into_iter().map(|problem| classes::near_label(problem, &object.spec.requirements)),
                );
                self.class("spec.nodeClassRef", object.spec.node_class_ref)
            }
            "KWOKNodeClass" => {
                if let Some(object) = self.typed::<KwokNodeClass>(fitting) {
                    self.problems(validate::kwok_node_class(&object));
                }
                Object::Other
            }
            "HorizontalPodAutoscaler" => self.autoscaler(),
            _ => self.workload(fitting),
        }
    }

    fn scaled_object(&mut self, fitting: Json) -> Object {
        let Some(object) = self.typed::<ScaledObject>(fitting) else { return Object::Other };
        self.problems(validate::scaled_object(&object));
        self.problems(typed::scaled::unserved(&object));
        Object::Scaled(Box::new(object))
    }

    fn node_pool(&mut self, fitting: Json) -> Object {
        let Some(object) = self.typed::<NodePool>(fitting) else { return Object::Other };
        let requirements = &object.spec.template.spec.requirements;
        self.problems(validate::node_pool(&object).into_iter().map(|problem| classes::near_label(problem, requirements)));
        self.problems(typed::pool::contradictions(&object));
        self.problems(typed::pool::unserved(&object));
        if self.findings.is_empty()
            && self.soft.is_empty()
            && let Err(unclear) = typed::pool::pool(&object)
        {
            self.problem(unclear_problem(unclear.field, &unclear.what));
        }
        // Who leaves the policy out has not asked for it.
        let policy = object.spec.disruption.as_ref().and_then(|disruption| disruption.consolidation_policy.as_ref()?.known());
        if policy.is_some_and(|policy| *policy != ConsolidationPolicy::WhenEmpty) {
            let what = "nodes that are empty are removed; underutilized ones are not consolidated yet";
            self.notice(Problem::new("spec.disruption.consolidationPolicy", what, "write WhenEmpty, if that is enough"));
        }
        self.class("spec.template.spec.nodeClassRef", object.spec.template.spec.node_class_ref)
    }

    fn class(&mut self, at: &'static str, reference: NodeClassRef) -> Object {
        match classes::reference(at, &reference) {
            Some((Severity::Problem, problem)) => self.problem(problem),
            Some((Severity::Notice, problem)) => self.notice(problem),
            None => {}
        }
        Object::OfClass(at, reference)
    }

    /// What an API server cannot decode of a Secret. Nothing is said of what fills in or decrypts later.
    fn no_base64(&mut self) {
        if self.document.api_version != "v1" || self.document.kind != "Secret" {
            return;
        }
        for entry in self.document.tree.get("data").map(Node::entries).unwrap_or_default() {
            let Some(text) = entry.node.text().filter(|text| !text.contains("{{") && !text.contains("${") && !text.starts_with("ENC["))
            else {
                continue;
            };
            let text: String = text.chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect();
            if self.findings.len() < TOLD && serde_json::from_value::<ByteString>(text.into()).is_err() {
                let remedy = "encode the value in base64, or write it in stringData as it is";
                self.notice(Problem::new(format!("data.{}", entry.key), "this is no base64", remedy));
            }
        }
    }

    fn notice(&mut self, problem: Problem) {
        let finding = self.found(Severity::Notice, problem);
        self.findings.push(finding);
    }

    fn workload(&mut self, mut fitting: Json) -> Object {
        let labels = fitting.pointer("/spec/template/metadata/labels").cloned().unwrap_or_default();
        for (key, value) in fitting.pointer("/spec/selector/matchLabels").and_then(Json::as_object).into_iter().flatten() {
            if labels[key] != *value {
                let field = format!("spec.selector.matchLabels[{key}]");
                let what = "the template's pods have no such label, so it would not find them";
                self.problem(Problem::new(field, what, "write it in spec.template.metadata.labels too, or remove it"));
            }
        }
        let pod = fitting.pointer_mut("/spec/template/spec").map(Json::take).unwrap_or_else(|| json!({ "containers": [] }));
        let pod: PodSpec = match serde_json::from_value(pod) {
            Ok(pod) => pod,
            Err(error) => {
                self.problem(Problem::new("spec.template.spec", error.to_string(), "write what this field can hold"));
                return Object::Workload(None);
            }
        };
        let labels = serde_json::from_value(labels).ok();
        let identity = typed::workload::identity("", &Name::default(), labels.as_ref());
        if self.soft.is_empty()
            && let Err(unclear) = typed::pod::shape(&pod, &identity, &mut Shapes::default())
        {
            self.problem(unclear_problem(format!("spec.template.{}", unclear.field), &unclear.what));
        }
        Object::Workload(Some(Box::new(pod)))
    }

    fn autoscaler(&self) -> Object {
        let text =
            |name: &str| self.document.tree.at(&["spec", "scaleTargetRef", name]).and_then(Node::text).unwrap_or_default().to_owned();
        Object::Autoscaler(text("kind"), text("name"))
    }
}

/// What cannot be understood, whose text ends with what to do where that is known.
fn unclear_problem(field: String, what: &str) -> Problem {
    let (what, remedy) = what.split_once("; ").unwrap_or((what, "write what this field can hold"));
    Problem::new(field, what, remedy)
}

/// A path with one spelling: `a[b].c` and `a.b.c` are the same field.
fn plain(field: &str) -> String {
    shown(field).replace('[', ".").replace(']', "")
}

/// Whether a field is this one, or in it.
fn within(field: &str, outer: &str) -> bool {
    field.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || outer.is_empty())
}

fn tree_text<'a>(tree: &'a Node, field: &str) -> Option<&'a str> {
    tree.at(&field.split('.').collect::<Vec<_>>())?.text()
}

/// The keys of Secrets and ConfigMaps, which triggers may ask for.
fn data(document: &Document) -> Object {
    if document.api_version != "v1" || !matches!(document.kind.as_str(), "Secret" | "ConfigMap") {
        return Object::Other;
    }
    let of = |field: &str, known: bool| {
        let entries = document.tree.get(field).map(Node::entries).unwrap_or_default();
        entries.iter().map(move |entry| (entry.key.to_string(), entry.node.text().filter(|_| known).map(str::to_owned))).collect::<Vec<_>>()
    };
    let is_map = document.kind == "ConfigMap";
    let mut all: BTreeMap<String, Option<String>> = of("data", is_map).into_iter().collect();
    all.extend(of("stringData", false));
    all.extend(of("binaryData", false));
    Object::Data(all)
}

/// What may be in an object's metadata.
fn metadata() -> Json {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "object", "additionalProperties": text });
    let anything = json!({});
    json!({
        "type": "object",
        "properties": {
            "name": text, "generateName": text, "namespace": text, "labels": texts, "annotations": texts,
            "finalizers": { "type": "array", "items": text }, "ownerReferences": { "type": "array", "items": anything },
            "uid": text, "resourceVersion": text, "generation": { "type": "integer" }, "creationTimestamp": text, "deletionTimestamp": text,
            "deletionGracePeriodSeconds": { "type": "integer" }, "managedFields": { "type": "array", "items": anything }, "selfLink": text,
        },
    })
}
