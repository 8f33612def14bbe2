//! From a ScaledObject's text to triggers that can be polled: its secrets are read, its triggers typed, and all that is wrong is said at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use springtide_api::keda::authentication;
use springtide_api::keda::vault::AwsSecretManager;
use springtide_api::keda::{ScaledObject, TriggerAuthenticationSpec, validate};
use springtide_api::typed::scaled::{self, BoundTrigger};
use springtide_api::validate::is_variable_name;
use springtide_core::name::Key;
use springtide_core::nodes::workload::WorkloadKey;
use springtide_core::scale::policy::Policy;
use springtide_scalers::{Around, AuthParams, AwsSecretName, AwsSecrets, Pace, PodIdentity, Trigger, TriggerId, parse_as};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::scaled::Scaled;
use super::state::State;
use super::stores;
use crate::identity;
use crate::kube::auth::{Environment, FromObject, Objects, Reader};
use crate::kube::discovery;

/// So many ScaledObjects are resolved at a time: the API server has others to serve.
const AT_ONCE: usize = 16;
/// Longer than this no ScaledObject's questions are waited for; they are asked again.
const PATIENCE: Duration = Duration::from_secs(10);
/// One that fails is resolved anew after this, and then after twice the time each.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// No retry waits longer while few fail, so that a Secret that was corrected in place is soon seen to be.
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// Where many fail, each waits so long for each of them: all together ask 20 times a second at most.
const SHARE: Duration = Duration::from_millis(50);

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
    /// Whether anything was asked that no watch tells of: then what is wrong may heal without any news.
    pub asked: bool,
}

/// Triggers for the poller, and the ScaledObject's part.
pub struct Bound {
    /// What to poll.
    pub set: Vec<(TriggerId, Trigger)>,
    /// How often.
    pub pace: Pace,
    /// For [`Scaled::bind`].
    pub result: Result<(Policy, Vec<BoundTrigger<TriggerId>>), Vec<String>>,
}

/// What a ScaledObject may refer to: the spec of each authentication, or why it cannot be read.
pub type Authentications = BTreeMap<Key, Result<TriggerAuthenticationSpec, String>>;

/// What is the daemon's own.
#[derive(Clone)]
struct Own {
    /// Where Secrets of ClusterTriggerAuthentications lie.
    namespace: String,
    /// Who it is to clouds.
    around: Around,
}

/// Resolves ScaledObjects, no two of one name and not too many at a time, and those that fail again and again.
pub struct Resolver {
    client: kube::Client,
    own: Own,
    tx: mpsc::Sender<Resolved>,
    permits: Arc<Semaphore>,
    running: BTreeSet<Key>,
    failing: Failing,
}

impl Resolver {
    /// One that sends its answers to `tx`. Secrets of ClusterTriggerAuthentications lie in `cluster_namespace`; `around` is who the daemon is to clouds.
    #[must_use]
    pub fn new(client: kube::Client, cluster_namespace: &str, around: Around, tx: mpsc::Sender<Resolved>) -> Self {
        Self {
            client,
            own: Own { namespace: cluster_namespace.to_owned(), around },
            tx,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            running: BTreeSet::new(),
            failing: Failing::default(),
        }
    }

    /// Begins to resolve these; what several of them refer to is read once. Returns those that have to wait, because an older question of theirs is on its way.
    pub fn begin(&mut self, keys: BTreeSet<Key>, scaled: &BTreeMap<Key, Scaled>, auths: &Authentications) -> BTreeSet<Key> {
        let objects = Objects::new(self.client.clone());
        let mut wait = BTreeSet::new();
        for key in keys {
            let Some(scaled) = scaled.get(&key).filter(|scaled| scaled.can_be_read()) else { continue };
            if self.running.insert(key.clone()) {
                self.start(scaled, auths, Reader::new(Arc::clone(&objects)));
            } else {
                wait.insert(key);
            }
        }
        wait
    }

