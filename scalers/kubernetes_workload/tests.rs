//! What a kubernetes-workload trigger accepts, and what it asks of a cluster.

use std::sync::Arc;

use springtide_core::name::Key;
use springtide_core::reading::Activity;
use springtide_core::units::MetricMilli;

use crate::cluster::fake::{Pod, View};
use crate::cluster::{ClusterView, Unit};
use crate::fake::MOMENT;
use crate::trial::{self, Row, read_all_in};
use crate::{AuthParams, ResolvedEnv, Trigger, parse};

const ROWS: &[Row] = &[
    ("", "", &["podSelector", "value"]),
    ("podSelector=app=demo value=1", "", &[]),
    ("podSelector=app=demo,tier!=web,!old,size>3 value=0.5 activationValue=2 groupByNode=true", "", &[]),
    ("podSelector=app=demo,tier,  value=1", "", &["podSelector"]),
    ("podSelector=app=demo=x value=1", "", &["podSelector"]),
    ("podSelector=app=demo value=0", "", &["value"]),
    ("podSelector=app=demo value=-1", "", &["value"]),
    ("podSelector=app=demo value=a activationValue=b groupByNode=c", "", &["value", "activationValue", "groupByNode"]),
];

#[test]
fn each_row_is_accepted_or_names_its_problems() {
    trial::judge("kubernetes-workload", ROWS, &ResolvedEnv::new());
}

fn of(namespace: &str, metadata: &[(&str, &str)]) -> Trigger {
    let metadata = metadata.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
    parse(&Key::new(namespace, "object"), "kubernetes-workload", &metadata, &AuthParams::new(), &ResolvedEnv::new()).expect("fine")
}

#[tokio::test]
async fn all_questions_are_one_about_the_objects_own_namespace() {
    let pod = |labels: &str, node: &str, phase: &str| Pod::new("shop", labels, node, phase);
    let view = Arc::new(View::of([
        pod("app=web", "a", "Running"),
        pod("app=web tier=front", "a", "Running"),
        pod("app=web", "", "Pending"),
        pod("app=web", "b", "Succeeded"),
        pod("app=api", "c", "Unknown"),
    ]));
    let triggers = [
        of("shop", &[("podSelector", "app=web"), ("value", "1"), ("activationValue", "3")]),
        of("shop", &[("podSelector", "app=web"), ("value", "1"), ("groupByNode", "true")]),
        of("shop", &[("podSelector", "app in (web, api)"), ("value", "2")]),
        of("other", &[("podSelector", "app=web"), ("value", "1")]),
    ];
    assert_eq!(triggers[0].metric_name, "workload-shop");
    assert!(triggers.iter().all(|trigger| trigger.connection == triggers[0].connection), "the cluster is one broker");
    let cluster: Arc<dyn ClusterView> = Arc::<View>::clone(&view);
    let samples = read_all_in(Some(&cluster), &triggers, MOMENT).await.expect("counted");
    let metrics: Vec<MetricMilli> = samples.iter().map(|sample| sample.as_ref().expect("counted").metric).collect();
    assert_eq!(metrics, [3, 1, 4, 0].map(MetricMilli::from_count));
    assert_eq!(samples[0].as_ref().expect("counted").activity, Activity::Compare);
    let asked = view.asked();
    assert_eq!((asked.len(), asked[0].len(), asked[0][1].unit), (1, 4, Unit::Nodes));
}

#[tokio::test]
async fn without_a_cluster_or_an_answer_there_is_no_number() {
    let trigger = of("shop", &[("podSelector", "app=web"), ("value", "1")]);
    let error = read_all_in(None, std::slice::from_ref(&trigger), MOMENT).await.expect_err("no cluster").to_string();
    assert!(error.contains("needs a cluster"), "{error}");
    let silent: Arc<dyn ClusterView> = Arc::new(View::failing("nobody counts"));
    let error = read_all_in(Some(&silent), &[trigger], MOMENT).await.expect_err("no count").chain();
    assert!(error.contains("the cluster's pods") && error.contains("nobody counts"), "{error}");
}
