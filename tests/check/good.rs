//! Manifests with nothing wrong in them: our examples, and what several of them have that looks odd and is right.

use std::path::Path;

use super::{Folder, check};

#[test]
fn examples_have_no_problem() {
    let said = check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config"), &["examples"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.errors);
    assert!(said.out.lines().last().is_some_and(|summary| summary.starts_with("no problems in ")), "{}", said.out);
    // The example shows what a pool may ask for, with what is not carried out yet.
    let strange: Vec<&str> = said.lines().into_iter().filter(|line| !line.contains("are not consolidated yet")).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

/// What the files do not tell may be right, and nobody is told that it is missing.
#[test]
fn what_may_be_in_the_cluster_is_not_missed() {
    let object = |name: &str, trigger: &str| {
        format!(
            "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {{name: {name}}}\nspec:\n  scaleTargetRef: {{name: {name}}}\n  triggers:\n  - type: rabbitmq\n{trigger}\n---\n"
        )
    };
    let query = "queueName: q, mode: QueueLength, value: '5'";
    let folder = Folder::new("open");
    let all = [
        // The authentication is not in the files; nor is the target's environment.
        object("a", &format!("    metadata: {{{query}}}\n    authenticationRef: {{name: elsewhere}}")),
        object("b", &format!("    metadata: {{{query}, hostFromEnv: URL}}")),
        // What comes from a Secret is there and not known.
        object("c", &format!("    metadata: {{{query}}}\n    authenticationRef: {{name: here}}")),
        "{apiVersion: keda.sh/v1alpha1, kind: TriggerAuthentication, metadata: {name: here}, spec: {secretTargetRef: [{parameter: host, name: s, key: k}]}}\n---\n".to_owned(),
        // An environment that comes as a whole from a Secret.
        object("d", &format!("    metadata: {{{query}, hostFromEnv: URL}}")),
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}},
          spec: {containers: [{name: d, image: d, envFrom: [{secretRef: {name: s}}]}]}}}}\n---\n"
            .to_owned(),
        // An own resource with /scale, and nulls as `kubectl get -o yaml` writes them.
        "{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: e, creationTimestamp: null}, spec: {scaleTargetRef: {apiVersion: argoproj.io/v1alpha1,
          kind: Rollout, name: e}, maxReplicaCount: null, triggers: [{type: rabbitmq, metadata: {queueName: q, queueLength: '5', host: 'amqp://h/', vhostName: null}}]},
          status: {conditions: nonsense}}\n---\n"
            .to_owned(),
        // The leftover of a KEDA that was here before.
        "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: keda-hpa-a}, spec: {maxReplicas: 2, scaleTargetRef: {kind: Deployment, name: a}}}\n---\n"
            .to_owned(),
        "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {anything: goes}}\n".to_owned(),
    ];
    folder.write("a.yaml", all.concat());
    let said = check(&folder.0, &["a.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert_eq!(said.lines().len(), 2, "the deprecated key, and the kind that is not scaled yet: {}", said.out);
    assert!(said.out.ends_with("no problems in 9 objects, 1 file (2 notices, 1 object of other kinds passed over)\n"), "{}", said.out);
}

#[test]
fn aliases_and_merges_are_followed() {
    let folder = Folder::new("aliases");
    folder.write(
        "a.yaml",
        "apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: a}
spec:
  scaleTargetRef: {name: a}
  triggers:
  - &first
    type: rabbitmq
    metadata: &metadata {queueName: a, mode: QueueLength, value: '5', host: amqp://h/}
  - <<: *first
    metadata: {<<: *metadata, queueName: b, value: five}
",
    );
    let said = check(&folder.0, &["a.yaml"]);
    assert_eq!(
        said.lines(),
        [r#"a.yaml:11 ScaledObject/a: spec.triggers[1].metadata.value: "five" is not a number; write a number such as 20 or 0.5"#]
    );
}
