//! Constraints as people write them, and which pods they speak of.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use springtide_core::nodes::constraint::{Preferred, Spread};
use springtide_core::nodes::requirement::Labels;
use springtide_core::nodes::selector::{Identity, SelectorId};
use springtide_core::nodes::shape::{Shape, Shapes};

use crate::typed::Unclear;
use crate::typed::pod::{pod, shape};

fn identity(namespace: &str, labels: &[(&str, &str)]) -> Identity {
    Identity { namespace: namespace.into(), labels: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect() }
}

/// The pod that the constraints below are of.
fn own() -> Identity {
    identity("shop", &[("app", "web"), ("version", "2")])
}

fn read(yaml: &str, shapes: &mut Shapes) -> Result<Shape, Unclear> {
    let spec: core::PodSpec = serde_saphyr::from_str(&format!("containers: [{{name: a}}]\n{yaml}")).expect("a pod specification");
    shape(&spec, &own(), shapes)
}

/// Whether a selector selects pods like this.
fn selects(shapes: &mut Shapes, selector: SelectorId, pod: &Identity) -> bool {
    let id = shapes.intern_for(Shape::default(), &Arc::new(pod.clone()));
    shapes.get(id).selected_by.contains(selector)
}

#[test]
fn a_spread_counts_the_pods_of_its_selector_in_its_own_namespace() {
    let web = identity("shop", &[("app", "web")]);
    let other = identity("shop", &[("app", "other")]);
    let elsewhere = identity("bar", &[("app", "web")]);
    let own = own();
    // the selector, and whether it selects the pod itself, another of the app, another app, and another namespace
    let table = [
        ("labelSelector: {matchLabels: {app: web}}", [true, true, false, false]),
        ("labelSelector: {}", [true, true, true, false]),
        ("", [false, false, false, false]),
        ("labelSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}", [false, false, true, false]),
        ("labelSelector: {matchExpressions: [{key: version, operator: Exists}]}", [true, false, false, false]),
        ("labelSelector: {matchExpressions: [{key: version, operator: DoesNotExist}]}", [false, true, true, false]),
        ("labelSelector: {matchLabels: {app: web}}, matchLabelKeys: [version]", [true, false, false, false]),
        ("labelSelector: {matchLabels: {app: web}}, matchLabelKeys: [unknown]", [true, true, false, false]),
        // what contradicts itself selects nothing
        (
            "labelSelector: {matchLabels: {app: web}, matchExpressions: [{key: app, operator: In, values: [other]}]}",
            [false, false, false, false],
        ),
    ];
    for (selector, selected) in table {
        let comma = if selector.is_empty() { "" } else { ", " };
        let mut shapes = Shapes::default();
        let yaml =
            format!("topologySpreadConstraints: [{{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule{comma}{selector}}}]");
        let shape = read(&yaml, &mut shapes).expect("a shape");
        let of = shape.spreads.first().expect("a spread").selector;
        assert_eq!([&own, &web, &other, &elsewhere].map(|pod| selects(&mut shapes, of, pod)), selected, "{selector}");
    }
}

#[test]
fn spreads_that_must_hold_are_apart_from_those_that_would_be_good_to_have() {
    let mut shapes = Shapes::default();
    let shape = read(
        "topologySpreadConstraints:
  - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}
  - {maxSkew: 2, minDomains: 3, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {}}
  - {maxSkew: 1, topologyKey: host, whenUnsatisfiable: DoNotSchedule, nodeAffinityPolicy: Ignore, nodeTaintsPolicy: Honor, labelSelector: {}}",
        &mut shapes,
    )
    .expect("a shape");
    let [zones, hosts] = &shape.spreads[..] else { panic!("two must hold: {:?}", shape.spreads) };
    let selector = zones.selector;
    assert_eq!(*zones, Spread { key: "zone".into(), selector, max_skew: 2, min_domains: Some(3), by_affinity: true, by_taints: false });
    assert_eq!(*hosts, Spread { key: "host".into(), selector, max_skew: 1, min_domains: None, by_affinity: false, by_taints: true });
    let [soft] = &shape.preferences[..] else { panic!("one is a preference: {:?}", shape.preferences) };
    assert!(soft.weight == 0 && matches!(&soft.wish, Preferred::Spread(spread) if spread.key == "zone" && spread.max_skew == 1));
}

