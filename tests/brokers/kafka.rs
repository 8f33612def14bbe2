//! Kafka's scalers on a real Kafka: what they count, how they log in, how few requests they need, what they say of mistakes, and how they live through an
//! outage. Topics, messages and groups are made by another client.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde_json::json;
use springtide_core::reading::{Activity, Reading, Sample};
use springtide_core::units::MetricMilli;
use springtide_scalers::Trigger;
use springtide_testbed::{Kafka, KafkaOptions};

use super::reader::{self, Reader, sample};

/// How long the other client may take for anything.
const WITHIN: Duration = Duration::from_secs(10);

/// What our clients are called in the broker's log.
const CLIENT: &str = "springtide";

/// The password of all users.
const PASSWORD: &str = "s3cret-word";

/// The other client, at the listener that lets everybody in.
struct Other {
    config: ClientConfig,
    producer: BaseProducer,
}

impl Other {
    fn new(kafka: &Kafka) -> Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.open_address().to_string());
        Ok(Self { producer: config.create()?, config })
    }

    async fn create(&self, topic: &str, partitions: i32) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config.create()?;
        let made = admin.create_topics(&[NewTopic::new(topic, partitions, TopicReplication::Fixed(1))], &AdminOptions::new()).await?;
        made.into_iter().try_for_each(|made| made.map(drop).map_err(|(topic, error)| anyhow::anyhow!("topic {topic}: {error}")))
    }

    /// Writes so many messages to each partition.
    fn write(&self, topic: &str, counts: &[usize]) -> Result<()> {
        for (partition, count) in (0_i32..).zip(counts) {
            for _ in 0..*count {
                let record = BaseRecord::<str, str>::to(topic).partition(partition).payload("work");
                self.producer.send(record).map_err(|(error, _)| error)?;
            }
        }
        self.producer.flush(WITHIN).context("messages that do not arrive")
    }

    fn consumer(&self, group: &str) -> Result<BaseConsumer> {
        let mut config = self.config.clone();
        Ok(config.set("group.id", group).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest").create()?)
    }

    /// Commits offsets of partitions; none where there is none.
    fn commit(&self, group: &str, topic: &str, offsets: &[Option<i64>]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in (0_i32..).zip(offsets) {
            if let Some(offset) = offset {
                list.add_partition_offset(topic, partition, Offset::Offset(*offset))?;
            }
        }
        self.consumer(group)?.commit(&list, CommitMode::Sync).context("offsets that are not taken")
    }
}

/// A trigger at this address.
fn trigger_at(address: SocketAddr, group: &str, more: &[(&str, &str)], auth: &[(&str, &str)]) -> Result<Trigger> {
    let address = address.to_string();
    let metadata = [("bootstrapServers", address.as_str()), ("consumerGroup", group), ("lagThreshold", "1000")];
    reader::trigger("kafka", &[&metadata[..], more].concat(), auth)
}

