//! Mistakes in ScaledObjects and in what they refer to.

use super::{Kind, Mistake, Right, WRONG, deployment};

const READY: [&str; 3] = ["Ready", "True", "ScaledObjectReady"];

/// A trigger of the good queue with this authentication.
pub fn trigger(authentication: &str) -> String {
    format!(
        "{{type: rabbitmq, metadata: {{protocol: amqp, queueName: good, mode: QueueLength, value: '5'}}, authenticationRef: {{name: {authentication}}}}}"
    )
}

/// A ScaledObject; `target` is a YAML map.
pub fn scaled_object(name: &str, target: &str, trigger: &str) -> String {
    format!(
        "apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: {name}, namespace: default}}
spec: {{scaleTargetRef: {target}, pollingInterval: 1, cooldownPeriod: 1, triggers: [{trigger}]}}
---
"
    )
}

/// One that is right, with its Deployment.
pub fn good(name: &str) -> String {
    deployment(name, 0, "") + &scaled_object(name, &format!("{{name: {name}}}"), &trigger("rabbitmq"))
}

/// A TriggerAuthentication for the parameter host.
pub fn authentication(name: &str, secret: &str, key: &str) -> String {
    format!(
        "apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {{name: {name}, namespace: default}}
spec: {{secretTargetRef: [{{parameter: host, name: {secret}, key: {key}}}]}}
---
"
    )
}

fn secret(name: &str, key: &str, url: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: default}}\nstringData: {{{key}: '{url}'}}\n---\n")
}

/// A kind of its own, with or without a `/scale` subresource.
fn custom_kind(kind: &str, scale: &str) -> String {
    let (lower, plural) = (kind.to_lowercase(), format!("{}s", kind.to_lowercase()));
    format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.example.com}}
spec:
  group: example.com
  names: {{kind: {kind}, plural: {plural}, singular: {lower}}}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
      subresources: {{{scale}}}
---
"
    )
}

const SCALE: &str = "scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}";

const HPA: &str = "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: theirs, namespace: default}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: with-hpa}
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
---
";

/// What is there before the mistakes are made.
pub fn around(amqp: &str) -> String {
    let wrong = amqp.replace("guest:guest@", &format!("guest:{WRONG}@"));
    [
        secret("wrong-password", "host", &wrong),
        authentication("wrong-password", "wrong-password", "host"),
        authentication("no-secret", "nowhere", "host"),
        secret("no-key", "other", amqp),
        authentication("no-key", "no-key", "host"),
        custom_kind("Widget", "status: {}"),
        custom_kind("Crank", SCALE),
        HPA.to_owned(),
        good("elder"),
    ]
    .concat()
}