    fn start(&self, scaled: &Scaled, auths: &Authentications, mut reader: Reader) {
        let object = scaled.object.clone();
        let (key, target) = (scaled.key(), scaled.target.clone());
        let wanted =
            scaled::authentications(&object).map(|(name, of_cluster)| Key::new(if of_cluster { "" } else { key.namespace.as_str() }, name));
        let auths: Authentications = wanted.filter_map(|key| Some((key.clone(), auths.get(&key)?.clone()))).collect();
        let (own, tx, permits) = (self.own.clone(), self.tx.clone(), Arc::clone(&self.permits));
        tokio::spawn(async move {
            // The semaphore is never closed.
            let _permit = permits.acquire_owned().await;
            let asked = resolve(&mut reader, &own, &object, &target, &auths);
            let triggers = tokio::time::timeout(PATIENCE, asked).await;
            let unanswered = reader.unanswered || triggers.is_err();
            let triggers = triggers.unwrap_or_else(|_| Err(vec!["the API server does not answer; it is asked again".to_owned()]));
            drop(tx.send(Resolved { key, generation: object.metadata.generation, triggers, unanswered, asked: reader.asked }).await);
        });
    }

    /// Takes in that an answer has come.
    pub fn ended(&mut self, key: &Key) {
        self.running.remove(key);
    }

    /// Of those that fail now, the ones whose time it is to be resolved anew.
    pub fn due<'a>(&mut self, failing: impl Iterator<Item = &'a Key>) -> Vec<Key> {
        self.failing.due(Instant::now(), failing)
    }

    /// When the next of those that fail is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.failing.0.values().map(|(_, next)| *next).min()
    }
}

/// ScaledObjects that fail: how often each was resolved anew since, and when it is again.
#[derive(Default)]
struct Failing(BTreeMap<Key, (u32, Instant)>);

impl Failing {
    fn due<'a>(&mut self, now: Instant, failing: impl Iterator<Item = &'a Key>) -> Vec<Key> {
        let before = std::mem::take(&mut self.0);
        self.0 = failing.map(|key| (key.clone(), before.get(key).copied().unwrap_or((0, now + FIRST_RETRY)))).collect();
        let share = SHARE.saturating_mul(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        let mut due = Vec::new();
        for (key, (tries, next)) in self.0.iter_mut().filter(|(_, (_, next))| *next <= now) {
            *tries += 1;
            *next = now + LONGEST_RETRY.min(FIRST_RETRY * 2_u32.saturating_pow((*tries).min(10))).max(share);
            due.push(key.clone());
        }
        due
    }
}

async fn resolve(
    reader: &mut Reader,
    own: &Own,
    object: &ScaledObject,
    target: &WorkloadKey,
    auths: &Authentications,
) -> Result<Vec<Trigger>, Vec<String>> {
    let mut problems: Vec<String> = validate::scaled_object(object).into_iter().map(|problem| problem.to_string()).collect();
    let known = scaled::has_known_target(object);
    if !known {
        not_scaled(reader, object, &mut problems).await;
    }
    let env = if known && scaled::needs_environment(object) {
        reader.environment(target, object.spec.scale_target_ref.env_source_container_name.as_deref(), &mut problems).await
    } else {
        Environment::default()
    };
    let mut triggers = Vec::new();
    for (i, trigger) in object.spec.triggers.iter().enumerate() {
        let before = problems.len();
        let found = parameters(reader, own, target, i, trigger, auths, &mut problems).await;
        for (field, variable) in trigger.metadata.iter().filter(|(field, _)| field.ends_with("FromEnv")) {
            if let Some(why) = env.missing.get(variable) {
                let shown = if is_variable_name(variable) { variable } else { "of this name" };
                problems.push(format!("spec.triggers[{i}].metadata.{field}: variable {shown} of {target}: {why}"));
            }
        }
        if problems.len() > before {
            // What is missing for want of its authentication is no problem of its own.
            continue;
        }
        let owner = springtide_api::typed::key(&object.metadata);
        let wrong = match parse_as(&owner, &trigger.kind, trigger.metric_type_given(), &trigger.metadata, &found, &env.variables) {
            Ok(typed) => match typed.unmeasured() {
                Some(problem) => vec![problem],
                None => {
                    triggers.push(typed);
                    continue;
                }
            },
            Err(wrong) => wrong,
        };
        // What a target may mean has been judged with the object.
        let wrong = wrong.iter().filter(|problem| problem.field != "metricType");
        problems.extend(wrong.map(|problem| worded(i, trigger, &found, problem)));
    }
    if problems.is_empty() { Ok(triggers) } else { Err(problems) }
}