/// A trigger at the listener that lets everybody in.
fn trigger(kafka: &Kafka, group: &str, more: &[(&str, &str)]) -> Result<Trigger> {
    trigger_at(kafka.open_address(), group, more, &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_is_read_as_it_is() -> Result<()> {
    let users = |name: &str| vec![(name.to_owned(), PASSWORD.to_owned())];
    let mut kafka = Kafka::start(KafkaOptions { plain: users("plain"), scram: users("scram") }).await?;
    let other = Other::new(&kafka)?;
    many_triggers_are_few_requests(&kafka, &other).await?;
    lag_is_what_was_not_committed(&kafka, &other).await?;
    uncommitted_partitions_go_by_the_policy(&kafka, &other).await?;
    topics_are_found_by_their_group(&kafka, &other).await?;
    lag_that_stays_is_left_out(&kafka, &other).await?;
    users_and_certificates_are_let_in(&kafka).await?;
    mistakes_are_told_without_secrets(&kafka).await?;
    an_outage_is_stale_and_then_over(&mut kafka, &other).await
}

async fn many_triggers_are_few_requests(kafka: &Kafka, other: &Other) -> Result<()> {
    const GROUPS: i64 = 30;
    for topic in ["joined-a", "joined-b"] {
        other.create(topic, 3).await?;
        other.write(topic, &[50, 0, 0])?;
    }
    for group in 0..GROUPS {
        for topic in ["joined-a", "joined-b"] {
            other.commit(&format!("joined-{group}"), topic, &[Some(group), Some(0), Some(0)])?;
        }
    }
    let mut reader = Reader::new();
    let mut ids = Vec::new();
    for group in 0..GROUPS {
        for topic in ["joined-a", "joined-b"] {
            ids.push((reader.set(trigger(kafka, &format!("joined-{group}"), &[("topic", topic)])?), 50 - group));
        }
    }
    for (id, lag) in &ids {
        let wanted = MetricMilli(lag * 1000);
        reader.until(*id, &format!("a lag of {lag}"), |reading| sample(reading).filter(|sample| sample.metric == wanted)).await?;
    }
    drop(reader);
    kafka.until_requests(CLIENT, "LIST_OFFSETS", 1).await?;
    let counts = kafka.requests(CLIENT)?;
    let count = |kind: &str| counts.get(kind).copied().unwrap_or(0);
    // Triggers are set one after the other, so the first polls have only some of them; each poll has one request of a kind all the same.
    let polls = count("METADATA");
    ensure!(polls < ids.len(), "{} triggers were asked for in {polls} polls", ids.len());
    ensure!(count("OFFSET_FETCH") <= polls && count("LIST_OFFSETS") <= polls, "{polls} polls made {counts:?}");
    ensure!(count("FIND_COORDINATOR") <= polls && count("API_VERSIONS") <= 2, "{polls} polls made {counts:?}");
    Ok(())
}

async fn lag_is_what_was_not_committed(kafka: &Kafka, other: &Other) -> Result<()> {
    other.create("orders", 4).await?;
    let mut reader = Reader::new();
    let id = reader.set(trigger(kafka, "orders", &[("topic", "orders"), ("scaleToZeroOnInvalidOffset", "true")])?);
    let is = |metric: i64, arrived: u64, done: u64| {
        move |reading: &Reading| {
            sample(reading)
                .filter(|sample| (sample.metric, sample.arrived, sample.done) == (MetricMilli(metric * 1000), Some(arrived), Some(done)))
        }
    };
    let empty = reader.until(id, "an empty topic", is(0, 0, 0)).await?;
    ensure!(empty.activity == Activity::Known(false), "an empty topic is active: {empty:?}");
    other.commit("orders", "orders", &[Some(0); 4])?;
    other.write("orders", &[5, 7, 0, 1])?;
    let some = reader.until(id, "13 messages", is(13, 13, 0)).await?;
    ensure!(some.activity == Activity::Known(true) && some.ready.is_none() && some.in_flight.is_none(), "{some:?}");

    // Held by a worker and not committed, they count.
    let consumer = other.consumer("orders")?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("orders", 1, Offset::Beginning)?;
    consumer.assign(&list)?;
    let held = consumer.poll(WITHIN).context("no message")??;
    ensure!((held.partition(), held.offset()) == (1, 0));
    reader.until(id, "13 messages, some of them held", is(13, 13, 0)).await?;
    consumer.commit_message(&held, CommitMode::Sync)?;
    reader.until(id, "12 messages, and one done", is(12, 13, 1)).await?;
    other.commit("orders", "orders", &[Some(5), Some(6), Some(0), Some(0)])?;
    reader.until(id, "2 messages, and 11 done", is(2, 13, 11)).await?;
    reader.poller.remove(id);

    let limited = [("topic", "orders"), ("partitionLimitation", "0,2-3")];
    reader.metric(trigger(kafka, "orders", &limited)?, 1).await?;
    // No more than a replica for each partition, however much there is.
    other.write("orders", &[0, 3000, 3000, 0])?;
    for (flags, metric) in [
        (&[][..], 4000),
        (&[("allowIdleConsumers", "true")], 6002),
        (&[("limitToPartitionsWithLag", "true")], 3000),
        (&[("ensureEvenDistributionOfPartitions", "true")], 4000),
    ] {
        let metadata = [&[("topic", "orders")], flags].concat();
        reader.metric(trigger(kafka, "orders", &metadata)?, metric).await.with_context(|| format!("{flags:?}"))?;
    }
    Ok(())
}

async fn uncommitted_partitions_go_by_the_policy(kafka: &Kafka, other: &Other) -> Result<()> {
    other.create("fresh", 3).await?;
    other.write("fresh", &[4, 6, 0])?;
    other.commit("half", "fresh", &[Some(1), None, None])?;
    let mut reader = Reader::new();
    for (group, policy, metric) in [("nobody", "latest", 3), ("nobody", "earliest", 10), ("half", "latest", 5), ("half", "earliest", 9)] {
        for (zero, metric) in [("false", metric), ("true", if group == "half" { 3 } else { 0 })] {
            let metadata = [("topic", "fresh"), ("offsetResetPolicy", policy), ("scaleToZeroOnInvalidOffset", zero)];
            let read = reader.metric(trigger(kafka, group, &metadata)?, metric).await;
            read.with_context(|| format!("group {group}, policy {policy}, zero {zero}"))?;
        }
    }
    Ok(())
}

async fn topics_are_found_by_their_group(kafka: &Kafka, other: &Other) -> Result<()> {
    for topic in ["found-a", "found-b", "found-c"] {
        other.create(topic, 2).await?;
        other.write(topic, &[3, 3])?;
    }
    other.commit("finder", "found-a", &[Some(1), Some(3)])?;
    let mut reader = Reader::new();
    let id = reader.set(trigger(kafka, "finder", &[])?);
    let is = |metric: i64| move |reading: &Reading| sample(reading).filter(|sample| sample.metric == MetricMilli(metric * 1000));
    reader.until(id, "what is left of one topic", is(2)).await?;
    other.commit("finder", "found-b", &[Some(0), Some(3)])?;
    reader.until(id, "what is left of two", is(5)).await?;
    reader.poller.remove(id);
    // The other kind counts alike, and takes several names.
    let address = kafka.open_address().to_string();
    let metadata = [("bootstrapServers", address.as_str()), ("consumerGroup", "finder"), ("lagThreshold", "1000")];
    reader.metric(reader::trigger("apache-kafka", &metadata, &[])?, 5).await?;
    let named = [&metadata[..], &[("topic", "found-b, found-a")]].concat();
    reader.metric(reader::trigger("apache-kafka", &named, &[])?, 5).await?;
    let error = reader.failure(trigger(kafka, "never-seen", &[])?).await?;
    ensure!(error.contains("name them with topic"), "a group that nobody knows reads: {error}");
    Ok(())
}

async fn lag_that_stays_is_left_out(kafka: &Kafka, other: &Other) -> Result<()> {
    other.create("stuck", 2).await?;
    other.write("stuck", &[4, 5])?;
    other.commit("stuck", "stuck", &[Some(1), Some(1)])?;
    let mut reader = Reader::new();
    let id = reader.set(trigger(kafka, "stuck", &[("topic", "stuck"), ("excludePersistentLag", "true")])?);
    let is = |metric: i64| move |reading: &Reading| sample(reading).filter(|sample| sample.metric == MetricMilli(metric * 1000));
    reader.until(id, "all of it at first", is(7)).await?;
    let stuck = reader.until(id, "nothing that moves", is(0)).await?;
    ensure!(stuck.activity == Activity::Known(true), "what is stuck is work all the same: {stuck:?}");
    other.commit("stuck", "stuck", &[None, Some(2)])?;
    reader.until(id, "the partition that moved", is(3)).await?;
    reader.until(id, "nothing that moves again", is(0)).await?;
    Ok(())
}

/// A token endpoint that knows one client; its tokens have no signature, and end in 2100.
async fn token_endpoint() -> Result<String> {
    const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJvcmRlcnMiLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6NDEwMjQ0NDgwMH0.";
    async fn grant(headers: HeaderMap, body: String) -> (StatusCode, String) {
        // orders:s3cret-word, as the standard has it in the header.
        let known = headers.get("authorization").is_some_and(|shown| shown == "Basic b3JkZXJzOnMzY3JldC13b3Jk");
        let asks = body.contains("grant_type=client_credentials");
        if known && asks {
            (StatusCode::OK, json!({"access_token": TOKEN, "expires_in": 300}).to_string())
        } else {
            (StatusCode::UNAUTHORIZED, String::new())
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/token", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/token", post(grant))).await });
    Ok(url)
}

