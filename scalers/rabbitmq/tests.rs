//! What a RabbitMQ trigger accepts, as tables, and what it reads from a management interface in the same process.

use std::collections::BTreeMap;

use springtide_core::reading::{Activity, Sample};

use super::*;
use crate::broker::Moment;
use crate::fake::{Fake, MOMENT};
use crate::trial::{self, Row, read_all};
use crate::{Error, Problem, ResolvedEnv, Trigger};

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn secrets(pairs: &[(&str, &str)]) -> ResolvedEnv {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), Secret::from(*text))).collect()
}

/// The environment of the target's container.
fn env() -> ResolvedEnv {
    secrets(&[("HOST", "amqp://user:s3cret@somehost.com:5236/vhost"), ("USER", "user"), ("PASSWORD", "Pass")])
}

fn parse(metadata: &str, auth: &str) -> Result<Trigger, Vec<Problem>> {
    trial::trigger("rabbitmq", metadata, auth, &env())
}

const ROWS: &[Row] = &[
    ("", "", &["queueName", "host"]),
    ("queueName=q hostFromEnv=HOST queueLength=10", "", &[]),
    ("queueName=q hostFromEnv=HOST queueLength=AA", "", &["queueLength"]),
    ("queueName=q queueLength=AA", "", &["host", "queueLength"]),
    ("queueLength=10 hostFromEnv=HOST", "", &["queueName"]),
    ("queueName=q hostFromEnv=UNSET", "", &["host"]),
    ("queueName=q", "host=amqp://there", &[]),
    ("queueName=q hostFromEnv=HOST", "protocol=http", &[]),
    ("queueName=q hostFromEnv=HOST protocol=stomp", "", &["protocol"]),
    ("queueName=q host=plain protocol=http", "", &[]),
    ("queueName=q host=plain", "", &["host"]),
    ("queueName=q host=something://", "", &["host"]),
    ("queueName=space/name vhostName=v hostFromEnv=HOST", "", &[]),
    ("queueName=q vhostName= hostFromEnv=HOST", "", &[]),
    ("queueName=q host=http://", "", &[]),
    ("queueName=q host=https://", "", &[]),
    // The target under its three names.
    ("queueName=q host=https:// queueLength=10 mode=QueueLength", "", &["queueLength"]),
    ("queueName=q host=https:// queueLength=10 value=20", "", &["queueLength"]),
    ("queueName=q host=https:// queueLength=10 mode=QueueLength value=20", "", &["queueLength"]),
    ("queueName=q host=https:// mode=QueueLength", "", &["value"]),
    ("queueName=q host=https:// value=20", "", &["mode"]),
    ("queueName=q host=https:// mode=QueueLength value=20", "", &[]),
    ("queueName=q host=https:// mode=QueueLength value=0", "", &["value"]),
    ("queueName=q host=https:// mode=QueueLength value=-3", "", &["value"]),
    ("queueName=q host=https:// mode=Feelings value=20", "", &["mode"]),
    ("queueName=q host=https:// mode=QueueLength value=lots", "", &["value"]),
    ("queueName=q hostFromEnv=HOST queueLength=20 activationValue=10", "", &[]),
    ("queueName=q hostFromEnv=HOST queueLength=20 activationValue=AA", "", &["activationValue"]),
    // What AMQP cannot do.
    ("queueName=q host=amqps:// mode=QueueLength value=20", "", &[]),
    ("queueName=q host=amqps:// mode=MessageRate value=20", "", &["mode"]),
    ("queueName=q host=amqp:// mode=DeliverGetRate value=20", "", &["mode"]),
    ("queueName=q host=amqp:// mode=PublishedToDeliveredRatio value=1", "", &["mode"]),
    ("queueName=q host=amqp:// mode=ExpectedQueueConsumptionTime value=1", "", &["mode"]),
    ("queueName=q host=http:// mode=MessageRate value=20", "", &[]),
    ("queueName=q host=https:// mode=DeliverGetRate value=20", "", &[]),
    ("queueName=q host=amqps:// useRegex=true", "", &["useRegex"]),
    ("queueName=q host=http:// useRegex=true", "", &[]),
    ("queueName=q host=amqp:// excludeUnacknowledged=true", "", &["excludeUnacknowledged"]),
    ("queueName=q host=amqp:// useRegex=1 excludeUnacknowledged=t", "", &["useRegex", "excludeUnacknowledged"]),
    ("queueName=q host=http:// useRegex=true excludeUnacknowledged=true", "", &[]),
    // Several at once, across fields that fail by themselves.
    ("host=amqp:// useRegex=true pageSize=a", "username=u", &["queueName", "pageSize", "useRegex", "password"]),
    ("queueName=q host=http:// timeout=1000", "", &[]),
    ("queueName=q host=http:// timeout=1.5s", "", &[]),
    ("queueName=q host=http:// timeout=-10", "", &["timeout"]),
    ("queueName=q host=http:// timeout=error", "", &["timeout"]),
    ("queueName=q host=amqp:// mode=QueueLength value=20 timeout=10", "", &["timeout"]),
    ("queueName=q host=http:// useRegex=true pageSize=100", "", &[]),
    ("queueName=q host=http:// useRegex=true pageSize=-1", "", &["pageSize"]),
    ("queueName=q host=http:// useRegex=true pageSize=0", "", &["pageSize"]),
    ("queueName=q host=http:// useRegex=true operation=median", "", &["operation"]),
    ("queueName=q host=https:// unsafeSsl=true", "", &[]),
    ("queueName=q host=https:// unsafeSsl=random", "", &["unsafeSsl"]),
    // Who we are.
    ("queueName=q hostFromEnv=HOST", "tls=enable ca=caaa cert=ceert key=keey", &[]),
    ("queueName=q hostFromEnv=HOST", "tls=enable cert=ceert key=keey keyPassword=pw", &[]),
    ("queueName=q hostFromEnv=HOST", "tls=enable ca=caaa", &[]),
    ("queueName=q hostFromEnv=HOST", "tls=enable ca=caaa key=keey", &["cert"]),
    ("queueName=q hostFromEnv=HOST", "tls=enable ca=caaa cert=ceert", &["key"]),
    ("queueName=q hostFromEnv=HOST", "tls=yes ca=caaa cert=ceert key=keey", &["tls"]),
    ("queueName=q hostFromEnv=HOST", "username=user password=PASSWORD", &[]),
    ("queueName=q hostFromEnv=HOST", "username=user", &["password"]),
    ("queueName=q hostFromEnv=HOST", "password=PASSWORD", &["username"]),
    ("queueName=q hostFromEnv=HOST", "vhostName=v", &[]),
    ("queueName=q hostFromEnv=HOST usernameFromEnv=USER passwordFromEnv=PASSWORD", "", &[]),
    ("queueName=q hostFromEnv=HOST usernameFromEnv=USER", "", &["password"]),
    ("queueName=q hostFromEnv=HOST passwordFromEnv=PASSWORD", "", &["username"]),
    ("queueName=q hostFromEnv=HOST username=user password=never-here", "", &[]),
    ("queueName=q hostFromEnv=HOST protocol=http", "workloadIdentityResource=r", &[]),
    ("queueName=q hostFromEnv=HOST protocol=amqp", "workloadIdentityResource=r", &["workloadIdentityResource"]),
    ("queueName=q host=http://h", "oauthTokenURI=https://o/t clientID=c clientSecret=s", &[]),
    ("queueName=q host=http://h", "oauthTokenURI=https://o/t clientID=c clientSecret=s scopes=a,b endpointParams=x=1&y=2", &[]),
    ("queueName=q host=https://h", "oauthTokenURI=https://o/t clientID=c clientSecret=s tls=enable ca=caaa", &[]),
    ("queueName=q host=amqp://h", "oauthTokenURI=https://o/t clientID=c clientSecret=s", &["oauthTokenURI"]),
    ("queueName=q host=http://h", "oauthTokenURI=https://o/t clientID=c clientSecret=s username=u password=p", &["oauthTokenURI"]),
    ("queueName=q host=http://h", "oauthTokenURI=https://o/t clientID=c clientSecret=s workloadIdentityResource=r", &["oauthTokenURI"]),
    ("queueName=q host=http://h", "clientID=c clientSecret=s", &["oauthTokenURI"]),
    ("queueName=q host=http://h", "oauthTokenURI=https://o/t clientSecret=s", &["clientID"]),
    ("queueName=q host=http://h", "oauthTokenURI=https://o/t clientID=c", &["clientSecret"]),
];