/// What is wrong with a trigger, for people. Where a value stands in the place of a variable's name, that is what is wrong, and the value is not told.
fn worded(i: usize, trigger: &springtide_api::keda::Trigger, found: &AuthParams, problem: &springtide_scalers::Problem) -> String {
    let field = &problem.field;
    let variable = trigger.metadata.get(&format!("{field}FromEnv")).map(|text| text.trim());
    let alone = !trigger.metadata.contains_key(field) && !found.texts.contains_key(field);
    if alone && variable.is_some_and(|text| !text.is_empty() && !is_variable_name(text)) {
        let (what, remedy) = scaled::NO_VARIABLE;
        return format!("spec.triggers[{i}].metadata.{field}FromEnv: {what}; {remedy}");
    }
    format!("spec.triggers[{i}].{}: {}; {}", problem.place(), problem.what, problem.remedy)
}

/// What the authentication of a trigger gives it.
async fn parameters(
    reader: &mut Reader,
    own: &Own,
    target: &WorkloadKey,
    i: usize,
    trigger: &springtide_api::keda::Trigger,
    auths: &Authentications,
    problems: &mut Vec<String>,
) -> AuthParams {
    let none = || AuthParams { around: own.around.clone(), ..AuthParams::new() };
    let Some((name, of_cluster)) = scaled::authentication(trigger) else { return none() };
    let namespace = if of_cluster { "" } else { target.key.namespace.as_str() };
    let kind = if of_cluster { "ClusterTriggerAuthentication" } else { "TriggerAuthentication" };
    let spec = match auths.get(&Key::new(namespace, name)) {
        Some(Ok(spec)) => spec,
        Some(Err(why)) => {
            problems.push(format!("spec.triggers[{i}].authenticationRef: {kind} {name} cannot be read: {why}"));
            return none();
        }
        None => {
            problems.push(format!("spec.triggers[{i}].authenticationRef: {kind} {name} does not exist; create it or correct the name"));
            return none();
        }
    };
    let from = if of_cluster { own.namespace.as_str() } else { namespace };
    let secrets: Vec<FromObject> = spec.secret_target_ref.iter().map(|r| FromObject::new(&r.parameter, &r.name, &r.key)).collect();
    let maps: Vec<FromObject> = spec.config_map_target_ref.iter().map(|r| FromObject::new(&r.parameter, &r.name, &r.key)).collect();
    let owner = format!("spec.triggers[{i}].authenticationRef: {kind} {name}");
    let mut found = reader.parameters(&owner, from, &secrets, &maps, problems).await;
    found.around = own.around.clone();
    stores::read(reader, [&owner, from], spec, &mut found, problems).await;
    if let Some(words) = &spec.pod_identity {
        found.identity = identity_of(reader, target, words, &format!("{owner}: spec.podIdentity"), problems).await;
    }
    if let Some(manager) = &spec.aws_secret_manager {
        let from = Place { owner: format!("{owner}: spec.awsSecretManager"), namespace: from, target };
        found.texts.extend(aws_secrets(reader, &from, manager, problems).await.texts);
    }
    let unserved = scaled::unserved_sources(spec).into_iter();
    problems.extend(unserved.map(|source| format!("{owner}: spec.{source} is not read yet; use secretTargetRef or configMapTargetRef")));
    found
}

/// The identity that words of an authentication name.
async fn identity_of(
    reader: &mut Reader,
    target: &WorkloadKey,
    words: &authentication::PodIdentity,
    owner: &str,
    problems: &mut Vec<String>,
) -> Option<PodIdentity> {
    let role = if identity::is_workloads(words) {
        match reader.role(target).await {
            Ok(role) => Some(role),
            Err(problem) => {
                problems.push(format!("{owner}: {problem}"));
                return None;
            }
        }
    } else {
        None
    };
    identity::typed(words, role)
}

/// Where an authentication has its credentials from.
struct Place<'a> {
    /// For messages.
    owner: String,
    /// Of its Secrets.
    namespace: &'a str,
    /// Whose ServiceAccount may have a role.
    target: &'a WorkloadKey,
}