async fn users_and_certificates_are_let_in(kafka: &Kafka) -> Result<()> {
    let mut reader = Reader::new();
    let (login, tls) = (kafka.login_address(), kafka.tls());
    let topic = [("topic", "orders"), ("partitionLimitation", "3")];
    let certificate = [("tls", "enable"), ("cert", tls.certificate.as_str()), ("key", tls.key.as_str())];
    let with_authority = [&certificate[..], &[("ca", tls.authority.as_str())]].concat();
    for (name, sasl) in [("plain", "plaintext"), ("scram", "scram_sha256"), ("scram", "scram_sha512")] {
        let auth = [("sasl", sasl), ("username", name), ("password", PASSWORD)];
        reader.metric(trigger_at(login, "orders", &topic, &auth)?, 1).await.with_context(|| sasl.to_owned())?;
    }
    reader.metric(trigger_at(kafka.tls_address(), "orders", &topic, &with_authority)?, 1).await.context("our certificate")?;
    let endpoint = token_endpoint().await?;
    let auth = [("sasl", "oauthbearer"), ("username", "orders"), ("password", PASSWORD), ("oauthTokenEndpointUri", endpoint.as_str())];
    let extended = [&auth[..], &[("scopes", "kafka"), ("oauthExtensions", "team=blue,trace=1")]].concat();
    for auth in [&auth[..], &extended] {
        reader.metric(trigger_at(login, "orders", &topic, auth)?, 1).await.context("a token")?;
    }
    let wrong = [&auth[..1], &[("username", "orders"), ("password", "not-the-word")], &auth[3..]].concat();
    let error = reader.failure(trigger_at(login, "orders", &topic, &wrong)?).await?;
    ensure!(error.contains("no OAuth2 token") && !error.contains("not-the-word"), "a wrong secret at the token's issuer reads: {error}");
    let unsafe_ssl = [&topic[..], &[("unsafeSsl", "true")]].concat();
    reader.metric(trigger_at(kafka.tls_address(), "orders", &unsafe_ssl, &certificate)?, 1).await.context("theirs unchecked")?;
    Ok(())
}

