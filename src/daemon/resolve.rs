//! From a ScaledObject's text to triggers that can be polled: its secrets are read, its triggers typed, and all that is wrong is said at once.

use std::collections::BTreeMap;
use std::time::Duration;

use springtide_api::keda::{ScaledObject, TriggerAuthenticationSpec, validate};
use springtide_api::typed::scaled::{self, BoundTrigger};
use springtide_core::name::Key;
use springtide_core::nodes::workload::WorkloadKey;
use springtide_core::scale::policy::Policy;
use springtide_scalers::{AuthParams, ResolvedEnv, Trigger, TriggerId, parse};
use tokio::sync::mpsc;

use super::scaled::Scaled;
use super::state::State;
use crate::kube::auth::{FromObject, Reader};

/// So often is a question repeated that the API server did not answer, after pauses that grow by this.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);

/// What a ScaledObject's triggers came to.
pub struct Resolved {
    /// Whose.
    pub key: Key,
    /// Of which generation of it.
    pub generation: Option<i64>,
    /// The triggers, or all that is wrong.
    pub triggers: Result<Vec<Trigger>, Vec<String>>,
    /// Whether the API server did not answer: then what is wrong may be nothing.
    pub unanswered: bool,
}

/// Triggers for the poller, and the ScaledObject's part.
pub struct Bound {
    /// What to poll.
    pub set: Vec<(TriggerId, Trigger)>,
    /// How often.
    pub interval: Duration,
    /// For [`Scaled::bind`].
    pub result: Result<(Policy, Vec<BoundTrigger<TriggerId>>), Vec<String>>,
}

/// Begins to resolve; the answer comes by `tx`.
pub fn start(
    client: &kube::Client,
    cluster_namespace: &str,
    scaled: &Scaled,
    auths: &BTreeMap<Key, TriggerAuthenticationSpec>,
    tx: mpsc::Sender<Resolved>,
) {
    let object = scaled.object.clone();
    let (key, target) = (scaled.key(), scaled.target.clone());
    let wanted =
        scaled::authentications(&object).map(|(name, of_cluster)| Key::new(if of_cluster { "" } else { key.namespace.as_str() }, name));
    let auths: BTreeMap<Key, TriggerAuthenticationSpec> = wanted.filter_map(|key| Some((key.clone(), auths.get(&key)?.clone()))).collect();
    let (client, cluster_namespace) = (client.clone(), cluster_namespace.to_owned());
    tokio::spawn(async move {
        let mut triggers = Err(Vec::new());
        let mut unanswered = false;
        for attempt in 0..TRIES {
            tokio::time::sleep(PAUSE * attempt).await;
            let mut reader = Reader::new(client.clone());
            triggers = resolve(&mut reader, &cluster_namespace, &object, &target, &auths).await;
            unanswered = reader.unanswered;
            if !unanswered {
                break;
            }
        }
        drop(tx.send(Resolved { key, generation: object.metadata.generation, triggers, unanswered }).await);
    });
}