/// What lies in AWS Secrets Manager.
async fn aws_secrets(reader: &mut Reader, place: &Place<'_>, manager: &AwsSecretManager, problems: &mut Vec<String>) -> AuthParams {
    let Place { owner, namespace, target } = place;
    let before = problems.len();
    let region = manager.region.clone().filter(|region| !region.is_empty());
    let identity = match &manager.pod_identity {
        Some(words) => identity_of(reader, target, words, &format!("{owner}.podIdentity"), problems).await,
        None => None,
    };
    let store = match (&identity, &manager.credentials) {
        (Some(identity), _) => AwsSecrets::with_identity(region, identity),
        (None, Some(credentials)) if problems.len() == before => {
            let mut references = Vec::new();
            for (name, value) in [("accessKey", &credentials.access_key), ("accessSecretKey", &credentials.access_secret_key)] {
                references.push(FromObject::new(name, &value.value_from.secret_key_ref.name, &value.value_from.secret_key_ref.key));
            }
            if let Some(value) = &credentials.access_token {
                references.push(FromObject::new(
                    "accessToken",
                    &value.value_from.secret_key_ref.name,
                    &value.value_from.secret_key_ref.key,
                ));
            }
            let mut keys = reader.parameters(&format!("{owner}.credentials"), namespace, &references, &[], problems).await.texts;
            let (id, secret) = (keys.remove("accessKey"), keys.remove("accessSecretKey"));
            id.zip(secret).map(|(id, secret)| AwsSecrets::with_keys(region, id, secret, keys.remove("accessToken")))
        }
        _ => None,
    };
    if problems.len() > before {
        return AuthParams::new();
    }
    let Some(store) = store else {
        problems.push(format!("{owner}: it has no identity at AWS; give credentials, or podIdentity with provider aws"));
        return AuthParams::new();
    };
    let wanted: Vec<AwsSecretName> = manager
        .secrets
        .iter()
        .map(|secret| AwsSecretName {
            name: secret.name.clone(),
            version_id: secret.version_id.clone(),
            version_stage: secret.version_stage.clone(),
            key: secret.secret_key.clone(),
        })
        .collect();
    let texts = match reader.aws_secrets(&store, &wanted).await {
        Ok(texts) => texts,
        Err(problem) => {
            problems.push(format!("{owner}: {problem}"));
            return AuthParams::new();
        }
    };
    let mut found = AuthParams::new();
    for (i, (secret, text)) in manager.secrets.iter().zip(texts).enumerate() {
        match text {
            Ok(text) => drop(found.texts.insert(secret.parameter.clone(), text)),
            Err(problem) => problems.push(format!("{owner}.secrets[{i}], parameter {}: {problem}", secret.parameter)),
        }
    }
    found
}

/// Says what is the matter with a target of a kind that is not scaled: the API server knows.
async fn not_scaled(reader: &mut Reader, object: &ScaledObject, problems: &mut Vec<String>) {
    let target = &object.spec.scale_target_ref;
    let (version, kind, served) = (target.api_version(), target.kind(), scaled::TARGETS.join(", "));
    let Some(found) = reader.kind(version, kind, problems).await else { return };
    let at = "spec.scaleTargetRef";
    problems.push(match found {
        discovery::Kind::NotServed => {
            format!("{at}.apiVersion: the API server does not serve {version}; correct it, or install what serves it")
        }
        discovery::Kind::Unknown => format!("{at}.kind: {version} has no kind {kind}; correct the kind or the apiVersion"),
        discovery::Kind::WithoutScale if kind == "Job" => format!(
            "{at}.kind: a Job has no /scale subresource, so there are no replicas to set; use a ScaledJob, or name a {served}"
        ),
        discovery::Kind::WithoutScale => format!(
            "{at}.kind: {kind} of {version} has no /scale subresource, so there are no replicas to set; name a {served}, \
             or a kind with one"
        ),
        discovery::Kind::WithScale => format!(
            "{at}.kind: {kind} of {version} has a /scale subresource, but this version of Springtide scales only {served}; name one of these"
        ),
    });
}

