//! What a Prometheus trigger accepts, as tables, and what it reads from a server in the same process.

use std::collections::BTreeMap;

use springtide_core::Timestamp;
use springtide_core::reading::{Activity, Reading, Sample};
use springtide_core::units::MetricMilli;
use tokio::sync::mpsc;

use super::*;
use crate::broker::Moment;
use crate::fake::{Fake, MOMENT};
use crate::trial::{self, Row, read_all};
use crate::{AuthParams, Error, Options, Poller, Problem, ResolvedEnv, Secret, Trigger, TriggerId};

fn parse(metadata: &str, auth: &str) -> Result<Trigger, Vec<Problem>> {
    trial::trigger("prometheus", metadata, auth, &ResolvedEnv::new())
}

const ROWS: &[Row] = &[
    ("", "", &["query", "serverAddress", "threshold"]),
    ("serverAddress=http://h:9090 threshold=100 query=up", "", &[]),
    ("serverAddress=http://h:9090 threshold=100.5 activationThreshold=5.5 query=up namespace=n", "", &[]),
    ("serverAddress=http://h:9090 threshold=one query=up", "", &["threshold"]),
    ("serverAddress=http://h:9090 threshold=100 query=up activationThreshold=one", "", &["activationThreshold"]),
    ("serverAddress=http://h:9090 query=up", "", &["threshold"]),
    ("serverAddress=http://h:9090 threshold=100", "", &["query"]),
    ("threshold=100 query=up", "", &["serverAddress"]),
    ("serverAddress=http://<host>:9090 threshold=100 query=up", "", &["serverAddress"]),
    ("serverAddress=h:9090 threshold=100 query=up", "", &["serverAddress"]),
    ("serverAddress=http://h:9090/?a=b threshold=100 query=up", "", &["serverAddress"]),
    ("serverAddress=http://h threshold=1 query=up customHeaders=X-A=b,X-C=d queryParameters=a=b,c=d", "", &[]),
    ("serverAddress=http://h threshold=1 query=up customHeaders=s3cret", "", &["customHeaders"]),
    ("serverAddress=http://h threshold=1 query=up queryParameters=a", "", &["queryParameters"]),
    ("serverAddress=http://h threshold=1 query=up ignoreNullValues=false unsafeSsl=true timeout=1000", "", &[]),
    (
        "serverAddress=http://h threshold=1 query=up ignoreNullValues=x unsafeSsl=x timeout=x",
        "",
        &["ignoreNullValues", "timeout", "unsafeSsl"],
    ),
    ("serverAddress=http://h threshold=1 query=up cortexOrgID=me", "", &["cortexOrgID"]),
    ("serverAddress=http://h threshold=1 query=up awsRegion=eu-central-1 identityOwner=operator", "", &["awsRegion", "identityOwner"]),
    ("serverAddress=http://h threshold=1 query=up", "awsRegion=eu-central-1", &["awsRegion"]),
    ("serverAddress=http://h threshold=1 query=up authModes=tls,basic", "ca=s3cret cert=s3cret key=s3cret username=u password=s3cret", &[]),
    ("serverAddress=http://h threshold=1 query=up authModes=tls,basic", "username=u", &["cert", "key"]),
    ("serverAddress=http://h threshold=1 query=up authModes=bearer", "bearerToken=s3cret", &[]),
    ("serverAddress=http://h threshold=1 query=up authModes=bearer", "", &["bearerToken"]),
    ("serverAddress=http://h threshold=1 query=up authModes=custom", "customAuthHeader=X-A customAuthValue=s3cret", &[]),
    ("serverAddress=http://h threshold=1 query=up authModes=custom", "customAuthHeader=X-A", &["customAuthValue"]),
    ("serverAddress=http://h threshold=1 query=up authModes=basic,bearer", "username=u bearerToken=s3cret", &["authModes"]),
];

#[test]
fn each_row_is_accepted_or_names_its_problems() {
    trial::judge("prometheus", ROWS, &ResolvedEnv::new());
}

#[test]
fn names_targets_and_connections_come_out_typed() {
    let trigger = parse("serverAddress=http://h:9090/ threshold=100.5 activationThreshold=5.5 query=up", "").expect("fine");
    assert_eq!((trigger.target, trigger.activation), (MetricMilli(100_500), MetricMilli(5500)));
    assert_eq!(trigger.metric_name, "prometheus");
    let other = parse("serverAddress=http://h:9090 threshold=1 query=down namespace=n", "").expect("fine");
    assert_eq!(trigger.connection, other.connection, "queries of one server");
    let tenant = parse("serverAddress=http://h:9090 threshold=1 query=up customHeaders=X-Scope-OrgID=t", "").expect("fine");
    assert_ne!(trigger.connection, tenant.connection, "another tenant is somebody else");
    assert_eq!(format!("{:?}", trigger.connection), "Endpoint(\"Prometheus at http://h:9090\")");
}

