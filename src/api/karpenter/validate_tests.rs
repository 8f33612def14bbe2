//! What is refused, as a table: the object, and the fields that are named.

use serde::de::DeserializeOwned;

use super::*;

const CLASS: &str = "nodeClassRef: {group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}";

fn read<T: DeserializeOwned>(yaml: &str) -> T {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

fn fields(problems: &[Problem]) -> Vec<&str> {
    for problem in problems {
        assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{problem:?} says what and what to do");
    }
    problems.iter().map(|problem| problem.field.as_str()).collect()
}

/// A pool with this in its template's spec, this in its labels, and this beside its template.
fn pool(template: &str, labels: &str, beside: &str) -> NodePool {
    let requirements = if template.contains("requirements:") { "" } else { "requirements: [], " };
    read(&format!(
        "{{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {{name: a}}, spec: {{
          template: {{metadata: {{labels: {{{labels}}}}}, spec: {{{CLASS}, {requirements}{template}}}}}, {beside}}}}}"
    ))
}

#[test]
fn templates() {
    let value = "spec.template.spec.requirements[0].values";
    let key = "spec.template.spec.requirements[0].key";
    let table: &[(&str, &[&str])] = &[
        ("requirements: [{key: karpenter.sh/capacity-type, operator: In, values: [spot, on-demand]}]", &[]),
        ("requirements: [{key: karpenter.sh/capacity-type, operator: In, values: [spto]}]", &[value]),
        ("requirements: [{key: karpenter.sh/capacity-type, operator: In, values: [spto, spot]}]", &[]),
        ("requirements: [{key: karpenter.sh/nodepool, operator: Exists}]", &[key]),
        ("requirements: [{key: kubernetes.io/hostname, operator: Exists}]", &[key]),
        ("requirements: [{key: sub.karpenter.sh/x, operator: Exists}]", &[key]),
        ("requirements: [{key: karpenter.k8s.aws/instance-cpu, operator: Gt, values: ['3']}]", &[]),
        ("requirements: [{key: beta.kubernetes.io/arch, operator: In, values: [amd64]}]", &[]),
        ("requirements: [{key: 'a b', operator: Exists}]", &[key]),
        ("requirements: [{key: a, operator: Is, values: [x]}]", &["spec.template.spec.requirements[0].operator"]),
        ("requirements: [{key: a, operator: In}]", &[value]),
        ("requirements: [{key: a, operator: In, values: ['x y']}]", &[value]),
        ("requirements: [{key: a, operator: NotIn, values: []}]", &[]),
        ("requirements: [{key: a, operator: Gte, values: ['1', '2']}]", &[value]),
        ("requirements: [{key: a, operator: Lt, values: ['x']}]", &[value]),
        ("requirements: [{key: a, operator: Lte, values: ['-1']}]", &[value, value]),
        ("requirements: [{key: a, operator: In, values: [x, y], minValues: 2}]", &[]),
        ("requirements: [{key: a, operator: In, values: [x, x], minValues: 2}]", &[value]),
        ("requirements: [{key: a, operator: Exists, minValues: 51}]", &["spec.template.spec.requirements[0].minValues"]),
        ("taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoExecute}]", &[]),
        ("taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoSchedule, value: x}]", &["spec.template.spec.taints[1]"]),
        ("taints: [{key: a, effect: NoSchedule}], startupTaints: [{key: a, effect: NoSchedule}]", &["spec.template.spec.startupTaints[0]"]),
        ("taints: [{key: '', effect: Never}]", &["spec.template.spec.taints[0].key", "spec.template.spec.taints[0].effect"]),
        ("expireAfter: Never, terminationGracePeriod: 0s", &[]),
        ("expireAfter: never", &["spec.template.spec.expireAfter"]),
        ("terminationGracePeriod: Never", &["spec.template.spec.terminationGracePeriod"]),
    ];
    for (template, expected) in table {
        assert_eq!(fields(&node_pool(&pool(template, "", ""))), *expected, "{template}");
    }
}

#[test]
fn labels_of_templates() {
    let table: &[(&str, bool)] = &[
        ("team: a", true),
        ("karpenter.sh/capacity-type: spot", true),
        ("karpenter.sh/nodepool: x", false),
        ("karpenter.sh/other: x", false),
        ("kubernetes.io/hostname: x", false),
        ("node.kubernetes.io/purpose: x", true),
        ("team: 'a b'", false),
        ("'a b': x", false),
    ];
    for (labels, fine) in table {
        let problems = node_pool(&pool("", labels, ""));
        assert_eq!(problems.is_empty(), *fine, "{labels}: {problems:?}");
    }
}

#[test]
fn pools() {
    let table: &[(&str, &[&str])] = &[
        ("disruption: {}", &[]),
        ("disruption: {consolidateAfter: Never, consolidationPolicy: Balanced}", &[]),
        ("disruption: {consolidateAfter: soon}", &["spec.disruption.consolidateAfter"]),
        ("disruption: {consolidationPolicy: Always}", &["spec.disruption.consolidationPolicy"]),
        ("disruption: {budgets: [{nodes: '0'}, {nodes: 100%, reasons: [Empty]}]}", &[]),
        (
            "disruption: {budgets: [{nodes: 101%, reasons: [Full]}]}",
            &["spec.disruption.budgets[0].nodes", "spec.disruption.budgets[0].reasons"],
        ),
        ("disruption: {budgets: [{nodes: '1', schedule: '0 9 * * mon-fri', duration: 8h}]}", &[]),
        ("disruption: {budgets: [{nodes: '1', schedule: '@daily', duration: 1h30m}]}", &[]),
        ("disruption: {budgets: [{nodes: '1', schedule: '@daily'}]}", &["spec.disruption.budgets[0].schedule"]),
        ("disruption: {budgets: [{nodes: '1', duration: 8h}]}", &["spec.disruption.budgets[0].duration"]),
        ("disruption: {budgets: [{nodes: '1', schedule: 'at noon', duration: 8h}]}", &["spec.disruption.budgets[0].schedule"]),
        ("limits: {cpu: 1000, memory: 4Ti, nodes: '10'}", &[]),
        ("limits: {cpu: many}", &["spec.limits.cpu"]),
        ("weight: 100", &[]),
        ("weight: 0", &["spec.weight"]),
        ("replicas: 3, limits: {nodes: 5}", &[]),
        ("replicas: -1, weight: 1, limits: {cpu: 5}", &["spec.replicas", "spec.weight", "spec.limits"]),
    ];
    for (beside, expected) in table {
        assert_eq!(fields(&node_pool(&pool("", "", beside))), *expected, "{beside}");
    }
    let class = ["spec.template.spec.nodeClassRef.group", "spec.template.spec.nodeClassRef.kind", "spec.template.spec.nodeClassRef.name"];
    assert_eq!(fields(&node_pool(&NodePool::default())), class);
}

#[test]
fn claims_may_name_their_pool() {
    let claim: NodeClaim = read(&format!(
        "{{apiVersion: karpenter.sh/v1, kind: NodeClaim, metadata: {{name: a}}, spec: {{{CLASS},
          requirements: [{{key: karpenter.sh/nodepool, operator: In, values: [a]}}, {{key: kubernetes.io/hostname, operator: Exists}}],
          resources: {{requests: {{cpu: 1, memory: lots}}}}}}}}"
    ));
    assert_eq!(fields(&node_claim(&claim)), ["spec.requirements[1].key", "spec.resources.requests.memory"]);
}
