//! Triggers: whether their scaler exists and can make something of what it is told. What comes from a Secret is not known, and what is not in the files may be
//! in the cluster; of neither is anything said to be missing.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use springtide_api::keda::{ScaledJob, ScaledObject, Trigger, TriggerAuthenticationSpec};
use springtide_api::validate::is_variable_name;
use springtide_api::{Problem, typed};
use springtide_core::name::Key;
use springtide_scalers::{AuthParams, IDENTITY, Kind, Secret, Source, conceal, kind, parse_as};

use super::across::{Index, namespace};
use super::finding::{Finding, Severity};
use super::nearest::nearest;
use super::object::Object;
use super::schema::TOLD;
use super::types::{TYPES, is_type};
use crate::identity;
use crate::manifests::Document;

/// Stands for a text that is there and is not known.
const UNKNOWN: &str = "unknown";

/// Texts that may be known.
#[derive(Default)]
struct Texts {
    /// Those that are, with [`UNKNOWN`] for those that are only known to be there.
    given: AuthParams,
    /// Names of those that are there and not known.
    hidden: BTreeSet<String>,
    /// Whether there may be others.
    open: bool,
}

impl Texts {
    fn anything() -> Self {
        Self { open: true, ..Self::default() }
    }

    fn know(&mut self, name: &str, text: &str) {
        if is_template(text) {
            self.hide(name);
        } else {
            self.hidden.remove(name);
            self.given.texts.insert(name.to_owned(), Secret::from(text));
        }
    }

    fn hide(&mut self, name: &str) {
        self.hidden.insert(name.to_owned());
        self.given.texts.insert(name.to_owned(), Secret::from(UNKNOWN));
    }
}

/// Whether a text is a template that something fills in later, or is made of other variables.
fn is_template(text: &str) -> bool {
    text.contains("$(") || text.contains("${") || text.contains("{{")
}

/// Where an object's triggers find the environment.
struct Environment {
    texts: Texts,
    /// Whose it is, for messages; none where that is not in the files.
    owner: Option<String>,
}

struct Looker<'a> {
    document: &'a Document,
    index: &'a Index<'a>,
    found: &'a mut Vec<Finding>,
}

/// The triggers of a ScaledObject.
pub fn of_scaled_object(document: &Document, object: &ScaledObject, index: &Index<'_>, found: &mut Vec<Finding>) {
    let target = typed::scaled::target(object);
    let judged = index.get(&target.kind, &target.key.namespace, &target.key.name);
    let pod = judged.and_then(|judged| if let Object::Workload(pod) = &judged.object { pod.as_deref() } else { None });
    let mut looker = Looker { document, index, found };
    let container = object.spec.scale_target_ref.env_source_container_name.as_deref();
    let owner = format!("{} {}", target.kind, target.key.name);
    let environment = looker.environment(pod, &owner, container, "spec.scaleTargetRef.envSourceContainerName");
    for (i, trigger) in object.spec.triggers.iter().enumerate() {
        looker.trigger(i, trigger, &environment);
        if let Some(pod) = pod.filter(|_| trigger.is_resource()) {
            looker.requests(i, trigger, pod, &owner);
        }
    }
}

/// The triggers of a ScaledJob.
pub fn of_scaled_job(document: &Document, object: &ScaledJob, index: &Index<'_>, found: &mut Vec<Finding>) {
    let mut looker = Looker { document, index, found };
    let pod = object.spec.job_target_ref.template.spec.as_ref();
    let container = object.spec.env_source_container_name.as_deref();
    let environment = looker.environment(pod, "the Job's template", container, "spec.envSourceContainerName");
    for (i, trigger) in object.spec.triggers.iter().enumerate() {
        looker.trigger(i, trigger, &environment);
    }
}

/// Whether the keys that an authentication names are there, where their objects are in the files.
pub fn of_authentication(document: &Document, spec: &TriggerAuthenticationSpec, index: &Index<'_>, found: &mut Vec<Finding>) {
    // Those of the cluster read from the daemon's namespace, which the files do not tell.
    if document.kind != "TriggerAuthentication" {
        return;
    }
    let lists = [("Secret", "secretTargetRef", &spec.secret_target_ref), ("ConfigMap", "configMapTargetRef", &spec.config_map_target_ref)];
    for (kind, field, list) in lists {
        for (i, reference) in list.iter().enumerate() {
            let Some(judged) = index.get(kind, namespace(document), &reference.name) else { continue };
            let Object::Data(keys) = &judged.object else { continue };
            if !reference.key.is_empty() && !keys.contains_key(&reference.key) {
                let field = format!("spec.{field}[{i}].key");
                let what =
                    format!("{kind} {} ({}:{}) has no key `{}`", reference.name, judged.document.file, judged.document.line, reference.key);
                let remedy = nearest(&reference.key, keys.keys().map(String::as_str))
                    .map_or_else(|| "add it or correct the reference".to_owned(), |near| format!("did you mean {near}?"));
                found.push(Finding::new(Severity::Problem, document, document.tree.line_of(&field), Problem::new(field, what, remedy)));
            }
        }
    }
}

