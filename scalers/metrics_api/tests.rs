//! What a metrics-api trigger accepts, as tables, and what it reads from a server in the same process.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use springtide_core::Timestamp;
use springtide_core::reading::{Activity, Reading, Sample};
use springtide_core::units::MetricMilli;
use tokio::sync::mpsc;

use super::*;
use crate::broker::Moment;
use crate::cluster::fake::View;
use crate::cluster::{Backend, ClusterView};
use crate::fake::{Fake, MOMENT};
use crate::trial::{self, Row, read_all};
use crate::{Error, Options, Poller, Problem, ResolvedEnv, Trigger, TriggerId};

fn parse(metadata: &str, auth: &str) -> Result<Trigger, Vec<Problem>> {
    trial::trigger("metrics-api", metadata, auth, &ResolvedEnv::new())
}

const ROWS: &[Row] = &[
    ("", "", &["targetValue", "url", "valueLocation"]),
    ("url=http://h:1230/api/v1/ valueLocation=metric targetValue=42", "", &[]),
    ("url=http://h:1230/api/v1/ valueLocation=metric targetValue=4.5 activationTargetValue=0.5", "", &[]),
    ("url=http://h:1230/api/v1/ valueLocation=metric targetValue=aa", "", &["targetValue"]),
    ("url=http://h:1230/api/v1/ valueLocation=metric targetValue=1 activationTargetValue=aa", "", &["activationTargetValue"]),
    ("url=http://h:1230/api/v1/ targetValue=1", "", &["valueLocation"]),
    ("valueLocation=metric targetValue=1", "", &["url"]),
    ("url=http://h:1230/api/v1/ valueLocation=metric", "", &["targetValue"]),
    ("url=h:1230/api/v1/ valueLocation=metric targetValue=1", "", &["url"]),
    ("url=ftp://h/ valueLocation=metric targetValue=1", "", &["url"]),
    ("url=http://h/ valueLocation=a..b targetValue=1", "", &["valueLocation"]),
    ("url=http://h/ valueLocation=a..b targetValue=1 format=prometheus", "", &["valueLocation"]),
    ("url=http://h/ valueLocation=metric{label=\"x\"} targetValue=1 format=prometheus", "", &[]),
    ("url=http://h/ valueLocation=metric{label=~\"x\"} targetValue=1 format=prometheus", "", &["valueLocation"]),
    ("url=http://h/ valueLocation=a.b targetValue=1 format=xml", "", &[]),
    ("url=http://h/ valueLocation=a.b targetValue=1 format=yaml", "", &[]),
    ("url=http://h/ valueLocation=a.b targetValue=1 format=csv", "", &["format"]),
    ("url=http://h/ valueLocation=a.b targetValue=1 timeout=5s unsafeSsl=true", "", &[]),
    ("url=http://h/ valueLocation=a.b targetValue=1 timeout=-1 unsafeSsl=yes", "", &["timeout", "unsafeSsl"]),
    ("url=http://h.n/ valueLocation=a targetValue=1 aggregateFromKubeServiceEndpoints=true", "", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 aggregateFromKubeServiceEndpoints=true", "", &["url"]),
    ("url=http://10.1.2.3/ valueLocation=a targetValue=1 aggregateFromKubeServiceEndpoints=true", "", &["url"]),
    ("url=http://h.n/ valueLocation=a targetValue=1 aggregateFromKubeServiceEndpoints=false aggregationType=max", "", &[]),
    ("url=http://h.n/ valueLocation=a targetValue=1 aggregationType=median", "", &["aggregationType"]),
    // Logins.
    ("url=http://h/ valueLocation=a targetValue=1 authMode=tls", "ca=s3cret cert=s3cret key=s3cret", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=tls", "ca=s3cret", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=tls", "ca=s3cret cert=s3cret", &["key"]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=tls", "ca=s3cret key=s3cret", &["cert"]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=tls", "", &["cert", "key"]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=apiKey", "apiKey=s3cret", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=apiKey method=query keyParamName=k", "apiKey=s3cret", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=apiKey method=header keyParamName=X-Key", "apiKey=s3cret", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=apiKey method=body", "apiKey=s3cret", &["method"]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=apiKey keyParamName=X:Key", "apiKey=s3cret", &["keyParamName"]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=apiKey", "", &["apiKey"]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=basic", "username=u password=s3cret", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=basic", "username=u", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=basic", "", &["username"]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=bearer", "token=s3cret", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 authModes=bearer", "bearerToken=s3cret", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=bearer", "", &["bearerToken"]),
    ("url=http://h/ valueLocation=a targetValue=1 authModes=bearer,tls", "bearerToken=s3cret ca=s3cret", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 authModes=bearer,basic", "bearerToken=s3cret username=u", &["authModes"]),
    ("url=http://h/ valueLocation=a targetValue=1 authModes=basic authMode=tls", "username=u ca=s3cret", &["authMode"]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=magic", "", &["authMode"]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=custom", "customAuthHeader=X-Who customAuthValue=s3cret", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=custom", "", &["customAuthHeader", "customAuthValue"]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=oauth", "oauthTokenURI=http://o clientID=c clientSecret=s3cret", &[]),
    ("url=http://h/ valueLocation=a targetValue=1 authMode=oauth", "clientID=c", &["clientSecret", "oauthTokenURI"]),
];

#[test]
fn each_row_is_accepted_or_names_its_problems() {
    trial::judge("metrics-api", ROWS, &ResolvedEnv::new());
}

#[test]
fn names_targets_and_connections_come_out_typed() {
    let trigger = parse("url=http://h/a valueLocation=queues.0.n targetValue=8.8 activationTargetValue=2", "").expect("fine");
    assert_eq!((trigger.target, trigger.activation), (MetricMilli(8800), MetricMilli(2000)));
    assert_eq!(trigger.metric_name, "metric-api-queues-0-n");
    let other = parse("url=http://h/b valueLocation=n targetValue=1", "").expect("fine");
    assert_eq!(trigger.connection, other.connection, "pages of one server");
    let user = parse("url=http://u:s3cret@h/b valueLocation=n targetValue=1", "").expect("fine");
    assert_ne!(user.connection, other.connection);
    let same = parse("url=http://h/b valueLocation=n targetValue=1 authMode=basic", "username=u password=s3cret").expect("fine");
    assert_eq!(user.connection, same.connection, "who we are, wherever it is written");
    assert_eq!(format!("{:?}", user.connection), "Endpoint(\"the metrics API at http://h\")");
}

async fn read_one(metadata: &str, auth: &str) -> Result<Sample, Error> {
    read_all(&[parse(&format!("targetValue=1 {metadata}"), auth).expect(metadata)], MOMENT).await?.remove(0)
}

#[tokio::test]
async fn each_format_gives_its_number() {
    let fake = Fake::default();
    fake.answer("/json", 200, r#"{"components":[{"id":"a","tasks":32,"text":"100m"}],"zero":0,"negative":-3}"#);
    fake.answer("/yaml", 200, "# a page\ncomponents:\n  - {id: a, tasks: 32}\n  - tasks: '1k'\nzero: 0\nhalf: 0.5\n");
    fake.answer("/xml", 200, "<stats><tasks>32</tasks><worker name='a'>2</worker><worker>3</worker></stats>");
    fake.answer("/metrics", 200, "# TYPE jobs gauge\njobs{state=\"open\"} 7\njobs{state=\"done\"} 9\nzero 0\n");
    let host = fake.serve().await;
    for (path, format, location, metric) in [
        ("json", "json", "components.0.tasks", 32_000),
        ("json?a=b", "json", "components.0.text", 100),
        ("json", "json", "components.#", 1000),
        ("json", "json", "zero", 0),
        ("json", "json", "negative", 0),
        ("yaml", "yaml", "components.0.tasks", 32_000),
        ("yaml", "yaml", "components.1.tasks", 1_000_000),
        ("yaml", "yaml", "half", 500),
        ("yaml", "yaml", "zero", 0),
        ("xml", "xml", "stats.tasks", 32_000),
        ("xml", "xml", "stats.worker.1", 3000),
        ("metrics", "prometheus", "jobs{state=\"done\"}", 9000),
        ("metrics", "prometheus", "zero", 0),
    ] {
        let metadata = format!("url=http://{host}/{path} format={format} valueLocation={location}");
        let sample = read_one(&metadata, "").await.expect(&metadata);
        assert_eq!((sample.metric, sample.activity, sample.ready), (MetricMilli(metric), Activity::Compare, None), "{metadata}");
    }
    assert!(fake.asked().contains(&"/json?a=b".to_owned()), "{:?}", fake.asked());
}

#[tokio::test]
async fn what_is_no_number_is_an_error_and_never_zero() {
    let fake = Fake::default();
    fake.answer("/json", 200, r#"{"a":{"b":null,"text":"many"},"list":[]}"#);
    fake.answer("/empty", 200, "");
    fake.answer("/html", 200, "<html><body>Sign in");
    fake.answer("/metrics", 200, "odd NaN\n");
    fake.answer("/large", 200, "7".repeat(17 << 20));
    fake.answer("/binary", 200, "\u{1}\u{2}");
    fake.answer("/broken", 500, "out of order: token s3cret is fine");
    fake.answer("/away", 302, "http://elsewhere.example/json");
    fake.answer("/moved", 302, "/json");
    let host = fake.serve().await;
    for (path, format, location, expected) in [
        ("json", "json", "a.c", "nothing at this place"),
        ("json", "json", "a.b", "null at this place"),
        ("json", "json", "a.text", "the text \"many\""),
        ("json", "json", "a", "an object"),
        ("json", "json", "list", "a list"),
        ("moved", "json", "a.c", "nothing at this place"),
        ("empty", "json", "a", "the answer about /empty cannot be read"),
        ("empty", "xml", "a", "cannot be read"),
        ("empty", "yaml", "a", "nothing at this place"),
        ("empty", "prometheus", "a", "metric 'a' not found"),
        ("html", "json", "a", "cannot be read"),
        ("html", "xml", "a", "cannot be read"),
        ("html", "yaml", "a", "at this place"),
        ("metrics", "prometheus", "odd", "NaN, which is no number"),
        ("large", "json", "a", "more than the 16 MiB"),
        ("binary", "xml", "a", "cannot be read"),
        ("broken", "json", "a", "500 Internal Server Error: out of order: token *** is fine"),
        ("away", "json", "a", "302 Found, which points to another server"),
        ("gone", "json", "a", "/gone does not exist"),
    ] {
        let metadata = format!("url=http://{host}/{path} format={format} valueLocation={location} authMode=bearer");
        let text = read_one(&metadata, "token=s3cret").await.expect_err(&metadata).chain();
        assert!(text.contains(expected) && text.contains(&host) && !text.contains("s3cret"), "{metadata}: {text}");
    }
}

#[tokio::test]
async fn each_login_is_shown_in_its_place() {
    let fake = Fake::default();
    fake.answer("/token", 200, r#"{"access_token":"t0ken","expires_in":3600}"#);
    fake.answer("/", 200, r#"{"a":1}"#);
    let host = fake.serve().await;
    let oauth = format!("oauthTokenURI=http://{host}/token clientID=c clientSecret=s");
    for (metadata, auth, header, text, path) in [
        ("", "", "authorization", "", "/p"),
        ("authMode=basic", "username=u password=s3cret", "authorization", "Basic dTpzM2NyZXQ=", "/p"),
        ("authMode=basic", "username=u", "authorization", "Basic dTo=", "/p"),
        ("authMode=bearer", "token=s3cret", "authorization", "Bearer s3cret", "/p"),
        ("authMode=apiKey", "apiKey=s3cret", "x-api-key", "s3cret", "/p"),
        ("authMode=apiKey keyParamName=X-Mine", "apiKey=s3cret", "x-mine", "s3cret", "/p"),
        ("authMode=apiKey method=query", "apiKey=s3cret", "x-api-key", "", "/p?api_key=s3cret"),
        ("authMode=apiKey method=query keyParamName=k", "apiKey=s&t", "x-api-key", "", "/p?k=s%26t"),
        ("authMode=custom", "customAuthHeader=X-Who customAuthValue=me", "x-who", "me", "/p"),
        ("authMode=oauth", oauth.as_str(), "authorization", "Bearer t0ken", "/p"),
    ] {
        let metadata = format!("url=http://{host}/p valueLocation=a {metadata}");
        read_one(&metadata, auth).await.expect(&metadata);
        assert_eq!(fake.headers(header).last().map(String::as_str), Some(text), "{metadata}");
        assert_eq!(fake.asked().last().map(String::as_str), Some(path), "{metadata}");
    }
    read_one(&format!("url=http://u:s3cret@{host}/p valueLocation=a"), "").await.expect("in the address");
    assert_eq!(fake.headers("authorization").last().map(String::as_str), Some("Basic dTpzM2NyZXQ="));
    fake.answer("/", 401, "no such user as s3cret");
    let text = read_one(&format!("url=http://{host}/p valueLocation=a authMode=basic"), "username=u password=s3cret")
        .await
        .expect_err("401")
        .chain();
    assert!(text.contains("refuses the login (401 Unauthorized: no such user as ***)"), "{text}");
}

#[tokio::test]
async fn numbers_of_one_page_are_one_request_and_neighbours_do_not_suffer() {
    let fake = Fake::default();
    fake.answer("/page", 200, r#"{"a":1,"b":2}"#);
    fake.answer("/broken", 500, "");
    fake.hang("/silent");
    let host = fake.serve().await;
    let trigger =
        |path: &str, location: &str| parse(&format!("targetValue=1 url=http://{host}/{path} valueLocation={location}"), "").expect("fine");
    let triggers = [trigger("page", "a"), trigger("broken", "a"), trigger("page", "b"), trigger("silent", "a"), trigger("page", "c")];
    let answers = read_all(&triggers, Moment { patience: Duration::from_millis(500), ..MOMENT }).await.expect("the server is there");
    let metrics: Vec<Option<i64>> = answers.iter().map(|answer| answer.as_ref().ok().map(|sample| sample.metric.0)).collect();
    assert_eq!(metrics, [Some(1000), None, Some(2000), None, None]);
    assert!(matches!(answers[3], Err(Error::Wait { .. })));
    assert_eq!(fake.asked().iter().filter(|path| *path == "/page").count(), 1, "{:?}", fake.asked());
    // Where nothing is answered at all, the server is at fault.
    let error =
        read_all(&[trigger("silent", "a"), trigger("silent", "b")], Moment { patience: Duration::from_millis(200), ..MOMENT }).await;
    assert!(matches!(error, Err(Error::Wait { .. })));
}

#[tokio::test]
async fn a_server_that_comes_back_is_read_again() {
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let (tx, mut rx) = mpsc::channel(1);
    let poller = Poller::with_options(tx, Options { now: || Timestamp::UNIX_EPOCH, ..Options::default() });
    let trigger = parse(&format!("targetValue=1 url=http://u:s3cret@{address}/p valueLocation=a"), "").expect("fine");
    poller.set(TriggerId(1), trigger, Duration::from_millis(20));
    let first = rx.recv().await.expect("a reading").reading;
    let Reading::Failed { error, failures: 1 } = &first else { panic!("{first:?}") };
    assert!(error.contains("error establishing connection to the metrics API") && !error.contains("s3cret"), "{error}");
    let fake = Fake::default();
    fake.answer("/p", 200, r#"{"a":4}"#);
    fake.serve_at(address).await;
    loop {
        match rx.recv().await.expect("a reading").reading {
            Reading::Value(sample) => break assert_eq!(sample.metric, MetricMilli(4000)),
            reading => assert!(reading.last().is_none(), "a failed read is never a number: {reading:?}"),
        }
    }
    // What is wrong later leaves the last number standing, and says why.
    fake.answer("/p", 200, "{}");
    loop {
        let reading = rx.recv().await.expect("a reading").reading;
        if let Reading::Stale { last, error, .. } = reading {
            assert!(last.metric == MetricMilli(4000) && error.contains("nothing at this place"), "{error}");
            break;
        }
    }
}

/// Triggers on pods behind the Service shop/orders, as in `aggregation location`.
fn behind(words: &str, port: u16) -> Trigger {
    let (aggregation, location) = words.split_once(' ').expect("two words");
    let url = format!("http://orders.shop.svc.cluster.local:{port}/stats?all=1");
    parse(
        &format!("url={url} valueLocation={location} targetValue=1 aggregateFromKubeServiceEndpoints=true aggregationType={aggregation}"),
        "",
    )
    .expect("fine")
}

fn backend(address: &str) -> Backend {
    let (host, port) = address.rsplit_once(':').expect("a port");
    Backend { address: host.trim_matches(['[', ']']).to_owned(), ports: vec![port.parse().expect("a port")] }
}

#[tokio::test]
async fn pods_behind_a_service_are_asked_once_each_for_all_triggers() {
    let (mut fakes, mut backends) = (Vec::new(), Vec::new());
    for number in [2, 4, 9] {
        let fake = Fake::default();
        fake.answer("/stats?all=1", 200, format!(r#"{{"n":{number},"twice":{}}}"#, number * 2));
        backends.push(backend(&fake.serve().await));
        fakes.push(fake);
    }
    // One that is gone, and one that says nothing of use.
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let mute = Fake::default();
    mute.answer("/stats", 200, "{}");
    backends.extend([backend(&gone), backend(&mute.serve().await)]);
    let cluster: Arc<dyn ClusterView> = Arc::new(View::serving(Key::new("shop", "orders"), backends));
    let triggers = ["average n", "sum n", "max n", "min n", "sum twice"].map(|words| behind(words, 80));
    let samples = trial::read_all_in(Some(&cluster), &triggers, MOMENT).await.expect("the Service is there");
    let metrics: Vec<MetricMilli> = samples.iter().map(|sample| sample.as_ref().expect("a number").metric).collect();
    assert_eq!(metrics, [5_000, 15_000, 9_000, 2_000, 30_000].map(MetricMilli));
    assert!(fakes.iter().all(|fake| fake.asked() == ["/stats?all=1"]), "once for all five");
}

#[tokio::test]
async fn no_pod_no_answer_and_no_cluster_are_errors_and_never_nothing() {
    let read = async |view: Option<View>| {
        let cluster = view.map(|view| Arc::new(view) as Arc<dyn ClusterView>);
        let mut read = trial::read_all_in(cluster.as_ref(), &[behind("sum n", 80)], MOMENT).await.expect("the connection is not at fault");
        read.remove(0).expect_err("no number").chain()
    };
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    for (view, told) in [
        (None, "needs a cluster"),
        (Some(View::default()), "none that is ready"),
        (Some(View::failing("endpointslices is forbidden")), "endpointslices is forbidden"),
        (
            Some(View::serving(Key::new("shop", "orders"), vec![backend(&gone)])),
            "could not get any metric successfully from the 1 provided endpoints",
        ),
    ] {
        let error = read(view).await;
        assert!(error.contains(told) && error.contains("shop/orders"), "{error}");
    }
}

#[test]
fn pods_are_asked_at_their_own_port() {
    let trigger = behind("sum n", 8080);
    let query: &Query = trigger.query().typed().expect("ours");
    let (service, _) = query.behind.as_ref().expect("a Service");
    let origin = |address: &str, ports: &[u16]| service.origin(&Backend { address: address.to_owned(), ports: ports.to_vec() });
    assert_eq!(origin("10.0.0.1", &[9090, 8080]), "http://10.0.0.1:8080");
    assert_eq!(origin("10.0.0.1", &[9090]), "http://10.0.0.1:9090");
    assert_eq!(origin("10.0.0.1", &[]), "http://10.0.0.1:8080");
    assert_eq!(origin("fd00::1", &[8080]), "http://[fd00::1]:8080");
}
