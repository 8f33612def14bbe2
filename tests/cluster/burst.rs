//! A burst becomes workers on nodes, and then nothing; also when the daemon is killed on the way.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::{PROGRAM, rabbit};
use crate::stage::daemon::Daemon;
use crate::stage::manifests::{Worker, neighbours, pool};
use crate::stage::observer::{Observer, Seen};
use crate::stage::{Queue, Stage};

const MESSAGES: u64 = 100;
const MINUTE: Duration = Duration::from_secs(60);
const FLAGS: [&str; 2] = ["--lease-duration", "5s"];
/// A broker on the same machine has answered by then whatever was asked before.
const ANSWERED: Duration = Duration::from_millis(200);

/// What one run came to.
#[derive(Debug)]
struct Run {
    machines_peak: usize,
    machines_ever: usize,
    /// What all claims cost together.
    usd_per_hour: f64,
    /// Claims that were for nothing: no worker was ever on their nodes.
    idle: Vec<String>,
}

fn worker(name: &str) -> Worker<'_> {
    Worker { name, service_time: Duration::from_secs(2), value: 10, max: 10, cooldown_s: 5 }
}

/// Publishes a queue's burst while the daemon stands still: a poll that fell into the publishing would see a part of it. Machines would be bought for that
/// part, and then for the rest, which may take one more than all at once; and runs are compared by their machines.
async fn publish(stage: &Stage, queue: &Queue, daemon: &Mutex<Option<Daemon>>) -> Result<()> {
    let daemon = daemon.lock().await;
    if let Some(daemon) = &*daemon {
        daemon.pause()?;
        tokio::time::sleep(ANSWERED).await;
    }
    let published = stage.publish(&queue.name, MESSAGES).await;
    daemon.as_ref().map_or(Ok(()), Daemon::resume)?;
    published.map(drop)
}

/// A second queue bursts 3 s after the first; `disturb` happens on the way.
async fn run(
    stage: &Stage,
    queues: &[Queue; 2],
    daemon: &Mutex<Option<Daemon>>,
    done_before: u64,
    disturb: impl AsyncFnOnce() -> Result<()>,
) -> Result<Run> {
    let observer = Observer::start(&stage.client);
    publish(stage, &queues[0], daemon).await?;
    let second = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        publish(stage, &queues[1], daemon).await
    };
    let (published, disturbed) = tokio::join!(second, disturb());
    published?;
    disturbed?;
    observer.until("all workers of both queues run", MINUTE, |seen| queues.iter().all(|queue| seen.running(&queue.name) == 10)).await?;
    for queue in queues {
        let report = tokio::time::timeout(MINUTE, queue.fleet.done(done_before + MESSAGES)).await?;
        ensure!(report.busy_stopped == 0, "{}: {} busy workers were stopped", queue.name, report.busy_stopped);
        ensure!(report.redelivered == 0, "{}: {} messages were delivered twice", queue.name, report.redelivered);
    }
    for queue in queues {
        stage.until_replicas(&queue.name, 0, MINUTE).await?;
    }
    let gone = |seen: &Seen| Seen::alive(&seen.nodes) == 0 && Seen::alive(&seen.claims) == 0 && Seen::alive(&seen.machines) == 0;
    let seen = observer.until("no node, claim or machine of ours is left", MINUTE, gone).await?;
    let workers = || queues.iter().flat_map(|queue| seen.pods_of(&queue.name));
    let idle = seen.claims.iter().filter(|(_, claim)| claim.place.is_none() || !workers().any(|pod| pod.place == claim.place));
    Ok(Run {
        machines_peak: seen.machines_peak,
        machines_ever: seen.machines.len(),
        usd_per_hour: seen.claims.values().map(|claim| claim.price).sum(),
        idle: idle.map(|(name, _)| name.clone()).collect(),
    })
}

/// Each machine was needed, and none had to be replaced.
fn nothing_in_vain(run: &Run, what: &str) -> Result<()> {
    ensure!(run.idle.is_empty(), "{what}: no worker was ever on {:?}", run.idle);
    let Run { machines_peak, machines_ever, .. } = run;
    ensure!(machines_ever == machines_peak, "{what}: {machines_ever} machines were started where {machines_peak} were needed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_becomes_workers_on_nodes_and_then_nothing() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open(&rabbit, "burst").await?;
    stage.plane.apply(&pool("5s", "5s")).await?;
    stage.plane.apply(&neighbours()).await?;
    let queues = [stage.queue(&worker("orders")).await?, stage.queue(&worker("mails")).await?];
    let daemon = Mutex::new(Some(stage.daemon(PROGRAM, &FLAGS).await?));

    let calm = run(&stage, &queues, &daemon, 0, async || Ok(())).await?;
    nothing_in_vain(&calm, "undisturbed")?;

    // The same once more, and the daemon is killed at some moment between the first reading and the last pod.
    let moment = Duration::from_millis(u64::try_from(Timestamp::now().as_millisecond().rem_euclid(9_000))? + 200);
    println!("the daemon is killed {moment:?} after the burst");
    let mut heir = None;
    let killed = run(&stage, &queues, &daemon, MESSAGES, async || {
        tokio::time::sleep(moment).await;
        daemon.lock().await.take().context("the daemon was there")?.kill()?;
        // Its heir waits for the Lease, as a standby in a cluster would: long after the last message was published.
        heir = Some(stage.daemon(PROGRAM, &FLAGS).await?);
        Ok(())
    })
    .await?;
    drop(heir);
    // Workers are of one size, so that it matters to none of them for whom a machine was bought: 12 CPUs hold the ten of a queue, and 24 hold all of them,
    // whichever part of that the heir found begun.
    let what = format!("killed after {moment:?}");
    nothing_in_vain(&killed, &what)?;
    ensure!(
        killed.machines_ever <= calm.machines_ever && killed.usd_per_hour <= calm.usd_per_hour * 1.001,
        "{what}: {killed:?}, and without the kill {calm:?}"
    );
    Ok(())
}