#[test]
fn each_row_is_accepted_or_names_its_problems() {
    trial::judge("rabbitmq", ROWS, &env());
}

#[test]
fn targets_names_and_activation_come_out_typed() {
    let cases = [
        ("queueName=q hostFromEnv=HOST", 20_000, 0, "rabbitmq-q"),
        ("queueName=q hostFromEnv=HOST queueLength=0", 20_000, 0, "rabbitmq-q"),
        ("queueName=space/name hostFromEnv=HOST queueLength=7 activationValue=2.5", 7000, 2500, "rabbitmq-space-2Fname"),
        ("queueName=a.b host=http://h mode=MessageRate value=0.25 activationValue=-1", 250, -1000, "rabbitmq-a-b"),
    ];
    for (metadata, target, activation, name) in cases {
        let trigger = parse(metadata, "").expect(metadata);
        assert_eq!(
            (trigger.target, trigger.activation, trigger.metric_name.as_str()),
            (MetricMilli(target), MetricMilli(activation), name)
        );
        assert_eq!(trigger.notices.len(), usize::from(metadata.contains("queueLength")), "{metadata}");
    }
}

#[test]
fn one_broker_and_login_is_one_connection() {
    let connection = |metadata: &str, auth: &str| parse(metadata, auth).expect(metadata).connection;
    let http = connection("queueName=a host=http://u:p@h:15672/v1", "");
    assert_eq!(http, connection("queueName=b host=http://u:p@h:15672/v2 mode=MessageRate value=1 useRegex=true", ""));
    assert_ne!(http, connection("queueName=a host=http://u:other@h:15672/v1", ""));
    assert_eq!(http, connection("queueName=a host=http://h:15672/v1", "username=u password=p"));
    let amqp = connection("queueName=a host=amqp://u:p@h/v1", "");
    assert_eq!(amqp, connection("queueName=b host=amqp://u:p@h/ignored vhostName=v1", ""));
    assert_ne!(amqp, connection("queueName=a host=amqp://u:p@h/v2", ""));
    assert_eq!(format!("{amqp:?}"), "Endpoint(\"RabbitMQ at amqp://h (virtual host v1)\")");
}

