//! How many requests one poll of 10,000 queues costs a RabbitMQ, which are counted on their way.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use reqwest::Method;
use serde_json::json;
use springtide_core::name::Key;
use springtide_core::reading::Reading;
use springtide_scalers::{AuthParams, Options, Poller, ResolvedEnv, Secret, TriggerId, parse};
use springtide_testbed::{Rabbit, RabbitOptions};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::rounds;

const TRIGGERS: usize = 10_000;
/// Longer than a poll takes.
const INTERVAL: Duration = Duration::from_secs(10);
/// A listing of 500 queues takes RabbitMQ a while on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(9);
/// More than this a broker should not be asked for one poll of them.
const BOUND: usize = 20;

/// Passes requests on, and counts them.
#[derive(Clone)]
struct Door {
    to: Arc<str>,
    client: reqwest::Client,
    count: Arc<AtomicUsize>,
}

async fn pass(State(door): State<Door>, request: Request) -> Response {
    door.count.fetch_add(1, Ordering::Relaxed);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut asked = door.client.get(format!("{}{path}", door.to));
    if let Some(login) = request.headers().get("authorization") {
        asked = asked.header("authorization", login);
    }
    match asked.send().await {
        Ok(answer) => (answer.status(), answer.bytes().await.unwrap_or_default()).into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// The requests of one poll.
pub(crate) async fn measure(arguments: &[String]) -> Result<usize> {
    let rabbit = Rabbit::start(RabbitOptions::default()).await?;
    let queues: Vec<_> = (0..TRIGGERS)
        .map(|nth| json!({"name": queue(nth), "vhost": "/", "durable": false, "auto_delete": false, "arguments": {}}))
        .collect();
    // As many at a time as it makes before nobody waits any more.
    for some in queues.chunks(500) {
        rabbit.manage(Method::POST, "definitions", json!({ "queues": some })).await.context("making queues")?;
    }
    let url = reqwest::Url::parse(&rabbit.http_url())?;
    let (user, password) = (url.username().to_owned(), url.password().unwrap_or_default().to_owned());
    let to = format!("http://{}:{}", url.host_str().context("a host")?, url.port().context("a port")?);
    let door = Door { to: to.into(), client: reqwest::Client::builder().no_proxy().build()?, count: Arc::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let host = format!("http://{user}:{password}@{}/", listener.local_addr()?);
    let router = Router::new().fallback(pass).with_state(door.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let (tx, mut polled) = mpsc::channel(1024);
    let poller = Poller::with_options(tx, Options { timeout: PATIENCE, ..Options::default() });
    let auth = AuthParams::from([("host".to_owned(), Secret::from(host.as_str()))]);
    for nth in 0..TRIGGERS {
        let metadata = [("queueName", queue(nth)), ("mode", "QueueLength".to_owned()), ("value", "5".to_owned())];
        let metadata: BTreeMap<String, String> = metadata.into_iter().map(|(key, text)| (key.to_owned(), text)).collect();
        let trigger = parse(&Key::new("default", "object"), "rabbitmq", &metadata, &auth, &ResolvedEnv::new());
        poller.set(TriggerId(nth as u64), trigger.map_err(|problems| anyhow::anyhow!("{problems:?}"))?, INTERVAL);
    }
    let (rounds, mut polls) = (rounds(arguments), 0);
    let mut before = 0;
    // The first poll finds triggers that are still being set.
    while polls <= rounds {
        let mut read = HashSet::new();
        while read.len() < TRIGGERS {
            let polled =
                timeout(INTERVAL * 6, polled.recv()).await.context("nothing was read for long")?.context("the poller has ended")?;
            match polled.reading {
                Reading::Value(_) => _ = read.insert(polled.id),
                // RabbitMQ has numbers of a new queue after some seconds.
                _ if polls == 0 => {}
                other => anyhow::bail!("a read failed: {other:?}"),
            }
        }
        if polls == 0 {
            before = door.count.load(Ordering::Relaxed);
        }
        polls += 1;
    }
    let each = (door.count.load(Ordering::Relaxed) - before).div_ceil(rounds);
    println!("one poll of {TRIGGERS} queues of one RabbitMQ: {each} requests (bound {BOUND})");
    ensure!(each > 0, "nothing was asked");
    Ok(each)
}

fn queue(nth: usize) -> String {
    format!("queue-{nth}")
}
