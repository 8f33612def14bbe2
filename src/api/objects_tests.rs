//! Objects as people write them, read and written; and, where a folder of them is named, those of the peers' manuals.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use springtide_core::units::Replicas;

use crate::karpenter::{BudgetNodes, KwokNodeClass, NodeClaim, NodePool, node_pool};
use crate::keda::{ClusterTriggerAuthentication, ScaledJob, ScaledObject, TriggerAuthentication, scaled_job, scaled_object, trigger};
use crate::validate;

fn read<T: DeserializeOwned>(yaml: &str) -> T {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

/// What was written reads as the same.
fn round<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(object: &T) {
    let text = serde_json::to_string(object).expect("writes");
    assert_eq!(serde_json::from_str::<T>(&text).expect("reads"), *object, "{text}");
}

#[test]
fn a_scaled_object_with_everything() {
    let object: ScaledObject = read(include_str!("examples/scaled_object.yaml"));
    round(&object);
    assert_eq!(validate::scaled_object(&object), []);
    let spec = &object.spec;
    assert_eq!(spec.polling_interval().as_secs(), 15);
    assert_eq!(spec.cooldown_period().as_secs(), 120);
    assert_eq!(
        (spec.min_replica_count(), spec.max_replica_count(), spec.idle_replica_count()),
        (Replicas(1), Replicas(40), Some(Replicas(0)))
    );
    let fallback = spec.fallback.as_ref().expect("set");
    assert_eq!(fallback.behavior(), scaled_object::FallbackBehavior::CurrentReplicasIfHigher);
    let down = spec.behavior().and_then(|behavior| behavior.scale_down.as_ref()).expect("set");
    assert_eq!(down.stabilization_window_seconds, Some(60));
    assert_eq!(spec.scaling_modifiers().and_then(|modifiers| modifiers.formula.as_deref()), Some("orders + returns"));
    let reference = spec.triggers[0].authentication_ref.as_ref().expect("set");
    assert_eq!(reference.kind(), Some(trigger::AuthenticationKind::TriggerAuthentication));
    assert_eq!(spec.triggers[1].metric_type(), trigger::MetricType::Value);
    assert_eq!(object.status.as_ref().map(|status| status.health["s0-rabbitmq-orders"].number_of_failures), Some(Some(2)));
}

#[test]
fn defaults_are_kedas() {
    let object: ScaledObject =
        read("{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: a}, spec: {scaleTargetRef: {name: b}, triggers: null}}");
    let spec = &object.spec;
    assert_eq!(
        (spec.polling_interval().as_secs(), spec.cooldown_period().as_secs(), spec.initial_cooldown_period().as_secs()),
        (30, 300, 0)
    );
    assert_eq!((spec.min_replica_count(), spec.max_replica_count(), spec.idle_replica_count()), (Replicas(0), Replicas(100), None));
    assert_eq!((spec.scale_target_ref.api_version(), spec.scale_target_ref.kind()), ("apps/v1", "Deployment"));
    assert!(!spec.restores_original_replica_count() && spec.behavior().is_none() && spec.scaling_modifiers().is_none());
}

#[test]
fn a_scaled_job() {
    let object: ScaledJob = read(include_str!("examples/scaled_job.yaml"));
    round(&object);
    assert_eq!(validate::scaled_job(&object), []);
    let spec = &object.spec;
    assert_eq!((spec.min_replica_count(), spec.max_replica_count()), (Replicas(2), Replicas(28)), "the maximum is what is left of 30");
    assert_eq!((spec.strategy(), spec.calculation()), (scaled_job::Strategy::Custom, scaled_job::Calculation::Sum));
    assert_eq!(spec.rollout_strategy(), scaled_job::RolloutStrategy::Gradual);
    assert_eq!(spec.successful_jobs_history_limit(), Replicas(5));
    assert_eq!(spec.failed_jobs_history_limit(), Replicas(100));
    let mut odd = spec.clone();
    odd.scaling_strategy.as_mut().expect("set").custom_scaling_running_job_percentage = Some("half".to_owned());
    assert_eq!(odd.strategy(), scaled_job::Strategy::Default);
    odd.max_replica_count = None;
    assert_eq!(odd.max_replica_count(), Replicas(100), "the default is left whole");
}

#[test]
fn authentications() {
    let one: TriggerAuthentication = read(include_str!("examples/trigger_authentication.yaml"));
    round(&one);
    assert_eq!(validate::trigger_authentication(&one), []);
    let printed = format!("{one:?}");
    assert!(!printed.contains("hvs.example"), "a secret in the open is not printed: {printed}");
    let text = serde_json::to_string(&one).expect("writes").replace("\"TriggerAuthentication\"", "\"ClusterTriggerAuthentication\"");
    let cluster: ClusterTriggerAuthentication = serde_json::from_str(&text).expect("reads");
    assert_eq!(cluster.spec.0, one.spec);
    round(&cluster);
}

#[test]
fn pools_claims_and_classes() {
    let pool: NodePool = read(include_str!("examples/node_pool.yaml"));
    round(&pool);
    assert_eq!(validate::node_pool(&pool), []);
    assert_eq!(pool.spec.consolidate_after().map(|after| after.as_secs()), Some(30));
    assert_eq!(pool.spec.template.spec.expire_after(), None);
    assert_eq!(pool.spec.template.spec.termination_grace_period().map(|period| period.as_mins()), Some(90));
    assert_eq!(pool.spec.limits["cpu"].0, "1000", "a number is a quantity too");
    let budgets = pool.spec.budgets();
    assert_eq!(budgets[0].nodes(), BudgetNodes::Percent(20));
    assert!(budgets[1].covers(node_pool::DisruptionReason::Drifted) && !budgets[1].covers(node_pool::DisruptionReason::Empty));

    let claim: NodeClaim = read(include_str!("examples/node_claim.yaml"));
    round(&claim);
    assert_eq!(validate::node_claim(&claim), []);
    let status = claim.status.as_ref().expect("set");
    assert!(crate::conditions::is_true(&status.conditions, crate::labels::condition::LAUNCHED));
    assert_eq!(claim.spec.expire_after().map(|after| after.as_hours()), Some(720));

    let bare: KwokNodeClass = read("{apiVersion: karpenter.kwok.sh/v1alpha1, kind: KWOKNodeClass, metadata: {name: default}}");
    assert!(bare.spec.node_registration_delay().is_zero());
    let slow: KwokNodeClass =
        read("{apiVersion: karpenter.kwok.sh/v1alpha1, kind: KWOKNodeClass, metadata: {name: slow}, spec: {nodeRegistrationDelay: 45s}}");
    assert_eq!(slow.spec.node_registration_delay().as_secs(), 45);
    round(&slow);
}

#[test]
fn defaults_are_karpenters() {
    let pool: NodePool = read(
        "{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: a}, spec: {template: {spec: {requirements: [],
          nodeClassRef: {group: g, kind: k, name: n}}}}}",
    );
    assert_eq!(pool.spec.consolidate_after().map(|after| after.is_zero()), Some(true));
    assert_eq!(pool.spec.consolidation_policy(), node_pool::ConsolidationPolicy::WhenEmptyOrUnderutilized);
    assert_eq!(pool.spec.budgets().iter().map(|budget| budget.nodes()).collect::<Vec<_>>(), [BudgetNodes::Percent(10)]);
    assert_eq!(pool.spec.template.spec.expire_after().map(|after| after.as_hours()), Some(720));
    assert_eq!((pool.spec.weight(), pool.spec.template.spec.termination_grace_period()), (0, None));
}