fn queue(name: &str, messages: u64) -> String {
    format!(
        r#"{{"name":"{name}","messages":{messages},"messages_ready":{},"messages_unacknowledged":1,"message_stats":{{"publish":9,"ack":4,"get_no_ack":1,
           "publish_details":{{"rate":1.5}},"deliver_get_details":{{"rate":0.5}}}}}}"#,
        messages - 1
    )
}

async fn read_one(metadata: &str, auth: &str) -> Result<Sample, Error> {
    read_all(&[parse(metadata, auth).expect(metadata)], MOMENT).await?.remove(0)
}

#[tokio::test]
async fn each_mode_reads_its_number() {
    let fake = Fake::default();
    fake.answer("/pre/api/queues/v/q?", 200, queue("q", 4));
    let host = fake.serve_user().await;
    let cases = [
        ("", 4000, Activity::Compare),
        ("excludeUnacknowledged=true", 3000, Activity::Compare),
        ("mode=MessageRate value=1", 1500, Activity::Known(true)),
        ("mode=DeliverGetRate value=1", 500, Activity::Compare),
        ("mode=PublishedToDeliveredRatio value=1", 3000, Activity::Compare),
        ("mode=ExpectedQueueConsumptionTime value=1", 10_000, Activity::Compare),
    ];
    for (more, metric, activity) in cases {
        let sample = read_one(&format!("queueName=q host=http://{host}/pre/v {more}"), "").await.expect(more);
        assert_eq!((sample.metric, sample.activity), (MetricMilli(metric), activity), "{more}");
        assert_eq!((sample.ready, sample.in_flight, sample.arrived, sample.done), (Some(3), Some(1), Some(9), Some(5)));
    }
    assert!(fake.headers("authorization").iter().all(|login| login == "Basic dTpzM2NyZXQ="), "{:?}", fake.headers("authorization"));
}

