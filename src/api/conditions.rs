//! Conditions in statuses: KEDA's, which have no time, and Karpenter's, which are Kubernetes' own. What they are called is here too.
//!
//! KEDA's CRD prunes a transition time, so writing one would make each side see a difference for ever; see `docs/compatibility.md`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{Lenient, words};

words! {
    /// Whether a condition holds.
    Status {
        /// It holds.
        True = "True",
        /// It does not.
        False = "False",
        /// Nobody can tell.
        Unknown = "Unknown",
    }
}

/// What both kinds of condition have.
pub trait AnyCondition {
    /// What is said to hold or not.
    fn kind(&self) -> &str;

    /// Whether it holds; none where the text is none of the three words.
    fn status(&self) -> Option<Status>;

    /// Takes over what is new; whether anything is.
    fn update(&mut self, new: Self) -> bool;
}

/// The condition of a type.
pub fn get<'a, C: AnyCondition>(all: &'a [C], kind: &str) -> Option<&'a C> {
    all.iter().find(|condition| condition.kind() == kind)
}

/// Whether the condition of a type is there and holds.
pub fn is_true<C: AnyCondition>(all: &[C], kind: &str) -> bool {
    get(all, kind).is_some_and(|condition| condition.status() == Some(Status::True))
}

/// Puts a condition in the place of the one of its type, or at the end. Whether that changed anything a reader can see.
pub fn set<C: AnyCondition>(all: &mut Vec<C>, new: C) -> bool {
    match all.iter_mut().find(|condition| condition.kind() == new.kind()) {
        Some(old) => old.update(new),
        None => {
            all.push(new);
            true
        }
    }
}

/// KEDA's condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KedaCondition {
    /// What is said to hold or not.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    #[schemars(with = "String")]
    pub status: Lenient<Status>,
    /// Why, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl KedaCondition {
    /// A condition with its reason.
    pub fn new(kind: &str, status: Status, reason: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), status: status.into(), reason: Some(reason.to_owned()), message: Some(message.into()) }
    }

    /// The conditions that a new ScaledObject starts with.
    #[must_use]
    pub fn initial() -> Vec<Self> {
        let bare = |kind: &str, status: Status| Self { kind: kind.to_owned(), status: status.into(), reason: None, message: None };
        vec![
            bare(keda::READY, Status::Unknown),
            bare(keda::ACTIVE, Status::Unknown),
            bare(keda::FALLBACK, Status::Unknown),
            bare(keda::PAUSED, Status::False),
        ]
    }
}

impl AnyCondition for KedaCondition {
    fn kind(&self) -> &str {
        &self.kind
    }

    fn status(&self) -> Option<Status> {
        self.status.known().copied()
    }

    fn update(&mut self, new: Self) -> bool {
        let changed = *self != new;
        *self = new;
        changed
    }
}

/// Kubernetes' condition, as Karpenter uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is said to hold or not.
    #[serde(rename = "type")]
    #[schemars(length(max = 316), extend("pattern" = CONDITION_TYPE))]
    pub kind: String,
    /// True, False or Unknown.
    pub status: Lenient<Status>,
    /// Why, as one word. Karpenter leaves it empty where there is nothing to say.
    #[serde(default)]
    pub reason: String,
    /// Why, as a sentence.
    #[serde(default)]
    #[schemars(length(max = 32768))]
    pub message: String,
    /// When the status became what it is. Missing only in files that no controller wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// The generation of the object that this was said about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
}

const CONDITION_TYPE: &str =
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";

impl Condition {
    /// A condition with its reason, said now. An empty reason becomes the type's name, as Kubernetes wants one.
    pub fn new(kind: &str, status: Status, reason: &str, message: impl Into<String>, now: Timestamp) -> Self {
        Self {
            kind: kind.to_owned(),
            status: status.into(),
            reason: if reason.is_empty() { kind } else { reason }.to_owned(),
            message: message.into(),
            last_transition_time: Some(Time(now)),
            observed_generation: None,
        }
    }

    /// The same, said about this generation of its object.
    #[must_use]
    pub fn observed(self, generation: Option<i64>) -> Self {
        Self { observed_generation: generation, ..self }
    }
}

impl AnyCondition for Condition {
    fn kind(&self) -> &str {
        &self.kind
    }

    fn status(&self) -> Option<Status> {
        self.status.known().copied()
    }

    /// The transition time stays while the status does.
    fn update(&mut self, mut new: Self) -> bool {
        if self.status == new.status && self.last_transition_time.is_some() {
            new.last_transition_time.clone_from(&self.last_transition_time);
        }
        let changed = *self != new;
        *self = new;
        changed
    }
}

/// What KEDA's conditions are called, and their reasons.
pub mod keda {
    /// The object is understood and its triggers can be read.
    pub const READY: &str = "Ready";
    /// Some trigger wants replicas.
    pub const ACTIVE: &str = "Active";
    /// Some metric's fallback is in force.
    pub const FALLBACK: &str = "Fallback";
    /// Somebody paused it.
    pub const PAUSED: &str = "Paused";
    /// In KEDA, whether the HPA scales; here, whether the replicas follow the metrics.
    pub const HPA_ACTIVE: &str = "HPAActive";