/// Words that nobody knows and fields that nobody has heard of do not hide an object, and what they mean is the safe thing.
#[test]
fn what_is_odd_is_kept() {
    let pool: NodePool = read(
        "{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: a}, spec: {later: 1, template: {spec: {requirements: [{key: a, operator: Near}],
          nodeClassRef: {group: g, kind: k, name: n}, expireAfter: later, terminationGracePeriod: later}},
          disruption: {consolidateAfter: later, consolidationPolicy: Later, budgets: [{nodes: some, reasons: [Later]}]}}}",
    );
    round(&pool);
    assert_eq!(pool.spec.consolidate_after(), None);
    assert_eq!(pool.spec.consolidation_policy(), node_pool::ConsolidationPolicy::WhenEmpty);
    assert_eq!(pool.spec.budgets()[0].nodes(), BudgetNodes::Count(0));
    assert!(pool.spec.budgets()[0].covers(node_pool::DisruptionReason::Empty));
    assert_eq!(pool.spec.template.spec.expire_after(), None);
    assert_eq!(validate::node_pool(&pool).len(), 7);
}

/// Manifests of KEDA's manual that KEDA's own CRDs refuse: numbers, booleans and a placeholder where texts must be, and an identity
/// without its provider.
const REFUSED: &[(&str, &str)] = &[
    ("authentication-providers__aws.3.0.yaml", "missing field `provider`"),
    ("authentication-providers__hashicorp-vault.1.1.yaml", "map, expected a string"),
    ("reference__scaledjob-spec.0.0.yaml", "boolean `true`, expected a string"),
    ("scalers__external-push.1.0.yaml", "boolean `false`, expected a string"),
    ("scalers__mssql.3.1.yaml", "integer `1`, expected a string"),
    ("scalers__postgresql.3.1.yaml", "integer `1`, expected a string"),
    ("scalers__pulsar.1.0.yaml", "boolean `false`, expected a string"),
];