fn says(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A mistake that a check finds. It has a Deployment of its name.
fn check(name: &'static str, target: &str, trigger: &str, right: Right, texts: &[&str]) -> Mistake {
    let target = if target.is_empty() { format!("{{name: {name}}}") } else { target.to_owned() };
    Mistake {
        kind: Kind::ScaledObject,
        name,
        yaml: deployment(name, 0, "") + &scaled_object(name, &target, trigger),
        condition: ["Ready", "False", "ScaledObjectCheckFailed"],
        event: "ScaledObjectCheckFailed",
        says: says(texts),
        right,
        healed: READY,
    }
}

/// One whose trigger cannot be read.
fn unread(name: &'static str, trigger: &str, right: Right, texts: &[&str]) -> Mistake {
    let told =
        Mistake { condition: ["Ready", "False", "TriggerError"], event: "KEDAScalerFailed", ..check(name, "", trigger, right, texts) };
    Mistake { says: says(texts), ..told }
}

/// All of them. The broker is behind a proxy at `proxied`, and away.
pub fn all(amqp: &str, proxied: &str) -> Vec<Mistake> {
    let corrected = |name: &str| Right::Apply(good(name));
    let proxy = proxied.rsplit('@').next().and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let here = |host: &str| {
        format!("{{type: rabbitmq, metadata: {{protocol: amqp, host: '{host}', queueName: good, mode: QueueLength, value: '5'}}}}")
    };
    let from_env = "{type: rabbitmq, metadata: {protocol: amqp, hostFromEnv: URL, queueName: good, mode: QueueLength, value: '5'}}";
    let environment = "apiVersion: apps/v1
kind: Deployment
metadata: {name: no-variable, namespace: default}
spec:
  replicas: 0
  selector: {matchLabels: {app: no-variable}}
  template:
    metadata: {labels: {app: no-variable}}
    spec:
      containers:
        - {name: worker, image: worker, env: [{name: URL, valueFrom: {secretKeyRef: {name: of-variable, key: url}}}]}
---
";
    let rabbitmq = trigger("rabbitmq");
    let variable = check(
        "no-variable",
        "",
        from_env,
        Right::Apply(secret("of-variable", "url", amqp)),
        &["spec.triggers[0].metadata.hostFromEnv", "variable URL", "Secret default/of-variable does not exist", "create it"],
    );
    let variable = Mistake { yaml: environment.to_owned() + &scaled_object("no-variable", "{name: no-variable}", from_env), ..variable };
    let absent = check(
        "no-target",
        "{name: absent}",
        &rabbitmq,
        Right::Apply(deployment("absent", 0, "")),
        &["spec.scaleTargetRef", "Deployment default/absent does not exist", "create it"],
    );
    vec![
        check(
            "unknown-type",
            "",
            &rabbitmq.replace("type: rabbitmq", "type: rabitmq"),
            corrected("unknown-type"),
            &["spec.triggers[0].type", "rabitmq", "use one of", "springtide scalers"],
        ),
        check(
            "missing-key",
            "",
            &rabbitmq.replace("queueName: good, ", ""),
            corrected("missing-key"),
            &["spec.triggers[0].metadata.queueName", "missing"],
        ),
        check(
            "not-measured",
            "",
            "{type: cpu, metricType: Utilization, metadata: {value: '60'}}",
            corrected("not-measured"),
            &["spec.triggers[0].type", "cpu", "not measured by this version yet", "scale by a queue"],
        ),
        unread("broker-away", &here(proxied), Right::StartBroker, &[proxy, "check that the address is right"]),
        unread(
            "wrong-password",
            &trigger("wrong-password"),
            Right::Apply(secret("wrong-password", "host", amqp)),
            &["refuses the login", "check user name"],
        ),
        check(
            "no-secret",
            "",
            &trigger("no-secret"),
            Right::Apply(secret("nowhere", "host", amqp)),
            &[
                "spec.triggers[0].authenticationRef",
                "TriggerAuthentication no-secret",
                "Secret default/nowhere does not exist",
                "create it",
            ],
        ),
        check(
            "no-key",
            "",
            &trigger("no-key"),
            Right::Apply(secret("no-key", "host", amqp)),
            &["spec.secretTargetRef[0]", "Secret default/no-key has no key `host`", "add it"],
        ),
        check(
            "no-auth",
            "",
            &trigger("later"),
            Right::Apply(authentication("later", "rabbitmq", "host")),
            &["spec.triggers[0].authenticationRef", "TriggerAuthentication later does not exist", "create it"],
        ),
        variable,
        absent,
        check(
            "config-map",
            "{apiVersion: v1, kind: ConfigMap, name: kube-root-ca.crt}",
            &rabbitmq,
            corrected("config-map"),
            &["spec.scaleTargetRef.kind", "ConfigMap of v1 has no /scale subresource", "name a Deployment, StatefulSet, ReplicaSet"],
        ),
        check(
            "job",
            "{apiVersion: batch/v1, kind: Job, name: once}",
            &rabbitmq,
            corrected("job"),
            &["spec.scaleTargetRef.kind", "a Job has no /scale subresource", "use a ScaledJob"],
        ),
        check(
            "daemon-set",
            "{apiVersion: apps/v1, kind: DaemonSet, name: agent}",
            &rabbitmq,
            corrected("daemon-set"),
            &["spec.scaleTargetRef.kind", "DaemonSet of apps/v1 has no /scale subresource", "name a Deployment"],
        ),
        check(
            "unknown-kind",
            "{apiVersion: apps/v1, kind: Deploymnet, name: unknown-kind}",
            &rabbitmq,
            corrected("unknown-kind"),
            &["spec.scaleTargetRef.kind", "apps/v1 has no kind Deploymnet", "correct the kind"],
        ),
        check(
            "unknown-version",
            "{apiVersion: apps/v7, kind: Deployment, name: unknown-version}",
            &rabbitmq,
            corrected("unknown-version"),
            &["spec.scaleTargetRef.apiVersion", "does not serve apps/v7", "correct it"],
        ),
        check(
            "without-scale",
            "{apiVersion: example.com/v1, kind: Widget, name: one}",
            &rabbitmq,
            corrected("without-scale"),
            &["spec.scaleTargetRef.kind", "Widget of example.com/v1 has no /scale subresource", "name a Deployment"],
        ),
        check(
            "with-scale",
            "{apiVersion: example.com/v1, kind: Crank, name: one}",
            &rabbitmq,
            corrected("with-scale"),
            &["spec.scaleTargetRef.kind", "Crank of example.com/v1 has a /scale subresource", "scales only Deployment"],
        ),
        check(
            "with-hpa",
            "",
            &rabbitmq,
            Right::DeleteAutoscaler("theirs"),
            &["spec.scaleTargetRef", "default/with-hpa", "managed by the hpa 'default/theirs'", "delete the HorizontalPodAutoscaler"],
        ),
        check(
            "younger",
            "{name: elder}",
            &rabbitmq,
            Right::DeleteScaledObject("elder"),
            &["spec.scaleTargetRef", "default/elder", "managed by the ScaledObject 'default/elder'", "delete one of the two"],
        ),
    ]
}
