//! What follows from priority classes, services, owners and the scheduler's defaults.

use springtide_core::nodes::constraint::Preferred;
use springtide_core::nodes::selector::SelectorId;
use springtide_core::nodes::shape::Shape;

use crate::manifests::{Limits, parse};
use crate::objects::{Objects, read};

fn objects(documents: &[&str]) -> Objects {
    let parsed = parse(&"x.yaml".into(), &documents.join("\n---\n"), &Limits::default());
    let backwards = read(parsed.documents.iter().rev());
    let objects = read(&parsed.documents);
    let told = |objects: &Objects| -> Vec<(String, Shape)> {
        let shapes = objects.cluster.pods.iter().map(|(key, pod)| (key.to_string(), (**objects.cluster.shapes.get(pod.shape)).clone()));
        shapes.collect()
    };
    assert_eq!(told(&objects), told(&backwards), "the order of documents makes no difference");
    objects
}

/// The findings, without where they are.
fn findings(objects: &Objects) -> Vec<String> {
    objects.findings.iter().map(|finding| format!("{}: {}", finding.field, finding.what)).collect()
}

fn shape<'a>(objects: &'a Objects, pod: &str) -> &'a Shape {
    let (_, pod) = objects.cluster.pods.iter().find(|(key, _)| key.to_string() == pod).expect("a pod");
    objects.cluster.shapes.get(pod.shape)
}

/// The pods that a selector selects.
fn selected(objects: &Objects, selector: SelectorId) -> Vec<String> {
    let selects = |pod: &springtide_core::nodes::cluster::Pod| objects.cluster.shapes.get(pod.shape).selected_by.contains(selector);
    objects.cluster.pods.iter().filter(|(_, pod)| selects(pod)).map(|(key, _)| key.to_string()).collect()
}

fn pod(name: &str, more: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, {more}}}\nspec: {{containers: [{{name: a}}]}}")
}

fn owned(name: &str, labels: &str, kind: &str, owner: &str) -> String {
    let version = if kind == "ReplicationController" { "v1" } else { "apps/v1" };
    pod(name, &format!("labels: {{{labels}}}, ownerReferences: [{{apiVersion: {version}, kind: {kind}, name: {owner}, controller: true}}]"))
}

fn set(kind: &str, name: &str, selector: &str) -> String {
    let version = if kind == "ReplicationController" { "v1" } else { "apps/v1" };
    format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{replicas: 0, selector: {selector}, template: {{spec: {{containers: []}}}}}}"
    )
}

fn service(name: &str, namespace: &str, spec: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}")
}

const SCHEDULER: &str = "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
  - pluginConfig:
      - name: PodTopologySpread
        args:
          defaultingType: List
          defaultConstraints:
            - {maxSkew: 2, minDomains: 3, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}
            - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway}";

/// Pods by name; none where there is no default.
type Counted = Option<&'static [&'static str]>;

/// Which pods the default spread of a pod counts; none where it has none.
fn counted(objects: &Objects, name: &str) -> Option<Vec<String>> {
    shape(objects, &format!("default/{name}")).spreads.first().map(|spread| selected(objects, spread.selector))
}

#[test]
fn defaults_are_for_pods_that_declare_nothing_and_keep_what_they_say() {
    let own = "apiVersion: v1\nkind: Pod\nmetadata: {name: own, labels: {app: a}}\nspec: {containers: [{name: a}], topologySpreadConstraints: [{maxSkew: 1, topologyKey: rack, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}]}";
    let other =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: other, labels: {app: a}}\nspec: {containers: [{name: a}], schedulerName: mine}";
    let objects = objects(&[
        SCHEDULER,
        &service("s", "default", "selector: {app: a}"),
        &pod("p", "labels: {app: a}"),
        &pod("alone", "labels: {app: b}"),
        own,
        other,
    ]);
    assert!(findings(&objects).is_empty(), "{:?}", findings(&objects));
    let defaulted = shape(&objects, "default/p");
    let [spread] = &defaulted.spreads[..] else { panic!("one default must hold: {:?}", defaulted.spreads) };
    assert_eq!((spread.key.as_str(), spread.max_skew, spread.min_domains), ("topology.kubernetes.io/zone", 2, Some(3)));
    assert!(
        matches!(&defaulted.preferences[..], [one] if matches!(&one.wish, Preferred::Spread(spread) if spread.key == "kubernetes.io/hostname"))
    );
    assert_eq!(selected(&objects, spread.selector), ["default/other", "default/own", "default/p"]);
    assert_eq!(counted(&objects, "alone"), None, "neither owner nor service");
    assert_eq!(counted(&objects, "own"), None);
    assert_eq!(shape(&objects, "default/own").preferences.len(), 1);
    assert_eq!(counted(&objects, "other"), None, "another scheduler's pod");
}

