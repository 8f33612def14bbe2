//! What is refused, as a table: the object, and the fields that are named.

use serde::de::DeserializeOwned;

use super::*;

fn read<T: DeserializeOwned>(yaml: &str) -> T {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

fn fields(problems: &[Problem]) -> Vec<&str> {
    for problem in problems {
        assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{problem:?} says what and what to do");
    }
    problems.iter().map(|problem| problem.field.as_str()).collect()
}

fn object(spec: &str) -> ScaledObject {
    let spec = if spec.contains("triggers:") { spec.to_owned() } else { format!("triggers: [{{type: cron, metadata: {{}}}}], {spec}") };
    read(&format!(
        "{{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {{name: a}}, spec: {{scaleTargetRef: {{name: a}}, {spec}}}}}"
    ))
}

#[test]
fn scaled_objects() {
    let table: &[(&str, &[&str])] = &[
        ("minReplicaCount: 0", &[]),
        ("minReplicaCount: 5, maxReplicaCount: 5", &[]),
        ("minReplicaCount: 6, maxReplicaCount: 5", &["spec.minReplicaCount"]),
        ("minReplicaCount: 101", &["spec.minReplicaCount"]),
        ("maxReplicaCount: 0", &["spec.maxReplicaCount"]),
        ("pollingInterval: 0, cooldownPeriod: -1", &["spec.pollingInterval", "spec.cooldownPeriod"]),
        // The quirk: a minimum that is not set is 0, a written one is at least 1.
        ("idleReplicaCount: 0", &["spec.idleReplicaCount"]),
        ("idleReplicaCount: 0, minReplicaCount: 0", &[]),
        ("idleReplicaCount: 0, minReplicaCount: 2", &[]),
        ("idleReplicaCount: 2, minReplicaCount: 2", &["spec.idleReplicaCount"]),
        ("triggers: []", &["spec.triggers"]),
        ("triggers: [{type: '', metadata: {}}]", &["spec.triggers[0].type"]),
        ("triggers: [{type: cron, name: a, metadata: {}}, {type: kafka, name: a, metadata: {}}]", &["spec.triggers[1].name"]),
        ("triggers: [{type: cron, name: '', metadata: {}}, {type: kafka, name: '', metadata: {}}]", &[]),
        ("triggers: [{type: cron, useCachedMetrics: true, metadata: {}}]", &["spec.triggers[0].useCachedMetrics"]),
        ("triggers: [{type: kafka, useCachedMetrics: true, metadata: {}}]", &[]),
        ("triggers: [{type: kafka, metricType: Value, metadata: {}}]", &[]),
        ("triggers: [{type: kafka, metricType: Utilization, metadata: {}}]", &["spec.triggers[0].metricType"]),
        ("triggers: [{type: kafka, metricType: Average, metadata: {}}]", &["spec.triggers[0].metricType"]),
        ("minReplicaCount: 1, triggers: [{type: cpu, metricType: Utilization, metadata: {value: '50'}}]", &[]),
        ("minReplicaCount: 1, triggers: [{type: cpu, metadata: {value: '50'}}]", &["spec.triggers[0].metricType"]),
        ("triggers: [{type: cpu, metricType: Utilization, metadata: {value: '50'}}]", &[]),
        ("minReplicaCount: 0, triggers: [{type: cpu, metricType: Utilization, metadata: {value: '50'}}]", &["spec.minReplicaCount"]),
        (
            "triggers: [{type: kafka, metadata: {}, authenticationRef: {name: a, kind: Secret}}]",
            &["spec.triggers[0].authenticationRef.kind"],
        ),
        ("triggers: [{type: kafka, metadata: {}, authenticationRef: {name: ''}}]", &["spec.triggers[0].authenticationRef.name"]),
        ("fallback: {failureThreshold: 3, replicas: 6}", &[]),
        ("fallback: {failureThreshold: -1, replicas: -1}", &["spec.fallback.failureThreshold", "spec.fallback.replicas"]),
        ("fallback: {failureThreshold: 3, replicas: 6, behavior: often}", &["spec.fallback.behavior"]),
        ("fallback: {failureThreshold: 3, replicas: 6, behavior: scalingModifiers}", &["spec.fallback.behavior"]),
        (
            "minReplicaCount: 1, fallback: {failureThreshold: 3, replicas: 6}, triggers: [{type: cpu, metricType: Utilization, metadata: {}}]",
            &["spec.fallback"],
        ),
        ("advanced: {scalingModifiers: {formula: a + b, target: '2', activationTarget: '1'}}", &[]),
        ("advanced: {scalingModifiers: {}}", &[]),
        ("advanced: {scalingModifiers: {target: '2'}}", &["spec.advanced.scalingModifiers.formula"]),
        ("advanced: {scalingModifiers: {formula: a}}", &["spec.advanced.scalingModifiers.target"]),
        ("advanced: {scalingModifiers: {formula: a, target: '0'}}", &["spec.advanced.scalingModifiers.target"]),
        (
            "advanced: {scalingModifiers: {formula: a, target: '1', activationTarget: x, metricType: Utilization}}",
            &["spec.advanced.scalingModifiers.activationTarget", "spec.advanced.scalingModifiers.metricType"],
        ),
        ("advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleDown: {stabilizationWindowSeconds: 3600, tolerance: '0.05'}}}}", &[]),
        (
            "advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleDown: {stabilizationWindowSeconds: 3601, selectPolicy: Most}}}}",
            &[
                "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.stabilizationWindowSeconds",
                "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.selectPolicy",
            ],
        ),
        (
            "advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleUp: {policies: [{type: Nodes, value: 0, periodSeconds: 1801}]}}}}",
            &[
                "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.policies[0].type",
                "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.policies[0].value",
                "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.policies[0].periodSeconds",
            ],
        ),
    ];
    for (spec, expected) in table {
        assert_eq!(fields(&scaled_object(&object(spec))), *expected, "{spec}");
    }
    let mut long = object("minReplicaCount: 0");
    long.metadata.name = Some("a".repeat(64));
    assert_eq!(fields(&scaled_object(&long)), ["metadata.name"]);
}

#[test]
fn scaled_jobs() {
    let job = "jobTargetRef: {template: {spec: {containers: [{name: a}]}}}";
    let table: &[(&str, &[&str])] = &[
        ("triggers: [{type: kafka, metadata: {}}]", &[]),
        ("triggers: [{type: kafka, metadata: {}, metricType: AverageValue}]", &["spec.triggers[0].metricType"]),
        ("triggers: [{type: kafka, metadata: {}}], rollout: {strategy: default}", &["spec.rollout.strategy"]),
        (
            "triggers: [{type: kafka, metadata: {}}], scalingStrategy: {strategy: fast, multipleScalersCalculation: mean}",
            &["spec.scalingStrategy.strategy", "spec.scalingStrategy.multipleScalersCalculation"],
        ),
    ];
    for (spec, expected) in table {
        let job: ScaledJob =
            read(&format!("{{apiVersion: keda.sh/v1alpha1, kind: ScaledJob, metadata: {{name: a}}, spec: {{{job}, {spec}}}}}"));
        assert_eq!(fields(&scaled_job(&job)), *expected, "{spec}");
    }
    assert_eq!(fields(&scaled_job(&ScaledJob::default())), ["spec.triggers", "spec.jobTargetRef.template.spec.containers"]);
}

#[test]
fn authentications() {
    let table: &[(&str, &[&str])] = &[
        ("{secretTargetRef: [{parameter: a, name: b, key: c}]}", &[]),
        ("{podIdentity: {provider: azure-workload, identityId: ''}}", &["spec.podIdentity.identityId"]),
        ("{podIdentity: {provider: azure-workload, identityAuthorityHost: h}}", &["spec.podIdentity.identityAuthorityHost"]),
        ("{podIdentity: {provider: azure-workload, identityAuthorityHost: h, identityTenantId: t}}", &[]),
        ("{podIdentity: {provider: aws, roleArn: r, identityOwner: keda}}", &[]),
        ("{podIdentity: {provider: aws, roleArn: r, identityOwner: workload}}", &["spec.podIdentity.roleArn"]),
        ("{podIdentity: {provider: aws, externalID: e}}", &["spec.podIdentity.externalID"]),
        ("{podIdentity: {provider: aws-kiam}}", &["spec.podIdentity.provider"]),
        ("{oauth2: {clientId: a, tokenUrl: b, clientSecret: {valueFrom: {secretKeyRef: {name: c, key: d}}}}}", &[]),
        (
            "{oauth2: {type: password, clientId: '', tokenUrl: b}}",
            &["spec.oauth2.type", "spec.oauth2.clientId", "spec.oauth2.clientSecret"],
        ),
        ("{filePath: a.json}", &["spec.filePath"]),
    ];
    for (spec, expected) in table {
        let one: TriggerAuthentication =
            read(&format!("{{apiVersion: keda.sh/v1alpha1, kind: TriggerAuthentication, metadata: {{name: a}}, spec: {spec}}}"));
        assert_eq!(fields(&trigger_authentication(&one)), *expected, "{spec}");
    }
    let cluster: ClusterTriggerAuthentication =
        read("{apiVersion: keda.sh/v1alpha1, kind: ClusterTriggerAuthentication, metadata: {name: a}, spec: {filePath: a.json}}");
    assert_eq!(fields(&cluster_trigger_authentication(&cluster)), Vec::<&str>::new());
}