#[test]
fn affinity_terms_speak_of_namespaces_by_name_and_by_label() {
    let red = identity("red", &[("app", "web")]);
    let blue = identity("blue", &[("app", "web")]);
    let own = own();
    // the term, and whether it selects the pod itself, one in a red namespace, and one in another
    let table = [
        ("labelSelector: {matchLabels: {app: web}}", [true, false, false]),
        ("labelSelector: {matchLabels: {app: web}}, namespaces: [blue]", [false, false, true]),
        ("labelSelector: {matchLabels: {app: web}}, namespaceSelector: {}", [true, true, true]),
        ("labelSelector: {matchLabels: {app: web}}, namespaceSelector: {matchLabels: {colour: red}}", [false, true, false]),
        (
            "labelSelector: {matchLabels: {app: web}}, namespaces: [shop], namespaceSelector: {matchLabels: {colour: red}}",
            [true, true, false],
        ),
        ("labelSelector: {matchLabels: {app: web}}, namespaces: [], matchLabelKeys: [version]", [true, false, false]),
        ("labelSelector: {matchLabels: {app: web}}, namespaceSelector: {}, mismatchLabelKeys: [version]", [false, true, true]),
        ("namespaceSelector: {}", [false, false, false]),
    ];
    for (term, selected) in table {
        let mut shapes = Shapes::default();
        shapes.set_namespace("red".into(), Some(Labels::from([("colour".into(), "red".into())])));
        let yaml =
            format!("affinity: {{podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: [{{topologyKey: host, {term}}}]}}}}");
        let shape = read(&yaml, &mut shapes).expect("a shape");
        let of = shape.apart.first().expect("a term").selector;
        assert_eq!([&own, &red, &blue].map(|pod| selects(&mut shapes, of, pod)), selected, "{term}");
    }
}

#[test]
fn only_pods_that_answer_all_terms_count_for_required_affinity() {
    let mut shapes = Shapes::default();
    let terms = "[{topologyKey: zone, labelSelector: {matchLabels: {a: x}}}, {topologyKey: host, labelSelector: {matchLabels: {b: y}}}]";
    let yaml = format!(
        "affinity: {{podAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {terms}}}, podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {terms}}}}}"
    );
    let shape = read(&yaml, &mut shapes).expect("a shape");
    let keys = |terms: &[springtide_core::nodes::constraint::Term]| terms.iter().map(|term| term.key.to_string()).collect::<Vec<_>>();
    assert_eq!(
        (keys(&shape.near), keys(&shape.apart)),
        (vec!["zone".to_owned(), "host".to_owned()], vec!["zone".to_owned(), "host".to_owned()])
    );
    let (one, both) = (identity("shop", &[("a", "x")]), identity("shop", &[("a", "x"), ("b", "y")]));
    let near: Vec<SelectorId> = shape.near.iter().map(|term| term.selector).collect();
    assert_eq!(near.iter().map(|of| selects(&mut shapes, *of, &one)).collect::<Vec<_>>(), [false, false]);
    assert_eq!(near.iter().map(|of| selects(&mut shapes, *of, &both)).collect::<Vec<_>>(), [true, true]);
    let apart: Vec<SelectorId> = shape.apart.iter().map(|term| term.selector).collect();
    assert_eq!(apart.iter().map(|of| selects(&mut shapes, *of, &one)).collect::<Vec<_>>(), [true, false], "each for itself");
}

#[test]
fn preferences_come_heaviest_first_and_empty_ones_not_at_all() {
    let mut shapes = Shapes::default();
    let shape = read(
        "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}]
affinity:
  nodeAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - {weight: 5, preference: {matchExpressions: [{key: disk, operator: In, values: [ssd]}]}}
      - {weight: 100, preference: {}}
  podAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - {weight: 50, podAffinityTerm: {topologyKey: host, labelSelector: {}}}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - {weight: 5, podAffinityTerm: {topologyKey: rack, labelSelector: {}}}
      - {weight: 60, podAffinityTerm: {topologyKey: zone, labelSelector: {}}}",
        &mut shapes,
    )
    .expect("a shape");
    let told: Vec<String> = shape
        .preferences
        .iter()
        .map(|preference| match &preference.wish {
            Preferred::Node(wishes) => format!("{} node {wishes}", preference.weight),
            Preferred::Near(term) => format!("{} near {}", preference.weight, term.key),
            Preferred::Apart(term) => format!("{} apart {}", preference.weight, term.key),
            Preferred::Spread(spread) => format!("{} spread {}", preference.weight, spread.key),
        })
        .collect();
    assert_eq!(told, ["60 apart zone", "50 near host", "5 node disk In ssd", "5 apart rack", "0 spread zone"]);
    assert!(shape.near.is_empty() && shape.apart.is_empty() && shape.spreads.is_empty());
}

#[test]
fn what_an_api_server_refuses_is_told_with_its_field() {
    let spread =
        |text: &str| format!("topologySpreadConstraints: [{{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, {text}}}]");
    let near = |text: &str| format!("affinity: {{podAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: [{text}]}}}}");
    let table = [
        (spread("labelSelector: {matchExpressions: [{key: a, operator: Gt, values: ['1']}]}"), "labelSelector.matchExpressions[0]"),
        (spread("labelSelector: {matchExpressions: [{key: a, operator: In}]}"), "labelSelector.matchExpressions[0]"),
        (spread("labelSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}"), "labelSelector.matchExpressions[0]"),
        (spread("matchLabelKeys: [app]"), "spec.topologySpreadConstraints[0].matchLabelKeys"),
        (spread("minDomains: 0"), "spec.topologySpreadConstraints[0].minDomains"),
        (spread("nodeTaintsPolicy: Perhaps"), "spec.topologySpreadConstraints[0].nodeTaintsPolicy"),
        ("topologySpreadConstraints: [{maxSkew: 0, topologyKey: a, whenUnsatisfiable: DoNotSchedule}]".to_owned(), "maxSkew"),
        ("topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: Never}]".to_owned(), "whenUnsatisfiable"),
        (near("{topologyKey: '', labelSelector: {}}"), "[0].topologyKey"),
        (
            near("{topologyKey: a, namespaceSelector: {matchExpressions: [{key: a, operator: Is}]}}"),
            "namespaceSelector.matchExpressions[0]",
        ),
        (near("{topologyKey: a, mismatchLabelKeys: [app]}"), "[0].mismatchLabelKeys"),
        (
            "affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 0, podAffinityTerm: {topologyKey: a}}]}}"
                .to_owned(),
            "[0].weight",
        ),
    ];
    for (yaml, field) in table {
        let unclear = read(&yaml, &mut Shapes::default()).expect_err(&yaml);
        assert!(unclear.field.ends_with(field), "{unclear} for {yaml}");
    }
}

