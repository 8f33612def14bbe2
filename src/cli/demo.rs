//! `springtide demo`: a whole world in one process, with a page to watch it.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use springtide_core::Span;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Output;
use crate::web;
use crate::web::view::View;
use crate::world::World;

/// The page and the terminal are told this often.
const TICK: Duration = Duration::from_millis(100);
/// The terminal gets a line about the whole this often, in the world's time.
const LINE: f64 = 10.0;
/// Longer than any story: its world says so itself when it does not end.
const FOREVER: Span = Span::from_hours(24);

/// Watch it work, without any cluster, broker or cloud account.
///
/// A queue gets bursts of messages; the decider that runs in a cluster starts workers and, in the same moment, the cheapest machines for them; a simulated
/// cloud boots machines in 30 to 45 s, runs out of Spot capacity, and takes machines back.
#[derive(Args)]
#[command(after_help = "Examples:\n  springtide demo\n  springtide demo --headless --until-drained -o json --seed 7")]
pub struct Demo {
    /// Where chance begins: the same seed tells the same story.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much faster than a watch the world's time runs.
    #[arg(long, default_value_t = 10.0, value_name = "FACTOR")]
    speed: f64,
    /// The port of the page on 127.0.0.1; where it is taken, the next free one.
    #[arg(long, default_value_t = web::PORT)]
    port: u16,
    /// No page and no watch: the world's time runs as fast as it can, to its end; --speed and --port do not matter then.
    #[arg(long)]
    headless: bool,
    /// End when all messages are done and the last machine is gone.
    #[arg(long)]
    until_drained: bool,
    /// How to print the figures at the end.
    #[arg(short, long, default_value = "text")]
    output: Output,
}

impl Demo {
    /// Runs until it is told to stop, or until all is done.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let speeds = 0.001..=10_000.0;
        ensure!(
            speeds.contains(&self.speed),
            "--speed: {} is not from 0.001 to 10000; give a factor such as 10, or use --headless",
            self.speed
        );
        let world = World::demo(self.seed).context("make the world of the demo")?;
        let view = if self.headless {
            headless(world, self.output)?
        } else {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
            runtime.block_on(self.watched(world))?
        };
        let mut out = std::io::stdout().lock();
        match self.output {
            Output::Json => {
                serde_json::to_writer_pretty(&mut out, &view).context("write to standard output")?;
                writeln!(out).context("write to standard output")?;
            }
            Output::Text => summary(&mut out, &view).context("write to standard output")?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn watched(&self, mut world: World) -> anyhow::Result<View> {
        let mut account = Account::new(self.output);
        let view = |world: &World| world.view(Some(self.speed));
        let (views, watched) = watch::channel(Arc::new(view(&world)));
        let page = web::serve((Ipv4Addr::LOCALHOST, self.port).into(), watched).await.context("serve the page")?;
        account.page(&page.to_string(), self.seed, self.speed);
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        let stop = tokio::signal::ctrl_c();
        tokio::pin!(stop);
        let mut drained = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut stop => return Ok(view(&world)),
            }
            if drained {
                continue;
            }
            let elapsed = begun.elapsed().as_secs_f64() * self.speed;
            drained = world.run_until(Span::try_from_secs_f64(elapsed).unwrap_or(FOREVER))?;
            let now = view(&world);
            account.tell(&world, &now);
            views.send_replace(Arc::new(now));
            if drained && self.until_drained {
                return Ok(view(&world));
            }
            if drained {
                account.drained(&view(&world));
            }
        }
    }
}

fn headless(mut world: World, output: Output) -> anyhow::Result<View> {
    let mut account = Account::new(output);
    let mut span = Span::ZERO;
    while !world.run_until(span)? {
        account.tell(&world, &world.view(None));
        span += Span::from_secs(1);
    }
    let view = world.view(None);
    account.tell(&world, &view);
    Ok(view)
}

/// The running account on a terminal. With JSON at the end, standard output is kept for that.
struct Account {
    output: Output,
    told: u64,
    next: f64,
}

