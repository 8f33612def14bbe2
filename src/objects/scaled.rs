//! ScaledObjects with their triggers. No broker is asked here, so what a trigger needs only to reach its broker may be missing: Secrets are seldom in files.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use springtide_api::keda::{self, ScaledObject, TriggerAuthenticationSpec};
use springtide_api::typed::scaled::{self, BoundTrigger};
use springtide_api::{Problem, labels, typed, validate};
use springtide_core::Span;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::workload::WorkloadKey;
use springtide_core::scale::decide::Memory;
use springtide_core::scale::policy::Policy;
use springtide_scalers::{AuthParams, Kind, Parameter, ResolvedEnv, Source, kind, parse};

use super::Objects;
use crate::identity;
use crate::manifests::Document;

/// A ScaledObject.
#[derive(Debug)]
pub struct Scaled {
    /// Its name.
    pub key: Key,
    /// What it scales.
    pub target: WorkloadKey,
    /// How.
    pub policy: Policy,
    /// Its triggers, in the policy's order.
    pub triggers: Vec<Trigger>,
    /// How often they are read.
    pub interval: Span,
    /// What its status remembers.
    pub memory: Memory,
    /// Whether it is decided on and left alone.
    pub is_shadow: bool,
}

/// How a trigger is called.
#[derive(Debug)]
pub struct Trigger {
    /// Its own name, or empty.
    pub name: String,
    /// Its metric's name, with the index.
    pub metric: Name,
    /// The queue that it asks, or empty.
    pub queue: String,
}

/// A ScaledObject that cannot be decided on.
#[derive(Debug)]
pub struct Unscaled {
    /// Its name.
    pub key: Key,
    /// What it scales.
    pub target: WorkloadKey,
    /// Why not.
    pub problems: Vec<String>,
}

/// Where parameters of triggers come from.
#[derive(Default)]
pub struct Sources {
    /// Specs by name.
    pub authentications: BTreeMap<Key, TriggerAuthenticationSpec>,
    texts: BTreeMap<(&'static str, Key, String), springtide_scalers::Secret>,
}

impl Sources {
    /// Takes in a Secret.
    pub fn secret(&mut self, object: &Secret) {
        let key = typed::key(&object.metadata);
        let packed = object.data.iter().flatten().filter_map(|(name, bytes)| Some((name, std::str::from_utf8(&bytes.0).ok()?)));
        let plain = object.string_data.iter().flatten().map(|(name, text)| (name, text.as_str()));
        for (name, text) in packed.chain(plain) {
            self.texts.insert(("Secret", key.clone(), name.clone()), text.into());
        }
    }

    /// Takes in a ConfigMap.
    pub fn config_map(&mut self, object: ConfigMap) {
        let key = typed::key(&object.metadata);
        for (name, text) in object.data.into_iter().flatten() {
            self.texts.insert(("ConfigMap", key.clone(), name), text.into());
        }
    }

