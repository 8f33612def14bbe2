//! The daemon as people run it: a process with a kubeconfig. It ends with the test, also when the test is killed.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A daemon process.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    health: u16,
    metrics: u16,
}

impl Daemon {
    /// Starts it and waits until it is ready.
    pub async fn start(program: &str, kubeconfig: &Path, folder: &Path, flags: &[&str]) -> Result<Self> {
        let (health, metrics) = (free_port()?, free_port()?);
        let log = folder.join(format!("springtide-{}.log", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let output = File::create(&log).context("make the daemon's log")?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", program, "run", "--log-format", "text", "--kubeconfig"])
            .arg(kubeconfig)
            .args(["--health-address", &format!("127.0.0.1:{health}"), "--metrics-address", &format!("127.0.0.1:{metrics}")])
            .args(flags)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("start the daemon")?;
        let mut daemon = Self { child, log, health, metrics };
        daemon.until_ready(Duration::from_secs(30)).await?;
        Ok(daemon)
    }

    async fn until_ready(&mut self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        // The endpoint is polled, as a kubelet would.
        let mut every = tokio::time::interval(Duration::from_millis(50));
        loop {
            every.tick().await;
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended with {status}:\n{}", self.tail());
            }
            if self.get(self.health, "/readyz").await.is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the daemon is not ready after {within:?}:\n{}", self.tail());
            }
        }
    }

    async fn get(&self, port: u16, path: &str) -> Result<String> {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await?.error_for_status()?;
        Ok(answer.text().await?)
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> Result<String> {
        self.get(self.metrics, "/metrics").await
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it, as a machine that fails would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill().context("kill the daemon")?;
        self.child.wait().context("wait for the killed daemon")?;
        Ok(())
    }

    /// Tells it to stop and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().context("tell the daemon to stop")?;
        anyhow::ensure!(status.success(), "the daemon could not be told to stop");
        let ended = tokio::task::spawn_blocking(move || self.child.wait());
        let status = tokio::time::timeout(Duration::from_secs(10), ended).await.context("wait for the daemon to stop")???;
        anyhow::ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself or been killed before.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ends with\n{}", self.tail());
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
