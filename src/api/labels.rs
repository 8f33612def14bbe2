//! Names that KEDA, Karpenter and we put on objects: labels, annotations, taints, finalizers. One constant for each, none spelled elsewhere.

pub use crate::conditions::karpenter as condition;

// KEDA: annotations that people set.

/// Annotation: keep this many replicas and stop scaling.
pub const PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";
/// Annotation: stop scaling, keep the present replicas. Any text that is not a boolean counts as true.
pub const PAUSED: &str = "autoscaling.keda.sh/paused";
/// Annotation: no scaling in. Read like [`PAUSED`].
pub const PAUSED_SCALE_IN: &str = "autoscaling.keda.sh/paused-scale-in";
/// Annotation: no scaling out. Read like [`PAUSED`].
pub const PAUSED_SCALE_OUT: &str = "autoscaling.keda.sh/paused-scale-out";
/// Annotation: count as active whatever the triggers say. Read like [`PAUSED`].
pub const FORCE_ACTIVATION: &str = "autoscaling.keda.sh/force-activation";
/// Annotation: adopt an existing HPA. Accepted and without effect, as there is no HPA.
pub const TRANSFER_HPA_OWNERSHIP: &str = "scaledobject.keda.sh/transfer-hpa-ownership";
/// Annotation: labels that the HPA does not get. Accepted and without effect, as there is no HPA.
pub const HPA_EXCLUDED_LABELS: &str = "scaledobject.keda.sh/hpa-excluded-labels";
/// Annotation: labels of the ScaledJob that its Jobs do not get, separated by commas.
pub const JOB_EXCLUDED_LABELS: &str = "scaledjob.keda.sh/job-excluded-labels";
/// Annotation on an HPA: whether it is checked that nobody else owns the target.
pub const VALIDATE_HPA_OWNERSHIP: &str = "validations.keda.sh/hpa-ownership";

// KEDA: what the controller sets.

/// Label of a ScaledObject and of its HPA with the ScaledObject's name; also the selector of its external metrics.
pub const SCALED_OBJECT_NAME: &str = "scaledobject.keda.sh/name";
/// Label of a Job with its ScaledJob's name.
pub const SCALED_JOB_NAME: &str = "scaledjob.keda.sh/name";
/// Annotation of a Job with the generation of its ScaledJob.
pub const SCALED_JOB_GENERATION: &str = "scaledjob.keda.sh/generation";
/// Finalizer of all of KEDA's objects.
pub const KEDA_FINALIZER: &str = "finalizer.keda.sh";
/// What KEDA puts before a ScaledObject's name to name its HPA.
pub const KEDA_HPA_PREFIX: &str = "keda-hpa-";

// Karpenter: labels.

/// Label of claims and nodes: the pool that they belong to.
pub const NODE_POOL: &str = springtide_core::nodes::NODE_POOL;
/// Label of claims and nodes: how the machine is paid for (`spot`, `on-demand`, `reserved`).
pub const CAPACITY_TYPE: &str = springtide_core::nodes::CAPACITY_TYPE;
/// Label of a node that has joined as the node of a claim.
pub const NODE_REGISTERED: &str = "karpenter.sh/registered";
/// Label of a node that is ready for pods.
pub const NODE_INITIALIZED: &str = "karpenter.sh/initialized";
/// Label of a node whose taints its kubelet or somebody else keeps.
pub const DO_NOT_SYNC_TAINTS: &str = "karpenter.sh/do-not-sync-taints";
/// Label that load balancers outside of the cluster read; set to `karpenter` while a node drains.
pub const EXCLUDE_FROM_LOAD_BALANCERS: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

// Kubernetes: labels that requirements speak of.

/// Label: zone.
pub const ZONE: &str = springtide_core::nodes::ZONE;
/// Label: region.
pub const REGION: &str = "topology.kubernetes.io/region";
/// Label: instance type.
pub const INSTANCE_TYPE: &str = springtide_core::nodes::INSTANCE_TYPE;
/// Label: processor architecture.
pub const ARCH: &str = "kubernetes.io/arch";
/// Label: operating system.
pub const OS: &str = "kubernetes.io/os";
/// Label: build of Windows.
pub const WINDOWS_BUILD: &str = "node.kubernetes.io/windows-build";
/// Label: host name. Not for pools to set or ask for.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// Old spellings that count as the new ones.
pub const OLD_SPELLINGS: [(&str, &str); 5] = [
    ("failure-domain.beta.kubernetes.io/zone", ZONE),
    ("failure-domain.beta.kubernetes.io/region", REGION),
    ("beta.kubernetes.io/arch", ARCH),
    ("beta.kubernetes.io/os", OS),
    ("beta.kubernetes.io/instance-type", INSTANCE_TYPE),
];