    /// What the files tell of a trigger's authentication.
    fn parameters(&self, namespace: &Name, trigger: &keda::Trigger) -> AuthParams {
        // Those of the cluster read from the daemon's namespace, which files do not tell.
        let name = scaled::authentication(trigger).filter(|(_, of_cluster)| !of_cluster).map(|(name, _)| name);
        let Some(spec) = name.and_then(|name| self.authentications.get(&Key::new(namespace.clone(), name))) else {
            return AuthParams::new();
        };
        let lists = [("Secret", &spec.secret_target_ref), ("ConfigMap", &spec.config_map_target_ref)];
        let references = lists.into_iter().flat_map(|(kind, list)| list.iter().map(move |reference| (kind, reference)));
        let texts = references
            .filter_map(|(kind, reference)| {
                let place = (kind, Key::new(namespace.clone(), reference.name.as_str()), reference.key.clone());
                Some((reference.parameter.clone(), self.texts.get(&place)?.clone()))
            })
            .collect();
        AuthParams { texts, identity: spec.pod_identity.as_ref().and_then(|identity| identity::typed(identity, None)), ..AuthParams::new() }
    }
}

/// Takes in ScaledObjects; of two with one target the older counts, as in a cluster.
pub fn take(objects: &mut Objects, mut all: Vec<(&Document, Box<ScaledObject>)>, sources: &Sources) {
    let mut owners: BTreeMap<WorkloadKey, Key> = BTreeMap::new();
    all.sort_by_key(|(_, object)| (typed::created(&object.metadata), typed::key(&object.metadata)));
    for (document, object) in all {
        let (key, target) = (typed::key(&object.metadata), scaled::target(&object));
        let bound = bind(objects, &object, sources).and_then(|bound| match owners.get(&target) {
            None => Ok(bound),
            Some(first) => {
                let what = format!("{target} is already managed by ScaledObject {first}");
                Err(vec![Problem::new("spec.scaleTargetRef", what, "delete one of the two, or give one another target")])
            }
        });
        match bound {
            Ok(bound) => {
                owners.insert(target, key);
                objects.scaled.push(bound);
            }
            Err(problems) => {
                let told = problems.iter().map(ToString::to_string).collect();
                objects.unscaled.push(Unscaled { key, target, problems: told });
                problems.into_iter().for_each(|problem| objects.problem(document, problem));
            }
        }
    }
    objects.scaled.sort_by(|a, b| a.key.cmp(&b.key));
    objects.unscaled.sort_by(|a, b| a.key.cmp(&b.key));
}

fn bind(objects: &Objects, object: &ScaledObject, sources: &Sources) -> Result<Scaled, Vec<Problem>> {
    let (key, target) = (typed::key(&object.metadata), scaled::target(object));
    let mut problems = validate::scaled_object(object);
    problems.extend(scaled::unserved(object));
    if !scaled::has_known_target(object) {
        let reference = &object.spec.scale_target_ref;
        let what = format!("{} of {} is not scaled by this version", reference.kind(), reference.api_version());
        problems.push(Problem::new("spec.scaleTargetRef.kind", what, format!("name one of {}", scaled::TARGETS.join(", "))));
    } else if !objects.cluster.workloads.contains_key(&target) {
        let what = format!("{target} is not in these files");
        problems.push(Problem::new("spec.scaleTargetRef", what, "add it, or correct the reference"));
    }
    let (mut bound, mut triggers) = (Vec::new(), Vec::new());
    for (i, trigger) in object.spec.triggers.iter().enumerate() {
        match measured(&key, trigger, &sources.parameters(&key.namespace, trigger)) {
            Ok(typed) => {
                let metric = scaled::metric_name(i, &typed.metric_name);
                let queue = trigger.metadata.get("queueName").cloned().unwrap_or_default();
                triggers.push(Trigger { name: trigger.name.clone().unwrap_or_default(), metric: metric.clone(), queue });
                bound.push(BoundTrigger { id: i, metric, target: typed.target, activation: typed.activation });
            }
            Err(wrong) => problems.extend(wrong.into_iter().map(|p| {
                let place = p.place();
                Problem::new(format!("spec.triggers[{i}].{place}"), p.what, p.remedy)
            })),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let policy = scaled::policy(object, &bound).map_err(|wrong| wrong.iter().map(|text| problem_of(text)).collect::<Vec<_>>())?;
    let status = object.status.as_ref();
    // As after a change of leaders: one that was active when last heard of counts as active now.
    let last_active = if status.is_some_and(scaled::is_active) { Some(objects.now) } else { status.and_then(scaled::last_active) };
    Ok(Scaled {
        key,
        target,
        policy,
        triggers,
        interval: object.spec.polling_interval().max(Span::from_secs(1)),
        memory: Memory::restored(last_active),
        is_shadow: object.metadata.annotations.as_ref().and_then(|notes| notes.get(labels::MODE)).is_some_and(|mode| mode == "shadow"),
    })
}

/// A sentence about a field, as a problem.
fn problem_of(text: &str) -> Problem {
    let (field, what) = text.split_once(": ").unwrap_or(("spec", text));
    let (what, remedy) = what.split_once("; ").unwrap_or((what, "correct it"));
    Problem::new(field, what, remedy)
}

/// A trigger as far as it says what is measured and against what. Parameters that the files leave to Secrets and to the environment are given a text that
/// will do: the one in the kind's own example, or any.
fn measured(
    owner: &Key,
    trigger: &keda::Trigger,
    known: &AuthParams,
) -> Result<springtide_scalers::Trigger, Vec<springtide_scalers::Problem>> {
    let first = match parse(owner, &trigger.kind, &trigger.metadata, known, &ResolvedEnv::new()) {
        Ok(typed) => return Ok(typed),
        Err(problems) => problems,
    };
    let Some(kind) = kind(&trigger.kind) else { return Err(first) };
    let hidden: Vec<&Parameter> =
        kind.all_parameters().filter(|p| first.iter().any(|wrong| wrong.field == p.name) && is_elsewhere(trigger, p)).collect();
    let stand_ins: [fn(&Kind, &str) -> &'static str; 2] = [example, |_, _| "unknown"];
    for stand_in in stand_ins.iter().filter(|_| !hidden.is_empty()) {
        let (mut auth, mut env) = (known.clone(), ResolvedEnv::new());
        for parameter in &hidden {
            let text = springtide_scalers::Secret::from(stand_in(kind, parameter.name));
            match trigger.metadata.get(&format!("{}FromEnv", parameter.name)) {
                Some(variable) => env.insert(variable.trim().to_owned(), text),
                None => auth.texts.insert(parameter.name.to_owned(), text),
            };
        }
        if let Ok(typed) = parse(owner, &trigger.kind, &trigger.metadata, &auth, &env) {
            return Ok(typed);
        }
    }
    // What is said to be missing for want of a Secret is no mistake of these files.
    let (elsewhere, mut wrong): (Vec<_>, Vec<_>) = first.into_iter().partition(|problem| hidden.iter().any(|p| p.name == problem.field));
    if wrong.is_empty() {
        wrong = elsewhere;
    }
    Err(wrong)
}

/// The text of the kind's example.
fn example(kind: &Kind, parameter: &str) -> &'static str {
    kind.example.iter().find(|(name, _)| *name == parameter).map_or("unknown", |(_, text)| text)
}

/// Whether a parameter that is not in the trigger's own text may come from where files do not tell.
fn is_elsewhere(trigger: &keda::Trigger, parameter: &Parameter) -> bool {
    let written = trigger.metadata.get(parameter.name).is_some_and(|text| !text.trim().is_empty());
    let by_auth = trigger.authentication_ref.is_some() && parameter.sources.contains(&Source::Auth);
    let by_env = trigger.metadata.contains_key(&format!("{}FromEnv", parameter.name)) && parameter.sources.contains(&Source::Environment);
    !written && (by_auth || by_env)
}
