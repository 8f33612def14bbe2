//! A burst becomes workers on nodes, and then nothing; also when the daemon is killed on the way.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;

use super::{PROGRAM, rabbit};
use crate::stage::manifests::{Worker, neighbours, pool};
use crate::stage::observer::{Observer, Seen};
use crate::stage::{Queue, Stage};

const MESSAGES: u64 = 100;

/// What one run came to.
struct Run {
    machines_peak: usize,
    machines_ever: usize,
}

fn worker(name: &str) -> Worker<'_> {
    Worker { name, service_time: Duration::from_secs(2), value: 10, max: 10, cooldown_s: 5 }
}

/// A second queue bursts 3 s after the first; `disturb` happens on the way.
async fn run(stage: &Stage, queues: &[Queue; 2], done_before: u64, disturb: impl AsyncFnOnce() -> Result<()>) -> Result<Run> {
    let observer = Observer::start(&stage.client);
    stage.publish(&queues[0].name, MESSAGES).await?;
    let second = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        stage.publish(&queues[1].name, MESSAGES).await
    };
    let (published, disturbed) = tokio::join!(second, disturb());
    published?;
    disturbed?;
    let minute = Duration::from_secs(60);
    observer.until("all workers of both queues run", minute, |seen| queues.iter().all(|queue| seen.running(&queue.name) == 10)).await?;
    for queue in queues {
        let report = tokio::time::timeout(minute, queue.fleet.done(done_before + MESSAGES)).await?;
        ensure!(report.busy_stopped == 0, "{}: {} busy workers were stopped", queue.name, report.busy_stopped);
        ensure!(report.redelivered == 0, "{}: {} messages were delivered twice", queue.name, report.redelivered);
    }
    for queue in queues {
        stage.until_replicas(&queue.name, 0, minute).await?;
    }
    let gone = |seen: &Seen| Seen::alive(&seen.nodes) == 0 && Seen::alive(&seen.claims) == 0 && Seen::alive(&seen.machines) == 0;
    let seen = observer.until("no node, claim or machine of ours is left", minute, gone).await?;
    Ok(Run { machines_peak: seen.machines_peak, machines_ever: seen.machines.len() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_becomes_workers_on_nodes_and_then_nothing() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open(&rabbit, "burst").await?;
    stage.plane.apply(&pool("5s", "5s")).await?;
    stage.plane.apply(&neighbours()).await?;
    let queues = [stage.queue(&worker("orders")).await?, stage.queue(&worker("mails")).await?];
    let daemon = stage.daemon(PROGRAM, &["--lease-duration", "5s"]).await?;

    let calm = run(&stage, &queues, 0, async || Ok(())).await?;
    ensure!(
        calm.machines_ever == calm.machines_peak,
        "{} machines were started where {} were needed",
        calm.machines_ever,
        calm.machines_peak
    );

    // The same once more, and the daemon is killed at some moment between the first reading and the last pod.
    let moment = Duration::from_millis(u64::try_from(Timestamp::now().as_millisecond().rem_euclid(9_000))? + 200);
    println!("the daemon is killed {moment:?} after the burst");
    let mut heir = None;
    let killed = run(&stage, &queues, MESSAGES, async || {
        tokio::time::sleep(moment).await;
        daemon.kill()?;
        // Its heir waits for the Lease, as a standby in a cluster would.
        heir = Some(stage.daemon(PROGRAM, &["--lease-duration", "5s"]).await?);
        Ok(())
    })
    .await?;
    drop(heir);
    // What a claim was bought for dies with the daemon (ARCHITECTURE.md, Memory): pods that still wait are packed anew onto the claims, for which one machine
    // more may be needed. A claim that was forgotten would cost as many as it has.
    ensure!(
        killed.machines_peak <= calm.machines_peak + 1,
        "killed after {moment:?}: {} machines at one time, and {} without the kill",
        killed.machines_peak,
        calm.machines_peak
    );
    Ok(())
}