impl Account {
    const fn new(output: Output) -> Self {
        Self { output, told: 0, next: 0.0 }
    }

    fn line(&self, text: &str) {
        match self.output {
            Output::Json => eprintln!("{text}"),
            // A terminal that is gone is no reason to stop: the page goes on.
            Output::Text => drop(writeln!(std::io::stdout().lock(), "{text}")),
        }
    }

    fn page(&self, address: &str, seed: u64, speed: f64) {
        self.line(&format!("page: http://{address}/"));
        self.line(&format!("seed {seed}; one second here is {speed} in the world; Ctrl-C ends it"));
        self.line("");
    }

    /// Tells what has been decided and will not be added to any more, and now and then how the whole is.
    fn tell(&mut self, world: &World, view: &View) {
        let (told, settled) = (world.told(), if view.clock.drained { world.told() } else { world.settled() });
        let place = |number: u64| usize::try_from(told - number).unwrap_or(usize::MAX).min(view.decisions.len());
        for decision in view.decisions.iter().take(place(self.told)).skip(place(settled)).rev() {
            let times = if decision.count > 1 { format!(" (×{})", decision.count) } else { String::new() };
            let why = if decision.why.is_empty() { String::new() } else { format!(": {}", decision.why) };
            let seconds = Duration::from_millis(decision.at_ms).as_secs_f64();
            self.line(&format!("{seconds:>6.1}s  {}{times}{why}", decision.what));
        }
        self.told = self.told.max(settled);
        if view.clock.seconds >= self.next && !view.clock.drained {
            self.next = view.clock.seconds + LINE;
            self.line(&state(view));
        }
    }

    fn drained(&self, view: &View) {
        let mut text = Vec::new();
        // Writing into memory does not fail.
        drop(summary(&mut text, view));
        self.line(String::from_utf8_lossy(&text).trim_end());
        self.line("The page stays until Ctrl-C.");
    }
}

/// One line about the whole.
fn state(view: &View) -> String {
    let queues: Vec<String> =
        view.queues.iter().map(|q| format!("{} waits {} in work {} done {}", q.name, q.waiting, q.in_flight, q.done)).collect();
    let (running, wanted): (u32, u32) = view.workloads.iter().fold((0, 0), |sum, w| (sum.0 + w.running, sum.1 + w.wanted));
    let nodes =
        view.course.last().map_or_else(String::new, |p| format!("{} Spot, {} on demand, {} booting", p.spot, p.on_demand, p.booting));
    let cost = &view.cost;
    format!(
        "{:>6.1}s  -- {} | workers {running}/{wanted} | nodes: {nodes} | ${:.4} so far, ${:.4} on demand",
        view.clock.seconds,
        queues.join(", "),
        cost.so_far,
        cost.on_demand
    )
}

fn summary(out: &mut impl Write, view: &View) -> std::io::Result<()> {
    let (cost, tally) = (&view.cost, &view.tally);
    let saved = if cost.on_demand > 0.0 { 100.0 * (1.0 - cost.so_far / cost.on_demand) } else { 0.0 };
    writeln!(out, "\nafter {:.0} s of the world's time:", view.clock.seconds)?;
    for queue in &view.queues {
        let waited = |percentile: Option<f64>| percentile.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0} s"));
        writeln!(
            out,
            "  queue {}: {} of {} messages done, {} given back; waited {} (half), {} (99 of 100)",
            queue.name,
            queue.done,
            queue.arrived,
            queue.redelivered,
            waited(queue.wait_p50_seconds),
            waited(queue.wait_p99_seconds)
        )?;
    }
    writeln!(
        out,
        "  machines: {} Spot and {} on demand bought, {} at a time at most; {} taken back by the cloud; {} offerings were out of stock",
        tally.spot, tally.on_demand, tally.most_nodes, tally.interruptions, tally.stock_outs
    )?;
    writeln!(out, "  cost: ${:.4}; the same machines on demand would have been ${:.4} (saved {saved:.0} %)", cost.so_far, cost.on_demand)
}