async fn mistakes_are_told_without_secrets(kafka: &Kafka) -> Result<()> {
    let mut reader = Reader::new();
    let (login, tls) = (kafka.login_address(), kafka.tls());
    let topic = [("topic", "orders")];
    for (name, sasl) in [("plain", "plaintext"), ("scram", "scram_sha256"), ("scram", "scram_sha512"), ("nobody", "scram_sha512")] {
        let auth = [("sasl", sasl), ("username", name), ("password", "not-the-word")];
        let id = reader.set(trigger_at(login, "orders", &topic, &auth)?);
        // A proof by password takes long where nothing is optimised, so the first try may end by the clock.
        let refused =
            |reading: &Reading| reading.failure().map(|(error, _)| error.to_owned()).filter(|error| error.contains("refuses the login"));
        let error = reader.until(id, &format!("a refusal by {sasl}"), refused).await?;
        reader.poller.remove(id);
        ensure!(!error.contains("not-the-word"), "a wrong password by {sasl} reads: {error}");
    }
    let error = reader.failure(trigger_at(login, "orders", &topic, &[])?).await?;
    ensure!(error.contains("another sasl or tls"), "no login where one is wanted reads: {error}");
    let auth =
        [("sasl", "oauthbearer"), ("username", "u"), ("password", "not-the-word"), ("oauthTokenEndpointUri", "http://127.0.0.1:9/token")];
    let error = reader.failure(trigger_at(login, "orders", &topic, &auth)?).await?;
    ensure!(error.contains("no OAuth2 token from http://127.0.0.1:9/token") && !error.contains("not-the-word"), "no token reads: {error}");
    let certificate = [("tls", "enable"), ("cert", tls.certificate.as_str()), ("key", tls.key.as_str())];
    let error = reader.failure(trigger_at(kafka.tls_address(), "orders", &topic, &certificate)?).await?;
    ensure!(error.contains("error establishing connection") && error.contains("UnknownIssuer"), "an unknown authority reads: {error}");

    // A topic that is missing is its own trouble: the one beside it is read over the same connection.
    let missing = reader.set(trigger(kafka, "orders", &[("topic", "nowhere")])?);
    let error = reader.until(missing, "a failure", |reading| reading.failure().map(|(error, _)| error.to_owned())).await?;
    ensure!(error.contains("topic \"nowhere\" does not exist"), "a missing topic reads: {error}");
    reader.metric(trigger(kafka, "orders", &[("topic", "orders"), ("partitionLimitation", "0,3")])?, 1).await.context("beside it")?;
    reader.poller.remove(missing);
    let none = [("topic", "orders"), ("partitionLimitation", "17")];
    let error = reader.failure(trigger(kafka, "orders", &none)?).await?;
    ensure!(error.contains("none of the partitions"), "partitions that are not there read: {error}");
    let error = reader.failure(trigger(kafka, "orders", &[("topic", "no topic")])?).await?;
    ensure!(error.contains("INVALID_TOPIC_EXCEPTION"), "what can be no topic reads: {error}");
    Ok(())
}

