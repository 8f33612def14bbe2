//! One run of the burst and what is measured of it, from outside: by watches and at the broker.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;

use crate::stage::daemon::Daemon;
use crate::stage::manifests::Worker;
use crate::stage::observer::{Life, Observer, Seen, cost_usd};
use crate::stage::{Queue, Stage};

const MESSAGES: u64 = 1_000;
const WORKERS: usize = 100;
const BOOT_S: u32 = 30;
/// Nothing in a run takes longer.
const PATIENCE: Duration = Duration::from_secs(400);

/// What happens on the way.
#[derive(Debug, Clone, Copy)]
pub enum Disturbance {
    /// Nothing. The burst comes at this phase of the daemon's one-second poll.
    None {
        /// So long after a whole second of the daemon's life.
        phase: Duration,
    },
    /// The daemon is killed, and started again at once.
    Kill {
        /// So long after the burst.
        at: Duration,
    },
    /// The API server is away.
    Outage {
        /// So long after the burst.
        at: Duration,
        /// For so long.
        lasts: Duration,
    },
}

/// What came of it: seconds since the first publish, unless it says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    claim_s: f64,
    first_running_s: f64,
    last_running_s: f64,
    redelivered: u64,
    busy_stopped: u64,
    /// From the last acknowledgement.
    to_zero_s: f64,
    /// From the end of the last pod.
    nodes_gone_s: f64,
    cost_usd: f64,
    machines_peak: usize,
    machines_ever: usize,
}

/// The queue's worker as in the published measurements of the peers.
pub fn worker() -> Worker<'static> {
    Worker { name: "burst", service_time: Duration::from_secs(10), value: 10, max: 100, cooldown_s: 30 }
}

/// Runs once, from nothing to nothing.
pub async fn run(stage: &Stage, queue: &Queue, program: &str, disturbance: Disturbance) -> Result<Measured> {
    let before = queue.fleet.report();
    let observer = Observer::start(&stage.client);
    let mut daemon = Some(stage.daemon(program, &[]).await?);
    if let Disturbance::None { phase } = disturbance {
        // The phase against the poll is what is varied here; there is nothing to wait for.
        tokio::time::sleep(Duration::from_secs(2) + phase).await;
    }
    let published = stage.publish(&queue.name, MESSAGES).await?;
    let start = published.first_published.0;
    disturb(stage, program, disturbance, &mut daemon).await?;
    let report = tokio::time::timeout(PATIENCE, queue.fleet.done(before.done + MESSAGES)).await.context("wait for the last message")?;
    stage.until_replicas(&queue.name, 0, PATIENCE).await?;
    let zero = Timestamp::now();
    let nothing = |seen: &Seen| {
        let alive = |lives: &std::collections::BTreeMap<String, Life>| Seen::alive(lives) == 0;
        alive(&seen.pods) && alive(&seen.nodes) && alive(&seen.claims) && alive(&seen.machines)
    };
    let seen = observer.until("nothing is left", PATIENCE, nothing).await?;
    let last_ack = report.last_acked.context("no message was acknowledged")?.0;
    let after = |moment: Option<Timestamp>| moment.map_or(f64::NAN, |moment| moment.duration_since(start).as_secs_f64());
    let mut running: Vec<Timestamp> = seen.pods.values().filter_map(|life| life.begun).collect();
    running.sort();
    let last_pod = seen.pods.values().filter_map(|life| life.gone).max().context("no pod has ended")?;
    let last_node = seen.nodes.values().filter_map(|life| life.gone).max().context("no node has ended")?;
    if let Some(daemon) = daemon {
        daemon.stop().await?;
    }
    let at = |n: usize| after(running.get(n).copied());
    println!(
        "workers running: 1st {:.2} s, 25th {:.2}, 50th {:.2}, 75th {:.2}, 95th {:.2}, 100th {:.2}",
        at(0),
        at(24),
        at(49),
        at(74),
        at(94),
        at(99)
    );
    ensure!(running.len() >= WORKERS, "only {} workers ever ran", running.len());
    Ok(Measured {
        claim_s: after(seen.claims.values().filter_map(|life| life.seen).min()),
        first_running_s: after(running.first().copied()),
        last_running_s: after(running.get(WORKERS - 1).copied()),
        redelivered: report.redelivered - before.redelivered,
        busy_stopped: report.busy_stopped - before.busy_stopped,
        to_zero_s: zero.duration_since(last_ack).as_secs_f64(),
        nodes_gone_s: last_node.duration_since(last_pod).as_secs_f64(),
        cost_usd: cost_usd(&seen.claims, Timestamp::now()),
        machines_peak: seen.machines_peak,
        machines_ever: seen.machines.len(),
    })
}

async fn disturb(stage: &Stage, program: &str, disturbance: Disturbance, daemon: &mut Option<Daemon>) -> Result<()> {
    match disturbance {
        Disturbance::None { .. } => {}
        Disturbance::Kill { at } => {
            tokio::time::sleep(at).await;
            if let Some(daemon) = daemon.take() {
                daemon.kill()?;
            }
            *daemon = Some(stage.daemon(program, &[]).await?);
        }
        Disturbance::Outage { at, lasts } => {
            tokio::time::sleep(at).await;
            stage.plane.stop_api_server();
            tokio::time::sleep(lasts).await;
            stage.plane.start_api_server().await?;
        }
    }
    Ok(())
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None { phase } => write!(f, "undisturbed at phase {phase:?}"),
            Self::Kill { at } => write!(f, "daemon killed at {at:.1?}"),
            Self::Outage { at, lasts } => write!(f, "API server away for {lasts:?} at {at:?}"),
        }
    }
}

impl Measured {
    /// Whether a disturbed run came to the same end: everything done once, nobody disturbed at work, no machine started to replace one that was there, nothing
    /// left. How many machines there were is printed beside it and not compared: it depends on how much of the burst the first reading saw.
    pub fn ended_alike(&self) -> bool {
        self.redelivered == 0 && self.busy_stopped == 0 && self.machines_ever == self.machines_peak
    }

    /// The medians of several runs as one line.
    pub fn medians(runs: &[Self]) -> String {
        let median = |of: &dyn Fn(&Self) -> f64| {
            let mut all: Vec<f64> = runs.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
        };
        format!(
            "burst: claim_s={:.2} first_running_s={:.2} last_running_s={:.2} boot_s={BOOT_S} redelivered={} busy_stopped={} to_zero_s={:.2} nodes_gone_s={:.2} cost_usd={:.4}",
            median(&|run| run.claim_s),
            median(&|run| run.first_running_s),
            median(&|run| run.last_running_s),
            runs.iter().map(|run| run.redelivered).sum::<u64>(),
            runs.iter().map(|run| run.busy_stopped).sum::<u64>(),
            median(&|run| run.to_zero_s),
            median(&|run| run.nodes_gone_s),
            median(&|run| run.cost_usd),
        )
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "claim {:.2} s, first worker {:.2} s, 100th {:.2} s, redelivered {}, busy stopped {}, to zero {:.2} s, nodes gone {:.2} s, {:.4} USD, machines {} (at most {} at a time)",
            self.claim_s,
            self.first_running_s,
            self.last_running_s,
            self.redelivered,
            self.busy_stopped,
            self.to_zero_s,
            self.nodes_gone_s,
            self.cost_usd,
            self.machines_ever,
            self.machines_peak
        )
    }
}
