//! The whole path at full size: 1,000 messages of 10 s at once, from no replicas, on machines that take 30 s to boot, and back to nothing.
//!
//! Prints each run, what KEDA with the HPA and Karpenter came to on the same parts, and at last one line with the medians.

#[path = "../../tests/stage/mod.rs"]
mod stage;

mod measure;

use std::time::Duration;

use anyhow::Result;
use springtide_testbed::{Rabbit, RabbitOptions};

use self::measure::{Disturbance, Measured, run};
use self::stage::Stage;

/// The daemon's program, built with this benchmark.
const PROGRAM: &str = env!("CARGO_BIN_EXE_springtide");
/// What is measured at five phases of the one-second poll.
const PHASES: u32 = 5;
/// How many times the daemon is killed on the way, each time in a run of its own.
const KILLS: u32 = 10;

#[tokio::main]
async fn main() -> Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let rabbit = Rabbit::start(RabbitOptions::default()).await?;
    let stage = Stage::open(&rabbit, "bench").await?;
    stage.plane.apply(&stage::manifests::pool("30s", "30s")).await?;
    let queue = stage.queue(&measure::worker()).await?;
    let mut runs: Vec<Measured> = Vec::new();
    for phase in 0..if quick { 1 } else { PHASES } {
        let measured = run(&stage, &queue, PROGRAM, Disturbance::None { phase: Duration::from_secs(1) * phase / PHASES }).await?;
        println!("run {}: {measured}", phase + 1);
        runs.push(measured);
    }
    if !quick {
        for kill in 0..KILLS {
            // Spread over the first 60 s by the golden ratio: moments that no one chose.
            let at = Duration::from_secs_f64((f64::from(kill) * 0.618_034).fract() * 60.0);
            let measured = run(&stage, &queue, PROGRAM, Disturbance::Kill { at }).await?;
            println!("killed at {at:?}: {measured}; ended alike: {}", measured.ended_alike());
        }
        let measured = run(&stage, &queue, PROGRAM, Disturbance::Outage { at: Duration::from_secs(50), lasts: Duration::from_secs(20) }).await?;
        println!("API server away for 20 s: {measured}; ended alike: {}", measured.ended_alike());
    }
    println!("peers: KEDA + HPA + Karpenter by default: 100th worker 132 s, nodes gone 445 s after the queue was empty, 0.29 USD");
    println!("peers: the same, tuned by an expert: 44 s, 200 s, 0.14 USD; with a disruption budget of 100 % as well: 75 s, 0.117 USD");
    println!("floor: 30 s of boot and 10,000 s of work on machines bought to measure: 0.074 USD");
    println!("{}", Measured::medians(&runs));
    Ok(())
}
