//! How long one poll of many triggers takes, from its begin to the last reading: 5,000 lists, and 5,000 consumer groups, of one Redis, read through what the
//! daemon uses.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redis::{Client, ConnectionAddr, IntoConnectionInfo, cmd, pipe};
use springtide_core::Timestamp;
use springtide_core::name::Key;
use springtide_core::reading::Reading;
use springtide_scalers::{AuthParams, Options, Poller, ResolvedEnv, Trigger, TriggerId, parse};
use springtide_testbed::{Redis, RedisLogin};
use tokio::sync::mpsc;
use tokio::time::timeout;

const TRIGGERS: u64 = 5_000;
/// The time of so many polls counts, in the middle.
const POLLS: usize = 9;
/// Longer than any poll takes, so that none is late because of the one before.
const INTERVAL: Duration = Duration::from_secs(1);
/// A poll of all triggers of a large cluster has to leave most of a second to everything else.
const BOUND_MS: i64 = 200;

/// The time of a poll of lists, in ms.
pub(crate) async fn measure() -> Result<i64> {
    let redis = Redis::start(RedisLogin::default()).await?;
    let address = redis.address();
    let info = ConnectionAddr::Tcp(address.ip().to_string(), address.port()).into_connection_info()?;
    let mut connection = Client::open(info)?.get_multiplexed_async_connection().await?;
    // As many at a time as the client waits for.
    for from in (0..TRIGGERS).step_by(500) {
        let mut pipeline = pipe();
        for nth in from..from + 500 {
            pipeline.add_command(cmd("RPUSH").arg(format!("list-{nth}")).arg(&["x", "y", "z"]).take()).ignore();
            pipeline.add_command(cmd("XADD").arg(format!("stream-{nth}")).arg(&["*", "a", "1"]).take()).ignore();
            pipeline.add_command(cmd("XGROUP").arg("CREATE").arg(format!("stream-{nth}")).arg(&["workers", "0"]).take()).ignore();
        }
        pipeline.exec_async(&mut connection).await.context("filling Redis")?;
    }
    let address = address.to_string();
    let lists = middle_poll(|nth| trigger("redis", &[("address", &address), ("listName", &format!("list-{nth}"))])).await?;
    let streams = middle_poll(|nth| {
        let stream = format!("stream-{nth}");
        trigger("redis-streams", &[("address", &address), ("stream", &stream), ("consumerGroup", "workers"), ("lagCount", "5")])
    });
    let streams = streams.await?;
    println!("one poll of {TRIGGERS} triggers of one Redis: lists {lists} ms, streams {streams} ms (bound {BOUND_MS} ms)");
    Ok(lists)
}

fn trigger(kind: &str, metadata: &[(&str, &str)]) -> Result<Trigger> {
    let metadata: BTreeMap<String, String> = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    parse(&Key::new("default", "object"), kind, &metadata, &AuthParams::new(), &ResolvedEnv::new())
        .map_err(|problems| anyhow::anyhow!("{problems:?}"))
}

/// The median time of a poll, in ms.
async fn middle_poll(trigger: impl Fn(u64) -> Result<Trigger>) -> Result<i64> {
    let (tx, mut polled) = mpsc::channel(1024);
    let poller = Poller::with_options(tx, Options::default());
    for nth in 0..TRIGGERS {
        poller.set(TriggerId(nth), trigger(nth)?, INTERVAL);
    }
    // Readings of one poll have one time, that of its begin.
    let mut arrived: HashMap<Timestamp, u64> = HashMap::new();
    let mut times = Vec::new();
    while times.len() < POLLS {
        let polled = timeout(INTERVAL * 10, polled.recv()).await.context("nothing was read for long")?.context("the poller has ended")?;
        let Reading::Value(sample) = polled.reading else { anyhow::bail!("a read failed: {:?}", polled.reading) };
        ensure!(sample.metric.0 > 0, "an empty key was read");
        let count = arrived.entry(sample.as_of).or_default();
        *count += 1;
        if *count == TRIGGERS {
            times.push(Timestamp::now().duration_since(sample.as_of).as_millis());
        }
    }
    times.sort_unstable();
    println!("{POLLS} polls took {times:?} ms");
    Ok(i64::try_from(times[POLLS / 2])?)
}
