//! docker/compose.yaml as a person runs it: unchanged, in containers, on a Docker engine of its own. Its published images are stood in for by ones of the
//! same names that are made of the testbed's programs; the daemon's and the worker's come from docker/Dockerfile.

mod composition;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use springtide_testbed::{Engine, StandIn, Tools, static_programs};
use springtide_worker::Publisher;

use self::composition::Composition;
use crate::stage::observer::{Observer, Seen};

/// What `burst` publishes.
const MESSAGES: u64 = 100;
/// objects.yaml's `maxReplicaCount`, which the burst reaches.
const WORKERS: usize = 20;
/// A minute is what docker/README.md promises for all of it; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// Who stands in for whom.
const PUBLISHED: [(&str, StandIn); 4] = [
    ("control-plane", StandIn::Cluster),
    ("kubectl", StandIn::Kubectl),
    ("rabbitmq", StandIn::Rabbit),
    ("prometheus", StandIn::Prometheus),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn compose_file() -> PathBuf {
    root().join("docker/compose.yaml")
}

#[test]
fn every_container_is_confined_and_waits_for_what_it_needs() -> Result<()> {
    let composition = Composition::read(&Tools::ensure()?.compose, &compose_file())?;
    let wrong = composition.breaches();
    ensure!(wrong.is_empty(), "docker/compose.yaml:\n  {}", wrong.join("\n  "));
    Ok(())
}

#[test]
fn images_are_built_with_the_toolchain_that_tests_use() -> Result<()> {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).with_context(|| format!("read {path}"));
    let (pinned, dockerfile) = (read("rust-toolchain.toml")?, read("docker/Dockerfile")?);
    let version =
        pinned.lines().find_map(|line| line.strip_prefix("channel = ")).context("rust-toolchain.toml names no channel")?.trim_matches('"');
    ensure!(dockerfile.contains(&format!("FROM rust:{version}-")), "docker/Dockerfile does not build with Rust {version}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_in_containers_becomes_workers_on_nodes_and_then_nothing() -> Result<()> {
    let programs = tokio::task::spawn_blocking(|| static_programs(root(), &["springtide", "springtide-worker"])).await??;
    let engine = Engine::start().await?;
    let composition = Composition::read(&engine.tools().compose, &compose_file())?;
    let begun = Instant::now();
    for (service, stand_in) in PUBLISHED {
        stand_in.make(&engine, composition.image(service)?).await?;
    }
    build_ours(&engine, &composition, &programs).await?;
    println!(
        "images after {:.1} s:\n{}",
        begun.elapsed().as_secs_f64(),
        engine.docker(["images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}"]).await?
    );
    let played = tokio::task::block_in_place(|| engine.inside(async || play(&engine, &composition).await));
    if played.is_err() {
        let logs = engine.compose(&compose_file(), &["--profile", "tools", "logs", "--no-color", "--tail", "60"]).await;
        eprintln!("--- the containers' logs end with\n{}", logs.unwrap_or_else(|error| format!("{error:#}")));
    }
    played
}

/// Builds our images with the repository's Dockerfile, from programs that are there.
async fn build_ours(engine: &Engine, composition: &Composition, programs: &[PathBuf]) -> Result<()> {
    let context = engine.subfolder("context")?;
    let authorities = PathBuf::from("/etc/ssl/certs/ca-certificates.crt");
    for path in programs.iter().chain([&authorities]) {
        let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
        std::fs::copy(path, context.join(name)).with_context(|| format!("copy {}", path.display()))?;
    }
    let build = |target: &str| json!({"context": &context, "dockerfile": root().join("docker/Dockerfile"), "target": target, "args": {"PROGRAMS": "prebuilt"}});
    let services: Result<serde_json::Map<String, Value>> = ["springtide", "worker"]
        .into_iter()
        .map(|service| Ok((service.to_owned(), json!({"image": composition.image(service)?, "build": build(service)}))))
        .collect();
    let file = context.join("compose.json");
    std::fs::write(&file, serde_json::to_vec(&json!({"name": "images", "services": services?}))?).context("write what is to be built")?;
    engine.compose(&file, &["build", "--quiet"]).await.map(drop)
}

async fn play(engine: &Engine, composition: &Composition) -> Result<()> {
    let begun = Instant::now();
    let mark = |what: &str| println!("{:6.1} s: {what}", begun.elapsed().as_secs_f64());
    let compose = async |arguments: &[&str]| engine.compose(&compose_file(), arguments).await;
    compose(&["up", "--detach", "--wait"]).await?;
    mark("up and healthy");
    the_daemon_is_alone_in_its_image(engine).await?;

    let client = client().await?;
    let observer = Observer::start(&client);
    compose(&["run", "--rm", "burst"]).await?;
    mark("burst published");
    let seen =
        observer.until("all workers run on nodes", PATIENCE, |seen| seen.running("orders") == WORKERS && !seen.nodes.is_empty()).await?;
    mark(&format!("{WORKERS} workers run on {} nodes", seen.nodes.len()));
    let shown = compose(&["run", "--rm", "kubectl"]).await?;
    for expected in ["scaledobject.keda.sh/orders", "deployment.apps/orders", "nodeclaim.karpenter.sh/default-", "node/default-"] {
        ensure!(shown.contains(expected), "`run --rm kubectl` does not show {expected}:\n{shown}");
    }
    let gone = |seen: &Seen| [&seen.pods, &seen.nodes, &seen.claims, &seen.machines].into_iter().all(|lives| Seen::alive(lives) == 0);
    let seen = observer.until("no pod, node, claim or machine of ours is left", PATIENCE, gone).await?;
    mark("nothing is left");
    ensure!(
        seen.machines.len() == seen.machines_peak,
        "{} machines were started where {} were needed",
        seen.machines.len(),
        seen.machines_peak
    );

    let left = Publisher::connect(&composition.broker("127.0.0.1")?).await?.declare("orders").await?;
    ensure!(left == 0, "{left} messages are left in the queue");
    every_message_was_done_once(engine).await?;
    prometheus_has_seen_it().await?;
    mark("Prometheus has seen it");
    Ok(())
}

/// A client as a person at the machine has one.
async fn client() -> Result<kube::Client> {
    let kubeconfig = std::fs::read_to_string(root().join("docker/kubeconfig.yaml"))?.replace("//control-plane:", "//127.0.0.1:");
    let config = kube::Config::from_custom_kubeconfig(Kubeconfig::from_yaml(&kubeconfig)?, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

async fn the_daemon_is_alone_in_its_image(engine: &Engine) -> Result<()> {
    let container = engine.compose(&compose_file(), &["ps", "--quiet", "springtide"]).await?;
    let container = container.trim();
    let told: Value = serde_json::from_str(&engine.docker(["inspect", container]).await?)?;
    let user = &told[0]["Config"]["User"];
    ensure!(user == "65532:65532", "the daemon runs as {user}");
    let labels = &told[0]["Config"]["Labels"];
    ensure!(labels["org.opencontainers.image.title"] == "springtide", "the image is labelled {labels}");
    ensure!(told[0]["Config"]["ExposedPorts"] == json!({"8080/tcp": {}, "8081/tcp": {}}), "other ports are exposed");
    let archive = engine.subfolder("look")?.join("daemon.tar");
    engine.docker(["export", "--output", &archive.to_string_lossy(), container]).await?;
    let listed = tokio::process::Command::new("tar").arg("--list").arg("--verbose").arg("--file").arg(&archive).output().await?;
    let listed = String::from_utf8(listed.stdout)?;
    // The engine itself puts empty files where it mounts something.
    let files: Vec<&str> =
        listed.lines().filter(|line| line.starts_with('-')).filter(|line| line.split_whitespace().nth(2) != Some("0")).collect();
    let expected = ["etc/ssl/certs/ca-certificates.crt", "springtide"];
    ensure!(
        files.len() == 2 && files.iter().zip(expected).all(|(line, path)| line.ends_with(&format!(" {path}"))),
        "other files than {expected:?} are in the daemon's image:\n{}",
        files.join("\n")
    );
    Ok(())
}

/// The worker's report, which it prints when it is told to stop.
async fn every_message_was_done_once(engine: &Engine) -> Result<()> {
    engine.compose(&compose_file(), &["stop", "worker"]).await?;
    let printed = engine.compose(&compose_file(), &["logs", "--no-color", "--no-log-prefix", "worker"]).await?;
    let report = printed.find("{\n").map(|start| &printed[start..]).context("the worker printed no report")?;
    let report: Value = serde_json::Deserializer::from_str(report).into_iter().next().context("the worker printed no report")??;
    for (field, expected) in [("done", MESSAGES), ("redelivered", 0), ("lost", 0), ("busy_stopped", 0)] {
        ensure!(report[field] == expected, "{field} is {} instead of {expected}: {report}", report[field]);
    }
    Ok(())
}

async fn prometheus_has_seen_it() -> Result<()> {
    let asked =
        [("max_over_time(springtide_replicas_wanted{scaledObject=\"orders\"}[10m])", 20.0), ("max_over_time(springtide_leader[10m])", 1.0)];
    for (query, expected) in asked {
        ensure!(ask_prometheus(query).await? == Some(expected), "Prometheus answers otherwise than {expected} to {query}");
    }
    let nodes = ask_prometheus("max_over_time(springtide_nodes[10m])").await?;
    ensure!(nodes.is_some_and(|nodes| nodes >= 1.0), "Prometheus has seen {nodes:?} nodes");
    Ok(())
}

async fn ask_prometheus(query: &str) -> Result<Option<f64>> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let answer: Value =
        client.get("http://127.0.0.1:9090/api/v1/query").query(&[("query", query)]).send().await?.error_for_status()?.json().await?;
    Ok(answer["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok()))
}
