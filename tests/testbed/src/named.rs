//! Testbeds that a person starts and stops by name: `cargo xtask testbed up|down|status`.
//!
//! A process of its own holds each, so that it outlives the command. A file says who holds it and how to reach it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval};

use crate::owner::Owner;
use crate::part::end_of;
use crate::{Options, Plane, Rabbit, RabbitOptions, places, run};

/// A person at a terminal does not notice less; a process offers nothing to wait on that is not our child.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After this long, who holds a testbed is killed instead of asked.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A testbed by name.
#[derive(Clone, Debug)]
pub struct Named {
    name: String,
}

/// How to reach a named testbed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Reach {
    owner: String,
    /// An admin's kubeconfig.
    pub kubeconfig: PathBuf,
    /// kube-apiserver.
    pub server_url: String,
    /// RabbitMQ, AMQP.
    pub amqp_url: String,
    /// RabbitMQ, management interface.
    pub http_url: String,
    /// The control plane's data and logs.
    pub folder: PathBuf,
}

impl Named {
    /// Names are parts of file names: lower-case letters, digits and dashes.
    pub fn new(name: &str) -> Result<Self> {
        if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-') {
            bail!("{name:?} cannot name a testbed; use lower-case letters, digits and dashes");
        }
        Ok(Self { name: name.to_owned() })
    }

    /// All names that were started and not stopped, crashed ones too.
    pub fn all() -> Result<Vec<String>> {
        let mut names: Vec<String> = fs::read_dir(places::named()?)?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// How to reach it, if it runs.
    pub fn reach(&self) -> Result<Option<Reach>> {
        let Ok(text) = fs::read(self.file("json")?) else { return Ok(None) };
        let reach: Reach = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", self.name))?;
        Ok(reach.owner.parse::<Owner>()?.is_alive().then_some(reach))
    }

    /// Starts it in the background unless it runs, and waits until it is ready.
    pub async fn up(&self) -> Result<Reach> {
        if let Some(reach) = self.reach()? {
            return Ok(reach);
        }
        let log = self.file("log")?;
        let mut holder = self.spawn_holder(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?)?;
        let mut looking = interval(LOOK_EVERY);
        loop {
            looking.tick().await;
            if let Some(reach) = self.reach()? {
                return Ok(reach);
            }
            if let Some(status) = holder.try_wait()? {
                bail!("the testbed {} ended while it started ({status}); the end of {}:\n{}", self.name, log.display(), end_of(&log));
            }
        }
    }

    fn spawn_holder(&self, output: File) -> Result<Child> {
        // In a session of its own, so that neither Ctrl-C nor the end of the terminal reaches it.
        let mut command = Command::new("setsid");
        command.arg(std::env::current_exe()?).args(["hold", "--name", &self.name]);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        command.spawn().context("cannot start setsid (Debian: util-linux)")
    }

    /// Starts it in this process, says how to reach it, and stops it on SIGTERM or SIGINT.
    pub async fn hold(&self) -> Result<()> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let starting = async { tokio::try_join!(Plane::start(Options::default()), Rabbit::start(RabbitOptions::default())) };
        let started = tokio::select! {
            started = starting => Some(started?),
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
        };
        let Some((plane, rabbit)) = started else { return Ok(()) };
        let reach = Reach {
            owner: Owner::this_process()?.to_string(),
            kubeconfig: plane.admin_kubeconfig(),
            server_url: plane.server_url(),
            amqp_url: rabbit.amqp_url(),
            http_url: rabbit.http_url(),
            folder: plane.folder().to_owned(),
        };
        let file = self.file("json")?;
        // Renamed into its place, so that nobody reads half of it.
        let unfinished = self.file("unfinished")?;
        fs::write(&unfinished, serde_json::to_vec_pretty(&reach)?).with_context(|| format!("cannot write {}", unfinished.display()))?;
        fs::rename(&unfinished, &file).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{reach}");
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        fs::remove_file(&file).with_context(|| format!("cannot delete {}", file.display()))
    }

    /// Stops it, and cleans up after it when it crashed. Whether it ran.
    pub async fn down(&self) -> Result<bool> {
        let file = self.file("json")?;
        let owner = match fs::read(&file) {
            Ok(text) => Some(serde_json::from_slice::<Reach>(&text)?.owner.parse::<Owner>()?),
            Err(_) => None,
        };
        let ran = owner.is_some_and(Owner::is_alive);
        if let Some(owner) = owner {
            stop(owner).await?;
            // It deletes the file itself unless it had to be killed.
            let _ = fs::remove_file(&file);
        }
        let _ = fs::remove_file(self.file("log")?);
        run::sweep()?;
        Ok(ran)
    }

    fn file(&self, extension: &str) -> Result<PathBuf> {
        Ok(places::named()?.join(format!("{}.{extension}", self.name)))
    }
}

async fn stop(owner: Owner) -> Result<()> {
    let Some(pid) = i32::try_from(owner.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let deadline = Instant::now() + STOP_WITHIN;
    let mut looking = interval(LOOK_EVERY);
    let mut asked = false;
    while owner.is_alive() {
        if !asked || Instant::now() > deadline {
            // It may end by itself in between.
            let _ = kill_process(pid, if asked { Signal::KILL } else { Signal::TERM });
            asked = true;
        }
        looking.tick().await;
    }
    Ok(())
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "kubeconfig: {}", self.kubeconfig.display())?;
        writeln!(f, "server:     {}", self.server_url)?;
        writeln!(f, "amqp:       {}", self.amqp_url)?;
        writeln!(f, "management: {}", self.http_url)?;
        write!(f, "folder:     {}", self.folder.display())
    }
}