/// Makes a policy of what was resolved. A trigger that is the same as before keeps its identity, and so its readings.
pub fn bind(scaled: &Scaled, resolved: Resolved, next: &mut u64) -> Bound {
    let written = scaled.object.spec.polling_interval.is_some().then(|| scaled.object.spec.polling_interval());
    let pace =
        written.map_or(Pace::Adaptive, |period| Pace::Every(Duration::try_from(period).unwrap_or_default().max(Duration::from_secs(1))));
    let triggers = match resolved.triggers {
        Ok(triggers) => triggers,
        Err(problems) => return Bound { set: Vec::new(), pace, result: Err(problems) },
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
    Bound { set, pace, result }
}

/// ScaledObjects that another object keeps from scaling: a second ScaledObject or an HPA on the same target.
pub fn conflicts(state: &State) -> BTreeMap<Key, String> {
    let mut found = BTreeMap::new();
    let mut by_target: BTreeMap<&WorkloadKey, Vec<(&Key, &Scaled)>> = BTreeMap::new();
    for (key, scaled) in state.scaled.iter().filter(|(_, scaled)| scaled::has_known_target(&scaled.object)) {
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
                    "spec.scaleTargetRef: the workload '{}' of type '{}' is already managed by the ScaledObject '{}'; delete one of the two, or give one another target",
                    target.key, target.kind, first
                ),
            );
        }
        let theirs = |hpa: &Key| hpa.namespace == first.namespace && hpa.name.as_str() == format!("keda-hpa-{}", first.name);
        if let Some((hpa, _)) = state.hpas.iter().find(|(hpa, scales)| *scales == target && !theirs(hpa)) {
            found.insert(
                first.clone(),
                format!(
                    "spec.scaleTargetRef: the workload '{}' of type '{}' is already managed by the hpa '{hpa}'; delete the HorizontalPodAutoscaler, or give one of the two another target",
                    target.key, target.kind
                ),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_the_place_of_a_variables_name_is_not_repeated() {
        let (what, remedy) = scaled::NO_VARIABLE;
        for text in ["amqp://u:hunter2@h:5672/", "u:hunter2", "RABBIT hunter2", "7hunter2"] {
            let metadata = [("hostFromEnv", text), ("queueName", "q"), ("mode", "QueueLength"), ("value", "1")];
            let metadata: BTreeMap<String, String> = metadata.into_iter().map(|(key, text)| (key.to_owned(), text.to_owned())).collect();
            let problems = parse_as(&Key::new("default", "object"), "rabbitmq", None, &metadata, &AuthParams::new(), &Default::default())
                .expect_err("there is no host");
            let trigger = springtide_api::keda::Trigger { kind: "rabbitmq".to_owned(), metadata, ..Default::default() };
            let told: Vec<String> = problems.iter().map(|problem| worded(3, &trigger, &AuthParams::new(), problem)).collect();
            assert_eq!(told, [format!("spec.triggers[3].metadata.hostFromEnv: {what}; {remedy}")], "{text}");
        }
    }

    /// After how many seconds each of so many that fail is asked for, within a minute.
    fn asked(count: u32) -> Vec<Vec<u64>> {
        let keys: Vec<Key> = (0..count).map(|i| Key::new("default", format!("{i:04}"))).collect();
        let (mut failing, begun) = (Failing::default(), Instant::now());
        let mut asked = vec![Vec::new(); keys.len()];
        for second in 0..60 {
            for key in failing.due(begun + Duration::from_secs(second), keys.iter()) {
                asked[keys.binary_search(&key).expect("one of them")].push(second);
            }
        }
        asked
    }

    #[test]
    fn few_that_fail_are_asked_for_within_seconds_and_many_do_not_flood_the_api_server() {
        assert_eq!(asked(1)[0], [1, 3, 7, 12, 17, 22, 27, 32, 37, 42, 47, 52, 57]);
        let many = asked(1_000);
        assert!(many.iter().map(Vec::len).sum::<usize>() <= 20 * 60 + 1_000, "{:?}", many[0]);
    }

    #[test]
    fn one_that_no_longer_fails_begins_anew_when_it_does_again() {
        let (mut failing, now, key) = (Failing::default(), Instant::now(), Key::new("default", "a"));
        let second = Duration::from_secs(1);
        assert!(failing.due(now, [&key].into_iter()).is_empty());
        assert_eq!(failing.due(now + second, [&key].into_iter()).len(), 1);
        assert!(failing.due(now + second * 2, std::iter::empty()).is_empty() && failing.0.is_empty());
        assert!(failing.due(now + second * 3, [&key].into_iter()).is_empty());
        assert_eq!(failing.due(now + second * 4, [&key].into_iter()), [key]);
    }
}
