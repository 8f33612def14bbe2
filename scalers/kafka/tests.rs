//! What Kafka triggers accept, beyond the rows of KEDA, and how they come out.

use std::net::TcpListener;
use std::time::Duration;

use super::cluster::{Cluster, Query, Topics};
use super::lag::{Bound, Counted, Shares, Uncommitted};
use crate::fake::MOMENT;
use crate::trial::{Row, judge, read_all, trigger};
use crate::{Error, ResolvedEnv, Trigger};

const ROWS: &[Row] = &[
    ("", "", &["bootstrapServers", "consumerGroup"]),
    ("bootstrapServers=kafka:9092 consumerGroup=g topic=t", "", &[]),
    ("bootstrapServers=kafka consumerGroup=g topic=t", "", &[]),
    ("bootstrapServers=kafka:x consumerGroup=g topic=t", "", &["bootstrapServers"]),
    ("bootstrapServers=u:s3cret@kafka:1 consumerGroup=g topic=t", "", &["bootstrapServers"]),
    ("bootstrapServers=, consumerGroup=g topic=t", "", &["bootstrapServers"]),
    ("bootstrapServers=kafka consumerGroup=g topic=t lagThreshold=0.5", "", &["lagThreshold"]),
    ("bootstrapServers=kafka consumerGroup=g topic=t lagThreshold=0", "", &["lagThreshold"]),
    ("bootstrapServers=kafka consumerGroup=g topic=t lagThreshold=-1", "", &["lagThreshold"]),
    ("bootstrapServers=kafka consumerGroup=g topic=t lagThreshold=x", "", &["lagThreshold"]),
    ("bootstrapServers=kafka consumerGroup=g topic=t activationLagThreshold=-1", "", &["activationLagThreshold"]),
    ("bootstrapServers=kafka consumerGroup=g topic=t activationLagThreshold=1.5", "", &["activationLagThreshold"]),
    ("bootstrapServers=kafka consumerGroup=g ensureEvenDistributionOfPartitions=true", "", &["topic"]),
    ("bootstrapServers=kafka consumerGroup=g topic=, fullMetadata=false", "", &["topic"]),
    ("bootstrapServers=kafka consumerGroup=g topic=t version=0.11.0.2", "", &[]),
    ("bootstrapServers=kafka consumerGroup=g topic=t version=0.11.2", "", &["version"]),
    ("bootstrapServers=kafka consumerGroup=g topic=t", "sasl=gssapi", &["sasl"]),
    ("bootstrapServers=kafka consumerGroup=g topic=t tls=enable", "sasl=oauthbearer saslTokenProvider=aws_msk_iam", &["saslTokenProvider"]),
    ("bootstrapServers=kafka consumerGroup=g topic=t", "sasl=oauthbearer", &["username", "password", "oauthTokenEndpointUri"]),
    // Several at once, across fields that fail by themselves.
    (
        "consumerGroup=g allowIdleConsumers=true limitToPartitionsWithLag=true offsetResetPolicy=none",
        "tls=enable key=s3cret sasl=plaintext",
        &["bootstrapServers", "allowIdleConsumers", "topic", "offsetResetPolicy", "cert", "username", "password"],
    ),
    ("bootstrapServers=kafka consumerGroup=g topic=t", "sasl=plaintext", &["username", "password"]),
];

#[test]
fn each_row_is_accepted_or_names_its_problems() {
    judge("kafka", ROWS, &ResolvedEnv::new());
}

fn parsed(kind: &str, metadata: &str, auth: &str) -> Trigger {
    let metadata = format!("bootstrapServers=a:1,b consumerGroup=g {metadata}");
    trigger(kind, &metadata, auth, &ResolvedEnv::new()).unwrap_or_else(|problems| panic!("{metadata}: {problems:?}"))
}

fn query(metadata: &str) -> Query {
    parsed("kafka", metadata, "").query.typed::<Query>().expect("a group").clone()
}

