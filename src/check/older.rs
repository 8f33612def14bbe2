//! What objects and fields were called in earlier versions of KEDA, Karpenter and Kubernetes, and what to write now.

use springtide_api::Problem;

use super::nearest::nearest;
use crate::manifests::{Document, Node};

/// What an object's API version and kind are to us.
pub enum Standing {
    /// A kind that is looked into, under this API version; with what to say about how it is spelled.
    Checked { api_version: &'static str, kind: &'static str, spelled: Option<Problem> },
    /// Nothing that is looked into.
    PassedOver,
    /// Nothing that exists.
    Wrong(Problem),
}

/// API version and kind of all that is looked into.
const CHECKED: [(&str, &str); 12] = [
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("keda.sh/v1alpha1", "ScaledJob"),
    ("keda.sh/v1alpha1", "TriggerAuthentication"),
    ("keda.sh/v1alpha1", "ClusterTriggerAuthentication"),
    ("karpenter.sh/v1", "NodePool"),
    ("karpenter.sh/v1", "NodeClaim"),
    ("karpenter.kwok.sh/v1alpha1", "KWOKNodeClass"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "ReplicaSet"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("autoscaling/v1", "HorizontalPodAutoscaler"),
];

/// Other kinds of the same groups. They are known and left to who serves them.
const NEIGHBOURS: [(&str, &str); 6] = [
    ("karpenter.k8s.aws/v1", "EC2NodeClass"),
    ("karpenter.azure.com/v1beta1", "AKSNodeClass"),
    ("karpenter.azure.com/v1", "AKSNodeClass"),
    ("karpenter.sh/v1alpha1", "NodeOverlay"),
    ("eventing.keda.sh/v1alpha1", "CloudEventSource"),
    ("eventing.keda.sh/v1alpha1", "ClusterCloudEventSource"),
];

/// Earlier kinds with what took their place.
const REPLACED: [(&str, &str, &str); 5] = [
    ("karpenter.sh", "Provisioner", "write a NodePool of karpenter.sh/v1, with requirements and taints in spec.template.spec"),
    ("karpenter.sh", "Machine", "leave it out; Karpenter's NodeClaims of karpenter.sh/v1 are made by the controller"),
    ("karpenter.k8s.aws", "AWSNodeTemplate", "write an EC2NodeClass of karpenter.k8s.aws/v1"),
    ("karpenter.k8s.azure", "AKSNodeClass", "write an AKSNodeClass of karpenter.azure.com/v1beta1"),
    ("karpenter.test.sh", "TestNodeClass", "write a KWOKNodeClass of karpenter.kwok.sh/v1alpha1"),
];

/// Earlier versions of the kinds that are looked into, and of their neighbours.
const FORMER: [&str; 13] = [
    "keda.k8s.io/v1alpha1",
    "karpenter.sh/v1alpha5",
    "karpenter.sh/v1beta1",
    "karpenter.k8s.aws/v1alpha1",
    "karpenter.k8s.aws/v1beta1",
    "karpenter.azure.com/v1alpha2",
    "apps/v1beta1",
    "apps/v1beta2",
    "extensions/v1beta1",
    "autoscaling/v2alpha1",
    "autoscaling/v2beta1",
    "autoscaling/v2beta2",
    "karpenter.k8s.azure/v1alpha2",
];

/// What is wrong with a kind of an API version that is not served.
fn unserved(api_version: &str, kind: &str) -> String {
    let not = if FORMER.contains(&api_version) { "no longer" } else { "not" };
    format!("{kind} of {api_version} is {not} served")
}

/// What to make of an object's API version and kind.
pub fn standing(document: &Document) -> Standing {
    let (api_version, kind) = (document.api_version.as_str(), document.kind.as_str());
    let find = |list: &'static [(&'static str, &'static str)]| list.iter().find(|one| **one == (api_version, kind));
    if let Some((api_version, kind)) = find(&CHECKED) {
        return Standing::Checked { api_version, kind, spelled: None };
    }
    if find(&NEIGHBOURS).is_some() {
        return Standing::PassedOver;
    }
    let group = document.group();
    if let Some((_, _, remedy)) = REPLACED.iter().find(|(old, name, _)| *old == group && *name == kind) {
        return Standing::Wrong(Problem::new("kind", format!("{kind} of {api_version} is no longer served"), *remedy));
    }
    let ours = ["keda.sh", "keda.k8s.io", "karpenter.sh", "karpenter.kwok.sh"].contains(&group);
    // The same kind in another version, or in a group of another name.
    if let Some((now, kind)) = CHECKED.iter().find(|(now, name)| *name == kind && related(group, now)) {
        let what = if api_version.is_empty() {
            "it is missing".to_owned()
        } else if ours || matches!(group, "apps" | "extensions" | "autoscaling") {
            unserved(api_version, kind)
        } else {
            format!("there is no {kind} in {api_version}")
        };
        let verb = if api_version.is_empty() { "add" } else { "write" };
        return Standing::Checked {
            api_version: now,
            kind,
            spelled: Some(Problem::new("apiVersion", what, format!("{verb} apiVersion: {now}"))),
        };
    }
    if let Some((now, _)) = NEIGHBOURS.iter().find(|(now, name)| *name == kind && now.split('/').next() == Some(group)) {
        let what = unserved(api_version, kind);
        return Standing::Wrong(Problem::new("apiVersion", what, format!("write apiVersion: {now}")));
    }
    if kind.is_empty() {
        let first = CHECKED.iter().find(|(now, _)| now.split('/').next() == Some(group)).map_or("ScaledObject", |(_, kind)| kind);
        return Standing::Wrong(Problem::new("kind", "it is missing", format!("add it, as in kind: {first}")));
    }
    if ours {
        let of_group = || CHECKED.iter().chain(&NEIGHBOURS).filter(|(now, _)| now.split('/').next() == Some(group)).map(|(_, kind)| *kind);
        let known = if group == "keda.k8s.io" { nearest(kind, CHECKED.map(|(_, kind)| kind)) } else { nearest(kind, of_group()) };
        let remedy = known.map_or_else(
            || format!("write one of {}", of_group().collect::<Vec<_>>().join(", ")),
            |known| format!("did you mean {known}?"),
        );
        return Standing::Wrong(Problem::new("kind", format!("there is no {kind:?} in {api_version}"), remedy));
    }
    if api_version.is_empty() {
        return Standing::Wrong(Problem::new("apiVersion", "it is missing", "add it, as in apiVersion: apps/v1"));
    }
    Standing::PassedOver
}

/// Whether a group may have been written for the one that has the kind now.
fn related(group: &str, now: &str) -> bool {
    let present = now.split_once('/').map_or("", |(group, _)| group);
    match present {
        // Kinds that nobody else has.
        "keda.sh" => !group.starts_with("eventing"),
        "karpenter.kwok.sh" => true,
        // Claims and pools have other names elsewhere, and other projects have pools of their own.
        "karpenter.sh" => matches!(group, "" | "karpenter.sh" | "karpenter.k8s.aws" | "karpenter.azure.com"),
        "apps" => matches!(group, "" | "apps" | "extensions"),
        "autoscaling" => matches!(group, "" | "autoscaling"),
        _ => false,
    }
}

/// Fields of earlier versions: kind, path, and what to do now. A path's items have no numbers.
const FIELDS: [(&str, &str, &str); 21] = [
    ("NodePool", "spec.disruption.expireAfter", "move it to spec.template.spec.expireAfter"),
    ("NodePool", "spec.template.spec.kubelet", "move it to spec.kubelet of the NodeClass"),
    ("NodeClaim", "spec.kubelet", "move it to spec.kubelet of the NodeClass"),
    ("NodePool", "spec.template.spec.resources", "remove it; pods say what they request"),
    ("NodePool", "spec.ttlSecondsAfterEmpty", "write spec.disruption.consolidationPolicy: WhenEmpty, and spec.disruption.consolidateAfter"),
    ("NodePool", "spec.ttlSecondsUntilExpired", "write spec.template.spec.expireAfter, as in 720h"),
    ("NodePool", "spec.consolidation", "write spec.disruption.consolidationPolicy: WhenEmptyOrUnderutilized"),
    ("NodePool", "spec.providerRef", "write spec.template.spec.nodeClassRef, with group, kind and name"),
    ("NodePool", "spec.provider", "write an EC2NodeClass, and name it in spec.template.spec.nodeClassRef"),
    ("NodePool", "spec.labels", "move it to spec.template.metadata.labels"),
    ("NodePool", "spec.annotations", "move it to spec.template.metadata.annotations"),
    ("NodePool", "spec.kubeletConfiguration", "move it to spec.kubelet of the NodeClass"),
    ("ScaledObject", "spec.scaleTargetRef.deploymentName", "write name: instead"),
    ("ScaledObject", "spec.scaleTargetRef.containerName", "write envSourceContainerName: instead"),
    ("ScaledObject", "spec.scaleType", "remove it; for Jobs, write a ScaledJob"),
    ("ScaledObject", "spec.jobTargetRef", "write a ScaledJob"),
    ("ScaledObject", "spec.consumerOffsetReset", "write offsetResetPolicy in the trigger's metadata"),
    ("ScaledObject", "spec.triggers[].metricName", "write name in the trigger, and the metric in its metadata"),
    ("ScaledJob", "spec.scaleTargetRef", "write jobTargetRef, with the Job's template; to scale a Deployment, write a ScaledObject"),
    ("ScaledJob", "spec.cooldownPeriod", "remove it; Jobs end by themselves"),
    ("ScaledJob", "spec.idleReplicaCount", "remove it; Jobs end by themselves"),
];

/// What is wrong with a field that was in an earlier version, and what to do.
pub fn field(kind: &str, path: &str, value: &Node) -> Option<(String, String)> {
    let plain: String = path
        .split('[')
        .enumerate()
        .map(|(i, part)| if i == 0 { part.to_owned() } else { format!("[]{}", part.split_once(']').map_or("", |(_, rest)| rest)) })
        .collect();
    if plain.ends_with("nodeClassRef.apiVersion") {
        let text = value.text().unwrap_or("karpenter.k8s.aws/v1");
        let group = text.split_once('/').map_or(text, |(group, _)| group);
        return Some(("the version is no longer named".to_owned(), format!("write group: {group} instead")));
    }
    let (_, _, remedy) = FIELDS.iter().find(|(of, at, _)| *of == kind && *at == plain)?;
    let what = if matches!(plain.as_str(), "spec.jobTargetRef" | "spec.cooldownPeriod" | "spec.idleReplicaCount" | "spec.scaleTargetRef") {
        format!("a {kind} has none")
    } else {
        "there is no such field any more".to_owned()
    };
    Some((what, (*remedy).to_owned()))
}

/// What to say of a word that was in an earlier version.
pub fn word(kind: &str, path: &str, text: &str) -> Option<&'static str> {
    match (kind, path, text) {
        ("NodePool", "spec.disruption.consolidationPolicy", "WhenUnderutilized") => {
            Some("write WhenEmptyOrUnderutilized, as it is called since karpenter.sh/v1")
        }
        _ => None,
    }
}