#[test]
fn ports_of_the_node_are_those_of_containers_and_sidecars() {
    let table = [
        ("containers: [{name: a, ports: [{containerPort: 80}]}]", vec![]),
        ("containers: [{name: a, ports: [{containerPort: 80, hostPort: 8080}]}]", vec!["8080/TCP"]),
        ("containers: [{name: a, ports: [{containerPort: 80, hostPort: 80, protocol: UDP, hostIP: 10.0.0.1}]}]", vec!["10.0.0.1:80/UDP"]),
        (
            "containers: [{name: a, ports: [{containerPort: 2, hostPort: 2, hostIP: 0.0.0.0}, {containerPort: 1, hostPort: 1, hostIP: '::'}]}]",
            vec!["1/TCP", "2/TCP"],
        ),
        (
            "hostNetwork: true\ncontainers: [{name: a, ports: [{containerPort: 80}]}, {name: b, ports: [{containerPort: 80}]}]",
            vec!["80/TCP"],
        ),
        (
            "initContainers: [{name: i, ports: [{containerPort: 1, hostPort: 1}]}, {name: s, restartPolicy: Always, ports: [{containerPort: 2, hostPort: 2}]}]\ncontainers: [{name: a}]",
            vec!["2/TCP"],
        ),
    ];
    for (yaml, ports) in table {
        let spec: core::PodSpec = serde_saphyr::from_str(yaml).expect("a pod specification");
        let shape = shape(&spec, &own(), &mut Shapes::default()).expect("a shape");
        assert_eq!(shape.ports.iter().map(ToString::to_string).collect::<Vec<_>>(), ports, "{yaml}");
    }
}

#[test]
fn volumes_are_those_with_a_claim() {
    let volumes = "volumes: [{name: a, persistentVolumeClaim: {claimName: c}}, {name: b, persistentVolumeClaim: {claimName: c}}, {name: d, ephemeral: {volumeClaimTemplate: {spec: {storageClassName: fast, resources: {}}}}}, {name: e, ephemeral: {volumeClaimTemplate: {spec: {resources: {}}}}}, {name: f, emptyDir: {}}, {name: g, csi: {driver: x}}]";
    let template = read(volumes, &mut Shapes::default()).expect("a shape");
    let told = |shape: &Shape| {
        let one = |used: &springtide_core::nodes::storage::VolumeUse| format!("{} {:?}", used.claim, used.ephemeral);
        shape.volumes.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(told(&template), [r#"shop/(new)-d Some(Some("fast"))"#, "shop/(new)-e Some(None)", "shop/c None"]);
    let yaml = format!("metadata: {{name: p, namespace: shop}}\nspec:\n  containers: [{{name: a}}]\n  {volumes}");
    let mut shapes = Shapes::default();
    let (_, typed) = pod(&serde_saphyr::from_str(&yaml).expect("a pod"), &mut shapes).expect("a pod that can be understood");
    assert_eq!(told(shapes.get(typed.shape)), ["shop/c None", r#"shop/p-d Some(Some("fast"))"#, "shop/p-e Some(None)"]);
}

#[test]
fn a_daemon_pod_keeps_others_away_and_is_asked_nothing_else() {
    let yaml = "metadata: {name: p, namespace: shop, labels: {app: web}, ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: d, uid: u, controller: true}]}
spec:
  nodeName: n
  nodeSelector: {disk: ssd}
  containers: [{name: a, ports: [{containerPort: 80, hostPort: 80}]}]
  volumes: [{name: a, persistentVolumeClaim: {claimName: c}}]
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {}}, {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}]
  affinity:
    podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: host, labelSelector: {}}]}
    podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: host, labelSelector: {}}]}";
    let mut shapes = Shapes::default();
    let (_, typed) = pod(&serde_saphyr::from_str(yaml).expect("a pod"), &mut shapes).expect("a pod that can be understood");
    let shape = shapes.get(typed.shape);
    assert!(shape.spreads.is_empty() && shape.near.is_empty() && shape.preferences.is_empty() && shape.volumes.is_empty());
    assert!(shape.may_run_on(&Labels::new(), []) && shape.ports.len() == 1 && shape.apart.len() == 1);
    assert!(shape.selected_by.contains(shape.apart.first().expect("a term").selector));
}