#[test]
fn flags_come_to_rules() {
    for (flags, uncommitted, counted, shares, bound) in [
        ("", Uncommitted::One, Counted::All, Shares::Any, Bound::Partitions),
        ("offsetResetPolicy=earliest", Uncommitted::All, Counted::All, Shares::Any, Bound::Partitions),
        ("offsetResetPolicy=earliest scaleToZeroOnInvalidOffset=true", Uncommitted::Nothing, Counted::All, Shares::Any, Bound::Partitions),
        ("allowIdleConsumers=true excludePersistentLag=true", Uncommitted::One, Counted::Moving, Shares::Any, Bound::None),
        ("limitToPartitionsWithLag=true", Uncommitted::One, Counted::All, Shares::Any, Bound::Lagging),
        ("ensureEvenDistributionOfPartitions=true", Uncommitted::One, Counted::All, Shares::Even, Bound::Partitions),
        // An even number is never more than there are partitions, whatever else is allowed.
        (
            "ensureEvenDistributionOfPartitions=true allowIdleConsumers=true",
            Uncommitted::One,
            Counted::All,
            Shares::Even,
            Bound::Partitions,
        ),
    ] {
        let rules = query(&format!("topic=t lagThreshold=7 {flags}")).rules;
        assert_eq!(
            (rules.uncommitted, rules.counted, rules.shares, rules.bound, rules.threshold),
            (uncommitted, counted, shares, bound, 7),
            "{flags}"
        );
    }
    assert_eq!(query("").topics, Topics::Committed);
    assert_eq!(query("topic=b,a,b").topics, Topics::Named(vec!["a".to_owned(), "b".to_owned()], None));
}

#[test]
fn one_cluster_and_user_are_one_broker_for_both_kinds() {
    let auth = "sasl=scram_sha512 username=u password=p";
    let (one, other) = (parsed("kafka", "topic=t", auth), parsed("apache-kafka", "topic=u,v", auth));
    assert_eq!(one.connection(), other.connection());
    assert_eq!(other.metric_name, "kafka-u,v");
    assert_ne!(one.connection(), parsed("kafka", "topic=t", "sasl=scram_sha512 username=u password=q").connection());
    assert_ne!(one.connection(), parsed("kafka", "topic=t tls=enable", auth).connection());
    let cluster: &Cluster = one.connection.broker().expect("a cluster");
    assert_eq!(cluster.servers, ["a:1", "b"]);
    // An authority says nothing where there is no TLS.
    assert_eq!(parsed("kafka", "topic=t", "ca=x").connection(), parsed("kafka", "topic=t", "").connection());
}

async fn failure(server: &str, patience: Duration) -> String {
    let trigger =
        trigger("kafka", &format!("bootstrapServers={server} consumerGroup=g topic=t"), "", &ResolvedEnv::new()).expect("a trigger");
    match tokio::time::timeout(patience, read_all(&[trigger], MOMENT)).await {
        Ok(Err(error)) => error.chain(),
        Ok(Ok(read)) => panic!("{read:?}"),
        Err(_) => "nothing".to_owned(),
    }
}

#[tokio::test]
async fn what_is_no_broker_is_an_error() {
    use tokio::io::AsyncWriteExt as _;

    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let error = failure(&gone, Duration::from_secs(10)).await;
    assert!(error.contains("error establishing connection to Kafka at 127.0.0.1") && error.contains("refused"), "{error}");

    for (answer, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "none of Kafka's"),
        (&[0, 0, 0, 4, 0, 0, 0, 9], "another question"),
        (&[0, 0, 0, 9, 0, 0, 0, 1, 0], "ended within an answer"),
        (&[0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0x7f, 0xff, 0xff, 0xff], "holds what it cannot"),
        (&[], "hung up"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut question = [0; 1024];
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut question).await;
                let _ = stream.write_all(answer).await;
            }
        });
        let error = failure(&address, Duration::from_secs(10)).await;
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_silent_is_waited_for_no_longer_than_the_poller_says() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    assert_eq!(failure(&address, Duration::from_secs(3)).await, "nothing");
    let problem = Error::Wait { broker: address, after: Duration::from_secs(3) };
    assert!(problem.chain().contains("3000 ms"));
}