    /// Reasons.
    #[expect(missing_docs, reason = "the names are the words")]
    pub mod reason {
        pub const SCALED_OBJECT_READY: &str = "ScaledObjectReady";
        pub const SCALED_OBJECT_CHECK_FAILED: &str = "ScaledObjectCheckFailed";
        pub const SCALED_JOB_READY: &str = "ScaledJobReady";
        pub const SCALED_JOB_CHECK_FAILED: &str = "ScaledJobCheckFailed";
        pub const TRIGGER_ERROR: &str = "TriggerError";
        pub const PARTIAL_TRIGGER_ERROR: &str = "PartialTriggerError";
        pub const ERROR_GETTING_CURRENT_REPLICAS: &str = "ErrorGettingCurrentReplicas";
        pub const SCALER_ACTIVE: &str = "ScalerActive";
        pub const SCALER_NOT_ACTIVE: &str = "ScalerNotActive";
        pub const SCALER_COOLDOWN: &str = "ScalerCooldown";
        pub const UNKNOWN_STATE: &str = "UnknownState";
        pub const FALLBACK_EXISTS: &str = "FallbackExists";
        pub const NO_FALLBACK_FOUND: &str = "NoFallbackFound";
        pub const SCALED_OBJECT_PAUSED: &str = "ScaledObjectPaused";
        pub const SCALED_OBJECT_UNPAUSED: &str = "ScaledObjectUnpaused";
        pub const SCALED_JOB_PAUSED: &str = "ScaledJobPaused";
        pub const SCALED_JOB_UNPAUSED: &str = "ScaledJobUnpaused";
        pub const HPA_ACTIVE: &str = "HPAActive";
        pub const SCALING_DISABLED: &str = "ScalingDisabled";
        pub const HPA_METRICS_UNAVAILABLE: &str = "HPAMetricsUnavailable";
    }
}

/// What Karpenter's conditions are called.
pub mod karpenter {
    /// All that the object needs holds.
    pub const READY: &str = "Ready";

    /// NodePool: what it says makes sense.
    pub const VALIDATION_SUCCEEDED: &str = "ValidationSucceeded";
    /// NodePool: its NodeClass exists and is ready.
    pub const NODE_CLASS_READY: &str = "NodeClassReady";
    /// NodePool: most of its latest machines joined. For people only.
    pub const NODE_REGISTRATION_HEALTHY: &str = "NodeRegistrationHealthy";

    /// NodeClaim: the machine was bought.
    pub const LAUNCHED: &str = "Launched";
    /// NodeClaim: its node has joined.
    pub const REGISTERED: &str = "Registered";
    /// NodeClaim: its node is ready for pods.
    pub const INITIALIZED: &str = "Initialized";
    /// NodeClaim: it may be consolidated.
    pub const CONSOLIDATABLE: &str = "Consolidatable";
    /// NodeClaim: it is not what its pool or NodeClass asks for any more.
    pub const DRIFTED: &str = "Drifted";
    /// NodeClaim: its pods have left.
    pub const DRAINED: &str = "Drained";
    /// NodeClaim: its volumes have left.
    pub const VOLUMES_DETACHED: &str = "VolumesDetached";
    /// NodeClaim: its machine is on its way out.
    pub const INSTANCE_TERMINATING: &str = "InstanceTerminating";
    /// NodeClaim: its node is what the claim says.
    pub const CONSISTENT_STATE_FOUND: &str = "ConsistentStateFound";
    /// NodeClaim: why it is being disrupted.
    pub const DISRUPTION_REASON: &str = "DisruptionReason";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    #[test]
    fn a_transition_is_a_change_of_status() {
        let mut all = Vec::new();
        assert!(set(&mut all, Condition::new(karpenter::LAUNCHED, Status::Unknown, "", "waiting", at(1))));
        assert!(!set(&mut all, Condition::new(karpenter::LAUNCHED, Status::Unknown, "", "waiting", at(2))), "the same again");
        assert!(set(&mut all, Condition::new(karpenter::LAUNCHED, Status::Unknown, "", "still waiting", at(3))));
        assert_eq!(all[0].last_transition_time, Some(Time(at(1))));
        assert!(!is_true(&all, karpenter::LAUNCHED));
        assert!(set(&mut all, Condition::new(karpenter::LAUNCHED, Status::True, "Launched", "", at(4)).observed(Some(2))));
        assert_eq!(all[0].last_transition_time, Some(Time(at(4))));
        assert!(is_true(&all, karpenter::LAUNCHED));
        assert!(get(&all, karpenter::READY).is_none());
        let text = serde_json::to_string(&all).expect("writes");
        let expected = r#"[{"type":"Launched","status":"True","reason":"Launched","message":"","lastTransitionTime":"1970-01-01T00:00:04Z","observedGeneration":2}]"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Vec<Condition>>(&text).expect("reads"), all);
    }

    #[test]
    fn kedas_conditions_have_no_time() {
        let mut all = KedaCondition::initial();
        assert_eq!(all.len(), 4);
        let ready = || KedaCondition::new(keda::READY, Status::True, keda::reason::SCALED_OBJECT_READY, "ready");
        assert!(set(&mut all, ready()));
        assert!(!set(&mut all, ready()));
        assert!(is_true(&all, keda::READY));
        let text = serde_json::to_string(&all[0]).expect("writes");
        assert_eq!(text, r#"{"type":"Ready","status":"True","reason":"ScaledObjectReady","message":"ready"}"#);
    }

    #[test]
    fn an_odd_condition_loses_nothing_but_itself() {
        let odd: Vec<KedaCondition> = serde_json::from_str(r#"[{"type":"Ready","status":"maybe","later":1}]"#).expect("reads");
        assert_eq!(get(&odd, "Ready").and_then(AnyCondition::status), None);
    }
}