impl<'a> Looker<'a> {
    fn say(&mut self, severity: Severity, field: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) {
        let problem = Problem::new(field, what, remedy);
        // What is only counted needs no line.
        let line = if self.found.len() < TOLD { self.document.tree.line_of(&problem.field) } else { 0 };
        self.found.push(Finding::new(severity, self.document, line, problem));
    }

    /// What may have been meant, while anybody is told.
    fn near<'b>(&self, word: &str, known: impl IntoIterator<Item = &'b str>) -> Option<&'b str> {
        if self.found.len() < TOLD { nearest(word, known) } else { None }
    }

    fn environment(&mut self, pod: Option<&PodSpec>, owner: &str, container: Option<&str>, field: &str) -> Environment {
        let Some(pod) = pod else { return Environment { texts: Texts::anything(), owner: None } };
        let container = container.filter(|name| !name.is_empty());
        let chosen = match container {
            Some(name) => pod.containers.iter().find(|container| container.name == name),
            None => pod.containers.first(),
        };
        let Some(chosen) = chosen else {
            if let Some(name) = container {
                let names: Vec<&str> = pod.containers.iter().map(|container| container.name.as_str()).collect();
                self.say(
                    Severity::Problem,
                    field,
                    format!("{owner} has no container `{name}`"),
                    format!("write one of {}", names.join(", ")),
                );
            }
            return Environment { texts: Texts::anything(), owner: None };
        };
        let which = if chosen.name.is_empty() { "the container".to_owned() } else { format!("container `{}`", chosen.name) };
        Environment { texts: self.variables(chosen), owner: Some(format!("{which} of {owner}")) }
    }

    fn data(&self, kind: &str, name: &str) -> Option<&'a std::collections::BTreeMap<String, Option<String>>> {
        match &self.index.get(kind, namespace(self.document), name)?.object {
            Object::Data(keys) => Some(keys),
            _ => None,
        }
    }

    fn variables(&self, container: &Container) -> Texts {
        let mut texts = Texts::default();
        for source in container.env_from.iter().flatten() {
            let prefix = source.prefix.as_deref().unwrap_or_default();
            let secret = source.secret_ref.as_ref().map(|reference| ("Secret", &reference.name));
            let map = source.config_map_ref.as_ref().map(|reference| ("ConfigMap", &reference.name));
            let Some((kind, name)) = secret.or(map) else { continue };
            match self.data(kind, name) {
                Some(keys) => keys.iter().for_each(|(key, text)| match text {
                    Some(text) => texts.know(&format!("{prefix}{key}"), text),
                    None => texts.hide(&format!("{prefix}{key}")),
                }),
                None => texts.open = true,
            }
        }
        for variable in container.env.iter().flatten() {
            match (&variable.value, &variable.value_from) {
                (Some(text), _) => texts.know(&variable.name, text),
                (None, Some(_)) => texts.hide(&variable.name),
                (None, None) => {}
            }
        }
        texts
    }

    /// What a trigger's authentication gives.
    fn authentication(&mut self, i: usize, trigger: &Trigger) -> Texts {
        let Some((name, of_cluster)) = typed::scaled::authentication(trigger) else { return Texts::default() };
        let (kind, namespace) =
            if of_cluster { ("ClusterTriggerAuthentication", "") } else { ("TriggerAuthentication", namespace(self.document)) };
        let field = format!("spec.triggers[{i}].authenticationRef");
        let Some(Object::Authentication(spec)) = self.index.get(kind, namespace, name).map(|judged| &judged.object) else {
            self.near_authentication(&field, kind, namespace, name);
            return Texts::anything();
        };
        let mut texts = Texts::default();
        for reference in &spec.config_map_target_ref {
            let text = self.data("ConfigMap", &reference.name).filter(|_| !of_cluster).and_then(|keys| keys.get(&reference.key));
            match text {
                Some(Some(text)) => texts.know(&reference.parameter, text),
                _ => texts.hide(&reference.parameter),
            }
        }
        spec.secret_target_ref.iter().for_each(|reference| texts.hide(&reference.parameter));
        spec.aws_secret_manager.iter().flat_map(|manager| &manager.secrets).for_each(|secret| texts.hide(&secret.parameter));
        spec.env.iter().for_each(|reference| texts.hide(&reference.parameter));
        spec.azure_key_vault.iter().flat_map(|vault| &vault.secrets).for_each(|secret| texts.hide(&secret.parameter));
        spec.gcp_secret_manager.iter().flat_map(|manager| &manager.secrets).for_each(|secret| texts.hide(&secret.parameter));
        texts.given.identity = spec.pod_identity.as_ref().and_then(|identity| identity::typed(identity, None));
        for source in typed::scaled::unserved_sources(spec) {
            texts.open = true;
            let what = format!("{kind} {name} has {source}, which is not read yet");
            self.say(Severity::Problem, &field, what, "use secretTargetRef or configMapTargetRef");
        }
        texts
    }

    fn near_authentication(&mut self, field: &str, kind: &str, namespace: &str, name: &str) {
        let index = self.index;
        if index.get(kind, namespace, name).is_some() {
            return;
        }
        let field = format!("{field}.name");
        let other = if kind == "TriggerAuthentication" {
            ("ClusterTriggerAuthentication", "")
        } else {
            ("TriggerAuthentication", self::namespace(self.document))
        };
        if index.get(other.0, other.1, name).is_some() {
            let what = format!("{kind} {name} is not in these files, but a {} of this name is", other.0);
            self.say(Severity::Notice, field, what, format!("write kind: {} beside the name, if it is meant", other.0));
        } else if let Some(near) = index.near(kind, namespace, name) {
            let what = format!("{kind} {name} is not in these files, but '{near}' is");
            self.say(Severity::Notice, field, what, format!("write name: {near}, if it is meant"));
        }
    }

    /// Parameters of a trigger's authentication that its scaler does not read and that have nearly the name of one that it does.
    fn near_parameters(&mut self, i: usize, trigger: &Trigger, kind: &Kind) {
        let Some((name, of_cluster)) = typed::scaled::authentication(trigger) else { return };
        let (of, namespace) =
            if of_cluster { ("ClusterTriggerAuthentication", "") } else { ("TriggerAuthentication", namespace(self.document)) };
        let Some(Object::Authentication(spec)) = self.index.get(of, namespace, name).map(|judged| &judged.object) else { return };
        let given: Vec<&str> = spec.secret_target_ref.iter().chain(&spec.config_map_target_ref).map(|one| one.parameter.as_str()).collect();
        let known: Vec<&str> =
            kind.all_parameters().filter(|known| known.sources.contains(&Source::Auth)).map(|known| known.name).collect();
        for parameter in given.iter().filter(|parameter| !known.contains(parameter)) {
            if let Some(near) = self.near(parameter, known.iter().copied().filter(|known| !given.contains(known))) {
                let what = format!("{of} {name} gives the parameter `{parameter}`, which {} does not read", kind.name);
                self.say(Severity::Notice, format!("spec.triggers[{i}].authenticationRef"), what, format!("did you mean {near}?"));
            }
        }
    }

    fn trigger(&mut self, i: usize, trigger: &Trigger, environment: &Environment) {
        if trigger.kind.is_empty() {
            return;
        }
        let auth = self.authentication(i, trigger);
        let Some(kind) = kind(&trigger.kind) else {
            let served = "use one of those that `springtide scalers` lists";
            let (what, remedy) = if is_type(&trigger.kind) {
                let what = format!("type {:?} is one of KEDA's and not in this version yet", trigger.kind);
                (what, format!("{served}, or leave the object to KEDA"))
            } else {
                let remedy = self.near(&trigger.kind, TYPES).map_or_else(|| served.to_owned(), |near| format!("did you mean {near}?"));
                (format!("no scaler found for type: {:?}", conceal(&trigger.kind)), remedy)
            };
            return self.say(Severity::Problem, format!("spec.triggers[{i}].type"), what, remedy);
        };
        let mut unsaid = self.variables_of(i, trigger, environment);
        self.near_parameters(i, trigger, kind);
        let knows = |name: &str, source| kind.all_parameters().any(|known| known.name == name && known.sources.contains(&source));
        let owner = Key::new(namespace(self.document), self.document.name.as_str());
        let (meaning, env) = (trigger.metric_type_given(), &environment.texts.given.texts);
        let result = parse_as(&owner, &trigger.kind, meaning, &trigger.metadata, &auth.given, env);
        unsaid.extend(auth.hidden.iter().cloned());
        match result {
            Ok(trigger) => {
                if let Some(problem) = trigger.unmeasured() {
                    self.say(Severity::Problem, format!("spec.triggers[{i}].{}", problem.field), problem.what, problem.remedy);
                }
                for notice in trigger.notices {
                    self.say(Severity::Notice, format!("spec.triggers[{i}].metadata.{}", notice.field), notice.what, notice.remedy);
                }
            }
            Err(problems) => {
                // What a target may mean has been judged with the object.
                for problem in problems.into_iter().filter(|problem| problem.field != "metricType") {
                    let elsewhere = auth.open && knows(&problem.field, Source::Auth);
                    let given = trigger.metadata.get(&problem.field).is_some_and(|text| !text.trim().is_empty());
                    if !given && (elsewhere || unsaid.contains(&problem.field)) {
                        continue;
                    }
                    let (field, what) = self.place(i, trigger, kind, &problem.field, problem.what);
                    self.say(Severity::Problem, field, what, problem.remedy);
                }
            }
        }
        for unknown in kind.unknown(&trigger.metadata) {
            let names = kind.all_parameters().filter(|known| known.sources.contains(&Source::Metadata)).map(|known| known.name);
            let near = self.near(&unknown.field, names.filter(|name| !trigger.metadata.contains_key(*name)));
            let remedy = near.map_or(unknown.remedy, |near| format!("did you mean {near}?"));
            self.say(Severity::Notice, format!("spec.triggers[{i}].metadata.{}", unknown.field), unknown.what, remedy);
        }
    }

    /// Where a parameter is given, or should be.
    fn place(&self, i: usize, trigger: &Trigger, kind: &Kind, name: &str, what: String) -> (String, String) {
        let at = format!("spec.triggers[{i}]");
        if name == IDENTITY {
            return (format!("{at}.authenticationRef"), format!("{IDENTITY}: {what}"));
        }
        let variable = format!("{name}FromEnv");
        let sources = kind.all_parameters().find(|known| known.name == name).map_or(&[][..], |known| known.sources);
        if !trigger.metadata.contains_key(name) && trigger.metadata.contains_key(&variable) {
            (format!("{at}.metadata.{variable}"), what)
        } else if trigger.metadata.contains_key(name) || sources.is_empty() || sources.contains(&Source::Metadata) {
            (format!("{at}.metadata.{name}"), what)
        } else {
            (format!("{at}.authenticationRef"), format!("{name} {what}"))
        }
    }

    /// Looks whether the variables are there that a trigger names. The parameters whose text is not known for that.
    fn variables_of(&mut self, i: usize, trigger: &Trigger, environment: &Environment) -> BTreeSet<String> {
        let mut unknown = BTreeSet::new();
        for (key, variable) in &trigger.metadata {
            let Some(parameter) = key.strip_suffix("FromEnv") else { continue };
            let variable = variable.trim();
            let texts = &environment.texts;
            if texts.given.texts.contains_key(variable) {
                if texts.hidden.contains(variable) {
                    unknown.insert(parameter.to_owned());
                }
                continue;
            }
            unknown.insert(parameter.to_owned());
            if !variable.is_empty() && !is_variable_name(variable) {
                // Whoever writes a value where a name belongs may have written a password.
                if !is_template(variable) {
                    let (what, remedy) = typed::scaled::NO_VARIABLE;
                    self.say(Severity::Problem, format!("spec.triggers[{i}].metadata.{key}"), what, remedy);
                }
                continue;
            }
            if let Some(owner) = environment.owner.as_ref().filter(|_| !texts.open) {
                let near = self.near(variable, texts.given.texts.keys().map(String::as_str));
                let remedy = near.map_or_else(|| "add it, or correct the name".to_owned(), |near| format!("did you mean {near}?"));
                let field = format!("spec.triggers[{i}].metadata.{key}");
                self.say(Severity::Problem, field, format!("{owner} has no environment variable {variable:?}"), remedy);
            }
        }
        unknown
    }

    /// A share of what is requested needs a request, as KEDA's admission check has it.
    fn requests(&mut self, i: usize, trigger: &Trigger, pod: &PodSpec, owner: &str) {
        if trigger.metric_type() != springtide_api::keda::trigger::MetricType::Utilization {
            return;
        }
        let wanted = trigger.metadata.get("containerName").map(String::as_str);
        let resource = trigger.kind.as_str();
        for container in pod.containers.iter().filter(|container| wanted.is_none_or(|name| name == container.name)) {
            let resources = container.resources.as_ref();
            let has = |map: Option<&std::collections::BTreeMap<_, _>>| map.is_some_and(|map| map.contains_key(resource));
            if !has(resources.and_then(|r| r.requests.as_ref())) && !has(resources.and_then(|r| r.limits.as_ref())) {
                let what =
                    format!("container `{}` of {owner} requests no {resource}, so there is nothing to take a share of", container.name);
                self.say(
                    Severity::Problem,
                    format!("spec.triggers[{i}].type"),
                    what,
                    format!("add resources.requests.{resource} to the container"),
                );
            }
        }
    }
}