async fn an_outage_is_stale_and_then_over(kafka: &mut Kafka, other: &Other) -> Result<()> {
    let mut reader = Reader::new();
    let one = |sample: &Sample| sample.metric == MetricMilli(1000);
    let stale = |reading: &Reading| if let Reading::Stale { last, error, .. } = reading { one(last).then(|| error.clone()) } else { None };
    let topic = [("topic", "orders"), ("partitionLimitation", "3")];
    let auth = [("sasl", "scram_sha256"), ("username", "scram"), ("password", PASSWORD)];
    let triggers =
        [trigger(kafka, "orders", &topic)?, trigger_at(kafka.login_address(), "orders", &topic, &auth)?].map(|at| reader.set(at));
    for id in triggers {
        reader.until(id, "a value", |reading| sample(reading).filter(one)).await?;
    }
    // It hangs: it keeps its connections and answers nothing.
    kafka.pause()?;
    for id in triggers {
        let error = reader.until(id, "the last value as stale", stale).await?;
        ensure!(error.contains("did not answer within 1000 ms") && error.contains("127.0.0.1"), "a broker that hangs reads: {error}");
    }
    kafka.resume()?;
    for id in triggers {
        reader.until(id, "a value after it hung", |reading| sample(reading).filter(one)).await?;
    }
    kafka.kill();
    for id in triggers {
        let error = reader.until(id, "the last value as stale", stale).await?;
        ensure!(error.contains("error establishing connection") && !error.contains(PASSWORD), "a broker that is gone reads: {error}");
    }
    kafka.start_again().await?;
    for id in triggers {
        reader.until(id, "a value after it was gone", |reading| sample(reading).filter(one)).await?;
    }
    // What waits in it has changed meanwhile, and the same triggers see it.
    other.write("orders", &[0, 0, 0, 1])?;
    for id in triggers {
        reader.until(id, "a message more", |reading| sample(reading).filter(|sample| sample.metric == MetricMilli(2000))).await?;
    }
    Ok(())
}