/// A label's present spelling.
#[must_use]
pub fn normalized(key: &str) -> &str {
    OLD_SPELLINGS.iter().find(|(old, _)| *old == key).map_or(key, |(_, new)| new)
}

// Karpenter: annotations.

/// Annotation of pods, nodes and claims: not to be disrupted; `true`, or on a pod a duration from its start.
pub const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
/// Annotation of pools and claims: what the pool's template looked like; see [`crate::hash`].
pub const NODEPOOL_HASH: &str = "karpenter.sh/nodepool-hash";
/// Annotation beside [`NODEPOOL_HASH`]: how it was computed.
pub const NODEPOOL_HASH_VERSION: &str = "karpenter.sh/nodepool-hash-version";
/// Annotation of a claim: when its machine ends at the latest.
pub const TERMINATION_TIMESTAMP: &str = "karpenter.sh/nodeclaim-termination-timestamp";
/// Annotation of a claim: whether `minValues` had to be given up for it.
pub const MIN_VALUES_RELAXED: &str = "karpenter.sh/nodeclaim-min-values-relaxed";
/// Annotation of claims: which provider's version wrote them.
pub const COMPATIBILITY_PROVIDER: &str = "compatibility.karpenter.sh/provider";

// Karpenter: taints and finalizers.

/// Taint (NoSchedule) of a node that is to go.
pub const DISRUPTED_TAINT: &str = springtide_core::nodes::DISRUPTED;
/// Taint (NoExecute) of a node that has not registered.
pub const UNREGISTERED_TAINT: &str = "karpenter.sh/unregistered";
/// Finalizer of nodes and claims.
pub const TERMINATION_FINALIZER: &str = "karpenter.sh/termination";
/// What keys of taints start with that somebody else removes once a node is ready.
pub const READINESS_TAINT_PREFIX: &str = "readiness.k8s.io/";

// kwok: labels of the machines that are none.

/// Label with what a machine costs, in USD an hour, by the name under which node viewers of the field look for it.
pub const INSTANCE_PRICE: &str = "eks-node-viewer/instance-price";

/// Group of KWOKNodeClass, and of the labels of its machines.
pub const KWOK_GROUP: &str = "karpenter.kwok.sh";

// Ours: annotations that people set.

/// Annotation of ScaledObjects and ScaledJobs: each message is done within this duration of its arrival.
pub const DEADLINE: &str = "springtide.dev/deadline";
/// Annotation of the same: how long one message takes, until it was measured.
pub const SERVICE_TIME: &str = "springtide.dev/service-time";
/// Annotation of the same and of NodePools: US dollars an hour at most.
pub const MAX_HOURLY_COST: &str = "springtide.dev/max-hourly-cost";
/// Annotation of NodePools: how much of the pool may be Spot machines, as `80%`.
pub const SPOT_SHARE: &str = "springtide.dev/spot-share";
/// Annotation of any managed object: `active`, or `shadow` to be told what would be done without its being done.
pub const MODE: &str = "springtide.dev/mode";

/// A boolean as Go's `strconv.ParseBool` reads it; none for any other text.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Whether one of KEDA's switches is on: it is there and not a text for false. KEDA takes a text that is no boolean as true.
#[must_use]
pub fn switched_on(annotations: Option<&std::collections::BTreeMap<String, String>>, key: &str) -> bool {
    annotations.and_then(|all| all.get(key)).is_some_and(|text| boolean(text).unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_on_unless_they_say_no() {
        for (text, on) in [("true", true), ("1", true), ("yes", true), ("", true), ("false", false), ("F", false), ("0", false)] {
            let annotations = [(PAUSED.to_owned(), text.to_owned())].into();
            assert_eq!(switched_on(Some(&annotations), PAUSED), on, "{text}");
        }
        assert!(!switched_on(None, PAUSED));
    }

    #[test]
    fn old_spellings_become_new_ones() {
        assert_eq!(normalized("beta.kubernetes.io/arch"), ARCH);
        assert_eq!(normalized("team"), "team");
    }
}
