//! What a Service Bus trigger accepts, and what it reads from a namespace in the same process that checks signatures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use springtide_core::reading::Sample;

use super::*;
use crate::fake::{Fake, MOMENT};
use crate::trial::{self, Row, read_all};
use crate::{Error, ResolvedEnv};

const RULE: &str = "scaler";
const KEY: &str = "cmVhbGx5LXNlY3JldA==";

/// A namespace: queues with their active messages, and topics with subscriptions. Its answers have the form of the service's reference.
#[derive(Clone, Default)]
struct Double {
    queues: Arc<Mutex<BTreeMap<String, u64>>>,
    subscriptions: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Whether the rule is good for lists.
    is_whole: bool,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Double {
    fn of(queues: impl IntoIterator<Item = (String, u64)>) -> Self {
        Self { queues: Arc::new(Mutex::new(queues.into_iter().collect())), is_whole: true, ..Self::default() }
    }

    /// Begins to serve. Its connection string.
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(respond).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("Endpoint=sb://{address}/;SharedAccessKeyName={RULE};SharedAccessKey={KEY};UseDevelopmentEmulator=true")
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("no test panics with it"))
    }
}

/// Whether a request shows a signature of the rule for what it asks about, by the reference of shared access signatures.
fn is_signed(request: &Request) -> bool {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(token) = header("authorization").strip_prefix("SharedAccessSignature ") else { return false };
    let part = |name: &str| token.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    let made = hmac::sign(&key, format!("{}\n{}", part("sr"), part("se")).as_bytes());
    let about = format!("http://{}{}", header("host"), request.uri().path());
    part("skn") == RULE && decode(part("sr")) == about && decode(part("sig")) == STANDARD.encode(made) && part("se") == "1200"
}

fn entry(name: &str, sort: &str, active: u64) -> String {
    format!(
        r#"<entry xmlns="http://www.w3.org/2005/Atom"><id>x</id><title type="text">{name}</title><content type="application/xml">
           <{sort}Description xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"><MessageCount>{}</MessageCount>
           <CountDetails xmlns:d2p1="http://schemas.microsoft.com/netservices/2011/06/servicebus"><d2p1:ActiveMessageCount>{active}</d2p1:ActiveMessageCount>
           <d2p1:DeadLetterMessageCount>9</d2p1:DeadLetterMessageCount></CountDetails></{sort}Description></content></entry>"#,
        active + 9
    )
}

