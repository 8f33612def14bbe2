//! What cpu and memory triggers accept, and that none of them is taken for one that is measured.

use std::collections::BTreeMap;

use springtide_core::name::Key;

use crate::fake::MOMENT;
use crate::trial::read_all;
use crate::{AuthParams, Problem, ResolvedEnv, Trigger, parse_as};

fn parse(kind: &str, metric_type: Option<&str>, metadata: &[(&str, &str)]) -> Result<Trigger, Vec<Problem>> {
    let metadata: BTreeMap<String, String> = metadata.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
    parse_as(&Key::new("default", "object"), kind, metric_type, &metadata, &AuthParams::new(), &ResolvedEnv::new())
}

#[test]
fn a_value_is_read_as_its_metric_type_has_it() {
    let (share, amount) = (Some("Utilization"), Some("AverageValue"));
    for (metric_type, text, target) in [
        (share, "60", Ok(60_000)),
        (share, "0", Err("value")),
        (share, "-5", Err("value")),
        (share, "60.5", Err("value")),
        (share, "500m", Err("value")),
        (share, "99999999999", Err("value")),
        (amount, "60", Ok(60_000)),
        (amount, "500m", Ok(500)),
        (amount, "1.5Gi", Ok(1_610_612_736_000)),
        (amount, "0", Err("value")),
        (amount, "-1", Err("value")),
        (amount, "lots", Err("value")),
        (None, "500m", Ok(500)),
        (Some("Value"), "60", Err("metricType")),
        (share, " ", Err("value")),
    ] {
        for kind in ["cpu", "memory"] {
            let read = parse(kind, metric_type, &[("value", text)]);
            let read = read.map(|trigger| trigger.target.0).map_err(|problems| problems[0].field.clone());
            assert_eq!(read, target.map_err(str::to_owned), "{kind} {metric_type:?} {text}");
        }
    }
}

#[test]
fn the_old_key_is_refused_with_the_new_one() {
    let problems = parse("cpu", Some("Utilization"), &[("value", "60"), ("type", "Utilization")]).expect_err("it is gone");
    assert!(problems.iter().any(|problem| problem.field == "type" && problem.remedy.contains("metricType")), "{problems:?}");
}

#[tokio::test]
async fn what_nobody_measures_is_refused_and_never_read_as_nothing() {
    let all = parse("memory", Some("AverageValue"), &[("value", "1Gi")]).expect("fine");
    let one = parse("memory", Some("AverageValue"), &[("value", "1Gi"), ("containerName", "web")]).expect("fine");
    assert_ne!(all.query, one.query);
    let problem = one.unmeasured().expect("it is not measured");
    assert!(problem.to_string().contains("type: \"memory\" is one of KEDA's and not measured"), "{problem}");
    let error = read_all(&[one], MOMENT).await.expect_err("nobody measures").to_string();
    assert!(error.contains("not measured by this version yet"), "{error}");
    let queue = crate::trial::trigger("kubernetes-workload", "podSelector=app=x value=1", "", &ResolvedEnv::new()).expect("fine");
    assert_eq!(queue.unmeasured(), None);
}
