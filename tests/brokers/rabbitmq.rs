//! RabbitMQ's scaler on a real RabbitMQ: what it counts over AMQP and over the management interface, what it says of mistakes, and how it lives through an
//! outage.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::json;
use springtide_core::reading::{Reading, Sample};
use springtide_core::units::MetricMilli;
use springtide_scalers::Trigger;
use springtide_testbed::{Rabbit, RabbitOptions, TcpProxy};
use springtide_worker::{Amqp, Broker, PublishOptions, Publisher, Subscription};

use super::reader::{self, Reader, sample};

/// A trigger at this host.
fn trigger(host: &str, metadata: &[(&str, &str)]) -> Result<Trigger> {
    reader::trigger("rabbitmq", metadata, &[("host", host)])
}

fn length<'a>(queue: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [("queueName", queue), ("mode", "QueueLength"), ("value", "1")].iter().chain(more).copied().collect()
}

/// A queue with messages.
async fn fill(url: &str, queue: &str, count: u64) -> Result<()> {
    let publisher = Publisher::connect(&url.parse()?).await?;
    publisher.declare(queue).await?;
    publisher.publish(&PublishOptions { queue: queue.to_owned(), count, size: 10, rate_per_s: None }).await?;
    publisher.close().await;
    Ok(())
}

/// Consumers that hold a message each.
async fn hold(url: &str, queue: &str, count: usize) -> Result<Vec<Box<dyn Subscription>>> {
    let broker = Amqp::new(url.parse()?, queue);
    let mut held = Vec::new();
    for number in 0..count {
        let mut subscription = broker.subscribe(&format!("holder-{number}")).await?;
        subscription.next().await?;
        held.push(subscription);
    }
    Ok(held)
}

