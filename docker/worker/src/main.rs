//! The program: reads its arguments, runs one of three commands, prints JSON.

mod arguments;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::Serialize;
use springtide_worker::{
    Amqp, BrokerUrl, Event, Fleet, FleetOptions, Grace, Pod, PodEvent, PublishOptions, Publisher, Stage, pods_by_hand,
};
use tokio::io::AsyncWriteExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Command, Publish, Serve, Work};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The clients print as errors what this program handles: an outage is one warning of ours.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,lapin=off,kube_client=off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init();
    let outcome = match arguments.command {
        Command::Publish(arguments) => publish(arguments).await,
        Command::Work(arguments) => work(arguments).await,
        Command::Serve(arguments) => serve(arguments).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("springtide-worker: {}", sentence(&error));
            ExitCode::from(2)
        }
    }
}

async fn publish(arguments: Publish) -> anyhow::Result<()> {
    let url: BrokerUrl = arguments.place.url.parse()?;
    let publisher = Publisher::connect(&url).await?;
    if arguments.declare {
        publisher.declare(&arguments.place.queue).await?;
    }
    let options = PublishOptions { queue: arguments.place.queue, count: arguments.count, size: arguments.size, rate_per_s: arguments.rate };
    let published = publisher.publish(&options).await?;
    publisher.close().await;
    print(&published)
}

async fn work(arguments: Work) -> anyhow::Result<()> {
    let url: BrokerUrl = arguments.place.url.parse()?;
    let client = client(arguments.kubeconfig.as_deref()).await?;
    let mut stop = Stop::listen()?;
    let mut options = FleetOptions::new(arguments.service_time).with_grace(arguments.grace.into());
    let events = match &arguments.events {
        Some(path) => Some(write_events(path, options.listen()).await?),
        None => None,
    };
    let fleet = Fleet::start(client, arguments.deployment, url, &arguments.place.queue, options);
    let done = async {
        match arguments.until_done {
            Some(messages) => fleet.done(messages).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stop.asked() => {}
        _ = done => {}
    }
    let report = fleet.stop().await;
    if let Some(events) = events {
        events.await.context("writing events")??;
    }
    if arguments.report == Path::new("-") {
        return print(&report);
    }
    let text = serde_json::to_string_pretty(&report)? + "\n";
    tokio::fs::write(&arguments.report, text).await.with_context(|| format!("writing {}", arguments.report.display()))
}

async fn serve(arguments: Serve) -> anyhow::Result<()> {
    let url: BrokerUrl = arguments.place.url.parse()?;
    let mut stop = Stop::listen()?;
    let mut options = FleetOptions::new(arguments.service_time).with_grace(Grace::Finish);
    let events = write_events(Path::new("-"), options.listen()).await?;
    // A fleet of one, whose only pod is this process.
    let (pods, source) = pods_by_hand();
    let pod = |stage| Pod { uid: "self".into(), name: arguments.name.clone(), stage, grace: arguments.grace_period };
    pods.send(PodEvent::Seen(pod(Stage::Running)))?;
    let fleet = Fleet::start_with(source, std::sync::Arc::new(Amqp::new(url, &arguments.place.queue)), options);
    stop.asked().await;
    pods.send(PodEvent::Seen(pod(Stage::Terminating)))?;
    tokio::select! {
        _ = fleet.vacated() => {}
        // Asked twice, it gives its message back at once.
        () = stop.asked() => {}
    }
    fleet.stop().await;
    events.await.context("writing events")?
}

async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<kube::Client> {
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).with_context(|| format!("reading {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None => kube::Config::infer().await.context("finding the cluster; name a file with --kubeconfig")?,
    };
    Ok(kube::Client::try_from(config)?)
}

/// The signals that ask a program to end.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Writes events as they come, one line each, and ends with the fleet.
async fn write_events(path: &Path, mut events: mpsc::UnboundedReceiver<Event>) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let mut file: Box<dyn tokio::io::AsyncWrite + Send + Unpin> = if path == Path::new("-") {
        Box::new(tokio::io::stdout())
    } else {
        Box::new(tokio::fs::File::create(path).await.with_context(|| format!("creating {}", path.display()))?)
    };
    Ok(tokio::spawn(async move {
        let mut batch = Vec::new();
        while events.recv_many(&mut batch, 1024).await > 0 {
            let mut text = Vec::new();
            for event in batch.drain(..) {
                serde_json::to_writer(&mut text, &event)?;
                text.push(b'\n');
            }
            file.write_all(&text).await?;
            file.flush().await?;
        }
        Ok(())
    }))
}

/// An error and its causes, without those that the one above repeats.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
    }
    text
}

fn print(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    Ok(writeln!(out)?)
}
