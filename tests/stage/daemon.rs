//! The daemon as people run it: a process with a kubeconfig. It ends with the test, also when the test is killed.

use std::fs::File;
use std::net::SocketAddr;
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

    /// Whether it says that it leads; an error where it says nothing of it.
    pub async fn leads(&self) -> Result<bool> {
        let metrics = self.metrics().await?;
        let value =
            metrics.lines().find_map(|line| line.strip_prefix("springtide_leader ")).context("/metrics has no springtide_leader")?;
        Ok(value.trim() == "1")
    }

    /// Waits until it says that it leads.
    pub async fn until_leads(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        // The endpoint is polled, as Prometheus would.
        let mut every = tokio::time::interval(Duration::from_millis(20));
        while !self.leads().await.unwrap_or(false) {
            if Instant::now() > deadline {
                bail!("the daemon does not lead after {within:?}:\n{}", self.tail());
            }
            every.tick().await;
        }
        Ok(())
    }

    /// Waits until one line of its log holds all of these, and answers how long the log is then. What stands before `after` is not looked at.
    pub async fn until_log(&self, after: usize, fragments: &[&str], within: Duration) -> Result<usize> {
        let deadline = Instant::now() + within;
        // A file offers nothing to watch.
        let mut every = tokio::time::interval(Duration::from_millis(50));
        loop {
            every.tick().await;
            let log = self.log();
            if log.get(after..).unwrap_or_default().lines().any(|line| fragments.iter().all(|fragment| line.contains(fragment))) {
                return Ok(log.len());
            }
            if Instant::now() > deadline {
                bail!("no line of the daemon's log holds {fragments:?} after {within:?}:\n{}", self.tail());
            }
        }
    }

    /// Waits until `/metrics` has this line.
    pub async fn until_metric(&self, line: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        // The endpoint is polled, as Prometheus would.
        let mut every = tokio::time::interval(Duration::from_millis(50));
        loop {
            every.tick().await;
            let metrics = self.metrics().await?;
            if metrics.lines().any(|one| one == line) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("/metrics has no line {line:?} after {within:?}, but\n{metrics}");
            }
        }
    }

    /// How many TCP connections it has to this address, as the kernel counts them.
    pub fn connections_to(&self, address: SocketAddr) -> Result<usize> {
        let links = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).context("list the daemon's open files")?;
        let files: Vec<PathBuf> = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok()).collect();
        let port = format!(":{:04X}", address.port());
        let table = std::fs::read_to_string("/proc/net/tcp").context("read the table of connections")?;
        let count = table.lines().skip(1).filter(|row| {
            // The columns: number, here, there, state (01 is established), queues, timers, retransmissions, user, timeouts, inode.
            let columns: Vec<&str> = row.split_whitespace().collect();
            let [_, _, there, "01", _, _, _, _, _, inode, ..] = columns[..] else { return false };
            there.ends_with(&port) && files.iter().any(|file| file.as_os_str() == format!("socket:[{inode}]").as_str())
        });
        Ok(count.count())
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

    /// Lets it stand still: it keeps its connections, and neither asks nor writes anything.
    pub fn pause(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on after a pause.
    pub fn resume(&self) -> Result<()> {
        self.signal("CONT")
    }

    fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        let status = status.with_context(|| format!("send SIG{name} to the daemon"))?;
        anyhow::ensure!(status.success(), "the daemon could not be sent SIG{name}");
        Ok(())
    }

    /// Tells it to stop and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        self.signal("TERM")?;
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
