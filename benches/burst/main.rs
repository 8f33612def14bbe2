//! The whole path at full size: 1,000 messages of 10 s at once, from no replicas, on machines that take 30 s to boot, and back to nothing.
//!
//! `--quick` plays it once and undisturbed; `--bare` on a cluster that has no other node at all. Prints each run, what KEDA with the HPA and Karpenter came to on the same parts, and at last one line with the medians.

#[path = "../../tests/stage/mod.rs"]
mod stage;

mod measure;

use std::time::Duration;

use anyhow::Result;
use springtide_testbed::{Rabbit, RabbitOptions};

use self::measure::{Disturbance, Measured, run};
use self::stage::{Queue, Stage};

/// The daemon's program, built with this benchmark.
const PROGRAM: &str = env!("CARGO_BIN_EXE_springtide");
/// What is measured at five phases of the one-second poll.
const PHASES: u32 = 5;
/// How many times the daemon is killed on the way, each time in a run of its own.
const KILLS: u32 = 10;

/// So many planes side by side play the disturbed runs, in which only the end counts. The measured runs have the machine to themselves.
const SIDE_BY_SIDE: usize = 4;

#[tokio::main]
async fn main() -> Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let bare = std::env::args().any(|argument| argument == "--bare");
    let rabbit = Rabbit::start(RabbitOptions::default()).await?;
    let (stage, queue) = open(&rabbit, "bench", bare).await?;
    let mut runs: Vec<Measured> = Vec::new();
    for phase in 0..if quick { 1 } else { PHASES } {
        let measured = run(&stage, &queue, PROGRAM, Disturbance::None { phase: Duration::from_secs(1) * phase / PHASES }).await?;
        println!("run {}: {measured}", phase + 1);
        runs.push(measured);
    }
    drop((stage, queue));
    if !quick {
        disturbed(&rabbit, bare).await?;
    }
    println!("peers: KEDA + HPA + Karpenter by default: 100th worker 132 s, nodes gone 445 s after the queue was empty, 0.29 USD");
    println!("peers: the same, tuned by an expert: 44 s, 200 s, 0.14 USD; with a disruption budget of 100 % as well: 75 s, 0.117 USD");
    println!("floor: 30 s of boot and 10,000 s of work on machines bought to measure: 0.074 USD");
    println!("{}", Measured::medians(&runs));
    Ok(())
}

async fn open(rabbit: &Rabbit, vhost: &str, bare: bool) -> Result<(Stage, Queue)> {
    let stage = Stage::open(rabbit, vhost).await?;
    stage.plane.apply(&stage::manifests::pool("30s", "30s")).await?;
    if !bare {
        stage.plane.apply(&stage::manifests::system_node()).await?;
    }
    let queue = stage.queue(&measure::worker()).await?;
    Ok((stage, queue))
}

/// The daemon is killed at ten moments, and the API server is away once.
async fn disturbed(rabbit: &Rabbit, bare: bool) -> Result<()> {
    // Moments over the first 60 s by the golden ratio: nobody chose them.
    let kill = |n: u32| Disturbance::Kill { at: Duration::from_secs_f64((f64::from(n) * 0.618_034).fract() * 60.0) };
    let mut waiting: Vec<Disturbance> = (0..KILLS).map(kill).collect();
    waiting.push(Disturbance::Outage { at: Duration::from_secs(50), lasts: Duration::from_secs(20) });
    let (shares, mut players) = (waiting.len().div_ceil(SIDE_BY_SIDE), Vec::new());
    for (i, share) in waiting.chunks(shares).enumerate() {
        let vhost = format!("disturbed-{i}");
        players.push(async move {
            let (stage, queue) = open(rabbit, &vhost, bare).await?;
            for disturbance in share {
                let measured = run(&stage, &queue, PROGRAM, *disturbance).await?;
                println!("{disturbance}: {measured}; ended alike: {}", if measured.ended_alike() { "yes" } else { "NO" });
            }
            anyhow::Ok(())
        });
    }
    futures::future::try_join_all(players).await.map(drop)
}
