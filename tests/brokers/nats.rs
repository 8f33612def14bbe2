//! JetStream's scaler on real servers: what a consumer was not given and what it holds, and who knows it in a cluster.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use springtide_core::reading::{Reading, Sample};
use springtide_core::units::MetricMilli;
use springtide_scalers::Trigger;
use springtide_testbed::{Nats, TcpProxy};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::reader::{self, Reader, WITHIN, sample};

/// As much of a client as puts messages in and takes them out: lines of NATS' text protocol.
struct Client {
    stream: BufReader<TcpStream>,
    asked: u32,
}

impl Client {
    async fn connect(address: SocketAddr) -> Result<Self> {
        let mut client = Self { stream: BufReader::new(TcpStream::connect(address).await?), asked: 0 };
        client.stream.write_all(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB inbox.* 1\r\n").await?;
        Ok(client)
    }

    async fn publish(&mut self, subject: &str, reply: &str, payload: &str) -> Result<()> {
        let line = format!("PUB {subject} {reply} {}\r\n{payload}\r\n", payload.len());
        Ok(self.stream.write_all(line.as_bytes()).await?)
    }

    /// Sends a request and waits for its reply: where that wants its own, and the payload.
    async fn request(&mut self, subject: &str, payload: &str) -> Result<(String, String)> {
        self.asked += 1;
        let inbox = format!("inbox.{}", self.asked);
        self.publish(subject, &inbox, payload).await?;
        timeout(WITHIN, self.reply(&inbox)).await.with_context(|| format!("no reply to {subject}"))?
    }

    async fn reply(&mut self, inbox: &str) -> Result<(String, String)> {
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line).await? > 0, "the server has gone");
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["PING"] => self.stream.write_all(b"PONG\r\n").await?,
                // HMSG has the headers' size before the whole.
                [kind @ ("MSG" | "HMSG"), subject, _, rest @ .., size] => {
                    let mut payload = vec![0; size.parse::<usize>()? + 2];
                    self.stream.read_exact(&mut payload).await?;
                    let to = if rest.len() > usize::from(*kind == "HMSG") { rest[0] } else { "" };
                    // A message of a stream comes under its own subject.
                    if *subject == inbox || to.starts_with("$JS.ACK") {
                        return Ok((to.to_owned(), String::from_utf8_lossy(&payload).trim().to_owned()));
                    }
                }
                ["-ERR", ..] => bail!("the server says {line}"),
                _ => {}
            }
        }
    }

    /// Asks JetStream for something, until it is ready to do it.
    async fn manage(&mut self, what: &str, body: Value) -> Result<Value> {
        let (_, answer) = self.request(&format!("$JS.API.{what}"), &body.to_string()).await?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| format!("{what}: {answer}"))?;
        ensure!(answer["error"].is_null(), "{what}: {answer}");
        Ok(answer)
    }

    async fn make(&mut self, stream: &str, replicas: u8, consumers: &[(&str, Value)]) -> Result<Value> {
        let subjects = [format!("{stream}.*")];
        let made = self
            .manage(&format!("STREAM.CREATE.{stream}"), json!({"name": stream, "subjects": subjects, "num_replicas": replicas}))
            .await?;
        for (name, more) in consumers {
            let mut config = json!({"durable_name": name, "ack_policy": "explicit"});
            config.as_object_mut().context("an object")?.extend(more.as_object().cloned().unwrap_or_default());
            self.manage(&format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"), json!({"stream_name": stream, "config": config})).await?;
        }
        Ok(made)
    }

    /// Puts messages into a stream, and waits until it has them.
    async fn fill(&mut self, subject: &str, count: usize) -> Result<()> {
        for _ in 0..count {
            let (_, answer) = self.request(subject, "work").await?;
            ensure!(answer.contains("\"seq\""), "{subject}: {answer}");
        }
        Ok(())
    }

    /// Takes messages for a consumer: where each is acknowledged.
    async fn take(&mut self, stream: &str, consumer: &str, count: usize) -> Result<Vec<String>> {
        let mut taken = Vec::new();
        for _ in 0..count {
            let (ack, _) = self.request(&format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"), "").await?;
            ensure!(ack.starts_with("$JS.ACK"), "no message but {ack:?}");
            taken.push(ack);
        }
        Ok(taken)
    }
}

fn trigger(at: SocketAddr, stream: &str, consumer: &str) -> Result<Trigger> {
    let endpoint = at.to_string();
    let metadata = [("natsServerMonitoringEndpoint", endpoint.as_str()), ("account", "$G"), ("stream", stream), ("consumer", consumer)];
    reader::trigger("nats-jetstream", &metadata, &[])
}

fn is(number: i64) -> impl Fn(&Reading) -> Option<Sample> {
    move |reading| sample(reading).filter(|sample| sample.metric == MetricMilli(number * 1000))
}

fn stale(reading: &Reading) -> Option<String> {
    if let Reading::Stale { error, .. } = reading { Some(error.clone()) } else { None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jetstream_is_read_as_it_is() -> Result<()> {
    let nats = Nats::start(1).await?;
    let node = &nats.nodes()[0];
    let mut reader = Reader::new();
    let mut client = Client::connect(node.clients()).await?;
    client.make("ORDERS", 1, &[("workers", json!({})), ("some", json!({"filter_subject": "ORDERS.new"}))]).await?;
    client.make("EMPTY", 1, &[("workers", json!({}))]).await?;
    reader.metric(trigger(node.monitoring(), "EMPTY", "workers")?, 0).await.context("an empty stream")?;

    client.fill("ORDERS.new", 3).await?;
    client.fill("ORDERS.old", 4).await?;
    let told = |sample: &Sample| (sample.ready, sample.in_flight, sample.arrived, sample.done);
    let all = reader.metric(trigger(node.monitoring(), "ORDERS", "workers")?, 7).await?;
    ensure!(told(&all) == (Some(7), Some(0), Some(7), Some(0)), "{all:?}");
    let some = reader.metric(trigger(node.monitoring(), "ORDERS", "some")?, 3).await?;
    ensure!(told(&some) == (Some(3), Some(0), None, None), "a consumer of some subjects cannot count what came for it: {some:?}");

    // Three are held, then two of them done.
    let held = client.take("ORDERS", "workers", 3).await?;
    let id = reader.set(trigger(node.monitoring(), "ORDERS", "workers")?);
    let holding = |ready, in_flight, done| {
        move |reading: &Reading| sample(reading).filter(|sample| told(sample) == (Some(ready), Some(in_flight), Some(7), Some(done)))
    };
    reader.until(id, "three in flight", holding(4, 3, 0)).await?;
    for ack in &held[..2] {
        client.request(ack, "+ACK").await?;
    }
    reader.until(id, "two done", holding(4, 1, 2)).await?;

    for (stream, consumer, words) in [
        ("ORDERS", "nobody", "consumer \"nobody\" (not found in stream \"ORDERS\") does not exist"),
        ("NOWHERE", "workers", "stream \"NOWHERE\" of account \"$G\" does not exist"),
    ] {
        let error = reader.failure(trigger(node.monitoring(), stream, consumer)?).await?;
        ensure!(error.contains(words), "{stream}/{consumer} reads: {error}");
    }
    let endpoint = node.monitoring().to_string();
    let metadata =
        [("natsServerMonitoringEndpoint", endpoint.as_str()), ("account", "nobody"), ("stream", "ORDERS"), ("consumer", "workers")];
    let error = reader.failure(reader::trigger("nats-jetstream", &metadata, &[])?).await?;
    ensure!(error.contains("nobody") && !error.contains("does not answer"), "an unknown account reads: {error}");

    // It hangs, then it is gone and back: the same trigger lives on.
    node.pause()?;
    let error = reader.until(id, "the last value as stale", stale).await?;
    ensure!(error.contains("did not answer within 1000 ms"), "a server that hangs reads: {error}");
    node.resume()?;
    reader.until(id, "a value after it hung", is(5)).await?;
    let line = TcpProxy::start(node.monitoring()).await?;
    let id = reader.set(trigger(line.address(), "ORDERS", "workers")?);
    reader.until(id, "a value through the line", is(5)).await?;
    line.close();
    let error = reader.until(id, "the last value as stale", stale).await?;
    ensure!(error.contains(&line.address().to_string()), "a line that is cut reads: {error}");
    line.open();
    reader.until(id, "a value after the outage", is(5)).await?;
    node.kill();
    reader.until(id, "the last value as stale", stale).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumers_leader_is_asked() -> Result<()> {
    let nats = Nats::start(3).await?;
    let mut reader = Reader::new();
    let first = &nats.nodes()[0];
    let mut client = Client::connect(first.clients()).await?;
    // Streams of one copy are on one node, which is another for some of them; and one is on all.
    let mut streams = Vec::new();
    for (name, replicas) in [("ONE", 1), ("TWO", 1), ("THREE", 1), ("FOUR", 1), ("EVERYWHERE", 3)] {
        client.make(name, replicas, &[("workers", json!({}))]).await?;
        streams.push(name);
    }
    for (nth, stream) in streams.iter().enumerate() {
        client.fill(&format!("{stream}.x"), nth + 1).await?;
    }
    // By whichever node is asked.
    for node in nats.nodes() {
        let ids =
            streams.iter().map(|stream| Ok(reader.set(trigger(node.monitoring(), stream, "workers")?))).collect::<Result<Vec<_>>>()?;
        for ((id, stream), number) in ids.iter().zip(&streams).zip(1..) {
            reader.until(*id, &format!("{stream} by {}", node.monitoring()), is(number)).await?;
        }
        ids.into_iter().for_each(|id| reader.poller.remove(id));
    }
    let error = reader.failure(trigger(first.monitoring(), "EVERYWHERE", "nobody")?).await?;
    ensure!(error.contains("not found in stream"), "a missing consumer reads: {error}");

    // The leader goes, and another one is found.
    let info = client.manage("CONSUMER.INFO.EVERYWHERE.workers", json!({})).await?;
    let leader = nats.named(info["cluster"]["leader"].as_str().context("a leader")?)?;
    let other = nats.nodes().iter().find(|node| node.monitoring() != leader.monitoring()).context("three nodes")?;
    let id = reader.set(trigger(other.monitoring(), "EVERYWHERE", "workers")?);
    reader.until(id, "the first leader's word", is(5)).await?;
    leader.kill();
    let mut client = Client::connect(other.clients()).await?;
    // What is said while a stream has no leader is lost, so first it has to have one; a question about it is lost likewise, and asked again.
    let led = async {
        loop {
            let asked = timeout(Duration::from_millis(300), client.manage("STREAM.INFO.EVERYWHERE", json!({}))).await;
            let info = asked.ok().and_then(Result::ok).unwrap_or_default();
            if info["cluster"]["leader"]
                .as_str()
                .is_some_and(|name| nats.named(name).is_ok_and(|node| node.monitoring() != leader.monitoring()))
            {
                return;
            }
        }
    };
    timeout(WITHIN, led).await.context("the stream has found no other leader")?;
    client.fill("EVERYWHERE.x", 1).await?;
    reader.until(id, "the second leader's word", is(6)).await?;
    Ok(())
}