/// Runs where `SPRINGTIDE_PEER_DATA` names a folder with `keda/manifests` and `guides`: every manifest of our kinds can be read, written and read again.
#[test]
fn manifests_of_the_peers_manuals() {
    let Some(data) = std::env::var_os("SPRINGTIDE_PEER_DATA").map(PathBuf::from) else {
        println!("SPRINGTIDE_PEER_DATA is not set; the manifests of the peers' manuals were not read");
        return;
    };
    let (mut count, mut problems) = (0, Vec::new());
    for folder in ["keda/manifests", "guides"] {
        for entry in std::fs::read_dir(data.join(folder)).expect("folder") {
            let path = entry.expect("entry").path();
            count += manifests(&path, &mut problems);
        }
    }
    println!("{count} objects of our kinds");
    for (file, why) in REFUSED {
        let refused = problems.iter().position(|problem| problem.contains(file) && problem.ends_with(why));
        assert!(refused.map(|at| problems.remove(at)).is_some(), "{file} is not refused for {why}");
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count > 100, "only {count} objects of our kinds were found");
}

fn manifests(path: &Path, problems: &mut Vec<String>) -> usize {
    let text = std::fs::read_to_string(path).expect("readable");
    let documents: Vec<Value> = match serde_saphyr::from_multiple(&text) {
        Ok(documents) => documents,
        Err(error) => {
            problems.push(format!("{}: {error}", path.display()));
            return 0;
        }
    };
    let mut count = 0;
    for document in documents {
        let kind = (document["apiVersion"].as_str().unwrap_or_default(), document["kind"].as_str().unwrap_or_default());
        let result = match kind {
            ("keda.sh/v1alpha1", "ScaledObject") => again::<ScaledObject>(&document, validate::scaled_object),
            ("keda.sh/v1alpha1", "ScaledJob") => again::<ScaledJob>(&document, validate::scaled_job),
            ("keda.sh/v1alpha1", "TriggerAuthentication") => again::<TriggerAuthentication>(&document, validate::trigger_authentication),
            ("keda.sh/v1alpha1", "ClusterTriggerAuthentication") => {
                again::<ClusterTriggerAuthentication>(&document, validate::cluster_trigger_authentication)
            }
            ("karpenter.sh/v1", "NodePool") => again::<NodePool>(&document, validate::node_pool),
            _ => continue,
        };
        count += 1;
        if let Err(error) = result {
            problems.push(format!("{} {}: {error}", path.display(), kind.1));
        }
    }
    count
}

fn again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    document: &Value,
    check: fn(&T) -> Vec<validate::Problem>,
) -> Result<(), String> {
    let object: T = serde_json::from_value(document.clone()).map_err(|error| error.to_string())?;
    round(&object);
    let problems = check(&object);
    if problems.is_empty() { Ok(()) } else { Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")) }
}