async fn resolve(
    reader: &mut Reader,
    cluster_namespace: &str,
    object: &ScaledObject,
    target: &WorkloadKey,
    auths: &BTreeMap<Key, TriggerAuthenticationSpec>,
) -> Result<Vec<Trigger>, Vec<String>> {
    let mut problems: Vec<String> = validate::scaled_object(object).into_iter().map(|problem| problem.to_string()).collect();
    if !scaled::TARGETS.contains(&target.kind.as_str()) {
        problems.push(format!("spec.scaleTargetRef.kind: {} is not scaled; use one of {}", target.kind, scaled::TARGETS.join(", ")));
    }
    let env = if scaled::needs_environment(object) {
        reader.environment(target, object.spec.scale_target_ref.env_source_container_name.as_deref(), &mut problems).await
    } else {
        ResolvedEnv::new()
    };
    let mut triggers = Vec::new();
    for (i, trigger) in object.spec.triggers.iter().enumerate() {
        let mut found = AuthParams::new();
        let before = problems.len();
        if let Some((name, of_cluster)) = scaled::authentication(trigger) {
            let namespace = if of_cluster { "" } else { target.key.namespace.as_str() };
            let kind = if of_cluster { "ClusterTriggerAuthentication" } else { "TriggerAuthentication" };
            match auths.get(&Key::new(namespace, name)) {
                Some(spec) => {
                    let from = if of_cluster { cluster_namespace } else { namespace };
                    let secrets: Vec<FromObject> =
                        spec.secret_target_ref.iter().map(|r| FromObject::new(&r.parameter, &r.name, &r.key)).collect();
                    let maps: Vec<FromObject> =
                        spec.config_map_target_ref.iter().map(|r| FromObject::new(&r.parameter, &r.name, &r.key)).collect();
                    found = reader.parameters(&format!("{kind} {name}"), from, &secrets, &maps, &mut problems).await;
                    let unserved = scaled::unserved_sources(spec);
                    problems.extend(
                        unserved
                            .into_iter()
                            .map(|source| format!("{kind} {name}: {source} is not read yet; use secretTargetRef or configMapTargetRef")),
                    );
                }
                None => problems
                    .push(format!("spec.triggers[{i}].authenticationRef: {kind} {name} does not exist; create it or correct the name")),
            }
        }
        if problems.len() > before {
            // What is missing for want of its authentication is no problem of its own.
            continue;
        }
        match parse(&trigger.kind, &trigger.metadata, &found, &env) {
            Ok(trigger) => triggers.push(trigger),
            Err(wrong) => problems.extend(wrong.into_iter().map(|p| format!("spec.triggers[{i}].{}: {}; {}", p.field, p.what, p.remedy))),
        }
    }
    if problems.is_empty() { Ok(triggers) } else { Err(problems) }
}

/// Makes a policy of what was resolved. A trigger that is the same as before keeps its identity, and so its readings.
pub fn bind(scaled: &Scaled, resolved: Resolved, next: &mut u64) -> Bound {
    let interval = Duration::try_from(scaled.object.spec.polling_interval()).unwrap_or_default().max(Duration::from_secs(1));
    let triggers = match resolved.triggers {
        Ok(triggers) => triggers,
        Err(problems) => return Bound { set: Vec::new(), interval, result: Err(problems) },
    };
    let mut known: Vec<&BoundTrigger<TriggerId>> = scaled.triggers.iter().collect();
    let (mut set, mut bound) = (Vec::new(), Vec::new());
    for (i, trigger) in triggers.into_iter().enumerate() {
        let metric = scaled::metric_name(i, &trigger.metric_name);
        let same = known.iter().position(|old| old.metric == metric).map(|at| known.remove(at).id);
        let id = same.unwrap_or_else(|| {
            *next += 1;
            TriggerId(*next)
        });
        bound.push(BoundTrigger { id, metric, target: trigger.target, activation: trigger.activation });
        set.push((id, trigger));
    }
    let result = scaled::policy(&scaled.object, &bound).map(|policy| (policy, bound));
    // What is not bound is not polled.
    let set = if result.is_ok() { set } else { Vec::new() };
    Bound { set, interval, result }
}

/// ScaledObjects that another object keeps from scaling: a second ScaledObject or an HPA on the same target.
pub fn conflicts(state: &State) -> BTreeMap<Key, String> {
    let mut found = BTreeMap::new();
    let mut by_target: BTreeMap<&WorkloadKey, Vec<(&Key, &Scaled)>> = BTreeMap::new();
    for (key, scaled) in &state.scaled {
        by_target.entry(&scaled.target).or_default().push((key, scaled));
    }
    for (target, mut owners) in by_target {
        // The oldest keeps the target; equal ages go by name.
        owners.sort_by_key(|(key, scaled)| (springtide_api::typed::created(&scaled.object.metadata), (*key).clone()));
        let Some((first, _)) = owners.first().copied() else { continue };
        for (key, _) in owners.iter().skip(1) {
            found.insert(
                (*key).clone(),
                format!(
                    "the workload '{}' of type '{}' is already managed by the ScaledObject '{}'; delete one of the two",
                    target.key, target.kind, first
                ),
            );
        }
        let theirs = |hpa: &Key| hpa.namespace == first.namespace && hpa.name.as_str() == format!("keda-hpa-{}", first.name);
        if let Some((hpa, _)) = state.hpas.iter().find(|(hpa, scales)| *scales == target && !theirs(hpa)) {
            found.insert(
                first.clone(),
                format!(
                    "the workload '{}' of type '{}' is already managed by the hpa '{hpa}'; delete the HorizontalPodAutoscaler",
                    target.key, target.kind
                ),
            );
        }
    }
    found
}