async fn read_one(metadata: &str, auth: &str) -> Result<Sample, Error> {
    read_all(&[parse(&format!("threshold=1 {metadata}"), auth).expect(metadata)], MOMENT).await?.remove(0)
}

/// An answer of the query interface.
fn success(kind: &str, result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#)
}

/// A vector of one series.
fn vector(number: &str) -> String {
    success("vector", &format!(r#"[{{"metric":{{"a":"b"}},"value":[1700000000.123,{number}]}}]"#))
}

#[tokio::test]
async fn each_answer_gives_its_number_or_says_why_not() {
    let fake = Fake::default();
    let host = fake.serve().await;
    // The answer; what is read where null values are ignored, and where they are not: a metric, or a part of the error.
    type Read = Result<i64, &'static str>;
    let rows: &[(u16, String, Read, Read)] = &[
        (200, vector("\"2.5\""), Ok(2500), Ok(2500)),
        (200, vector("\"0\""), Ok(0), Ok(0)),
        (200, vector("\"-3\""), Ok(0), Ok(0)),
        (200, vector("\"1e3\""), Ok(1_000_000), Ok(1_000_000)),
        (200, success("scalar", "[1700000000,\"7\"]"), Ok(7000), Ok(7000)),
        (200, success("vector", "[]"), Ok(0), Err("the result is empty")),
        (200, vector("null"), Ok(0), Err("null")),
        (200, vector("\"NaN\""), Ok(0), Err("NaN")),
        (200, vector("\"+Inf\""), Ok(0), Err("inf")),
        (200, vector("\"-Inf\""), Ok(0), Err("-inf")),
        (200, vector("\"many\""), Err("\"many\", which is no number"), Err("\"many\", which is no number")),
        (200, success("vector", r#"[{"value":[1,"1"]},{"value":[1,"2"]}]"#), Err("2 series (returned multiple elements)"), Err("2 series")),
        (200, success("vector", r#"[{"metric":{}}]"#), Err("without a value"), Err("without a value")),
        (200, success("vector", r#"[{"value":[]}]"#), Ok(0), Err("an empty value")),
        (200, success("vector", "[1]"), Err("without a value"), Err("without a value")),
        (200, success("vector", "[[]]"), Err("without a value"), Err("without a value")),
        (200, success("vector", r#"[{"value":[1]}]"#), Err("without a value"), Err("without a value")),
        (200, success("matrix", "[]"), Err("a result of type \"matrix\""), Err("a result of type \"matrix\"")),
        (200, success("string", "[1,\"7\"]"), Err("a result of type \"string\""), Err("a result of type \"string\"")),
        (200, r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#.to_owned(), Err("parse error"), Err("parse error")),
        (200, "{}".to_owned(), Err("this may be no Prometheus"), Err("this may be no Prometheus")),
        (200, "<html>".to_owned(), Err("cannot be read"), Err("cannot be read")),
        (200, String::new(), Err("cannot be read"), Err("cannot be read")),
        (400, r#"{"status":"error","error":"unexpected end of input"}"#.to_owned(), Err("400 Bad Request"), Err("unexpected end of input")),
        (401, "who?".to_owned(), Err("refuses the login (401"), Err("refuses the login (401")),
        (403, "you? s3cret?".to_owned(), Err("refuses the login (403 Forbidden: you? ***?)"), Err("refuses the login (403")),
        (404, String::new(), Err("does not exist"), Err("does not exist")),
        (503, "starting".to_owned(), Err("503 Service Unavailable: starting"), Err("503")),
    ];
    for (status, body, ignoring, minding) in rows {
        fake.answer("/base/api/v1/query?", *status, body);
        for (ignore, expected) in [("", ignoring), ("ignoreNullValues=false", minding)] {
            let metadata = format!("serverAddress=http://{host}/base/ query=up authModes=bearer {ignore}");
            match (read_one(&metadata, "token=s3cret").await, expected) {
                (Ok(sample), Ok(metric)) => {
                    assert_eq!((sample.metric, sample.activity), (MetricMilli(*metric), Activity::Compare), "{body}");
                }
                (Err(error), Err(part)) => {
                    let text = error.chain();
                    assert!(text.contains(part) && text.contains(&host) && !text.contains("s3cret"), "{status} {body}: {text}");
                }
                (outcome, expected) => panic!("{status} {body}: {outcome:?} for {expected:?}"),
            }
        }
    }
}

#[tokio::test]
async fn requests_say_what_is_asked_and_who_asks() {
    let fake = Fake::default();
    fake.answer("/api/v1/query?", 200, vector("\"1\""));
    let host = fake.serve().await;
    let metadata: BTreeMap<String, String> = [
        ("serverAddress", format!("http://{host}")),
        ("threshold", "1".to_owned()),
        ("query", "sum(rate(x{a=\"b c\"}[2m])) + 1".to_owned()),
        ("namespace", "one/two".to_owned()),
        ("queryParameters", "dedup=true, max_source_resolution=1h".to_owned()),
        ("customHeaders", "X-Scope-OrgID=team-a,X-Other=x".to_owned()),
        ("authModes", "basic".to_owned()),
    ]
    .map(|(key, text)| (key.to_owned(), text))
    .into();
    let auth = AuthParams::from([("username", "u"), ("password", "s3cret")].map(|(key, text)| (key.to_owned(), Secret::from(text))));
    let trigger = crate::parse(&springtide_core::name::Key::new("default", "object"), "prometheus", &metadata, &auth, &ResolvedEnv::new())
        .expect("fine");
    let moment = Moment { now: "2026-03-02T12:34:56.789Z".parse().expect("a time"), ..MOMENT };
    let samples = read_all(&[trigger], moment).await.expect("it answers");
    assert_eq!(samples[0].as_ref().expect("a number").as_of, moment.now);
    let query = "query=sum%28rate%28x%7Ba%3D%22b+c%22%7D%5B2m%5D%29%29+%2B+1&time=2026-03-02T12%3A34%3A56Z&namespace=one%2Ftwo\
                 &dedup=true&max_source_resolution=1h";
    assert_eq!(fake.asked(), [format!("/api/v1/query?{query}")]);
    let shown: Vec<String> = ["authorization", "x-scope-orgid", "x-other"].iter().flat_map(|name| fake.headers(name)).collect();
    assert_eq!(shown, ["Basic dTpzM2NyZXQ=", "team-a", "x"]);
}

#[tokio::test]
async fn a_query_without_an_answer_leaves_the_others_theirs() {
    let fake = Fake::default();
    fake.answer("/api/v1/query?query=quick", 200, vector("\"3\""));
    fake.hang("/api/v1/query?query=slow");
    fake.answer("/api/v1/query?query=heavy", 503, "query timed out");
    let host = fake.serve().await;
    let trigger = |query: &str| parse(&format!("threshold=1 serverAddress=http://{host} query={query}"), "").expect("fine");
    let triggers = [trigger("slow"), trigger("heavy"), trigger("quick")];
    let answers = read_all(&triggers, Moment { patience: Duration::from_millis(500), ..MOMENT }).await.expect("the server is there");
    assert!(matches!(answers[0], Err(Error::Wait { .. })) && answers[1].is_err());
    assert_eq!(answers[2].as_ref().expect("a number").metric, MetricMilli(3000));
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_read_again_once_it_answers() {
    let fake = Fake::default();
    fake.hang("/");
    let host = fake.serve().await;
    let (tx, mut rx) = mpsc::channel(1);
    let poller = Poller::with_options(tx, Options { now: || Timestamp::UNIX_EPOCH, ..Options::default() });
    let trigger = parse(&format!("threshold=1 serverAddress=http://u:s3cret@{host} query=up timeout=50"), "").expect("fine");
    poller.set(TriggerId(1), trigger, Duration::from_millis(20));
    let first = rx.recv().await.expect("a reading").reading;
    let Reading::Failed { error, failures: 1 } = &first else { panic!("{first:?}") };
    assert!(error.contains("did not answer within 50 ms") && !error.contains("s3cret"), "{error}");
    fake.answer("/", 200, vector("\"4\""));
    loop {
        match rx.recv().await.expect("a reading").reading {
            Reading::Value(sample) => break assert_eq!(sample.metric, MetricMilli(4000)),
            reading => assert!(reading.last().is_none(), "a failed read is never a number: {reading:?}"),
        }
    }
}