fn feed(entries: &[String]) -> String {
    format!(r#"<feed xmlns="http://www.w3.org/2005/Atom"><title type="text">Queues</title>{}</feed>"#, entries.concat())
}

async fn respond(State(double): State<Double>, request: Request) -> Response {
    let path = request.uri().to_string();
    double.asked.lock().expect("no test panics with it").push(path.clone());
    let number = |name: &str| request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix(name)?.parse::<usize>().ok());
    let (skip, top) = (number("%24skip="), number("%24top="));
    if !is_signed(&request) || (skip.is_some() && !double.is_whole) {
        return (StatusCode::UNAUTHORIZED, format!("<Error><Code>401</Code><Detail>{:?}</Detail></Error>", request.headers()))
            .into_response();
    }
    assert!(path.contains("api-version=2021-05"), "{path}");
    let page =
        |entries: Vec<String>| feed(&entries.into_iter().skip(skip.unwrap_or_default()).take(top.unwrap_or_default()).collect::<Vec<_>>());
    let parts: Vec<&str> = request.uri().path().trim_start_matches('/').split('/').collect();
    let queues = double.queues.lock().expect("no test panics with it");
    match parts.as_slice() {
        ["$Resources", "queues"] => page(queues.iter().map(|(name, active)| entry(name, "Queue", *active)).collect()).into_response(),
        [topic, "Subscriptions"] => match double.subscriptions.get(topic) {
            Some(all) => page(all.iter().map(|(name, active)| entry(name, "Subscription", *active)).collect()).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        [topic, "Subscriptions", name] => match double.subscriptions.get(topic).and_then(|all| all.get(name)) {
            Some(active) => entry(name, "Subscription", *active).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        name => match queues.get(&name.join("/")) {
            Some(active) => entry(&name.join("/"), "Queue", *active).into_response(),
            // As the service does with what does not exist.
            None => feed(&[]).into_response(),
        },
    }
}

const ROWS: &[Row] = &[
    ("", "", &["queueName", "connection"]),
    ("queueName=q", "connection=s3cret", &[]),
    ("queueName=q connection=s3cret", "", &["connection"]),
    ("queueName=q topicName=t", "connection=c", &["topicName"]),
    ("queueName=q subscriptionName=s", "connection=c", &["subscriptionName"]),
    ("topicName=t", "connection=c", &["subscriptionName"]),
    ("subscriptionName=s", "connection=c", &["queueName"]),
    ("queueName=( useRegex=true operation=median messageCount=x", "connection=c", &["operation", "messageCount", "queueName"]),
    ("queueName=a)(b useRegex=true", "connection=c", &["queueName"]),
    ("topicName=( subscriptionName=( useRegex=true", "connection=c", &["subscriptionName"]),
    ("topicName=( subscriptionName=(", "connection=c", &[]),
];

#[test]
fn each_row_is_accepted_or_names_its_problems() {
    trial::judge("azure-servicebus", ROWS, &ResolvedEnv::new());
}

fn trigger(connection: &str, metadata: &str) -> crate::Trigger {
    trial::trigger("azure-servicebus", metadata, &format!("connection={connection}"), &ResolvedEnv::new()).expect(metadata)
}

async fn read_one(connection: &str, metadata: &str) -> Result<Sample, Error> {
    read_all(&[trigger(connection, metadata)], MOMENT).await?.remove(0)
}

async fn number(connection: &str, metadata: &str) -> i64 {
    let MetricMilli(milli) = read_one(connection, metadata).await.expect(metadata).metric;
    milli / 1000
}

#[tokio::test]
async fn active_messages_are_read_one_by_one_and_by_pattern() {
    let queues = [("orders", 7), ("orders-eu", 4), ("reorders", 100), ("a/b", 3), ("empty", 0)];
    let mut double = Double::of(queues.map(|(name, active)| (name.to_owned(), active)));
    double.subscriptions = BTreeMap::from([("events", BTreeMap::from([("mail", 5), ("mail-eu", 2), ("log", 9)]))]);
    let connection = double.serve().await;
    for (metadata, expected) in [
        ("queueName=orders", 7),
        ("queueName=empty", 0),
        ("queueName=a/b", 3),
        ("topicName=events subscriptionName=mail", 5),
        // Whole names alone count.
        ("queueName=orders.* useRegex=true", 11),
        ("queueName=orders|empty useRegex=true operation=max", 7),
        ("queueName=orders.* useRegex=true operation=avg", 5),
        ("queueName=nothing useRegex=true operation=avg", 0),
        ("topicName=events subscriptionName=mail.* useRegex=true", 7),
    ] {
        assert_eq!(number(&connection, metadata).await, expected, "{metadata}");
    }
}

#[tokio::test]
async fn many_questions_are_few_requests() {
    let double = Double::of((0_u32..250).map(|number| (format!("q{number:03}"), u64::from(number))));
    let connection = double.serve().await;
    let triggers: Vec<_> = (0..200).map(|number| trigger(&connection, &format!("queueName=q{number:03}"))).collect();
    let samples = read_all(&triggers, MOMENT).await.expect("a read");
    for (number, sample) in (0_i64..).zip(samples) {
        assert_eq!(sample.expect("a sample").metric, MetricMilli(number * 1000));
    }
    // The third page is not needed.
    assert_eq!(double.asked().len(), 2);
    let mut more = triggers.iter().take(3).cloned().collect::<Vec<_>>();
    more.extend(["queueName=q00. useRegex=true", "queueName=q01. useRegex=true"].map(|metadata| trigger(&connection, metadata)));
    let samples = read_all(&more, MOMENT).await.expect("a read");
    let numbers: Vec<i64> = samples.into_iter().map(|sample| sample.expect("a sample").metric.0 / 1000).collect();
    assert_eq!(numbers, [0, 1, 2, 45, 145]);
    assert_eq!(double.asked().len(), 3, "one listing serves all patterns and the single questions");
}

#[tokio::test]
async fn a_key_that_is_good_for_one_queue_is_enough_for_it() {
    let double = Double { is_whole: false, ..Double::of((0..8).map(|number| (format!("q{number}"), 3))) };
    let connection = double.serve().await;
    let triggers: Vec<_> = (0..8).map(|number| trigger(&connection, &format!("queueName=q{number}"))).collect();
    assert!(read_all(&triggers, MOMENT).await.expect("a read").iter().all(Result::is_ok));
    assert!(matches!(read_one(&connection, "queueName=q.* useRegex=true").await, Err(Error::LogIn { .. })));
}

#[tokio::test]
async fn what_goes_wrong_is_told_without_secrets() {
    let double = Double::of([]);
    let good = double.serve().await;
    let other = good.replace(KEY, "s3cret-key");
    let signed = good.replace(
        &format!("SharedAccessKeyName={RULE};SharedAccessKey={KEY}"),
        "SharedAccessSignature=SharedAccessSignature sr=x&sig=s3cret",
    );
    let parse = |connection: &str| {
        let auth = crate::AuthParams::from([("connection".to_owned(), Secret::from(connection))]);
        let metadata = [("queueName".to_owned(), "q".to_owned())].into();
        crate::parse(&springtide_core::name::Key::new("default", "object"), "azure-servicebus", &metadata, &auth, &ResolvedEnv::new())
            .expect("accepted")
    };
    for (connection, word) in [
        (good.as_str(), "queue \"q\" does not exist"),
        (&other, "refuses the login"),
        (&signed, "refuses the login"),
        ("none", "Endpoint=sb://"),
        ("Endpoint=s3cret;SharedAccessKey=s3cret", "is no address"),
        ("Endpoint=sb://h/;SharedAccessKeyName=s3cret", "no SharedAccessKey"),
    ] {
        let read = read_all(&[parse(connection)], MOMENT).await.and_then(|mut samples| samples.remove(0));
        let error = read.expect_err(word).chain();
        assert!(error.contains(word) && !error.contains(KEY) && !error.contains("s3cret"), "{error}");
        assert!(!error.contains("sig=") || error.contains("sig=***"), "a signature is not repeated: {error}");
    }
    let fake = Fake::default();
    let connection = format!("Endpoint=sb://{};SharedAccessKeyName=r;SharedAccessKey=k;UseDevelopmentEmulator=true", fake.serve().await);
    for (status, body, expected) in
        [(200, "<html/>", "cannot be read"), (200, "", "cannot be read"), (500, "trouble", "trouble"), (429, "slow down", "slow down")]
    {
        fake.answer("/q?", status, body);
        let error = read_one(&connection, "queueName=q").await.expect_err(body).chain();
        assert!(error.contains(expected), "{error}");
    }
}