#[test]
fn a_default_counts_the_pods_of_the_owners_selector() {
    let table: [(&str, Vec<String>, Counted); 8] = [
        (
            "a ReplicaSet's selector, not the pod's labels",
            vec![
                set("ReplicaSet", "r", "{matchLabels: {app: a}}"),
                owned("p", "app: a, own: x", "ReplicaSet", "r"),
                pod("q", "labels: {app: a}"),
            ],
            Some(&["default/p", "default/q"]),
        ),
        (
            "a StatefulSet's expressions",
            vec![
                set("StatefulSet", "s", "{matchExpressions: [{key: app, operator: In, values: [a, b]}]}"),
                owned("p", "app: a, statefulset.kubernetes.io/pod-name: p", "StatefulSet", "s"),
                pod("q", "labels: {app: b}"),
                pod("z", "labels: {app: c}"),
            ],
            Some(&["default/p", "default/q"]),
        ),
        (
            "a ReplicationController's labels",
            vec![set("ReplicationController", "c", "{app: a}"), owned("p", "app: a", "ReplicationController", "c")],
            Some(&["default/p"]),
        ),
        (
            "a Deployment's where its ReplicaSet is in no file, and of one revision",
            vec![
                set("Deployment", "d", "{matchLabels: {app: a}}"),
                owned("p", "app: a, pod-template-hash: x", "ReplicaSet", "d-x"),
                owned("q", "app: a, pod-template-hash: y", "ReplicaSet", "d-y"),
            ],
            Some(&["default/p"]),
        ),
        ("another kind's", vec![owned("p", "app: a", "Job", "j")], None),
        ("one that is gone", vec![owned("p", "app: a", "ReplicaSet", "gone")], None),
        (
            "both must hold of a ReplicaSet and a Service",
            vec![
                set("ReplicaSet", "r", "{matchLabels: {app: b}}"),
                service("s", "default", "selector: {app: a}"),
                owned("p", "app: a", "ReplicaSet", "r"),
            ],
            Some(&[]),
        ),
        (
            "a ReplicationController's takes the place of a Service's",
            vec![
                set("ReplicationController", "c", "{app: b}"),
                service("s", "default", "selector: {app: a}"),
                owned("p", "app: a", "ReplicationController", "c"),
                pod("q", "labels: {app: b}"),
            ],
            Some(&["default/q"]),
        ),
    ];
    for (what, documents, expected) in table {
        let documents: Vec<&str> = documents.iter().map(String::as_str).chain([SCHEDULER]).collect();
        let found = counted(&objects(&documents), "p");
        assert_eq!(found.as_ref().map(|found| found.iter().map(String::as_str).collect::<Vec<_>>()).as_deref(), expected, "{what}");
    }
}