#[tokio::test]
async fn names_stand_encoded_in_paths() {
    let cases = [
        ("queueName=q host=http://H", "/api/queues/%2F/q?"),
        ("queueName=q host=http://H/", "/api/queues/%2F/q?"),
        ("queueName=q host=http://H/%2F", "/api/queues/%2F/q?"),
        ("queueName=a/b host=http://H/v", "/api/queues/v/a%2Fb?"),
        ("queueName=q host=http://H/v vhostName=/", "/api/queues/%2F/q?"),
        ("queueName=q host=http://H/one/v vhostName=x/y", "/one/api/queues/x%2Fy/q?"),
        (
            "queueName=^q.* host=http://H/one/ useRegex=true pageSize=7",
            "/one/api/queues/%2F?page=1&page_size=7&name=%5Eq.*&use_regex=true&",
        ),
    ];
    for (metadata, path) in cases {
        let fake = Fake::default();
        fake.answer("/", 200, r#"{"messages":1,"items":[],"page_count":1}"#);
        let metadata = metadata.replace("//H", &format!("//{}", fake.serve_user().await));
        read_one(&metadata, "").await.expect(&metadata);
        assert!(fake.asked()[0].starts_with(path), "{metadata}: {:?}", fake.asked());
    }
}

#[tokio::test]
async fn a_pattern_makes_one_number_of_many_queues() {
    let fake = Fake::default();
    let list = |pages: u32| format!(r#"{{"page_count":{pages},"items":[{},{},{}]}}"#, queue("a", 4), queue("b", 3), queue("c", 1));
    fake.answer("/api/queues/v?", 200, list(1));
    fake.answer("/api/queues/many?", 200, list(2));
    fake.answer("/api/queues/none?", 200, r#"{"page_count":0,"items":[]}"#);
    let host = fake.serve_user().await;
    for (operation, mode, metric) in [
        ("sum", "QueueLength", 8000),
        ("avg", "QueueLength", 2000),
        ("max", "QueueLength", 4000),
        ("sum", "MessageRate", 4500),
        ("avg", "MessageRate", 1500),
        ("max", "DeliverGetRate", 500),
        ("sum", "PublishedToDeliveredRatio", 3000),
        ("max", "ExpectedQueueConsumptionTime", 10_000),
    ] {
        let metadata = format!("queueName=.* useRegex=true host=http://{host}/v operation={operation} mode={mode} value=1");
        let sample = read_one(&metadata, "").await.expect(&metadata);
        assert_eq!((sample.metric, sample.in_flight), (MetricMilli(metric), Some(3)), "{operation} of {mode}");
    }
    let empty = read_one(&format!("queueName=.* useRegex=true host=http://{host}/none"), "").await.expect("no queue is no error");
    assert_eq!((empty.metric, empty.in_flight), (MetricMilli::ZERO, Some(0)));
    let error = read_one(&format!("queueName=.* useRegex=true host=http://{host}/many"), "").await.expect_err("too many");
    assert!(error.to_string().contains("matches more queues than can be recovered at once"), "{error}");
}

#[tokio::test]
async fn many_queues_of_a_virtual_host_are_one_listing() {
    let fake = Fake::default();
    let items: Vec<String> = (0..9).map(|n| queue(&format!("q{n}"), n + 1)).collect();
    fake.answer("/api/queues/v?page=1&page_size=500&", 200, format!(r#"{{"page_count":1,"items":[{}]}}"#, items.join(",")));
    let host = fake.serve_user().await;
    let trigger = |name: &str| parse(&format!("queueName={name} host=http://{host}/v"), "").expect("fine");
    let triggers: Vec<Trigger> = (0..9).map(|n| trigger(&format!("q{n}"))).chain([trigger("gone")]).collect();
    let samples = read_all(&triggers, MOMENT).await.expect("it answers");
    for (n, sample) in samples.iter().take(9).enumerate() {
        assert_eq!(sample.as_ref().expect("listed").metric, MetricMilli::from_count(n as u64 + 1));
    }
    assert!(matches!(samples[9], Err(Error::Find { .. })));
    // The listing, and the one queue that it lacked.
    assert_eq!(fake.asked().len(), 2, "{:?}", fake.asked());

    let few: Vec<Trigger> = (0..3).map(|n| trigger(&format!("q{n}"))).collect();
    let answers = read_all(&few, MOMENT).await.expect("it answers");
    assert!(answers.iter().all(Result::is_err), "asked one by one, which this broker does not know");
    assert_eq!(fake.asked().len(), 5);
}

#[tokio::test]
async fn ten_thousand_queues_are_twenty_requests() {
    const QUEUES: u64 = 10_000;
    let fake = Fake::default();
    for page in 1..=20 {
        let items: Vec<String> = (500 * (page - 1)..500 * page).map(|n| queue(&format!("q{n}"), n + 1)).collect();
        let start = format!("/api/queues/v?page={page}&page_size=500&");
        fake.answer(&start, 200, format!(r#"{{"page_count":20,"items":[{}]}}"#, items.join(",")));
    }
    let host = fake.serve_user().await;
    let trigger = |n: u64| parse(&format!("queueName=q{n} host=http://{host}/v"), "").expect("fine");
    let triggers: Vec<Trigger> = (0..QUEUES).map(trigger).collect();
    // As much time as the debug build may need on a busy machine.
    let moment = Moment { patience: std::time::Duration::from_secs(60), ..MOMENT };
    let samples = read_all(&triggers, moment).await.expect("it answers");
    for (n, sample) in (0..QUEUES).zip(samples) {
        assert_eq!(sample.expect("listed").metric, MetricMilli::from_count(n + 1));
    }
    assert_eq!(fake.asked().len(), 20);
}

#[tokio::test]
async fn errors_say_what_and_where_without_secrets() {
    let fake = Fake::default();
    fake.answer("/api/queues/denied/", 401, r#"{"error":"not_authorised","reason":"Login failed"}"#);
    fake.answer("/api/queues/broken/", 503, "no quorum");
    fake.answer("/api/queues/odd/", 200, "<html>");
    fake.answer("/api/queues/new/", 200, r#"{"name":"q"}"#);
    let host = fake.serve_user().await;
    let cases = [
        ("denied", "refuses the login (401 Unauthorized: {\"error\":\"not_authorised\""),
        ("broken", "error inspecting RabbitMQ's management interface at http://127.0.0.1:"),
        ("odd", "cannot be read"),
        ("new", "no numbers yet"),
        ("gone", "queue \"q\" of virtual host \"gone\" does not exist"),
    ];
    for (vhost, expected) in cases {
        let text = read_one(&format!("queueName=q host=http://{host}/{vhost}"), "").await.expect_err(vhost).chain();
        assert!(text.contains(expected) && !text.contains("s3cret"), "{text}");
    }
    for (metadata, expected) in
        [("host=amqp://u:s3cret@h protocol=http", "no http:// or https:// URL"), ("host=http://u:s3cret@h protocol=amqp", "no amqp://")]
    {
        let text = read_one(&format!("queueName=q {metadata}"), "").await.expect_err(metadata).chain();
        assert!(text.contains(expected) && !text.contains("s3cret"), "{text}");
    }
    for (auth, part) in [("tls=enable ca=s3cret", "ca is not usable"), ("tls=enable cert=s3cret key=s3cret", "cert is not usable")] {
        for scheme in ["https", "amqps"] {
            let text = read_one(&format!("queueName=q host={scheme}://{host}"), auth).await.expect_err(auth).chain();
            assert!(text.contains(part) && !text.contains("s3cret"), "{text}");
        }
    }
}

#[tokio::test]
async fn tokens_are_fetched_once_and_shown() {
    let fake = Fake::default();
    fake.answer("/token", 200, r#"{"access_token":"t0ken","expires_in":3600}"#);
    fake.answer("/api/queues/", 200, queue("q", 4));
    let host = fake.serve().await;
    let auth = format!("oauthTokenURI=http://{host}/token clientID=c clientSecret=s scopes=a,b");
    let trigger = parse(&format!("queueName=q host=http://{host}"), &auth).expect("fine");
    let mut open = trigger.connection.open().await.expect("opens");
    for _ in 0..2 {
        assert!(open.read(std::slice::from_ref(&trigger.query), MOMENT).await.expect("answers")[0].is_ok());
    }
    assert_eq!(fake.headers("authorization"), ["Basic Yzpz", "Bearer t0ken", "Bearer t0ken"]);
    let nowhere = parse(&format!("queueName=q host=http://{host}"), &auth.replace("/token", "/nowhere")).expect("fine");
    let text = read_all(&[nowhere], MOMENT).await.expect_err("no token").chain();
    assert!(text.contains(&format!("no OAuth2 token from http://{host}/nowhere: it answers 404")), "{text}");
}

#[test]
fn the_example_metadata_leaves_no_unknown_key() {
    assert!(KIND.unknown(&texts(KIND.example)).is_empty());
    let unknown = KIND.unknown(&texts(&[("queuename", "q"), ("hostFromEnv", "HOST"), ("queueNameFromEnv", "Q"), ("password", "p")]));
    let fields: Vec<&str> = unknown.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["password", "queueNameFromEnv", "queuename"]);
}
