//! What a JetStream trigger accepts, as a table, and what it reads from monitoring interfaces in the same process.

use std::net::SocketAddr;

use serde_json::{Value, json};
use springtide_core::reading::Sample;

use super::*;
use crate::fake::{Fake, MOMENT};
use crate::trial::{self, Row, read_all};
use crate::{Error, ResolvedEnv, Trigger};

const ROWS: &[Row] = &[
    ("", "", &["natsServerMonitoringEndpoint", "stream", "consumer", "account"]),
    ("natsServerMonitoringEndpoint=nats:8222 account=$G stream=s consumer=c", "", &[]),
    ("natsServerMonitoringEndpoint=nats account=$G stream=s consumer=c useHttps=true", "", &[]),
    ("accountID=A stream=s consumer=c", "natsServerMonitoringEndpoint=nats:8222", &[]),
    ("stream=s consumer=c", "natsServerMonitoringEndpoint=nats:8222 account=$G", &[]),
    ("natsServerMonitoringEndpoint=nats:8222 stream=s consumer=c", "", &["account"]),
    ("natsServerMonitoringEndpoint=http://u:s3cret@nats account=$G stream=s consumer=c", "", &["natsServerMonitoringEndpoint"]),
    ("natsServerMonitoringEndpoint=u:s3cret@nats:port account=$G stream=s consumer=c", "", &["natsServerMonitoringEndpoint"]),
    ("natsServerMonitoringEndpoint=nats:8222/jsz account=$G stream=s consumer=c", "", &["natsServerMonitoringEndpoint"]),
    ("natsServerMonitoringEndpoint=nats:8222 account=$G stream=s consumer=c useHttps=maybe", "", &["useHttps"]),
    ("natsServerMonitoringEndpoint=nats:8222 account=$G stream=s consumer=c lagThreshold=Y", "", &["lagThreshold"]),
    ("natsServerMonitoringEndpoint=nats:8222 account=$G stream=s consumer=c lagThreshold=-1", "", &["lagThreshold"]),
];

#[test]
fn each_row_is_accepted_or_names_its_problems() {
    trial::judge("nats-jetstream", ROWS, &ResolvedEnv::new());
}