fn address(rabbit: &Rabbit) -> Result<SocketAddr> {
    let url = rabbit.http_url();
    url.rsplit('@').next().and_then(|address| address.parse().ok()).with_context(|| format!("no address in {url}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_is_read_as_it_is() -> Result<()> {
    let rabbit = Rabbit::start(RabbitOptions { collect_statistics_interval: Duration::from_millis(500) }).await?;
    // The management interface counts anew every few seconds, so those that wait for it wait together, each in its own virtual host.
    tokio::try_join!(
        what_workers_hold_counts_over_http_alone(&rabbit),
        several_queues_become_one(&rabbit),
        rates_show_what_moves(&rabbit),
        odd_names_of_virtual_hosts_are_found(&rabbit),
    )?;
    mistakes_are_told_without_secrets(&rabbit).await?;
    an_outage_is_stale_and_then_over(&rabbit).await
}

async fn what_workers_hold_counts_over_http_alone(rabbit: &Rabbit) -> Result<()> {
    let mut reader = Reader::new();
    rabbit.create_vhost("held").await?;
    let (amqp, http) = (rabbit.amqp_url_of("held"), format!("{}/held", rabbit.http_url()));
    fill(&amqp, "orders", 7).await?;
    let held = hold(&amqp, "orders", 3).await?;

    let over_amqp = reader.metric(trigger(&amqp, &length("orders", &[]))?, 4).await?;
    ensure!((over_amqp.ready, over_amqp.in_flight) == (Some(4), None), "AMQP tells what is ready and no more: {over_amqp:?}");
    // The counts of the management interface come a moment later, and not all at once.
    let id = reader.set(trigger(&http, &length("orders", &[]))?);
    let all =
        |sample: &Sample| (sample.metric, sample.ready, sample.in_flight, sample.arrived) == (MetricMilli(7000), Some(4), Some(3), Some(7));
    reader.until(id, "7 messages, of which workers hold 3", |reading| sample(reading).filter(all)).await?;
    reader.metric(trigger(&http, &length("orders", &[("excludeUnacknowledged", "true")]))?, 4).await?;

    // One more is done: the same trigger sees it.
    let mut held = held;
    let mut one = held.pop().context("three hold a message")?;
    one.acknowledge().await;
    one.close().await;
    let fewer = |sample: &Sample| sample.metric == MetricMilli(6000) && sample.done == Some(1);
    reader.until(id, "6 messages, and one done", |reading| sample(reading).filter(fewer)).await?;
    reader.poller.remove(id);
    Ok(())
}

async fn several_queues_become_one(rabbit: &Rabbit) -> Result<()> {
    let mut reader = Reader::new();
    rabbit.create_vhost("several").await?;
    let (amqp, http) = (rabbit.amqp_url_of("several"), format!("{}/several", rabbit.http_url()));
    for (queue, count) in [("mail-a", 2), ("mail-b", 5), ("mail-c", 6), ("other", 50)] {
        fill(&amqp, queue, count).await?;
    }
    // The mean is 13 / 3, cut as KEDA does.
    for (operation, number) in [("sum", 13), ("max", 6), ("avg", 4)] {
        let metadata = length("^mail-.*$", &[("useRegex", "true"), ("operation", operation)]);
        reader.metric(trigger(&http, &metadata)?, number).await.with_context(|| format!("operation {operation}"))?;
    }
    // As many as a page holds are all that may match.
    let error = reader.failure(trigger(&http, &length("mail", &[("useRegex", "true"), ("pageSize", "2")]))?).await?;
    ensure!(error.contains("raise pageSize"), "too many queues match, and it says: {error}");
    Ok(())
}

async fn rates_show_what_moves(rabbit: &Rabbit) -> Result<()> {
    let mut reader = Reader::new();
    rabbit.create_vhost("rates").await?;
    let (amqp, http) = (rabbit.amqp_url_of("rates"), format!("{}/rates", rabbit.http_url()));
    fill(&amqp, "moving", 1).await?;
    let publisher = Publisher::connect(&amqp.parse()?).await?;
    let publishing = tokio::spawn(async move {
        // More than the scene can last; it is ended with it.
        let options = PublishOptions { queue: "moving".to_owned(), count: 10_000, size: 10, rate_per_s: Some(100.0) };
        publisher.publish(&options).await
    });
    let mut consumer = Amqp::new(amqp.parse()?, "moving").subscribe("consumer").await?;
    let consuming = tokio::spawn(async move {
        while consumer.next().await.is_ok() {
            consumer.acknowledge().await;
        }
    });
    for mode in ["MessageRate", "DeliverGetRate"] {
        let id = reader.set(trigger(&http, &[("queueName", "moving"), ("mode", mode), ("value", "10")])?);
        let moves = |sample: &Sample| sample.metric > MetricMilli(10_000);
        let sample = reader.until(id, &format!("a positive {mode}"), |reading| sample(reading).filter(moves)).await?;
        // 100 messages a second, and nothing else; the broker counts over short spans, so some leeway is its own.
        ensure!(sample.metric < MetricMilli(400_000), "{mode} of 100 a second reads {}", sample.metric);
        reader.poller.remove(id);
    }
    publishing.abort();
    consuming.abort();
    let still = trigger(&http, &[("queueName", "moving"), ("mode", "DeliverGetRate"), ("value", "10")])?;
    reader.metric(still, 0).await.context("nothing moves any more")?;
    Ok(())
}

async fn odd_names_of_virtual_hosts_are_found(rabbit: &Rabbit) -> Result<()> {
    let mut reader = Reader::new();
    // As in a URL, as itself, and how many messages it gets: each has another number, so that none is taken for another.
    let vhosts = [("%2f", "/", 1), ("team%2Fblue", "team/blue", 2), ("two%20words", "two words", 3)];
    for (encoded, plain, count) in vhosts {
        if plain != "/" {
            rabbit.create_vhost(encoded).await?;
        }
        fill(&rabbit.amqp_url_of(encoded), "same", u64::try_from(count)?).await?;
    }
    for (encoded, plain, count) in vhosts {
        let (amqp, http) = (rabbit.amqp_url_of(encoded), format!("{}/{encoded}", rabbit.http_url()));
        for host in [amqp, http] {
            let of_host = trigger(&host, &length("same", &[]))?;
            reader.metric(of_host, count).await.with_context(|| format!("virtual host {plain:?} of the URL"))?;
        }
        for host in [rabbit.amqp_url(), rabbit.http_url()] {
            let named = trigger(&host, &length("same", &[("vhostName", plain)]))?;
            reader.metric(named, count).await.with_context(|| format!("vhostName {plain:?}"))?;
        }
    }
    Ok(())
}

async fn mistakes_are_told_without_secrets(rabbit: &Rabbit) -> Result<()> {
    let mut reader = Reader::new();
    for url in [rabbit.amqp_url(), rabbit.http_url()] {
        let wrong = url.replace("guest:guest@", "guest:not-the-word@");
        let error = reader.failure(trigger(&wrong, &length("same", &[]))?).await?;
        ensure!(error.contains("refuses the login") && error.contains("check user name"), "a wrong password reads: {error}");
        ensure!(!error.contains("not-the-word"), "the password is told: {error}");

        let error = reader.failure(trigger(&url, &length("nowhere", &[]))?).await?;
        ensure!(error.contains("nowhere") && error.contains("does not exist"), "a missing queue reads: {error}");
        ensure!(!error.contains("guest"), "the login is told: {error}");
    }
    // A queue that is missing is its own trouble: the one beside it is read over the same connection.
    let url = rabbit.amqp_url();
    let missing = reader.set(trigger(&url, &length("nowhere", &[]))?);
    reader.metric(trigger(&url, &length("same", &[]))?, 1).await.context("beside a missing queue")?;
    fill(&url, "nowhere", 2).await?;
    reader
        .until(missing, "a queue that is made later", |reading| sample(reading).filter(|sample| sample.metric == MetricMilli(2000)))
        .await?;
    reader.poller.remove(missing);
    Ok(())
}

async fn an_outage_is_stale_and_then_over(rabbit: &Rabbit) -> Result<()> {
    let mut reader = Reader::new();
    let (amqp_line, http_line) = (TcpProxy::start(rabbit.amqp_address()).await?, TcpProxy::start(address(rabbit)?).await?);
    let at = |url: String, direct: SocketAddr, line: &TcpProxy| url.replace(&direct.to_string(), &line.address().to_string());
    let amqp = at(rabbit.amqp_url(), rabbit.amqp_address(), &amqp_line);
    let http = at(rabbit.http_url(), address(rabbit)?, &http_line);
    let triggers = [reader.set(trigger(&amqp, &length("same", &[]))?), reader.set(trigger(&http, &length("same", &[]))?)];
    let one = |sample: &Sample| sample.metric == MetricMilli(1000);
    let stale = |reading: &Reading| if let Reading::Stale { last, error, .. } = reading { one(last).then(|| error.clone()) } else { None };
    for id in triggers {
        reader.until(id, "a value through the line", |reading| sample(reading).filter(one)).await?;
    }

    // The line is closed and opened again.
    amqp_line.close();
    http_line.close();
    for id in triggers {
        let error = reader.until(id, "the last value as stale", stale).await?;
        ensure!(error.contains("127.0.0.1") && !error.contains("guest"), "a cut line reads: {error}");
    }
    amqp_line.open();
    http_line.open();
    for id in triggers {
        reader.until(id, "a value after the outage", |reading| sample(reading).filter(one)).await?;
    }

    // Connections that are cut and can be made anew at once are nothing to speak of.
    amqp_line.cut();
    http_line.cut();
    for id in triggers {
        let next = reader.until(id, "the next reading", |reading| Some(reading.clone())).await?;
        ensure!(sample(&next).is_some(), "a connection that was cut once reads: {next:?}");
    }

    // The broker hangs: it keeps its connections and answers nothing.
    rabbit.pause()?;
    for id in triggers {
        let error = reader.until(id, "the last value as stale", stale).await?;
        ensure!(error.contains("did not answer within 1000 ms"), "a broker that hangs reads: {error}");
    }
    rabbit.resume()?;
    for id in triggers {
        reader.until(id, "a value after the broker hung", |reading| sample(reading).filter(one)).await?;
    }
    // What waits in it has changed meanwhile, and the same triggers see it.
    rabbit.manage(Method::DELETE, "queues/%2f/same/contents", json!({})).await?;
    for id in triggers {
        reader.until(id, "an empty queue", |reading| sample(reading).filter(|sample| sample.metric == MetricMilli(0))).await?;
        reader.poller.remove(id);
    }
    Ok(())
}