#[test]
fn a_default_counts_the_pods_that_all_matching_services_select() {
    let table: [(&[(&str, &str)], Counted); 6] = [
        (&[("default", "selector: {app: a}")], Some(&["default/p", "default/q"])),
        (&[("default", "selector: {app: a}"), ("default", "selector: {tier: x}")], Some(&["default/p"])),
        (&[("default", "selector: {app: other}")], None),
        (&[("elsewhere", "selector: {app: a}")], None),
        (&[("default", "selector: {}")], None),
        (&[("default", "")], None),
    ];
    for (services, expected) in table {
        let mut documents = vec![SCHEDULER.to_owned(), pod("p", "labels: {app: a, tier: x}"), pod("q", "labels: {app: a}")];
        documents.extend(services.iter().enumerate().map(|(i, (namespace, spec))| service(&format!("s{i}"), namespace, spec)));
        let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
        let found = counted(&objects(&documents), "p");
        let found = found.as_ref().map(|found| found.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(found.as_deref(), expected, "{services:?}");
    }
}

#[test]
fn revisions_of_a_template_are_spread_each_for_itself() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {replicas: 2, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a}]}}}";
    let old = owned("old", "app: a, pod-template-hash: x", "ReplicaSet", "gone-x");
    let objects = objects(&[SCHEDULER, deployment, &old]);
    let workload = objects.cluster.workloads.values().next().expect("a workload");
    let template = objects.cluster.templates.get(&workload.template).expect("its template");
    let springtide_core::nodes::workload::Template::Pod { shape, .. } = template else { panic!("it looks like something") };
    let shape = objects.cluster.shapes.get(*shape);
    let selector = shape.spreads.first().expect("a default").selector;
    assert!(shape.selected_by.contains(selector) && selected(&objects, selector).is_empty());
}

#[test]
fn what_a_scheduler_would_refuse_is_told() {
    let system = SCHEDULER.replace("defaultingType: List", "defaultingType: System");
    let selector = SCHEDULER.replace("minDomains: 3", "labelSelector: {}");
    for (yaml, field) in [(&system, "defaultingType"), (&selector, "defaultConstraints[0].labelSelector")] {
        let objects = objects(&[yaml, &service("s", "default", "selector: {app: a}"), &pod("p", "labels: {app: a}")]);
        assert_eq!(counted(&objects, "p"), None);
        assert!(objects.findings.iter().any(|finding| finding.field.ends_with(field)), "{:?}", findings(&objects));
    }
}

#[test]
fn priorities_come_from_classes() {
    let class = |name: &str, value: i32, is_default: bool| {
        format!(
            "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {{name: {name}}}\nvalue: {value}\nglobalDefault: {is_default}"
        )
    };
    let named = |name: &str, class: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: a}}], {class}}}")
    };
    let objects = objects(&[
        &class("high", 100, false),
        &class("usual", 7, true),
        &class("usual-too", 9, true),
        &named("high", "priorityClassName: high"),
        &named("plain", "restartPolicy: Always"),
        &named("system", "priorityClassName: system-node-critical"),
        &named("told", "priorityClassName: high, priority: 3"),
        &named("unknown", "priorityClassName: gone"),
        &named("unknown-too", "priorityClassName: gone"),
    ]);
    for (name, priority) in [("high", 100), ("plain", 7), ("system", 2_000_001_000), ("told", 3), ("unknown", 0)] {
        assert_eq!(shape(&objects, &format!("default/{name}")).priority, priority, "{name}");
    }
    assert_eq!(findings(&objects), ["spec.priorityClassName: PriorityClass gone is not in these files"]);
}

#[test]
fn namespaces_have_labels_whether_or_not_they_are_in_the_files() {
    let near = |selector: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: a}}], affinity: {{podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: [{{topologyKey: zone, labelSelector: {{}}, namespaceSelector: {{matchLabels: {{{selector}}}}}}}]}}}}}}"
        )
    };
    let red = "apiVersion: v1\nkind: Namespace\nmetadata: {name: red, labels: {colour: red}}";
    for (selector, expected) in
        [("colour: red", "red/q"), ("kubernetes.io/metadata.name: red", "red/q"), ("kubernetes.io/metadata.name: blue", "blue/r")]
    {
        let objects = objects(&[red, &near(selector), &pod("q", "namespace: red"), &pod("r", "namespace: blue")]);
        let term = shape(&objects, "default/p").apart.first().expect("a term").selector;
        assert_eq!(selected(&objects, term), [expected], "{selector}");
    }
}