fn trigger(at: &str, account: &str, stream: &str, consumer: &str) -> Trigger {
    let metadata = format!("natsServerMonitoringEndpoint={at} account={account} stream={stream} consumer={consumer}");
    trial::trigger("nats-jetstream", &metadata, "", &ResolvedEnv::new()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[test]
fn names_targets_and_addresses_come_out_typed() {
    let one = trigger("nats:8222", "$G", "a/b", "c");
    assert_eq!((one.metric_name.as_str(), one.target), ("nats-jetstream-a-b", MetricMilli(10_000)));
    assert_eq!(one.connection().address(), "NATS at http://nats:8222");
    assert_eq!(one.connection(), trigger("nats:8222", "other", "s", "other").connection());
    let https = "natsServerMonitoringEndpoint=nats account=$G stream=s consumer=c useHttps=true";
    let https = trial::trigger("nats-jetstream", https, "", &ResolvedEnv::new()).expect("it is fine");
    assert_eq!(https.connection().address(), "NATS at https://nats");
}

/// A consumer with what it waits for, on a node that says who leads it.
fn consumer(name: &str, pending: u64, leader: &str) -> Value {
    json!({"name": name, "num_pending": pending, "num_ack_pending": 1, "config": {"ack_policy": "explicit"}, "cluster": {"leader": leader}})
}

fn page(id: &str, size: u64, account: &str, streams: &[(&str, Vec<Value>)]) -> String {
    let streams: Vec<Value> =
        streams.iter().map(|(name, consumers)| json!({"name": name, "state": {"last_seq": 100}, "consumer_detail": consumers})).collect();
    json!({"server_id": id, "meta_cluster": {"cluster_size": size}, "account_details": [{"name": account, "stream_detail": streams}]})
        .to_string()
}

fn levels(read: Vec<Result<Sample, Error>>) -> Vec<Option<i64>> {
    read.into_iter().map(|sample| sample.ok().map(|sample| sample.metric.0 / 1000)).collect()
}

#[tokio::test]
async fn consumers_of_one_account_are_one_request() {
    let fake = Fake::default();
    fake.answer("/jsz?acc=%24G&", 200, page("a", 0, "$G", &[("s", vec![consumer("c", 4, ""), consumer("d", 6, "")]), ("t", vec![])]));
    fake.answer("/jsz?acc=other&", 200, page("a", 0, "other", &[("s", vec![consumer("c", 8, "")])]));
    let at = fake.serve().await;
    let mut triggers: Vec<Trigger> = ["c", "d", "nobody"].iter().map(|name| trigger(&at, "$G", "s", name)).collect();
    triggers.extend([trigger(&at, "$G", "t", "c"), trigger(&at, "$G", "u", "c"), trigger(&at, "other", "s", "c")]);
    let read = read_all(&triggers, MOMENT).await.expect("it answers");
    let sample = read[0].as_ref().expect("it is there").clone();
    assert_eq!((sample.ready, sample.in_flight, sample.arrived, sample.done), (Some(4), Some(1), Some(100), Some(95)));
    let told = |nth: usize| read[nth].as_ref().expect_err("it is not there").to_string();
    for (nth, words) in
        [(2, "consumer \"nobody\" (not found in stream \"s\") does not exist"), (3, "\"c\" (not"), (4, "stream \"u\" of account \"$G\"")]
    {
        assert!(told(nth).contains(words), "{}", told(nth));
    }
    assert_eq!(levels(read), [Some(5), Some(7), None, None, None, Some(9)]);
    assert_eq!(fake.asked().len(), 2, "{:?}", fake.asked());
}

#[tokio::test]
async fn what_is_no_count_is_an_error_and_never_zero() {
    for (status, body, words) in [
        (200, "{}".to_owned(), "stream \"s\""),
        (200, "none".to_owned(), "cannot be read"),
        (200, json!({"disabled": true}).to_string(), "JetStream is disabled"),
        (200, page("a", 0, "other", &[("s", vec![consumer("c", 4, "")])]), "stream \"s\""),
        (404, "account not found".to_owned(), "does not exist"),
        (401, "no".to_owned(), "refuses the login"),
        (500, "no".to_owned(), "500"),
    ] {
        let fake = Fake::default();
        fake.answer("/jsz", status, body.clone());
        let read = read_all(&[trigger(&fake.serve().await, "$G", "s", "c")], MOMENT).await;
        let error = match read {
            Err(error) => error,
            Ok(mut read) => read.remove(0).expect_err(&body),
        };
        assert!(error.chain().contains(words), "{status} {body}: {}", error.chain());
    }
}

/// Nodes of a cluster, each at an address of its own and all at one port.
async fn cluster(pages: [String; 3]) -> ([Fake; 3], String) {
    let fakes = [Fake::default(), Fake::default(), Fake::default()];
    let first = fakes[0].serve().await;
    let port = first.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).expect("a port");
    for (host, fake) in (2..).zip(&fakes[1..]) {
        fake.serve_at(SocketAddr::from(([127, 0, 0, host], port))).await;
    }
    let urls: Vec<String> = (1..=3).map(|host| format!("127.0.0.{host}:4222")).collect();
    for ((nth, fake), page) in (1..).zip(&fakes).zip(pages) {
        let about = json!({"server_id": nth.to_string(), "server_name": format!("node-{nth}"), "connect_urls": urls});
        fake.answer("/varz", 200, about.to_string());
        fake.answer("/jsz", 200, page);
    }
    (fakes, first)
}

#[tokio::test]
async fn the_leader_of_a_consumer_is_asked() {
    // The first leads one and follows another; the second leads that one; the third alone has a stream, and has consumers that nobody leads.
    let (fakes, at) = cluster([
        page("1", 3, "$G", &[("s", vec![consumer("c", 4, "node-1"), consumer("d", 1, "node-2")])]),
        page("2", 3, "$G", &[("s", vec![consumer("c", 1, "node-1"), consumer("d", 6, "node-2")])]),
        page("3", 3, "$G", &[("t", vec![consumer("c", 8, "node-3"), consumer("lost", 8, "node-4")])]),
    ])
    .await;
    let asked = |nth: usize| fakes[nth].asked().iter().filter(|path| path.starts_with("/jsz")).count();
    let read = read_all(&[trigger(&at, "$G", "s", "c")], MOMENT).await.expect("it answers");
    assert_eq!((levels(read), asked(0), asked(1), asked(2)), (vec![Some(5)], 1, 0, 0));
    let read = read_all(&[trigger(&at, "$G", "s", "c"), trigger(&at, "$G", "s", "d")], MOMENT).await.expect("it answers");
    assert_eq!((levels(read), asked(1), asked(2)), (vec![Some(5), Some(7)], 1, 0));
    let read = read_all(&[trigger(&at, "$G", "t", "c"), trigger(&at, "$G", "t", "lost")], MOMENT).await.expect("it answers");
    let error = read[1].as_ref().expect_err("nobody leads it").to_string();
    assert!(error.contains("leader node not found for consumer lost"), "{error}");
    assert_eq!(levels(read), [Some(9), None]);
    // A node that fails takes no other's answers with it.
    fakes[1].answer("/jsz", 500, "no");
    let read = read_all(&[trigger(&at, "$G", "s", "c"), trigger(&at, "$G", "s", "d")], MOMENT).await.expect("it answers");
    assert_eq!(levels(read), [Some(5), None]);
}
